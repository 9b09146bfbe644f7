"""The tab that makes any modality of any other, with a tiny real model."""

import numpy as np
import pytest
import tiny
from PIL import Image
from serving import photo, save_models


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.any_to_any(tmp_path_factory.mktemp("tab") / "four_m")


@pytest.fixture
def events(folder, space_on_path):
    from page.convert_tab import ConvertEvents
    from predictor import Models
    from work import DepthWork

    return ConvertEvents(DepthWork(Models([str(folder)], "cpu")))


def asked(events, **values):
    from page.convert_tab import ConvertAsked

    nothing = dict.fromkeys(("photo", "depth", "normals", "classes"))
    usual = {"unit_m": 0.001, "sentence": "", "to": ["depth"], "steps": 1.0, "temperature": 0.0}
    return ConvertAsked(**(nothing | usual | {"model": events.work.models.names[0]} | values))


@pytest.fixture
def depth(tmp_path):
    """16-bit millimetres as large as the photo, the right half unknown."""
    values = np.linspace(1000, 9000, 90 * 120).reshape(90, 120).astype(np.uint16)
    values[:, 60:] = 0
    Image.fromarray(values).save(tmp_path / "depth.png")
    return str(tmp_path / "depth.png")


def test_given_and_predicted_are_shown_in_frames_of_their_own(events, tmp_path, depth):
    from results.converting import GIVEN, MADE

    every = ["depth", "normals", "semantics", "caption", "rgb"]
    updates = events.make(asked(events, photo=str(photo(tmp_path / "a.png")), depth=depth, to=every))
    shown = updates["shown"]["value"]
    assert [label for _, label in shown] == ["photo, given", "depth, given", "depth", "normals", "classes", "colours"]
    frames = ["#{:02x}{:02x}{:02x}".format(*picture.convert("RGB").getpixel((1, 1))) for picture, _ in shown]
    assert frames == [GIVEN] * 2 + [MADE] * 4
    assert "Sentence: " in updates["told"]["value"]
    assert not updates["empty"]["visible"]


def test_a_sentence_alone_is_enough_and_is_not_taken_for_html(events):
    updates = events.make(asked(events, sentence="a <b>room</b>", to=["depth", "caption"]))
    assert "a &lt;b&gt;room" in updates["told"]["value"]
    assert [label for _, label in updates["shown"]["value"]] == ["depth"]


@pytest.mark.parametrize(
    ("values", "cause"),
    [
        ({}, "Hand in a photo"),
        ({"sentence": "a room", "to": []}, "Tick what is to be made"),
        ({"photo": "other.png", "depth": "DEPTH"}, "same view"),
        ({"depth": "other.png"}, "depth"),
        ({"classes": "other.png", "to": ["caption"]}, "mode RGB"),
    ],
)
def test_what_cannot_be_made_is_said_in_its_place(events, tmp_path, depth, values, cause):
    Image.new("RGB", (300, 100)).save(tmp_path / "other.png")
    places = {"other.png": str(tmp_path / "other.png"), "DEPTH": depth}
    values = {name: places.get(value, value) if isinstance(value, str) else value for name, value in values.items()}
    updates = events.make(asked(events, **values))
    assert cause in updates["empty"]["value"]
    assert updates["empty"]["visible"]
    assert not updates["shown"]["visible"]


def test_the_tab_is_there_where_a_model_can_do_it(events, folder, tmp_path, space_on_path):
    from predictor import Models
    from results.converting import converting_models
    from server import build
    from work import DepthWork

    def tabs(models):
        blocks = build(DepthWork(models)).blocks.values()
        return [block.label for block in blocks if type(block).__name__ == "Tab"]

    assert "Any to any" in tabs(events.work.models)
    with_depth_alone = Models([save_models(tmp_path)[0]], "cpu")
    assert converting_models(with_depth_alone) == []
    assert "Any to any" not in tabs(with_depth_alone)
