"""ONNX export of a trained model for any batch, height and width, checked against torch before it gets its name."""

import json
import logging
import math
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from semidepth.common.console import first_line
from semidepth.modeling.depth_cores import core_features
from semidepth.prediction.models import DepthModel, load_depth_model
from semidepth.prediction.runtimes.graphs import (
    MetricGraph,
    RoutedGraph,
    StudentGraph,
    followable,
)
from semidepth.prediction.runtimes.tracing import (
    describe,
    dynamic_shapes,
    example_of,
    example_size,
    graph_of,
    patch_size,
    quiet,
)
from semidepth.runtime.checks import digests

logger = logging.getLogger(__name__)

OPSET = 18
# torch's exporter writes nothing older; it converts to newer ones.
OLDEST_OPSET, NEWEST_OPSET = 18, 23
# Largest difference from torch over the range of torch's output, see `_difference`.
TOLERANCE = 1e-3
MEASURE = "largest |onnxruntime - torch| / (largest - smallest of torch), over all images and outputs, float32 on a CPU"
# A range smaller than this share of the largest value counts as this much: a map that hardly varies has no range.
SMALLEST_RANGE = 1e-2
# protobuf ends at 2 GiB; larger weights go beside the file.
INLINE_BYTES = 1_900_000_000
INPUT = "pixel_values"
PREFIX = "semidepth."


def export_onnx(folder: Path, file: Path, *, opset: int = OPSET) -> dict[str, Any]:
    """Writes a model as ONNX with dynamic batch, height and width, and checks it with onnxruntime.

    The file takes `pixel_values`, (B, 3, H, W) float32, RGB in [0, 1] minus mean over standard deviation, H and W
    multiples of the patch size, and gives `predicted_depth`, (B, H, W) float32: inverse depth (larger is nearer, no
    unit) or metres. A metric model of D > 1 domains also gives `domain_logits` (B, D), `domain` (B,) int64, the head
    that the router chose for each image, and `depth_by_domain` (B, D, H, W), metres of every head. The preprocessing is
    in the file's metadata, see docs/export.md. FILE.json holds the returned record; weights too large for one file are
    in FILE.data.

    Args:
        folder: a student, a metric model, or a stock Depth Anything.
        file: where to write, such as model.onnx; an older one is replaced once the new one is right.
        opset: version of ONNX's operators, 18 to 23.

    Returns:
        opset; kind ("inverse_depth" or "metres"); domains (name, min_depth_m, max_depth_m each); preprocessing (mean,
        std, size, multiple); output (unit, direction, range, calibration); inputs and outputs (name to shape with named
        dynamic sizes); dynamic (those names); measure and tolerance of the check; differences, one entry per size
        checked (batch, height, width, difference); files (name to bytes) and their sha256.

    Raises:
        ValueError: packages are missing, the folder holds no such model, or the graph does not compute what torch does.
    """
    check_export(opset)
    record = export_loaded(load_depth_model(Path(folder)), file, str(folder), opset=opset)
    worst = max(entry["difference"] for entry in record["differences"])
    logger.info("wrote %s: opset %d, at most %.1e from torch", file, opset, worst)
    return record


def check_export(opset: int = OPSET) -> None:
    """Raises ValueError where packages are missing, or the exporter does not write such an opset."""
    _check_packages()
    if opset not in range(OLDEST_OPSET, NEWEST_OPSET + 1):
        raise ValueError(f"opset is {opset!r}; give a whole number from {OLDEST_OPSET} to {NEWEST_OPSET}.")


