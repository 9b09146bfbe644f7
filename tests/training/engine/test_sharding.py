"""What goes with FSDP2 and what is refused; training with it is in test_scale, where there are two processes."""

import os

import pytest
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin
from torch import nn

from semidepth.training.engine.sharding import evaluation_model, prepare, prepare_sharding
from semidepth.training.options.run import RunOptions


@pytest.fixture
def sharding(monkeypatch):
    """An accelerator as it is on GPUs under our FSDP config (on a CPU accelerate would take no FSDP)."""
    for name, value in {"ACCELERATE_USE_FSDP": "true", "FSDP_CPU_RAM_EFFICIENT_LOADING": "false"}.items():
        monkeypatch.setenv(name, value)
    accelerator = Accelerator(cpu=True)
    accelerator.state.distributed_type = DistributedType.FSDP
    accelerator.state.fsdp_plugin = FullyShardedDataParallelPlugin(fsdp_version=2)
    return accelerator


def check(accelerator, *, find_unused_parameters=False, **options):
    prepare_sharding(accelerator, RunOptions(**options), find_unused_parameters=find_unused_parameters)


def test_precision_is_left_to_autocast(sharding):
    sharding.state.fsdp_plugin.set_mixed_precision("bf16")
    assert sharding.state.fsdp_plugin.mixed_precision_policy.reduce_dtype == torch.bfloat16
    check(sharding, mixed_precision="bf16")
    policy = sharding.state.fsdp_plugin.mixed_precision_policy
    assert (policy.param_dtype, policy.reduce_dtype, policy.output_dtype) == (None, None, None)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"ema_decay": 0.9}, "--ema_decay .*FSDP"),
        ({"compile": True}, "--compile .*FSDP"),
        ({"find_unused_parameters": True}, "FSDP.*metric head without images"),
    ],
)
def test_options_that_need_whole_weights_are_refused(sharding, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        check(sharding, **options)


def test_loading_into_one_process_alone_is_refused(sharding):
    sharding.state.fsdp_plugin.cpu_ram_efficient_loading = True
    with pytest.raises(ValueError, match=r"fsdp_cpu_ram_efficient_loading is on.*set it to false"):
        check(sharding)


def test_no_silent_fall_back(monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(ValueError, match=r"FSDP .*NO.*fsdp_version 2"):
        check(Accelerator(cpu=True))


def test_without_fsdp_any_option_works_and_the_model_itself_is_evaluated():
    assert os.environ.get("ACCELERATE_USE_FSDP", "false") == "false"
    accelerator = Accelerator(cpu=True)
    check(accelerator, ema_decay=0.9, compile=True, find_unused_parameters=True)
    model = nn.Linear(2, 2)
    _, _, whole = prepare(accelerator, model, torch.optim.AdamW(model.parameters()))
    assert evaluation_model(whole, model) is model
    assert not model.training
