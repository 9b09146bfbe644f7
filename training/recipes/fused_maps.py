"""Maps of several tools of the same photos become one folder of maps."""

import io
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch.nn import functional as F
from tqdm.auto import tqdm

from semidepth.common.console import bar_interval_s
from semidepth.common.files import write_whole
from semidepth.data.decoding import BrokenSampleError
from semidepth.data.reading.image_folders import image_files
from semidepth.data.reading.map_folders import root_of
from semidepth.data.reading.rows import Row, decode_row
from semidepth.data.samples import to_disparity
from semidepth.data.source_spec import Source
from semidepth.evaluation.labels.fusion import fuse_maps

logger = logging.getLogger(__name__)


def fuse_folders(
    teachers: Sequence[Source], folder: Path, accelerator: Accelerator, *, agreement: float, side: int
) -> int:
    """Writes the fused map of each photo that is not there yet, and returns the number of photos with several maps.

    Args:
        teachers: with maps of the same photos.
        folder: for the fused maps; processes share the photos.
        accelerator: the run's.
        agreement: least reliability of a pixel that stays known.
        side: most pixels of a map's shorter side.

    Raises:
        ValueError: no photo has two maps that can be fused.
    """
    maps = [{photo: depth for photo, depth in image_files(each, True) if depth is not None} for each in teachers]
    several = Counter(photo for each in maps for photo in each)
    photos = [photo for photo, count in several.items() if count > 1]
    root = root_of(teachers[0].location)
    kept, failed = [], 0
    own = photos[accelerator.process_index :: accelerator.num_processes]
    for photo in tqdm(own, "fusing", disable=not accelerator.is_main_process, mininterval=bar_interval_s()):
        target = folder / Path(photo).relative_to(root).with_suffix(".npy")
        if target.is_file():
            continue
        found = [
            (_row(photo, paths[photo]), each) for each, paths in zip(teachers, maps, strict=True) if photo in paths
        ]
        try:
            fused, _ = fuse_rows(found, agreement=agreement, side=side)
        except ValueError as error:  # a broken map is one, too
            failed += 1
            logger.warning("maps of %s are not fused: %s", photo, error)
            continue
        kept.append(fused.isfinite().float().mean().item())
        content = io.BytesIO()
        np.save(content, fused.numpy())
        write_whole(target, content.getvalue())
    accelerator.wait_for_everyone()
    tell_fused(teachers, len(photos), len(several) - len(photos), kept, failed)
    if not any(folder.rglob("*.npy")):  # of all processes
        raise nothing_to_fuse(teachers)
    return len(photos)


def source_of_maps(teachers: Sequence[Source], folder: Path) -> Source:
    """The fused maps in a folder, with their photos, as a source."""
    return Source(
        spec=f"fused maps of {', '.join(each.spec for each in teachers)}", format="images",
        location=teachers[0].location, maps=str(folder), kind="disparity", invariant="affine", stretch=True,
        label_frame="upright", domain=teachers[0].domain,
    )  # fmt: skip


def fuse_rows(found: Sequence[tuple[Row, Source]], *, agreement: float, side: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Fuses the labels of one photo.

    Args:
        found: each teacher's row of the photo, and the source that it is of.
        agreement: least reliability of a pixel that stays known.
        side: most pixels of the shorter side.

    Returns:
        The median (h, w) of aligned inverse depth, NaN where unknown, and the reliability (h, w), as of `fuse_maps`.

    Raises:
        ValueError: a label is broken, or they have too little in common or agree nowhere.
    """
    fused, reliability = fuse_maps(torch.stack([_disparity(row, source, side) for row, source in found]))
    fused = torch.where(reliability >= agreement, fused, torch.nan)
    if not fused.isfinite().any():
        raise ValueError(f"no pixel has a reliability of at least {agreement}")
    return fused, reliability


def tell_fused(teachers: Sequence[Source], several: int, alone: int, kept: Sequence[float], failed: int) -> None:
    """Logs what was fused by this process: photos with several labels and with one, and shares of known pixels."""
    agree = f", on average {np.mean(kept):.0%} of their pixels agree" if kept else ""
    logger.info(
        "%d photos have labels of several teachers (%s), whose median is taken; fused now: %d%s; not fused: %d; left "
        "out with a label of one teacher alone: %d",
        several, ", ".join(each.spec for each in teachers), len(kept), agree, failed, alone,
    )  # fmt: skip


def nothing_to_fuse(teachers: Sequence[Source]) -> ValueError:
    """The error for teachers of whose labels none could be fused."""
    names = ", ".join(each.spec for each in teachers)
    return ValueError(f"no photo of {names} has two labels that can be fused; name labels of the same photos.")


def _row(photo: str, depth: str) -> Row:
    return Row(image=Path(photo), depth=Path(depth), depth_scale=None, depth_shift=None, domain="", origin=photo)


def _disparity(row: Row, source: Source, side: int) -> torch.Tensor:
    """(h, w) a teacher's inverse depth of an upright photo, its shorter side at most `side` pixels."""
    found = decode_row(row, source, True)["depth"]
    if found is None:
        raise BrokenSampleError(f"{row['origin']} has no map")
    disparity, shorter = to_disparity(found), min(found.shape)
    if shorter <= side:
        return disparity
    sides = [round(length * side / shorter) for length in disparity.shape]
    return F.interpolate(disparity[None, None], size=sides, mode="nearest-exact")[0, 0]
