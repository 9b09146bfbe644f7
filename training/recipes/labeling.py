"""Labeling of images with a teacher, at nearly the speed of its forward pass: decoding and writing run in threads.

Threads decode and resize images ahead of the model, and encode and write its labels; both release Python's lock. All
images of a batch have one size. Photos have many sizes, but few remain after their shorter side is resized to the
model's.
"""

import io
import logging
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from semidepth.data.decoding import BrokenSampleError, decode_image
from semidepth.data.label_images import encode_label
from semidepth.data.public_names import public_origin
from semidepth.data.reading.rows import Row, content_of
from semidepth.evaluation.labels.stability import stability
from semidepth.prediction.batching import (
    AHEAD,
    groups_of_one_size,
    to_device,
    to_host,
)
from semidepth.prediction.models import DepthModel

logger = logging.getLogger(__name__)

WRITES_AHEAD = 2  # parts

Item = tuple["_Part", int, Row, Tensor]  # a part, the row's position in it, the row and its pixels


@dataclass
class _Part:
    """A part in progress, with its labeled rows by their position in the part."""

    name: str
    read: bool = False  # true once its last row is read
    total: int = 0
    skipped: int = 0
    rows: dict[int, Future[dict[str, Any]]] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        return self.read and len(self.rows) + self.skipped == self.total


@dataclass
class _Batch:
    """A batch on the device; its results are on the host once `finished` has happened (None: they are already)."""

    group: list[Item]
    disparity: Tensor
    reliability: Tensor
    finished: torch.cuda.Event | None


