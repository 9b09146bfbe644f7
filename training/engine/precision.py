"""Choice of the forward pass's number format for `--mixed_precision auto`: bfloat16 where it is faster than float32.

Processors without bfloat16 instructions emulate them: on one with AVX2 only, a matrix product took 80 times as long as
in float32. PyTorch neither warns nor has a public query for this, so both formats are timed.
"""

import logging
import time
from functools import lru_cache

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list

logger = logging.getLogger(__name__)

# bfloat16 has fewer mantissa bits, so `auto` chooses it only if it is at least this many times as fast.
LEAST_SPEEDUP = 1.2


def resolve_precision(asked: str, state: PartialState) -> str:
    """Returns the number format to train in, the same in every process; logs the choice of `auto`, warns if slow.

    Args:
        asked: no, bf16, fp16 or auto. auto chooses bf16 where the device is faster in it, else float32.
        state: accelerate's process state, for the device and the processes.

    Returns:
        no, bf16 or fp16.

    Raises:
        ValueError: for fp16 without CUDA.
    """
    if asked == "fp16" and state.device.type != "cuda":
        raise ValueError("--mixed_precision fp16 needs a CUDA device and none is in use; give bf16 or no.")
    if asked not in ("auto", "bf16"):
        return asked
    if state.device.type != "cpu":
        fast = state.device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)
        return "bf16" if asked == "bf16" or fast else "no"
    decision = [cpu_bf16_speedup()]
    broadcast_object_list(decision)  # timings differ between processes, but all must choose the same format
    speedup = decision[0]
    if asked == "bf16":
        if speedup < 1 and state.is_main_process:
            logger.warning(
                "this processor has no fast bfloat16: a matrix product takes %.0f times as long as in float32; "
                "--mixed_precision no trains faster",
                1 / speedup,
            )
        return "bf16"
    chosen = "bf16" if speedup >= LEAST_SPEEDUP else "no"
    if state.is_main_process:
        words = "bfloat16" if chosen == "bf16" else "float32"
        logger.info("--mixed_precision auto: %s (bfloat16 is %.2g times as fast as float32 here)", words, speedup)
    return chosen


@lru_cache(maxsize=1)
def cpu_bf16_speedup() -> float:
    """Returns float32's time divided by bfloat16's for a matrix product on this processor; measured once, in 0.2 s."""
    return _product_s(torch.float32) / _product_s(torch.bfloat16)


def _product_s(dtype: torch.dtype) -> float:
    """Returns the shortest of a few timings of a (128, 384) x (384, 384) product."""
    left, right = torch.ones(128, 384, dtype=dtype), torch.ones(384, 384, dtype=dtype)
    _ = left @ right  # the first one also prepares kernels
    timings = []
    for _ in range(3):
        began = time.perf_counter()
        _ = left @ right
        timings.append(time.perf_counter() - began)
    return min(timings)
