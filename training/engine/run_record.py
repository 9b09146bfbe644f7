"""What a run leaves on record of itself beside its scores: how long it took, on what, and which names are the Hub's."""

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
        options: of the run, by name.
    """

    def __init__(self, accelerator: Accelerator, mixed_precision: str, options: dict[str, Any]):
        self._device = accelerator.device
        self._processes = accelerator.num_processes
        self._mixed_precision = mixed_precision
        self._hub = hub_ids(options)
        self._began = time.perf_counter()
        self._before: dict[str, Any] = {}

    def go_on_from(self, checkpoint: Path) -> None:
        """Adds what the run took up to a checkpoint; nothing where the checkpoint does not say."""
        self._before = json.loads((checkpoint / "trainer.json").read_text()).get("run", {})

    def values(self) -> dict[str, Any]:
        """What is known now, for JSON.

        Returns:
            `hours` of wall time over all parts of the run up to here, without what was lost after a checkpoint;
            `gpu_hours`, the same times the processes, for parts that ran on CUDA devices; `device`, the names of the
            devices in the order of the parts; `processes` and `mixed_precision` of the last part; `versions` of
            packages; `hub`, those of the options' models and data sets that are ids on the Hub.
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
            "hub": self._hub,
        }


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
