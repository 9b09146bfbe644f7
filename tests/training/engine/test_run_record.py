"""A run says how long it took and on what; over all its parts where it was stopped and went on."""

import json
import time

import tiny
import torch
from safetensors.torch import load_file

from semidepth.training.engine import run_record
from semidepth.training.options.teacher import TeacherOptions
from semidepth.training.teacher import train_teacher


def run(tmp_path, name, **changes):
    options = {
        "encoder": tiny.save_encoder(tmp_path / "encoder"), "labeled": ["scenes:indoor?count=16"], "batch_size": 2,
        "validation": ("none",), "num_workers": 0, "cpu": True, "checkpoint_every": 2, "preview_every": 0,
        "output_dir": str(tmp_path / name),
    }  # fmt: skip
    began = time.perf_counter()
    returned = train_teacher(TeacherOptions(**(options | changes)))
    saved = json.loads((tmp_path / name / "results.json").read_text())
    assert saved["run"] == returned["run"]
    return saved["run"], (time.perf_counter() - began) / 3600


def test_hours_device_and_versions_are_recorded(tmp_path):
    record, elapsed = run(tmp_path, "run", steps=2)
    assert 0 < record["hours"] < elapsed
    assert record["gpu_hours"] == 0
    assert record["processes"] == 1
    assert record["mixed_precision"] == "no"
    assert record["device"]
    assert {"python", "torch", "transformers", "accelerate"} <= set(record["versions"])
    assert record["hub"] == []  # a local encoder, built-in scenes


def test_a_resumed_runs_hours_are_the_sum_of_its_parts(tmp_path):
    run(tmp_path, "resumed", steps=2)
    checkpoint = tmp_path / "resumed/checkpoint-00000002/trainer.json"
    trainer = json.loads(checkpoint.read_text())
    del trainer["crc32"]  # the record is changed here
    assert 0 < trainer["run"]["hours"] < 1
    trainer["run"] |= {"hours": 5.0, "gpu_hours": 40.0, "device": "NVIDIA X", "processes": 8}
    checkpoint.write_text(json.dumps(trainer))
    record, elapsed = run(tmp_path, "resumed", steps=4)
    assert 5 < record["hours"] < 5 + elapsed
    assert record["gpu_hours"] == 40  # this part ran on no GPU
    assert record["device"].startswith("NVIDIA X, ")
    assert record["device"].count(", ") == 1
    assert record["processes"] == 1
    # The clock has no say in what is learned: steps 3 and 4 of a run from checkpoints with and without it.
    trainer.pop("run")
    (tmp_path / "plain").mkdir()
    checkpoint.parent.rename(tmp_path / "plain" / checkpoint.parent.name)
    (tmp_path / "plain" / checkpoint.parent.name / "trainer.json").write_text(json.dumps(trainer))
    record, elapsed = run(tmp_path, "plain", steps=4)
    assert 0 < record["hours"] < elapsed  # a checkpoint of an older version: what it took is not known
    weights, others = (load_file(tmp_path / name / "model.safetensors") for name in ("resumed", "plain"))
    assert all((weights[key] == others[key]).all() for key in weights)


def test_gpu_hours_count_every_process(monkeypatch):
    """On a device that calls itself CUDA, eight processes for half an hour are four GPU hours."""

    class Accelerator:
        device, num_processes = torch.device("cuda", 0), 8

    assert run_record.device_name(torch.device("cpu"))
    monkeypatch.setattr(run_record, "device_name", lambda device: "NVIDIA X")
    record = run_record.RunRecord(Accelerator(), "bf16", TeacherOptions(encoder="facebook/dinov2-small", batch_size=2))
    record._began -= 1800
    values = record.values()
    assert abs(values["hours"] - 0.5) < 1e-3
    assert abs(values["gpu_hours"] - 4) < 8e-3
    assert values["hub"] == ["facebook/dinov2-small"]
    assert (values["defaults"]["batch_size"], values["defaults"]["decoder_lr_factor"]) == (16, 10.0)
