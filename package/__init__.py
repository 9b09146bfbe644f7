"""Depth estimation: train a model, score it, publish it, predict with it.

    import semidepth
    depth = semidepth.predict("photo.jpg", "outputs/demo/metric")   # without a model: the one that comes with semidepth
    depth.values, depth.unit   # (H, W) float32, "m"

    predict        depth of one image or of many
    segment        a thing that is pointed at: its mask, its distance, its size
    load_model     load a model once, to predict with it many times
    DepthMap       result of `predict`
    convert        any of depth, normals, classes and a sentence from any other, with a 4M model
    train_teacher, train_student, train_metric, score, publish
                   the commands as functions, which take the command's options

Importing this takes milliseconds: each name is imported when it is first used.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from semidepth.evaluation.score import score
    from semidepth.prediction.any_to_any.conversion import convert
    from semidepth.prediction.depth_maps import DepthMap, predict
    from semidepth.prediction.masks.segment import segment
    from semidepth.prediction.models import load_depth_model as load_model
    from semidepth.publishing.cli import publish
    from semidepth.training.metric import train_metric
    from semidepth.training.student import train_student
    from semidepth.training.teacher import train_teacher

    __version__: str

__all__ = [
    "DepthMap",
    "__version__",
    "convert",
    "load_model",
    "predict",
    "publish",
    "score",
    "segment",
    "train_metric",
    "train_student",
    "train_teacher",
]

_LAZY = {
    "DepthMap": ("semidepth.prediction.depth_maps", "DepthMap"),
    "convert": ("semidepth.prediction.any_to_any.conversion", "convert"),
    "load_model": ("semidepth.prediction.models", "load_depth_model"),
    "predict": ("semidepth.prediction.depth_maps", "predict"),
    "publish": ("semidepth.publishing.cli", "publish"),
    "score": ("semidepth.evaluation.score", "score"),
    "segment": ("semidepth.prediction.masks.segment", "segment"),
    "train_metric": ("semidepth.training.metric", "train_metric"),
    "train_student": ("semidepth.training.student", "train_student"),
    "train_teacher": ("semidepth.training.teacher", "train_teacher"),
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        try:
            value: Any = version("semidepth")
        except PackageNotFoundError:  # a source tree that is not installed
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
