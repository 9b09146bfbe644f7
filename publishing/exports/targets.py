"""Writing each form of an export from one checked ONNX file, or for torch's own forms from the same graph."""

import json
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from semidepth.prediction.models import DepthModel
from semidepth.prediction.runtimes.graphs import followable
from semidepth.prediction.runtimes.onnx import INLINE_BYTES, PREFIX
from semidepth.prediction.runtimes.tracing import (
    dynamic_shapes,
    example_of,
    example_size,
    graph_of,
    patch_size,
    quiet,
)
from semidepth.publishing.exports.gate import Run
from semidepth.publishing.exports.names import FILES, Target
from semidepth.runtime.engines import open_engine

PACKAGES: dict[Target, tuple[str, str]] = {
    "openvino": ("openvino", "openvino"),
    "executorch": ("executorch", "executorch"),
}
QUANTIZED = ("MatMul", "Gemm")


@dataclass(frozen=True)
class Made:
    """One way of writing a target, which the gate accepts or not.

    Args:
        file: that was written.
        how: in words, for the record.
        run: the file in its library, with as many threads as torch.
        side: it runs for this size alone; None: for any.
    """

    file: Path
    how: str
    run: Run
    side: int | None = None


def check_target(target: Target) -> None:
    """Raises ValueError for a target whose package is missing."""
    package, extra = PACKAGES.get(target, (None, ""))
    if package is not None and find_spec(package) is None:
        raise ValueError(
            f"--to {target} needs the package {package}, which is missing; pip install 'semidepth[{extra}]'."
        )


def ways(
    target: Target, base: Path, room: Path, loaded: DepthModel, name: str, record: dict[str, Any]
) -> Iterator[Made]:
    """Writes a target, the fastest way first; the next one is asked for where the gate refuses the one before.

    Args:
        target: what to write.
        base: the checked model.onnx.
        room: empty folder to write in.
        loaded: the model in torch.
        name: what to call it in errors.
        record: what is known of the ONNX file, for metadata.
    """
    file = room / FILES[target]
    if target == "onnx":
        yield Made(base, "float32", _engine(base))
    elif target == "onnx-fp16":
        _write_fp16(base, file)
        yield Made(file, "weights and arithmetic in float16, inputs and outputs float32", _engine(file))
    elif target == "onnx-int8":
        for how, settings in _int8_settings(base):
            _write_int8(base, file, settings)
            yield Made(file, how, _engine(file))
    elif target == "openvino":
        _write_openvino(base, file)
        yield Made(file, "float32", _engine(file))
    elif target == "torch-export":
        yield _torch_export(file, loaded, name, record)
    else:
        yield _executorch(file, loaded, name, record)


def _engine(file: Path) -> Run:
    return open_engine(file, None, torch.get_num_threads(), "float32").run


def _write_fp16(base: Path, file: Path) -> None:
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # each weight that is smaller than float16 has, such as an epsilon, is named
        _save(convert_float_to_float16(onnx.load(base), keep_io_types=True), file)


def _save(model: Any, file: Path) -> None:
    """Writes an ONNX model; weights too large for one file go beside it."""
    import onnx

    large = model.ByteSize() > INLINE_BYTES
    location = f"{file.name}.data" if large else None
    onnx.save_model(model, str(file), save_as_external_data=large, all_tensors_to_one_file=True, location=location)


def _int8_settings(base: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Ways of quantizing, each with fewer products in int8 than the one before: words, and the library's options."""
    blocks = _products_by_block(base)
    kept: list[str] = []
    yield "int8 weights per column, activations dynamic", {}
    for count in (1, 2, 4):
        kept = [name for block in (*blocks[:count], *blocks[-count:]) for name in block]
        ends = "block" if count == 1 else f"{count} blocks"
        yield (
            f"int8 weights per column, activations dynamic, the first and last {ends} in float32",
            {"nodes_to_exclude": kept},
        )


def _products_by_block(base: Path) -> list[list[str]]:
    """Returns names of the encoder's matrix products with weights, in order, six for each block."""
    import onnx

    graph = onnx.load(base, load_external_data=False).graph
    weights = {tensor.name for tensor in graph.initializer}
    named = [node.name for node in graph.node if node.op_type in QUANTIZED and weights & set(node.input)]
    return [named[start : start + 6] for start in range(0, len(named), 6)]


def _write_int8(base: Path, file: Path, settings: dict[str, Any]) -> None:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    level = logging.getLogger().level
    logging.getLogger().setLevel(logging.ERROR)  # it advises steps that this graph does not need
    try:
        quantize_dynamic(
            base, file, weight_type=QuantType.QInt8, per_channel=True, op_types_to_quantize=list(QUANTIZED), **settings
        )
    finally:
        logging.getLogger().setLevel(level)
    model = onnx.load(file)
    kept = {entry.key for entry in model.metadata_props}
    for entry in onnx.load(base, load_external_data=False).metadata_props:
        if entry.key not in kept:
            model.metadata_props.add(key=entry.key, value=entry.value)
    _save(model, file)


def _write_openvino(base: Path, file: Path) -> None:
    import openvino

    model = openvino.convert_model(str(base))
    # What it notes of its own conversion names folders of this machine.
    openvino.save_model(model, str(file), compress_to_fp16=False)


def _torch_export(file: Path, loaded: DepthModel, name: str, record: dict[str, Any]) -> Made:
    """Writes a program of torch.export with dynamic batch, height and width."""
    graph = graph_of(loaded.model, name)
    size = example_size(loaded, patch_size(loaded.model))
    with followable(graph), torch.no_grad(), quiet():
        program = torch.export.export(graph, (example_of(size),), dynamic_shapes=dynamic_shapes(graph))
    _write_program(program, file, record)
    module: Any = torch.export.load(file).module()
    return Made(file, "float32", _as_run(graph.outputs, module))


def _write_program(program: Any, file: Path, record: dict[str, Any]) -> None:
    torch.export.save(program, file, extra_files={f"{PREFIX}json": json.dumps(record)})
    file.with_name(f"{file.name}.json").write_text(json.dumps(record, indent=1) + "\n")


def _executorch(file: Path, loaded: DepthModel, name: str, record: dict[str, Any]) -> Made:
    """Writes a program of ExecuTorch with XNNPACK, for one square image of the model's size."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower
    from executorch.runtime import Runtime

    graph, side = graph_of(loaded.model, name), loaded.preprocessing.target_size(512, 512)[0]
    with followable(graph), torch.no_grad(), quiet():
        program = torch.export.export(graph, (torch.zeros(1, 3, side, side),))
    lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()]).to_executorch()
    file.write_bytes(lowered.buffer)
    own = record | {"inputs": {"pixel_values": [1, 3, side, side]}, "dynamic": []}
    file.with_name(f"{file.name}.json").write_text(json.dumps(own, indent=1) + "\n")
    method = Runtime.get().load_program(file).load_method("forward")
    return Made(
        file, "float32, XNNPACK, one size", _as_run(graph.outputs, lambda pixels: method.execute([pixels])), side
    )


def _as_run(outputs: tuple[str, ...], call: Any) -> Run:
    """Returns a function of tensors as the gate runs it."""

    def run(pixels: np.ndarray) -> dict[str, np.ndarray]:
        with torch.no_grad():
            found = call(torch.from_numpy(pixels))
        values = found if isinstance(found, tuple | list) else (found,)
        return {name: value.numpy() for name, value in zip(outputs, values, strict=True)}

    return run
