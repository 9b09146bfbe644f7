"""`semidepth convert` and `semidepth.convert`: any modality of any other, in files and in Python."""

import json

import numpy as np
import pytest
import tiny
import torch
from PIL import Image

import semidepth
from semidepth.media.class_maps import classes_of
from semidepth.media.normals import normals_of, normals_picture
from semidepth.prediction.any_to_any.cli import main
from semidepth.prediction.any_to_any.conversion import gathered
from semidepth.prediction.any_to_any.model import load_any_to_any

ALL = ["depth", "normals", "semantics", "caption", "rgb"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.any_to_any(tmp_path_factory.mktemp("any") / "four_m")


@pytest.fixture(scope="module")
def model(folder):
    return load_any_to_any(folder)


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 100, 3), dtype=np.uint8)).save(path)
    return path


def depth_map():
    return np.linspace(1, 9, 60 * 100, dtype=np.float32).reshape(60, 100)


def test_a_photo_becomes_everything_at_its_size(photo, model):
    made = semidepth.convert(photo, ALL, model)
    assert made.depth.shape == (60, 100)
    assert (made.depth > 0).all()
    assert np.allclose(np.linalg.norm(made.normals, axis=-1), 1, atol=1e-5)
    assert made.normals.shape == made.rgb.shape == (60, 100, 3)
    assert set(np.unique(made.semantics)) <= {0, 1, 2}
    assert made.classes == ("wall", "floor", "cup")
    assert isinstance(made.caption, str)


def test_depth_is_what_predict_gives_of_the_same_folder(folder, model):
    """At the size of the model's map, where nothing is enlarged; `predict` has no sky, but the largest depth."""
    image = np.random.default_rng(3).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    metres = semidepth.convert(image, ["depth"], model).depth
    assert np.isinf(metres).any()
    assert np.allclose(np.minimum(metres, 100), semidepth.predict(image, str(folder)).values, rtol=1e-4)


def test_known_pixels_stay_where_depth_is_completed(photo, model):
    known = depth_map()
    known[:, 50:] = np.nan
    known[5, 80] = 4.5
    made = semidepth.convert(photo, ["depth"], model, depth=known).depth
    there = ~np.isnan(known)
    assert np.array_equal(made[there], known[there])
    assert not np.isnan(made).any()
    with pytest.raises(ValueError, match="every pixel of it is known"):
        semidepth.convert(photo, ["depth"], model, depth=depth_map())


def test_each_source_counts(model):
    classes = np.zeros((60, 100), np.int64)
    normals = np.tile(np.float32([0, 0, 1]), (60, 100, 1))
    by_depth = semidepth.convert(depth=depth_map(), to=["rgb"], model=model).rgb
    by_normals = semidepth.convert(normals=normals, to=["rgb"], model=model).rgb
    by_classes = semidepth.convert(semantics=classes, to=["rgb"], model=model).rgb
    by_words = semidepth.convert(caption="a room with two chairs", to=["rgb"], model=model).rgb
    assert by_words.shape == (32, 32, 3)
    assert by_depth.shape == by_normals.shape == by_classes.shape == (60, 100, 3)
    assert len({each.tobytes() for each in (by_depth, by_normals, by_classes)}) == 3
    other = semidepth.convert(caption="a street with a red car", to=["rgb"], model=model).rgb
    assert not np.array_equal(by_words, other)


def test_scattered_depth_is_not_lost():
    depth = torch.full((1, 64, 64), torch.nan)
    depth[0, 3, 5], depth[0, 2, 6], depth[0, 40, 40] = 7.0, 3.0, torch.inf
    small = gathered(depth, 8)
    assert small[0, 0, 0] == 3.0  # the nearer of two
    assert small[0, 5, 5].isposinf()
    assert small.isnan().sum() == 62
    dense = torch.rand(1, 64, 64) + 1
    assert torch.equal(gathered(dense, 8), dense[:, 4::8, 4::8])


