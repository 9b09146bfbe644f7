"""Completion of depth: a 4M model given a picture and some known pixels, beside filling in and a metric model."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from semidepth.data.modalities.loading import ModalitySample
from semidepth.evaluation.any_to_any.measures import Scores, require_known
from semidepth.prediction.any_to_any.conversion import gathered
from semidepth.prediction.any_to_any.filling import (
    Neighbours,
    bend_to_known,
    choose_known,
    fill_bilateral,
    fill_nearest,
    scale_to_known,
)
from semidepth.prediction.any_to_any.model import SOURCE, AnyToAny

DEPTH = "tok_depth"
# (3, S, S) uint8 -> (S, S) metres.
Metres = Callable[[Tensor], Tensor]


def complete_depth(made: AnyToAny, image: Tensor | None, known: Tensor) -> Tensor:
    """Returns whole depth from a part of it, (S, S) metres, as its tokens make it: coarse, and not through the part.

    Tokens of all patches in which a pixel is known are given, with the picture; the other patches are predicted.

    Args:
        made: the model.
        image: (3, S, S) uint8, of the model's size; None: the known pixels alone.
        known: (S, S) metres, NaN unknown.
    """
    size = known.shape[-1]
    values: dict[str, Any] = {"depth": gathered(known[None], made.tokenizers[DEPTH].config.image_size)}
    values |= {} if image is None else {"image": image[None]}
    inputs = {name: given for name, given in made.inputs_of(values).items() if name in (SOURCE, DEPTH)}
    found = finite(made.predict_map(inputs, DEPTH)[0].cpu())
    return F.interpolate(found.log()[None, None], size=(size, size), mode="bilinear", align_corners=False)[0, 0].exp()


def finite(metres: Tensor) -> Tensor:
    """Returns a predicted map with sky as far as its farthest surface; raises ValueError for NaN in it."""
    require_known(metres, "depth")
    surfaces = metres[metres.isfinite()]
    return metres.nan_to_num(posinf=float(surfaces.max()) if len(surfaces) else 100.0)


def score_completion(
    samples: Iterable[ModalitySample],
    counts: Sequence[float],
    *,
    made: AnyToAny | None,
    metric: Metres | None,
    seed: int = 0,
) -> dict[str, dict[str, Scores]]:
    """Returns errors over all pixels of surfaces, by how much is known and by method.

    Args:
        samples: of the model's size, with depth.
        counts: known pixels; below 1 the share of all pixels.
        made: the model; None leaves it out.
        metric: a metric model; None leaves it out.
        seed: of the choice of known pixels, which is the same for all methods.

    Returns:
        {what is known: {method: scores}}.
    """
    found: dict[str, dict[str, Scores]] = {name_of(count): {} for count in counts}
    generator = torch.Generator().manual_seed(seed)
    for sample in samples:
        image, truth = sample["image"], sample["depth"]
        metres = None if metric is None else finite(metric(image))
        for count in counts:
            pixels = round(count * truth.numel()) if count < 1 else round(count)
            known = choose_known(truth, pixels, generator)
            if not known.isfinite().any():
                continue
            for method, guess in _guesses(image, known, made, metres).items():
                found[name_of(count)].setdefault(method, Scores()).add("depth", guess, truth)
    return found


def _guesses(image: Tensor, known: Tensor, made: AnyToAny | None, metres: Tensor | None) -> dict[str, Tensor]:
    around, colors = Neighbours(known.isfinite()), image.float() / 255
    found = {
        "nearest known pixel": fill_nearest(around, known),
        "bilateral": fill_bilateral(around, known, colors),
    }
    if metres is not None:
        scaled = scale_to_known(around, known, metres)
        found["metric model, scaled"] = scaled
        found["metric model, bent"] = bend_to_known(known, scaled, colors, around)
    if made is not None:
        coarse = complete_depth(made, image, known)
        found["4M, its tokens"] = coarse
        found["4M, bent"] = bend_to_known(known, coarse, colors, around)
        found["4M without the picture, bent"] = bend_to_known(known, complete_depth(made, None, known), None, around)
    return found


def name_of(count: float) -> str:
    """Returns what is known in words: "500 pixels", "5 %"."""
    return f"{count * 100:g} %" if count < 1 else f"{count:g} pixels"
