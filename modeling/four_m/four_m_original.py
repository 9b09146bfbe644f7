"""Configuration and weights of apple/ml-4m's published models, as ours.

Their licence is for research alone, not for commercial use; loading them says so.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor
from transformers.utils import cached_file, logging

from .configuration_four_m import FourMConfig

logger = logging.get_logger(__name__)

LICENCE = (
    "the weights of 4M are published under the Sample Code License, for non-commercial use only: models made of them "
    "are, too"
)
# Domains of the published models without their size, as in fourm/data/modality_info.py.
DOMAINS: dict[str, dict[str, Any]] = {
    "rgb": {"kind": "pixels"},
    "tok_rgb": {"kind": "map", "vocab_size": 16384},
    "tok_depth": {"kind": "map", "vocab_size": 8192},
    "tok_normal": {"kind": "map", "vocab_size": 8192},
    "tok_semseg": {"kind": "map", "vocab_size": 4096},
    "tok_clip": {"kind": "map", "vocab_size": 8192},
    "tok_canny_edge": {"kind": "map", "vocab_size": 8192},
    "tok_sam_edge": {"kind": "map", "vocab_size": 8192},
    "tok_dinov2": {"kind": "map", "vocab_size": 8192, "patch_size": 14},
    "tok_imagebind": {"kind": "map", "vocab_size": 8192, "patch_size": 14},
    "tok_dinov2_global": {"kind": "map", "vocab_size": 8192, "patch_size": 56, "learned_positions": True},
    "tok_imagebind_global": {"kind": "map", "vocab_size": 8192, "patch_size": 56, "learned_positions": True},
    "caption": {"kind": "sequence", "max_tokens": 256},
    "det": {"kind": "sequence", "max_tokens": 256},
    "metadata": {"kind": "sequence", "max_tokens": 40},
    "human_poses": {"kind": "sequence", "max_tokens": 263},
    "color_palette": {"kind": "sequence", "max_tokens": 23},
    "sam_instance": {"kind": "sequence", "max_tokens": 290},
    "t5_caption": {"kind": "embeddings", "max_tokens": 77, "channels": 4096},
}
# Of their WordPiece: 30,000 words, the first sentinel, the end.
WORDS = {"vocab_size": 30000, "start_id": 5, "end_id": 3}
SAME = ("num_heads", "qk_norm", "qkv_bias", "proj_bias", "mlp_bias", "norm_bias", "gated_mlp", "mlp_ratio")
RENAMED = {"num_heads": "num_attention_heads"}
DEFAULTS = {"qkv_bias": True, "proj_bias": True, "mlp_bias": True, "mlp_ratio": 4.0, "num_heads": 12}


def config_of_fourm(original: Mapping[str, Any]) -> FourMConfig:
    """Returns our configuration of a published one.

    Args:
        original: what their config.json has: domains_in, domains_out, dim, encoder_depth, and so on.

    Raises:
        ValueError: a domain or a setting that no published model has, which is named.
    """
    original = original.get("config", original)
    missing = sorted({"domains_in", "domains_out", "dim", "encoder_depth", "decoder_depth"} - original.keys())
    if missing:
        raise ValueError(f"the configuration has no {', '.join(missing)}; give a 4M transformer, such as 4M-7_B_CC12M.")
    gated = bool(original.get("gated_mlp", False))
    activation = original.get("act_layer", "GELU")
    if activation != ("SiLU" if gated else "GELU") or original.get("decoder_causal_mask"):
        raise ValueError(
            f"this 4M has act_layer {activation}, gated_mlp {gated}, decoder_causal_mask "
            f"{original.get('decoder_causal_mask', False)}, which no published one has and which cannot be kept."
        )
    given, asked = original["domains_in"], original["domains_out"]
    names = list(dict.fromkeys([*given, *asked]))
    modalities = [_modality(name, original, is_input=name in given, is_target=name in asked) for name in names]
    values = DEFAULTS | {"norm_bias": True} | dict(original)
    sizes = {RENAMED.get(name, name): values[name] for name in SAME if name in values}
    return FourMConfig(
        modalities=modalities,
        image_size=original.get("image_size", 224),
        hidden_size=original["dim"],
        encoder_layers=original["encoder_depth"],
        decoder_layers=original["decoder_depth"],
        num_register_tokens=original.get("num_register_tokens", 0),
        decoder_separate_modalities=original.get("decoder_sep_mask", True),
        **(sizes | {"gated_mlp": gated}),
    )


def _modality(name: str, original: Mapping[str, Any], *, is_input: bool, is_target: bool) -> dict[str, Any]:
    base, _, size = name.partition("@")
    if base not in DOMAINS:
        raise ValueError(f"the domain {name!r} is not known; published models have {', '.join(DOMAINS)}.")
    found = dict(DOMAINS[base])
    if found["kind"] == "sequence":
        found |= WORDS
    elif found["kind"] != "embeddings":
        found["image_size"] = int(size) if size else original.get("image_size", 224)
        found.setdefault("patch_size", original.get("patch_size", 16))
    # Their pixels and T5's vectors have no decoder, whatever domains_out says.
    is_target = is_target and found["kind"] in ("map", "sequence")
    return {"name": name, "is_input": is_input, "is_target": is_target} | found


def weights_of_fourm(original: Mapping[str, Tensor], config: FourMConfig) -> dict[str, Tensor]:
    """Returns a published state dict without what is computed here, and what is never used.

    That is sines of positions, biases of zeros, and the decoder's embedding of tokens of maps, whose targets carry the
    mask token alone. A modality embedding that encoder and decoder share is in a file once.
    """
    modalities = {each.name: each for each in config.modality_list}
    kept = {}
    for name, tensor in original.items():
        part, _, rest = name.partition(".")
        modality = modalities.get(rest.partition(".")[0]) if part.endswith("_embeddings") else None
        if modality is not None:
            if name.endswith(".pos_emb") and not modality.learned_positions:
                continue
            if part == "decoder_embeddings" and modality.kind == "map" and ".token_emb" in name:
                continue
        if "norm" in name and name.endswith(".bias") and not config.norm_bias:
            continue
        kept[name] = tensor
    for each in modalities.values():
        pair = [f"{part}_embeddings.{each.name}.mod_emb" for part in ("encoder", "decoder")]
        if each.is_input and each.predicted:
            found = next((kept[name] for name in pair if name in kept), None)
            kept |= {} if found is None else dict.fromkeys(pair, found)
    return kept


def read_fourm(place: str) -> tuple[FourMConfig, dict[str, Tensor]]:
    """Reads a published model from a folder or the Hub, and says its licence.

    Returns:
        Our configuration, and the weights under our names.
    """
    paths = {}
    for name in ("config.json", "model.safetensors"):
        path = Path(place) / name
        paths[name] = path if path.is_file() else Path(str(cached_file(place, name)))
    logger.warning("%s: %s", place, LICENCE)
    config = config_of_fourm(json.loads(paths["config.json"].read_text(encoding="utf-8")))
    return config, weights_of_fourm(load_file(paths["model.safetensors"]), config)


__all__ = ["LICENCE", "config_of_fourm", "read_fourm", "weights_of_fourm"]