class Labeler:
    """Predicts pseudo labels for rows, part by part.

    Args:
        teacher: the model that labels.
        earlier: its earlier checkpoints, for the reliability; may be empty.
        device: the device of the models.
        batch_size: images in a forward pass, all of one size.
        threads: number of threads that decode, and as many more that encode.
        precision: number format of autocast; None for none.
        identity: columns with the same value in every row.
    """

    def __init__(
        self,
        teacher: DepthModel,
        earlier: list[DepthModel],
        *,
        device: torch.device,
        batch_size: int,
        threads: int,
        precision: torch.dtype | None,
        identity: dict[str, str],
    ) -> None:
        self.teacher = teacher
        self.earlier = earlier
        self.device = device
        self.batch_size = batch_size
        self.threads = threads
        self.precision = precision
        self.identity = identity
        self.skipped = 0
        self._encoding: deque[Future[dict[str, Any]]] = deque()

    def label(
        self,
        parts: Iterator[tuple[str, Iterator[Row]]],
        write: Callable[[str, list[dict[str, Any]]], None],
        tell: Callable[[int], Any],
    ) -> int:
        """Labels all rows of all parts.

        Args:
            parts: pairs of a name and undecoded rows.
            write: called with a part's name and its labeled rows, once all are there.
            tell: called after each forward pass with its number of images.

        Returns:
            The number of labeled images. Images that cannot be decoded are skipped with a warning and counted in
            `skipped`.
        """
        under_way: list[_Part] = []
        written: deque[Future[None]] = deque()
        labeled = 0
        with ThreadPoolExecutor(self.threads) as ahead, ThreadPoolExecutor(self.threads) as behind:
            launched: deque[_Batch] = deque()
            items = self._decoded(ahead, parts, under_way)
            # Batches end at a part's end, so that a part does not wait in memory for more images of a rare size.
            for group in groups_of_one_size(items, self.batch_size, _size, section_of=_part):
                launched.append(self._launch(group))
                labeled += len(group)
                tell(len(group))
                if len(launched) > 1:  # encode the previous batch on the host while the device computes this one
                    self._encode_batch(launched.popleft(), behind)
                self._write_whole(under_way, behind, written, write)
            while launched:
                self._encode_batch(launched.popleft(), behind)
            self._write_whole(under_way, behind, written, write)
            for done in written:
                done.result()
        return labeled

    def _decoded(
        self, pool: ThreadPoolExecutor, parts: Iterator[tuple[str, Iterator[Row]]], under_way: list[_Part]
    ) -> Iterator[Item]:
        """Yields rows in order with their pixels, decoded ahead in threads; broken images are skipped."""
        queue: deque[tuple[_Part, int, Future[tuple[Row, Tensor]]]] = deque()
        for name, rows in parts:
            part = _Part(name)
            under_way.append(part)
            for row in rows:
                queue.append((part, part.total, pool.submit(self.decode, row)))
                part.total += 1
                if len(queue) > AHEAD * self.batch_size:
                    yield from self._result(*queue.popleft())
            part.read = True
        while queue:
            yield from self._result(*queue.popleft())

    def decode(self, row: Row) -> tuple[Row, Tensor]:
        """Returns the row with its image's original bytes, and its pixels (3, h, w) uint8 at the teacher's size."""
        content = content_of(row["image"], "image", row["origin"])
        pixels = decode_image(content, name=row["origin"], at_least=self.teacher.preprocessing.size)
        return {**row, "image": image_bytes(content)}, self.teacher.preprocessing.resize(pixels)

    def _result(self, part: _Part, place: int, decoded: Future[tuple[Row, Tensor]]) -> Iterator[Item]:
        try:
            row, pixels = decoded.result()
        except BrokenSampleError as error:
            part.skipped += 1
            self.skipped += 1
            logger.warning("skipped broken image (%d skipped so far): %s", self.skipped, error)
            return
        yield part, place, row, pixels

    def _launch(self, group: list[Item]) -> _Batch:
        """Starts one batch on the device, without waiting for it."""
        results = self.predict(to_device([pixels for *_, pixels in group], self.device))
        (disparity, reliability), finished = to_host(results)
        return _Batch(group, disparity, reliability, finished)

    def _encode_batch(self, batch: _Batch, pool: ThreadPoolExecutor) -> None:
        if batch.finished is not None:
            batch.finished.synchronize()
        maps, scores = batch.disparity.float().numpy(), batch.reliability.tolist()
        for (part, place, row, _), disparity, score in zip(batch.group, maps, scores, strict=True):
            part.rows[place] = pool.submit(self._encode, row, disparity, score)
            self._encoding.append(part.rows[place])
        while len(self._encoding) > AHEAD * self.batch_size:  # the model waits where encoding is slower
            self._encoding.popleft().result()

    @torch.no_grad()
    def predict(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Returns inverse depth and reliability of images on the device.

        Args:
            images: (B, 3, H, W) uint8.

        Returns:
            (B, H, W) inverse depth, at least 0, and (B,) reliability, NaN where there are no earlier checkpoints.
        """
        with torch.autocast(self.device.type, dtype=self.precision, enabled=self.precision is not None):
            disparity = self.teacher.predict_disparity(images).clamp(min=0)
            if not self.earlier:
                return disparity, torch.full(disparity.shape[:1], torch.nan)
            earlier = torch.stack([model.predict_disparity(images) for model in self.earlier])
        return disparity, stability(earlier, disparity)

    def _encode(self, row: Row, disparity: np.ndarray, reliability: float) -> dict[str, Any]:
        if not np.isfinite(disparity).all():
            raise ValueError(
                f"the teacher's prediction for {row['origin']} is not finite; give another --teacher, or "
                "--mixed_precision no."
            )
        label, scale, shift = encode_label(disparity)
        return {
            "image": {"bytes": row["image"], "path": None},
            "disparity": {"bytes": label, "path": None},
            "depth_scale": scale,
            "depth_shift": shift,
            "reliability": reliability,
            "domain": row["domain"],
            "origin": public_origin(row["origin"]),
            **self.identity,
        }

    def _write_whole(
        self,
        under_way: list[_Part],
        pool: ThreadPoolExecutor,
        written: deque[Future[None]],
        write: Callable[[str, list[dict[str, Any]]], None],
    ) -> None:
        """Starts writing the parts whose rows are all predicted; raises the error of a part that failed earlier."""
        for part in [part for part in under_way if part.whole]:
            under_way.remove(part)
            rows = [part.rows[place] for place in sorted(part.rows)]
            written.append(pool.submit(lambda name, rows: write(name, [row.result() for row in rows]), part.name, rows))
        while written and (written[0].done() or len(written) > WRITES_AHEAD):
            written.popleft().result()


def _size(item: Item) -> torch.Size:
    return item[3].shape


def _part(item: Item) -> _Part:
    return item[0]


def image_bytes(content: Any) -> bytes:
    """Returns the bytes of an image file, unchanged; a rendered scene (3, H, W) uint8 is encoded as PNG."""
    if isinstance(content, bytes):
        return content
    if isinstance(content, Tensor):
        buffer = io.BytesIO()
        Image.fromarray(content.permute(1, 2, 0).numpy()).save(buffer, "PNG", compress_level=1)
        return buffer.getvalue()
    return Path(content).read_bytes()
