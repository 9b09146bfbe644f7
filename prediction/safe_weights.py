"""Weights come from safetensors alone: what is pickled can run code while it is read, so it is refused.

Every loader passes `use_safetensors=True`, too; this says beforehand, in a sentence, what is wrong and what to do.
"""

from pathlib import Path

from semidepth.publishing.files import PICKLED, pickled_names


def refuse_pickled(name: str) -> None:
    """Refuses a file that is pickled, and a folder that has no other weights.

    Args:
        name: of a model: a folder, or an id on the Hub, which is left to the loader.

    Raises:
        ValueError: it is one.
    """
    path = Path(name)
    if path.suffix in PICKLED and path.is_file():
        found = path.name
    elif path.is_dir() and not any(path.glob("*.safetensors")) and pickled_names(path):
        found = pickled_names(path)[0]
    else:
        return
    raise ValueError(
        f"{name!r} has pickled weights ({found}), which could run code while they are read; convert them once with "
        "torch.load(weights_only=True) and save_pretrained, which writes model.safetensors, and name that folder."
    )
