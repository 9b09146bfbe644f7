"""Which number format `--mixed_precision auto` takes, and what is told about slow ones."""

import logging
import time

import pytest
import torch
from accelerate import PartialState

from semidepth.training.engine import precision
from semidepth.training.engine.precision import cpu_bf16_speedup, resolve_precision


@pytest.fixture
def state():
    return PartialState(cpu=True)


@pytest.mark.parametrize(("speedup", "chosen"), [(0.0125, "no"), (1.0, "no"), (1.9, "bf16")])
def test_auto_takes_the_faster_format_and_says_so(state, monkeypatch, caplog, speedup, chosen):
    monkeypatch.setattr(precision, "cpu_bf16_speedup", lambda: speedup)
    with caplog.at_level(logging.INFO):
        assert resolve_precision("auto", state) == chosen
    assert {"no": "float32", "bf16": "bfloat16"}[chosen] in caplog.text


def test_a_slow_bf16_that_was_asked_for_is_kept_and_warned_of(state, monkeypatch, caplog):
    monkeypatch.setattr(precision, "cpu_bf16_speedup", lambda: 0.0125)
    assert resolve_precision("bf16", state) == "bf16"
    assert "80 times" in caplog.text
    caplog.clear()
    monkeypatch.setattr(precision, "cpu_bf16_speedup", lambda: 2.0)
    assert resolve_precision("bf16", state) == "bf16"
    assert not caplog.text


def test_fp16_needs_cuda(state):
    with pytest.raises(ValueError, match="fp16"):
        resolve_precision("fp16", state)
    assert resolve_precision("no", state) == "no"


def test_the_measured_speedup_is_that_of_a_larger_product():
    """Within a factor that noise can't reach: emulation is tens of times slower, instructions a few times faster."""
    left, right = torch.ones(256, 512), torch.ones(512, 512)
    seconds = []
    for dtype in (torch.float32, torch.bfloat16):
        a, b = left.to(dtype), right.to(dtype)
        _ = a @ b
        began = time.perf_counter()
        _ = a @ b
        seconds.append(time.perf_counter() - began)
    larger = seconds[0] / seconds[1]
    assert larger / 10 < cpu_bf16_speedup() < larger * 10
