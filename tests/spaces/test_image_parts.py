"""Parts of the tab for pictures, without a page: ranges, legends, what is written into pictures, late answers."""

import inspect
import re
from dataclasses import replace

import gradio as gr
import numpy as np
import pytest
from PIL import Image, ImageDraw
from serving import SPACE, photo


@pytest.fixture
def parts(space_on_path):
    import predictor
    import work
    from page.photo import comparing
    from results import coloring, read_outs

    return {"coloring": coloring, "comparing": comparing, "predictor": predictor, "read_outs": read_outs, "work": work}


def seen(parts, values, metric=True, model="a/metric"):
    image = Image.new("RGB", values.shape[::-1])
    picture = parts["work"].Picture(image, image.size)
    return parts["work"].Seen(picture, parts["predictor"].ImageDepth(values.astype(np.float32), metric, model))


def test_a_legend_of_metres_shows_its_ends(parts):
    def marks(low, high):
        html = parts["coloring"].legend_html((low, high), "magma", metric=True)
        return re.findall(r"left:([\d.]+)%[^>]*>([^<]+)<", html)

    assert marks(2.03, 8.43) == [("0.00", "2.03 m"), ("30.78", "4 m"), ("62.03", "6 m"), ("100.00", "8.43 m")]
    assert [text for _, text in marks(0.5, 71.26)] == ["0.5 m", "20 m", "40 m", "71.3 m"]
    assert marks(10.99, 11)[0][1] != marks(10.99, 11)[-1][1]
    for low, high in ((0.01, 0.02), (1, 1.5), (3, 900)):
        places = [float(place) for place, _ in marks(low, high)]
        assert min(np.diff(places)) > 10  # they would run into each other


def test_a_range_without_a_unit_is_in_per_cent(parts):
    coloring = parts["coloring"]
    values = np.linspace(1, 5, 5001).reshape(1, -1)
    relative = seen(parts, values, metric=False).prediction
    limits = coloring.limits_of(relative, 20, 40)
    spread = np.percentile(values, [1, 99])
    assert limits == pytest.approx((spread[1] - 0.4 * np.ptp(spread), spread[1] - 0.2 * np.ptp(spread)))
    assert re.findall(r">([^<]+)</span>", coloring.legend_html(limits, "magma", metric=False)) == ["near", "far"]


@pytest.mark.parametrize(
    ("values", "own", "most", "step"),
    [(np.linspace(1, 5, 1001), (1.04, 4.96), 5, 0.02), (np.linspace(0, 80, 1001), (0.8, 79.2), 80, 0.5),
     (np.full(9, 2.0), (2.0, 2.01), 3, 0.01)],
)  # fmt: skip
def test_the_bar_takes_steps_of_about_a_hundredth_of_the_range(parts, values, own, most, step):
    from page.photo.legend_bar import bar_of, own_range

    prediction = seen(parts, values.reshape(1, -1)).prediction
    assert own_range(prediction) == own
    bar = bar_of(prediction, own)
    assert (bar["near"], bar["far"], bar["most"], bar["step"]) == (*own, most, step)
    assert own[1] - own[0] >= step * 0.99
    assert [float(text) / most * 100 for _, text in bar["ticks"]] == pytest.approx([place for place, _ in bar["ticks"]])


@pytest.mark.parametrize("sent", [3, "x", {}, {"near": 1}, {"near": 1, "far": "2"}, {"near": 1, "far": float("nan")}])
def test_a_range_that_is_none_is_refused(parts, sent):
    from page.photo.legend_bar import ends_of
    from refusal import Refusal

    assert ends_of({"near": 1, "far": 2, "most": 3}) == (1.0, 2.0)
    assert ends_of(None) == ends_of("") == (None, None)
    with pytest.raises(Refusal, match="a near and a far end"):
        ends_of(sent)


def test_points_are_read_as_they_are_written(parts):
    from refusal import Refusal

    points_of, points_text = parts["read_outs"].points_of, parts["read_outs"].points_text
    assert points_text([(1, 2), (30, 4)]) == "1, 2; 30, 4"
    for text, points in (
        ("1, 2; 30, 4", [(1, 2), (30, 4)]),
        (" 7 8 ", [(7, 8)]),
        ("", []),
        ("1 2 3 4 5 6", [(3, 4), (5, 6)]),
    ):
        assert points_of(text) == points
    for text in ("1", "1, 2; 3", "a, b", "1.5, 2", "-1, 2"):
        with pytest.raises(Refusal, match="write x and y"):
            points_of(text)


@pytest.mark.parametrize("paper", ["black", "white"])
@pytest.mark.parametrize("point", [(5, 5), (995, 5), (5, 745), (995, 745), (500, 375)])
def test_a_note_is_written_beside_its_point_and_can_be_read(parts, paper, point):
    plain = Image.new("RGB", (1000, 750), paper)
    with_points = parts["read_outs"].with_points
    number = np.asarray(with_points(plain, [point], plain.size)).astype(int)
    noted = np.asarray(with_points(plain, [point], plain.size, ["2.34 m"])).astype(int)
    changed = np.abs(noted - number).sum(2) > 100
    assert changed.sum() > 500
    assert not changed[:, [0, -1]].any()  # none of it is cut off
    ink = noted[changed].sum(1)
    assert ink.max() > 600 if paper == "black" else ink.min() < 150


