"""Depth of an image in one line: `semidepth.predict("photo.jpg", "outputs/demo/metric").values`.

    predict       depth of one image or of many, with its unit
    load_model    a model that is predicted with more than once
    DepthMap      what `predict` gives

Importing this is light: what needs torch is imported when it is first asked for.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from semidepth.prediction.depth_maps import DepthMap, predict
    from semidepth.prediction.models import load_depth_model as load_model

    __version__: str

__all__ = ["DepthMap", "__version__", "load_model", "predict"]

_LAZY = {
    "DepthMap": ("semidepth.prediction.depth_maps", "DepthMap"),
    "load_model": ("semidepth.prediction.models", "load_depth_model"),
    "predict": ("semidepth.prediction.depth_maps", "predict"),
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        try:
            value: Any = version("semidepth")
        except PackageNotFoundError:  # run from a source tree that is not installed
            value = "unknown"
    elif name in _LAZY:
        module, attribute = _LAZY[name]
        value = getattr(import_module(module), attribute)
    else:
        raise AttributeError(f"module 'semidepth' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
