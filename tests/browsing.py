"""What a visitor does on the Space's page, for tests that drive Chromium. Screenshots stay in outputs/browser/."""

import re
from pathlib import Path

from playwright.sync_api import expect

SHOTS = Path(__file__).resolve().parents[1] / "outputs" / "browser"
DESK, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
TABLET = {"width": 820, "height": 1180}


def keep(page, name: str) -> Path:
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}.png", full_page=True)
    return SHOTS / f"{name}.png"


def choose(page, path) -> None:
    """Takes a file with the button "Change photo", which is there where there is a photo, else as the first one."""
    part = "#line" if page.locator("#picture img").count() else "#picture"
    page.set_input_files(f"{part} input[type=file]", path)


def hand_in(page, path) -> None:
    """Takes a photo and waits for its depth."""
    choose(page, path)
    expect(page.locator("#found")).to_contain_text(Path(path).name)
    settled(page, "#depth img")


def view(page, name: str) -> None:
    """Opens a view of the stage."""
    page.get_by_role("tab", name=name, exact=True).click()


def remove(page) -> None:
    """Takes the photo away."""
    page.locator("#picture button[aria-label='Remove Image']").click()


def until(page, is_so) -> None:
    """Waits until something is so, at most 10 seconds: a busy browser moves things late."""
    for _ in range(50):
        if is_so():
            return
        page.wait_for_timeout(200)
    assert is_so()


def settled(page, selector: str) -> str:
    """The source of an image, once it has been decoded."""
    page.wait_for_function("(s) => {const i = document.querySelector(s); return i && i.complete && i.naturalWidth}",
                           arg=selector)  # fmt: skip
    return page.get_attribute(selector, "src")


def click_at(page, x: int, y: int, size: tuple[int, int]) -> None:
    """Clicks the middle of a pixel in the picture to measure in, and waits for the marked picture."""
    before = settled(page, "#marked img")
    page.locator("#marked img").scroll_into_view_if_needed()
    box = page.locator("#marked img").bounding_box()
    scale = min(box["width"] / size[0], box["height"] / size[1])
    left, top = box["x"] + (box["width"] - size[0] * scale) / 2, box["y"] + (box["height"] - size[1] * scale) / 2
    page.mouse.click(left + (x + 0.5) * scale, top + (y + 0.5) * scale)
    page.wait_for_function("(old) => document.querySelector('#marked img').src !== old", arg=before)


def metres(page) -> list[float]:
    return [float(number) for number in re.findall(r"([\d.]+) m\b", page.inner_text("#told"))]
