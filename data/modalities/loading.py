"""Pictures with all modalities that they have: training batches that can be resumed, and samples for scoring."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NotRequired, TypedDict

import torch
from torch import Tensor
from torch.utils.data import default_collate

from semidepth.data.modalities.normals import fit_normals
from semidepth.data.preparing import View, draw_view
from semidepth.data.samples import Sample
from semidepth.data.source_spec import Source
from semidepth.data.streaming.loading import BatchLoader, BatchStream, evaluation_samples
from semidepth.data.streaming.plan import StreamPlan
from semidepth.data.streaming.stream import StreamReader

MAPS = ("depth", "normal", "semantic")


class ModalitySample(TypedDict):
    """A square picture with what is known of it.

    `image` (3, S, S) uint8; `depth` (S, S) float32 metres, inf sky, NaN unknown; `normal` (3, S, S) and `semantic`
    (S, S) as in [`semidepth.data.samples.Beside`], all NaN and all -1 where the row has none; `caption`, "" for none.
    """

    image: Tensor
    depth: Tensor
    normal: Tensor
    semantic: Tensor
    caption: str
    domain: str
    origin: str


class ModalityBatch(TypedDict):
    """Several of [`ModalitySample`]; maps are stacked, the rest are lists."""

    image: Tensor
    depth: Tensor
    normal: Tensor
    semantic: Tensor
    caption: list[str]
    domain: list[str]
    origin: list[str]
    index: NotRequired[Tensor]


def with_modalities(sources: Iterable[Source]) -> tuple[Source, ...]:
    """Returns sources whose labeled rows carry all that they have.

    Raises:
        ValueError: labels of a source are not metres, as far as it says.
    """
    found = tuple(replace(each, modalities=True) for each in sources)
    for each in found:
        if each.format != "scenes" and (each.kind not in (None, "depth") or each.invariant is not None):
            raise ValueError(
                f"source {each.spec!r} has labels without metres; tokens of depth are of metres, so give sources of "
                "metric depth"
            )
    return found


def modality_sample(sample: Sample, view: View) -> ModalitySample:
    """Returns a decoded sample as it is seen in a view; mirrored ones mirror what is left and right in it."""
    assert sample["depth"] is not None
    beside = sample.get("beside", {})
    depth = view.of_map(sample["depth"])
    if "normal" in beside:
        normal = torch.stack([view.of_map(channel) for channel in beside["normal"]])
        normal = normal * torch.tensor([-1.0 if view.flip else 1.0, 1, 1])[:, None, None]
    elif sample.get("fov_deg") is not None:
        normal = _fitted(sample, view, depth)
    else:
        normal = torch.full((3, *view.sides), torch.nan)
    semantic = view.of_map(beside["semantic"]) if "semantic" in beside else torch.full(view.sides, -1)
    caption = beside.get("caption", "")
    return ModalitySample(
        image=view.of_image(sample["image"]), depth=depth, normal=normal, semantic=semantic,
        caption=mirror_words(caption) if view.flip else caption, domain=sample["domain"], origin=sample["origin"],
    )  # fmt: skip


def _fitted(sample: Sample, view: View, depth: Tensor) -> Tensor:
    height, width = sample["image"].shape[-2:]
    left, right, _ = view.columns.indices(width)
    top, _, _ = view.rows.indices(height)
    scale = view.sides[1] / (right - left)
    focal = width / 2 / math.tan(math.radians(sample.get("fov_deg") or 0.0) / 2) * scale
    middle = ((width / 2 - left) * scale - 0.5, (height / 2 - top) * scale - 0.5)
    if view.flip:
        middle = (view.sides[1] - 1 - middle[0], middle[1])
    return fit_normals(depth, focal, middle)


def mirror_words(text: str) -> str:
    """Returns a sentence with left for right and right for left."""
    swapped = {"left": "right", "right": "left"}
    return " ".join(swapped.get(word, word) for word in text.split(" "))


def collate_modalities(samples: Sequence[ModalitySample]) -> ModalityBatch:
    """Stacks samples of one size."""
    columns = {name: [sample[name] for sample in samples] for name in samples[0]}  # type: ignore[literal-required]
    maps = {name: default_collate(columns.pop(name)) for name in ("image", *MAPS)}
    return ModalityBatch(**maps, **columns)  # type: ignore[typeddict-item]


class ModalityStream(BatchStream):
    """Batches of one process, as [`BatchStream`]."""

    def prepared(self, reader: StreamReader) -> Iterator[ModalitySample]:
        """Yields samples in their crops."""
        plan = self.stream.plan
        for sample in reader:
            view = draw_view(
                sample["image"], self.size, self.rng_of(sample), train=True, multiple=self.multiple,
                smallest_crop=plan.smallest_crop, flip_probability=plan.flip_probability,
            )  # fmt: skip
            yield modality_sample(sample, view)


class ModalityLoader(BatchLoader):
    """An iterable of full [`ModalityBatch`]es of one process, which can resume; in all else as [`BatchLoader`]."""

    def __init__(self, plan: StreamPlan, *, batch_size: int, multiple: int = 1, num_workers: int = 0) -> None:
        plan = replace(plan, sources=with_modalities(plan.sources), labeled=True)
        super().__init__(plan, batch_size=batch_size, multiple=multiple, num_workers=num_workers, stream=ModalityStream)
        self.batches.collate = collate_modalities


def modality_samples(sources: Sequence[Source], size: int, limit: int | None = None) -> Iterator[ModalitySample]:
    """Yields the middle square of each picture once, in order, at a size in pixels.

    Raises:
        ValueError: a source is wrong, or has no end and there is no `limit`.
    """
    for sample in evaluation_samples(with_modalities(sources), limit, size=size):
        height, width = sample["image"].shape[-2:]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        yield modality_sample(sample, View(slice(top, top + side), slice(left, left + side), (size, size)))
