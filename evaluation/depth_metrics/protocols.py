"""Conventions of scores: alignments, spaces, and for metres named protocols: scored pixels (crop) and depth range.

The protocols follow the tables of ZoeDepth (arXiv 2302.12288) and Depth Anything (2401.10891). Their published code
takes the crops literally: Eigen's rows and columns are those of a 480 x 640 map, whatever the size of the scored one.

Light to import: torch is imported when a crop is made.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

Align = Literal["least_squares", "median", "none"]
Space = Literal["disparity", "depth"]
ALIGNMENTS: tuple[Align, ...] = ("least_squares", "median", "none")
SPACES: tuple[Space, ...] = ("depth", "disparity")
# Eigen et al. (arXiv 1406.2283) on NYU Depth v2.
EIGEN_ROWS, EIGEN_COLUMNS = (45, 471), (41, 601)
# Garg et al. (arXiv 1603.04992) on KITTI: shares of the height and the width.
GARG_ROWS, GARG_COLUMNS = (0.40810811, 0.99189189), (0.03594771, 0.96405229)
# The KITTI benchmark's crop: this size, at the bottom, in the middle.
KB_HEIGHT, KB_WIDTH = 352, 1216


@dataclass(frozen=True)
class Protocol:
    """Crop and depth range of scores in metres.

    Args:
        name: as in `--protocol`.
        min_depth_m: nearest label that is scored; predictions are clamped to it.
        max_depth_m: farthest label that is scored; predictions are clamped to it. None: no cap.
        crop: "eigen", "garg" or None: pixels outside the crop are not scored.
        kb_crop: cut image and label to the KITTI benchmark's size before the model sees the image.
    """

    name: str
    min_depth_m: float
    max_depth_m: float | None
    crop: Literal["eigen", "garg"] | None = None
    kb_crop: bool = False

    def mask(self, height: int, width: int) -> "Tensor":
        """(height, width) bool: the pixels inside the crop."""
        import torch

        mask = torch.ones(height, width, dtype=torch.bool)
        if self.crop is None:
            return mask
        if self.crop == "eigen":
            rows, columns = EIGEN_ROWS, EIGEN_COLUMNS
        else:
            rows = (int(GARG_ROWS[0] * height), int(GARG_ROWS[1] * height))
            columns = (int(GARG_COLUMNS[0] * width), int(GARG_COLUMNS[1] * width))
        inside = torch.zeros_like(mask)
        inside[slice(*rows), slice(*columns)] = True
        return inside

    def cut(self, maps: "Tensor") -> "Tensor":
        """(..., H, W) maps cut to the KITTI benchmark's size where the protocol asks for it, else unchanged.

        Raises:
            ValueError: if the maps are smaller than that size.
        """
        if not self.kb_crop:
            return maps
        height, width = maps.shape[-2:]
        if height < KB_HEIGHT or width < KB_WIDTH:
            raise ValueError(
                f"the protocol {self.name!r} cuts {KB_HEIGHT} x {KB_WIDTH} pixels and a map has {height} x {width}; "
                "give the data set's own sizes, or take another protocol."
            )
        left = (width - KB_WIDTH) // 2
        return maps[..., height - KB_HEIGHT :, left : left + KB_WIDTH]


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("nyu", 1e-3, 10.0, "eigen"),
        Protocol("sunrgbd", 1e-3, 8.0, "eigen"),
        Protocol("ibims", 1e-3, 10.0, "eigen"),
        Protocol("diode_indoor", 1e-3, 10.0, "eigen"),
        Protocol("hypersim", 1e-3, 80.0, "eigen"),
        Protocol("kitti", 1e-3, 80.0, "garg", kb_crop=True),
        Protocol("vkitti2", 1e-3, 80.0, "garg", kb_crop=True),
        Protocol("ddad", 1e-3, 80.0, "garg"),
        Protocol("diml_outdoor", 1e-3, 80.0, "garg"),
        Protocol("diode_outdoor", 1e-3, 80.0, "garg"),
        Protocol("none", 1e-3, None),
    )
}


def find_protocol(name: str) -> Protocol:
    """Looks up a protocol by its name.

    Raises:
        ValueError: if there is none of that name.
    """
    if name not in PROTOCOLS:
        raise ValueError(f"the protocol {name!r} is not known; choose one of {', '.join(PROTOCOLS)}.")
    return PROTOCOLS[name]
