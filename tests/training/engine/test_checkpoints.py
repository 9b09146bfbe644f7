"""Checkpoints: everything comes back, nothing half-written counts, nothing is pickled."""

import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from streams import make_loader
from torch import nn
from transformers import get_linear_schedule_with_warmup

from semidepth.training.engine.checkpoints import (
    check_setting,
    list_checkpoints,
    load_checkpoint,
    newest_checkpoint,
    save_checkpoint,
)
from semidepth.training.engine.step_data import StepData


def make(seed=0, lr=0.1):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    optimizer = torch.optim.AdamW(
        [
            {"name": "encoder", "params": model[0].parameters()},
            {"name": "decoder", "params": model[2].parameters()},
        ],
        lr=lr,
    )
    return model, optimizer, get_linear_schedule_with_warmup(optimizer, 2, 20)


def step(model, optimizer, scheduler):
    model(torch.rand(16, 4)).square().mean().backward()
    optimizer.step()
    scheduler.step()
    optimizer.zero_grad()


def make_data(seed=0):
    loader = make_loader(["scenes:indoor?count=8"], labeled=False, batch_size=2, size=8, shuffle_buffer=3)
    return StepData({"images": loader}, torch.Generator().manual_seed(seed))


def save(folder, number, parts, keep=2, data=None):
    model, optimizer, _ = parts
    return save_checkpoint(
        folder, accelerator=Accelerator(cpu=True), step=number, modules={"model": model}, optimizer=optimizer,
        data=data or make_data(), keep=keep, setting={"encoder": "e"},
    )  # fmt: skip


def load(checkpoint, parts, encoder="e", data=None):
    model, optimizer, scheduler = parts
    check_setting(checkpoint, {"encoder": encoder}, {})
    return load_checkpoint(
        checkpoint, accelerator=Accelerator(cpu=True), modules={"model": model}, optimizer=optimizer,
        scheduler=scheduler, data=data or make_data(),
    )  # fmt: skip


def test_a_resumed_run_goes_on_bit_for_bit(tmp_path):
    parts = make()
    for _ in range(5):
        step(*parts)
    checkpoint = save(tmp_path, 5, parts)
    for _ in range(5):
        step(*parts)
    expected_draws = (torch.rand(3), random.random(), np.random.rand())  # noqa: NPY002

    other = make(seed=1)
    torch.manual_seed(99)
    assert load(checkpoint, other) == 5
    for _ in range(5):
        step(*other)
    for mine, theirs in zip(other[0].parameters(), parts[0].parameters(), strict=True):
        assert torch.equal(mine, theirs)
    assert other[2].get_last_lr() == parts[2].get_last_lr()
    draws = (torch.rand(3), random.random(), np.random.rand())  # noqa: NPY002
    assert torch.equal(draws[0], expected_draws[0])
    assert draws[1:] == expected_draws[1:]


def test_only_the_newest_whole_checkpoints_are_kept_and_listed(tmp_path, caplog):
    parts = make()
    for number in (1, 2, 3):
        save(tmp_path, number, parts, keep=2)
    (tmp_path / "checkpoint-00000009.unfinished").mkdir()
    (tmp_path / "checkpoint-00000008").mkdir()  # without trainer.json: not whole
    damaged = tmp_path / "checkpoint-00000003" / "model.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    assert [path.name for path in list_checkpoints(tmp_path)] == ["checkpoint-00000002"]
    assert re.search(r"checkpoint-00000003 .*model\.safetensors", caplog.text)
    save(tmp_path, 3, parts, keep=2)
    assert [path.name for path in list_checkpoints(tmp_path)] == [
        "checkpoint-00000002",
        "checkpoint-00000003",
    ]


