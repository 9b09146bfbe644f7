"""The tab for clips in a real browser: who waits is told, and what is gone is not shown any more."""

import base64

import numpy as np
import pytest
from browsing import keep
from clip_files import make_video, write_clip
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

RECORD = """async () => {
  const canvas = Object.assign(document.createElement('canvas'), {width: 320, height: 240});
  const pen = canvas.getContext('2d');
  const recorder = new MediaRecorder(canvas.captureStream(20), {mimeType: 'video/webm'});
  const parts = [];
  recorder.ondataavailable = (event) => parts.push(event.data);
  const stopped = new Promise((resolve) => { recorder.onstop = resolve; });
  recorder.start();
  for (let step = 0; step < 40; step++) {
    pen.fillStyle = `hsl(${9 * step} 80% 50%)`;
    pen.fillRect(0, 0, 320, 240);
    pen.fillStyle = 'white';
    pen.fillRect(7 * step, 60, 40, 120);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  recorder.stop();
  await stopped;
  const bytes = new Uint8Array(await new Blob(parts).arrayBuffer());
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''));
}"""


@pytest.fixture
def at_clips(visit):
    """Opens the tab with a clip in it."""

    def opened(clip, **look):
        page = visit(**look)
        page.get_by_role("tab", name="Video").click()
        page.set_input_files("#clip input[type=file]", clip)
        expect(page.locator("#facts")).to_contain_text("frames of")
        return page

    return opened


@pytest.fixture
def long_clip(tmp_path):
    rough = np.random.default_rng(0).integers(0, 256, (6, 8, 3))
    frame = np.kron(rough, np.ones((60, 60, 1))).astype(np.uint8)
    return make_video(tmp_path / "long.mp4", frames=[frame] * 1700, times=np.arange(1700) / 30)


def test_those_who_wait_are_told_and_can_leave(at_clips, long_clip, tmp_path):
    """Gradio's queue counts those who wait, the first of them as 1."""
    first, second = at_clips(long_clip), at_clips(write_clip(tmp_path / "short.mp4"))
    phone = at_clips(tmp_path / "short.mp4", viewport={"width": 390, "height": 844})
    first.click("#make")
    expect(first.locator("#bar")).to_contain_text("Frame")
    keep(first, "clip_busy")
    second.click("#make")
    expect(second.locator("#bar")).to_contain_text("Waiting in the queue")
    expect(second.locator("#bar")).to_contain_text("queue: 1/1")
    place, around = (second.locator(f"#bar {part}").bounding_box() for part in (".progress-text", ".wrap"))
    assert around["y"] <= place["y"]  # or it would be cut off
    assert place["y"] + place["height"] <= around["y"] + around["height"]
    keep(second, "clip_waiting")
    phone.click("#make")
    expect(phone.locator("#bar")).to_contain_text("queue: 2/2")
    keep(phone, "clip_waiting_phone")
    second.click("#cancel")
    expect(second.locator("#bar")).to_be_hidden()
    expect(phone.locator("#bar")).to_contain_text("queue: 1/1")
    expect(second.locator("#make")).to_be_enabled()
    second.click("#make")
    expect(second.locator("#bar")).to_contain_text("queue: 2/2")
    second.wait_for_timeout(2000)  # what comes a moment after cancelling takes nothing of the new request away
    expect(second.locator("#bar")).to_contain_text("queue: 2/2")
    phone.close()  # and leaves its place
    expect(second.locator("#bar")).to_contain_text("queue: 1/1")
    first.click("#cancel")
    second.wait_for_selector("#result video")


def test_a_bad_upload_takes_the_last_result_away_and_says_why(at_clips, tmp_path):
    page = at_clips(write_clip(tmp_path / "short.mp4"))
    page.click("#make")
    page.wait_for_selector("#result video")
    label = page.locator("#video_model input").input_value()
    page.locator("#video_model input").click()
    page.get_by_role("option").nth(1).click()
    expect(page.locator("#video_told")).to_contain_text(f"{label}: ")  # still the one that made it
    page.click("#clip button[aria-label='Clear']")
    expect(page.locator("#make")).to_be_enabled()
    expect(page.locator("#result")).to_be_hidden()
    expect(page.locator("#facts")).to_contain_text("up to 60 seconds")
    (tmp_path / "bad.mp4").write_text("no clip")
    page.set_input_files("#clip input[type=file]", tmp_path / "bad.mp4")
    expect(page.locator("#facts")).to_contain_text("Not taken. This file cannot be read as a video")
    expect(page.locator("#result")).to_be_hidden()
    expect(page.locator("#make")).to_be_disabled()
    expect(page.get_by_text("The clip's depth appears here")).to_be_visible()
    page.wait_for_timeout(500)
    assert page.locator(".toast-body").count() <= 1  # gradio's own, that the browser cannot play it
    keep(page, "clip_refused")


def test_what_a_browser_records_comes_back_whole(at_clips, visit, tmp_path):
    recorded = tmp_path / "recorded.webm"
    recorded.write_bytes(base64.b64decode(visit().evaluate(RECORD)))
    page = at_clips(recorded)
    frames = int(page.inner_text("#facts").split(" frames")[0].split()[-1])
    assert frames > 10
    page.click("#make")
    page.wait_for_selector("#result video")
    expect(page.locator("#video_told")).to_contain_text(f"{frames} frames in")
    page.wait_for_function("() => document.querySelector('#result video').videoWidth === 640")
    length = page.evaluate("document.querySelector('#result video').duration")
    assert 1.5 < length < 4  # 40 pictures, 50 ms apart
    keep(page, "clip_recorded")


def test_the_example_clip_is_taken_and_becomes_depth(visit):
    page = visit()
    page.get_by_role("tab", name="Video").click()
    page.click("#example_clip")
    expect(page.locator("#facts")).to_contain_text("30 frames of 448 x 336, without sound")
    page.click("#make")
    page.wait_for_selector("#result video")
    expect(page.locator("#video_told")).to_contain_text("30 frames in")
    keep(page, "clip_example")
