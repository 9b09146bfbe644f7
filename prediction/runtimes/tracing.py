"""What exporters need of a model: its graph, an example, the sizes that may change, and what to write into the file."""

import contextlib
import logging
import math
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from semidepth.modeling import DepthStudentForDepthEstimation, RoutedDepthForDepthEstimation
from semidepth.modeling.configuration_depth_student import as_pair
from semidepth.prediction.models import DepthModel
from semidepth.prediction.runtimes.graphs import MetricGraph, RoutedGraph, StudentGraph


def graph_of(model: nn.Module, name: str) -> StudentGraph | MetricGraph:
    """Returns the exportable form of a model; raises ValueError where there is none."""
    if isinstance(model, DepthStudentForDepthEstimation):
        return StudentGraph(model).eval()
    if not isinstance(model, RoutedDepthForDepthEstimation):
        raise ValueError(
            f"{name!r} is a {type(model).__name__}; give a student, a metric model of semidepth, or a stock Depth "
            "Anything."
        )
    if not isinstance(model.core, DepthStudentForDepthEstimation):
        raise ValueError(
            f"{name!r} stands on the MiDaS core of stock ZoeDepth, whose encoder cannot be exported for every size; "
            "export a metric model on a student."
        )
    return (MetricGraph(model) if model.router is None else RoutedGraph(model)).eval()


def patch_size(model: nn.Module) -> tuple[int, int]:
    core: Any = model.core if isinstance(model, RoutedDepthForDepthEstimation) else model
    return as_pair(core.config.patch_size)


def example_size(loaded: DepthModel, patch: tuple[int, int]) -> tuple[int, int]:
    """Returns an example height and width: not square and not of the training size, where exporters take shortcuts."""
    across = max(loaded.preprocessing.size // max(patch), 4)
    return (across // 2 + 2) * patch[0], (across // 2 + 5) * patch[1]


def example_of(size: tuple[int, int]) -> Tensor:
    """Returns an example for exporters: two images, since a size of 1 is taken for a constant."""
    return torch.zeros(2, 3, *size)


def dynamic_shapes(graph: StudentGraph | MetricGraph) -> tuple[dict[int, Any]]:
    """Returns the sizes of the input that may change: batch, and height and width in patches."""
    high, wide = patch_size(graph.model)
    rows, columns = torch.export.Dim("rows"), torch.export.Dim("columns")
    return ({0: torch.export.Dim("batch"), 2: high * rows, 3: wide * columns},)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silences exporter and optimiser, which log hundreds of lines at level INFO."""
    levels = {name: logging.getLogger(name).level for name in ("onnxscript", "onnx_ir", "torch.onnx", "torch.__trace")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in levels:
            logging.getLogger(name).setLevel(logging.ERROR)
        try:
            yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)


def describe(loaded: DepthModel, graph: StudentGraph | MetricGraph, opset: int, patch: tuple[int, int]) -> dict:
    """Returns the part of the record that is known before the export."""
    own, keys = loaded.preprocessing, ("name", "min_depth_m", "max_depth_m")
    domains = [{key: domain[key] for key in keys} for domain in getattr(loaded.model.config, "domains", None) or []]
    return {
        "opset": opset,
        "kind": "metres" if loaded.kind == "depth" else "inverse_depth",
        "domains": domains,
        "preprocessing": {
            "mean": list(own.mean),
            "std": list(own.std),
            "size": own.size,
            "multiple": math.lcm(own.multiple, *patch),
        },
        "output": _output(loaded, domains),
    }


def _output(loaded: DepthModel, domains: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns what the depth's numbers mean; an open end of the range is None."""
    if loaded.kind == "disparity":
        own: dict[str, Any] = {"unit": None, "direction": "larger is nearer", "range": [0.0, None]}
        return own | {"calibration": "up to a scale and a shift per image"}
    ends = [0.0, getattr(loaded.model.config, "max_depth", None)]
    if domains:
        ends = [min(each["min_depth_m"] for each in domains), max(each["max_depth_m"] for each in domains)]
    return {"unit": "m", "direction": "larger is farther", "range": ends, "calibration": "metres"}
