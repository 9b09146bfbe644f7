"""Presets of options for the built-in scenes and for warm starts, read from training/configs."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from semidepth.common.options import read_options
from semidepth.training.options.run import BUILT_IN_ENCODER

# Options that name data of the user's own, and what a preset then leaves out: scenes are not mixed in unasked.
DATA_OPTIONS = ("labeled", "unlabeled", "pseudo_labels", "teacher")
PRESET_DATA = ("labeled", "unlabeled", "validation")

PRESETS = Path(__file__).parent.parent / "configs"


def read_preset(name: str, cls: type) -> dict[str, Any]:
    """Returns the options in training/configs/NAME.yaml, in the types of a command's dataclass."""
    return read_options(PRESETS / f"{name}.yaml", cls)


def scenes_preset(
    name: str, cls: type, *, unless: Sequence[str] = ("encoder",)
) -> Callable[[Mapping[str, Any]], Mapping[str, Any]]:
    """Returns a preset for `parse_options` that applies to the built-in scenes or, with --start, to warm starts.

    Args:
        name: name of the YAML file in training/configs.
        cls: the command's dataclass.
        unless: options that name the user's own model or data; the scenes' preset does not apply if one is given.

    Returns:
        A function that takes the given options and returns further defaults. Where `--epochs` is given, the preset's
        `steps` is dropped, and where `--losses` is, its `gradient_matching_weight`; where data are given, the
        preset's data are.
    """

    def preset(given: Mapping[str, Any]) -> Mapping[str, Any]:
        if given.get("start") is not None:
            return read_preset("warm_start", cls)
        if any(given.get(option) not in (None, BUILT_IN_ENCODER) for option in unless):
            return {}
        defaults = read_preset(name, cls)
        for option, replaced in (("epochs", "steps"), ("losses", "gradient_matching_weight")):
            if option in given:
                defaults.pop(replaced, None)
        own_data = any(given.get(option) for option in DATA_OPTIONS)
        return {name: value for name, value in defaults.items() if not (own_data and name in PRESET_DATA)}

    return preset
