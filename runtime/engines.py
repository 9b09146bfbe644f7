"""The libraries that run an exported graph: onnxruntime for .onnx, OpenVINO for .onnx and .xml."""

import json
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

Precision = Literal["float32", "bfloat16", "float16"]
Library = Literal["onnx", "openvino"]
INPUT = "pixel_values"
PREFIX = "semidepth."
PACKAGES = {"onnx": "onnxruntime", "openvino": "openvino"}
_OPENVINO_TYPES = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}


class Engine(Protocol):
    """A graph that is ready to run.

    Attributes:
        library: that runs it.
        metadata: what the file says of itself: keys without the prefix `semidepth.`, values as JSON has them.
        outputs: names of the graph's outputs, in order.
    """

    library: Library
    metadata: dict[str, Any]
    outputs: tuple[str, ...]

    def run(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        """Output name -> values; pixels are (B, 3, H, W) float32, normalised. May be called from several threads."""
        ...


class OnnxEngine:
    """A .onnx file in onnxruntime on the CPU, see [`Engine`]."""

    library: Library = "onnx"

    def __init__(self, file: Path, threads: int | None) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # what goes wrong is raised
        options.intra_op_num_threads = threads or 0
        self._session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        self.metadata = _own(self._session.get_modelmeta().custom_metadata_map)
        self.outputs = tuple(output.name for output in self._session.get_outputs())

    def run(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        """Returns output name -> values, see [`Engine`]."""
        values = self._session.run(list(self.outputs), {INPUT: pixels})
        return dict(zip(self.outputs, values, strict=True))


class OpenVinoEngine:
    """A .onnx or .xml file in OpenVINO on the CPU, see [`Engine`]."""

    library: Library = "openvino"

    def __init__(self, file: Path, threads: int | None, precision: Precision) -> None:
        import openvino

        core = openvino.Core()
        graph = core.read_model(str(file))
        # Said always: of itself OpenVINO computes in bfloat16 where the processor has it.
        settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": _OPENVINO_TYPES[precision]}
        settings |= {"PERFORMANCE_HINT": "LATENCY"} | ({} if threads is None else {"INFERENCE_NUM_THREADS": threads})
        self._compiled = core.compile_model(graph, "CPU", settings)
        self._one = threading.Lock()  # a compiled model has one request, which a second call would overwrite
        places = [place for place in ("framework", "semidepth") if graph.has_rt_info([place])]
        found = {key: value for place in places for key, value in graph.get_rt_info([place]).value.items()}
        self.metadata = _own({key: getattr(value, "value", value) for key, value in found.items()})
        self.outputs = tuple(output.get_any_name() for output in self._compiled.outputs)

    def run(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        """Returns output name -> values, see [`Engine`]."""
        with self._one:
            found = self._compiled(pixels)
            return {name: found[number].copy() for number, name in enumerate(self.outputs)}


def installed() -> list[Library]:
    """Returns the libraries that are there."""
    return [library for library, package in PACKAGES.items() if find_spec(package)]  # type: ignore[misc]


def open_engine(file: Path, library: Library | None, threads: int | None, precision: Precision) -> Engine:
    """Opens a file in the library asked for; None: the one of its format.

    Raises:
        ValueError: in one sentence, where the file or the library is missing, or they do not go together.
    """
    if not file.is_file():
        raise ValueError(f"there is no file {file}; make one with `semidepth export MODEL --to onnx openvino`.")
    if file.suffix not in (".onnx", ".xml"):
        raise ValueError(f"{file} is neither a .onnx nor a .xml file; give one that `semidepth export` made.")
    library = library or ("openvino" if file.suffix == ".xml" else "onnx")
    if library not in PACKAGES:
        raise ValueError(f"the runtime is {library!r}; give {' or '.join(map(repr, PACKAGES))}.")
    if library == "onnx" and file.suffix == ".xml":
        raise ValueError(f"onnxruntime does not read {file}; give model.onnx, or take the runtime 'openvino'.")
    if precision not in _OPENVINO_TYPES:
        raise ValueError(f"the precision is {precision!r}; give one of {', '.join(_OPENVINO_TYPES)}.")
    if library == "onnx" and precision != "float32":
        raise ValueError(f"onnxruntime computes as the file says, not in {precision}; take the runtime 'openvino'.")
    if library not in installed():
        package = PACKAGES[library]
        raise ValueError(f"{file.name} needs the package {package}, which is missing; pip install {package}.")
    try:
        return OnnxEngine(file, threads) if library == "onnx" else OpenVinoEngine(file, threads, precision)
    except Exception as error:  # the libraries' own classes, which derive from nothing narrower
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"{file} cannot be loaded by {PACKAGES[library]} ({reason}); export it again.") from error


def _own(found: dict[str, str]) -> dict[str, Any]:
    """Returns our entries among a file's metadata; of its other entries nothing is known."""
    return {key.removeprefix(PREFIX): json.loads(text) for key, text in found.items() if key.startswith(PREFIX)}
