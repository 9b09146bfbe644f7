"""The tab for photos in a real browser: what stays, what is cleared, ranges, comparing, and phones."""

import re

import numpy as np
import pytest
from browsing import PHONE, choose, click_at, hand_in, keep, metres, remove, settled, until, view
from PIL import Image
from playwright.sync_api import expect
from serving import own_values, photo

from semidepth.media.color_maps import color_table

pytestmark = pytest.mark.browser


def field(page, end: str):
    return page.locator(f"#legend .field.{end}")


def redrawn(page, act) -> None:
    """Does something and waits until the depth is drawn anew."""
    before = settled(page, "#depth img")
    act()
    page.wait_for_function("(old) => document.querySelector('#depth img').src !== old", arg=before)


def type_into(page, end: str, value: float, key: str = "Tab") -> None:
    """Types an end of the range."""
    field(page, end).fill(str(value))
    redrawn(page, lambda: field(page, end).press(key))


def choose_relative(page) -> None:
    page.locator("#model input").click()
    page.get_by_role("option", name="near to far").click()
    expect(page.locator("#found")).to_contain_text("without a unit")


def test_points_and_range_stay_with_the_picture_and_go_with_it(visit, space, picture, tmp_path):
    page = visit()
    hand_in(page, picture)
    type_into(page, "near", 0.1)
    view(page, "Measure")
    click_at(page, 60, 40, (200, 150))
    fov = page.get_by_label("Field of view, degrees")
    fov.fill("90")
    fov.press("Enter")
    expect(page.locator("#told")).to_contain_text("90°, given")
    own = own_values(space.routed, picture, 1)
    page.locator("#place").get_by_label("Outdoors").check()
    expect(page.locator("#found")).to_contain_text(f"{np.median(own):.2f} m")
    around = own[39:42, 59:62]
    assert around.min() - 0.005 <= metres(page)[0] <= around.max() + 0.005
    expect(field(page, "near")).to_have_value("0.1")
    expect(page.locator("#told")).to_contain_text("90°, given")
    # A model without metres: the points stay, and what they mean is said; there is no field of view to give.
    choose_relative(page)
    expect(page.locator("#told")).to_contain_text("not metres")
    expect(page.locator("#fov")).to_be_hidden()
    expect(field(page, "near")).to_have_value("0")
    expect(page.locator("#legend .unit").first).to_have_text("%")
    page.click("#forget")
    expect(page.locator("#told")).to_have_text("Click two points to learn which of them is nearer.")
    view(page, "Depth")
    type_into(page, "far", 40)
    # Another picture: nothing of the one before.
    remove(page)
    expect(page.locator("#empty")).to_be_visible()
    hand_in(page, photo(tmp_path / "other.png", seed=8))
    expect(field(page, "far")).to_have_value("100")
    page.locator("#model input").click()
    page.get_by_role("option", name="metres").click()
    view(page, "Measure")
    expect(fov).to_have_value("")


def test_what_is_on_the_screen_is_what_the_file_has(visit, space, picture):
    """However an end is set: Enter, a field that is left, arrow keys in a field and on a handle."""
    page = visit()
    hand_in(page, picture)
    page.get_by_role("button", name="Download").click()
    own_ends = [float(field(page, end).input_value()) for end in ("near", "far")]
    span = own_ends[1] - own_ends[0]
    indoors = page.locator("#place input:checked").get_attribute("value")
    own = own_values(space.routed, picture, ["indoor", "outdoor"].index(indoors))

    def check() -> tuple[float, float]:
        near, far = (float(field(page, end).input_value()) for end in ("near", "far"))
        with page.expect_download() as fetched:
            page.click("#file_color")
        found = np.asarray(Image.open(fetched.value.path())).astype(int)
        places = np.rint(np.clip((own - near) / (far - near), 0, 1) * 255).astype(int)
        assert np.abs(found - color_table("magma")[::-1][places]).mean() < 1
        return near, far

    assert check() == pytest.approx(own_ends)
    for key, wanted in (("Enter", own_ends[0] + 0.1 * span), ("Tab", own_ends[0] + 0.2 * span)):
        type_into(page, "near", round(wanted, 2), key)
        assert check()[0] == pytest.approx(wanted, abs=0.006)
    before = check()[1]
    redrawn(page, lambda: field(page, "far").press("ArrowDown"))
    step = before - check()[1]
    assert 0.003 * span < step < 0.025 * span
    before = check()[1]
    redrawn(page, lambda: page.get_by_label("Far end").press("ArrowLeft"))
    assert 0.003 * span < before - check()[1] < 0.015 * span
    redrawn(page, lambda: page.get_by_role("button", name="Reset range").click())
    assert check() == pytest.approx(own_ends)


