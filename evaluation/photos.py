"""Photos and their depth by the model that comes with semidepth, in one picture; openly licensed example photos."""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from semidepth.data.decoding import decode_image
from semidepth.data.samples import to_array
from semidepth.evaluation.pictures import colorize_metres, grid, metre_range, save_picture
from semidepth.media.color_maps import colorize
from semidepth.media.exif_camera import GUESSED_FOV_DEG, fov_from_exif
from semidepth.media.meshes import to_mesh
from semidepth.media.point_clouds import focal_from_fov, guessed_depth, unproject
from semidepth.media.turned_views import turned_view
from semidepth.prediction.depth_maps import DepthMap, predict
from semidepth.prediction.models import load_depth_model
from semidepth.prediction.shipped.folder import default_name, shipped_names

# SOURCES.md there names their authors. The folder of the Spaces lies beside this one's, in the source tree and in the
# installed package.
EXAMPLES = Path(__file__).resolve().parents[1] / "spaces" / "depth_demo" / "examples"
CELL_PX = 300
ACROSS = 2  # photos in a row, each with its depth and its view from beside
MESH_SIDE = 320  # pixels of the longer side that become corners of triangles
# Cut only where something lies twice as far as what is before it: a picture with few holes, as the camera turns little.
MAX_JUMP = 2.0


def draw_photos(photos: Sequence[Path], path: Path, device: str) -> str:
    """Draws photos, their depth by the model that comes with semidepth, and a view from beside them into one picture.

    Args:
        photos: files.
        path: of the picture.
        device: to predict on.

    Returns:
        A line that says what was drawn, or that no model comes with this installation.
    """
    if not shipped_names():
        return f"{path} is left out: no model comes with this installation of semidepth."
    began = time.perf_counter()
    maps = predict(photos, load_depth_model(device=device))
    cells = []
    for photo, depth in zip(photos, maps, strict=True):
        image = to_array(decode_image(photo))
        cells += [image, show(depth), from_beside(photo, image, depth)]
    metric = maps[0].unit == "m"
    title = "metres" if metric else "inverse depth, near is bright"
    beside = "from beside" if metric else "from beside, scale guessed"
    titles = ["photo", title, beside] * ACROSS
    while len(cells) % len(titles):
        cells += [np.full((1, 1, 3), 255, np.uint8)]
    rows = [cells[first : first + len(titles)] for first in range(0, len(cells), len(titles))]
    save_picture(grid(rows, titles, cell_px=CELL_PX), path)
    taken = time.perf_counter() - began
    return f"{path}: depth of {len(photos)} photos by {default_name()}, which comes with semidepth ({taken:.0f} s)"


def from_beside(photo: Path, image: np.ndarray, depth: DepthMap) -> np.ndarray:
    """Returns the photo as a camera beside its own would see it, (h, w, 3) uint8; the photo itself where it is flat.

    Args:
        photo: file, whose EXIF data may name the field of view; 60 degrees where they do not.
        image: (H, W, 3) uint8, its pixels.
        depth: of the photo.
    """
    height, width = image.shape[:2]
    focal = focal_from_fov(fov_from_exif(photo, width, height) or GUESSED_FOV_DEG, width)
    metres = depth.values if depth.unit == "m" else guessed_depth(depth.values)
    step = max(1, -(-max(height, width) // MESH_SIDE))
    metres, image = (each[step // 2 :: step, step // 2 :: step] for each in (metres, image))
    mesh = to_mesh(unproject(metres, focal / step), image, max_jump=MAX_JUMP)
    if not len(mesh.faces):
        return image
    return np.asarray(turned_view(mesh, focal / step, (image.shape[1], image.shape[0])))


def show(depth: DepthMap) -> np.ndarray:
    """Returns a map in colours, (H, W, 3) uint8, near is bright; metres with their range and the head in a corner."""
    if depth.unit != "m":
        return colorize(depth.values)
    limits = metre_range(depth.values)
    picture = Image.fromarray(colorize_metres(depth.values, limits))
    size = max(12, picture.width // 18)
    told = f"{limits[0]:.2g} to {limits[1]:.2g} m" + (f", {depth.domain}" if depth.domain else "")
    ImageDraw.Draw(picture).text(
        (size / 2, picture.height - size / 2), told, fill="white", anchor="lb", font=ImageFont.load_default(size),
        stroke_width=2, stroke_fill="black",
    )  # fmt: skip
    return np.asarray(picture)
