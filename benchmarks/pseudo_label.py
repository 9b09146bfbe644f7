"""Compare the speed of the pseudo-label command with the teacher's bare forward pass.

    python benchmarks/pseudo_label.py                                   # ViT-S shape at 518 pixels
    python benchmarks/pseudo_label.py --precision bf16 --images 32
    python benchmarks/pseudo_label.py --teacher depth-anything/Depth-Anything-V2-Large-hf --precision bf16   # a GPU

The peer is the model alone: batches of pixels that lie on the device already, predictions that stay there. Ours begins
with JPEG photos of several sizes in a folder and ends with parquet files: decoding, resizing, the same forward passes,
16-bit encoding and writing. Speed does not depend on the weights, so a random teacher of the shape will do.
"""

import io
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow.parquet as pq
import torch
from PIL import Image
from transformers import Dinov2Config, set_seed
from transformers.utils import logging as transformers_logging

from semidepth.common.commands import Command
from semidepth.common.option_checks import check_at_least
from semidepth.common.options import option
from semidepth.data.decoding import decode_image
from semidepth.data.pseudo_labels import LabelFolder, parts_to_make
from semidepth.data.source_spec import parse_source
from semidepth.modeling import DepthStudentForDepthEstimation
from semidepth.prediction.batching import groups_of_one_size, to_device
from semidepth.prediction.models import DepthModel, load_depth_model
from semidepth.prediction.preprocessing import Preprocessing
from semidepth.training.recipes.labeling import Labeler

# Width and height of the photos; the first two come to one size for the model.
SIZES = ((640, 480), (800, 600), (480, 640), (700, 500))


@dataclass(frozen=True, kw_only=True)
class LabelingOptions:
    """Options of this program."""

    teacher: str | None = option(None, help="model to label with; default: random weights, ViT-S shape")
    size: int = option(518, help="shorter side in pixels, for the random teacher")
    precision: Literal["no", "bf16"] = option("no", help="number format of the forward pass")
    images: int = option(24, help="photos that are labeled in each round")
    batch_size: int = option(4, help="photos in a forward pass")
    threads: int = option(2, help="threads that decode and encode")
    rounds: int = option(3, help="timed")

    def __post_init__(self) -> None:
        """Raises ValueError, in one sentence, for a value that cannot work."""
        for name in ("size", "images", "batch_size", "threads", "rounds"):
            check_at_least(self, name, 1)


def make_photos(folder: Path, count: int) -> None:
    """JPEG photos: smooth shapes and fine texture, so that they compress as photos do."""
    rng = np.random.default_rng(0)
    for number in range(count):
        width, height = SIZES[number % len(SIZES)]
        coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).astype(np.int16)
        pixels = (smooth + rng.normal(0, 6, smooth.shape)).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:04}.jpg", quality=90)


def make_teacher(arguments: LabelingOptions, device: torch.device) -> DepthModel:
    """The teacher that was named, else a random one of ViT-S shape."""
    if arguments.teacher:
        return load_depth_model(arguments.teacher, device=device)
    set_seed(0)
    encoder = Dinov2Config(hidden_size=384, num_attention_heads=6, image_size=518, patch_size=14)
    config = DepthStudentForDepthEstimation.config_for_encoder(encoder)
    model = DepthStudentForDepthEstimation(config).to(device).eval().requires_grad_(False)
    return DepthModel(model, Preprocessing(size=arguments.size, multiple=14), "disparity")


def pixels_of(labeler: Labeler, photo: Path) -> torch.Tensor:
    """A photo as the labeler shows it to its model."""
    return labeler.decode({"image": str(photo), "origin": str(photo)})[1]  # type: ignore[typeddict-item]


def bare_batches(images: Iterable[torch.Tensor], batch_size: int, device: torch.device) -> list[torch.Tensor]:
    """Pixels of the model's size in the batches that it is given, grouped by size, on the device."""
    groups = groups_of_one_size(images, batch_size, lambda image: image.shape)
    return [to_device(group, device) for group in groups]


def run_bare(predict: Callable[[torch.Tensor], Any], batches: list[torch.Tensor]) -> float:
    """Seconds of the forward passes alone."""
    began = time.perf_counter()
    for batch in batches:
        predict(batch)
    if batches[0].device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def run_whole(labeler: Labeler, photos: Path, output: Path) -> float:
    """Seconds from photos to parquet files."""
    folder = LabelFolder(str(output))
    parts = parts_to_make([parse_source(str(photos))], 1000, process=0, processes=1, finished=set())
    began = time.perf_counter()
    labeler.label(parts, folder.write_part, lambda images: None)
    return time.perf_counter() - began


def agrees(labeler: Labeler, photos: Path, output: Path) -> bool:
    """Checks that stored labels are the model's predictions, to half a quantisation step and rounding."""
    rows: list[dict[str, Any]] = []
    for path in sorted((output / "data").glob("*.parquet")):
        rows += pq.read_table(path).to_pylist()
    for row in rows[:: max(1, len(rows) // 4)]:
        photo = photos / Path(row["origin"]).name
        assert np.array_equal(decode_image(row["image"]["bytes"]), decode_image(photo))
        expected = labeler.predict(pixels_of(labeler, photo)[None].to(labeler.device))[0][0].float().cpu().numpy()
        stored = np.asarray(Image.open(io.BytesIO(row["disparity"]["bytes"]))) * row["depth_scale"] + row["depth_shift"]
        tolerance = 1e-3 if labeler.precision is None else 3e-2  # of the range: batches of another size round otherwise
        if np.abs(stored - expected).max() > row["depth_scale"] + tolerance * np.ptp(expected):
            return False
    return len(rows) > 0


def run(arguments: LabelingOptions) -> None:
    """Times the bare model and the labeler, and prints the table and the result."""
    transformers_logging.set_verbosity_error()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    labeler = Labeler(
        make_teacher(arguments, device),
        [],
        device=device,
        batch_size=arguments.batch_size,
        threads=arguments.threads,
        precision=torch.bfloat16 if arguments.precision == "bf16" else None,
        identity={"teacher": "benchmark", "teacher_revision": "none"},
    )
    with tempfile.TemporaryDirectory() as temporary:
        photos = Path(temporary) / "photos"
        photos.mkdir()
        make_photos(photos, arguments.images)
        pixels = (pixels_of(labeler, photo) for photo in sorted(photos.glob("*.jpg")))
        batches = bare_batches(pixels, arguments.batch_size, device)
        run_bare(labeler.predict, batches[:1])
        agreed, shares = True, []
        print("| round | bare forward, images/s | photos to parquet, images/s | share |\n|---|---|---|---|")
        for number in range(arguments.rounds):
            output = Path(temporary) / f"labels_{number}"
            bare, whole = run_bare(labeler.predict, batches), run_whole(labeler, photos, output)
            agreed = agreed and agrees(labeler, photos, output)
            shares.append(bare / whole)
            speeds = (f"{arguments.images / seconds:.2f}" for seconds in (bare, whole))
            print(f"| {number + 1} | {' | '.join(speeds)} | {shares[-1]:.3f} |", flush=True)
    print(
        f"RESULT pseudo_label_{arguments.precision} ratio={statistics.median(shares):.3f} low={min(shares):.3f} "
        f"high={max(shares):.3f} agrees={str(agreed).lower()}"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line at the top of the file and returns its exit status."""
    return Command("python benchmarks/pseudo_label.py", LabelingOptions, run, __doc__).main(argv)


if __name__ == "__main__":
    sys.exit(main())
