"""A reload shows the same photo and settings again, and an address shows them in another browser."""

import pytest
from browsing import PHONE, click_at, hand_in, keep, settled, until, view
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

DESK_800 = {"width": 1280, "height": 800}


def test_a_reload_keeps_photo_and_settings_and_the_address_carries_what_is_shown(visit, picture, space):
    page = visit(DESK_800)
    hand_in(page, picture)
    page.locator("#place").get_by_label("Outdoors").check()
    expect(page.locator("#place")).to_contain_text("Taken, as you say")
    near = page.locator("#legend .field.near")
    wanted = str(round(float(near.input_value()) + 0.05, 2))
    near.fill(wanted)
    near.press("Enter")
    view(page, "Measure")
    page.locator("#share input[type=range]").fill("40")
    click_at(page, 60, 40, (200, 150))
    expect(page.locator("#told")).to_contain_text("Point 1")
    until(page, lambda: "\n" in page.inner_text("#told") and page.inner_text("#told").startswith("Point 1"))
    told = page.inner_text("#told")  # without gradio's clock, which stands before it while an answer is on its way
    until(page, lambda: "view=measure" in page.url and f"near={wanted}" in page.url)
    keep(page, "kept_before")
    page.reload()
    expect(page.locator("#found")).to_contain_text("room.png")
    expect(page.get_by_role("tab", name="Measure")).to_have_attribute("aria-selected", "true")
    expect(page.locator("#told")).to_have_text(told, use_inner_text=True)
    expect(near).to_have_value(wanted)
    expect(page.locator("#place")).to_contain_text("Taken, as you say")
    expect(page.locator("#share input[type=range]")).to_have_value("40")
    settled(page, "#marked img")
    assert page.locator("#results.old").count() == 0
    keep(page, "kept_after")


def test_an_address_opens_a_model_a_view_and_a_range(visit, space):
    page = visit(PHONE)
    page.goto(f"{space.url}/?photo=cat&model={space.names[1]}&view=measure&near=20&far=60&utm=x")
    expect(page.locator("#found")).to_contain_text("cat.jpg")
    expect(page.locator("#found")).to_contain_text("without a unit")
    expect(page.get_by_role("tab", name="Measure")).to_have_attribute("aria-selected", "true")
    expect(page.locator("#legend .field.near")).to_have_value("20")
    expect(page.locator("#legend .field.far")).to_have_value("60")
    view(page, "Depth")
    until(page, lambda: "view=" not in page.url)
    assert "utm=x" in page.url
    assert page.locator("#results.old").count() == 0
    page.goto(f"{space.url}/?model=nobody/nothing")
    expect(page.locator(".toast-body")).to_contain_text("nobody/nothing")
    keep(page, "address_wrong")
