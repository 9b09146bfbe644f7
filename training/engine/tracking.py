"""What a run tells: a progress bar, log lines, an accelerate tracker, and pictures of predictions on disk."""

import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator
from PIL import Image
from tqdm.auto import tqdm

from semidepth.training.engine.pictures import save_picture

logger = logging.getLogger(__name__)


def set_up_logging() -> None:
    """Log lines of this package to standard error, warnings only from processes other than the main one."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("semidepth").setLevel(logging.INFO if os.environ.get("RANK", "0") == "0" else logging.WARNING)
    for noisy in ("httpx", "huggingface_hub"):
        logging.getLogger(noisy).setLevel(logging.ERROR)


def bar_interval_s() -> float:
    """Seconds between two draws of a progress bar: seldom where it goes to a file, line after line."""
    return 0.2 if sys.stderr.isatty() else 20.0


class Progress:
    """A progress bar at a terminal; elsewhere, as in a log, a plain line now and then.

    Args:
        total: how many there are; None where it is not known yet.
        name: shown before the bar.
        unit: what is counted.
    """

    def __init__(self, total: int | None, name: str, unit: str) -> None:
        self.done, self.total, self.name, self.unit = 0, total, name, unit
        self.started = self.told = time.monotonic()
        self.bar = tqdm(
            total=total, desc=name, unit=unit, dynamic_ncols=True, leave=total is not None,
            disable=not sys.stderr.isatty(),
        )  # fmt: skip

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def update(self, count: int) -> None:
        """So many more are done."""
        self.at(self.done + count, self.total)

    def at(self, done: int, total: int | None) -> None:
        """So many are done, of so many."""
        self.bar.total = self.total = total
        self.bar.update(done - self.done)
        self.done = done
        now = time.monotonic()
        if self.bar.disable and now - self.told >= bar_interval_s():
            self.told = now
            logger.info(
                "%s",
                tqdm.format_meter(done, total, now - self.started, ncols=0, prefix=self.name, unit=self.unit),  # type: ignore[arg-type]
            )


class Tracking:
    """Progress bar, tracker and previews of one run; silent in all but the main process.

    Args:
        accelerator: of the run; made with `log_with` where a tracker is wanted.
        output_dir: pictures go to `previews/` below it.
        name: the command's, shown before the bar.
        steps: the run's length.
        start: steps done already.
        options: the run's options, stored with the tracker.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        output_dir: Path,
        *,
        name: str,
        steps: int,
        start: int,
        options: dict[str, Any],
    ):
        self.accelerator = accelerator
        self.output_dir = output_dir
        self.bar = tqdm(
            total=steps,
            initial=start,
            desc=name,
            unit="step",
            dynamic_ncols=True,
            disable=not accelerator.is_main_process,
            mininterval=bar_interval_s(),
        )
        self.waited_s = 0.0
        self.images = 0
        self.since = time.perf_counter()
        if accelerator.log_with:
            flat = {
                key: str(value) if isinstance(value, (list, type(None))) else value for key, value in options.items()
            }
            accelerator.init_trackers("semidepth", config=flat)

    def advance(self, images: int, waited_s: float) -> None:
        """Counts one micro-batch of so many images, for which so many seconds were spent waiting for data."""
        self.images += images
        self.waited_s += waited_s

    def log_step(self, step: int, values: dict[str, float]) -> dict[str, float]:
        """Logs a step's values with images per second and the share of time waiting for data since the last call."""
        elapsed = max(time.perf_counter() - self.since, 1e-9)
        processes = self.accelerator.num_processes
        speed = {"images_per_s": self.images * processes / elapsed, "data_wait": self.waited_s / elapsed}
        self.bar.set_postfix_str(
            " ".join(
                [f"{name} {value:.4f}" for name, value in values.items() if not name.startswith("learning_rate")]
                + [f"{speed['images_per_s']:.0f} img/s", f"wait {speed['data_wait']:.0%}"]
            ),
            refresh=False,
        )
        self.log(step, values | speed)
        self.images, self.waited_s, self.since = 0, 0.0, time.perf_counter()
        return speed

    def log(self, step: int, values: dict[str, float]) -> None:
        """Sends values to the tracker."""
        if self.accelerator.log_with:
            self.accelerator.log(values, step=step)

    def picture(self, step: int, name: str, picture: Image.Image) -> None:
        """Saves a picture and sends it to the tracker."""
        if not self.accelerator.is_main_process:
            return
        save_picture(picture, self.output_dir / "previews" / f"{name}_step_{step:06d}.png")
        for tracker in self.accelerator.trackers:
            if tracker.name == "tensorboard":
                images = np.asarray(picture)[None]  # (1, H, W, 3)
                tracker.log_images({name: images}, step=step, dataformats="NHWC")
            elif tracker.name == "trackio":
                import trackio  # TrackioTracker has no log_images (accelerate 1.15)

                tracker.log({name: trackio.Image(np.asarray(picture))}, step=step)

    def close(self) -> None:
        """Ends bar and tracker."""
        self.bar.close()
        if self.accelerator.log_with:
            self.accelerator.end_training()
