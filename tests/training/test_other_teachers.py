"""A student that learns from another tool's maps: the right way round, whatever is unknown in them."""

import io
import json
import logging

import numpy as np
import pyarrow.parquet as pq
import pytest
import tiny
from PIL import Image

from semidepth.data.decoding import decode_image
from semidepth.data.label_images import encode_label
from semidepth.data.pseudo_labels import LabelFolder, LabelRecord
from semidepth.prediction.models import load_depth_model
from semidepth.training import student
from semidepth.training.recipes import fused_sets
from semidepth.training.recipes import student as student_recipe


@pytest.fixture
def setting(tmp_path):
    """An encoder, eight photos, and their depth maps in metres, of which a third is unknown and one wholly."""
    tiny.save_encoder(tmp_path / "encoder")
    (tmp_path / "photos").mkdir()
    (tmp_path / "maps").mkdir()
    rng = np.random.default_rng(0)
    for number in range(8):
        pixels = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{number}.jpg")
        depth = rng.uniform(1, 9, (48, 64)).astype(np.float32)
        depth[rng.random((48, 64)) < 1 / 3] = 0
        depth[:, 32:] = 0 if number == 5 else depth[:, 32:]
        np.save(tmp_path / "maps" / f"{number}.npy", depth)
    return tmp_path


def options(setting, *more, start=("--encoder", "encoder")):
    return [
        start[0], str(setting / start[1]), "--steps", "3", "--batch_size", "2", "--num_workers", "0", "--cpu", "true",
        "--preview_every", "0", "--shuffle_buffer", "0", "--output_dir", str(setting / "run"), *more,
    ]  # fmt: skip


def test_a_student_learns_from_maps_with_unknown_pixels(setting):
    spec = f"{setting}/maps?images={setting}/photos&kind=depth"
    words = options(setting, "--pseudo_labels", spec, "--gradient_matching_weight", "1", "--drop_fraction", "0.1")
    assert student.main(words) == 0
    results = json.loads((setting / "run/results.json").read_text())
    assert np.isfinite(results["unlabeled"])


def test_maps_that_do_not_say_their_direction_are_refused(setting, refused):
    told = refused(student.main, *options(setting, "--pseudo_labels", f"{setting}/maps?images={setting}/photos"))
    assert "which way its maps run" in told


def test_maps_read_the_wrong_way_round_are_refused_by_the_start_models_prediction(setting, refused, caplog):
    """The maps are the prediction itself, as inverse depth, so that only the direction can be wrong."""
    tiny.save_model(tiny.stock_model(), setting / "start")
    model = load_depth_model(str(setting / "start"))
    for photo in (setting / "photos").iterdir():
        pixels = model.preprocessing.resize(decode_image(photo))
        disparity = model.predict_disparity(pixels[None])[0].detach()
        assert disparity.std() > 0
        np.save(setting / "maps" / f"{photo.stem}.npy", 7 * disparity.numpy() + 1)
    maps = f"{setting}/maps?images={setting}/photos&stretch=yes"
    words = options(setting, "--pseudo_labels", start=("--start", "start"))
    assert "nearer and farther seem exchanged" in refused(student.main, *words, f"{maps}&kind=depth")
    assert student.main([*words, f"{maps}&kind=depth", "--no_check_direction", "--output_dir", str(setting / "b")]) == 0
    caplog.set_level(logging.INFO)
    assert student.main([*words, f"{maps}&kind=disparity"]) == 0
    assert "run the same way" in caplog.text


def test_maps_of_several_teachers_are_fused_and_where_they_disagree_nothing_is_learned(setting, caplog):
    """A second teacher has the same maps up to scale and shift, but for a corner; a third photo-less one is ignored."""
    (setting / "others").mkdir()
    for path in sorted((setting / "maps").iterdir())[:7]:  # the last photo has one map, and is left out
        depth = np.load(path)
        other = np.where(depth > 0, 1 / (0.5 + 3 / np.maximum(depth, 1)), 0)
        other[:16, :16] = other[:16, :16][::-1, ::-1]
        np.save(setting / "others" / path.name, other.astype(np.float32))
    maps = [f"{setting}/{name}?images={setting}/photos&kind=depth" for name in ("maps", "others")]
    words = options(setting, "--pseudo_labels", *maps, "--no_check_direction")
    caplog.set_level(logging.INFO)
    assert student.main(words) == 0
    assert "7 photos have labels of several teachers" in caplog.text
    folder = setting / "run/fused_labels/0"
    assert sorted(path.name for path in folder.glob("*.npy")) == [f"{number}.npy" for number in range(7)]
    fused, first = np.load(folder / "0.npy"), np.load(setting / "maps/0.npy")
    known = first > 0
    known[:16, :16] = False
    assert np.isfinite(fused[known]).mean() > 0.99
    assert np.isnan(fused[~known]).mean() > 0.5
    # Outside the corner the median is the first teacher's inverse depth up to scale and shift.
    assert np.corrcoef(fused[known], 1 / first[known])[0, 1] > 0.9999
    (setting / "run/model.safetensors").unlink()
    caplog.clear()
    assert student.main([*words, "--steps", "4"]) == 0  # the maps are kept
    assert "fused before are used again" in caplog.text


