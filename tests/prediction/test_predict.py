"""Prediction from files: what is written, for every kind of file that people have, and what is not overwritten."""

import io
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import tiny
import trimesh
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import set_seed

import semidepth
from semidepth.media.color_maps import COLOR_MAPS, colorize
from semidepth.media.video_reading import read_frames, video_info
from semidepth.media.video_writing import VideoWriter
from semidepth.modeling import DepthStudentForDepthEstimation, RoutedDepthForDepthEstimation
from semidepth.prediction.cli import main
from semidepth.prediction.formats import encode, to_16_bit
from semidepth.prediction.options import ColorMap, ResultOptions
from semidepth.prediction.preprocessing import Preprocessing


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    return tiny.save_model(tiny.stock_model(), folder)


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
    assert "1 of 3 inputs predicted" in printed.out
    assert "cut.jpg" in printed.err
    assert "text.png" in printed.err
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "whole_depth.npy", "whole_depth.png", "whole_color.png", "predictions.jsonl",
    }  # fmt: skip


def test_what_is_there_already_is_told_as_such_and_how_to_predict_it_again(tmp_path, model_folder, capsys):
    def told(*extra):
        assert run(model_folder, tmp_path / "out", tmp_path, extra=["--format", "npy", *extra]) == 0
        return capsys.readouterr().out.splitlines()

    picture().save(tmp_path / "a.png")
    first = "of {} inputs predicted into " + f"{tmp_path}/out (inverse depth, larger is nearer)"
    assert told() == ["1 " + first.format(1)]
    again = f"1 already there in {tmp_path}/out (inverse depth, larger is nearer); --overwrite predicts them again"
    assert told() == [again]
    picture().save(tmp_path / "b.png")
    assert told() == ["1 " + first.format(2), "1 already there; --overwrite predicts them again"]
    assert told("--overwrite") == ["2 " + first.format(2)]


