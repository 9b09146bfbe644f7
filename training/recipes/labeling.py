"""Label images with a teacher at nearly the speed of its bare forward pass: decoding, computing and writing overlap.

Threads decode and resize ahead of the model, and encode and write behind it; both let go of Python's lock. The model
sees batches of one size each: photos have many sizes, but once their shorter side is the model's only a few are left.
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
from semidepth.data.pseudo_labels import encode_label
from semidepth.data.public_names import public_origin
from semidepth.data.reading.rows import Row, content_of
from semidepth.prediction.batching import (
    AHEAD,
    groups_of_one_size,
    to_device,
    to_host,
)
from semidepth.prediction.models import DepthModel
from semidepth.training.losses.stability import stability

logger = logging.getLogger(__name__)

WRITES_AHEAD = 2  # parts

Item = tuple["_Part", int, Row, Tensor]  # a part, the place in it, a row and its pixels


@dataclass
class _Part:
    """A part under way: what its rows came to, by their place in it."""

    name: str
    read: bool = False  # to its end
    total: int = 0
    skipped: int = 0
    rows: dict[int, Future[dict[str, Any]]] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        return self.read and len(self.rows) + self.skipped == self.total


@dataclass
class _Batch:
    """A batch that the device is at: what it came to is on the host once `finished` (None: it is)."""

    group: list[Item]
    disparity: Tensor
    reliability: Tensor
    finished: torch.cuda.Event | None


class Labeler:
    """Labels rows part by part.

    Args:
        teacher: the model that labels.
        earlier: its earlier checkpoints, for the reliability; may be empty.
        device: where the models are.
        batch_size: images of one size in a forward pass.
        threads: that decode, and as many that encode.
        precision: of autocast on the device; None: none.
        identity: columns that are the same in every row.
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
            parts: names and undecoded rows.
            write: stores the finished rows of a part under its name.
            tell: called with the number of images after each forward pass.

        Returns:
            Images labeled. Those that cannot be decoded are skipped, told and counted in `skipped`.
        """
        under_way: list[_Part] = []
        written: deque[Future[None]] = deque()
        labeled = 0
        with ThreadPoolExecutor(self.threads) as ahead, ThreadPoolExecutor(self.threads) as behind:
            launched: deque[_Batch] = deque()
            items = self._decoded(ahead, parts, under_way)
            # A part that is read need not stay in memory for an image of a rare size.
            for group in groups_of_one_size(items, self.batch_size, _size, section_of=_part):
                launched.append(self._launch(group))
                labeled += len(group)
                tell(len(group))
                if len(launched) > 1:  # the one before it: while the device computes, the host encodes
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
        """Rows in order with their pixels, decoded ahead; without those that are skipped."""
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
        """The row with its image's own bytes, and its pixels (3, h, w) uint8 at the size that the teacher wants."""
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
        """Starts one batch on the device; nothing waits for it here."""
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
        while len(self._encoding) > AHEAD * self.batch_size:  # the model waits for whoever is slower
            self._encoding.popleft().result()

    @torch.no_grad()
    def predict(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Inverse depth (B, H, W), at least 0, and reliability (B,) of images (B, 3, H, W) uint8 on the device."""
        with torch.autocast(self.device.type, dtype=self.precision, enabled=self.precision is not None):
            disparity = self.teacher.predict_disparity(images).clamp(min=0)
            if not self.earlier:
                return disparity, torch.full(disparity.shape[:1], torch.nan)
            earlier = torch.stack([model.predict_disparity(images) for model in self.earlier])
        return disparity, stability(earlier, disparity)

    def _encode(self, row: Row, disparity: np.ndarray, reliability: float) -> dict[str, Any]:
        if not np.isfinite(disparity).all():
            raise ValueError(
                f"the teacher's prediction for {row['origin']} is not finite; take a sound one, or full precision."
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
        """Hands over the parts whose rows are all predicted; an error of an earlier one ends the work."""
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
    """The file of an image, as it is; a rendered scene (3, H, W) uint8 becomes a PNG."""
    if isinstance(content, bytes):
        return content
    if isinstance(content, Tensor):
        buffer = io.BytesIO()
        Image.fromarray(content.permute(1, 2, 0).numpy()).save(buffer, "PNG", compress_level=1)
        return buffer.getvalue()
    return Path(content).read_bytes()
