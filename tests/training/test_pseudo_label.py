"""The labeling command on a tiny teacher: labels are its predictions, the work is resumable, students train from it."""

import copy
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import tiny
import torch
from loopback_hub import TOKEN, LoopbackHub
from PIL import Image
from processes import run_processes
from streams import make_loader

from semidepth.data.reading import image_folders
from semidepth.modeling import DepthStudentForDepthEstimation
from semidepth.prediction.models import load_depth_model
from semidepth.publishing.cards.model_card import make_card
from semidepth.publishing.facts import read_facts
from semidepth.training import pseudo_label, student, teacher
from semidepth.training.options.student import StudentOptions
from semidepth.training.recipes import student as student_recipe


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    """A teacher trained for six steps that kept three checkpoints, and photos of several sizes, one of them broken."""
    root = tmp_path_factory.mktemp("labels")
    encoder = tiny.save_encoder(root / "encoder")
    teacher.main([
        "--encoder", encoder, "--labeled", "scenes:indoor?count=8", "--steps", "6", "--batch_size", "2",
        "--checkpoint_every", "2", "--keep_checkpoints", "3", "--learning_rate", "1e-3", "--num_workers", "0",
        "--preview_every", "0", "--output_dir", str(root / "teacher"), "--cpu", "true", "--warmup_steps", "1",
    ])  # fmt: skip
    photos = root / "photos"
    photos.mkdir()
    rng = np.random.default_rng(0)
    for number in range(14):
        height, width = ((48, 48), (60, 96), (96, 60))[number % 3]
        coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        coarse.resize((width, height), Image.Resampling.BICUBIC).save(photos / f"{number:02}.jpg", quality=95)
    (photos / "05.jpg").write_bytes(b"\xff\xd8\xff")
    return root


def options_of(root, name, *more):
    return [
        "--teacher", str(root / "teacher"), "--unlabeled", str(root / "photos"), "--output", str(root / name),
        "--batch_size", "4", "--part_size", "5", "--cpu", "true", *more,
    ]  # fmt: skip


def label(root, name, *more):
    assert pseudo_label.main(options_of(root, name, *more)) == 0
    return root / name


def read(folder: Path) -> dict[str, dict]:
    rows = {}
    for path in sorted((folder / "data").glob("*.parquet")):
        for row in pq.read_table(path).to_pylist():
            assert row["origin"] not in rows
            rows[row["origin"]] = row
    return rows


def test_labels_are_the_teachers_to_half_a_step(setting, caplog):
    rows = read(label(setting, "labels"))
    assert "05.jpg" in caplog.text
    model = load_depth_model(str(setting / "teacher"))
    assert len(rows) == 13
    for origin, row in rows.items():
        assert origin.startswith("photos/")  # the set may be shown: nothing of where they lie
        assert row["image"]["bytes"] == (setting / origin).read_bytes()
        pixels = torch.from_numpy(np.array(Image.open(setting / origin))).permute(2, 0, 1)[None]
        height, width = model.preprocessing.target_size(*pixels.shape[-2:])
        stored = np.asarray(Image.open(io.BytesIO(row["disparity"]["bytes"])))
        assert stored.shape == (height, width)
        found = stored * row["depth_scale"] + row["depth_shift"]
        expected = model.predict_disparity(pixels)
        if expected.shape[-2:] == (height, width):  # the image had the teacher's size
            rounding = 2e-6 * expected.abs().max().item()  # a batch's float32 sums differ from a single image's
            assert np.abs(found - expected[0].numpy()).max() <= row["depth_scale"] * 0.5 + rounding
        else:
            expected = torch.nn.functional.interpolate(expected[None], size=(height, width), mode="bilinear")[0]
            assert np.corrcoef(found.ravel(), expected.flatten())[0, 1] > 0.99
        assert 0 < row["reliability"] <= 1
        assert row["teacher"] == "teacher"
        assert row["teacher_revision"].startswith("sha256:")
    assert len({row["reliability"] for row in rows.values()}) == 13


