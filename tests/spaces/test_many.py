"""Many photos as one ZIP file: what is in it, what is said of those without depth, limits, and giving up."""

import io
import json
import zipfile

import gradio as gr
import numpy as np
import pytest
from PIL import Image
from serving import photo


@pytest.fixture
def results(tmp_path, monkeypatch):
    """The folder of results."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    return tmp_path / "gradio" / "results"


@pytest.fixture
def wish(work, results):
    from results.many import ManyWish

    return ManyWish("", "outdoor", "gray", ("color", "png16", "npy"))


@pytest.fixture
def photos(tmp_path):
    """Two photos of the same name, one text in between."""
    (tmp_path / "b").mkdir()
    (tmp_path / "text.png").write_text("no picture")
    return [str(photo(tmp_path / "a.png")), str(tmp_path / "text.png"), str(photo(tmp_path / "b" / "a.png", seed=1))]


def test_each_photo_has_its_files_and_a_line_in_the_list(work, wish, photos):
    from results.many import depth_of_many

    *steps, pack = depth_of_many(work, photos, wish)
    assert [(step.done, step.photos) for step in steps] == [(0, 3), (1, 3), (2, 3)]
    assert steps[0].text == "Photo 1 of 3"
    assert (pack.photos, [name for name, _ in pack.refused]) == (2, ["text.png"])
    with zipfile.ZipFile(pack.path) as archive:
        assert archive.testzip() is None
        names = {f"{stem}_{end}" for stem in ("a", "a_2") for end in ("color.png", "depth.png", "depth.npy")}
        assert set(archive.namelist()) == {*names, "predictions.jsonl"}
        values = np.load(io.BytesIO(archive.read("a_2_depth.npy")))
        millimetres = np.asarray(Image.open(io.BytesIO(archive.read("a_2_depth.png"))))
        rows = [json.loads(line) for line in archive.read("predictions.jsonl").decode().splitlines()]
    own = np.tile(np.linspace(10, 50, 120), (90, 1))  # what the stand-in for a model says of outdoors
    np.testing.assert_allclose(values, own, rtol=1e-6)
    assert np.abs(millimetres - own * 1000).max() <= 0.51
    assert [row["file"] for row in rows] == ["a.png", "text.png", "a.png"]
    assert (rows[0]["unit"], rows[0]["domain"], rows[2]["largest"]) == ("metres", "outdoor", 50)
    assert "cannot be read" in rows[1]["refused"]
    assert work._kept == {}  # the photos of others stay where they are


def test_nothing_stays_of_work_that_is_given_up_or_refused(work, wish, photos, results, monkeypatch):
    from refusal import Refusal
    from results import many

    steps = many.depth_of_many(work, photos, wish)
    next(steps)
    next(steps)
    assert list(results.glob("*/depth.zip"))
    steps.close()
    assert not list(results.iterdir())
    monkeypatch.setattr(many, "MOST_MEGABYTES", 0.001)
    with pytest.raises(Refusal, match="fewer of them"):
        list(many.depth_of_many(work, photos, wish))
    assert not list(results.iterdir())


@pytest.mark.parametrize(
    ("count", "kinds", "says"), [(0, ("npy",), "0 photos"), (4, ("npy",), "4 photos"), (1, (), "No kind")]
)
def test_wrong_requests_get_a_sentence(work, results, photos, monkeypatch, count, kinds, says):
    from refusal import Refusal
    from results import many

    monkeypatch.setattr(many, "MOST_PHOTOS", 3)
    wish = many.ManyWish("", None, "magma", kinds)
    with pytest.raises(Refusal, match=says):
        next(many.depth_of_many(work, photos[:1] * count, wish))


def test_the_tab_tells_which_photos_have_no_depth(work, results, photos):
    from page.many_tab import ManyAsked, ManyEvents

    events = ManyEvents(work)
    asked = ManyAsked(photos, work.models.names[0], "router", "magma", ["npy"])
    *busy, done = events.make(asked)
    assert "Photo 1 of 3" in busy[0]["bar"]["value"]
    assert busy[0]["make"] == gr.update(interactive=False)
    assert done["result"]["value"].endswith("depth.zip")
    assert "Depth of 2 photos" in done["told"]["value"]
    assert "<li>text.png: This file cannot be read" in done["told"]["value"]
    steps = events.make(ManyAsked([], work.models.names[0], "router", "magma", ["npy"]))
    assert next(steps)["make"] == gr.update(interactive=True)
    with pytest.raises(gr.Error, match="0 photos"):
        next(steps)
