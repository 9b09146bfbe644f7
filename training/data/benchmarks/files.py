"""What several readers do with files: MATLAB lists, JSON, an image with its depth, optional packages.

Whatever is wrong with a file ends in one sentence that names it.
"""

import json
import logging
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from torch import Tensor

from semidepth.training.data.decoding import BrokenSampleError, decode_image
from semidepth.training.data.streaming import Sample

logger = logging.getLogger(__name__)


def import_extra(module: str, name: str) -> ModuleType:
    """A package that only some benchmarks need.

    Args:
        module: such as "h5py" or "scipy.io".
        name: of the benchmark that asks.

    Raises:
        ValueError: if it is not installed: how to install it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ValueError(f"{name} needs {package} ({error}); run: pip install 'semidepth[benchmarks]'") from error


def read_mat(file: Path, variable: str, name: str) -> np.ndarray:
    """One variable of a MATLAB file, of a version before 7.3, without its dimensions of length 1.

    Args:
        file: the `.mat` file.
        variable: its name there.
        name: of the benchmark that asks.

    Returns:
        (N,), at least one-dimensional, of MATLAB's type.

    Raises:
        ValueError: if the file cannot be read, or the variable is not in it.
    """
    io = import_extra("scipy.io", name)
    try:
        variables = io.loadmat(file, variable_names=[variable], squeeze_me=True)
    except Exception as error:  # scipy raises ValueError, TypeError, NotImplementedError, zlib.error and others
        raise ValueError(f"{file} cannot be read as a MATLAB file: {first_words(error)}") from error
    if variable not in variables:
        raise ValueError(f"{file} has no variable {variable!r}; take the official file for {name}.")
    return np.atleast_1d(variables[variable])


def read_json(file: Path) -> Any:
    """The content of a JSON file.

    Raises:
        ValueError: if it is not JSON.
    """
    try:
        return json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise ValueError(f"{file} cannot be read as JSON: {first_words(error)}") from error


def as_sample(image: Path | Tensor, depth: Tensor, domain: str, origin: str) -> Sample:
    """An image and its label as a sample.

    Args:
        image: its file, or (3, H, W) uint8 RGB.
        depth: (H, W) float32 metres, NaN unknown.
        domain: "indoor" or "outdoor".
        origin: names the sample.

    Raises:
        BrokenSampleError: the image cannot be decoded, or the two differ in size: labels are not resized for scores.
    """
    pixels = decode_image(image, name=origin)
    if pixels.shape[-2:] != depth.shape:
        raise BrokenSampleError(
            f"{origin} has {pixels.shape[-1]}x{pixels.shape[-2]} pixels and its depth {depth.shape[1]}x"
            f"{depth.shape[0]}; both must have one size to be scored"
        )
    return Sample(image=pixels.contiguous(), depth=depth, domain=domain, origin=origin)


def warn_if_partial(name: str, found: int, official: int) -> None:
    """Say so where a list holds another number of images than the official one: scores then compare with none."""
    if found != official:
        logger.warning(
            "%s lists %d images here and %d officially; scores on it compare with no published ones",
            name, found, official,
        )  # fmt: skip


def first_words(error: BaseException) -> str:
    """An error's message on one line."""
    return " ".join(str(error).split()) or type(error).__name__
