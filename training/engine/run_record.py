"""Record of a run beside its scores: duration, devices, versions, defaults of its options, and names on the Hub."""

import dataclasses
import json
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from semidepth.data.public_names import hub_ids

PACKAGES = ("semidepth", "torch", "transformers", "accelerate", "datasets")
CPU_INFO = Path("/proc/cpuinfo")


class RunRecord:
    """Counts a run's hours from when it is made; those of earlier parts of the run are added from its checkpoint.

    Args:
        accelerator: of the run.
        mixed_precision: of the run.
        options: of the run, a dataclass.
    """

    def __init__(self, accelerator: Accelerator, mixed_precision: str, options: Any):
        self._device = accelerator.device
        self._processes = accelerator.num_processes
        self._mixed_precision = mixed_precision
        self._hub = hub_ids(dataclasses.asdict(options))
        self._defaults = plain_defaults(type(options))
        self._began = time.perf_counter()
        self._before: dict[str, Any] = {}

    def go_on_from(self, checkpoint: Path) -> None:
        """Adds what the run took up to a checkpoint; nothing where the checkpoint does not say."""
        self._before = json.loads((checkpoint / "trainer.json").read_text()).get("run", {})

    def setting(self) -> dict[str, Any]:
        """Returns what is known from the start, for JSON.

        Returns:
            `hub`, models and data sets of the options that are ids on the Hub; `defaults` of the options.
        """
        return {"hub": self._hub, "defaults": self._defaults}

    def values(self) -> dict[str, Any]:
        """What is known now, for JSON.

        Returns:
            `hours` of wall time over all parts of the run up to here, without what was lost after a checkpoint;
            `gpu_hours`, the same times the processes, for parts that ran on CUDA devices; `device`, the names of the
            devices in the order of the parts; `processes` and `mixed_precision` of the last part; `versions` of
            packages; and the values of [`setting`].
        """
        hours = (time.perf_counter() - self._began) / 3600
        gpus = self._processes if self._device.type == "cuda" else 0
        devices = [*self._before.get("device", "").split(", "), device_name(self._device)]
        return {
            "hours": self._before.get("hours", 0.0) + hours,
            "gpu_hours": self._before.get("gpu_hours", 0.0) + hours * gpus,
            "device": ", ".join(dict.fromkeys(filter(None, devices))),
            "processes": self._processes,
            "mixed_precision": self._mixed_precision,
            "versions": {"python": platform.python_version()} | _versions(),
        } | self.setting()


def plain_defaults(options: type) -> dict[str, Any]:
    """Returns the defaults of a dataclass of options that are a number, text, true, false or none, by name."""
    plain = (bool, int, float, str, type(None))
    return {item.name: item.default for item in dataclasses.fields(options) if isinstance(item.default, plain)}


def device_name(device: torch.device) -> str:
    """What a device is called: a GPU's own name, or the processor's."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type != "cpu":
        return device.type
    lines = CPU_INFO.read_text().splitlines() if CPU_INFO.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    # A comma parts the devices of a resumed run.
    return (models[0] if models else platform.processor() or platform.machine()).replace(", ", " ")


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # a source tree on the path, not installed
            continue
    return found
