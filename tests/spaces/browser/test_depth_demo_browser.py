"""The Space in a real browser: Chromium on the page, as a visitor uses it. Screenshots stay in outputs/browser/."""

import re
from pathlib import Path

import numpy as np
import pytest
from browsing import PHONE, SHOTS, TABLET, choose, click_at, hand_in, keep, metres, remove, settled, until, view
from clip_files import write_clip
from PIL import Image
from playwright.sync_api import expect
from serving import own_values, photo

pytestmark = pytest.mark.browser


def test_the_page_starts_with_a_result_and_offers_photos(visit):
    page = visit({"width": 1280, "height": 800})
    settled(page, "#depth img")
    first = page.inner_text("#found").split(" · ")[0]
    expect(page.locator("#legend .handle")).to_have_count(2)
    expect(page.locator("#place input:checked")).to_have_count(1)
    for part in ("#views", "#stage", "#legend .scale", "#colors", "#download"):  # without scrolling
        box = page.locator(part).bounding_box()
        assert box["y"] + box["height"] <= 800, part
    keep(page, "start")
    page.locator("#examples button").nth(1).click()
    expect(page.locator("#found")).not_to_contain_text(first)
    expect(page.locator("#results")).to_be_visible()


def test_a_photo_becomes_depth_and_the_handle_moves(visit, picture):
    page = visit()
    hand_in(page, picture)
    expect(page.locator("#place")).to_contain_text("Indoors")
    handle = page.get_by_label("Photo to the left, depth to the right")

    def split() -> float:
        found = page.evaluate("getComputedStyle(document.querySelector('#depth')).clipPath")
        return float(re.findall(r"([\d.]+)px", found)[-1])

    image, stage = page.locator("#depth img").bounding_box(), page.locator("#stage").bounding_box()
    wide = min(image["width"], image["height"] * 200 / 150)
    left = (stage["width"] - wide) / 2
    assert split() == pytest.approx(left + wide / 2, abs=2)
    page.mouse.move(stage["x"] + left + wide / 2, stage["y"] + stage["height"] / 2)
    page.mouse.down()
    page.mouse.move(stage["x"] + left + wide / 5, stage["y"] + stage["height"] / 2, steps=5)
    page.mouse.up()
    until(page, lambda: split() == pytest.approx(left + wide / 5, abs=wide / 50))
    before = split()
    handle.press("ArrowRight")
    until(page, lambda: split() == pytest.approx(before + wide / 100, abs=2))
    keep(page, "image")
    page.get_by_role("button", name="Download").click()
    keep(page, "downloads")
    with page.expect_download() as fetched:
        page.click("#file_npy")
    assert fetched.value.suggested_filename == "room_depth.npy"
    assert np.load(fetched.value.path()).shape == (150, 200)
    with page.expect_download() as fetched:
        page.click("#ply")
    assert Path(fetched.value.path()).read_bytes()[:3] == b"ply"


def test_clicks_read_the_models_own_distances(visit, space, picture):
    page = visit()
    hand_in(page, picture)
    page.locator("#place").get_by_label("Outdoors").check()
    own = own_values(space.routed, picture, 1)
    expect(page.locator("#found")).to_contain_text(f"{np.median(own):.2f} m")
    view(page, "Measure")
    until(page, lambda: page.locator("#marked").bounding_box()["height"] > 100)  # the picture has arrived
    place = page.locator("#marked").bounding_box()
    click_at(page, 40, 30, (200, 150))
    # A click lands within a pixel: the display is scaled.
    around = own[29:32, 39:42]
    assert around.min() - 0.005 <= metres(page)[0] <= around.max() + 0.005
    click_at(page, 160, 110, (200, 150))
    assert page.locator("#marked").bounding_box() == place  # it does not move between two clicks
    first, second, between = metres(page)
    around = own[109:112, 159:162]
    assert around.min() - 0.005 <= second <= around.max() + 0.005
    focal = 100 / np.tan(np.radians(30))
    ends = [np.array([(x + 0.5 - 100) / focal, (y + 0.5 - 75) / focal, 1]) * far
            for x, y, far in ((40, 30, first), (160, 110, second))]  # fmt: skip
    assert between == pytest.approx(np.linalg.norm(ends[0] - ends[1]), rel=0.02, abs=0.02)
    expect(page.locator("#told")).to_contain_text("60°, guessed")
    page.get_by_label("Field of view, degrees").fill("90")
    page.get_by_label("Field of view, degrees").press("Enter")
    expect(page.locator("#told")).to_contain_text("90°, given")
    keep(page, "measure")