def test_a_name_without_a_file_is_listed_and_does_not_stop_the_others(tmp_path, model_folder, capsys):
    picture().save(tmp_path / "a.png")
    inputs = [tmp_path / "gone.jpg", tmp_path / "a.png"]
    assert run(model_folder, tmp_path / "out", *inputs, extra=["--format", "npy"]) == 1
    printed = capsys.readouterr()
    assert "1 of 2 inputs predicted" in printed.out
    assert f"not read: {tmp_path}/gone.jpg: no such file" in printed.err
    assert run(model_folder, tmp_path / "other", tmp_path / "gone.jpg", extra=["--json"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == f"error: '{tmp_path}/gone.jpg': no such file; give files, folders or a glob in quotes.\n"


def test_16_bit_of_metres_is_millimetres_and_of_disparity_the_images_range():
    metres = np.array([[0.5, 1.2346, np.nan, 70.0]], np.float32)
    assert to_16_bit(metres, "m").tolist() == [[500, 1235, 0, 65535]]
    assert to_16_bit(np.array([[2.0, 3.0, 4.0]], np.float32), "inverse depth").tolist() == [[0, 32768, 65535]]
    assert to_16_bit(np.full((1, 2), 3.0, np.float32), "inverse depth").tolist() == [[0, 0]]


def test_a_metric_picture_is_bright_where_it_is_near():
    metres = np.array([[1.0, 10.0]], np.float32)
    content = encode("color", metres, "m", ResultOptions(), None, Path("photo.jpg"))
    colors = np.asarray(Image.open(io.BytesIO(content))).sum(-1)
    assert colors[0, 0] > colors[0, 1]


def test_a_missing_model_is_refused_before_anything_is_read(tmp_path, capsys):
    picture().save(tmp_path / "a.png")
    assert run(str(tmp_path / "no_model"), tmp_path / "out", tmp_path / "a.png") == 2
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


def test_a_model_of_an_earlier_version_is_named_without_colours_in_a_log(tmp_path, metric_folder):
    folder = shutil.copytree(metric_folder, tmp_path / "old")
    weights = load_file(folder / "model.safetensors")
    del weights["core_scales"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    picture().save(tmp_path / "a.png")
    words = ["predict", str(tmp_path / "a.png"), "--model", str(folder), "--output", str(tmp_path / "out")]
    command = [sys.executable, "-m", "semidepth.cli", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "such as core_scales; give a complete checkpoint" in done.stderr
    assert "train it again if an earlier version of semidepth has trained it" in done.stderr
    assert "LOAD REPORT" in done.stderr
    assert "\x1b" not in done.stderr


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


@pytest.mark.parametrize("orientation", [1, 6])
def test_points_of_a_photo_have_the_camera_of_its_exif_data(tmp_path, metric_folder, orientation):
    exif = Image.Exif()
    exif[0x0112], exif[0x8769] = orientation, {0xA405: 24}
    picture(40, 60).save(tmp_path / "a.jpg", exif=exif)
    picture(40, 60).save(tmp_path / "b.png")
    extra = ["--format", "npy", "ply", "--domain", "indoor"]
    assert run(metric_folder, tmp_path / "out", tmp_path / "a.jpg", tmp_path / "b.png", extra=extra) == 1
    metres = np.load(tmp_path / "out/a_depth.npy")
    height, width = metres.shape
    assert (height, width) == ((40, 60) if orientation == 1 else (60, 40))
    body = (tmp_path / "out/a_points.ply").read_bytes().partition(b"end_header\n")[2]
    # 24 mm on a film whose diagonal is 43.27 mm, as the picture's is 72.11 pixels.
    focal_px, z = 24 * np.hypot(40, 60) / np.hypot(24, 36), metres[0, 0]
    expected = [-(width - 1) / 2 / focal_px * z, (height - 1) / 2 / focal_px * z, -z]
    assert np.frombuffer(body[:12], "<f4") == pytest.approx(expected, rel=1e-5)
    assert (tmp_path / "out/b_depth.npy").exists()
    assert not (tmp_path / "out/b_points.ply").exists()


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
        (["--fov_deg", "60"], "error: --fov_deg is for points and meshes (ply, glb), which need metres"),
        (["--focal_px", "60", "--format", "glb"], "error: --focal_px is for points and meshes"),
        (["--domain", "indoor"], "the model has no domains"),
        (["--side_by_side"], "--side_by_side is for videos and none is among the inputs"),
    ],
)
def test_cameras_and_domains_that_cannot_be_are_refused(tmp_path, model_folder, capsys, extra, words):
    picture().save(tmp_path / "a.png")
    assert run(model_folder, tmp_path / "out", tmp_path / "a.png", extra=extra) == 2
    assert words in capsys.readouterr().err


def test_an_unknown_domain_names_the_known_ones(tmp_path, metric_folder, capsys):
    picture().save(tmp_path / "a.png")
    assert run(metric_folder, tmp_path / "out", tmp_path / "a.png", extra=["--domain", "cave"]) == 2
    assert "the model has indoor, outdoor" in capsys.readouterr().err


def test_formats_are_those_asked_for_and_a_mesh_ends_at_the_cut_off(tmp_path, metric_folder):
    picture(40, 60).save(tmp_path / "a.png")
    extra = ["--domain", "indoor", "--fov_deg", "90", "--format", "npy", "glb", "ply"]
    assert run(metric_folder, tmp_path / "out", tmp_path / "a.png", extra=extra) == 0
    made = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert made == ["a_depth.npy", "a_mesh.glb", "a_points.ply", "predictions.jsonl"]
    metres = np.load(tmp_path / "out/a_depth.npy")
    middle = float(np.median(metres))
    extra += ["--far_m", str(middle)]
    assert run(metric_folder, tmp_path / "cut", tmp_path / "a.png", extra=extra) == 0
    header = (tmp_path / "cut/a_points.ply").read_bytes().partition(b"end_header")[0]
    assert f"element vertex {(metres <= np.float32(middle)).sum()}".encode() in header
    mesh = next(iter(trimesh.load_scene(tmp_path / "cut/a_mesh.glb").geometry.values()))
    assert -mesh.vertices[:, 2].min() <= middle * (1 + 1e-6)


def test_a_mesh_is_cut_where_it_is_told_to(tmp_path, metric_folder, capsys):
    picture(40, 60).save(tmp_path / "a.png")
    extra = ["--domain", "indoor", "--fov_deg", "90", "--format", "glb", "--max_jump"]
    faces = []
    for jump in ("1.01", "100"):
        assert run(metric_folder, tmp_path / jump, tmp_path / "a.png", extra=[*extra, jump]) == 0
        faces.append(len(next(iter(trimesh.load_scene(tmp_path / jump / "a_mesh.glb").geometry.values())).faces))
    assert faces[0] < faces[1] == 2 * 39 * 59
    assert run(metric_folder, tmp_path / "none", tmp_path / "a.png", extra=[*extra, "2", "--far_m", "1e-6"]) == 1
    assert "no glb: the nearest pixel is " in capsys.readouterr().err


@pytest.mark.parametrize("form", ["ply", "glb"])
def test_nothing_nearer_than_the_cut_off_is_not_made_and_the_other_formats_are(tmp_path, metric_folder, capsys, form):
    picture(40, 60).save(tmp_path / "a.png")
    extra = ["--fov_deg", "90", "--far_m", "0.001", "--format", form, "npy", "--json"]
    assert run(metric_folder, tmp_path / "out", tmp_path / "a.png", extra=extra) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["results"] == []
    (broken,) = told["broken"]
    assert (broken["what"], broken["files"]) == ("not made", [f"{tmp_path}/out/a_depth.npy"])
    nearest = np.load(tmp_path / "out/a_depth.npy").min()
    assert broken["reason"] == f"no {form}: the nearest pixel is {nearest:.3g} m away, beyond --far_m 0.001"
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a_depth.npy", "predictions.jsonl"}
    (tmp_path / "out/a_depth.npy").unlink()
    assert run(metric_folder, tmp_path / "out", tmp_path / "a.png", extra=extra[:-1]) == 1
    told = capsys.readouterr().out
    assert "0 of 1 inputs predicted" in told
    assert "1 more have some of their results" in told


def test_an_image_of_one_row_has_points_and_no_mesh(tmp_path, metric_folder, capsys):
    picture(1, 60).save(tmp_path / "row.png")
    extra = ["--fov_deg", "90", "--format", "ply", "glb"]
    assert run(metric_folder, tmp_path / "out", tmp_path / "row.png", extra=extra) == 1
    assert "no glb: a mesh needs an image of two rows and two columns" in capsys.readouterr().err
    assert (tmp_path / "out/row_points.ply").is_file()


def test_json_is_all_that_is_printed(tmp_path, model_folder, capsys):
    picture().save(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("no picture")
    assert run(model_folder, tmp_path / "out", tmp_path, extra=["--json", "--format", "npy"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["unit"] == "inverse depth"
    assert told["results"] == [
        {"input": f"{tmp_path}/a.png", "files": [f"{tmp_path}/out/a_depth.npy"], "domain": None, "note": None}
    ]
    assert [(entry["input"], entry["what"]) for entry in told["broken"]] == [(f"{tmp_path}/b.png", "not read")]
    assert run(model_folder, tmp_path / "out", tmp_path / "a.png", extra=["--json", "--format", "npy"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["results"] == []
    assert told["kept"] == [{"input": f"{tmp_path}/a.png", "files": [f"{tmp_path}/out/a_depth.npy"]}]


def test_batches_of_many_sizes_give_what_each_image_gives_alone(tmp_path, model_folder):
    sizes = [(40, 60), (80, 120), (60, 40), (40, 60), (33, 90), (20, 30), (40, 61)]
    for number, size in enumerate(sizes):
        picture(*size, seed=number).save(tmp_path / f"{number}.png")
    assert run(model_folder, tmp_path / "together", tmp_path, extra=["--batch_size", "3", "--threads", "3"]) == 0
    for number, size in enumerate(sizes):
        assert run(model_folder, tmp_path / "alone", tmp_path / f"{number}.png", extra=["--batch_size", "1"]) == 0
        together, alone = (np.load(tmp_path / f"{name}/{number}_depth.npy") for name in ("together", "alone"))
        assert together.shape == size
        assert np.allclose(together, alone, atol=1e-4 * np.abs(alone).max())


def test_a_result_that_cannot_be_written_is_listed(tmp_path, model_folder, capsys):
    for name in ("a", "b"):
        picture().save(tmp_path / f"{name}.png")
    (tmp_path / "out/a_depth.npy").mkdir(parents=True)  # a folder of that name
    assert run(model_folder, tmp_path / "out", tmp_path / "a.png", tmp_path / "b.png", extra=["--overwrite"]) == 1
    assert f"not written: {tmp_path}/a.png" in capsys.readouterr().err
    assert (tmp_path / "out/b_depth.npy").is_file()
    assert not list((tmp_path / "out").glob(".*"))


def test_a_legend_is_below_the_picture(tmp_path, model_folder):
    picture(40, 60).save(tmp_path / "a.png")
    assert (
        run(
            model_folder,
            tmp_path / "out",
            tmp_path / "a.png",
            extra=["--legend", "--color_map", "cividis", "--format", "npy,color"],
        )
        == 0
    )
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a_depth.npy", "a_color.png", "predictions.jsonl"}
    assert Image.open(tmp_path / "out/a_color.png").size == (60, 40 + 44)


def test_a_video_becomes_one_of_the_same_times_in_one_range(tmp_path, model_folder):
    frames = [np.asarray(picture(48, 64, seed=3)) for _ in range(6)]
    frames[3] = np.full_like(frames[3], 128)  # one that would have another range of its own
    times = [0.0, 0.1, 0.2, 0.5, 0.6, 0.7]
    with VideoWriter(tmp_path / "clip.mp4", 64, 48, 10) as writer:
        for frame, time_s in zip(frames, times, strict=True):
            writer.write(frame, time_s)
    (tmp_path / "text.mp4").write_text("no video")
    assert run(model_folder, tmp_path / "out", tmp_path, extra=["--side_by_side"]) == 1
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"clip_color.mp4", "predictions.jsonl"}
    info = video_info(tmp_path / "out/clip_color.mp4")
    assert (info.width, info.height, info.frames) == (128, 48, 6)
    made = list(read_frames(tmp_path / "out/clip_color.mp4"))
    assert [frame.time_s for frame in made] == pytest.approx(times, abs=1e-3)
    source = list(read_frames(tmp_path / "clip.mp4"))
    model = semidepth.load_model(model_folder)
    maps = [semidepth.predict(frame.pixels, model).values for frame in source]
    low, high = np.percentile(np.concatenate([values.ravel() for values in maps]), [1, 99])
    for frame, values in zip(made, maps, strict=True):
        expected = colorize(values, (low, high))
        assert np.abs(frame.pixels[:, 64:].astype(int).mean((0, 1)) - expected.mean((0, 1))).max() < 6
    assert run(model_folder, tmp_path / "out", tmp_path / "clip.mp4", extra=["--side_by_side"]) == 0  # kept


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (["--batch_size", "0"], "--batch_size is 0"),
        (["--far_m", "-1"], "--far_m is -1.0"),
        (["--far_m", "3"], "--far_m is for --format ply or glb"),
        (["--fov_deg", "60", "--format", "color"], "--fov_deg is for --format ply or glb"),
        (["--max_jump", "1"], "--max_jump is 1.0; give a factor above 1"),
        (["--fov_deg", "60", "--max_jump", "2"], "--max_jump is for --format glb"),
        (["--device", "cuda:99"], "the device 'cuda:99' cannot be used"),
        (["--device", "nonsense"], "the device 'nonsense' cannot be used"),
        (["--output", "/proc/here"], "--output /proc/here: /proc cannot be written to"),
        (["--legend"], "--legend is for coloured pictures and all inputs are videos"),
        (["--format", "npy", "--legend"], "--legend is for --format color"),
        (["--format", "npy", "--side_by_side"], "--side_by_side is for --format color"),
        (["--format", "npy", "--color_map", "cividis"], "--color_map is for --format color"),
        (["--format", "npy,jpg", "color"], "--format is 'jpg'; choose of png16, npy, color, ply, glb."),
        (["--format", ","], "--format is ','; choose of"),
        (["--format", "npy"], "is a video, of which only colours are made"),
    ],
)
def test_options_that_do_not_fit_are_refused(tmp_path, model_folder, capsys, extra, words):
    (tmp_path / "clip.mp4").write_bytes(b"")
    assert run(model_folder, tmp_path / "out", tmp_path / "clip.mp4", extra=extra) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_clips_in_a_folder_do_not_stop_pictures_of_which_no_colours_are_wanted(tmp_path, model_folder):
    folder = tmp_path / "mixed"
    folder.mkdir()
    picture().save(folder / "a.jpg")
    (folder / "clip.mp4").write_bytes(b"")
    assert run(model_folder, tmp_path / "out", folder, extra=["--format", "npy"]) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a_depth.npy", "predictions.jsonl"}


def test_help_and_slips_are_answered_without_torch(tmp_path):
    code = (
        "import sys; from semidepth.prediction.cli import main\n"
        "try: status = main(sys.argv[1:])\nexcept SystemExit as stop: status = stop.code\n"
        "print(sorted({'torch', 'transformers'} & set(sys.modules))); sys.exit(status)"
    )
    for words, status in ((["--help"], 0), (["a.jpg", "--model", "m", "--output", "o", "--formt", "npy"], 2)):
        done = subprocess.run(
            [sys.executable, "-c", code, *words], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout.splitlines()[-1]) == (status, "[]")
    assert done.stderr.startswith("error: ")
    assert "--formt" in done.stderr


def test_color_maps_to_choose_from_are_all_there_are():
    assert get_args(ColorMap) == tuple(COLOR_MAPS)
