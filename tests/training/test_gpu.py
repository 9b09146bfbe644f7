"""What only a CUDA device can show: rendering there, training there, and a step that never waits for it."""

import copy

import pytest
import tiny
import torch

from semidepth.data.scenes.render import render_scenes
from semidepth.modeling import DepthStudentForDepthEstimation, RoutedDepthForDepthEstimation
from semidepth.prediction.models import DepthModel
from semidepth.prediction.preprocessing import Preprocessing
from semidepth.training.options.metric import MetricOptions
from semidepth.training.options.student import StudentOptions
from semidepth.training.recipes.metric.training import metric_losses
from semidepth.training.recipes.student import student_losses
from semidepth.training.student import train_student

pytestmark = pytest.mark.gpu


def test_scenes_are_those_of_the_cpu():
    here, there = (render_scenes("outdoor", range(4), device=device) for device in ("cpu", "cuda"))
    same = torch.isclose(here.depth, there.depth.cpu(), rtol=1e-3) | (here.depth == there.depth.cpu())
    assert same.float().mean() > 0.99


@pytest.mark.parametrize("mixed_precision", ["no", "bf16", "fp16"])
def test_a_student_trains(tmp_path, mixed_precision):
    arguments = StudentOptions(
        encoder=tiny.save_encoder(tmp_path / "encoder"), output_dir=str(tmp_path / "student"),
        teacher_dir=str(tmp_path / "teacher"), labeled=["scenes:indoor?count=8"], unlabeled=["scenes:outdoor"],
        batch_size=2, steps=4, teacher_steps=2, num_workers=1, mixed_precision=mixed_precision, checkpoint_every=2,
    )  # fmt: skip
    assert train_student(arguments)["loss"] > 0


EFFECTS = ("depth_of_field", "shot_noise", "blur", "jpeg")


@pytest.mark.parametrize(
    "changes", [{}, {"losses": "full", "camera_effects": EFFECTS, "labeled_camera_effects": EFFECTS}]
)
def test_a_step_does_not_wait_for_the_device(tmp_path, changes):
    student = DepthStudentForDepthEstimation.from_encoder(tiny.save_encoder(tmp_path), **tiny.DECODER).cuda()
    frozen = copy.deepcopy(student.backbone).eval().requires_grad_(False)
    teacher = DepthModel(tiny.stock_model().cuda().requires_grad_(False), Preprocessing(48, 8), "disparity")
    optimizer = torch.optim.AdamW(student.parameters())
    image = torch.randint(0, 256, (6, 3, 48, 48), dtype=torch.uint8).cuda()
    batch = {
        "labeled": {
            "image": image[:2],
            "disparity": torch.rand(2, 48, 48).cuda(),
            "origin": ["a", "b"],
            "labels": ["synthetic", "sparse"],
        },
        "unlabeled": {"image": image[2:], "origin": ["c", "d", "e", "f"]},
    }
    generator = torch.Generator().manual_seed(0)
    for step in range(3):
        torch.cuda.set_sync_debug_mode("error" if step else "default")  # the first step may set things up
        try:
            losses = student_losses(
                student, batch, teacher=teacher, frozen_encoder=frozen, preprocessing=Preprocessing(48, 8),
                generator=generator, options=StudentOptions(drop_fraction=0.1, **changes),
            )  # fmt: skip
            losses.total.backward()
            torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
        finally:
            torch.cuda.set_sync_debug_mode("default")


def test_a_metric_step_does_not_wait_for_the_device(tmp_path):
    student = DepthStudentForDepthEstimation.from_encoder(tiny.save_encoder(tmp_path), **tiny.DECODER)
    arguments = MetricOptions()
    domains = arguments.domain_list()
    model = RoutedDepthForDepthEstimation.from_student(student, [domain.head() for domain in domains]).cuda()
    optimizer = torch.optim.AdamW(model.parameters())
    batch = {
        "image": torch.randint(0, 256, (4, 3, 48, 48), dtype=torch.uint8).cuda(),
        "depth": torch.rand(4, 48, 48).cuda() * 5 + 1,
        "domain": ["indoor", "outdoor", "indoor", "outdoor"],
        "origin": list("abcd"),
    }
    generator = torch.Generator().manual_seed(0)
    for step in range(3):
        torch.cuda.set_sync_debug_mode("error" if step else "default")  # the first step may set things up
        try:
            losses = metric_losses(
                model, batch, domains=domains, preprocessing=Preprocessing(48, 8), generator=generator,
                options=arguments,
            )  # fmt: skip
            losses.total.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
            optimizer.step()
            optimizer.zero_grad()
        finally:
            torch.cuda.set_sync_debug_mode("default")