def test_goes_on_with_what_is_there_and_is_idempotent(setting):
    folder = label(setting, "again")
    before = read(folder)
    assert len(list((folder / "data").iterdir())) == 3
    times = {path: path.stat().st_mtime_ns for path in (folder / "data").iterdir()}
    label(setting, "again")
    assert {path: path.stat().st_mtime_ns for path in (folder / "data").iterdir()} == times
    lost = sorted((folder / "data").iterdir())[1]
    lost.unlink()
    label(setting, "again")
    after = read(folder)
    assert after.keys() == before.keys()
    for origin, row in before.items():  # batches were others, so that the last bits of the predictions may differ
        assert after[origin]["image"] == row["image"]
        assert after[origin]["depth_shift"] == pytest.approx(row["depth_shift"], rel=1e-4)
        assert after[origin]["reliability"] == pytest.approx(row["reliability"], rel=1e-3)


def test_two_processes_share_the_work(setting, tmp_path):
    script = tmp_path / "label.py"
    script.write_text("from semidepth.training import pseudo_label\n\npseudo_label.main()\n")
    run_processes(script, [
        "--teacher", str(setting / "teacher"), "--unlabeled", str(setting / "photos"),
        "--output", str(tmp_path / "two"),
        "--batch_size", "4", "--part_size", "5", "--cpu", "true",
    ])  # fmt: skip
    one, two = read(label(setting, "one")), read(tmp_path / "two")
    assert one.keys() == two.keys()
    for origin, row in one.items():
        assert row["depth_scale"] == pytest.approx(two[origin]["depth_scale"], rel=1e-4)


def test_another_teacher_or_source_is_refused(setting, refused):
    label(setting, "labels_of_one")
    told = refused(pseudo_label.main, *options_of(setting, "labels_of_one", "--part_size", "6"))
    assert "with part_size=5, not part_size=6; give another --output" in told
    assert "never ends" in refused(pseudo_label.main, "--teacher", "t", "--unlabeled", "scenes:indoor")


def test_reading_a_set_gives_the_labels_back(setting):
    """Through the loader of training: inverse depth equal to the stored, at the images of the teacher's own size."""
    folder = label(setting, "for_reading")
    rows = read(folder)
    spec = f"{folder}?kind=disparity"
    batches = list(make_loader([spec], labeled=True, batch_size=1, size=48, repeat=False, shuffle_buffer=0))
    assert len(batches) == len(rows) == 13  # also where the teacher's size has another ratio than the image
    for batch in batches:
        row = next((row for row in rows.values() if matches(row, batch["image"][0])), None)
        if row is None:
            continue
        stored = np.asarray(Image.open(io.BytesIO(row["disparity"]["bytes"]))) * row["depth_scale"] + row["depth_shift"]
        found = batch["disparity"][0].numpy()
        assert min(np.abs(found - m).max() for m in (stored, stored[:, ::-1])) <= 1e-5 * stored.max()


def matches(row, image) -> bool:
    pixels = np.array(Image.open(io.BytesIO(row["image"]["bytes"]))).transpose(2, 0, 1)
    if pixels.shape != tuple(image.shape):
        return False
    return any(np.array_equal(image.numpy(), each) for each in (pixels, pixels[:, :, ::-1]))


def student_options(setting, name, *more, steps=3):
    return [
        "--encoder", str(setting / "encoder"), "--labeled", "scenes:indoor?count=8", "--batch_size", "2",
        "--steps", str(steps), "--learning_rate", "1e-3", "--num_workers", "0", "--shuffle_buffer", "0",
        "--cpu", "true",
        "--preview_every", "0", "--log_every", "1", "--checkpoint_every", "0", "--color_distortion", "false",
        "--output_dir", str(setting / name), *more,
    ]  # fmt: skip