def test_ends_never_cross_and_nothing_is_complained_of(visit, picture):
    page = visit()
    hand_in(page, picture)
    near = float(field(page, "near").input_value())
    type_into(page, "far", round(near * 0.5, 2))
    assert float(field(page, "near").input_value()) < float(field(page, "far").input_value()) == round(near * 0.5, 2)
    type_into(page, "near", 1e5)
    most = float(field(page, "far").get_attribute("max"))
    assert float(field(page, "near").input_value()) < float(field(page, "far").input_value()) == most
    field(page, "far").fill("")
    field(page, "far").press("Tab")
    expect(field(page, "far")).not_to_have_value("")
    # A handle drawn over the other one takes it along.
    handle, scale = page.locator("#legend .handle.near"), page.locator("#legend .scale").bounding_box()
    page.get_by_role("button", name="Reset range").click()
    values = [float(field(page, end).input_value()) for end in ("near", "far")]
    x = [scale["x"] + scale["width"] * value / most for value in values]
    page.mouse.move(x[0], scale["y"] + 14)
    page.mouse.down()
    page.mouse.move(x[1] + 40, scale["y"] + 14, steps=8)
    redrawn(page, page.mouse.up)
    assert values[1] < float(field(page, "near").input_value()) < float(field(page, "far").input_value())
    assert float(handle.input_value()) == pytest.approx(float(field(page, "near").input_value()), abs=0.01)
    page.wait_for_timeout(500)
    assert page.locator(".toast-body").count() == 0


def test_colours_are_swatches_and_the_bar_has_them(visit, picture):
    page = visit()
    hand_in(page, picture)
    redrawn(page, lambda: page.locator("#colors").get_by_label("Spectral").check())
    ramp = page.evaluate("getComputedStyle(document.querySelector('#legend .band'), '::before').backgroundImage")
    assert "rgb({}, {}, {})".format(*color_table("spectral")[255]) in ramp
    near = "rgb({}, {}, {})".format(*color_table("spectral")[255])
    assert near in page.evaluate("getComputedStyle(document.querySelector('#legend .band')).backgroundImage")
    keep(page, "spectral")


def test_a_field_of_view_that_is_none_is_told_in_place(visit, picture):
    page = visit()
    hand_in(page, picture)
    view(page, "Measure")
    click_at(page, 60, 40, (200, 150))
    page.get_by_label("Field of view, degrees").fill("wide")
    page.get_by_label("Field of view, degrees").press("Enter")
    expect(page.locator("#told")).to_contain_text("The field of view is 'wide'; write a number")
    assert page.locator(".toast-body").count() == 0


