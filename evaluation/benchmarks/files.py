"""Helpers of the benchmark readers: samples of one size, images as stored, masks, MATLAB and JSON files, libraries.

Whatever is wrong with a file ends in one sentence that names it.
"""

import io
import json
import logging
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from semidepth.data.decoding import BrokenSampleError, decode_image
from semidepth.data.samples import Sample

logger = logging.getLogger(__name__)


def labeled_sample(image: Path | Tensor, depth: Tensor, *, origin: str, depth_file: Path, domain: str) -> Sample:
    """An image with its label, of one size.

    Args:
        image: its file, or (3, H, W) uint8 RGB.
        depth: (H, W) float32 metres, larger is farther; NaN unknown, inf sky.
        origin: names the sample in logs.
        depth_file: where the label comes from.
        domain: "indoor", "outdoor" or "".

    Raises:
        BrokenSampleError: if the image cannot be decoded, or the two sizes differ: labels are not resized for scores.
    """
    pixels = decode_image(image, name=origin)
    (rows, columns), (height, width) = depth.shape, pixels.shape[1:]
    if (rows, columns) != (height, width):
        raise BrokenSampleError(
            f"{depth_file} has depth of {columns}x{rows} and its image has {width}x{height}; the set stores both at "
            "one size, so one of the two is not the set's own."
        )
    return Sample(image=pixels.contiguous(), depth=depth, domain=domain, origin=origin)


def stored_pixels(file: Path) -> np.ndarray:
    """The pixels of an image file as they are stored: not turned by EXIF, not converted.

    Returns:
        (H, W) or (H, W, C), of the file's type.

    Raises:
        BrokenSampleError: not an image, or cut off.
    """
    try:
        return np.array(Image.open(io.BytesIO(file.read_bytes())))
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise BrokenSampleError(f"{file} cannot be decoded as an image: {first_words(error)}.") from error


def stored_rgb(file: Path) -> Tensor:
    """An RGB image as it is stored, whatever way up EXIF says that it is to be shown.

    Returns:
        (3, H, W) uint8.

    Raises:
        BrokenSampleError: not an RGB image of 8 bits, or cut off.
    """
    return rgb_tensor(stored_pixels(file), str(file))


def rgb_tensor(pixels: np.ndarray, name: str) -> Tensor:
    """(H, W, 3) uint8 -> (3, H, W) uint8.

    Args:
        pixels: what a file holds.
        name: of it, for the error.

    Raises:
        BrokenSampleError: if they are of another type or shape.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise BrokenSampleError(
            f"{name} has pixels of {pixels.dtype} in the shape {pixels.shape}; 8-bit RGB was expected."
        )
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)  # (H, W, 3) -> (3, H, W)


def load_npy(file: Path) -> np.ndarray:
    """The array of a `.npy` file.

    Raises:
        BrokenSampleError: if it is none, or cut off.
    """
    try:
        return np.load(io.BytesIO(file.read_bytes()), allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise BrokenSampleError(f"{file} cannot be read as a NumPy array: {first_words(error)}.") from error


def usable(mask: np.ndarray, depth: Tensor, mask_file: Path) -> Tensor:
    """Depth with NaN wherever a mask is 0.

    Args:
        mask: (H, W), or with a channel of length 1; 0 where the set calls the label unusable.
        depth: (H, W) float32 metres.
        mask_file: where the mask comes from.

    Raises:
        BrokenSampleError: if the two sizes differ.
    """
    if mask.ndim == 3 and mask.shape[2] == 1:
        mask = mask[..., 0]  # (H, W, 1) -> (H, W)
    if mask.shape != tuple(depth.shape):
        raise BrokenSampleError(
            f"{mask_file} has a mask of the shape {mask.shape} and its depth {tuple(depth.shape)}; the set stores "
            "both at one size, so one of the two files is not the set's own."
        )
    return torch.where(torch.from_numpy(mask != 0), depth, torch.nan)


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
        raise ValueError(f"{name} needs {package} ({error}); run: pip install 'semidepth[benchmarks]'.") from error


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


def warn_if_partial(name: str, found: int, official: int) -> None:
    """Say so where a list holds another number of images than the official one: scores then compare with none."""
    if found != official:
        logger.warning(
            "%s lists %d images here and %d officially; scores on it compare with no published ones",
            name, found, official,
        )  # fmt: skip


def first_words(error: BaseException) -> str:
    """An error's message on one line."""
    return (" ".join(str(error).split()) or type(error).__name__).rstrip(".")
