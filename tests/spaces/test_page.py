"""The page without a browser: handlers called with one typed object, the wiring to gradio, and the imports."""

import ast
import graphlib
import inspect
from dataclasses import fields, replace
from pathlib import Path

import av
import gradio as gr
import numpy as np
import pytest
import trimesh
from PIL import Image
from serving import SPACE, photo

ROUTED, STOCK = "somebody/routed", "somebody/stock"


def test_a_result_is_named_updates(events, asked):
    updates = events.fresh(asked)
    assert updates["found"].startswith(r"**a.png** · somebody/routed · metres · **1.")
    assert updates["place"]["choices"] == [("Indoors · 75%", "indoor"), ("Outdoors · 25%", "outdoor")]
    assert (updates["place"]["value"], updates["place"]["label"]) == ("indoor", "Taken")
    assert updates["legend"]["near"] == pytest.approx(1.04, abs=0.02)
    assert updates["before"].ends == (updates["legend"]["near"], updates["legend"]["far"])
    assert updates["photo"].size == updates["depth"].size == (120, 90)


def test_a_close_call_is_shown_as_one(events, asked, models, monkeypatch):
    chances = {"indoor": 0.55, "outdoor": 0.45}
    predict = models.predict
    monkeypatch.setattr(models, "predict", lambda *given: [replace(each, domains=chances) for each in predict(*given)])
    assert events.fresh(asked)["place"]["label"] == "Taken: a close call"
    assert events.fresh(replace(asked, domain="outdoor"))["place"]["label"] == "Taken, as you say"


def test_another_choice_takes_the_result_away_first(events, asked):
    from page.wiring import Latest

    begun = events.begin("model", replace(asked, place="indoor", latest=Latest(4, asked.picture)))
    assert begun["results"]["visible"] == "hidden"
    assert "somebody/routed looks at" in begun["empty"]["value"]
    assert (begun["domain"], begun["order"]) == ("router", 5)
    assert events.begin("place", replace(asked, place="outdoor"))["domain"] == "outdoor"
    assert "order" not in events.begin("picture", replace(asked, picture=None))
    shown = replace(asked, before=events.fresh(asked)["before"])
    assert events.begin("picture", shown) == {}  # as the page opens
    assert events.begin("model", shown) == {}
    assert "order" in events.begin("model", replace(shown, model=STOCK))
    assert "order" in events.begin("model", replace(shown, order=1))  # another one is under way


def test_points_and_range_stay_with_their_picture_alone(events, asked, tmp_path):
    before = events.fresh(asked)["before"]
    later = replace(asked, before=before, legend=(2.0, 3.0), points=[(3, 4)], fov="90")
    kept = events.fresh(later)
    assert (kept["legend"]["near"], kept["legend"]["far"]) == (2.0, 3.0)
    assert kept["points"] == [(3, 4)]
    assert "90°, given" in kept["told"]
    other = events.fresh(replace(later, picture=str(photo(tmp_path / "b.png", seed=1))))
    assert other["points"] == []
    assert other["fov"]["value"] == ""
    assert other["legend"]["near"] == before.ends[0]


def test_points_that_are_typed_are_measured(measuring, asked):
    found = measuring.typed(replace(asked, places="10, 20; 30, 40"))
    assert found["points"] == [(10, 20), (30, 40)]
    assert "Point 2" in found["told"]
    assert measuring.typed(replace(asked, places="10, 20", points=[(10, 20)])) == {}
    assert "write x and y" in measuring.typed(replace(asked, places="here"))["told"]
    assert "lies outside" in measuring.typed(replace(asked, places="1000, 20"))["told"]


def test_without_a_picture_or_with_a_bad_one_nothing_is_shown(events, asked, tmp_path):
    assert events.fresh(replace(asked, picture=None))["results"] == gr.update(visible=False)
    (tmp_path / "text.png").write_text("no picture")
    updates = events.fresh(replace(asked, picture=str(tmp_path / "text.png")))
    assert "cannot be read" in updates["empty"]["value"]
    assert updates["before"] is None


