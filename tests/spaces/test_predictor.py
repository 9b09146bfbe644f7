"""The Space, `semidepth.predict` and the command give one map, bit for bit, whatever the model and the file."""

from types import SimpleNamespace

import numpy as np
import pytest
import tiny
from PIL import Image
from serving import photo, save_models
from transformers import DepthProConfig, ZoeDepthImageProcessor, set_seed

import semidepth
from semidepth.modeling import DepthStudentForDepthEstimation
from semidepth.prediction.checkpoints import kind_of
from semidepth.prediction.cli import main
from semidepth.prediction.preprocessing import Preprocessing

KINDS = ("student", "routed", "stock", "zoedepth", "zoedepth with two heads", "depth_pro", "depth_pro without fov")


def save(kind, folder) -> str:
    """A tiny model of a kind in a folder; its path."""
    set_seed(0)
    if kind in ("routed", "stock"):
        return save_models(folder)[kind == "stock"]
    if kind == "student":
        config = DepthStudentForDepthEstimation.config_for_encoder(tiny.encoder_config(), **tiny.DECODER)
        model = tiny.lively(DepthStudentForDepthEstimation(config))
        processor = Preprocessing(size=tiny.SIZE, multiple=tiny.PATCH).to_image_processor()
    elif "zoedepth" in kind:
        model = tiny.lively(tiny.zoedepth(2 if "two" in kind else 1, n_bins=16))
        processor = ZoeDepthImageProcessor(size={"height": 64, "width": 96}, ensure_multiple_of=32, **tiny.STANDARD)
    else:
        model, processor = tiny.depth_pro(fov="without" not in kind)
    model.save_pretrained(folder / "model")
    processor.save_pretrained(folder / "model")
    return str(folder / "model")


def pictures(folder):
    """A 16-bit PNG whose values end in every way, and a turned JPEG."""
    grey = np.random.default_rng(0).integers(0, 65536, (70, 90), dtype=np.uint16)
    Image.fromarray(grey).save(folder / "deep.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(photo(folder / "p.png")).save(folder / "turned.jpg", exif=exif)
    return [folder / "deep.png", folder / "turned.jpg"]


@pytest.mark.parametrize("kind", KINDS)
def test_one_map_in_the_space_in_python_and_by_the_command(space_on_path, tmp_path, kind):
    from predictor import Models
    from work import DepthWork

    folder = save(kind, tmp_path)
    work = DepthWork(Models([folder], "cpu"))
    for path in pictures(tmp_path):
        found = work.see(str(path), None).prediction
        expected = semidepth.predict(path, folder)
        assert found.values.shape == expected.values.shape == Image.open(path).size[:: -1 if "deep" in path.name else 1]
        assert np.ptp(expected.values) > 0
        assert np.array_equal(found.values, expected.values)
        assert found.metric == (expected.unit == "m")
        output = tmp_path / "out"
        assert main([str(path), "--model", folder, "--output", str(output), "--format", "npy", "--device", "cpu"]) == 0
        assert np.array_equal(np.load(output / f"{path.stem}_depth.npy"), expected.values)
        if "two" in kind or kind == "routed":
            assert found.domain == expected.domain
            assert found.domains == expected.probabilities
            assert found.domain == max(found.domains, key=found.domains.get)
            assert sum(found.domains.values()) == pytest.approx(1)


def test_a_head_that_is_asked_for_is_used_everywhere(space_on_path, tmp_path):
    from predictor import Models
    from work import DepthWork

    folder = save("routed", tmp_path)
    work, path = DepthWork(Models([folder], "cpu")), pictures(tmp_path)[0]
    maps = {name: work.see(str(path), None, name).prediction for name in ("indoor", "outdoor")}
    for name, found in maps.items():
        assert found.domain == name
        assert np.array_equal(found.values, semidepth.predict(path, folder, domain=name).values)
    assert not np.array_equal(maps["indoor"].values, maps["outdoor"].values)


@pytest.mark.parametrize(
    ("place", "name"),
    [("/srv/models/outputs/demo/metric/", "demo/metric"), ("semidepth-small", "semidepth-small"), ("../m", "m"),
     ("somebody/depth", "somebody/depth"), ("/m", "m")],
)  # fmt: skip
def test_a_model_has_a_short_name(space_on_path, place, name):
    from predictor import short_name

    assert short_name(place) == name


def test_two_folders_of_one_name_are_told_apart(space_on_path, tmp_path):
    from predictor import Models

    places = [save("stock", tmp_path / str(number) / "here") for number in range(2)]
    models = Models(places, "cpu")
    assert models.names == ["here/relative", "here/relative-2"]
    assert [models.card(name).place for name in models.names] == places


def test_a_model_that_does_not_load_is_told_without_its_folder(space_on_path, tmp_path, caplog):
    from predictor import Models

    models = Models([save("routed", tmp_path), save("stock", tmp_path)], "cpu")
    (tmp_path / "relative" / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(ValueError, match="cannot be loaded") as caught:
        models.predict(models.names[1], [np.zeros((20, 20, 3), np.uint8)])
    assert str(tmp_path) not in str(caught.value)
    assert str(tmp_path) in caplog.text


def test_the_reach_of_heads_is_read_from_all_kinds_of_models(space_on_path, tmp_path):
    from predictor import read_card

    assert read_card(save("routed", tmp_path)).reach_m == {"indoor": 10.0, "outdoor": 80.0}
    heads = read_card(save("zoedepth with two heads", tmp_path)).reach_m
    assert heads == {head["name"]: head["max_depth"] for head in tiny.zoedepth(2, n_bins=16).config.bin_configurations}
    assert read_card(save("stock", tmp_path)).reach_m == {}
    assert reach_of_metric(tmp_path) == {"": 20.0}


def reach_of_metric(folder) -> dict[str, float]:
    """What is read of a metric Depth Anything that goes to 20 metres."""
    from predictor import read_card

    config = tiny.stock_config()
    config.depth_estimation_type, config.max_depth = "metric", 20
    config.save_pretrained(folder / "of metres")
    return read_card(str(folder / "of metres")).reach_m


def test_code_that_a_model_brings_along_is_run_only_where_that_is_asked_for(space_on_path, tmp_path):
    from predictor import Models

    folder = tmp_path / "strange"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "strange", "auto_map": {"AutoConfig": "strange.Strange"}}')
    (folder / "strange.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    models = Models([str(folder)], "cpu", skip_broken=True)
    assert models.names == []
    assert "--trust_remote_code" in models.skipped[0]
    with pytest.raises(ValueError, match=r"strange' brings code of its own.*--trust_remote_code"):
        Models([str(folder)], "cpu")
    assert not (tmp_path / "ran").exists()
    with pytest.raises(ValueError, match="could not be loaded"):
        Models([str(folder)], "cpu", trusted=True)
    assert (tmp_path / "ran").exists()


def test_depth_pro_is_metric_with_its_field_of_view_alone():
    assert kind_of(DepthProConfig(use_fov_model=True)) == "depth"
    assert kind_of(DepthProConfig(use_fov_model=False)) == "disparity"
    assert kind_of(SimpleNamespace(model_type="depth_pro")) == "disparity"
