"""The 3D view in a real browser: from the side first, then as the photo; a wrong number takes nothing away."""

import io

import numpy as np
import pytest
from browsing import hand_in, keep, remove, until, view
from PIL import Image
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

# Which pictures the scene's canvas shows while it sways. It can be read in the frame in which it was drawn, after that.
RECORD = """() => {
  window.views = new Set();
  const copy = Object.assign(document.createElement('canvas'), {width: 32, height: 16}), pen = copy.getContext('2d');
  const look = () => setTimeout(() => requestAnimationFrame(() => {
    const canvas = document.querySelector('#scene canvas');
    if (canvas && document.querySelector('#sway [data-sway=on]')) {
      pen.clearRect(0, 0, 32, 16);
      pen.drawImage(canvas, 0, 0, 32, 16);
      const pixels = [...pen.getImageData(0, 0, 32, 16).data].map((value) => value >> 5);
      if (new Set(pixels).size > 3) window.views.add(pixels.join(''));
    }
    look();
  }), 10);
  look();
}"""


@pytest.fixture
def in_space(visit, picture):
    """Opens the view with a scene in it."""
    page = visit()
    hand_in(page, picture)
    view(page, "3D")
    page.get_by_role("button", name="Settings of the scene").click()
    expect(page.locator("#scene_note")).to_contain_text("triangles")
    return page


def fill(page, selector: str, text: str) -> None:
    field = page.locator(f"{selector} input, {selector} textarea").first
    field.fill(text)
    field.press("Tab")


def type_fov(page, text: str) -> None:
    """The field of view is set where it is measured with."""
    view(page, "Measure")
    fill(page, "#fov", text)
    view(page, "3D")


def test_the_first_view_is_from_the_side_and_the_photo_s_own_is_a_button_away(in_space, picture):
    note = in_space.locator("#scene_note")
    before = note.inner_text()
    fill(in_space, "#jump", "2")
    expect(note).not_to_have_text(before)
    # 60 degrees over 200 pixels; the viewer shows 0.8 radians from top to bottom.
    shown = 2 * np.tan(0.4) * 100 / np.tan(np.radians(30))  # of the photo's 150 pixels
    photo = Image.open(picture).convert("RGB")
    canvas = in_space.locator("#scene canvas")

    def likeness(seen, scale: float) -> float:
        """How well the middle of the canvas fits that of the photo, were its view so many times as wide as ours."""
        parts = []
        for image, pixel in ((photo, scale), (seen, seen.height / shown)):
            x, y, wide, high = image.width / 2, image.height / 2, 60 * pixel, 40 * pixel
            parts.append(image.crop((x - wide, y - high, x + wide, y + high)).resize((24, 16)))
        return np.corrcoef(*(np.asarray(part, float).ravel() for part in parts))[0, 1]

    def settled(enough) -> Image.Image:
        for _ in range(80):
            seen = Image.open(io.BytesIO(canvas.screenshot())).convert("RGB")
            if enough(seen):
                break
            in_space.wait_for_timeout(500)
        return seen

    drawn = settled(lambda seen: len(np.unique(np.asarray(seen).reshape(-1, 3) // 16, axis=0)) > 50)
    keep(in_space, "scene_first_view")
    assert likeness(drawn, 1.0) < 0.97
    in_space.click("#front")
    seen = settled(lambda seen: likeness(seen, 1.0) > 0.97)
    keep(in_space, "scene_front_view")
    fits = likeness(seen, 1.0)
    assert fits > 0.97
    assert fits > max(likeness(seen, 0.9), likeness(seen, 1.1))
    now = note.inner_text()
    fill(in_space, "#jump", "1.9")  # another scene of the same picture
    expect(note).not_to_have_text(now)
    in_space.wait_for_timeout(3000)
    assert likeness(settled(lambda seen: likeness(seen, 1.0) > 0.97), 1.0) > 0.97


def test_the_scene_sways_to_the_photo_s_view_and_back_unless_less_motion_is_asked_for(visit, picture):
    page = visit()
    canvas = page.locator("#scene canvas")

    def opened() -> None:
        hand_in(page, picture)
        view(page, "3D")
        expect(page.locator("#scene_note")).to_contain_text("triangles")
        canvas.wait_for()

    def seen() -> np.ndarray:
        return np.asarray(Image.open(io.BytesIO(canvas.screenshot())).convert("RGB")).astype(float)

    page.evaluate(RECORD)
    opened()
    page.wait_for_selector("#sway [data-sway=done]", state="attached")
    page.wait_for_timeout(1000)
    views = page.evaluate("[...window.views]")
    rest = seen()
    assert len(views) > 1, views  # a busy machine draws few frames in that time; without a sway all are one view
    page.emulate_media(reduced_motion="reduce")
    page.reload()
    opened()
    until(page, lambda: np.abs(seen() - rest).mean() < 1)  # where it begins, and had come back to
    page.wait_for_timeout(1000)
    assert page.locator("#sway [data-sway]").count() == 0


@pytest.mark.parametrize(
    ("typed", "says"),
    [("abc", "The far end is 'abc'; write a number"), ("0", "The far end is 0; give a positive number of metres.")],
)
def test_a_wrong_number_gets_a_sentence_and_the_scene_stays(in_space, typed, says):
    fill(in_space, "#cut", typed)
    toast = in_space.locator(".toast-body")
    expect(toast).to_contain_text(says)
    assert "Nothing to show" not in toast.inner_text()
    expect(in_space.locator("#scene_note")).to_be_visible()
    expect(in_space.locator("#scene canvas")).to_be_visible()
    expect(in_space.get_by_text("Error", exact=True)).to_have_count(0)


def test_what_is_typed_acts_when_the_field_is_left(in_space, space):
    type_fov(in_space, "80")
    expect(in_space.locator("#scene_note")).to_contain_text("80°, given")
    before = in_space.inner_text("#scene_note")
    fill(in_space, "#jump", "7")  # the slider's end
    expect(in_space.locator("#scene_note")).not_to_have_text(before)
    assert "Traceback" not in (space.folder / "app.log").read_text()


def test_a_picture_that_is_taken_away_takes_its_scene_and_settings_along(in_space, picture):
    type_fov(in_space, "80")
    expect(in_space.locator("#scene_note")).to_contain_text("80°, given")
    remove(in_space)
    expect(in_space.locator("#scene")).to_be_hidden()
    hand_in(in_space, picture)
    expect(in_space.locator("#scene_note")).to_contain_text("60°, guessed")
