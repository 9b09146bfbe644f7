"""Prediction from files: what is written, for every kind of file that people have, and what is not overwritten."""

import numpy as np
import pytest
import tiny
import torch
from PIL import Image
from transformers import set_seed

from semidepth.modeling import DepthStudentForDepthEstimation, RoutedDepthForDepthEstimation
from semidepth.training.engine.depth_models import Preprocessing
from semidepth.training.predict import find_images, main, to_16_bit, write_results


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    tiny.stock_model().save_pretrained(folder)
    Preprocessing(size=tiny.SIZE, multiple=tiny.PATCH).to_image_processor().save_pretrained(folder)
    return str(folder)


def picture(height=40, width=60, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def run(model_folder, output, *images, extra=()):
    return main([*map(str, images), "--model", model_folder, "--output", str(output), "--device", "cpu", *extra])


def test_three_files_for_each_image_at_its_own_size(tmp_path, model_folder):
    picture(40, 60).save(tmp_path / "a.jpg")
    picture(33, 21).save(tmp_path / "b.png")
    assert run(model_folder, tmp_path / "out", tmp_path / "a.jpg", tmp_path / "b.png") == 0
    for name, shape in (("a", (40, 60)), ("b", (33, 21))):
        values = np.load(tmp_path / f"out/{name}_depth.npy", allow_pickle=False)
        assert values.dtype == np.float32
        assert values.shape == shape
        stored = np.asarray(Image.open(tmp_path / f"out/{name}_depth.png"))
        assert (stored.dtype, stored.min(), stored.max()) == (np.uint16, 0, 65535)
        expected = (values - values.min()) / (values.max() - values.min()) * 65535
        assert np.abs(stored - expected).max() <= 0.51
        assert np.asarray(Image.open(tmp_path / f"out/{name}_color.png")).shape == (*shape, 3)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "I;16", "1", "CMYK"])
def test_every_kind_of_picture_is_read(tmp_path, model_folder, mode):
    path = tmp_path / ("x.tif" if mode == "CMYK" else "x.png")
    if mode == "I;16":
        Image.fromarray(np.random.default_rng(0).integers(0, 65536, (40, 60), dtype=np.uint16)).save(path)
    else:
        picture().convert(mode).save(path)
    assert run(model_folder, tmp_path / "out", path) == 0
    assert np.load(tmp_path / "out/x_depth.npy").shape == (40, 60)


def test_exif_rotation_is_applied(tmp_path, model_folder):
    upright = picture(40, 60)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees: what is stored lies on its side
    upright.rotate(90, expand=True).save(tmp_path / "turned.png", exif=exif)
    upright.save(tmp_path / "upright.png")
    assert run(model_folder, tmp_path / "out", tmp_path / "turned.png", tmp_path / "upright.png") == 0
    turned, straight = (np.load(tmp_path / f"out/{name}_depth.npy") for name in ("turned", "upright"))
    assert np.allclose(turned, straight, atol=1e-5)


