"""A teacher as a labeler needs it: the model, what tells it apart from any other, and its earlier checkpoints."""

import hashlib
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AutoConfig

from semidepth.training.engine.checkpoints import list_checkpoints
from semidepth.training.engine.depth_models import DepthModel, Kind, load_depth_model


def revision_of(name: str) -> str:
    """What tells a model apart from others of its name: the Hub's commit, or a digest of a folder's weights."""
    if not Path(name).is_dir():
        return getattr(AutoConfig.from_pretrained(name), "_commit_hash", None) or "unknown"
    digest = hashlib.sha256()
    for path in sorted(Path(name).glob("*.safetensors")):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return f"sha256:{digest.hexdigest()[:16]}"


def earlier_checkpoints(name: str) -> list[Path]:
    """A teacher's saved checkpoints but the newest, which is the teacher itself, oldest first; none for a Hub id."""
    return list_checkpoints(Path(name))[:-1] if Path(name).is_dir() else []


def load_earlier(name: str, checkpoints: list[Path], *, device: torch.device, kind: Kind | None) -> list[DepthModel]:
    """The teacher with the weights that it had at each of these checkpoints."""
    models = []
    for checkpoint in checkpoints:
        model = load_depth_model(name, device=device, kind=kind)
        model.model.load_state_dict(load_file(checkpoint / "model.safetensors"))
        models.append(model)
    return models
