"""Run record, saved beside a run's scores: duration, devices, versions, option defaults, and names on the Hub."""

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
    """Measures a run's duration and collects the devices and versions it ran with.

    The clock starts when the record is made. The hours before a resume are added from the checkpoint.

    Args:
        accelerator: the run's accelerator.
        mixed_precision: number format of the forward pass: no, bf16 or fp16.
        options: the run's options, a dataclass.
    """

    def __init__(self, accelerator: Accelerator, mixed_precision: str, options: Any):
        self._device = accelerator.device
        self._processes = accelerator.num_processes
        self._mixed_precision = mixed_precision
        self._hub = hub_ids(dataclasses.asdict(options))
        self._defaults = plain_defaults(type(options))
        self._began = time.perf_counter()
        self._before: dict[str, Any] = {}

    def add_earlier_parts(self, checkpoint: Path) -> None:
        """Adds the hours and devices that the run had used up to a checkpoint, if the checkpoint has them."""
        self._before = json.loads((checkpoint / "trainer.json").read_text()).get("run", {})

    def setting(self) -> dict[str, Any]:
        """Returns the values that are known from the start, for JSON.

        Returns:
            `hub`, models and data sets among the options that are Hub ids; `defaults`, the options' default values.
        """
        return {"hub": self._hub, "defaults": self._defaults}

    def values(self) -> dict[str, Any]:
        """Returns the run record so far, for JSON. A run has one part more than it was resumed.

        Returns:
            `hours` of wall time over all parts, without the time lost between a checkpoint and a stop;
            `gpu_hours`, wall time multiplied by the number of processes, for parts that ran on CUDA devices; `device`,
            device names in the order of the parts; `processes` and `mixed_precision` of the last part; `versions` of
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
    """Returns the name of a device: the GPU's product name, or the processor's."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type != "cpu":
        return device.type
    lines = CPU_INFO.read_text().splitlines() if CPU_INFO.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    # In a resumed run's record, ", " separates the devices.
    return (models[0] if models else platform.processor() or platform.machine()).replace(", ", " ")


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # a source tree on the path, not installed
            continue
    return found
