"""Predict depth for images: 16-bit PNG, float .npy and a coloured picture of each.

    python training/predict.py photo.jpg holiday/ 'more/*.png' --model outputs/demo/student --output depth/
    python training/predict.py photo.jpg --model depth-anything/Depth-Anything-V2-Small-hf --output depth/ --device cpu

For `photo.jpg` it writes

    photo_depth.npy    float32 (H, W) of the image as it is seen (EXIF turned): inverse depth without a unit, larger is
                       nearer, for a relative model; metres, larger is farther, for a metric one
    photo_depth.png    16 bits: inverse depth scaled to 0..65535 in this image, or millimetres (cut at 65.535 m)
    photo_color.png    near is bright

Files that are there already are kept, unless `--overwrite` is given. Images that cannot be read are listed at the end
and do not stop the others; the exit status is then 1.
"""

import argparse
import io
import logging
import sys
from collections.abc import Iterator, Sequence
from glob import glob
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm.auto import tqdm

from semidepth.training.data.decoding import BrokenSampleError, decode_image
from semidepth.training.data.source_spec import IMAGE_SUFFIXES
from semidepth.training.engine.arguments import check_folder
from semidepth.training.engine.depth_models import DepthModel, Kind, load_depth_model
from semidepth.training.engine.pictures import as_disparity, colorize, write_whole
from semidepth.training.engine.tracking import bar_interval_s, set_up_logging

logger = logging.getLogger(__name__)

SUFFIXES = ("_depth.npy", "_depth.png", "_color.png")
MAX_16_BIT = 65535
MILLIMETRES = 1000


def find_images(inputs: Sequence[str]) -> list[tuple[Path, Path]]:
    """Image files behind files, folders (with what is below them) and globs.

    Args:
        inputs: as given on the command line.

    Returns:
        (file, name of its results without suffix, relative to the output folder); the names are unique.

    Raises:
        ValueError: if an input matches nothing.
    """
    found: dict[Path, Path] = {}
    for text in inputs:
        path = Path(text)
        if path.is_dir():
            files = [file for file in sorted(path.rglob("*")) if file.suffix.lower() in IMAGE_SUFFIXES]
            files = [file for file in files if not any(file.name.endswith(suffix) for suffix in SUFFIXES)]
            names = [file.relative_to(path).with_suffix("") for file in files]
        else:
            files = (
                [path] if path.is_file() else [Path(file) for file in sorted(glob(text, recursive=True))]  # noqa: PTH207
            )
            files = [file for file in files if file.is_file()]
            names = [Path(file.stem) for file in files]
        if not files:
            raise ValueError(f"{text!r} matches no image; give files, folders or a glob in quotes.")
        found |= {file: name for file, name in zip(files, names, strict=True) if file not in found}
    taken: set[Path] = set()
    unique = []
    for file, name in found.items():
        candidate, number = name, 2
        while candidate in taken:  # a/x.jpg and b/x.jpg, or x.jpg and x.png
            candidate, number = name.with_name(f"{name.name}-{number}"), number + 1
        taken.add(candidate)
        unique.append((file, candidate))
    return unique


def to_16_bit(values: np.ndarray, kind: Kind) -> np.ndarray:
    """A map as uint16: millimetres for metres (0 where unknown), the image's own range for inverse depth.

    Args:
        values: (H, W) float32, metres or inverse depth.
        kind: which of the two.

    Returns:
        (H, W) uint16.
    """
    known = np.isfinite(values)
    if kind == "depth":
        return np.where(known, np.clip(np.round(values * MILLIMETRES), 0, MAX_16_BIT), 0).astype(np.uint16)
    if not known.any():
        return np.zeros(values.shape, np.uint16)
    low, high = values[known].min(), values[known].max()
    scaled = (np.where(known, values, low) - low) / max(high - low, 1e-12)
    return np.round(scaled * MAX_16_BIT).astype(np.uint16)


def write_results(values: Tensor, kind: Kind, name: Path, *, overwrite: bool) -> list[Path]:
    """Writes the three files of one image, each under its final name only when it is whole.

    Args:
        values: (H, W) float32, metres or inverse depth.
        kind: which of the two.
        name: path without suffix.
        overwrite: replace files that are there.

    Returns:
        The files that were written.
    """
    array = values.cpu().numpy().astype(np.float32)
    disparity = as_disparity(values.cpu()).numpy() if kind == "depth" else array
    pictures = {
        "_depth.png": Image.fromarray(to_16_bit(array, kind)),
        "_color.png": Image.fromarray(colorize(disparity)),
    }
    written = []
    for suffix in SUFFIXES:
        path = name.with_name(name.name + suffix)
        if path.exists() and not overwrite:
            continue
        buffer = io.BytesIO()
        if suffix in pictures:
            pictures[suffix].save(buffer, format="png")
        else:
            np.save(buffer, array, allow_pickle=False)
        write_whole(path, buffer.getvalue())
        written.append(path)
    return written


def predict_files(
    model: DepthModel, files: Sequence[tuple[Path, Path]], output: Path, *, overwrite: bool = False
) -> tuple[int, dict[Path, str]]:
    """Predicts and writes, one image after the other.

    Args:
        model: on its device.
        files: from [`find_images`].
        output: folder of the results.
        overwrite: replace results that are there; else images that have all of theirs are not predicted again.

    Returns:
        How many images were left alone because their results were there, and the files that could not be read, with
        the reason.
    """
    device = next(model.model.parameters()).device
    broken: dict[Path, str] = {}
    kept = 0
    for file, name in _progress(files):
        target = output / name
        if not overwrite and all(target.with_name(target.name + suffix).exists() for suffix in SUFFIXES):
            kept += 1
            continue
        try:
            image = decode_image(file)
        except (BrokenSampleError, OSError) as error:
            broken[file] = str(error)
            continue
        values = model.predict(image[None].to(device))[0]
        write_results(values, model.kind, target, overwrite=overwrite)
    return kept, broken


def _progress(files: Sequence[tuple[Path, Path]]) -> Iterator[tuple[Path, Path]]:
    yield from tqdm(files, desc="predict", unit="img", dynamic_ncols=True, mininterval=bar_interval_s())


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; see the top of the file. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="+", help="files, folders or globs")
    parser.add_argument("--model", required=True, help="Hub id or folder of any depth-estimation model")
    parser.add_argument("--output", required=True, type=Path, help="folder for the results")
    parser.add_argument("--kind", choices=("disparity", "depth"), help="what the model predicts, if it is not known")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--overwrite", action="store_true", help="replace results that are there")
    options = parser.parse_args(argv)
    set_up_logging()
    try:
        check_folder("output", options.output)
        files = find_images(options.images)
        model = load_depth_model(options.model, device=options.device, kind=options.kind)
    except ValueError as error:
        parser.exit(2, f"error: {error}\n")
    kept, broken = predict_files(model, files, options.output, overwrite=options.overwrite)
    unit = "metres" if model.kind == "depth" else "inverse depth, larger is nearer"
    print(f"{len(files) - len(broken) - kept} of {len(files)} images predicted into {options.output} ({unit})")
    if kept:
        print(f"{kept} had results there already, which were kept; --overwrite replaces them")
    for file, reason in broken.items():
        print(f"not read: {file}: {reason}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
