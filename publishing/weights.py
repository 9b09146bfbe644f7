"""Weights in files of a size that the Hub and a slow line can do with."""

import re
from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import save_torch_state_dict
from safetensors.torch import load_file

from semidepth.publishing.files import INDEX, HubFile, weight_names

_UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}


def parse_size(text: str) -> int:
    """Bytes of a size such as 5GB or 500MB.

    Raises:
        ValueError: it is none.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(|KB|MB|GB)", text.strip().upper())
    size = int(float(found[1]) * _UNITS[found[2]]) if found else 0
    if size < 1:
        raise ValueError(f"--max_shard_size is {text!r}; give a size such as 5GB or 500MB.")
    return size


def split_weights(files: Sequence[HubFile], room: Path, *, max_bytes: int) -> list[HubFile]:
    """The files with weights of at most so many bytes each, dealt out anew where one is larger.

    Args:
        files: of a model.
        room: folder for new shards; made when needed.
        max_bytes: a single larger tensor still makes a larger file.

    Returns:
        The files as they are where all are small enough, else with other weights and their index.
    """
    weights = [file for file in files if file.source.suffix == ".safetensors"]
    if all(file.size <= max_bytes for file in weights):
        return list(files)
    room.mkdir(parents=True)
    tensors = {name: tensor for file in weights for name, tensor in load_file(file.source).items()}
    save_torch_state_dict(tensors, room, max_shard_size=max_bytes, metadata={"format": "pt"})
    rest = [file for file in files if file not in weights and file.path != INDEX]
    return [*(HubFile(name, room / name) for name in weight_names(room)), *rest]
