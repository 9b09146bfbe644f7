"""Encode results: .npy, 16-bit PNG, colours, points and meshes."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from semidepth.media.color_maps import colorize, display_range, legend
from semidepth.media.point_clouds import to_ply, to_points, unproject
from semidepth.prediction.options import ResultOptions
from semidepth.prediction.predictor import Unit, disparity_of

MAX_16_BIT = 65535
MILLIMETRES = 1000
MESH_VERTICES = 1_000_000  # of a larger image every second, third, ... pixel is taken
PNG_LEVEL = 1  # of zlib: a few per cent larger than the usual 6, and several times as quick


def to_16_bit(values: np.ndarray, unit: Unit) -> np.ndarray:
    """A map as uint16: millimetres for metres (0 where unknown), the image's own range for inverse depth.

    Args:
        values: (H, W) float32, metres or inverse depth.
        unit: which of the two.

    Returns:
        (H, W) uint16.
    """
    known = np.isfinite(values)
    if unit == "m":
        return np.where(known, np.clip(np.round(values * MILLIMETRES), 0, MAX_16_BIT), 0).astype(np.uint16)
    if not known.any():
        return np.zeros(values.shape, np.uint16)
    low, high = values[known].min(), values[known].max()
    scaled = (np.where(known, values, low) - low) / max(high - low, 1e-12)
    return np.round(scaled * MAX_16_BIT).astype(np.uint16)


def encode(
    name: str, values: np.ndarray, unit: Unit, options: ResultOptions, pixels: np.ndarray | None, photo: Path
) -> bytes:
    """Content of one result file.

    Args:
        name: of the format.
        values: (H, W) float32, metres or inverse depth.
        unit: which of the two.
        options: see [`ResultOptions`].
        pixels: (H, W, 3) uint8, the image; for points and meshes.
        photo: the image's file; for the camera in its EXIF data.

    Raises:
        ValueError: the result would be empty, or its camera is not known.
    """
    buffer = io.BytesIO()
    if name == "npy":
        np.save(buffer, values, allow_pickle=False)
    elif name == "png16":
        Image.fromarray(to_16_bit(values, unit)).save(buffer, "PNG", compress_level=PNG_LEVEL)
    elif name == "color":
        _color_picture(values, unit, options).save(buffer, "PNG", compress_level=PNG_LEVEL)
    elif pixels is not None:
        return _in_space(name, values, options, pixels, photo)
    return buffer.getvalue()


def _in_space(name: str, values: np.ndarray, options: ResultOptions, pixels: np.ndarray, photo: Path) -> bytes:
    """Content of a file of points or of a mesh; errors as in [`encode`], naming the options."""
    metres = np.where(values <= (options.far_m or np.inf), values, np.nan)
    try:
        focal_px = options.camera.focal(values.shape[1], values.shape[0], photo)
    except ValueError as error:
        raise ValueError(f"no {name}: {error}") from error
    if not (metres > 0).any():
        nearest = values[values > 0].min(initial=np.inf)
        if options.far_m is None or not np.isfinite(nearest):
            raise ValueError(f"no {name}: no pixel has a known depth")
        raise ValueError(f"no {name}: the nearest pixel is {nearest:.3g} m away, beyond --far_m {options.far_m:g}")
    if name == "ply":
        return to_ply(*to_points(metres, pixels, focal_px))
    from semidepth.media.meshes import MAX_JUMP, mesh_to_glb, to_mesh

    if min(metres.shape) < 2:
        raise ValueError("no glb: a mesh needs an image of two rows and two columns at least")
    jump = options.max_jump or MAX_JUMP
    mesh = to_mesh(unproject(metres, focal_px), pixels, max_jump=jump, max_vertices=MESH_VERTICES)
    if not len(mesh.faces):
        more = "" if options.far_m is None else " or --far_m"
        raise ValueError(f"no glb: it would have no triangle; give a greater --max_jump (it is {jump:g}){more}")
    return mesh_to_glb(mesh, pixels)


def _color_picture(values: np.ndarray, unit: Unit, options: ResultOptions) -> Image.Image:
    disparity = disparity_of(values, unit)
    limits = display_range(disparity)
    picture = Image.fromarray(colorize(disparity, limits, options.color_map))
    if not options.legend:
        return picture
    metric = unit == "m"
    bar = legend(limits, options.color_map, unit="m" if metric else None, inverse=metric, width=picture.width)
    canvas = Image.new("RGB", (picture.width, picture.height + bar.height))
    canvas.paste(picture, (0, 0))
    canvas.paste(bar, (0, picture.height))
    return canvas
