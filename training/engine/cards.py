"""Model cards."""

from pathlib import Path

from huggingface_hub import ModelCard, ModelCardData


def make_card(folder: Path, *, repo: str | None) -> ModelCard:
    """A card for a model folder."""
    data = ModelCardData(library_name="transformers", pipeline_tag="depth-estimation", license="apache-2.0")
    return ModelCard(f"---\n{data.to_yaml()}\n---\n# {repo or folder.name}\n")