def train(setting, name, *more, steps=3):
    arguments = student_options(setting, name, *more, steps=steps)
    seen = []
    compute = student_recipe.student_losses

    def spy(*arguments, **others):
        losses = compute(*arguments, **others)
        seen.append(losses.terms["unlabeled"].item())
        return losses

    student_recipe.student_losses = spy
    try:
        assert student.main(arguments) == 0
    finally:
        student_recipe.student_losses = compute
    return seen


def test_a_students_loss_from_stored_labels_is_that_from_fresh_ones(setting):
    """At the teacher's own size, where training does not flip: a flipped image's fresh label is another one."""
    folder = label(setting, "for_losses")
    rows = read(folder)
    model = load_depth_model(str(setting / "teacher"))
    preprocessing = model.preprocessing
    trained = DepthStudentForDepthEstimation.from_encoder(str(setting / "encoder"), **tiny.DECODER)
    frozen = copy.deepcopy(trained.backbone)
    arguments = StudentOptions(cutmix_probability=0.0)
    compared = 0
    loader = make_loader([f"{folder}?kind=disparity"], labeled=True, batch_size=1, size=48, repeat=False)
    for unlabeled in loader:
        stored = [np.array(Image.open(io.BytesIO(row["image"]["bytes"]))).transpose(2, 0, 1) for row in rows.values()]
        if not any(np.array_equal(unlabeled["image"][0].numpy(), pixels) for pixels in stored):
            continue
        losses = [
            student_recipe.student_losses(
                trained, {"labeled": unlabeled, "unlabeled": unlabeled}, teacher=teacher, frozen_encoder=frozen,
                preprocessing=preprocessing, generator=torch.Generator().manual_seed(0), options=arguments,
            ).terms["unlabeled"].item()
            for teacher in (None, model)
        ]  # fmt: skip
        assert losses[0] == pytest.approx(losses[1], abs=2e-4)
        assert losses[1] > 0.05
        compared += 1
    assert compared >= 1


def test_a_student_trains_from_a_set(setting):
    folder = label(setting, "for_training")
    seen = train(setting, "from_labels", "--pseudo_labels", str(folder))
    assert len(seen) == 3
    assert np.isfinite(seen).all()
    assert json.loads((setting / "from_labels/results.json").read_text())["teacher"] == str(folder)


def test_selection_trains_on_the_stable_share_first(setting, caplog):
    name = "selected"
    train(
        setting, name, "--unlabeled", str(setting / "photos"), "--teacher", str(setting / "teacher"),
        "--select_reliable", "0.5", "--shuffle_buffer", "100", steps=4,
    )  # fmt: skip
    folder = setting / name
    labels, rest = read(folder / "labels_of_teacher"), read(folder / "labels_of_first_student")
    assert len(labels) == 13
    order = sorted(labels.values(), key=lambda row: row["reliability"])
    relabeled = {Path(origin.split("#")[0]).parent for origin in rest}
    assert relabeled == {Path("data")}
    assert len(rest) == 13 - round(13 * 0.5 + 0.01)
    stable_images = {row["image"]["bytes"] for row in order[len(rest) :]}
    assert not stable_images & {row["image"]["bytes"] for row in rest.values()}
    assert {row["teacher"] for row in rest.values()} == {"first_student"}
    final = json.loads((folder / "results.json").read_text())
    first = json.loads((folder / "first_student/results.json").read_text())
    assert "labels_of_first_student" in final["teacher"]
    assert "labels_of_first_student" not in first["teacher"]
    # What the card says of it is on record.
    assert (final.get("selected_share"), first.get("selected_share")) == (0.5, None)
    assert "ST++" in make_card(read_facts(folder)).text
    assert (folder / "model.safetensors").is_file()


def test_selection_refuses_what_its_last_student_would_before_it_labels(setting, tmp_path, refused):
    checkpoint = tmp_path / "run/checkpoint-00000001"
    checkpoint.mkdir(parents=True)
    (checkpoint / "trainer.json").write_text(json.dumps({"files": {}, "step": 1, "setting": {"seed": 1}}))
    told = refused(student.main, *student_options(
        setting, "no", "--unlabeled", setting / "photos", "--teacher", setting / "teacher", "--select_reliable", "0.5",
        "--output_dir", tmp_path / "run",
    ))  # fmt: skip
    assert "seed=1" in told
    assert not (tmp_path / "run/labels_of_teacher").exists()