def write_set(folder, name, labels, part_size):
    """A set of pseudo labels as `semidepth pseudo-label` writes it: labels by their photo's path, in its order."""
    written = LabelFolder(str(folder / name))
    written.begin(LabelRecord(name, "1", [], ["photos"], name, [8], [8], part_size, 48))
    rows = []
    for photo, disparity in labels.items():
        label, scale, shift = encode_label(disparity)
        rows.append({
            "image": {"bytes": photo.read_bytes(), "path": None}, "disparity": {"bytes": label, "path": None},
            "depth_scale": scale, "depth_shift": shift, "reliability": 0.5, "teacher": name, "teacher_revision": "1",
            "domain": "", "origin": photo.name,
        })  # fmt: skip
    for part, first in enumerate(range(0, len(rows), part_size)):
        written.write_part(f"labels-00-{part:05d}-00000.parquet", rows[first : first + part_size])
    written.release()
    return str(folder / name)


@pytest.fixture
def two_sets(setting):
    """Labels of eight photos by two teachers who agree but for a corner, the last photo by the first alone."""
    rng = np.random.default_rng(1)
    photos = sorted((setting / "photos").iterdir())
    first = {photo: rng.uniform(0.1, 2, (48, 64)).astype(np.float32) for photo in photos}
    second = {photo: 3 * label + 1 for photo, label in list(first.items())[:7]}
    for label in second.values():
        label[:12, :12] = label[:12, :12][::-1, ::-1]
    return first, write_set(setting, "one", first, 3), write_set(setting, "two", second, 4)


def test_sets_of_several_teachers_are_fused_by_the_bytes_of_their_photos(setting, two_sets, caplog, monkeypatch):
    monkeypatch.setattr(fused_sets, "PART_SIZE", 4)
    first, *sets = two_sets
    words = options(setting, "--pseudo_labels", *sets, "--steps", "2")
    caplog.set_level(logging.INFO)
    assert student.main(words) == 0
    assert "7 photos have labels of several teachers" in caplog.text
    assert "one teacher alone: 1" in caplog.text
    folder = setting / "run/fused_labels/0"
    files = sorted((folder / "data").iterdir())
    rows = [row for path in files for row in pq.read_table(path).to_pylist()]
    assert (len(files), len(rows)) == (2, 7)
    for row, (photo, label) in zip(rows, first.items(), strict=False):
        assert row["image"]["bytes"] == photo.read_bytes()
        fused = np.asarray(Image.open(io.BytesIO(row["disparity"]["bytes"])))
        known = np.isfinite(fused)
        assert known[12:].all()
        assert known[:12, :12].mean() < 0.7
        known[:12, :12] = False  # a corner where the labels may agree by chance
        assert np.corrcoef(fused[known], label[known])[0, 1] > 0.9999
        both = np.stack([label, np.array(label)])
        both[1, :12, :12] = both[1, :12, :12][::-1, ::-1]
        spread = np.abs(label - np.sort(label, axis=None)[label.size // 2 - 1]).mean()
        assert row["reliability"] == pytest.approx(1 / (1 + np.abs(both[0] - both[1]).mean() / 2 / spread), abs=1e-3)
    # The fused set is one like others: a run can choose among its images by how far the teachers agreed.
    least = sorted(row["reliability"] for row in rows)[3]
    chosen = options(setting, "--pseudo_labels", f"{folder}?min_reliability={least}", "--output_dir", setting / "b")
    assert student.main([*map(str, chosen), "--steps", "1"]) == 0
    assert f"{folder}?min_reliability={least}: 4 samples" in caplog.text


def test_a_finished_run_on_fused_labels_says_so_before_its_model_is_looked_at(setting, two_sets, capsys, monkeypatch):
    words = options(setting, "--pseudo_labels", *two_sets[1:])
    words = [*words[:2], *words[4:], "--epochs", "0.5"]  # the number of steps is not given
    assert student.main(words) == 0
    monkeypatch.setattr(student_recipe, "resolve_start", None)
    capsys.readouterr()
    assert student.main(words) == 0
    assert "finished already, after 2 steps" in capsys.readouterr().err


def test_sets_of_other_photos_stay_two(setting, two_sets, caplog):
    """Their sources have the same names and lengths."""
    first, one, _ = two_sets
    for photo in list(first):
        Image.fromarray(np.zeros((48, 64, 3), np.uint8) + int(photo.stem)).save(photo)
    other = write_set(setting, "other", first, 8)
    assert student.main(options(setting, "--pseudo_labels", one, other)) == 0
    assert "no photo in common" in caplog.text
    caplog.clear()
    again = options(setting, "--pseudo_labels", one, f"{one}?count=4", "--output_dir", setting / "b")
    assert student.main([str(word) for word in again]) == 0  # one set, twice
    assert not (setting / "b/fused_labels").exists()


def test_fused_maps_are_those_of_the_same_teachers(setting, refused):
    maps = [f"{setting}/maps?images={setting}/photos&kind={kind}" for kind in ("depth", "disparity")]
    words = options(setting, "--no_check_direction", "--agreement", "0", "--checkpoint_every", "0")
    assert student.main([*words, "--pseudo_labels", *maps]) == 0
    assert "another --output_dir" in refused(student.main, *words, "--pseudo_labels", *reversed(maps))


def test_a_run_that_its_checkpoint_refuses_fuses_nothing_first(setting, refused):
    checkpoint = setting / "run/checkpoint-00000001"
    checkpoint.mkdir(parents=True)
    (checkpoint / "trainer.json").write_text(json.dumps({"files": {}, "step": 1, "setting": {"seed": 1}}))
    maps = [f"{setting}/{name}?images={setting}/photos&kind=depth" for name in ("maps", "maps/")]
    assert "seed=1" in refused(student.main, *options(setting, "--pseudo_labels", *maps))
    assert not (setting / "run/fused_labels").exists()
