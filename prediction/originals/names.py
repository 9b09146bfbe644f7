"""Renaming of weights by tables of patterns, and the table of the decoder that Depth Anything and ZoeDepth share."""

import re
from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

# Pattern of a name's beginning -> the new beginning, from the pattern's groups. The rest, such as ".weight", stays.
Rule = tuple[str, Callable[..., str]]

# DPT: the finest of four levels is 1 in the original names, and the last fusion layer in transformers'.
DECODER: tuple[Rule, ...] = (
    (r"scratch\.layer(\d)_rn", lambda level: f"neck.convs.{int(level) - 1}"),
    (r"scratch\.refinenet(\d)\.out_conv", lambda level: f"neck.fusion_stage.layers.{4 - int(level)}.projection"),
    (
        r"scratch\.refinenet(\d)\.resConfUnit(\d)\.conv(\d)",
        lambda level, unit, conv: f"neck.fusion_stage.layers.{4 - int(level)}.residual_layer{unit}.convolution{conv}",
    ),
)


def below(prefix: str, rules: Sequence[Rule]) -> tuple[Rule, ...]:
    """Returns the rules for names that have a prefix (a pattern) before those of the rules."""
    return tuple((prefix + pattern, new) for pattern, new in rules)


def rename(weights: Mapping[str, Tensor], rules: Sequence[Rule]) -> dict[str, Tensor]:
    """Returns the weights under their new names.

    Raises:
        ValueError: a name fits no rule, or two names become one.
    """
    renamed: dict[str, Tensor] = {}
    for name, value in weights.items():
        matches = ((re.match(rf"{pattern}(?=\.|$)", name), new) for pattern, new in rules)
        known = next((new(*found.groups()) + name[found.end() :] for found, new in matches if found), None)
        if known is None:
            raise ValueError(f"has a weight {name!r} of unknown purpose")
        if known in renamed:
            raise ValueError(f"has two weights that both are {known!r}")
        renamed[known] = value
    return renamed


def split(weights: dict[str, Tensor], pattern: str, parts: Sequence[str]) -> dict[str, Tensor]:
    """Returns the weights with joint projections cut into equal parts along their first axis.

    Args:
        weights: by name.
        pattern: of a joint projection's name; its one group is what the parts' names replace.
        parts: new words in place of that group, such as query, key and value, in the tensor's order.

    Raises:
        ValueError: a joint projection cannot be cut into so many parts.
    """
    result: dict[str, Tensor] = {}
    for name, value in weights.items():
        found = re.fullmatch(pattern, name)
        if not found:
            result[name] = value
            continue
        if value.ndim == 0 or value.shape[0] % len(parts):
            raise ValueError(f"has a weight {name!r} of shape {tuple(value.shape)}, expected {len(parts)} equal parts")
        for part, piece in zip(parts, value.chunk(len(parts)), strict=True):
            result[name[: found.start(1)] + part + name[found.end(1) :]] = piece.clone()
    return result
