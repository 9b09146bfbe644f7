"""Two processes with half the batch each take the steps of one with the whole batch, under DDP and FSDP2 alike."""

import json
import shutil
from pathlib import Path

import pytest
import tiny
import torch
import yaml
from processes import run_processes
from safetensors.torch import load_file

from semidepth.modeling import DepthStudentForDepthEstimation
from semidepth.training.options.presets import PRESETS

# Minutes of several processes; tests/training/test_two_processes.py has DDP in the quick run.
pytestmark = pytest.mark.slow

# Writes the loss of every step. On CPUs accelerate takes DDP where FSDP is asked for; torch's sharding, which it calls,
# does run on them, so here its choice is put right: all that comes after is what runs on GPUs.
SCRIPT = """
import json, os, sys, torch
from accelerate import state
from accelerate.utils import DistributedType
from semidepth.training import student
from semidepth.training.recipes import student as recipe

torch.set_num_threads(1)
begin = state.AcceleratorState.__init__

def on_cpu(self, *args, fsdp_plugin=None, **others):
    begin(self, *args, fsdp_plugin=fsdp_plugin, **others)
    if fsdp_plugin is not None:
        self.distributed_type, self.fsdp_plugin = DistributedType.FSDP, fsdp_plugin
        state.PartialState._shared_state["distributed_type"] = DistributedType.FSDP

state.AcceleratorState.__init__ = on_cpu
compute = recipe.student_losses
losses = []

def spy(model, batch, **others):
    found = compute(model, batch, **others)
    losses.append(found.total.item())
    spy.seen = {
        "model": type(model).__name__,
        "broadcast_buffers": getattr(model, "broadcast_buffers", None),
        "frozen": sorted({
            type(module).__name__
            for part in (others["teacher"].model, others["frozen_encoder"]) for module in part.modules()
            if "Parallel" in type(module).__name__ or "FSDP" in type(module).__name__
        }),
    }
    spy.model = model
    return found

recipe.student_losses = spy
if status := student.main(sys.argv[2:]): sys.exit(status)
elements = sum(getattr(p, "_local_tensor", p).numel() for p in spy.model.parameters())
with open(f"{sys.argv[1]}/rank{os.environ.get('RANK', 0)}.json", "w") as file:
    json.dump(spy.seen | {"losses": losses, "elements": elements}, file)
"""

# What accelerate launch makes of the config.
CONFIG = yaml.safe_load((PRESETS / "accelerate/fsdp2.yaml").read_text())["fsdp_config"]
FSDP = {"ACCELERATE_USE_FSDP": "true"} | {name.upper(): str(value).lower() for name, value in CONFIG.items()}
FSDP["FSDP_AUTO_WRAP_POLICY"] = CONFIG["fsdp_auto_wrap_policy"]
STEPS = 4
# Batches of one half each; what is drawn or counted batch by batch is left out, as in test_accumulation.
OPTIONS = [
    "--labeled", "scenes:indoor?count=16", "--unlabeled", "scenes:outdoor?count=16", "--steps", str(STEPS),
    "--learning_rate", "1e-4", "--warmup_steps", "0", "--shuffle_buffer", "0", "--num_workers", "0", "--cpu", "true",
    "--color_distortion", "false", "--cutmix_probability", "0", "--feature_tolerance", "1", "--checkpoint_every", "1",
    "--keep_checkpoints", str(STEPS), "--preview_every", "0", "--log_every", "1", "--max_grad_norm", "1e6",
    "--validation", "scenes:indoor?split=validation&count=3",  # two for one process, one for the other
]  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """One process with four labeled and eight unlabeled images, two with half of them each: DDP and FSDP2."""
    root = tmp_path_factory.mktemp("scale")
    tiny.save_encoder(root / "encoder")
    tiny.save_model(tiny.stock_model(seed=5), root / "teacher")
    (root / "train.py").write_text(SCRIPT)
    start(root, "one", 1, "--batch_size", "4")
    start(root, "ddp", 2, "--batch_size", "2")
    start(root, "fsdp", 2, "--batch_size", "2", **FSDP)
    return root


def start(root, name, processes, *arguments, **settings):
    (root / f"{name}.seen").mkdir(exist_ok=True)
    run_processes(
        root / "train.py",
        [
            str(root / f"{name}.seen"), "--encoder", str(root / "encoder"), "--teacher", str(root / "teacher"),
            "--output_dir", str(root / name), *OPTIONS, *arguments,
        ],
        processes=processes,
        **settings,
    )  # fmt: skip