def test_broken_files_are_listed_and_do_not_stop_the_others(tmp_path, model_folder, capsys):
    picture(200, 300).save(tmp_path / "whole.jpg")
    content = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(content[: len(content) // 2])
    (tmp_path / "text.png").write_text("not a picture")
    assert run(model_folder, tmp_path / "out", tmp_path) == 1
    printed = capsys.readouterr()
    assert "1 of 3 images predicted" in printed.out
    assert "cut.jpg" in printed.err
    assert "text.png" in printed.err
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "whole_depth.npy", "whole_depth.png", "whole_color.png",
    }  # fmt: skip


def test_results_are_kept_unless_overwriting(tmp_path, model_folder, capsys):
    picture().save(tmp_path / "a.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/a_depth.npy").write_bytes(b"mine")
    run(model_folder, tmp_path / "out", tmp_path / "a.png")
    assert (tmp_path / "out/a_depth.npy").read_bytes() == b"mine"
    assert (tmp_path / "out/a_color.png").is_file()
    capsys.readouterr()
    run(model_folder, tmp_path / "out", tmp_path / "a.png")
    assert "1 had results there already" in capsys.readouterr().out
    run(model_folder, tmp_path / "out", tmp_path / "a.png", extra=["--overwrite"])
    assert np.load(tmp_path / "out/a_depth.npy").shape == (40, 60)


def test_folders_globs_and_equal_names(tmp_path):
    for name in ("x/a.jpg", "y/a.jpg", "y/a.png", "y/deep/b.JPG", "y/a_color.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        picture().save(tmp_path / name)
    found = find_images([str(tmp_path / "x" / "*.jpg"), str(tmp_path / "y")])
    assert [str(name) for _, name in found] == ["a", "a-2", "a-3", "deep/b"]
    with pytest.raises(ValueError, match="matches no image"):
        find_images([str(tmp_path / "*.webp")])


def test_16_bit_of_metres_is_millimetres_and_of_disparity_the_images_range():
    metres = np.array([[0.5, 1.2346, np.nan, 70.0]], np.float32)
    assert to_16_bit(metres, "depth").tolist() == [[500, 1235, 0, 65535]]
    assert to_16_bit(np.array([[2.0, 3.0, 4.0]], np.float32), "disparity").tolist() == [[0, 32768, 65535]]
    assert to_16_bit(np.full((1, 2), 3.0, np.float32), "disparity").tolist() == [[0, 0]]


def test_a_metric_picture_is_bright_where_it_is_near(tmp_path):
    write_results(torch.tensor([[1.0, 10.0]]), "depth", tmp_path / "m", overwrite=False)
    colors = np.asarray(Image.open(tmp_path / "m_color.png")).sum(-1)
    assert colors[0, 0] > colors[0, 1]


def test_a_missing_model_is_refused_before_anything_is_read(tmp_path, capsys):
    picture().save(tmp_path / "a.png")
    with pytest.raises(SystemExit) as stopped:
        run(str(tmp_path / "no_model"), tmp_path / "out", tmp_path / "a.png")
    assert stopped.value.code == 2
    assert "could not be loaded as a depth-estimation model" in capsys.readouterr().err


@pytest.fixture(scope="module")
def metric_folder(tmp_path_factory):
    """A tiny routed model: rooms to 10 m and streets to 80 m."""
    folder = tmp_path_factory.mktemp("metric")
    set_seed(0)
    config = DepthStudentForDepthEstimation.config_for_encoder(tiny.encoder_config(), **tiny.DECODER)
    RoutedDepthForDepthEstimation.from_student(
        DepthStudentForDepthEstimation(config), [{"name": "indoor"}, {"name": "outdoor", "max_depth_m": 80.0}]
    ).save_pretrained(folder)
    Preprocessing(size=tiny.SIZE, multiple=tiny.PATCH).to_image_processor().save_pretrained(folder)
    return str(folder)


def test_a_metric_model_gives_millimetres_and_points_right_way_up(tmp_path, metric_folder):
    picture(40, 60).save(tmp_path / "a.png")
    assert (
        run(metric_folder, tmp_path / "out", tmp_path / "a.png", extra=["--fov_deg", "90", "--domain", "indoor"]) == 0
    )
    metres = np.load(tmp_path / "out/a_depth.npy")
    stored = np.asarray(Image.open(tmp_path / "out/a_depth.png"))
    assert np.abs(stored - metres * 1000).max() <= 0.51
    header, _, body = (tmp_path / "out/a_points.ply").read_bytes().partition(b"end_header\n")
    assert b"element vertex 2400" in header
    first = np.frombuffer(body[:12], "<f4")
    z = metres[0, 0]
    # 90 degrees over 60 pixels: focal length 30; the first pixel's centre is 29.5 left and 19.5 above the axis.
    assert first == pytest.approx([-29.5 / 30 * z, 19.5 / 30 * z, -z], rel=1e-5)
    assert list(body[12:15]) == list(np.asarray(Image.open(tmp_path / "a.png"))[0, 0])


def test_the_domain_can_be_told(tmp_path, metric_folder):
    picture().save(tmp_path / "a.png")
    means = {}
    for domain in ("indoor", "outdoor"):
        assert run(metric_folder, tmp_path / domain, tmp_path / "a.png", extra=["--domain", domain]) == 0
        means[domain] = np.load(tmp_path / domain / "a_depth.npy").mean()
    assert means["outdoor"] > 3 * means["indoor"]


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (["--fov_deg", "90", "--focal_px", "300"], "give one of them"),
        (["--fov_deg", "180"], "between 0 and 180"),
        (["--focal_px", "0"], "positive number of pixels"),
        (["--fov_deg", "60"], "needs metres and this model predicts inverse depth"),
        (["--domain", "indoor"], "the model has no domains"),
    ],
)
def test_cameras_and_domains_that_cannot_be_are_refused(tmp_path, model_folder, capsys, extra, words):
    picture().save(tmp_path / "a.png")
    with pytest.raises(SystemExit):
        run(model_folder, tmp_path / "out", tmp_path / "a.png", extra=extra)
    assert words in capsys.readouterr().err


def test_an_unknown_domain_names_the_known_ones(tmp_path, metric_folder, capsys):
    picture().save(tmp_path / "a.png")
    with pytest.raises(SystemExit):
        run(metric_folder, tmp_path / "out", tmp_path / "a.png", extra=["--domain", "cave"])
    assert "the model has indoor, outdoor" in capsys.readouterr().err