def test_comparing_stands_alone_and_follows_what_is_chosen(visit, picture):
    page = visit()
    hand_in(page, picture)
    view(page, "Compare")
    expect(page.locator("#legend")).to_be_hidden()
    expect(page.locator("#gallery .caption-label")).to_have_count(2)
    labels = page.locator("#compared label").all_inner_texts()[1:]  # after the photo
    for label, caption in zip(labels, page.locator("#gallery .caption-label").all_inner_texts(), strict=True):
        assert caption.split(" · ")[0] == label.split(" · ")[0].strip()
    expect(page.locator("#compare_legend")).to_contain_text("m")
    before = settled(page, "#gallery img")
    page.locator("#colors").get_by_label("Cividis").check()
    page.wait_for_function("(old) => document.querySelector('#gallery img').src !== old", arg=before)
    page.locator("#compared input").first.check()
    expect(page.locator("#gallery .caption-label")).to_have_count(3)
    expect(page.locator("#gallery .caption-label").first).to_have_text("Photo")
    keep(page, "compared_with_photo")
    page.locator("#also").get_by_label("Grey").check()  # the photo, and each of two models in two colours
    expect(page.locator("#gallery .caption-label")).to_have_count(5)
    expect(page.locator("#compare_legend .bar")).to_have_count(2)
    keep(page, "compared_in_two_colours")
    page.locator("#also").get_by_label("Grey").uncheck()
    expect(page.locator("#gallery .caption-label")).to_have_count(3)
    for number in range(3):
        page.locator("#compared input").nth(number).uncheck()
    expect(page.locator("#gallery .caption-label")).to_have_count(0)
    expect(page.locator("#compare_legend")).to_contain_text("Choose what to compare")
    page.locator("#compared input").first.check()
    expect(page.locator("#gallery .caption-label")).to_have_count(1)
    view(page, "Depth")
    expect(page.locator("#legend")).to_be_visible()


def test_a_phone_shows_the_answer_and_a_compared_picture_whole(visit, picture):
    page = visit(PHONE)
    hand_in(page, picture)
    page.wait_for_function(
        """() => {const box = document.querySelector('#stage').getBoundingClientRect();
                  return box.top >= 0 && box.bottom <= window.innerHeight}"""
    )
    view(page, "Compare")
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
    remove(page)
    expect(page.locator("#empty")).to_contain_text("Depth appears here")
    page.locator("#examples button").first.click()
    expect(page.locator("#results")).to_be_visible()
    (tmp_path / "text.png").write_text("This is not a picture.")
    choose(page, tmp_path / "text.png")
    expect(page.locator("#empty")).to_contain_text("This file cannot be read as a picture")


def test_points_are_dragged_and_moved_with_arrow_keys(visit, space, picture):
    page = visit()
    hand_in(page, picture)
    page.locator("#place").get_by_label("Outdoors").check()
    expect(page.locator("#place")).to_contain_text("Taken, as you say")
    view(page, "Measure")
    places = page.get_by_label("Points: x, y")
    places.fill("40 30; 160 110")
    places.press("Enter")
    expect(page.locator("#told")).to_contain_text("Point 2")
    marks = page.locator("#marks .mark")
    expect(marks).to_have_count(2)
    settled(page, "#marked img")
    image = page.locator("#marked img").bounding_box()
    scale = min(image["width"] / 200, image["height"] / 150)
    left, top = (image[edge] + (image[side] - pixels * scale) / 2
                 for edge, side, pixels in (("x", "width", 200), ("y", "height", 150)))  # fmt: skip

    def middle(number: int) -> tuple[float, float]:
        box = marks.nth(number).bounding_box()
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    assert middle(0) == pytest.approx((left + 40.5 * scale, top + 30.5 * scale), abs=2)
    page.mouse.move(*middle(0))
    page.mouse.down()
    page.mouse.move(left + 90.5 * scale, top + 70.5 * scale, steps=5)
    page.mouse.up()
    until(page, lambda: re.match(r"(89|90|91), (69|70|71); 160, 110$", places.input_value()))
    x, y = map(int, places.input_value().split(";")[0].split(","))
    own = own_values(space.routed, picture, 1)
    until(page, lambda: metres(page)[:1] == pytest.approx([own[y, x]], abs=0.006))
    assert middle(0) == pytest.approx((left + (x + 0.5) * scale, top + (y + 0.5) * scale), abs=2)
    marks.nth(1).focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Shift+ArrowUp")
    until(page, lambda: places.input_value() == f"{x}, {y}; 159, 100")
    until(page, lambda: metres(page)[1:2] == pytest.approx([own[100, 159]], abs=0.006))
    assert page.evaluate("document.activeElement.className.includes('mark')")  # the keys go on from there
    keep(page, "dragged")
    page.click("#forget")
    expect(marks).to_have_count(0)
