"""The page without a browser: handlers called with one typed object, the wiring to gradio, and the imports."""

import ast
import graphlib
import inspect
from dataclasses import fields, replace

import gradio as gr
import numpy as np
import pytest
from serving import SPACE, photo

ROUTED, STOCK = "somebody/routed", "somebody/stock"


class FakeModels:
    """Two models that need no weights: metres that grow to the right, and inverse depth that falls."""

    def __init__(self) -> None:
        from predictor import ModelCard

        self.cards = {ROUTED: ModelCard(ROUTED, True, ("indoor", "outdoor"), True), STOCK: ModelCard(STOCK, False)}
        self.names = list(self.cards)
        self.skipped: list[str] = []

    def card(self, name):
        return self.cards[name]

    def predict(self, name, images, domain=None):
        from predictor import Prediction

        height, width = np.asarray(images[0]).shape[:2]
        row = np.linspace(1, 5, width, dtype=np.float32) * (10 if domain == "outdoor" else 1)
        values = np.tile(row if name == ROUTED else row[::-1], (height, 1))
        chances = {"indoor": 0.75, "outdoor": 0.25} if name == ROUTED else {}
        return [Prediction(values, name == ROUTED, name, (domain or "indoor") if chances else "", chances)]


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
    from page.image_values import Asked

    path = str(photo(tmp_path / "a.png"))
    return Asked(path, ROUTED, "router", "magma", 0, 100, "", "Photo", [], None)


@pytest.fixture
def events(work):
    from page.image_events import ImageEvents

    return ImageEvents(work)


@pytest.fixture
def page(models):
    import server

    return server.build(models)


def test_a_result_is_named_updates(events, asked):
    updates = events.fresh(asked)
    assert updates["found"].startswith("**1.")
    assert updates["router"]["value"] == {"Indoor": 0.75, "Outdoor": 0.25}
    assert updates["near"]["value"] == pytest.approx(1.04, abs=0.02)
    assert updates["before"].ends == (updates["near"]["value"], updates["far"]["value"])
    assert updates["slider"][0].size == (120, 90)


def test_points_and_range_stay_with_their_picture_alone(events, asked, tmp_path):
    before = events.fresh(asked)["before"]
    later = replace(asked, before=before, near=2.0, far=3.0, points=[(3, 4)], fov="90")
    kept = events.fresh(later)
    assert (kept["near"]["value"], kept["far"]["value"]) == (2.0, 3.0)
    assert kept["points"] == [(3, 4)]
    assert "90°, given" in kept["told"]
    other = events.fresh(replace(later, picture=str(photo(tmp_path / "b.png", seed=1))))
    assert other["points"] == []
    assert other["fov"]["value"] == ""
    assert other["near"]["value"] == before.ends[0]


def test_without_a_picture_or_with_a_bad_one_nothing_is_shown(events, asked, tmp_path):
    assert events.fresh(replace(asked, picture=None))["results"] == gr.update(visible=False)
    (tmp_path / "text.png").write_text("no picture")
    updates = events.fresh(replace(asked, picture=str(tmp_path / "text.png")))
    assert "cannot be read" in updates["empty"]["value"]
    assert updates["before"] is None


def test_a_third_point_starts_again(events, asked):
    for click, count in (((5, 5), 1), ((50, 50), 2), ((7, 7), 1)):
        updates = events.click(asked, click)
        assert len(updates["points"]) == count
        asked = replace(asked, points=updates["points"])


def test_only_an_end_that_was_moved_is_updated(events, asked):
    inside = events.again("far", replace(asked, near=2.0, far=3.0))
    assert "near" not in inside
    assert "far" not in inside
    pushed = events.again("far", replace(asked, near=2.0, far=1.5))
    assert pushed["near"] == pytest.approx(1.49)
    assert "far" not in pushed