def test_points_can_be_typed(visit, space, picture):
    page = visit()
    hand_in(page, picture)
    view(page, "Measure")
    page.get_by_label("Points: x, y").fill("40 30; 160 110")
    page.get_by_label("Points: x, y").press("Enter")
    expect(page.locator("#told")).to_contain_text("Point 2")
    expect(page.get_by_label("Points: x, y")).to_have_value("40, 30; 160, 110")
    own = [own_values(space.routed, picture, number)[[30, 110], [40, 160]] for number in (0, 1)]
    assert any(metres(page)[:2] == pytest.approx(values, abs=0.006) for values in own)


def test_another_head_gives_other_metres(visit, space, picture):
    page = visit()
    hand_in(page, picture)
    for head, number in (("Indoors", 0), ("Outdoors", 1)):
        page.locator("#place").get_by_label(head).check()
        median = np.median(own_values(space.routed, picture, number))
        expect(page.locator("#found")).to_contain_text(f"{median:.2f} m")


def test_models_are_compared_as_the_view_opens(visit, picture):
    page = visit()
    hand_in(page, picture)
    view(page, "Compare")
    page.wait_for_selector("#gallery img")
    expect(page.locator("#gallery img")).to_have_count(2)
    keep(page, "compare")


def test_nothing_of_one_model_is_shown_under_another_one_s_name(visit, picture):
    """While the second model computes, which takes a moment, and after it."""
    page = visit()
    hand_in(page, picture)
    view(page, "3D")
    expect(page.locator("#scene_note")).to_contain_text("In metres")
    page.evaluate("""() => {
      window.wrong = [];
      window.faint = false;  // the page has heard of the choice
      const look = () => {
        const model = document.querySelector('#model input').value, found = document.querySelector('#found');
        const shown = found.offsetParent !== null && found.innerText;
        const note = document.querySelector('#scene_note'), scene = note.offsetParent !== null && note.innerText;
        const faint = document.querySelector('#results').classList.contains('old');
        window.faint ||= faint;
        const old = (shown && shown.includes('metres')) || (scene && scene.includes('In metres'));
        if (model.includes('near to far') && window.faint && !faint && old) window.wrong.push(found.innerText + scene);
        requestAnimationFrame(look);
      };
      document.querySelector('#model input').addEventListener('blur', () => look(), {once: true});
    }""")
    page.locator("#model input").click()
    page.get_by_role("option", name="near to far").click()
    expect(page.locator("#found")).to_contain_text("without a unit")
    expect(page.locator("#scene_note")).to_contain_text("no unit")
    assert page.evaluate("[window.faint, window.wrong]") == [True, []]
    expect(page.locator("#place")).to_be_hidden()


