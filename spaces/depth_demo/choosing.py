"""The models that a Space offers: those given when it is started, else semidepth's own and trained ones."""

import logging
from pathlib import Path

from huggingface_hub import metadata_load
from predictor import Models

from semidepth.prediction.options import Runtime
from semidepth.prediction.shipped.folder import shipped_names

logger = logging.getLogger(__name__)


def choose_models(
    given: list[str],
    outputs: Path,
    readme: Path,
    device: str,
    *,
    trusted: bool = False,
    runtime: Runtime = "torch",
) -> Models:
    """The models to offer, the first of them loaded.

    Args:
        given: by whoever starts the Space; a broken one is an error.
        outputs: folder of trained models, at any depth, searched when none is given. Broken ones are left out.
        readme: file whose front matter names published models under `models`, used where there is neither a model that
            came with semidepth nor a trained one.
        device: to run on.
        trusted: run code that given models bring along; that of others is never run.
        runtime: library that runs them on a CPU.

    Returns:
        The given models in order; or the models that come with semidepth, then trained ones, newest first. There may be
        none.

    Raises:
        ValueError: a given model cannot be offered.
    """
    if given:
        return Models(list(dict.fromkeys(given)), device, trusted=trusted, runtime=runtime)
    here = Models([*shipped_names(), *trained_models(outputs)], device, skip_broken=True, runtime=runtime)
    if here.names:
        return here
    published = Models(published_models(readme), device, skip_broken=True, runtime=runtime)
    published.skipped = here.skipped + published.skipped
    return published


def trained_models(outputs: Path) -> list[str]:
    """Folders with a depth model's configuration and weights, the newest first."""
    found = []
    for config in outputs.glob("**/config.json") if outputs.is_dir() else ():
        try:
            weights = [file.stat().st_mtime for file in config.parent.glob("model*.safetensors")]
            if weights and b"DepthEstimation" in config.read_bytes():
                found.append((max(weights), config.parent.as_posix()))
        except OSError as error:
            logger.warning("The folder %s cannot be read (%s). It is left out.", config.parent, error.strerror)
    return [name for _, name in sorted(found, reverse=True)]


def published_models(readme: Path) -> list[str]:
    """The ids in a README's front matter."""
    return list((metadata_load(readme) or {}).get("models") or []) if readme.is_file() else []