def test_the_notes_are_the_read_out_s_numbers(parts):
    read_outs = parts["read_outs"]
    values = np.full((40, 60), 3.0)
    values[:, 30:] = 5.0
    found = read_outs.read_out(seen(parts, values), [(10, 20), (50, 20)], 60)
    focal = 30 / np.tan(np.radians(30))
    apart = np.hypot((50.5 - 30) / focal * 5 - (10.5 - 30) / focal * 3, 20.5 / focal * 5 * 0 + 2)
    assert read_outs.notes_of(found)[:2] == ["3.00 m", "5.00 m"]
    assert float(read_outs.notes_of(found)[2].split()[0]) == pytest.approx(apart, abs=0.02)
    near = seen(parts, values)
    near = replace(near, prediction=replace(near.prediction, error=0.3))  # then it is rounded, in words alone
    rough = read_outs.read_out(near, [(10, 20), (50, 20)], 60)
    assert rough["points"] == found["points"]
    assert rough["between_m"] == found["between_m"]
    assert read_outs.notes_of(rough)[:2] == ["3.0 m", "5 m"]
    assert "about **5 m** away" in rough["text"]
    one = read_outs.read_out(seen(parts, values), [(10, 20)], 60)
    assert read_outs.notes_of(one) == ["3.00 m"]
    relative = read_outs.read_out(seen(parts, values, metric=False), [(10, 20), (50, 20)], None)
    assert read_outs.notes_of(relative) == ["farther", "nearer"]
    assert read_outs.notes_of(read_outs.read_out(seen(parts, values, metric=False), [(1, 1)], None)) == [""]


def test_metres_share_one_range_and_others_do_not_count(parts):
    ramps = [np.linspace(low, high, 10001).reshape(1, -1) for low, high in ((1, 2), (1.5, 9), (0, 100))]
    shown = [seen(parts, ramp, metric) for ramp, metric in zip(ramps, (True, True, False), strict=True)]
    comparing = parts["comparing"]
    assert comparing.shared_range(shown) == pytest.approx((1.01, 9 - 0.075), abs=1e-3)
    assert comparing.shared_range(shown[2:]) is None
    assert "1.01 m" in comparing.compared_legend(shown, "magma")
    assert "without metres" in comparing.compared_legend(shown, "magma")
    assert "without metres" not in comparing.compared_legend(shown[:2], "magma")
    assert " m<" not in comparing.compared_legend(shown[2:], "magma")


def test_drawings_and_panoramas_get_a_hint_and_photos_none(parts, tmp_path):
    from results.hints import DRAWING, PANORAMA, hint

    for path in (SPACE / "examples").glob("*.jpg"):
        assert hint(Image.open(path)) == "", path
    drawing = Image.new("RGB", (900, 700), "white")
    draw = ImageDraw.Draw(drawing)
    for number in range(40):
        draw.line((number * 20, 10, 900 - number * 15, 690), fill=(number * 5, 20, 200), width=3)
    drawing.save(tmp_path / "drawing.jpg", quality=85)
    assert hint(drawing) == hint(Image.open(tmp_path / "drawing.jpg")) == DRAWING
    noise = np.random.default_rng(0).integers(0, 256, (200, 400, 3), dtype=np.uint8)
    assert hint(Image.fromarray(noise)) == hint(Image.fromarray(noise.swapaxes(0, 1))) == PANORAMA
    assert hint(Image.fromarray(noise[:, :390])) == ""


@pytest.fixture
def ask(page, models, tmp_path):
    """Has the page's own handler of this name answer, while something may happen as the model predicts."""

    def asked(handler, meanwhile=lambda latest: None):
        event = next(fn for fn in page.fns.values() if fn.fn and handler in str(inspect.getclosurevars(fn.fn)))
        tab = inspect.getclosurevars(event.fn).nonlocals["self"].parts
        latest, predict = tab.latest.value, models.predict
        latest.order("first.png")

        def predicted(*given):
            meanwhile(latest)
            return predict(*given)

        models.predict = predicted
        sent = {part: part.value for part in event.inputs} | {
            tab.picture: {"path": str(photo(tmp_path / "a.png"))}, tab.color_map: "magma", tab.legend: "",
            tab.model: models.names[0], tab.place: "", tab.fov: "",
        }  # fmt: skip
        answer = event.fn({part: sent[part] for part in event.inputs})
        return answer.get(tab.depth), answer

    return asked


def test_the_last_order_is_answered(ask):
    depth, _ = ask("fresh")
    assert depth.size == (120, 90)


@pytest.mark.parametrize("meanwhile", ["another", "the same photo by another model", "none"])
def test_an_earlier_one_is_not(ask, meanwhile):
    _, answer = ask(
        "fresh", lambda latest: latest.order({"another": "b.png", "none": None}.get(meanwhile, "first.png"))
    )
    assert answer == gr.skip()


def test_what_comes_late_with_the_photo_of_before_changes_nothing(events, measuring, asked, tmp_path):
    from page.photo.compare_view import CompareAsked, CompareEvents
    from page.photo.scene_view import MESH, SceneAsked, SceneEvents
    from page.wiring import Latest

    latest = Latest(2, str(photo(tmp_path / "b.png")))
    late = replace(asked, latest=latest, legend=(1.0, 5.0), points=[(3, 4)])
    assert events.again(late) == measuring.measure(late) == measuring.click(late, (3, 3)) == {}
    now = replace(late, picture=latest.picture)
    assert set(events.again(now)) == {"depth"}
    assert measuring.measure(now)["points"] == [(3, 4)]
    names = events.work.models.names
    compared = CompareAsked(asked.picture, names, "router", "magma", [], "compare", None, latest)
    scene = SceneAsked(asked.picture, names[0], "router", MESH, "60", "", 1.5, 1.0, "scene", None, True, latest)
    assert CompareEvents(events.work).follow(compared) == SceneEvents(events.work).follow(scene) == {}
    assert CompareEvents(events.work).follow(replace(compared, picture=latest.picture))["gallery"]["value"]
    assert SceneEvents(events.work).follow(replace(scene, picture=latest.picture))["viewer"]["value"]
