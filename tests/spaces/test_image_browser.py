"""The tab for pictures in a real browser: what stays, what is cleared, ranges, comparing, and phones."""

import numpy as np
import pytest
from browsing import PHONE, click_at, hand_in, keep, metres, settled
from playwright.sync_api import expect
from serving import own_values, photo

pytestmark = pytest.mark.browser


def number(page, name: str):
    return page.locator(f"#{name} input[type=number]")


def type_into(page, name: str, value: float) -> None:
    """Types an end of the range and waits until the legend has changed."""
    before = page.inner_text("#legend .marks")
    number(page, name).fill(str(value))
    number(page, name).press("Tab")
    page.wait_for_function("(old) => document.querySelector('#legend .marks').innerText !== old", arg=before)


def choose_relative(page) -> None:
    page.locator("#model input").click()
    page.get_by_role("option", name="near to far").click()
    expect(page.locator("#found")).to_contain_text("without a unit")


def test_points_and_range_stay_with_the_picture_and_go_with_it(visit, space, picture, tmp_path):
    page = visit()
    hand_in(page, picture)
    type_into(page, "near", 0.1)
    page.get_by_role("tab", name="Measure").click()
    click_at(page, 60, 40, (200, 150))
    page.locator("#fov textarea, #fov input").first.fill("90")
    page.locator("#fov textarea, #fov input").first.press("Enter")
    expect(page.locator("#told")).to_contain_text("90°, given")
    own = own_values(space.routed, picture, 1)
    page.get_by_label("Outdoor", exact=True).first.check()
    expect(page.locator("#found")).to_contain_text(f"{np.median(own):.2f} m")
    around = own[39:42, 59:62]
    assert around.min() - 0.005 <= metres(page)[0] <= around.max() + 0.005
    expect(number(page, "near")).to_have_value("0.1")
    page.click("#run")
    page.wait_for_timeout(1000)
    expect(page.locator("#told")).to_contain_text("90°, given")
    # A model without metres: the points stay, and what they mean is said; there is no field of view to give.
    choose_relative(page)
    expect(page.locator("#told")).to_contain_text("not metres")
    expect(page.locator("#fov")).to_be_hidden()
    expect(number(page, "near")).to_have_value("0")
    page.click("#forget")
    expect(page.locator("#told")).to_have_text("Click two points to learn which of them is nearer.")
    type_into(page, "far", 40)
    expect(page.locator("#legend .marks")).to_have_text("near40 % of near to far")
    # Another picture: nothing of the one before.
    page.get_by_role("tab", name="Look").click()
    page.locator("#picture button[aria-label='Remove Image']").click()
    expect(page.locator("#empty")).to_be_visible()
    hand_in(page, photo(tmp_path / "other.png", seed=8))
    expect(number(page, "far")).to_have_value("100")
    page.locator("#model input").click()
    page.get_by_role("option", name="metres").click()
    page.get_by_role("tab", name="Measure").click()
    expect(page.locator("#fov textarea, #fov input").first).to_have_value("")


def test_an_end_pushes_the_other_and_nothing_is_complained_of(visit, picture):
    page = visit()
    hand_in(page, picture)
    near = float(number(page, "near").input_value())
    type_into(page, "far", round(near * 0.5, 2))
    expect(number(page, "near")).to_have_value(f"{round(near * 0.5, 2) - 0.01:.2f}".rstrip("0"))
    type_into(page, "near", 1e5)
    most = float(page.locator("#far input[type=range]").get_attribute("max"))
    expect(number(page, "far")).to_have_value(f"{most:g}")
    expect(number(page, "near")).to_have_value(f"{most - 0.01:.2f}")
    number(page, "far").fill("")
    number(page, "far").press("Tab")
    page.wait_for_timeout(1000)
    expect(page.locator("#legend .marks")).to_contain_text("m")
    assert page.locator(".toast-body").count() == 0


def test_a_field_of_view_that_is_none_is_told_in_place(visit, picture):
    page = visit()
    hand_in(page, picture)
    page.get_by_role("tab", name="Measure").click()
    click_at(page, 60, 40, (200, 150))
    page.locator("#fov textarea, #fov input").first.fill("wide")
    page.locator("#fov textarea, #fov input").first.press("Enter")
    expect(page.locator("#told")).to_contain_text("The field of view is 'wide'; write a number")
    assert page.locator(".toast-body").count() == 0


def test_comparing_stands_alone_and_follows_what_is_chosen(visit, picture):
    page = visit()
    hand_in(page, picture)
    page.get_by_role("tab", name="Compare").click()
    for part in ("#legend", "#near", "#far", "#file_png16", "#file_color"):
        expect(page.locator(part)).to_be_hidden()
    page.click("#compare")
    expect(page.locator("#gallery .caption-label")).to_have_count(2)
    labels = page.locator("#compared label").all_inner_texts()
    for label, caption in zip(labels, page.locator("#gallery .caption-label").all_inner_texts(), strict=True):
        assert caption.split(" · ")[0] == label.split(" · ")[0].strip()
    expect(page.locator("#compare_legend")).to_contain_text("m")
    before = settled(page, "#gallery img")
    page.locator("#colors input").click()
    page.get_by_role("option", name="Cividis").click()
    page.wait_for_function("(old) => document.querySelector('#gallery img').src !== old", arg=before)
    page.locator("#compared input").first.uncheck()
    expect(page.locator("#gallery .caption-label")).to_have_count(1)
    page.locator("#compared input").nth(1).uncheck()
    expect(page.locator("#gallery")).to_be_hidden()
    page.get_by_role("tab", name="Look").click()
    for part in ("#legend", "#near", "#far", "#file_png16"):
        expect(page.locator(part)).to_be_visible()


def test_a_phone_goes_to_the_answer_and_shows_a_compared_picture_whole(visit, picture):
    page = visit(PHONE)
    hand_in(page, picture)
    page.wait_for_function(
        """() => {const box = document.querySelector('#slider').getBoundingClientRect();
                  return box.top >= 0 && box.bottom <= window.innerHeight}"""
    )
    assert page.locator("#slider").bounding_box()["y"] < page.locator("#model").bounding_box()["y"]
    page.get_by_role("tab", name="Compare").click()
    page.click("#compare")
    page.wait_for_selector("#gallery img")
    page.locator("#gallery img").nth(1).click()
    box = page.locator("#gallery .preview img").first.bounding_box()
    assert box["y"] >= 0
    assert box["y"] + box["height"] <= PHONE["height"]
    assert box["width"] > 300
    keep(page, "phone_compared")
    page.locator("#gallery .preview button[aria-label='Close']").click()
    expect(page.locator("#gallery .preview")).to_have_count(0)


def test_a_file_that_is_no_picture_gets_its_sentence_after_an_example_too(visit, tmp_path):
    page = visit()
    page.locator("#examples button").first.click()
    page.wait_for_selector("#slider img")
    page.locator("#picture button[aria-label='Remove Image']").click()
    (tmp_path / "text.png").write_text("This is not a picture.")
    page.set_input_files("#picture input[type=file]", tmp_path / "text.png")
    expect(page.locator("#empty")).to_contain_text("This file cannot be read as a picture")
