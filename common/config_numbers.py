"""Numbers of a model's configuration that are believed: what is built from others takes memory or time without end."""

import math
from collections.abc import Iterator
from typing import Any

# The largest number of each that is believed, far beyond any model's.
LARGEST = {
    "num_hidden_layers": 1_000, "num_attention_heads": 1_000, "num_channels": 1_000, "patch_size": 4_096,
    "image_size": 16_384, "hidden_size": 100_000, "intermediate_size": 1_000_000, "reassemble_hidden_size": 100_000,
    "neck_hidden_sizes": 100_000, "fusion_hidden_size": 100_000, "head_hidden_size": 100_000,
    # heads in metres
    "n_bins": 100_000, "bin_embedding_dim": 100_000, "seed_hidden_size": 100_000, "projector_hidden_size": 100_000,
    "num_attractors": 10_000, "log_binomial_factor": 1_000, "router_hidden_size": 100_000, "router_layers": 1_000,
    "router_heads": 1_000, "router_intermediate_size": 1_000_000,
    # masks
    "mlp_dim": 1_000_000, "num_multimask_outputs": 1_000, "iou_head_depth": 1_000, "iou_head_hidden_dim": 100_000,
    "mask_input_channels": 100_000, "attention_downsample_rate": 1_000, "text_hidden_size": 100_000,
    # 4M and its tokenizers
    "encoder_layers": 1_000, "decoder_layers": 1_000, "vocab_size": 1_000_000, "max_tokens": 100_000,
    "channels": 100_000, "levels": 1_000_000,
}  # fmt: skip
LARGEST_OR_NONE = {"num_register_tokens": 100_000}  # 0 is believed, too
LARGEST_VOCABULARY = 1_000_000  # of `levels`: their product
LARGEST_MLP_RATIO = 1_000
HEADS = (("num_attention_heads", "hidden_size"), ("router_heads", "router_hidden_size"))


def check_numbers(fields: dict[str, Any]) -> None:
    """Checks the numbers of a configuration and of those within it; raises ValueError, naming one out of range."""
    for part in _parts(fields):
        for limits, least in ((LARGEST, 1), (LARGEST_OR_NONE, 0)):
            for field, most in limits.items():
                value = part.get(field)
                numbers = value if isinstance(value, list | tuple) else [value]
                if value is not None and not all(isinstance(each, int) and least <= each <= most for each in numbers):
                    raise _wrong(field, value, f"whole numbers from {least} to {most:,}")
        _check_together(part)


def _check_together(part: dict[str, Any]) -> None:
    """Checks numbers that bound each other, and those that need not be whole."""
    for heads_name, width_name in HEADS:
        heads, width = part.get(heads_name), part.get(width_name)
        if isinstance(heads, int) and isinstance(width, int) and width % heads:
            raise _wrong(heads_name, heads, f"a divisor of {width_name}, {width}")
    places, index = part.get("neck_hidden_sizes"), part.get("head_in_index")
    if places and index is not None and not (isinstance(index, int) and -len(places) <= index < len(places)):
        raise _wrong("head_in_index", index, f"the number of one of {len(places)} levels")
    levels = part.get("levels")
    if isinstance(levels, list | tuple) and math.prod(levels) > LARGEST_VOCABULARY:
        raise _wrong("levels", levels, f"numbers whose product is at most {LARGEST_VOCABULARY:,}")
    ratio = part.get("mlp_ratio")
    if ratio is not None and not (isinstance(ratio, int | float) and 0 < ratio <= LARGEST_MLP_RATIO):
        raise _wrong("mlp_ratio", ratio, f"a number above 0, at most {LARGEST_MLP_RATIO:,}")


def _parts(fields: Any) -> Iterator[dict[str, Any]]:
    """Yields a configuration and all within it, also in lists, as the modalities of a 4M model are."""
    if isinstance(fields, dict):
        yield fields
    for value in fields.values() if isinstance(fields, dict) else fields:
        if isinstance(value, dict | list | tuple):
            yield from _parts(value)


def _wrong(field: str, value: object, expected: str) -> ValueError:
    return ValueError(f"its configuration says {field}={str(value)[:60]}; expected {expected}; mend config.json")