def test_the_scene_is_drawn(visit, picture):
    page = visit()
    hand_in(page, picture)
    view(page, "3D")
    page.get_by_role("button", name="Settings of the scene").click()
    page.locator("#jump input[type=number]").fill("1.5")
    page.locator("#jump input[type=number]").press("Tab")
    expect(page.locator("#scene_note")).to_contain_text("triangles")
    canvas = page.locator("#scene canvas")
    canvas.wait_for()
    for _ in range(80):
        canvas.screenshot(path=SHOTS / "canvas.png")
        pixels = np.asarray(Image.open(SHOTS / "canvas.png").convert("RGB")).reshape(-1, 3)
        colours = len(np.unique(pixels // 16, axis=0))
        if colours > 50:
            break
        page.wait_for_timeout(500)
    assert colours > 50  # a blank canvas has one
    keep(page, "scene")


def test_a_clip_goes_there_and_back(visit, tmp_path):
    page = visit()
    page.get_by_role("tab", name="Video").click()
    expect(page.locator("#facts")).to_contain_text("up to 60 seconds")
    page.set_input_files("#clip input[type=file]", write_clip(tmp_path / "clip.mp4"))
    expect(page.locator("#facts")).to_contain_text("12 frames of 64 x 48, with sound")
    page.click("#make")
    page.wait_for_selector("#result video")
    expect(page.locator("#video_told")).to_contain_text("with its sound")
    page.wait_for_function("() => document.querySelector('#result video').videoWidth === 128")
    keep(page, "video")


def test_work_on_a_clip_can_be_cancelled(visit, space, tmp_path):
    page = visit()
    page.get_by_role("tab", name="Video").click()
    page.set_input_files("#clip input[type=file]", write_clip(tmp_path / "clip.mp4", frames=500, size=(640, 480)))
    expect(page.locator("#facts")).to_contain_text("500 frames")
    page.click("#make")
    expect(page.locator("#bar")).to_contain_text("left")
    keep(page, "video_busy")
    page.click("#cancel")
    expect(page.locator("#bar")).to_be_hidden()
    expect(page.get_by_text("The clip's depth appears here")).to_be_visible()
    expect(page.locator("#make")).to_be_enabled()
    page.wait_for_timeout(1500)  # nothing comes after it that begins anew
    expect(page.locator("#make")).to_be_enabled()
    expect(page.locator("#bar")).to_be_hidden()
    # The one who comes next does not wait for what was cancelled.
    other = visit()
    other.get_by_role("tab", name="Video").click()
    other.set_input_files("#clip input[type=file]", write_clip(tmp_path / "short.mp4"))
    expect(other.locator("#facts")).to_contain_text("12 frames")
    other.click("#make")
    other.wait_for_selector("#result video", timeout=20_000)


@pytest.mark.parametrize("kind", ["text", "too large"])
def test_nothing_stays_of_the_picture_before_a_refused_one(visit, picture, tmp_path, kind):
    page = visit()
    hand_in(page, picture)
    bad = tmp_path / "bad.jpg"
    if kind == "text":
        bad.write_text("This is not a picture.")
    else:
        Image.new("L", (9300, 7000)).save(bad)
    view(page, "3D")
    expect(page.locator("#scene_note")).to_contain_text("points")
    choose(page, bad)
    says = "cannot be read as a picture" if kind == "text" else "65.1 megapixels"
    expect(page.locator("#empty")).to_contain_text(says)
    expect(page.locator("#results")).to_be_hidden()
    page.wait_for_timeout(1000)
    assert page.locator(".toast-body").count() == 0  # it is told once, where the result would be
    assert "Traceback" not in page.content()
    keep(page, f"refused_{kind.replace(' ', '_')}")
    remove(page)
    expect(page.locator("#empty")).to_contain_text("Depth appears here")
    hand_in(page, picture)
    expect(page.locator("#empty")).to_be_hidden()
    expect(page.locator("#scene_note")).to_contain_text("points")  # of the view that is still open


def test_depth_lies_over_the_photo_in_its_range_and_writes_no_file(visit, space, picture):
    page = visit()
    hand_in(page, picture)
    view(page, "Measure")
    before = settled(page, "#marked img")
    page.locator("#share input[type=range]").fill("50")
    page.wait_for_function("(old) => document.querySelector('#marked img').src !== old", arg=before)
    before, files = settled(page, "#marked img"), list(space.folder.glob("gradio/results/*"))
    far = page.locator("#legend .field.far")
    far.fill(str(round(float(far.input_value()) * 0.9, 2)))
    far.press("Tab")
    page.wait_for_function("(old) => document.querySelector('#marked img').src !== old", arg=before)
    assert list(space.folder.glob("gradio/results/*")) == files
    keep(page, "measure_in_depth")


def test_a_picture_that_was_kept_too_long_is_asked_for_again(visit, space, tmp_path):
    page = visit()
    hand_in(page, photo(tmp_path / "forgotten.png", seed=9))
    for upload in space.folder.glob("gradio/*/forgotten.png"):
        upload.unlink()
    page.get_by_role("button", name="Download").click()
    page.click("#file_png16")
    expect(page.locator(".toast-body")).to_contain_text("this one is gone; upload it again")


def test_the_far_end_of_the_scene_has_the_models_unit(visit, space):
    page = visit()
    page.locator("#model input").click()
    page.get_by_role("option", name="near to far").click()
    expect(page.locator("#found")).to_contain_text("without a unit")
    view(page, "3D")
    page.get_by_role("button", name="Settings of the scene").click()
    expect(page.get_by_label("Leave out what is farther than, % of near to far")).to_be_visible()


def test_a_tablet_shows_stage_range_and_files_without_scrolling(visit):
    page = visit(TABLET)
    settled(page, "#depth img")
    for part in ("#change", "#views", "#stage", "#legend .scale", "#colors", "#download"):
        box = page.locator(part).bounding_box()
        assert box["y"] + box["height"] <= TABLET["height"], part
        assert 0 <= box["x"] <= box["x"] + box["width"] <= TABLET["width"], part


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [TABLET, PHONE])
def test_tablets_and_phones_need_no_sideways_scrolling(visit, picture, size, scheme):
    page = visit(size, scheme)
    for tab in ("Many photos", "Video", "Photo"):
        view(page, tab)
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    hand_in(page, picture)
    for tab in ("3D", "Measure", "Compare", "Depth"):
        view(page, tab)
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    kept = keep(page, f"narrow_{size['width']}_{scheme}")
    border = np.asarray(Image.open(kept).convert("L"))[:, :3].mean()
    assert border < 60 if scheme == "dark" else border > 200
