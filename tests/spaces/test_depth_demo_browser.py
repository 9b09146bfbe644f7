"""The Space in a real browser: Chromium on the page, as a visitor uses it. Screenshots stay in outputs/browser/."""

from pathlib import Path

import numpy as np
import pytest
from browsing import PHONE, SHOTS, click_at, hand_in, keep, metres, settled
from clip_files import write_clip
from PIL import Image
from playwright.sync_api import expect
from serving import own_values, photo

pytestmark = pytest.mark.browser


def test_a_photo_becomes_depth_and_the_slider_moves(visit, picture):
    page = visit()
    expect(page.get_by_text("Depth appears here")).to_be_visible()
    expect(page.get_by_label("Let the router choose").first).to_be_visible()
    keep(page, "start")
    hand_in(page, picture)
    expect(page.get_by_text("Depth appears here")).to_be_hidden()
    expect(page.locator("#router")).to_contain_text("Indoor")
    expect(page.locator("#legend")).to_contain_text("m")
    knob = page.locator("#slider .inner, #slider .handle").first
    box = page.locator("#slider img").first.bounding_box()
    before = knob.bounding_box()
    page.mouse.move(before["x"] + before["width"] / 2, before["y"] + before["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.2, before["y"] + before["height"] / 2, steps=5)
    page.mouse.up()
    assert knob.bounding_box()["x"] < before["x"] - 20
    keep(page, "image")
    page.wait_for_selector("#file_npy:not([disabled])")
    with page.expect_download() as fetched:
        page.click("#file_npy")
    assert fetched.value.suggested_filename == "room_depth.npy"
    assert np.load(fetched.value.path()).shape == (150, 200)


def test_clicks_read_the_models_own_distances(visit, space, picture):
    page = visit()
    hand_in(page, picture)
    page.get_by_label("Outdoor", exact=True).first.check()
    own = own_values(space.routed, picture, 1)
    median = np.median(own)
    expect(page.locator("#found")).to_contain_text(f"{median:.2f} m")
    page.get_by_role("tab", name="Measure").click()
    click_at(page, 40, 30, (200, 150))
    # A click lands within a pixel: the display is scaled.
    around = own[29:32, 39:42]
    assert around.min() - 0.005 <= metres(page)[0] <= around.max() + 0.005
    click_at(page, 160, 110, (200, 150))
    first, second, between = metres(page)
    around = own[109:112, 159:162]
    assert around.min() - 0.005 <= second <= around.max() + 0.005
    focal = 100 / np.tan(np.radians(30))
    ends = [np.array([(x + 0.5 - 100) / focal, (y + 0.5 - 75) / focal, 1]) * far
            for x, y, far in ((40, 30, first), (160, 110, second))]  # fmt: skip
    assert between == pytest.approx(np.linalg.norm(ends[0] - ends[1]), rel=0.02, abs=0.02)
    expect(page.locator("#told")).to_contain_text("60°, guessed")
    page.get_by_label("Field of view, degrees").first.fill("90")
    page.get_by_label("Field of view, degrees").first.press("Enter")
    expect(page.locator("#told")).to_contain_text("90°, given")
    keep(page, "measure")


def test_another_head_gives_other_metres(visit, space, picture):
    page = visit()
    hand_in(page, picture)
    for head, number in (("Indoor", 0), ("Outdoor", 1)):
        page.get_by_label(head, exact=True).first.check()
        median = np.median(own_values(space.routed, picture, number))
        expect(page.locator("#found")).to_contain_text(f"{median:.2f} m")


def test_models_are_compared(visit, picture):
    page = visit()
    hand_in(page, picture)
    page.get_by_role("tab", name="Compare").click()
    page.click("#compare")
    page.wait_for_selector("#gallery img")
    expect(page.locator("#gallery img")).to_have_count(2)
    keep(page, "compare")


def test_the_scene_is_drawn(visit, picture):
    page = visit()
    page.get_by_role("tab", name="3D").click()
    page.click("#build")
    expect(page.get_by_text("Choose a picture in the Image tab first.")).to_be_visible()
    page.get_by_role("tab", name="Image").click()
    hand_in(page, picture)
    page.get_by_role("tab", name="3D").click()
    page.locator("#jump input[type=number]").fill("1.5")
    page.locator("#jump input[type=number]").press("Tab")
    page.click("#build")
    expect(page.locator("#scene_note")).to_contain_text("triangles")
    canvas = page.locator("#scene canvas")
    canvas.wait_for()
    for _ in range(40):
        canvas.screenshot(path=SHOTS / "canvas.png")
        pixels = np.asarray(Image.open(SHOTS / "canvas.png").convert("RGB")).reshape(-1, 3)
        colours = len(np.unique(pixels // 16, axis=0))
        if colours > 50:
            break
        page.wait_for_timeout(500)
    assert colours > 50  # a blank canvas has one
    keep(page, "scene")
    with page.expect_download() as fetched:
        page.click("#ply")
    assert Path(fetched.value.path()).read_bytes()[:3] == b"ply"


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


def test_a_text_file_and_an_empty_submit_get_a_sentence(visit, tmp_path):
    page = visit()
    page.click("#run")
    expect(page.get_by_text("Upload a picture, take one, or click an example first.")).to_be_visible()
    text = tmp_path / "text.jpg"
    text.write_text("This is not a picture.")
    page.set_input_files("#picture input[type=file]", text)
    expect(page.locator("#empty")).to_contain_text("This file cannot be read as a picture")
    assert "Traceback" not in page.content()


@pytest.mark.parametrize("kind", ["text", "too large"])
def test_nothing_stays_of_the_picture_before_a_refused_one(visit, picture, tmp_path, kind):
    page = visit()
    hand_in(page, picture)
    bad = tmp_path / "bad.jpg"
    if kind == "text":
        bad.write_text("This is not a picture.")
    else:
        Image.new("L", (9300, 7000)).save(bad)
    page.get_by_role("tab", name="3D").click()
    expect(page.locator("#scene_note")).to_contain_text("points")
    page.get_by_role("tab", name="Image", exact=True).click()
    page.locator("#picture button[aria-label='Remove Image']").click()
    expect(page.locator("#empty")).to_contain_text("Depth appears here")
    page.set_input_files("#picture input[type=file]", bad)
    says = "cannot be read as a picture" if kind == "text" else "65.1 megapixels"
    expect(page.locator("#empty")).to_contain_text(says)
    expect(page.locator("#results")).to_be_hidden()
    page.wait_for_timeout(1000)
    assert page.locator(".toast-body").count() == 0  # it is told once, where the result would be
    keep(page, f"refused_{kind.replace(' ', '_')}")
    page.get_by_role("tab", name="3D").click()
    expect(page.locator("#scene_empty")).to_contain_text(says)
    expect(page.locator("#scene_note")).to_be_hidden()
    page.get_by_role("tab", name="Image", exact=True).click()
    page.locator("#picture button[aria-label='Remove Image']").click()
    hand_in(page, picture)
    expect(page.locator("#empty")).to_be_hidden()


def test_the_range_holds_for_the_depth_that_is_clicked_in_and_writes_no_file(visit, space, picture):
    page = visit()
    hand_in(page, picture)
    page.get_by_role("tab", name="Measure").click()
    before = settled(page, "#marked img")
    page.locator("#under").get_by_label("Depth").check()
    page.wait_for_function("(old) => document.querySelector('#marked img').src !== old", arg=before)
    before, files = settled(page, "#marked img"), list(space.folder.glob("gradio/depth-demo-*/*"))
    far = page.locator("#far input[type=number]")
    far.fill(str(float(far.input_value()) * 0.9))
    far.press("Tab")
    page.wait_for_function("(old) => document.querySelector('#marked img').src !== old", arg=before)
    assert list(space.folder.glob("gradio/depth-demo-*/*")) == files


def test_a_picture_that_was_kept_too_long_is_asked_for_again(visit, space, tmp_path):
    page = visit()
    hand_in(page, photo(tmp_path / "forgotten.png", seed=9))
    for upload in space.folder.glob("gradio/*/forgotten.png"):
        upload.unlink()
    page.click("#file_png16")
    expect(page.locator(".toast-body")).to_contain_text("this one is gone; upload it again")


def test_the_far_end_of_the_scene_has_the_models_unit(visit, space):
    page = visit()
    page.locator("#model input").click()
    page.get_by_role("option", name="near to far").click()
    page.get_by_role("tab", name="3D").click()
    expect(page.get_by_label("Leave out what is farther than, % of near to far")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_needs_no_sideways_scrolling(visit, picture, scheme):
    page = visit(PHONE, scheme)
    for tab in ("Image", "3D", "Video"):
        page.get_by_role("tab", name=tab).click()
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.get_by_role("tab", name="Image").click()
    hand_in(page, picture)
    for tab in ("Measure", "Compare", "Look"):
        page.get_by_role("tab", name=tab).click()
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    kept = keep(page, f"phone_{scheme}")
    border = np.asarray(Image.open(kept).convert("L"))[:, :3].mean()
    assert border < 60 if scheme == "dark" else border > 200
