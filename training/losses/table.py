"""Losses by type of label, in one table, and the presets that name a choice of them.

|              | synthetic | dense | pseudo | sparse | weight |                                              |
|--------------|-----------|-------|--------|--------|--------|----------------------------------------------|
| `affine`     | yes       | yes   | yes    | yes    | 1      | after one alignment of the whole image       |
| `gradient`   | yes       | yes   | yes    |        | 2      | steps between neighbours, at four scales     |
| `local_4`    | yes       | yes   | yes    | yes    | 1      | after the alignment of each of 4 x 4 windows |
| `local_16`   | yes       | yes   | yes    |        | 1      | of each of 16 x 16 windows                   |
| `local_64`   | yes       |       |        |        | 1      | of each of 64 x 64 windows                   |
| `edge`       | yes       |       |        |        | 1      | slopes of the surface                        |
| `normal`     | yes       |       |        |        | 1      | normals of the surface                       |
| `sky`        | yes       | yes   |        | yes    | 1      | sky behind all else, and not in the others   |

`synthetic` labels are rendered: dense, and right at every pixel. `dense` ones are measured or reconstructed: right on
the whole, not at outlines. `pseudo` ones are predicted by a model, and know no sky. `sparse` ones, as of LiDAR, know
few pixels beside each other. Which local losses a type has is MoGe's choice (`configs/train/v1.json` of its code), and
so are the weights of 1; 2 is that of Depth Anything V2 (arXiv 2406.09414).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from semidepth.data.depth_coding import LabelType
from semidepth.modeling.affine_invariant import affine_invariant_loss
from semidepth.training.losses.gradient_matching import gradient_matching_loss
from semidepth.training.losses.local_alignment import local_alignment_loss
from semidepth.training.losses.sky import sky_loss, without_sky
from semidepth.training.losses.surface_angles import edge_loss, normal_loss

SYNTHETIC: frozenset[LabelType] = frozenset({"synthetic"})
DENSE: frozenset[LabelType] = frozenset({"synthetic", "dense", "pseudo"})
ALL: frozenset[LabelType] = DENSE | frozenset({"sparse"})


class Loss(Protocol):
    """A loss of prediction, target and valid pixels, each (B, H, W): the mean over the images that count."""

    def __call__(self, prediction: Tensor, target: Tensor, valid: Tensor | None = None) -> Tensor: ...


@dataclass(frozen=True)
class Term:
    """One row of the table: a loss, the types of label that it is for, and its weight where a preset has it."""

    loss: Loss
    labels: frozenset[LabelType]
    weight: float = 1.0


TERMS: dict[str, Term] = {
    "affine": Term(affine_invariant_loss, ALL),
    "gradient": Term(gradient_matching_loss, DENSE, 2.0),
    "local_4": Term(partial(local_alignment_loss, parts=4), ALL),
    "local_16": Term(partial(local_alignment_loss, parts=16), DENSE),
    "local_64": Term(partial(local_alignment_loss, parts=64), SYNTHETIC),
    "edge": Term(edge_loss, SYNTHETIC),
    "normal": Term(normal_loss, SYNTHETIC),
    "sky": Term(sky_loss, ALL - {"pseudo"}),
}
V2 = ("affine", "gradient")
LOCAL = (*V2, "local_4", "local_16", "local_64")
# v1: Depth Anything (arXiv 2401.10891); v2: Depth Anything V2; local: MoGe's local losses as well; full: everything.
PRESETS: dict[str, tuple[str, ...]] = {"v1": ("affine",), "v2": V2, "local": LOCAL, "full": tuple(TERMS)}


def parse_losses(text: str, gradient_weight: float | None = None) -> dict[str, float]:
    """The weights of the terms that are on, in the table's order.

    Args:
        text: a preset, and terms that it lacks: `v2`, `v2+sky`, `v1+local_4+local_16`.
        gradient_weight: takes the place of the gradient term's weight, whether the preset has that term or not; 0
            leaves it out.

    Raises:
        ValueError: no such preset or term, or one that is there already.
    """
    preset, *more = text.split("+")
    if preset not in PRESETS:
        raise ValueError(f"the preset {preset!r} is not known; begin with {', '.join(PRESETS)}")
    names = list(PRESETS[preset])
    for name in more:
        if name not in TERMS:
            raise ValueError(f"the term {name!r} is not known; known are {', '.join(TERMS)}")
        if name in names:
            raise ValueError(f"the term {name!r} is on already; name it once")
        names.append(name)
    weights = {name: term.weight for name, term in TERMS.items() if name in names}
    if gradient_weight is not None:
        weights["gradient"] = gradient_weight
    return {name: weights[name] for name in TERMS if weights.get(name)}


def describe(weights: Mapping[str, float]) -> str:
    """Names the terms that are on, with their weights and the labels that each is for, for the log."""
    parts = []
    for name, weight in weights.items():
        labels = sorted(TERMS[name].labels)
        parts.append(f"{weight:g} x {name}" + ("" if TERMS[name].labels == ALL else f" ({', '.join(labels)} labels)"))
    return ", ".join(parts)


def losses_of(
    prediction: Tensor,
    target: Tensor,
    labels: Sequence[LabelType],
    terms: Mapping[str, float],
    valid: Tensor | None = None,
) -> dict[str, Tensor]:
    """Each term's loss, not yet weighted: the mean over the images of types that it is for, times their share.

    So an image's term weighs the same whatever types of label the others in its batch have.

    Args:
        prediction: (B, H, W) inverse depth, larger is nearer, any affine scale.
        target: (B, H, W) inverse depth, NaN where unknown, 0 for sky.
        labels: type of each image's label.
        terms: names of the terms that are on, with or without weights.
        valid: (B, H, W), True where the pixel counts; None means wherever the target is finite.

    Returns:
        A scalar float32 for each name, in order; 0 where no image has a label for it. Nothing waits for the device.
    """
    rest = target
    if "sky" in terms and any(label in TERMS["sky"].labels for label in labels):
        rest = without_sky(target, _images(TERMS["sky"], labels, target))
    found = {}
    for name in terms:
        term = TERMS[name]
        share = sum(label in term.labels for label in labels) / len(labels)
        if share == 0:
            found[name] = prediction.new_zeros((), dtype=torch.float32)
            continue
        counts = valid
        if share < 1:
            chosen = _images(term, labels, target)
            counts = chosen if valid is None else valid & chosen
        found[name] = share * term.loss(prediction, target if name == "sky" else rest, counts)
    return found


def _images(term: Term, labels: Sequence[LabelType], maps: Tensor) -> Tensor:
    """True in all pixels of the images (B, H, W) that a term is for."""
    chosen = torch.tensor([label in term.labels for label in labels])
    return chosen.to(maps.device, non_blocking=True)[:, None, None].expand_as(maps)


def weighted_sum(name: str, losses: Mapping[str, Tensor], weights: Mapping[str, float]) -> dict[str, Tensor]:
    """The weighted sum of some losses under a name, first, and each of them but `affine` as `NAME_TERM` for the log."""
    total = sum((weights[term] * loss for term, loss in losses.items()), start=torch.zeros(()))
    return {name: total} | {f"{name}_{term}": loss for term, loss in losses.items() if term != "affine"}
