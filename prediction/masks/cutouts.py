"""What is cut out of a photo: how far it is, how large what is seen of it is, and its points and mesh in space."""

import io
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image
from scipy.ndimage import binary_erosion

from semidepth.media.meshes import mesh_to_glb, to_mesh
from semidepth.media.point_clouds import to_ply, to_points, unproject
from semidepth.media.run_lengths import box_of, encode_run_lengths

# Predicted depth is soft at outlines: so much of a rim is not measured, a share of the longer side of the mask's box.
RIM = 0.02
# Percentiles of distance that are told beside its median; those beyond which a rim's depth is something else's; and
# those between which sizes are taken.
SPREAD, OWN, EXTENT = (10, 90), (2, 98), (0.5, 99.5)
MESH_VERTICES = 300_000


@dataclass(frozen=True)
class Cutout:
    """A thing cut out of a photo.

    Args:
        mask: (H, W) bool, as large as the upright photo.
        score: predicted IoU of the mask with what was meant, about 0 to 1.
        image: (H, W, 3) uint8, the upright photo.
        candidates: (M, H, W) bool, all answers to a single point, the best score first; the mask alone otherwise.
        candidate_scores: (M,) of each.
        depth_m: (H, W) metres along the camera's axis; None where no model in metres was used.
        fov_deg: horizontal field of view by which sizes are computed, degrees.
        fov_from: where it comes from: "given", "EXIF" or "assumed".
        distance_m: median distance along the camera's axis, metres; None without metres or with an empty mask.
        distance_10_90_m: its 10th and 90th percentiles over the mask.
        size_m: width, height and depth of what is seen of it, metres: extents along the camera's axes.
    """

    mask: np.ndarray
    score: float
    image: np.ndarray
    candidates: np.ndarray
    candidate_scores: np.ndarray
    depth_m: np.ndarray | None
    fov_deg: float
    fov_from: str
    distance_m: float | None = field(init=False, default=None)
    distance_10_90_m: tuple[float, float] | None = field(init=False, default=None)
    size_m: tuple[float, float, float] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        if self.depth_m is None:
            return
        known = inner(self.mask) & np.isfinite(self.depth_m) & (self.depth_m > 0)
        if not known.any():
            return
        low, middle, high = (float(each) for each in np.percentile(self.depth_m[known], (SPREAD[0], 50, SPREAD[1])))
        # Its outline says how wide it is, the rest how far.
        own = self.depth_m.clip(*np.percentile(self.depth_m[known], OWN))
        points = unproject(own, self.focal_px)[self.mask & np.isfinite(own)]
        extent = np.subtract(*np.percentile(points, EXTENT[::-1], axis=0))
        for name, value in (
            ("distance_m", middle), ("distance_10_90_m", (low, high)), ("size_m", tuple(map(float, extent)))
        ):  # fmt: skip
            object.__setattr__(self, name, value)  # frozen from here on

    @property
    def focal_px(self) -> float:
        """Focal length in pixels of the photo."""
        return self.mask.shape[1] / 2 / math.tan(math.radians(self.fov_deg) / 2)

    def picture(self) -> Image.Image:
        """Returns the thing alone, RGBA, transparent around it, as large as the photo."""
        return Image.fromarray(np.dstack([self.image, np.where(self.mask, 255, 0).astype(np.uint8)]))

    def ply(self) -> bytes:
        """Content of a PLY file of its points; errors as in [`glb`]."""
        depth = self._known_depth("ply")
        return to_ply(*to_points(depth, self.image, self.focal_px))

    def glb(self) -> bytes:
        """Content of a GLB file of its mesh.

        Raises:
            ValueError: there are no metres, or nothing of it has a known depth or a triangle.
        """
        mesh = to_mesh(unproject(self._known_depth("glb"), self.focal_px), self.image, max_vertices=MESH_VERTICES)
        if not len(mesh.faces):
            raise ValueError("no glb: the mask is too small or too broken up for a triangle; write ply.")
        return mesh_to_glb(mesh, self.image)

    def record(self) -> dict[str, Any]:
        """Returns what is known of it as JSON has it: COCO's run lengths, box and area, score, distance and size."""
        found: dict[str, Any] = {
            "segmentation": encode_run_lengths(self.mask),
            "bbox": list(box_of(self.mask)),
            "area": int(self.mask.sum()),
            "predicted_iou": round(self.score, 4),
        }
        if self.distance_m is not None and self.distance_10_90_m is not None and self.size_m is not None:
            found |= {
                "distance_m": round(self.distance_m, 3),
                "distance_10_90_m": [round(each, 3) for each in self.distance_10_90_m],
                "visible_size_m": dict(
                    zip(("width", "height", "depth"), (round(each, 3) for each in self.size_m), strict=True)
                ),
                "fov_deg": round(self.fov_deg, 2),
                "fov_from": self.fov_from,
            }
        return found

    def _known_depth(self, name: str) -> np.ndarray:
        if self.depth_m is None:
            raise ValueError(f"no {name}: there are no metres; give --depth a model that predicts them.")
        depth = np.where(inner(self.mask), self.depth_m, np.nan)
        if not (depth > 0).any():
            raise ValueError(f"no {name}: no pixel of the mask has a known depth.")
        return depth


def inner(mask: np.ndarray) -> np.ndarray:
    """Returns a mask without its rim; the whole mask where nothing else would be left."""
    _, _, width, height = box_of(mask)
    rim = round(RIM * max(width, height))
    # What lies beyond the photo is not the rim.
    eroded = binary_erosion(mask, iterations=rim, border_value=1) if rim else mask
    return eroded if eroded.any() else mask


def png(picture: Image.Image) -> bytes:
    """Content of a PNG file."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()