def test_a_third_click_moves_the_nearer_point(measuring, asked):
    """Clicks are in the picture as it was sent, 1000 pixels wide; the photo has 120 x 90."""
    for click, points in (
        ((50, 50), [(6, 6)]),
        ((900, 700), [(6, 6), (108, 84)]),
        ((800, 600), [(6, 6), (96, 72)]),
        ((100, 300), [(12, 36), (96, 72)]),
    ):
        asked = replace(asked, points=measuring.click(asked, click)["points"])
        assert asked.points == points
    assert measuring.clear(asked)["points"] == []


def test_points_that_are_dragged_are_measured_and_get_their_handles_back(measuring, asked):
    from page.photo.measure_view import DraggedAsked, points_sent
    from refusal import Refusal

    sent = {"points": [[30, 40], [110, 80]], "size": [120, 90]}
    dragged = DraggedAsked(**(vars(asked) | {"points": [(6, 6), (110, 80)]}), marks=points_sent(sent))
    found = measuring.dragged(dragged)
    assert found["points"] == [(30, 40), (110, 80)]
    assert found["marks"] == sent
    # The fake model's depth grows from 1 m on the left to 5 m on the right.
    assert f"{1 + 4 * 30 / 119:.2f} m" in found["told"]
    assert points_sent({"points": []}) == []
    for wrong in (None, "", [], {"points": "here"}, {"points": [[1]]}, {"points": [[1, 2]] * 3}):
        with pytest.raises(Refusal, match=r"(?i)points"):
            points_sent(wrong)


def test_the_field_for_the_field_of_view_says_what_holds_without_one(events, asked, tmp_path):
    assert events.fresh(asked)["fov"]["placeholder"] == "60, guessed"
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = 26  # FocalLengthIn35mmFilm, of a frame 43.27 mm across
    Image.open(asked.picture).save(tmp_path / "exif.jpg", exif=exif)
    placeholder = events.fresh(replace(asked, picture=str(tmp_path / "exif.jpg")))["fov"]["placeholder"]
    across = 2 * np.degrees(np.arctan(43.27 / 2 / 26 * 120 / np.hypot(120, 90)))
    assert placeholder == f"{across:.0f}, from the photo's EXIF data"


def test_another_range_is_answered_with_pictures_alone(events, asked):
    """So that a late answer moves no handle back."""
    assert set(events.again(replace(asked, legend=(2.0, 3.0)))) == {"depth"}
    assert set(events.again(replace(asked, legend=(2.0, 3.0), share=50))) == {"depth", "marked"}


def test_the_picture_to_click_in_is_photo_depth_or_a_mixture(measuring, asked):
    def shown(share):
        return np.asarray(measuring.measure(replace(asked, share=share, legend=(1.0, 5.0)))["marked"]).astype(float)

    photo, depth = shown(None), shown(100)
    assert np.array_equal(photo, np.asarray(Image.open(asked.picture).resize((1000, 750))))
    assert np.array_equal(shown(0), photo)
    assert np.array_equal(shown(1e6), depth)
    row = depth.sum(2).mean(0)
    assert row[0] > 600 > row[500] > 100 > row[-1]  # near is bright, and nearness falls to the right
    assert np.abs(shown(30) - (0.7 * photo + 0.3 * depth)).max() <= 1


def test_a_scene_is_built_once_and_stays_where_a_setting_is_refused(work, asked, monkeypatch):
    from page.photo.scene_view import MESH, POINTS, SceneAsked, SceneEvents

    told = []
    monkeypatch.setattr(gr, "Warning", lambda message, **more: told.append(message))
    events = SceneEvents(work)
    scene = SceneAsked(asked.picture, ROUTED, "router", MESH, "60", "", 1.5, 1.0, "depth", None, True)
    assert events.follow(scene) == {}  # the view is not open
    updates = events.opened(scene)
    assert "triangles" in updates["note"]
    first = updates["viewer"]["camera_position"]
    assert first[0] == 75  # 15 degrees beside the photo's own view, from which and back to which it sways
    assert (*updates["sway"]["from"], updates["sway"]["radius"]) == first
    shown = replace(scene, view="scene", built=updates["built"])
    assert events.follow(shown) == {}
    assert events.follow(replace(shown, cut="abc")) == {}
    assert "abc" in told[0]
    assert not {"sway", "camera_position"} & {*(later := events.follow(replace(shown, jump=1.2))), *later["viewer"]}
    for view in ("scene", "depth"):  # of another model nothing of the old scene stays
        assert events.follow(replace(shown, view=view, model=STOCK, cut="abc"))["built"] is None
    assert events.unit(replace(shown, model=STOCK))["metric"] is False
    cloud = replace(scene, shape=POINTS)
    first, larger = (events.opened(replace(cloud, point_size=size))["viewer"]["value"] for size in (0.5, 2.0))
    sides = [np.ptp(np.asarray(scene_of(path).vertices)[:4, 0]) for path in (first, larger)]
    assert sides[1] == pytest.approx(4 * sides[0], rel=1e-4)


