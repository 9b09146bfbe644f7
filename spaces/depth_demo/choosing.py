"""Which models a Space offers when it is started: the given ones, else trained ones, else the published one."""

from pathlib import Path

from huggingface_hub import metadata_load


def find_models(given: list[str], outputs: Path, readme: Path) -> list[str]:
    """The models to offer.

    Args:
        given: by whoever starts the Space; they are taken as they are.
        outputs: folder of trained models, at any depth, searched when none is given.
        readme: whose front matter names published models under `models`, used when none is trained.

    Returns:
        Names, the newest folder first; empty if there is nothing.
    """
    if given:
        return list(dict.fromkeys(given))
    trained = []
    for config in outputs.glob("**/config.json") if outputs.is_dir() else ():
        weights = [*config.parent.glob("model*.safetensors")]
        if weights and "DepthEstimation" in config.read_text(encoding="utf-8"):
            trained.append((max(file.stat().st_mtime for file in weights), config.parent.as_posix()))
    if trained:
        return [name for _, name in sorted(trained, reverse=True)]
    return list((metadata_load(readme) or {}).get("models") or []) if readme.is_file() else []
