"""Picture of three samples of a source: image, label, and the label's colours and edges over the image."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from semidepth.data.samples import to_array, to_disparity
from semidepth.evaluation.pictures import grid, save_picture
from semidepth.evaluation.source_report.edges import jumps
from semidepth.evaluation.source_report.looking import Look
from semidepth.evaluation.source_report.report import SourceReport
from semidepth.media.color_maps import colorize

SHOWN = 3
CELL_PX = 320
EDGE_COLOR = (60, 255, 60)


def save_pictures(reports: Sequence[SourceReport], folder: Path) -> list[Path]:
    """Writes one picture for each source.

    Args:
        reports: of sources of which samples could be read.
        folder: made if it is missing.

    Returns:
        The files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return [
        save_picture(grid(_rows(report.looks), _titles(report), cell_px=CELL_PX), folder / _name(number, report.spec))
        for number, report in enumerate(reports)
        if report.looks
    ]


def _rows(looks: Sequence[Look]) -> list[list[np.ndarray]]:
    places = sorted({round(place * (len(looks) - 1) / max(1, SHOWN - 1)) for place in range(SHOWN)})
    return [_row(looks[place]) for place in places]


def _row(look: Look) -> list[np.ndarray]:
    image = to_array(look.image)
    if look.depth is None:
        return [image]
    label = colorize(to_disparity(look.depth).numpy())
    gray = np.repeat(image.mean(2, keepdims=True), 3, 2)
    overlay = (0.5 * gray + 0.5 * label).round().astype(np.uint8)
    overlay[jumps(look.depth)] = EDGE_COLOR
    return [image, label, overlay]


def _titles(report: SourceReport) -> list[str]:
    return ["image", "label, near is bright", "label and its edges on the image"] if report.labeled else ["image"]


def _name(number: int, spec: str) -> str:
    """`0-frames.png`: the number, and what the source's name has of letters and digits."""
    words = re.sub(r"[^A-Za-z0-9]+", "-", spec.partition("?")[0]).strip("-")[-60:]
    return f"{number}-{words}.png"