def scene_of(path):
    """The largest geometry of a GLB file."""
    return max(trimesh.load(path).geometry.values(), key=lambda each: len(each.vertices))


def test_a_comparison_is_made_as_its_view_opens_and_follows_what_is_chosen(work, asked):
    from page.photo.compare_view import PHOTO, CompareAsked, CompareEvents

    events = CompareEvents(work)
    compared = CompareAsked(asked.picture, [ROUTED, STOCK], "outdoor", "magma", [], "depth", None)
    assert events.follow(compared) == {}  # the view is not open
    drawn = events.opened(compared)
    assert [caption.split(" · ")[0] for _, caption in drawn["gallery"]["value"]] == [ROUTED, STOCK]
    shown = replace(compared, view="compare", drawn=drawn["drawn"])
    assert events.opened(shown) == events.follow(shown) == {}  # this very comparison is shown
    beside = events.follow(replace(shown, compared=[STOCK, PHOTO]))["gallery"]["value"]
    assert [caption.split(" · ")[0] for _, caption in beside] == ["Photo", STOCK]
    assert np.array_equal(beside[0][0], Image.open(asked.picture))
    assert events.follow(replace(shown, compared=[PHOTO]))["compare_legend"] == ""
    assert "Choose" in events.follow(replace(shown, compared=[]))["compare_legend"]
    assert "gallery" in events.follow(replace(shown, color_map="turbo"))


def test_each_model_is_compared_in_each_of_the_colours(work, models, asked, monkeypatch):
    from page.photo.compare_view import CompareAsked, CompareEvents
    from refusal import Refusal

    calls, predict = [], models.predict
    monkeypatch.setattr(models, "predict", lambda name, *rest: calls.append(name) or predict(name, *rest))
    events = CompareEvents(work)
    both = CompareAsked(asked.picture, [ROUTED, STOCK], "router", "magma", ["gray", "magma"], "compare", None)
    drawn = events.follow(both)
    pictures = drawn["gallery"]["value"]
    told = [(caption.split(" · ")[0], caption.split(" · ")[-1]) for _, caption in pictures]
    assert told == [(ROUTED, "Magma"), (ROUTED, "Grey"), (STOCK, "Magma"), (STOCK, "Grey")]
    assert calls == [ROUTED, STOCK]  # each looks once
    for (colored, _), (grey, _) in (pictures[:2], pictures[2:]):
        grey, light = np.asarray(grey).astype(float), np.asarray(colored.convert("L")).astype(float)
        assert np.ptp(grey, axis=2).max() == 0
        assert np.corrcoef(grey[..., 0].ravel(), light.ravel())[0, 1] > 0.98
    assert drawn["compare_legend"].count('class="bar"') == 2
    assert drawn["compare_legend"].count('class="marks"') == 1
    monkeypatch.setattr("page.photo.comparing.MOST_PICTURES", 3)
    with pytest.raises(Refusal, match="2 models in 2 colours are 4"):
        events.follow(both)


def test_the_photo_is_compared_with_the_only_model_and_else_two_models(work):
    from page.photo.compare_view import PHOTO, first_choice

    cards = list(work.models.cards.values())
    assert first_choice(cards[:1]) == [PHOTO, ROUTED]
    assert first_choice([*cards, cards[0]]) == [ROUTED, STOCK]


