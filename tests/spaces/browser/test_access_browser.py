"""The page for everybody: axe finds nothing, and everything can be reached and used with the keyboard alone."""

from importlib.resources import files

import pytest
from browsing import DESK, PHONE, TABLET, keep, settled, until, view
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


SCREENS = [(size, scheme) for size in (DESK, TABLET, PHONE) for scheme in ("light", "dark")]
EACH_ONCE = [(DESK, "light"), (TABLET, "dark"), (PHONE, "light")]  # widths and themes


@pytest.mark.parametrize(
    ("size", "scheme"), [pytest.param(*each, marks=[pytest.mark.slow] * (each not in EACH_ONCE)) for each in SCREENS]
)
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


def tab_to(page, wanted: str, most: int = 40) -> None:
    """Presses Tab until what has the focus is, or lies in, the part with this id."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if wanted in page.evaluate(HOLDERS):
            return
    raise AssertionError(f"#{wanted} is not reached with the Tab key")


def to_view(page, name: str, key: str = "ArrowRight") -> None:
    """Goes to the next view by an arrow key; the row of views has the focus."""
    page.keyboard.press(key)
    expect(page.get_by_role("tab", name=name, exact=True)).to_have_attribute("aria-selected", "true")


def test_the_views_of_a_photo_are_used_by_keyboard(visit):
    page = visit()
    settled(page, "#depth img")
    tab_to(page, "views")
    to_view(page, "Measure")
    for part in ("places", "fov", "share"):
        tab_to(page, part)
    page.keyboard.press("ArrowUp")  # in the number's field, which comes before the slider
    expect(page.locator("#share input[type=range]")).to_have_value("5")
    tab_to(page, "forget")
    page.keyboard.press("Enter")
    expect(page.locator("#marks .mark")).to_have_count(0)
    page.get_by_role("tab", name="Measure").focus()
    to_view(page, "3D")
    expect(page.locator("#scene_note")).to_contain_text("triangles")
    page.wait_for_selector("#scene canvas[aria-label]")
    tab_to(page, "scene")
    seen = page.locator("#scene canvas").screenshot()
    for _ in range(6):
        page.keyboard.press("ArrowLeft", delay=50)
    until(page, lambda: page.locator("#scene canvas").screenshot() != seen)  # it turns
    tab_to(page, "front")
    page.keyboard.press("Enter")
    tab_to(page, "scene_settings")
    page.keyboard.press("Enter")
    tab_to(page, "shape")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#scene_note")).to_contain_text("points")
    for part in ("cut", "jump", "point_size"):
        tab_to(page, part)
    page.get_by_role("tab", name="3D").focus()
    to_view(page, "Compare")
    expect(page.locator("#gallery .caption-label")).to_have_count(2)
    tab_to(page, "compared")
    page.keyboard.press("Space")
    expect(page.locator("#gallery .caption-label")).to_have_count(3)
    tab_to(page, "also")
    tab_to(page, "gallery")
    page.keyboard.press("Enter")
    expect(page.locator("#gallery .preview")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(page.locator("#gallery .preview")).to_have_count(0)


def test_many_photos_and_a_clip_are_handed_in_by_keyboard(visit, picture):
    page = visit()
    settled(page, "#depth img")
    tab_to(page, "tabs")
    to_view(page, "Many photos")
    tab_to(page, "many_photos")
    choosers = []
    page.on("filechooser", lambda chooser: choosers.append(chooser))  # Playwright cannot mark a built-in
    until(page, lambda: page.keyboard.press("Enter") or choosers)  # what was just drawn hears it a moment later
    choosers[0].set_files(picture)
    for part in ("many_folder", "many_model", "many_domain", "many_kinds", "many_colors", "many_make"):
        tab_to(page, part)
    page.keyboard.press("Enter")
    expect(page.locator("#many_told")).to_contain_text("Depth of 1 photo")
    tab_to(page, "many_result")
    page.get_by_role("tab", name="Many photos").focus()
    to_view(page, "Video")
    tab_to(page, "example_clip")
    page.keyboard.press("Enter")
    expect(page.locator("#facts")).to_contain_text("frames of")
    tab_to(page, "beside")
    page.keyboard.press("Space")
    tab_to(page, "make")
    page.keyboard.press("Enter")
    expect(page.locator("#bar")).to_contain_text("left")
    tab_to(page, "cancel")
    page.keyboard.press("Enter")
    expect(page.locator("#make")).to_be_enabled()
