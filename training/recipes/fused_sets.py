"""Labels of several teachers of the same photos, in sets of pseudo labels, become one set.

Photos are the same where their files are, byte by byte. The fused set has a reliability for each image.
"""

import hashlib
import io
import logging
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator
from accelerate.utils import gather_object
from PIL import Image
from torch import Tensor
from tqdm.auto import tqdm

from semidepth.common.console import bar_interval_s
from semidepth.data.pseudo_labels import LabelFolder, LabelRecord, name_of_source, read_record
from semidepth.data.public_names import fingerprint, public_origin, public_source
from semidepth.data.reading.rows import Row
from semidepth.data.reading.sources import OpenedSource, count_samples, open_source
from semidepth.data.source_spec import Source
from semidepth.evaluation.labels.fusion import image_reliability
from semidepth.training.recipes.fused_maps import fuse_rows, nothing_to_fuse, tell_fused

logger = logging.getLogger(__name__)

PART_SIZE = 500  # photos in one file of the set; their rows are in memory, of each teacher

Place = tuple[int, int]  # shard, and row in it


def fuse_sets(
    teachers: Sequence[Source], folder: Path, accelerator: Accelerator, *, agreement: float, side: int
) -> int:
    """Writes the parts of the fused set that are not there yet, and returns the number of photos with several labels.

    Args:
        teachers: sets of pseudo labels.
        folder: for the fused set; processes share its parts.
        accelerator: the run's.
        agreement: least reliability of a pixel that stays known.
        side: most pixels of a label's shorter side.

    Raises:
        ValueError: photos have several labels, and none can be fused.
    """
    opened = [open_source(each, labeled=True) for each in teachers]
    places = [_places(each, accelerator) for each in opened]
    several = Counter(photo for each in places for photo in each)
    photos = [photo for photo, count in several.items() if count > 1]
    if not photos:
        return 0
    record = _record(teachers, len(photos), agreement, side)
    labels = LabelFolder(str(folder))
    if accelerator.is_main_process:
        labels.begin(record)
        labels.release()  # the run holds the folder around it
    accelerator.wait_for_everyone()
    finished, kept, failed = labels.finished(), [], 0
    names = [f"{name_of_source(0)}-{part:05d}-00000.parquet" for part in range(-(-len(photos) // PART_SIZE))]
    own = range(accelerator.process_index, len(names), accelerator.num_processes)
    for part in tqdm(own, "fusing", disable=not accelerator.is_main_process, mininterval=bar_interval_s()):
        if names[part] in finished:
            continue
        wanted = photos[part * PART_SIZE : (part + 1) * PART_SIZE]
        found = _rows(opened, places, wanted)
        rows = []
        for each in (found[photo] for photo in wanted):
            try:
                fused, reliability = fuse_rows(each, agreement=agreement, side=side)
            except ValueError as error:  # a broken label is one, too
                failed += 1
                logger.warning("labels of %s are not fused: %s", each[0][0]["origin"], error)
                continue
            kept.append(fused.isfinite().float().mean().item())
            rows.append(_row(each[0][0], fused, image_reliability(reliability), record))
        labels.write_part(names[part], rows)
    accelerator.wait_for_everyone()
    tell_fused(teachers, len(photos), len(several) - len(photos), kept, failed)
    if not count_samples(source_of_set(teachers, folder), labeled=True):
        raise nothing_to_fuse(teachers)
    return len(photos)


def source_of_set(teachers: Sequence[Source], folder: Path) -> Source:
    """The fused set in a folder as a source."""
    return Source(
        spec=f"fused labels of {', '.join(each.spec for each in teachers)}", format="parquet", location=str(folder),
        kind="disparity", domain=teachers[0].domain,
    )  # fmt: skip


def _places(opened: OpenedSource, accelerator: Accelerator) -> dict[bytes, Place]:
    """Returns the places of a set's rows by the digest of their photo, in their order; processes share its files."""
    found: list[tuple[Place, bytes]] = []
    for shard in range(accelerator.process_index, opened.num_shards, accelerator.num_processes):
        for number, row in opened.rows(shard):
            if isinstance(row["image"], bytes):
                found.append(((shard, number), hashlib.sha256(row["image"]).digest()))
    places: dict[bytes, Place] = {}
    for place, photo in sorted(gather_object(found)):
        places.setdefault(photo, place)
    return places


def _rows(
    opened: Sequence[OpenedSource], places: Sequence[Mapping[bytes, Place]], photos: Sequence[bytes]
) -> dict[bytes, list[tuple[Row, Source]]]:
    """The rows of each of some photos, of all teachers that have one."""
    found: dict[bytes, list[tuple[Row, Source]]] = {photo: [] for photo in photos}
    for each, own in zip(opened, places, strict=True):
        wanted: defaultdict[int, dict[int, bytes]] = defaultdict(dict)
        for photo in photos:
            if photo in own:
                shard, number = own[photo]
                wanted[shard][number] = photo
        for shard, numbers in wanted.items():
            last = max(numbers)
            for number, row in each.rows(shard, min(numbers)):
                if number in numbers:
                    found[numbers[number]].append((row, each.source))
                if number >= last:
                    break
    return found


def _row(row: Row, fused: Tensor, reliability: float, record: LabelRecord) -> dict[str, Any]:
    """A row of the fused set; its label is moved to begin at 0, since inverse depth below 0 is read as unknown."""
    buffer = io.BytesIO()
    Image.fromarray(fused.numpy() - np.nanmin(fused.numpy())).save(
        buffer, "TIFF", compression="tiff_adobe_deflate"
    )  # a PNG has no NaN
    return {
        "image": {"bytes": row["image"], "path": None},
        "disparity": {"bytes": buffer.getvalue(), "path": None},
        "depth_scale": 1.0,
        "depth_shift": 0.0,
        "reliability": reliability,
        "teacher": record.teacher,
        "teacher_revision": record.teacher_revision,
        "domain": row["domain"],
        "origin": public_origin(row["origin"]),
    }


def _record(teachers: Sequence[Source], photos: int, agreement: float, side: int) -> LabelRecord:
    records = [read_record(each) or {} for each in teachers]
    return LabelRecord(
        teacher=f"median of {', '.join(str(each.get('teacher')) for each in records)}",
        teacher_revision=", ".join(str(each.get("teacher_revision")) for each in records),
        reliability_from=[public_source(each.spec) for each in teachers],
        sources=records[0].get("sources", []),
        made_from=fingerprint([*(each.spec for each in teachers), str(agreement)]),
        shards=records[0].get("shards", []),
        images=[photos],
        part_size=PART_SIZE,
        label_size=side,
    )