def test_a_kill_amid_the_deleting_of_an_old_checkpoint_leaves_nothing_that_looks_damaged(tmp_path, monkeypatch, caplog):
    for number in (1, 2):
        save(tmp_path, number, make())

    def killed(folder, **_):
        if Path(folder).is_dir():
            (Path(folder) / "trainer.json").unlink()
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("semidepth.training.engine.checkpoints.shutil.rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            save(tmp_path, 3, make())
    assert [path.name[-1] for path in list_checkpoints(tmp_path)] == ["2", "3"]
    assert "damaged" not in caplog.text
    save(tmp_path, 4, make())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-00000003", "checkpoint-00000004"]


def test_data_and_its_draws_go_on_where_they_were(tmp_path):
    data = make_data()
    seen = [next(data)["origin"] for _ in range(3)]
    torch.rand(5, generator=data.generator)
    checkpoint = save(tmp_path, 3, make(), data=data)
    expected = [next(data)["origin"] for _ in range(5)], torch.rand(3, generator=data.generator)
    other = make_data(seed=9)
    load(checkpoint, make(), data=other)
    assert [next(other)["origin"] for _ in range(5)] == expected[0] != seen
    assert torch.equal(torch.rand(3, generator=other.generator), expected[1])


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
import test_checkpoints as t
from semidepth.training.engine.checkpoints import CheckpointError

folder = Path(sys.argv[1])
parts = t.make()
t.save(folder, 1, parts)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    t.save(folder, 2, parts, keep=1)
except CheckpointError as error:
    print(error)
"""


@pytest.mark.parametrize("limit", [700, *(pytest.param(limit, marks=pytest.mark.slow) for limit in (0, 3000))])
def test_a_file_that_cannot_be_written_leaves_the_last_checkpoint_as_it_was(tmp_path, limit):
    """The system refuses to let files grow, as on a full disk: at the first, a middle and a late file."""
    own = (str(Path(__file__).parents[up]) for up in (0, 2))
    paths = os.pathsep.join([*own, os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path), str(limit)],
        capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": paths},
    )  # fmt: skip
    assert re.search(r"checkpoint-00000002 .*File too large.*--output_dir", done.stdout)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-00000001"]
    assert load(tmp_path / "checkpoint-00000001", make(seed=1)) == 1


def test_a_checkpoint_is_on_the_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    events = []
    fsync, rename = os.fsync, Path.rename

    def synced(opened):
        events.append(str(Path(f"/proc/self/fd/{opened}").readlink()))
        fsync(opened)

    def renamed(path, target):
        events.append(f"{path} -> {target}")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "rename", renamed)
    checkpoint = save(tmp_path, 1, make())
    partial = f"{checkpoint}.unfinished"
    before, after = (events[: (place := events.index(f"{partial} -> {checkpoint}"))], events[place + 1 :])
    assert {*before} >= {partial, *(f"{partial}/{path.name}" for path in checkpoint.iterdir())}
    assert str(tmp_path) in after  # the folder that names it


def test_nothing_but_safetensors_and_json(tmp_path):
    checkpoint = save(tmp_path, 1, make())
    assert {path.suffix for path in checkpoint.iterdir()} == {".safetensors", ".json"}


def test_a_checkpoint_of_another_model_is_refused_in_one_sentence(tmp_path):
    checkpoint = save(tmp_path, 1, make())
    model = nn.Linear(4, 1)
    optimizer = torch.optim.AdamW(model.parameters())
    with pytest.raises(ValueError, match=r"checkpoint-00000001 .*--output_dir"):
        load(checkpoint, (model, optimizer, get_linear_schedule_with_warmup(optimizer, 2, 20)))


def test_a_resumed_run_keeps_its_own_rates_at_the_checkpoints_place_in_the_schedule(tmp_path):
    parts = make()
    for _ in range(8):
        step(*parts)
    slower = make(lr=0.01)
    load(save(tmp_path, 8, parts), slower)
    assert slower[2].get_last_lr() == pytest.approx([0.1 * rate for rate in parts[2].get_last_lr()])
    assert slower[1].param_groups[0]["lr"] == slower[2].get_last_lr()[0] == pytest.approx(0.01 * 12 / 18)
    step(*slower)
    assert slower[1].param_groups[0]["lr"] == pytest.approx(0.01 * 11 / 18)


def test_a_checkpoint_of_another_setting_is_refused(tmp_path):
    checkpoint = save(tmp_path, 1, make())
    with pytest.raises(ValueError, match=r"encoder=e, not encoder=other; .*--output_dir"):
        load(checkpoint, make(), encoder="other")


def flip(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("model.safetensors", flip),
        ("optimizer.safetensors", lambda file: file.write_bytes(bytes(file.stat().st_size))),
        ("random-00000.json", flip),
        ("data-00000.json", flip),
        ("trainer.json", lambda file: file.write_text(file.read_text().replace('"step": 3', '"step": 2'))),
        ("trainer.json", lambda file: file.write_text("{")),
        ("trainer.json", lambda file: file.write_text('["step"]')),
        ("trainer.json", lambda file: file.write_bytes(bytes(file.stat().st_size))),
    ],
)
def test_a_checkpoint_with_damaged_content_is_told_and_the_one_before_is_used(tmp_path, caplog, name, damage):
    parts = make()
    for number in (1, 3):
        save(tmp_path, number, parts)
    assert newest_checkpoint(tmp_path).name == "checkpoint-00000003"
    damage(tmp_path / "checkpoint-00000003" / name)
    assert newest_checkpoint(tmp_path).name == "checkpoint-00000001"
    assert re.search(rf"checkpoint-00000003 is damaged .*{name}.*the checkpoint before", caplog.text)
    save(tmp_path, 2, parts, keep=1)  # as the run that resumed from the one before does
    assert newest_checkpoint(tmp_path).name == "checkpoint-00000002"
    assert load(tmp_path / "checkpoint-00000002", make(seed=1)) == 2


def test_a_run_whose_checkpoints_are_all_damaged_does_not_start_anew_in_silence(tmp_path):
    flip(save(tmp_path, 1, make()) / "model.safetensors")
    with pytest.raises(ValueError, match=r"all checkpoints .*checkpoint-00000001.*--output_dir"):
        newest_checkpoint(tmp_path)


def test_a_checkpoint_of_a_version_without_checksums_is_used(tmp_path):
    file = save(tmp_path, 1, make()) / "trainer.json"
    trainer = json.loads(file.read_text())
    del trainer["crc32"]
    file.write_text(json.dumps(trainer))
    assert newest_checkpoint(tmp_path) == file.parent
    assert newest_checkpoint(tmp_path / "nothing") is None
