"""Weights in shards, where one file would be too large."""

import re
from collections.abc import Sequence
from pathlib import Path

from semidepth.publishing.files import INDEX, HubFile, weight_names

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(|KB|MB|GB)")
_UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}


def parse_size(text: str) -> int:
    """Returns the bytes of a size such as 5GB or 500MB; huggingface_hub's own parser is private.

    Raises:
        ValueError: the text is no size.
    """
    found = _SIZE.fullmatch(text.strip().upper())
    size = int(float(found[1]) * _UNITS[found[2]]) if found else 0
    if size < 1:
        raise ValueError(f"--max_shard_size is {text!r}; give a size such as 5GB or 500MB.")
    return size


def split_weights(files: Sequence[HubFile], room: Path, *, max_bytes: int) -> list[HubFile]:
    """Returns a model's files with larger weights split into shards.

    Args:
        files: of the model.
        room: folder for the shards; created when needed.
        max_bytes: largest size of a shard. A single larger tensor still makes a larger one.

    Returns:
        The same files where all are small enough; else with other weights and their index.
    """
    from huggingface_hub import save_torch_state_dict  # here: it imports torch
    from safetensors.torch import load_file

    weights = [file for file in files if file.source.suffix == ".safetensors"]
    if all(file.size <= max_bytes for file in weights):
        return list(files)
    room.mkdir(parents=True)
    tensors = {name: tensor for file in weights for name, tensor in load_file(file.source).items()}
    save_torch_state_dict(tensors, room, max_shard_size=max_bytes, metadata={"format": "pt"})
    rest = [file for file in files if file not in weights and file.path != INDEX]
    return [*(HubFile(name, room / name) for name in weight_names(room)), *rest]
