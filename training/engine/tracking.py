"""What a run tells: a progress bar, log lines, an accelerate tracker, and pictures of predictions on disk."""

import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator
from PIL import Image
from tqdm.auto import tqdm

from semidepth.common.console import bar_interval_s
from semidepth.evaluation.pictures import save_picture

logger = logging.getLogger(__name__)


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
                key: str(value) if isinstance(value, (list, tuple, type(None))) else value
                for key, value in options.items()
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
