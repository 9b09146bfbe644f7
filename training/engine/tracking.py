"""Progress of a run: progress bar, values for an experiment tracker, and pictures of predictions on disk."""

import logging
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
from accelerate import Accelerator
from PIL import Image
from tqdm.auto import tqdm

from semidepth.common.console import bar_interval_s
from semidepth.evaluation.pictures import save_picture
from semidepth.training.options.run import RunOptions

logger = logging.getLogger(__name__)


class Tracking:
    """Progress bar, experiment tracker and previews of one run; only the main process shows and writes anything.

    Args:
        accelerator: the run's accelerator, made with `log_with` if a tracker is wanted.
        options: the run's options, sent to the tracker; pictures go to `previews/` in its output folder.
        name: the command's name, shown before the bar.
        steps: number of updates of the run.
        start: updates done before a resume.
    """

    def __init__(self, accelerator: Accelerator, options: RunOptions, *, name: str, steps: int, start: int):
        self.accelerator = accelerator
        self.output_dir = Path(options.output_dir)
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
                for key, value in asdict(options).items()
            }
            accelerator.init_trackers("semidepth", config=flat)

    def advance(self, images: int, waited_s: float) -> None:
        """Counts one micro-batch: its images and the seconds spent waiting for its data."""
        self.images += images
        self.waited_s += waited_s

    def log_step(self, step: int, values: dict[str, float]) -> dict[str, float]:
        """Logs a step's values with the speed since the last call, and returns the speed.

        Returns:
            `images_per_s` over all processes, and `data_wait`, the share of time spent waiting for data (0 to 1).
        """
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
        """Closes the progress bar and the tracker."""
        self.bar.close()
        if self.accelerator.log_with:
            self.accelerator.end_training()
