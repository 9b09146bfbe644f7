"""Maps of several teachers of the same photos become one set: their median, unknown where they disagree."""

import io
import json
import logging
import math
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
from semidepth.common.locks import hold_folder
from semidepth.data.decoding import BrokenSampleError
from semidepth.data.reading.image_folders import image_files
from semidepth.data.reading.map_folders import root_of
from semidepth.data.reading.rows import Row, decode_row
from semidepth.data.samples import to_disparity
from semidepth.data.source_spec import Source
from semidepth.evaluation.labels.fusion import fuse_maps
from semidepth.training.options.student import StudentOptions

logger = logging.getLogger(__name__)


def fuse_same_photos(
    sources: Sequence[Source], options: StudentOptions, accelerator: Accelerator, *, size: int
) -> list[Source]:
    """Returns the sources; those with maps of the same photos (one `images=`) as a single one, which is made now.

    Args:
        sources: of pseudo labels.
        options: the student's; fused maps are kept in `fused_labels/` of its output folder.
        accelerator: its processes share the photos.
        size: side of the training crop in pixels; fused maps are no larger than it takes.

    Raises:
        ValueError: no photo has two maps, or the folder holds maps that were fused otherwise, or another run is on it.
    """
    side = math.ceil(size / options.smallest_crop)
    result = []
    for number, group in enumerate(_groups(sources)):
        folder = Path(options.output_dir) / "fused_labels" / str(number)
        result.append(group[0] if len(group) == 1 else _fuse(group, folder, options, accelerator, side))
    return result


def has_same_photos(sources: Sequence[Source]) -> bool:
    """True where [`fuse_same_photos`] has maps to fuse; how many photos are left is known only when it has."""
    return any(len(group) > 1 for group in _groups(sources))


def _groups(sources: Sequence[Source]) -> list[list[Source]]:
    """The sources with maps of the same photos together; each other one alone."""
    groups: dict[str, list[Source]] = {}
    for number, source in enumerate(sources):
        groups.setdefault(str(number) if source.maps is None else f"images={source.location}", []).append(source)
    return list(groups.values())


def _fuse(teachers: list[Source], folder: Path, options: StudentOptions, accelerator: Accelerator, side: int) -> Source:
    """Writes the fused map of each photo that is not there yet; returns all as a source."""
    hold_folder("output_dir", Path(options.output_dir))  # nothing is written beside another run
    _keep_record(folder, {"maps": [each.spec for each in teachers], "agreement": options.agreement, "side": side})
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
        found = [(each, paths[photo]) for each, paths in zip(teachers, maps, strict=True) if photo in paths]
        try:
            fused, reliability = fuse_maps(torch.stack([_disparity(photo, depth, each, side) for each, depth in found]))
        except ValueError as error:  # a broken map is one, too
            failed += 1
            logger.warning("maps of %s are not fused: %s", photo, error)
            continue
        fused = torch.where(reliability >= options.agreement, fused, torch.nan)
        kept.append(fused.isfinite().float().mean().item())
        content = io.BytesIO()
        np.save(content, fused.numpy())
        write_whole(target, content.getvalue())
    accelerator.wait_for_everyone()
    agree = f", on average {np.mean(kept):.0%} of their pixels agree" if kept else ""
    logger.info(
        "%d photos have maps of several teachers (%s), whose median is taken; fused now: %d%s; not fused: %d",
        len(photos), ", ".join(each.spec for each in teachers), len(kept), agree, failed,
    )  # fmt: skip
    spec = f"fused maps of {', '.join(each.spec for each in teachers)}"
    if not any(folder.rglob("*.npy")):  # of all processes
        raise ValueError(f"{spec}: no photo has two maps that can be fused; name maps of the same photos.")
    return Source(
        spec=spec, format="images", location=teachers[0].location, maps=str(folder), kind="disparity",
        invariant="affine", stretch=True, label_frame="upright", domain=teachers[0].domain,
    )  # fmt: skip


def _keep_record(folder: Path, wanted: dict[str, object]) -> None:
    path = folder / "record.json"
    before = json.loads(path.read_text()) if path.is_file() else wanted
    if before != wanted:
        raise ValueError(f"{folder} holds maps fused from {before}, not {wanted}; give another --output_dir.")
    write_whole(path, (json.dumps(wanted, indent=2) + "\n").encode())


def _disparity(photo: str, depth: str, source: Source, side: int) -> torch.Tensor:
    """(H, W) a teacher's inverse depth of an upright photo, its shorter side at most `side` pixels."""
    row = Row(image=Path(photo), depth=Path(depth), depth_scale=None, depth_shift=None, domain="", origin=photo)
    found = decode_row(row, source, True)["depth"]
    if found is None:
        raise BrokenSampleError(f"{photo} has no map")
    disparity, shorter = to_disparity(found), min(found.shape)
    if shorter <= side:
        return disparity
    sides = [round(length * side / shorter) for length in disparity.shape]
    return F.interpolate(disparity[None, None], size=sides, mode="nearest-exact")[0, 0]
