"""Making of a set of masks of unlabeled photos: any number of processes share the work, and a stopped run is resumed.

The model runs in this process, and further ones group what it saw ([`group`] holds Python's lock). Batches are of
photos of one size.
"""

import hashlib
import logging
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from multiprocessing import get_context
from typing import Any, NamedTuple

import numpy as np
import torch
from accelerate import PartialState
from torch import Tensor
from torch.nn import functional as F

from semidepth.common.workers import tie_to_parent
from semidepth.data.decoding import BrokenSampleError, decode_image, open_picture
from semidepth.data.masks.mask_sets import MaskFolder, mask_records, sa1b_json
from semidepth.data.pseudo_labels import LabelRecord, parts_to_make
from semidepth.data.public_names import fingerprint, public_origin, public_source
from semidepth.data.reading.rows import Row, content_of
from semidepth.data.reading.sources import count_samples, open_source
from semidepth.data.source_spec import Source, parse_sources
from semidepth.modeling import DepthStudentForDepthEstimation
from semidepth.modeling.depth_cores import encode, fuse, predict_relative
from semidepth.prediction.batching import groups_of_one_size
from semidepth.prediction.checkpoints import revision_of
from semidepth.prediction.models import DepthModel, load_depth_model
from semidepth.prediction.preprocessing import check_size
from semidepth.training.engine.setup import check_sources
from semidepth.training.options.label_masks import LabelMasksOptions
from semidepth.training.recipes.labeling import image_bytes
from semidepth.training.recipes.masks.grouping import GroupingRules, Region, group
from semidepth.training.recipes.pseudo_label import open_folder, progress, released

logger = logging.getLogger(__name__)

# Suffixes by the kind of file, where they are not its name; phones write MPO, which begins with a JPEG.
SUFFIXES = {"JPEG": ".jpg", "MPO": ".jpg", "JPEG2000": ".jp2"}


class _Photo(NamedTuple):
    """A photo to be grouped: its row, its size, and its pixels (3, h, w) uint8 as the model sees them."""

    row: Row
    size: tuple[int, int]
    pixels: Tensor


def label_masks(options: LabelMasksOptions) -> str:
    """Cuts all photos of all sources into masks and returns the folder.

    Raises:
        ValueError: if the options do not fit the teacher, the sources or the masks that the folder already has.
    """
    state = PartialState(cpu=options.cpu, timeout=timedelta(days=1))
    sources = parse_sources(options.unlabeled)
    check_sources(sources, labeled=False)
    teacher = _load_teacher(options, state.device)
    rules = GroupingRules(
        depth_weight=options.depth_weight, color_weight=options.color_weight, min_area=options.min_area,
        max_area=options.max_area, min_stability=options.min_stability, most=options.masks_per_image,
    )  # fmt: skip
    record = _record(options, sources, rules, teacher.preprocessing.size)
    folder = open_folder(MaskFolder(options.output), record, state, private=options.private)
    finished = folder.finished()
    parts = parts_to_make(
        sources, options.part_size, process=state.process_index, processes=state.num_processes, finished=finished
    )
    identity = {"teacher": record.teacher, "teacher_revision": record.teacher_revision}
    labeler = MaskLabeler(teacher, rules, batch_size=options.batch_size)
    with (
        released(folder),
        progress(record.images, len(finished) * options.part_size, state, "masks of photos") as bar,
        _pool(options.num_workers) as pool,
    ):
        for name, rows in parts:
            labeled = []
            for row, regions in labeler.label(rows, pool):
                labeled.append(_as_row(row, regions, identity))
                if options.json:
                    _write_json(folder, row, regions, labeled[-1]["masks"])
                bar.update()
            folder.write_part(name, labeled)
        state.wait_for_everyone()
    logger.info(
        "this process cut %d photos into %d masks and skipped %d; %d files are in %s",
        labeler.photos, labeler.masks, labeler.skipped, len(folder.finished()), options.output,
    )  # fmt: skip
    return options.output


def _load_teacher(options: LabelMasksOptions, device: torch.device) -> DepthModel:
    teacher = load_depth_model(options.teacher, device=device)
    if not isinstance(teacher.model, DepthStudentForDepthEstimation):
        config: Any = teacher.model.config
        raise ValueError(
            f"--teacher {options.teacher!r} is a {config.model_type} model; give a depth student of "
            "ours or stock Depth Anything, whose patches say what belongs together."
        )
    preprocessing = teacher.preprocessing
    size = options.size or preprocessing.size
    check_size(size, preprocessing.multiple, "the teacher's patch size")
    teacher.preprocessing = replace(preprocessing, size=size)
    return teacher


