"""An answer is not shown where something else was asked for meanwhile: it would stand under the other one's name."""

import inspect
from dataclasses import replace

import gradio as gr
import pytest
from serving import photo


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
