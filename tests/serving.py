"""A running copy of the Space's folder, in a process of its own, on tiny models."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import tiny
import torch
from PIL import Image
from processes import free_port
from torch import nn
from transformers import AutoImageProcessor, set_seed

from semidepth.modeling import DepthStudentConfig, DepthStudentForDepthEstimation, RoutedDepthForDepthEstimation
from semidepth.prediction.preprocessing import Preprocessing

SPACE = Path(__file__).resolve().parent.parent / "spaces" / "depth_demo"


@dataclass(frozen=True)
class Served:
    """A running Space.

    Args:
        url: of its page.
        routed: folder of its first model, metric with two domains.
        stock: folder of its second, stock Depth Anything.
        folder: to put things into.
    """

    url: str
    routed: str
    stock: str
    folder: Path

    @property
    def names(self) -> tuple[str, str]:
        """Short names of the two, by which the API knows them: the last two parts of their paths."""
        routed, stock = ("/".join(Path(folder).parts[-2:]) for folder in (self.routed, self.stock))
        return routed, stock


def save_models(folder: Path) -> tuple[str, str]:
    """A routed metric model and a stock relative one, whose maps vary over an image."""
    routed, stock = folder / "metric", folder / "relative"
    fields = tiny.stock_config().to_dict()
    fields.pop("model_type")
    set_seed(0)
    student = DepthStudentForDepthEstimation(DepthStudentConfig(**fields))
    student.load_state_dict(tiny.stock_model(seed=1).state_dict(), strict=False)
    domains = [{"name": "indoor"}, {"name": "outdoor", "max_depth_m": 80.0}]
    model = RoutedDepthForDepthEstimation.from_student(student, domains, bin_embedding_dim=16, image_scale=False).eval()
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d) and "core" not in name:
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    model.save_pretrained(routed)
    tiny.stock_model(seed=2).save_pretrained(stock)
    for each in (routed, stock):
        Preprocessing(size=tiny.SIZE, multiple=tiny.PATCH).to_image_processor().save_pretrained(each)
    return str(routed), str(stock)


def own_values(folder: str, picture: Path, domain: int | None = None) -> np.ndarray:
    """(H, W) depth of a picture, computed without the Space and without semidepth.predict."""
    image = Image.open(picture).convert("RGB")
    processor = AutoImageProcessor.from_pretrained(folder)
    # Its fused normalisation differs in the last bits, which a random model's head makes visible.
    resized = processor(images=image, return_tensors="pt", do_rescale=False, do_normalize=False)["pixel_values"]
    mean, std = (torch.tensor(each)[:, None, None] for each in (processor.image_mean, processor.image_std))
    pixels = (resized.float() / 255 - mean) / std
    with torch.no_grad():
        if Path(folder).name == "metric":
            model = RoutedDepthForDepthEstimation.from_pretrained(folder).eval()
            output = model(pixels, domain_labels=None if domain is None else [domain])
        else:
            output = tiny.stock_model().from_pretrained(folder).eval()(pixels)
    return resize(output.predicted_depth[0].numpy(), image.height, image.width)


def resize(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """Cubic convolution (Keys, a = -0.75) between the middles of pixels, within the values' own range."""
    tall = _cubic(height, values.shape[0]) @ values.astype(np.float64)
    return (tall @ _cubic(width, values.shape[1]).T).clip(values.min(), values.max())


def _cubic(new: int, old: int) -> np.ndarray:
    """(new, old) weights."""
    weights = np.zeros((new, old))
    for number in range(new):
        place = (number + 0.5) * old / new - 0.5
        first = int(np.floor(place)) - 1
        for pixel in range(first, first + 4):
            x = abs(place - pixel)
            weight = 1.25 * x**3 - 2.25 * x**2 + 1 if x <= 1 else -0.75 * (x**3 - 5 * x**2 + 8 * x - 4)
            weights[number, min(max(pixel, 0), old - 1)] += weight
    return weights


def photo(path: Path, seed: int = 0, size: tuple[int, int] = (120, 90)) -> Path:
    """A picture with soft shapes in it; each seed another."""
    rough = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    Image.fromarray(rough).resize(size, Image.Resampling.BICUBIC).save(path)
    return path


def wait_for_page(process: subprocess.Popen, url: str, log: Path) -> None:
    """Waits until a page answers; shows the log of a process that has ended instead."""
    for _ in range(600):
        if process.poll() is not None:
            raise AssertionError(f"the Space did not start:\n{log.read_text()[-3000:]}")
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(url, timeout=5).status_code == 200:
                return
        time.sleep(0.2)


@contextlib.contextmanager
def serve(folder: Path, *arguments: str, **settings: str) -> Iterator[str]:
    """Starts a copy of the Space and waits until its page answers.

    Args:
        folder: to copy it into.
        arguments: of `app.py`.
        settings: further environment.

    Yields:
        The page's address.
    """
    app, port = folder / "app", free_port()
    shutil.copytree(SPACE, app, symlinks=False, ignore=shutil.ignore_patterns("__pycache__"))
    environment = os.environ | {
        "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "HF_MODULES_CACHE": str(folder / "modules"),
        "GRADIO_TEMP_DIR": str(folder / "gradio"), "GRADIO_ANALYTICS_ENABLED": "False", "PYTHONPATH": "",
    } | settings  # fmt: skip
    command = [sys.executable, "app.py", *arguments, "--port", str(port), "--host", "127.0.0.1", "--device", "cpu"]
    log = (folder / "app.log").open("w+")
    process = subprocess.Popen(command, cwd=app, env=environment, stdout=log, stderr=subprocess.STDOUT)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for_page(process, url, folder / "app.log")
        yield url
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        finally:
            process.kill()
            log.close()
    text = (folder / "app.log").read_text()
    faults = [line for line in text.splitlines() if line[:1].isalpha() and re.match(r"[\w.]+(Error|Exception)\b", line)]
    assert all("InvalidPathError" in fault for fault in faults), text[-3000:]
