"""Which library runs a model: torch, onnxruntime or OpenVINO; measured once for each machine and model."""

import json
import logging
import math
import platform
import statistics
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor, nn

from semidepth.common.files import write_whole
from semidepth.prediction.models import DepthModel
from semidepth.prediction.options import Runtime
from semidepth.prediction.runtimes.cached import cache_folder, digest_of, exported_file
from semidepth.runtime.engines import PACKAGES, Engine, Precision, installed, open_engine

logger = logging.getLogger(__name__)

SPEEDS = "runtimes.json"
ROUNDS = 3
_PRECISIONS: dict[torch.dtype, Precision] = {torch.float32: "float32", torch.bfloat16: "bfloat16"}


@dataclass
class EngineOutput:
    """What a model of ours returns, as far as a graph gives it."""

    predicted_depth: Tensor
    domain: Tensor | None = None
    domain_logits: Tensor | None = None


class EngineModel(nn.Module):
    """A graph in another library in place of a model in torch.

    Args:
        engine: that runs it.
        config: of the model that it was made from.
        digest: of that model, see [`digest_of`].
    """

    def __init__(self, engine: Engine, config: Any, digest: str) -> None:
        super().__init__()
        self.engine = engine
        self.config = config
        self.digest = digest
        # A model's device and dtype are those of its parameters: pixels go in as float32 on the CPU.
        self.nothing = nn.Parameter(torch.zeros(0), requires_grad=False)

    def forward(self, pixel_values: Tensor, domain_labels: list[int] | None = None) -> EngineOutput:
        """Predicts as the model in torch does: (B, 3, H, W) -> (B, H, W)."""
        found = {name: torch.from_numpy(values) for name, values in self.engine.run(pixel_values.numpy()).items()}
        depth, domain = found["predicted_depth"], found.get("domain")
        if domain_labels is not None and "depth_by_domain" in found:
            domain = torch.tensor(domain_labels)
            depth = found["depth_by_domain"][torch.arange(len(domain)), domain]
        if domain is None and getattr(self.config, "domains", None):  # one head, which a graph need not name
            domain = torch.zeros(len(depth), dtype=torch.int64)
        return EngineOutput(depth, domain, found.get("domain_logits"))


def on_runtime(loaded: DepthModel, runtime: Runtime, name: str) -> DepthModel:
    """Returns a model in the library that is asked for; "auto": in the one that is fastest here.

    Args:
        loaded: the model in torch.
        runtime: of `Runtime`; "auto" stays with torch where nothing else is installed or the model has no export,
            and says so.
        name: what to call the model.

    Raises:
        ValueError: one is asked for by name and cannot run the model.
    """
    if runtime not in get_args(Runtime):
        raise ValueError(f"the runtime is {runtime!r}; give one of {', '.join(get_args(Runtime))}.")
    if runtime == "torch":
        return loaded
    if runtime == "auto":
        return _fastest(loaded, name)
    if loaded.device.type != "cpu":
        raise ValueError(f"the runtime {runtime!r} is for the CPU and the device is {loaded.device}; leave one out.")
    if runtime not in installed():
        package = PACKAGES[runtime]
        raise ValueError(f"the runtime {runtime!r} needs {package}; pip install 'semidepth[{runtime}]'.")
    return _wrapped(loaded, _engine(loaded, runtime, exported_file(loaded, name)))


def _fastest(loaded: DepthModel, name: str) -> DepthModel:
    """Returns the model in the library that takes the least time for an image."""
    others = [library for library in installed() if library == "openvino" or _precision(loaded) == "float32"]
    if loaded.device.type != "cpu" or not others:
        why = f"the device is {loaded.device}" if others else "neither onnxruntime nor openvino is installed for this"
        logger.info("runtime torch: %s", why)
        return loaded
    kept = cache_folder() / SPEEDS
    table = _read(kept)
    here, key = machine(), f"{digest_of(loaded)[:32]} {_precision(loaded)}"
    seconds: dict[str, float] = table.get(here, {}).get(key, {})
    engines: dict[str, Engine] = {}
    if not {"torch", *others} <= seconds.keys():
        try:
            file = exported_file(loaded, name)
            engines = {library: _engine(loaded, library, file) for library in others}
        except ValueError as error:
            logger.info("runtime torch: %s", error)
            return loaded
        seconds = _measure(loaded, engines)
        table = _read(kept)
        table.setdefault(here, {})[key] = seconds
        write_whole(kept, (json.dumps(table, indent=1) + "\n").encode())
    best = min(seconds, key=lambda library: seconds[library])
    told = ", ".join(f"{library} {each:.3f} s" for library, each in sorted(seconds.items(), key=lambda pair: pair[1]))
    logger.info("runtime %s: %s an image, measured on this machine and kept in %s", best, told, kept)
    if best == "torch":
        return loaded
    return _wrapped(loaded, engines.get(best) or _engine(loaded, best, exported_file(loaded, name)))


def _precision(loaded: DepthModel) -> Precision:
    dtype = next(loaded.model.parameters()).dtype
    if dtype not in _PRECISIONS:
        raise ValueError(f"the model is in {dtype}, which other runtimes do not take; load it in float32 or bfloat16.")
    return _PRECISIONS[dtype]


def _engine(loaded: DepthModel, library: Any, file: Path) -> Engine:
    return open_engine(file, library, torch.get_num_threads(), _precision(loaded))


def _wrapped(loaded: DepthModel, engine: Engine) -> DepthModel:
    """Returns the model with a graph in place of its modules."""
    graph = EngineModel(engine, loaded.model.config, digest_of(loaded))
    return DepthModel(graph.eval(), loaded.preprocessing, loaded.kind, loaded.processor)


def _measure(loaded: DepthModel, engines: dict[str, Engine]) -> dict[str, float]:
    """Returns library -> seconds for one square image, medians of rounds that alternate between all."""
    models = {"torch": loaded} | {library: _wrapped(loaded, engine) for library, engine in engines.items()}
    size = loaded.preprocessing.target_size(512, 512)
    pixels = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0))
    taken: dict[str, list[float]] = {library: [] for library in models}
    for _ in range(ROUNDS + 1):
        for library, model in models.items():
            began = time.perf_counter()
            model.predict(pixels)
            taken[library].append(time.perf_counter() - began)
    return {library: statistics.median(each[1:]) for library, each in taken.items()}  # the first one warms up


def machine() -> str:
    """Returns what a measured speed depends on beside the model: processor, threads, versions."""
    names = [line for line in _lines(Path("/proc/cpuinfo")) if line.startswith("model name")]
    processor = names[0].partition(":")[2].strip() if names else platform.processor() or platform.machine()
    versions = [f"{package} {version(package)}" for package in ("torch", *(PACKAGES[each] for each in installed()))]
    return ", ".join([processor, f"{torch.get_num_threads()} threads", *versions])


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.is_file() else []


def _read(path: Path) -> dict[str, Any]:
    """Returns the table of speeds; a damaged one is measured anew, which is logged."""
    if not path.is_file():
        return {}
    try:
        table = json.loads(path.read_text())
        speeds = [speed for of_models in table.values() for speed in of_models.values()]
        if not all(0 < float(each) < math.inf for speed in speeds for each in speed.values()):
            raise ValueError("seconds that cannot be")
    except (ValueError, TypeError, AttributeError) as error:
        logger.warning("%s is damaged (%s); speeds are measured again", path, error)
        return {}
    return table
