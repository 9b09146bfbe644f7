"""The page for everybody: axe finds nothing, and everything can be reached and used with the keyboard alone."""

from importlib.resources import files

import pytest
from browsing import DESK, PHONE, TABLET, keep, settled, view
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

# https://github.com/dequelabs/axe-core: names, contrast of 4.5 to 1, targets of 24 pixels, and more.
AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
RULES = ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"]

# The ids of all that holds what has the focus, itself included.
HOLDERS = """() => {
  const ids = [];
  for (let part = document.activeElement; part; part = part.parentElement) if (part.id) ids.push(part.id);
  return ids;
}"""


def findings(page) -> list[str]:
    found = page.evaluate("(rules) => axe.run(document, {runOnly: rules})", RULES)["violations"]
    return [f"{each['id']}: {node['html'][:200]} {node['failureSummary']}" for each in found for node in each["nodes"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, TABLET, PHONE])
def test_axe_finds_nothing(visit, size, scheme):
    page = visit(size, scheme)
    settled(page, "#depth img")
    page.evaluate(AXE)
    page.get_by_role("button", name="Download").click()
    assert findings(page) == []
    view(page, "3D")
    expect(page.locator("#scene_note")).to_contain_text("triangles")
    page.get_by_role("button", name="Settings of the scene").click()
    page.wait_for_selector("#scene canvas[aria-label]")
    assert findings(page) == []
    view(page, "Compare")
    page.wait_for_selector("#gallery img")
    assert findings(page) == []
    for title in ("Model card", "Sources and licences of the photos"):
        page.get_by_role("button", name=title).click()
    for name in ("Measure", "Many photos", "Video"):
        view(page, name)
        if name == "Measure":
            page.get_by_label("Points: x, y").fill("20 20; 60 60")
            page.get_by_label("Points: x, y").press("Enter")
            expect(page.locator("#marks .mark")).to_have_count(2)
        page.wait_for_timeout(300)
        assert findings(page) == []
        keep(page, f"access_{name.split()[0]}_{size['width']}_{scheme}")


def test_everything_is_reached_and_used_by_keyboard(visit):
    page = visit()
    settled(page, "#depth img")
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached |= set(page.evaluate(HOLDERS))
        if "examples" in reached:
            break
    assert reached >= {"model", "place", "change", "views", "split", "legend", "colors", "download", "examples"}
    first = page.inner_text("#found").split(" · ")[0]
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # the strip's second photo
    expect(page.locator("#found")).not_to_contain_text(first)
    page.locator("#views").get_by_role("tab", name="Depth").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Measure")).to_have_attribute("aria-selected", "true")
    places = page.get_by_label("Points: x, y")
    places.focus()
    page.keyboard.type("20 20")
    page.keyboard.press("Enter")
    expect(page.locator("#told")).to_contain_text("Point 1")
    view(page, "Video")
    page.get_by_role("tab", name="Video").focus()
    reached = set()
    for _ in range(30):
        page.keyboard.press("Tab")
        reached |= set(page.evaluate(HOLDERS))
        if "make" in reached:
            break
    assert reached >= {"clip", "example_clip", "video_model", "video_colors", "beside", "make"}
