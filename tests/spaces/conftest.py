"""One running Space, and one browser, for all tests of this folder."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from browsing import DESK
from gradio_client import Client
from playwright.sync_api import expect, sync_playwright
from serving import SPACE, Served, photo, save_models, serve

CARD = """---
license: mit
---

# A tiny model

```python
import semidepth

depth = semidepth.predict("photo.jpg", "a/model")  # (H, W) float32, in a line that is wider than any phone is, or box
```
"""
FLAGS = ["--no-sandbox", "--use-gl=swiftshader", "--enable-unsafe-swiftshader"]  # WebGL without a graphics card
WAIT_MS = 60_000
SOON_MS = 30_000  # until what is expected is seen; other programs may take most of the processor


@pytest.fixture(scope="session")
def space(tmp_path_factory):
    folder = tmp_path_factory.mktemp("space")
    routed, stock = save_models(folder)
    (Path(routed) / "README.md").write_text(CARD)
    with serve(folder, "--model", routed, stock) as url:
        yield Served(url, routed, stock, folder)


@pytest.fixture(scope="session")
def client(space):
    """Its API."""
    client = Client(space.url, verbose=False)
    yield client
    client.close()


@pytest.fixture
def space_on_path(monkeypatch):
    """Makes the Space's files importable, as they import one another."""
    monkeypatch.syspath_prepend(str(SPACE))


ROUTED, STOCK = "somebody/routed", "somebody/stock"


class FakeModels:
    """Two models that need no weights: metres that grow to the right, and inverse depth that falls."""

    def __init__(self) -> None:
        from predictor import ModelCard

        self.cards = {
            ROUTED: ModelCard(ROUTED, True, ("indoor", "outdoor"), True, place=ROUTED),
            STOCK: ModelCard(STOCK, False, place=STOCK),
        }
        self.names = list(self.cards)
        self.skipped: list[str] = []

    def card(self, name):
        return self.cards[name]

    def predict(self, name, images, domain=None):
        from predictor import ImageDepth

        height, width = np.asarray(images[0]).shape[:2]
        row = np.linspace(1, 5, width, dtype=np.float32) * (10 if domain == "outdoor" else 1)
        values = np.tile(row if name == ROUTED else row[::-1], (height, 1))
        chances = {"indoor": 0.75, "outdoor": 0.25} if name == ROUTED else {}
        return [ImageDepth(values, name == ROUTED, name, (domain or "indoor") if chances else "", chances)]


@pytest.fixture
def models(space_on_path):
    return FakeModels()


@pytest.fixture
def work(models):
    from work import DepthWork

    return DepthWork(models)


@pytest.fixture
def asked(work, tmp_path):
    """The values of the image tab as a picture has just been handed in."""
    from page.photo.image_values import Asked

    path = str(photo(tmp_path / "a.png"))
    return Asked(path, ROUTED, "router", "", "magma", (None, None), "", 0, "", [], None, 0)


@pytest.fixture
def events(work):
    from page.photo.image_events import ImageEvents

    return ImageEvents(work)


@pytest.fixture
def measuring(work):
    from page.photo.measure_view import MeasureEvents

    return MeasureEvents(work)


@pytest.fixture
def page(models):
    import server
    from work import DepthWork

    return server.build(DepthWork(models))


@pytest.fixture(scope="module")
def new_page():
    """Opens a page in Chromium, which is started anew where it has crashed, or was killed since a test hung."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.fail("Chromium is missing, which these tests drive: apt-get install -y chromium", pytrace=False)
    with sync_playwright() as playwright:
        expect.set_options(timeout=SOON_MS)
        running = []

        def opened(**options):
            if not running or not running[-1].is_connected():
                running.append(playwright.chromium.launch(executable_path=chromium, args=FLAGS))
            return running[-1].new_page(**options)

        yield opened
        for each in running:
            each.close()


def is_the_viewers(fault):
    """Returns whether Babylon.js, gradio's viewer, threw this because a scene was taken away while it was set up.

    Its `ExpandRGBDTexture` fetches a shader and then asks the texture for its scene, which may be disposed by then; and
    gradio's `Canvas3D` fetches the viewer and then listens to its canvas, which may be gone by then. The page could
    only avoid that by leaving the old scene in the viewer, which would show it until the next is loaded.
    """
    known = {"postProcessManager": "rgbdTextureTools", "addEventListener": "/Canvas3D-"}
    return any(
        str(fault) == f"Cannot read properties of null (reading '{asked}')" and place in fault.stack
        for asked, place in known.items()
    )


@pytest.fixture
def visit(new_page, space):
    """Opens the page; what goes wrong in its own code fails the test."""
    pages, faults = [], []

    def opened(viewport=DESK, scheme="light"):
        page = new_page(viewport=viewport, color_scheme=scheme)
        page.set_default_timeout(WAIT_MS)
        page.on("pageerror", lambda error: faults.append(error))
        page.goto(space.url)
        page.wait_for_selector("#depth img")  # the page starts with a result
        pages.append(page)
        return page

    yield opened
    # Requests that the closing itself cuts off are no faults.
    before_closing = [f"{fault}\n{fault.stack}" for fault in faults if not is_the_viewers(fault)]
    for page in pages:
        page.close()
    assert not before_closing


@pytest.fixture(scope="session")
def picture(space):
    """The path of a picture to hand in."""
    return photo(space.folder / "room.png", seed=5, size=(200, 150))
