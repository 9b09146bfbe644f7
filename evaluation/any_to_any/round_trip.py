"""What tokenizers keep of maps: the ceiling of every model that speaks in their tokens."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from semidepth.data.modalities.loading import ModalitySample
from semidepth.evaluation.any_to_any.measures import Scores


def values_of(sample: ModalitySample, kind: str) -> Tensor:
    """Returns a sample's values of a kind of map, as [`semidepth.modeling.ModalityTokenizer`] takes them."""
    return sample["image"].float() / 255 if kind == "rgb" else sample[kind]  # type: ignore[literal-required]


def is_known(values: Tensor) -> bool:
    """Returns true where some of a map is known."""
    return bool((~values.isnan()).any() if values.is_floating_point() else (values >= 0).any())


@torch.no_grad()
def round_trip(
    tokenizers: Mapping[str, Any], samples: Iterable[ModalitySample], device: torch.device | str = "cpu"
) -> dict[str, Scores]:
    """Returns the errors of maps that were made tokens and maps again, by kind.

    Args:
        tokenizers: kind -> [`semidepth.modeling.ModalityTokenizer`], in evaluation mode.
        samples: of the size that they take.
        device: where the tokenizers are.
    """
    found = {kind: Scores() for kind in tokenizers}
    for sample in samples:
        for kind, tokenizer in tokenizers.items():
            values = values_of(sample, kind)
            if is_known(values):
                back = tokenizer(values[None].to(device)).values[0].cpu()
                found[kind].add(kind, back, values, len(tokenizer.config.classes))
    return found