def export_loaded(loaded: DepthModel, file: Path, name: str, *, opset: int = OPSET) -> dict[str, Any]:
    """Does what [`export_onnx`] does with a model that is loaded already, in float32 on the CPU.

    Args:
        loaded: the model.
        file: where to write.
        name: what to call the model in errors.
        opset: version of ONNX's operators, 18 to 23.
    """
    graph, patch = graph_of(loaded.model, name), patch_size(loaded.model)
    file = Path(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{file.name}.", dir=file.parent))
    try:
        written = partial / file.name
        record = describe(loaded, graph, opset, patch)
        record |= _write(graph, written, record, example_size(loaded, patch))
        record |= {"measure": MEASURE, "tolerance": TOLERANCE}
        record["differences"] = _check(loaded, graph, written, patch, name)
        made = sorted(partial.iterdir())
        record |= {"files": {path.name: path.stat().st_size for path in made}, "sha256": digests(made)}
        (partial / f"{file.name}.json").write_text(json.dumps(record, indent=1) + "\n")
        _rename(partial, file)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return record


def _check_packages() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ValueError(
            f"an ONNX export needs the package {error.name}; install it: pip install 'semidepth[onnx]'."
        ) from error


def _write(
    graph: StudentGraph | MetricGraph, file: Path, record: dict[str, Any], size: tuple[int, int]
) -> dict[str, Any]:
    """Exports with the record as metadata; returns inputs, outputs and dynamic sizes of the file."""
    import onnx_ir

    try:
        with followable(graph), torch.no_grad(), quiet():
            program = torch.onnx.export(
                graph, (example_of(size),), dynamo=True, opset_version=record["opset"], input_names=[INPUT],
                output_names=list(graph.outputs), dynamic_shapes=dynamic_shapes(graph), verbose=False,
            )  # fmt: skip
    except torch.onnx.errors.OnnxExporterError as error:
        raise ValueError(
            f"torch {torch.__version__} cannot export this model with dynamic sizes ({first_line(error)}); export one "
            "with another encoder."
        ) from error
    assert program is not None  # with dynamo=True it always is one
    # The exporter notes each node's line of code, with the paths of this machine.
    onnx_ir.passes.common.ClearMetadataAndDocStringPass()(program.model)
    program.model.metadata_props.update({PREFIX + key: json.dumps(value) for key, value in record.items()})
    weights = sum(tensor.numel() * tensor.element_size() for tensor in graph.state_dict().values())
    program.save(str(file), external_data=weights > INLINE_BYTES)
    found = {
        side: {str(value.name): [_size(dim) for dim in value.shape or ()] for value in values}
        for side, values in (("inputs", program.model.graph.inputs), ("outputs", program.model.graph.outputs))
    }
    names = [dim for dim in found["inputs"][INPUT] if isinstance(dim, str)]
    return {**found, "dynamic": names}


def _size(dim: Any) -> int | str:
    """Returns a size as a number, or the name of a dynamic size."""
    return dim if isinstance(dim, int) else str(dim.value)


def _check(
    loaded: DepthModel, graph: StudentGraph | MetricGraph, file: Path, patch: tuple[int, int], name: str
) -> list[dict[str, Any]]:
    """Compares the file with the model, at sizes and batches other than the example's.

    Raises:
        ValueError: they differ at one of them.
    """
    session = _session(file)
    across = max(loaded.preprocessing.size // max(patch), 4)
    # In patches: the training size, wide, high, and small (odd and even sides, fewer and more than were trained).
    sizes = [(1, across, across), (2, across // 2 + 1, across), (3, across, across // 2), (1, 3, 2)]
    sizes += [(1, across + 3, across + 4)]
    entries = []
    for number, (batch, high, wide) in enumerate(sizes):
        pixels = _test_images(batch, high * patch[0], wide * patch[1], seed=number)
        difference = _difference(loaded.model, graph, session, pixels)
        if not difference <= TOLERANCE:  # NaN is not right either
            raise ValueError(
                f"the ONNX graph of {name!r} differs from torch {torch.__version__} by {difference:.1e} of the "
                f"output's range for {tuple(pixels.shape)} pixels, more than {TOLERANCE:.0e}, so nothing was written; "
                "export a model with another encoder."
            )
        entries.append({"batch": batch, "height": pixels.shape[2], "width": pixels.shape[3], "difference": difference})
    return entries


def _session(file: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is raised
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def _test_images(batch: int, height: int, width: int, seed: int) -> Tensor:
    """Returns (B, 3, H, W) normalised test images: soft shapes, as in photos, and some noise."""
    generator = torch.Generator().manual_seed(seed)
    blobs = torch.randn(batch, 3, 4, 5, generator=generator)
    soft = nn.functional.interpolate(blobs, (height, width), mode="bicubic", align_corners=False)
    return soft + 0.2 * torch.randn(batch, 3, height, width, generator=generator)


@torch.no_grad()
def _difference(model: Any, graph: StudentGraph | MetricGraph, session: Any, pixels: Tensor) -> float:
    """Returns the largest difference over the range (largest minus smallest) of torch's output, over all outputs."""
    try:
        values = session.run(list(graph.outputs), {INPUT: pixels.numpy()})
    except Exception as error:  # onnxruntime's own classes, which derive from nothing narrower
        raise ValueError(
            f"onnxruntime cannot run the exported graph for {tuple(pixels.shape)} pixels ({first_line(error)}), so "
            "nothing was written; export a model with another encoder."
        ) from error
    found = dict(zip(graph.outputs, (torch.from_numpy(np.array(value)) for value in values), strict=True))
    if not isinstance(graph, RoutedGraph):
        return relative_difference(found["predicted_depth"], model(pixel_values=pixels).predicted_depth)
    # A router may stand on the edge between two domains, so its numbers and each head's depth are compared; that the
    # depth is the one of the file's own choice must hold exactly.
    core = core_features(model.core, pixels)
    heads = range(len(graph.heads))
    depths, logits = zip(*((model.metres(core, [head] * len(pixels))[:2]) for head in heads), strict=True)
    domain = found["domain_logits"].argmax(1)
    picked = found["depth_by_domain"][torch.arange(len(pixels)), domain]
    if not (torch.equal(domain, found["domain"]) and torch.equal(picked, found["predicted_depth"])):
        return math.inf
    each = [relative_difference(found["depth_by_domain"][:, head], depths[head]) for head in heads]
    return max(*each, relative_difference(found["domain_logits"], logits[0]))


def relative_difference(found: Tensor, expected: Tensor) -> float:
    """Returns the largest difference over the range of what is expected; infinite for another shape."""
    if found.shape != expected.shape:
        return math.inf
    size = max((expected.max() - expected.min()).item(), SMALLEST_RANGE * expected.abs().max().item())
    largest = (found - expected).abs().max().item()
    return largest / size if size > 0 else (0.0 if largest == 0 else math.inf)


def _rename(partial: Path, file: Path) -> None:
    """Gives the finished files their names. The graph comes last: where it is, the rest is complete."""
    beside = [file.with_name(f"{file.name}.{ending}") for ending in ("data", "json")]
    for target in (*beside, file):
        if (partial / target.name).is_file():
            (partial / target.name).replace(target)
        else:
            target.unlink(missing_ok=True)


__all__ = ["INPUT", "OPSET", "PREFIX", "check_export", "export_loaded", "export_onnx", "relative_difference"]
