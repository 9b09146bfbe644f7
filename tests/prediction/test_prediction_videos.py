"""Depth of videos from the command line: one head and one range over the whole clip, progress from the start."""

import numpy as np
import pytest
import torch
from clip_files import make_video
from serving import save_models

from semidepth.media.clip_sample import SAMPLE_FRAMES
from semidepth.media.color_maps import colorize
from semidepth.media.video_reading import read_frames
from semidepth.prediction.models import load_depth_model
from semidepth.prediction.predictor import Predictor
from semidepth.prediction.videos import predict_video


def soft(seed):
    """(48, 64, 3) soft shapes: each seed another picture."""
    rough = np.random.default_rng(seed).integers(0, 256, (3, 4, 3))
    return np.kron(rough, np.ones((16, 16, 1))).astype(np.uint8)


@pytest.fixture
def wavering(tmp_path):
    """A routed model whose router takes `soft(0)` for a street and `soft(1)` for a room."""
    model = load_depth_model(save_models(tmp_path)[0])
    predictor = Predictor(model, threads=1)
    pictures = torch.stack(
        [model.preprocessing.resize(torch.from_numpy(soft(seed)).permute(2, 0, 1)) for seed in (0, 1)]
    )
    margins = model.forward(pictures)[1].domain_logits.diff(dim=1)[:, 0]  # of the second head before the first
    last = [module for module in model.model.router.modules() if isinstance(module, torch.nn.Linear)][-1]
    sign = 1.0 if margins[0] > margins[1] else -1.0
    with torch.no_grad():
        last.weight *= sign
        last.bias *= sign
        last.bias[1] -= sign * margins.mean()
    chosen = model.forward(pictures)[1].domain
    assert chosen.tolist() == [1, 0]  # else nothing below could fail
    return predictor


@pytest.mark.parametrize(("pictures", "head"), [([0, 1, 0], "outdoor"), ([0, 1, 1], "indoor")])
def test_one_head_holds_for_all_frames(wavering, tmp_path, pictures, head):
    clip = make_video(tmp_path / "a.mkv", frames=[soft(n) for n in pictures], codec="ffv1", pixel_format="yuv444p")
    told = []
    made = predict_video(wavering, clip, tmp_path / "b.mp4", tell=lambda done, total: told.append((done, total)))
    assert made.domain == head
    assert told == [(n, 6) for n in range(7)]  # three to settle range and head, and the three themselves
    steady = Predictor(wavering.model, threads=1, domain=head)
    maps = [
        next(iter(steady.run([frame], lambda each: torch.from_numpy(each.pixels).permute(2, 0, 1)))).full_size()
        for frame in read_frames(clip)
    ]
    for metres, frame in zip(maps, read_frames(tmp_path / "b.mp4"), strict=True):
        expected = colorize(1 / metres, made.limits)
        assert np.abs(expected.astype(int) - frame.pixels).mean() < 12  # H.264, 4:2:0


def test_a_clip_without_a_length_is_sampled_in_few_places(wavering, tmp_path):
    frames = [soft(number % 2) for number in range(3 * SAMPLE_FRAMES)]
    clip = make_video(tmp_path / "a.webm", frames=frames, codec="libvpx", options={"live": "1"})
    told = []
    predict_video(wavering, clip, tmp_path / "b.mp4", tell=lambda done, total: told.append((done, total)))
    assert told == [(number, 4 * SAMPLE_FRAMES) for number in range(4 * SAMPLE_FRAMES + 1)]
