"""Two real processes on the CPU train together: same weights on both, different samples, one set of files."""

import json

import pytest
import tiny
import torch
from processes import run_processes
from safetensors.torch import load_file
from transformers import set_seed

from semidepth.modeling import DepthStudentForDepthEstimation

METRIC_SCRIPT = """
import json, os, sys, torch
from semidepth.training import metric
from semidepth.training.recipes.metric import models, training

torch.set_num_threads(1)
if os.path.exists(f"{sys.argv[1]}/preset.json"):
    models.read_preset = lambda name, cls: json.load(open(f"{sys.argv[1]}/preset.json"))
compute = training.metric_losses

def spy(model, batch, **others):
    spy.model, spy.domains = model, batch["domain"]
    return compute(model, batch, **others)

training.metric_losses = spy
if status := metric.main(sys.argv[2:]): sys.exit(status)
total = sum(p.double().sum().item() for p in spy.model.parameters())
with open(f"{sys.argv[1]}/rank{os.environ['RANK']}.json", "w") as file:
    json.dump({"total": total, "domains": spy.domains, "wrapped": type(spy.model).__name__}, file)
"""

SCRIPT = """
import json, os, sys, torch
from semidepth.training import student
from semidepth.training.recipes import student as recipe
from semidepth.training.engine import loop

torch.set_num_threads(1)
rank, seen = os.environ["RANK"], []
compute = recipe.student_losses

def spy(model, batch, **others):
    seen.extend(batch["labeled"]["origin"] + batch["unlabeled"]["origin"])
    losses = compute(model, batch, **others)
    spy.model = model
    return losses

recipe.student_losses = spy
if status := student.main(sys.argv[2:]): sys.exit(status)
total = sum(p.double().sum().item() for p in spy.model.parameters())
with open(f"{sys.argv[1]}/rank{rank}.json", "w") as file:
    json.dump({"seen": seen, "total": total, "wrapped": type(spy.model).__name__}, file)
"""


@pytest.mark.slow
def test_heads_without_images_on_a_process_stay_the_same_on_both(tmp_path):
    """One image per process: each process trains one of the two heads in a step, and both end with the same weights."""
    set_seed(0)
    config = DepthStudentForDepthEstimation.config_for_encoder(tiny.encoder_config(), **tiny.DECODER)
    tiny.save_model(DepthStudentForDepthEstimation(config), tmp_path / "student")
    script = tmp_path / "train.py"
    script.write_text(METRIC_SCRIPT)
    arguments = [
        str(tmp_path), "--student", str(tmp_path / "student"), "--output_dir", str(tmp_path / "metric"),
        "--train", "indoor=scenes:indoor?count=4", "outdoor=scenes:outdoor?count=4",
        "--validation", "indoor=scenes:indoor?split=validation&count=1",  # nothing for the second process
        "--batch_size", "1", "--steps", "3", "--num_workers", "0", "--cpu", "true", "--bin_embedding_dim", "16",
    ]  # fmt: skip
    run_processes(script, arguments)
    first, second = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1))
    assert first["wrapped"] == "DistributedDataParallel"
    assert len(first["domains"]) == 1
    assert first["total"] == second["total"]
    results = json.loads((tmp_path / "metric/results.json").read_text())
    assert 0 <= results["validation/router_accuracy"] <= 1
    assert results["indoor/domain_given/abs_rel"] > 0


def test_both_processes_train_the_student_that_is_not_there_yet(tmp_path):
    encoder = tiny.save_encoder(tmp_path / "encoder")
    preset = {
        "encoder": encoder, "labeled": ["scenes:indoor?count=4"], "unlabeled": ["scenes:outdoor?count=8"], "steps": 1,
        "teacher_steps": 1, "batch_size": 1, "num_workers": 0, "teacher_dir": str(tmp_path / "teacher"),
        "preview_every": 0, "checkpoint_every": 0,
    }  # fmt: skip
    (tmp_path / "preset.json").write_text(json.dumps(preset))
    script = tmp_path / "train.py"
    script.write_text(METRIC_SCRIPT)
    arguments = [
        str(tmp_path), "--student_dir", str(tmp_path / "student"), "--output_dir", str(tmp_path / "metric"),
        "--train", "indoor=scenes:indoor?count=4", "outdoor=scenes:outdoor?count=4", "--batch_size", "2",
        "--steps", "2", "--num_workers", "0", "--cpu", "true", "--bin_embedding_dim", "16",
    ]  # fmt: skip
    run_processes(script, arguments)
    first, second = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1))
    assert first["total"] == second["total"]
    assert (tmp_path / "student/model.safetensors").is_file()


def test_two_processes_train_and_agree(tmp_path):
    encoder = tiny.save_encoder(tmp_path / "encoder")
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    arguments = [
        str(tmp_path), "--encoder", encoder, "--output_dir", str(tmp_path / "student"),
        "--teacher_dir", str(tmp_path / "teacher"), "--labeled", "scenes:indoor?count=8",
        "--unlabeled", "scenes:outdoor?count=16", "--batch_size", "2", "--steps", "2", "--teacher_steps", "2",
        "--learning_rate", "1e-3", "--num_workers", "0", "--checkpoint_every", "2", "--cpu", "true",
        "--validation", "scenes:indoor?split=validation&count=3", "--ema_decay", "0.5",
    ]  # fmt: skip
    run_processes(script, arguments)

    first, second = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1))
    assert first["wrapped"] == "DistributedDataParallel"
    assert first["total"] == second["total"]
    assert len(first["seen"]) == len(second["seen"]) == 2 * (2 + 4)
    assert not set(first["seen"]) & set(second["seen"])
    checkpoint = tmp_path / "student/checkpoint-00000002"
    assert len(list(checkpoint.glob("random-*.safetensors"))) == 2
    saved = load_file(checkpoint / "model.safetensors")
    assert all(value.isfinite().all() for value in saved.values())
    assert torch.equal(
        load_file(checkpoint / "average.safetensors")["module.head.conv1.weight"],
        load_file(tmp_path / "student/model.safetensors")["head.conv1.weight"],
    )
