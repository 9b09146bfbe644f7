"""Eight micro-batches of one are one batch of eight: the real commands, the same samples, gradients within rounding.

What depends on the composition of a micro-batch is left out by the options below; docs/scale.md lists it.
"""

from itertools import chain

import tiny
import torch
from safetensors.torch import load_file

from semidepth.training.options.student import StudentOptions
from semidepth.training.options.teacher import TeacherOptions
from semidepth.training.recipes import student, teacher

STEPS = 4
# float32 sums in another order: 1e-6 of the largest gradient, and 1e-4 in some runs, where rounding puts a pixel on the
# other side of a kink (|x|, ReLU, median). A micro-batch of another weight would be a hundred times that.
GRADIENT_TOLERANCE = 1e-3
# AdamW divides gradients by their own size, so that one that is all rounding (where the loss does not depend on the
# weight) comes back as a whole step: losses are compared over a few steps at a small rate.
LOSS_TOLERANCE = 1e-4

COMMON = {
    "labeled": ["scenes:indoor?count=16"],
    "steps": STEPS,
    "size": 48,
    "learning_rate": 1e-6,
    "warmup_steps": 0,
    "gradient_matching_weight": 1.0,
    "max_grad_norm": 1e6,  # clipping would hide gradients of another size
    "num_workers": 0,
    "shuffle_buffer": 0,
    "checkpoint_every": 1,
    "keep_checkpoints": STEPS,
    "preview_every": 0,
    "cpu": True,
}


def observe(monkeypatch, module, name, run):
    """The command's losses and the names of its samples, micro-batch by micro-batch."""
    losses, samples = [], []
    compute = getattr(module, name)

    def spy(model, batch, **others):
        found = compute(model, batch, **others)
        losses.append(found.total.item())
        samples.append(found.origins)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(module, name, spy)
        run()
    return torch.tensor(losses).view(STEPS, -1).mean(1), samples


def first_gradients(folder):
    """The mean gradient of the first update: AdamW's first moment after it is a tenth of that."""
    state = load_file(folder / "checkpoint-00000001/optimizer.safetensors")
    return {key: 10 * value for key, value in state.items() if key.endswith("exp_avg")}


def assert_same_gradients(whole, split):
    first, second = first_gradients(whole), first_gradients(split)
    assert first.keys() == second.keys()
    largest = max(value.abs().max() for value in first.values())
    assert largest > 1e-3
    for key in first:
        assert (first[key] - second[key]).abs().max() < GRADIENT_TOLERANCE * largest, key


def test_teacher(tmp_path, monkeypatch):
    encoder = tiny.save_encoder(tmp_path / "encoder")
    found = {}
    for name, batch_size, accumulation in (("whole", 8, 1), ("split", 1, 8)):
        arguments = TeacherOptions(
            encoder=encoder, output_dir=str(tmp_path / name), batch_size=batch_size,
            gradient_accumulation_steps=accumulation, **COMMON,
        )  # fmt: skip
        torch.manual_seed(0)
        found[name] = observe(
            monkeypatch, teacher, "teacher_losses", lambda arguments=arguments: teacher.train_teacher(arguments)
        )
    (whole, whole_samples), (split, split_samples) = found["whole"], found["split"]
    assert list(chain(*whole_samples)) == list(chain(*split_samples))
    assert len(split_samples) == 8 * len(whole_samples) == 8 * STEPS
    assert_same_gradients(tmp_path / "whole", tmp_path / "split")
    assert torch.allclose(whole, split, rtol=LOSS_TOLERANCE, atol=0)
    assert whole[-1] != whole[0]


def labeled(samples, batch_size):
    return [name for names in samples for name in names[:batch_size]]


def unlabeled(samples, batch_size):
    return [name for names in samples for name in names[batch_size:]]


def test_student(tmp_path, monkeypatch):
    encoder = tiny.save_encoder(tmp_path / "encoder")
    tiny.save_model(tiny.stock_model(seed=5), tmp_path / "stock")
    found = {}
    for name, batch_size, accumulation in (("whole", 8, 1), ("split", 1, 8)):
        arguments = StudentOptions(
            encoder=encoder, output_dir=str(tmp_path / name), batch_size=batch_size, teacher=str(tmp_path / "stock"),
            gradient_accumulation_steps=accumulation, unlabeled=["scenes:outdoor?count=16"],
            color_distortion=False,  # drawn batch by batch
            cutmix_probability=0.0,  # partners come from the same micro-batch
            feature_tolerance=1.0,  # a mean over the tokens that stay, of which every micro-batch has its own number
            **COMMON,
        )  # fmt: skip
        found[name] = observe(
            monkeypatch, student, "student_losses", lambda arguments=arguments: student.train_on_all(arguments)
        )
    (whole, whole_samples), (split, split_samples) = found["whole"], found["split"]
    assert labeled(whole_samples, 8) == labeled(split_samples, 1)
    assert unlabeled(whole_samples, 8) == unlabeled(split_samples, 1)
    assert_same_gradients(tmp_path / "whole", tmp_path / "split")
    assert torch.allclose(whole, split, rtol=LOSS_TOLERANCE, atol=0)