def test_the_example_clip_is_the_photo_seen_by_a_moving_camera(work, tmp_path):
    from page.video_tab import VideoAsked, VideoEvents
    from refusal import Refusal

    ramp = np.zeros((426, 640, 3), np.uint8)
    ramp[..., 0] = np.linspace(0, 255, 640).astype(np.uint8)
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    asked = VideoAsked(None, ROUTED, "router", "magma", True)
    path = Path(VideoEvents(work, tmp_path / "ramp.png").example(asked)["clip"])
    assert path.stat().st_size < 300_000
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24")[..., 0].mean(0) for frame in container.decode(video=0)]
    assert 2 < len(frames) / 12 < 4  # seconds
    assert np.all(np.diff([frame.mean() for frame in frames]) > 0)  # it goes to the right
    spans = [frame[-20:].mean() - frame[:20].mean() for frame in frames]
    assert spans[-1] == pytest.approx(0.7 / 0.9 * spans[0], rel=0.05)  # and comes nearer
    with pytest.raises(Refusal, match="no photo"):
        VideoEvents(work, None).example(asked)


def test_a_clip_that_is_refused_resets_the_tab(work):
    from page.video_tab import VideoAsked, VideoEvents
    from refusal import Refusal

    steps = VideoEvents(work, None).make(VideoAsked(None, ROUTED, "router", "magma", True))
    assert next(steps)["make"] == gr.update(interactive=True)
    with pytest.raises(Refusal, match="Upload a clip"):
        next(steps)


def bound(page, handler):
    """The event of the page that calls a handler of this name."""
    return next(fn for fn in page.fns.values() if fn.fn and handler in str(inspect.getclosurevars(fn.fn)))


def test_what_the_browser_sends_becomes_one_typed_object(space_on_path, work, page):
    from page.photo.image_values import Asked
    from page.wiring import Wiring
    from refusal import Refusal

    measure = bound(page, "measure")
    parts = dict(zip(fields(Asked), measure.inputs, strict=False))
    assert measure.inputs_as_dict
    assert not measure.preprocess
    assert len(parts) == len(measure.inputs)
    wiring = inspect.getclosurevars(measure.fn).nonlocals["self"]
    assert isinstance(wiring, Wiring)
    tab = wiring.parts
    sent = dict.fromkeys(measure.inputs) | {
        tab.picture: {"path": "/tmp/a.png"}, tab.model: STOCK, tab.color_map: "magma", tab.points: [],
        tab.legend: {"near": 3, "far": 4, "most": 9},
    }  # fmt: skip
    asked = wiring.read(sent)
    assert (asked.picture, asked.model, asked.legend, asked.fov) == ("/tmp/a.png", STOCK, (3.0, 4.0), "")
    assert (asked.share, asked.place) == (None, "")  # nothing was sent: what the page starts with
    wrongs = {"Model": (tab.model, "nobody/nothing"), "Depth over the photo": (tab.share, "Ceiling"),
              "Taken": (tab.place, 3),
              "color_map": (tab.color_map, "none"),
              "range": (tab.legend, "abc"), "Field of view": (tab.fov, ["60"])}  # fmt: skip
    for named, (part, wrong) in wrongs.items():
        with pytest.raises(Refusal, match=named):
            wiring.read(sent | {part: wrong})


@pytest.mark.parametrize("wrong", ["Ceiling", "", 3, True, [], ["Photo"], {"a": 1}, float("nan"), "x" * 999])
@pytest.mark.parametrize(("handler", "labels"), [("measure", {"Model"}), ("opened", {"Model", "Shape"})])
def test_a_choice_that_is_none_gets_a_sentence(space_on_path, page, handler, labels, wrong):
    from refusal import Refusal

    event = bound(page, handler)
    wiring = inspect.getclosurevars(event.fn).nonlocals["self"]
    sent = dict.fromkeys(event.inputs)
    assert wiring.read(sent).model == ROUTED
    choices = [part for part in event.inputs if part.elem_id in ("model", "shape")]
    assert {part.label for part in choices} == labels
    for part in choices:
        with pytest.raises(Refusal, match=f"{part.label} is .*give one of"):
            wiring.read(sent | {part: wrong})


def test_the_api_page_has_a_picture_and_points_in_its_examples(page):
    endpoints = page.get_api_info()["named_endpoints"]
    for name in ("/predict", "/distance", "/point_cloud", "/mesh", "/compare", "/video"):
        file = endpoints[name]["parameters"][0]
        assert file["example_input"]["path"].endswith(".mp4" if name == "/video" else ".png")
        assert "handle_file()" in file["label"]
    points = endpoints["/distance"]["parameters"][1]
    assert (points["parameter_name"], points["parameter_default"]) == ("points", [[120, 80], [300, 200]])


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