def seen(root, name):
    """What each process of a run wrote."""
    return [json.loads(path.read_text()) for path in sorted((root / f"{name}.seen").glob("rank*.json"))]


def losses(root, name):
    """(steps,) each step's loss, the mean over processes."""
    return torch.tensor([rank["losses"] for rank in seen(root, name)]).mean(0)


def assert_same_gradients(expected: Path, found: Path):
    """AdamW's first moments after one update: no difference beyond a hundred-thousandth of the largest of all."""
    expected, found = (load_file(run / "checkpoint-00000001/optimizer.safetensors") for run in (expected, found))
    moments = [key for key in expected if key.endswith("exp_avg")]
    largest = max(expected[key].abs().max() for key in moments)
    for key in moments:
        assert (expected[key] - found[key]).abs().max() <= 1e-5 * largest, key


def assert_same_tensors(expected: Path, found: Path):
    """No difference beyond a tenth of the encoder's rate: AdamW steps by rounding where a gradient is about 0."""
    expected, found = load_file(expected), load_file(found)
    assert expected.keys() == found.keys()
    for key, value in expected.items():
        assert torch.allclose(value, found[key], rtol=1e-5, atol=1e-5), key


@pytest.mark.parametrize("name", ["ddp", "fsdp"])
def test_two_processes_take_the_steps_of_one_with_twice_the_batch(runs, name):
    whole = losses(runs, "one")
    assert len(whole) == STEPS
    assert len(set(whole.tolist())) == STEPS
    assert torch.allclose(losses(runs, name), whole, rtol=1e-5, atol=0)
    assert_same_gradients(runs / "one", runs / name)
    results, expected = (json.loads((runs / run / "results.json").read_text()) for run in (name, "one"))
    assert results["loss"] == pytest.approx(losses(runs, name)[-1].item(), rel=1e-5)  # not that of the main process
    assert results["loss"] != pytest.approx(seen(runs, name)[0]["losses"][-1], rel=1e-3)
    score = "scenes:indoor?split=validation&count=3/abs_rel"
    assert results[score] == pytest.approx(expected[score], rel=1e-3)


def test_only_the_student_is_wrapped_and_no_buffer_is_sent_round(runs):
    for rank in seen(runs, "ddp"):
        assert rank["model"] == "DistributedDataParallel"
        assert rank["broadcast_buffers"] is False
        assert rank["frozen"] == []
    assert all(rank["frozen"] == [] for rank in seen(runs, "fsdp"))


def test_sharded_weights_end_as_those_of_ddp(runs):
    whole, (first, second) = seen(runs, "ddp")[0]["elements"], seen(runs, "fsdp")
    assert first["model"].startswith("FSDP")
    assert first["elements"] + second["elements"] == whole
    assert 0.4 < first["elements"] / whole < 0.6
    last = f"checkpoint-{STEPS:08d}"
    for file in ("model.safetensors", f"{last}/model.safetensors", f"{last}/optimizer.safetensors"):
        assert_same_tensors(runs / "ddp" / file, runs / "fsdp" / file)


def test_a_sharded_run_goes_on_from_its_checkpoint(runs):
    """From the middle to the end: the losses and the weights of the run that was not stopped, and of DDP."""
    for step in (1, 2):
        checkpoint = f"checkpoint-{step:08d}"
        shutil.copytree(runs / "fsdp" / checkpoint, runs / "resumed" / checkpoint)
    start(runs, "resumed", 2, "--batch_size", "2", **FSDP)
    assert losses(runs, "resumed").tolist() == losses(runs, "fsdp")[2:].tolist()
    assert_same_tensors(runs / "ddp/model.safetensors", runs / "resumed/model.safetensors")


def test_a_sharded_runs_files_load_into_a_bare_model(runs):
    final = DepthStudentForDepthEstimation.from_pretrained(runs / "fsdp").state_dict()
    checkpoint = load_file(runs / f"fsdp/checkpoint-{STEPS:08d}/model.safetensors")
    assert final.keys() == checkpoint.keys()
    assert all(torch.equal(final[name], value) for name, value in checkpoint.items())