def _record(options: LabelMasksOptions, sources: tuple[Source, ...], rules: GroupingRules, size: int) -> LabelRecord:
    return LabelRecord(
        teacher=public_source(options.teacher),
        teacher_revision=revision_of(options.teacher),
        reliability_from=[],
        sources=[public_source(source) for source in options.unlabeled],
        made_from=fingerprint([options.teacher, *options.unlabeled, repr(rules)]),
        shards=[open_source(source, labeled=False).num_shards for source in sources],
        images=[count_samples(source) for source in sources],
        part_size=options.part_size,
        label_size=size,
    )


def _pool(workers: int) -> Executor:
    # Not forked: torch has threads of its own by now.
    if not workers:
        return ThreadPoolExecutor(1)
    return ProcessPoolExecutor(workers, get_context("spawn"), initializer=tie_to_parent)


class MaskLabeler:
    """Cuts photos into masks.

    Args:
        teacher: a depth student.
        rules: of the grouping.
        batch_size: photos in a forward pass, all of one size.

    Attributes:
        photos, masks, skipped: counts so far; photos that cannot be decoded are skipped with a warning.
    """

    def __init__(self, teacher: DepthModel, rules: GroupingRules, *, batch_size: int) -> None:
        self.teacher, self.rules, self.batch_size = teacher, rules, batch_size
        self.photos = self.masks = self.skipped = 0

    def label(self, rows: Iterable[Row], pool: Executor) -> Iterator[tuple[Row, list[Region]]]:
        """Yields rows, with the content of their images, and the masks of each, as large as the upright image."""
        waiting: deque[tuple[_Photo, Future[list[Region]]]] = deque()
        for batch in groups_of_one_size(self._decoded(rows), self.batch_size, lambda photo: photo.pixels.shape):
            features, disparity = self.see(torch.stack([photo.pixels for photo in batch]).to(self.teacher.device))
            for photo, own, depth in zip(batch, features.numpy(), disparity.numpy(), strict=True):
                image = photo.pixels.permute(1, 2, 0).numpy()
                waiting.append((photo, pool.submit(group, image, own, depth, self.rules)))
            while len(waiting) > 4 * self.batch_size:
                yield self._finished(*waiting.popleft())
        while waiting:
            yield self._finished(*waiting.popleft())

    @torch.no_grad()
    def see(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the last patches (B, C, h, w) and inverse depth (B, H, W) of uint8 images, on the CPU."""
        model: Any = self.teacher.model
        encoded = encode(model, self.teacher.preprocessing.normalize(images))
        seen = predict_relative(model, encoded, *fuse(model, encoded))
        features, disparity = encoded.last().float().cpu(), seen.relative.float().cpu()
        if not bool(features.isfinite().all() and disparity.isfinite().all()):
            raise ValueError("the teacher's prediction is not finite; give another --teacher.")
        return features, disparity

    def _decoded(self, rows: Iterable[Row]) -> Iterator[_Photo]:
        for row in rows:
            try:
                content = content_of(row["image"], "image", row["origin"])
                image = decode_image(content, name=row["origin"])  # masks have its full size
            except BrokenSampleError as error:
                self.skipped += 1
                logger.warning("skipped broken image (%d skipped so far): %s", self.skipped, error)
                continue
            kept: Row = {**row, "image": image_bytes(content)}
            yield _Photo(kept, (image.shape[1], image.shape[2]), self.teacher.preprocessing.resize(image[None])[0])

    def _finished(self, photo: _Photo, found: Future[list[Region]]) -> tuple[Row, list[Region]]:
        regions = found.result()
        self.photos, self.masks = self.photos + 1, self.masks + len(regions)
        return photo.row, [replace(region, mask=_resized(region.mask, photo.size)) for region in regions]


def _resized(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    soft = F.interpolate(torch.from_numpy(mask)[None, None].float(), size, mode="bilinear", align_corners=False)
    return (soft[0, 0] > 0.5).numpy()


def _as_row(row: Row, regions: list[Region], identity: dict[str, str]) -> dict[str, Any]:
    return {
        "image": {"bytes": row["image"], "path": None},
        "masks": mask_records([each.mask for each in regions], [each.stability for each in regions]),
        "domain": row["domain"],
        "origin": public_origin(row["origin"]),
        **identity,
    }


def _write_json(folder: MaskFolder, row: Row, regions: list[Region], records: list[dict[str, Any]]) -> None:
    content = row["image"]
    assert isinstance(content, bytes)
    name = hashlib.sha256(content).hexdigest()[:16]  # origins may hold what no file's name can
    kind = str(open_picture(content).format)  # by its bytes; it was decoded before
    suffix = SUFFIXES.get(kind, f".{kind.lower()}")
    masks = [each.mask for each in regions]
    folder.write_json(name, content, suffix, sa1b_json(f"{name}{suffix}", masks, records))
