"""Presets: settings for the built-in scenes and for warm starts, in training/configs."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from semidepth.common.options import read_options
from semidepth.training.options.run import BUILT_IN_ENCODER

PRESETS = Path(__file__).parent.parent / "configs"


def read_preset(name: str, cls: type) -> dict[str, Any]:
    """Options of training/configs/NAME.yaml, in the types of a command's dataclass."""
    return read_options(PRESETS / f"{name}.yaml", cls)


def scenes_preset(
    name: str, cls: type, *, unless: Sequence[str] = ("encoder",)
) -> Callable[[Mapping[str, Any]], Mapping[str, Any]]:
    """A preset for `parse_options`, which applies only to the built-in scenes; with --start that of warm starts.

    Args:
        name: of the YAML in training/configs.
        cls: the command's dataclass.
        unless: options that name a model or data of the user's own; where one is given, the preset is left out.

    Returns:
        A function from the options that were given to further defaults. `--epochs` leaves out the preset's `steps`.
    """

    def preset(given: Mapping[str, Any]) -> Mapping[str, Any]:
        if given.get("start") is not None:
            return read_preset("warm_start", cls)
        if any(given.get(option) not in (None, BUILT_IN_ENCODER) for option in unless):
            return {}
        defaults = read_preset(name, cls)
        if "epochs" in given:
            defaults.pop("steps", None)
        return defaults

    return preset