def test_selection_needs_a_teacher_with_checkpoints(setting, tmp_path, refused):
    load_depth_model(str(setting / "teacher")).model.save_pretrained(tmp_path / "bare")
    told = refused(student.main, *student_options(
        setting, "no", "--unlabeled", setting / "photos", "--teacher", tmp_path / "bare", "--select_reliable", "0.5"
    ))  # fmt: skip
    assert "compares a teacher with its earlier checkpoints and" in told


def test_selection_trains_its_own_teacher_with_checkpoints(setting, tmp_path):
    train(
        setting, "own", "--unlabeled", str(setting / "photos"), "--teacher_dir", str(tmp_path / "teacher"),
        "--teacher_steps", "4", "--select_reliable", "0.5", steps=2,
    )  # fmt: skip
    assert [path.name for path in sorted((tmp_path / "teacher").glob("checkpoint-*"))] == [
        "checkpoint-00000002", "checkpoint-00000004",
    ]  # fmt: skip


HUB_RUN = """
import os, sys
from semidepth.training import pseudo_label, student

root, output = sys.argv[1], "hf://datasets/org/labels"
arguments = ["--teacher", f"{root}/teacher", "--unlabeled", f"{root}/photos", "--output", output, "--part_size", "5",
             "--batch_size", "4", "--cpu", "true"]
pseudo_label.main(arguments)
pseudo_label.main(arguments)
student.main([
    "--encoder", f"{root}/encoder", "--labeled", "scenes:indoor?count=8", "--pseudo_labels", "org/labels",
    "--steps", "2", "--batch_size", "2", "--num_workers", "0", "--cpu", "true", "--preview_every", "0",
    "--output_dir", sys.argv[2],
])
"""  # fmt: skip


def test_a_set_on_the_hub_is_written_once_and_trained_from(setting, tmp_path):
    """Pushed file by file through a busy Hub, streamed back by its name; a second run adds nothing."""
    with LoopbackHub() as hub:
        hub.faults.fail("datasets/org/labels/commit", status=503, method="POST", times=2)
        command = [sys.executable, "-c", HUB_RUN, str(setting), str(tmp_path / "student")]
        environment = os.environ | hub.environment(tmp_path / "home") | {"OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        files = hub.files("dataset", "org/labels")
        assert hub.repositories["dataset", "org/labels"].private
    parts = sorted(name for name in files if name.startswith("data/"))
    assert len(parts) == 3
    rows = [row for name in parts for row in pq.read_table(io.BytesIO(files[name])).to_pylist()]
    assert {row["origin"] for row in rows} == {f"photos/{path.name}" for path in (setting / "photos").iterdir()} - {
        "photos/05.jpg"
    }
    assert json.loads(files["pseudo_labels.json"])["part_size"] == 5
    assert (tmp_path / "student/model.safetensors").is_file()
    assert TOKEN not in done.stderr + done.stdout


def test_a_folder_that_has_grown_is_refused(setting, tmp_path, refused):
    photos = tmp_path / "photos"
    shutil.copytree(setting / "photos", photos)
    arguments = ["--teacher", str(setting / "teacher"), "--unlabeled", str(photos), "--output", str(tmp_path / "set"),
                 "--cpu", "true", "--part_size", "3"]  # fmt: skip
    pseudo_label.main(arguments)
    assert len(read(tmp_path / "set")) == 13
    shutil.copy(photos / "00.jpg", photos / "99.jpg")
    image_folders.find_images.cache_clear()  # as a new run has it
    told = refused(pseudo_label.main, *arguments)
    assert "with shards=[14], images=[14], not shards=[15], images=[15]" in told
