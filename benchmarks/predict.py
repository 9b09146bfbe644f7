"""Compare `semidepth predict` with the bare model and with the stock pipeline in a loop.

    python benchmarks/predict.py                                        # ViT-S shape at 518 pixels
    python benchmarks/predict.py --images 64 --batch_size 16 --threads 8   # a GPU

All three have the same weights (random ones: speed does not depend on them) and the same JPEG photos of four sizes.
The bare model is given batches of pixels that lie on its device already, and its predictions stay there. The pipeline
is `pipeline("depth-estimation")` called file by file, its 8-bit picture saved as PNG. Ours decodes, resizes, predicts,
brings maps to the photo's size and writes --format, by default 16-bit PNG, .npy and a coloured PNG. Before anything is
timed, our predictions are compared with those of the stock model behind the stock image processor, at the model's size
and at the photo's, and the files with them.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from pseudo_label import bare_batches, make_photos, run_bare
from torch import nn
from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, pipeline, set_seed
from transformers.utils import logging as transformers_logging

from semidepth.common.commands import Command
from semidepth.common.option_checks import check_at_least
from semidepth.common.options import option
from semidepth.data.decoding import decode_image
from semidepth.prediction.files import predict_files
from semidepth.prediction.inputs import find_inputs
from semidepth.prediction.models import load_depth_model
from semidepth.prediction.options import DEFAULT_FORMATS, ResultOptions
from semidepth.prediction.predictor import Prediction, Predictor
from semidepth.prediction.preprocessing import Preprocessing

# Of the largest value: a cheaper order of the same sums.
TOLERANCE = 1e-4


@dataclass(frozen=True, kw_only=True)
class SpeedOptions:
    """Options of this program."""

    size: int = option(518, help="shorter side in pixels")
    images: int = option(24, help="photos that are predicted in each round")
    batch_size: int = option(4, help="photos in a forward pass")
    threads: int = option(2, help="threads that decode and write")
    rounds: int = option(3, help="timed, after one to warm up")
    formats: tuple[str, ...] = option(DEFAULT_FORMATS, name="format", help="what is written for each photo")

    def __post_init__(self) -> None:
        """Raises ValueError, in one sentence, for a value that cannot work."""
        for name in ("size", "images", "batch_size", "threads", "rounds"):
            check_at_least(self, name, 1)


def save_stock(folder: Path, size: int) -> None:
    """Stock Depth Anything of ViT-S shape with random weights whose output varies, and its image processor."""
    set_seed(0)
    model = DepthAnythingForDepthEstimation(DepthAnythingConfig())
    for module in [*model.neck.modules(), *model.head.modules()]:
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    nn.init.constant_(model.head.conv3.bias, 1.0)
    model.save_pretrained(folder)
    Preprocessing(size=size, multiple=14).to_image_processor().save_pretrained(folder)


def run_pipeline(stock: Any, photos: list[Path], output: Path) -> float:
    """Seconds of the stock pipeline, file by file."""
    output.mkdir()
    began = time.perf_counter()
    for photo in photos:
        stock(str(photo))["depth"].save(output / f"{photo.stem}.png")
    return time.perf_counter() - began


def run_ours(predictor: Predictor, photos: Path, output: Path, options: ResultOptions) -> float:
    """Seconds from photos to files."""
    began = time.perf_counter()
    report = predict_files(predictor.model, find_inputs([str(photos)]), output, options)
    seconds = time.perf_counter() - began
    if report.broken:
        raise ValueError(f"{len(report.broken)} photos could not be predicted: {report.broken}.")
    return seconds


@torch.inference_mode()
def agrees(predictor: Predictor, stock: Any, photos: list[Path], results: Path) -> bool:
    """Checks that the model's maps are the stock model's, and the files hold them at the photos' size."""
    for photo in photos[:4]:
        inputs = stock.image_processor(Image.open(photo), return_tensors="pt").to(predictor.device)
        output = stock.model(**inputs)
        expected = output.predicted_depth[0].float().cpu()
        ours = next(iter(predictor.run([photo], decode_image)))
        if not isinstance(ours, Prediction) or ours.output.values[0].shape != expected.shape:
            return False
        if (ours.output.values[0] - expected).abs().max() > TOLERANCE * expected.abs().max():
            return False
        finished = stock.image_processor.post_process_depth_estimation(output, [ours.size])[0]["predicted_depth"]
        finished = finished.clamp(expected.min(), expected.max())  # beyond which it goes at edges
        maps = [ours.full_size()] + [np.load(file) for file in [results / f"{photo.stem}_depth.npy"] if file.is_file()]
        scale = float(expected.abs().max())
        if not all(np.allclose(each, finished.float().cpu().numpy(), atol=TOLERANCE * scale) for each in maps):
            return False
    return True


def run(arguments: SpeedOptions) -> None:
    """Times all three, and prints the table and the results."""
    transformers_logging.set_verbosity_error()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    options = ResultOptions(
        formats=tuple(arguments.formats), batch_size=arguments.batch_size, threads=arguments.threads
    )
    with tempfile.TemporaryDirectory() as temporary:
        room = Path(temporary)
        save_stock(room / "model", arguments.size)
        (room / "photos").mkdir()
        make_photos(room / "photos", arguments.images)
        photos = sorted((room / "photos").glob("*.jpg"))
        model = load_depth_model(str(room / "model"), device=device)
        predictor = Predictor(model, batch_size=arguments.batch_size, threads=arguments.threads)
        stock = pipeline("depth-estimation", model=str(room / "model"), device=device)
        pixels = (model.preprocessing.resize(decode_image(photo)) for photo in photos)
        batches = bare_batches(pixels, arguments.batch_size, predictor.device)
        run_ours(predictor, room / "photos", room / "first", options)  # warms up, too
        agreed = agrees(predictor, stock, photos, room / "first")
        shares, gains = [], []
        print("| round | bare, images/s | semidepth predict | stock pipeline | of the bare model | over the pipeline |")
        print("|---|---|---|---|---|---|")
        for number in range(arguments.rounds):
            bare = run_bare(predictor.model.predict, batches)
            ours = run_ours(predictor, room / "photos", room / f"ours_{number}", options)
            theirs = run_pipeline(stock, photos, room / f"stock_{number}")
            shares.append(bare / ours)
            gains.append(theirs / ours)
            speeds = " | ".join(f"{arguments.images / seconds:.2f}" for seconds in (bare, ours, theirs))
            print(f"| {number + 1} | {speeds} | {shares[-1]:.3f} | {gains[-1]:.2f} |", flush=True)
    for name, ratios in (("predict_of_bare_model", shares), ("predict_over_pipeline", gains)):
        print(
            f"RESULT {name} ratio={statistics.median(ratios):.3f} low={min(ratios):.3f} high={max(ratios):.3f} "
            f"agrees={str(agreed).lower()}"
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line at the top of the file and returns its exit status."""
    return Command("python benchmarks/predict.py", SpeedOptions, run, __doc__).main(argv)


if __name__ == "__main__":
    sys.exit(main())
