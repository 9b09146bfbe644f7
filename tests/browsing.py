"""What a visitor does on the Space's page, for tests that drive Chromium. Screenshots stay in outputs/browser/."""

import re
from pathlib import Path

SHOTS = Path(__file__).resolve().parents[1] / "outputs" / "browser"
DESK, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


def keep(page, name: str) -> Path:
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}.png", full_page=True)
    return SHOTS / f"{name}.png"


def hand_in(page, path) -> None:
    page.set_input_files("#picture input[type=file]", path)
    page.wait_for_selector("#slider img")


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
