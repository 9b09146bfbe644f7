"""The decorator of ZeroGPU, the Hub's shared GPUs, where there is one; elsewhere it changes nothing."""

import os
from collections.abc import Callable
from typing import Any, TypeVar

try:
    # On a Hugging Face Space; to be imported before CUDA is used. A folder named spaces/ on the path has no GPU in it.
    from spaces import GPU
except ImportError:
    GPU = None

ON_ZERO_GPU = GPU is not None and bool(os.environ.get("SPACES_ZERO_GPU"))
F = TypeVar("F", bound=Callable[..., Any])


def gpu(function: F) -> F:
    """Lends a GPU to each call of the function, on ZeroGPU. Arguments and results travel between processes."""
    return function if GPU is None else GPU(function)