def test_a_scene_is_built_once_and_stays_where_a_setting_is_refused(work, asked, monkeypatch):
    from page.scene_tab import MESH, SceneAsked, SceneEvents

    told = []
    monkeypatch.setattr(gr, "Warning", lambda message, **more: told.append(message))
    events = SceneEvents(work)
    scene = SceneAsked(asked.picture, ROUTED, "router", MESH, "60", "", 1.5, None, True, None, None)
    updates = events.opened(scene)
    assert "triangles" in updates["note"]
    shown = replace(scene, built=updates["built"], glb=updates["glb"], ply=updates["ply"])
    assert events.opened(shown) == {}
    assert events.opened(replace(shown, cut="abc")) == {}
    assert "abc" in told[0]
    assert events.opened(replace(shown, model=STOCK, cut="abc"))["built"] is None
    assert events.unit(replace(shown, model=STOCK))["metric"] is False


def test_a_comparison_follows_what_is_chosen(work, asked):
    from page.compare_view import CompareAsked, CompareEvents

    events = CompareEvents(work)
    compared = CompareAsked(asked.picture, [ROUTED, STOCK], "outdoor", "magma", False)
    assert events.follow(compared) == {}
    drawn = events.draw(compared)
    assert [caption.split(" · ")[0] for _, caption in drawn["gallery"]["value"]] == [ROUTED, STOCK]
    assert events.follow(replace(compared, compared=[], drawn=True))["drawn"] is True


def test_a_clip_that_is_refused_resets_the_tab(work):
    from page.video_tab import VideoAsked, VideoEvents
    from refusal import Refusal

    steps = VideoEvents(work).make(VideoAsked(None, ROUTED, "router", "magma", True))
    assert next(steps)["make"] == gr.update(interactive=True)
    with pytest.raises(Refusal, match="Upload a clip"):
        next(steps)


def test_what_the_browser_sends_becomes_one_typed_object(space_on_path, work, page):
    from page.image_values import Asked
    from page.wiring import Wiring
    from refusal import Refusal

    measure = next(fn for fn in page.fns.values() if fn.fn and "measure" in str(inspect.getclosurevars(fn.fn)))
    parts = dict(zip(fields(Asked), measure.inputs, strict=False))
    assert measure.inputs_as_dict
    assert not measure.preprocess
    assert len(parts) == len(measure.inputs)
    wiring = inspect.getclosurevars(measure.fn).nonlocals["self"]
    assert isinstance(wiring, Wiring)
    tab = wiring.parts
    sent = dict.fromkeys(measure.inputs) | {
        tab.picture: {"path": "/tmp/a.png"}, tab.model: STOCK, tab.color_map: "magma", tab.near: 3, tab.points: [],
    }  # fmt: skip
    asked = wiring.read(sent)
    assert (asked.picture, asked.model, asked.near, asked.far, asked.fov) == ("/tmp/a.png", STOCK, 3.0, None, "")
    for part, wrong in ((tab.model, "nobody/nothing"), (tab.color_map, 3), (tab.near, "abc"), (tab.fov, ["60"])):
        with pytest.raises(Refusal, match=part.label.split(",")[0]):
            wiring.read(sent | {part: wrong})


def test_clips_of_the_page_and_of_the_api_wait_in_one_queue(page):
    of_clips = [fn for fn in page.fns.values() if fn.concurrency_id == "clip"]
    assert len(of_clips) == 2
    assert {fn.concurrency_limit for fn in of_clips} == {1}


def test_nothing_in_the_space_imports_in_a_circle():
    names = {path.relative_to(SPACE).with_suffix("").as_posix().replace("/", "."): path for path in SPACE.rglob("*.py")}
    graph = {}
    for name, path in names.items():
        imported = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                imported |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
            elif isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
        graph[name] = imported & set(names)
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_nothing_of_gradio_is_replaced():
    """Parts and pages are subclassed or given options; their methods are not assigned to."""
    for path in SPACE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id != "setattr", path
            for target in node.targets if isinstance(node, ast.Assign) else ():
                if isinstance(target, ast.Attribute) and not target.attr.startswith("__"):
                    owners = (gr.Blocks, gr.components.Component, gr.events.Dependency)
                    assert not any(callable(getattr(owner, target.attr, None)) for owner in owners), ast.unparse(node)
