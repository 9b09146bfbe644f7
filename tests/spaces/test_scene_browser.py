"""The 3D tab in a real browser: the first view is the photo's, and what was typed wrongly takes nothing away."""

import io

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect
from test_depth_demo_browser import browser, hand_in, keep, picture, visit  # noqa: F401


@pytest.fixture
def in_space(visit, picture):  # noqa: F811
    """Opens the tab with a scene in it."""
    page = visit()
    hand_in(page, picture)
    page.get_by_role("tab", name="3D").click()
    expect(page.locator("#scene_note")).to_contain_text("triangles")
    return page


def fill(page, selector: str, text: str) -> None:
    field = page.locator(f"{selector} input, {selector} textarea").first
    field.fill(text)
    field.press("Tab")


def test_the_first_view_is_the_photo(in_space, picture):  # noqa: F811
    fill(in_space, "#jump", "2")
    # 60 degrees over 200 pixels; the viewer shows 0.8 radians from top to bottom.
    shown = 2 * np.tan(0.4) * 100 / np.tan(np.radians(30))  # of the photo's 150 pixels
    photo = Image.open(picture).convert("RGB").crop((40, 75 - 0.3 * shown, 160, 75 + 0.3 * shown)).resize((24, 16))
    canvas = in_space.locator("#scene canvas")
    off = 255.0
    for _ in range(40):
        image = Image.open(io.BytesIO(canvas.screenshot())).convert("RGB")
        scale = image.height / shown
        middle, half = (image.width / 2, image.height / 2), (60 * scale, 0.3 * shown * scale)
        seen = image.crop((middle[0] - half[0], middle[1] - half[1], middle[0] + half[0], middle[1] + half[1]))
        off = np.abs(np.asarray(seen.resize((24, 16)), float) - np.asarray(photo, float)).mean()
        if off < 12:
            break
        in_space.wait_for_timeout(500)
    keep(in_space, "scene_first_view")
    assert off < 12


def test_it_says_what_it_shows(in_space):
    expect(in_space.locator("#scene_note")).to_contain_text("room.png · ")
    expect(in_space.locator("#scene_note")).to_contain_text(" head")


@pytest.mark.parametrize(
    ("field", "typed", "says"),
    [
        ("#cut", "abc", "The far end is 'abc'; write a number"),
        ("#cut", "0", "The far end is 0; give a positive number of metres."),
        ("#scene_fov", "500", "500"),
    ],
)
def test_a_wrong_number_gets_a_sentence_and_the_scene_stays(in_space, field, typed, says):
    fill(in_space, field, typed)
    toast = in_space.locator(".toast-body")
    expect(toast).to_contain_text(says)
    assert "Nothing to show" not in toast.inner_text()
    expect(in_space.locator("#scene_note")).to_be_visible()
    expect(in_space.locator("#scene canvas")).to_be_visible()
    expect(in_space.get_by_text("Error", exact=True)).to_have_count(0)
    with in_space.expect_download():
        in_space.click("#ply")


def test_what_is_typed_acts_when_the_field_is_left(in_space, space):
    fill(in_space, "#scene_fov", "80")
    expect(in_space.locator("#scene_note")).to_contain_text("80°, given")
    before = in_space.inner_text("#scene_note")
    fill(in_space, "#jump", "7")  # the slider's end
    expect(in_space.locator("#scene_note")).not_to_have_text(before)
    assert "Traceback" not in (space.folder / "app.log").read_text()


def test_a_picture_that_is_taken_away_takes_its_settings_along(in_space):
    fill(in_space, "#scene_fov", "80")
    expect(in_space.locator("#scene_note")).to_contain_text("80°, given")
    in_space.get_by_role("tab", name="Image", exact=True).click()
    in_space.locator("#picture button[aria-label='Remove Image']").click()
    in_space.get_by_role("tab", name="3D").click()
    expect(in_space.locator("#scene_empty")).to_contain_text("the scene is built when you come back")
    expect(in_space.locator("#scene_fov input, #scene_fov textarea").first).to_have_value("")
