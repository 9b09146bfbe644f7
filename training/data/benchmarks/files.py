"""What several benchmark readers need: samples of one size, images as they are stored, masks, optional libraries."""

import importlib
import io
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from semidepth.training.data.decoding import BrokenSampleError
from semidepth.training.data.streaming import Sample


def labeled_sample(image: Tensor, depth: Tensor, *, origin: str, depth_file: Path, domain: str) -> Sample:
    """An image with its label, of one size.

    Args:
        image: (3, H, W) uint8 RGB.
        depth: (H, W) float32 metres, larger is farther; NaN unknown, inf sky.
        origin: names the sample in logs.
        depth_file: where the label comes from.
        domain: "indoor", "outdoor" or "".

    Raises:
        BrokenSampleError: if the two sizes differ.
    """
    (rows, columns), (height, width) = depth.shape, image.shape[1:]
    if (rows, columns) != (height, width):
        raise BrokenSampleError(
            f"{depth_file} has depth of {columns}x{rows} and its image has {width}x{height}; the set stores both at "
            "one size, so one of the two files is not the set's own."
        )
    return Sample(image=image, depth=depth, domain=domain, origin=origin)


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
        raise BrokenSampleError(f"{file} cannot be decoded as an image: {_one_line(error)}.") from error


def stored_rgb(file: Path) -> Tensor:
    """An RGB image as it is stored, whatever way up EXIF says that it is to be shown.

    Returns:
        (3, H, W) uint8.

    Raises:
        BrokenSampleError: not an RGB image of 8 bits, or cut off.
    """
    pixels = stored_pixels(file)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise BrokenSampleError(
            f"{file} has pixels of {pixels.dtype} in the shape {pixels.shape}; 8-bit RGB was expected."
        )
    return torch.from_numpy(pixels).permute(2, 0, 1)  # (H, W, 3) -> (3, H, W)


def load_npy(file: Path) -> np.ndarray:
    """The array of a `.npy` file.

    Raises:
        BrokenSampleError: if it is none, or cut off.
    """
    try:
        return np.load(io.BytesIO(file.read_bytes()), allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise BrokenSampleError(f"{file} cannot be read as a NumPy array: {_one_line(error)}.") from error


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


def library(module: str, name: str) -> ModuleType:
    """A library that only some sets need.

    Args:
        module: to import, such as "h5py" or "scipy.io".
        name: of the set.

    Raises:
        ImportError: if it is not installed: how to install it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{name} is read with {module.split('.')[0]}, which is not installed; run "
            "pip install 'semidepth[benchmarks]'."
        ) from error


def _one_line(error: BaseException) -> str:
    return (" ".join(str(error).split()) or type(error).__name__).rstrip(".")