def test_pictures_of_normals_and_classes_come_back():
    draw = np.random.default_rng(1)
    normals = draw.normal(size=(8, 9, 3))
    normals = (normals / np.linalg.norm(normals, axis=-1, keepdims=True)).astype(np.float32)
    normals[0, 0] = np.nan
    back = normals_of(normals_picture(normals))
    assert np.isnan(back[0, 0]).all()
    assert np.nanmax(np.abs(back - normals)) < 0.01
    with pytest.raises(ValueError, match="mode RGB"):
        classes_of(Image.new("RGB", (2, 2)), 3, "x.png")
    with pytest.raises(ValueError, match=r"class 7 and the model 3"):
        classes_of(Image.new("L", (2, 2), 7), 3, "x.png")


def test_the_command_writes_resumes_and_refuses(photo, folder, tmp_path, capsys):
    out = tmp_path / "out"
    words = [
        str(photo),
        "--model",
        str(folder),
        "--output",
        str(out),
        "--to",
        "depth",
        "normals",
        "semantics",
        "caption",
    ]
    assert main(words) == 0
    names = {path.name for path in out.iterdir()} - {"predictions.jsonl"}
    ends = ("depth.png", "depth.npy", "color.png", "normals.png", "semantics.png", "caption.txt")
    assert names == {f"photo_{end}" for end in ends}
    metres = np.load(out / "photo_depth.npy")
    stored = np.asarray(Image.open(out / "photo_depth.png"))
    near = np.isfinite(metres) & (metres < 65)
    assert np.abs(stored[near] / 1000 - metres[near]).max() <= 0.001
    times = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    capsys.readouterr()
    assert main([*words, "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)["kept"]) == [str(photo)]
    assert times == {path: path.stat().st_mtime_ns for path in out.iterdir()}
    assert main([*words, "--guidance", "2"]) == 1
    assert "made with other options (guidance 1.0)" in capsys.readouterr().err
    assert main([*words, "--guidance", "2", "--overwrite"]) == 0


def test_the_command_starts_from_depth_normals_classes_and_words(photo, folder, tmp_path, capsys):
    out = tmp_path / "out"
    Image.fromarray((1000 * depth_map()).astype(np.uint16)).save(tmp_path / "d.png")
    common = ["--model", str(folder), "--output", str(out)]
    assert main(["--from", f"{tmp_path}/d.png?depth_scale=0.001", "--to", "normals", "semantics", *common]) == 0
    assert np.asarray(Image.open(out / "d_normals.png")).shape == (60, 100, 3)
    assert main(["--from_semantics", str(out / "d_semantics.png"), "--to", "caption", *common]) == 0
    assert (out / "d_semantics_caption.txt").read_text().endswith("\n")
    assert main(["--from_normals", str(out / "d_normals.png"), "--to", "rgb", *common]) == 0
    assert main(["--caption", "a room", "--to", "depth", *common]) == 0
    assert np.load(out / "caption_depth.npy").shape == (32, 32)
    capsys.readouterr()
    holes = np.where(depth_map() > 5, 0, 1000 * depth_map()).astype(np.uint16)
    Image.fromarray(holes).save(tmp_path / "holes.png")
    assert main([str(photo), "--from", f"{tmp_path}/holes.png?depth_scale=0.001", "--to", "depth", *common]) == 0
    metres = np.load(out / "photo_depth.npy")
    assert np.allclose(metres[holes > 0], holes[holes > 0] / 1000, atol=1e-4)


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        (["--to", "depth"], "nothing to start from"),
        (["PHOTO", "--to", "sound"], "sound"),
        (["PHOTO", "--to", "caption", "--caption", "a room"], "caption, which is given"),
        (["--from", "no.png?depth_scale=0.001", "--to", "normals"], "no such file"),
        (["--from", "PHOTO?colour=1", "--to", "normals"], "the option 'colour'"),
        (["PHOTO", "--to", "depth", "--temperature", "-1"], "--temperature is -1"),
        (["PHOTO", "--to", "depth", "--steps", "0"], "--steps"),
    ],
)
def test_wrong_usage_is_one_sentence(words, cause, photo, folder, tmp_path, capsys):
    words = [word.replace("PHOTO", str(photo)) for word in words]
    assert main([*words, "--model", str(folder), "--output", str(tmp_path / "out")]) == 2
    assert cause in capsys.readouterr().err


def test_a_folder_without_4m_is_refused(photo, tmp_path, capsys):
    assert main([str(photo), "--to", "depth", "--model", str(tmp_path), "--output", str(tmp_path / "out")]) == 2
    assert "holds no 4M model" in capsys.readouterr().err
