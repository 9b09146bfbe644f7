"""The decorator of ZeroGPU, the Hub's shared GPUs, where there is one; elsewhere it changes nothing."""

import os
from collections.abc import Callable
from typing import Any, TypeVar

try:
    import spaces  # on a Hugging Face Space; to be imported before CUDA is used
except ImportError:
    spaces = None

ON_ZERO_GPU = spaces is not None and bool(os.environ.get("SPACES_ZERO_GPU"))
F = TypeVar("F", bound=Callable[..., Any])


def gpu(function: F) -> F:
    """Lends a GPU to each call of the function, on ZeroGPU. Arguments and results travel between processes."""
    return function if spaces is None else spaces.GPU(function)
