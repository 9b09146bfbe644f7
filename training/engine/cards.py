"""Model cards."""

from collections.abc import Mapping
from pathlib import Path

from huggingface_hub import ModelCard, ModelCardData


def make_card(
    folder: Path,
    *,
    repo: str | None = None,
    license: str | None = None,
    data_licences: Mapping[str, str] | None = None,
) -> ModelCard:
    """A card for a model folder."""
    data = ModelCardData(library_name="transformers", pipeline_tag="depth-estimation", license=license)
    return ModelCard(f"---\n{data.to_yaml()}\n---\n# {repo or folder.name}\n")
