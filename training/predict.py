"""Predict depth for images: 16-bit PNG, float .npy and a coloured picture of each.

    python training/predict.py photo.jpg holiday/ 'more/*.png' --model outputs/demo/student --output depth/
    python training/predict.py photo.jpg --model depth-anything/Depth-Anything-V2-Small-hf --output depth/ --device cpu
    python training/predict.py photo.jpg --model outputs/demo/metric --output depth/ --fov_deg 60   # and a point cloud

For `photo.jpg` it writes

    photo_depth.npy    float32 (H, W) of the image as it is seen (EXIF turned): inverse depth without a unit, larger is
                       nearer, for a relative model; metres, larger is farther, for a metric one
    photo_depth.png    16 bits: inverse depth scaled to 0..65535 in this image, or millimetres (cut at 65.535 m)
    photo_color.png    near is bright
    photo_points.ply   with --focal_px or --fov_deg, for metric models: coloured points in metres, x right, y up, the
                       camera at the origin looking along -z, so it opens right way up

Files that are there already are kept, unless `--overwrite` is given. Images that cannot be read are listed at the end
and do not stop the others; the exit status is then 1.
"""

import argparse
import io
import logging
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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
from semidepth.training.engine.pictures import as_disparity, colorize, to_array, write_whole
from semidepth.training.engine.point_clouds import focal_from_fov, to_ply, to_points
from semidepth.training.engine.tracking import bar_interval_s, set_up_logging

logger = logging.getLogger(__name__)

SUFFIXES = ("_depth.npy", "_depth.png", "_color.png")
POINTS_SUFFIX = "_points.ply"
MAX_16_BIT = 65535
MILLIMETRES = 1000


@dataclass(frozen=True)
class Camera:
    """What the pictures were taken with; gives point clouds where one of the two is known.

    Args:
        focal_px: focal length in pixels of the image as it is seen.
        fov_deg: horizontal field of view, degrees.

    Raises:
        ValueError: for both at once, or a value that no camera has.
    """

    focal_px: float | None = None
    fov_deg: float | None = None

    def __post_init__(self) -> None:
        if self.focal_px is not None and self.fov_deg is not None:
            raise ValueError("--focal_px and --fov_deg say the same thing; give one of them.")
        if self.focal_px is not None and not 0 < self.focal_px < math.inf:
            raise ValueError(f"--focal_px is {self.focal_px}; give a positive number of pixels.")
        if self.fov_deg is not None and not 0 < self.fov_deg < 180:
            raise ValueError(f"--fov_deg is {self.fov_deg}; give an angle between 0 and 180 degrees, such as 60.")

    @property
    def known(self) -> bool:
        """Whether there is something to make points with."""
        return self.focal_px is not None or self.fov_deg is not None

    def focal(self, width: int) -> float:
        """Focal length in pixels for an image of that width."""
        if self.focal_px is not None:
            return self.focal_px
        assert self.fov_deg is not None
        return focal_from_fov(self.fov_deg, width)


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


def write_results(
    values: Tensor,
    kind: Kind,
    name: Path,
    *,
    overwrite: bool,
    image: Tensor | None = None,
    camera: Camera | None = None,
) -> list[Path]:
    """Writes the files of one image, each under its final name only when it is whole.

    Args:
        values: (H, W) float32, metres or inverse depth.
        kind: which of the two.
        name: path without suffix.
        overwrite: replace files that are there.
        image: (3, H, W) uint8, for the point cloud's colours.
        camera: a known one gives a point cloud of metres.

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
    suffixes = result_suffixes(camera)
    for suffix in suffixes:
        path = name.with_name(name.name + suffix)
        if path.exists() and not overwrite:
            continue
        buffer = io.BytesIO()
        if suffix in pictures:
            pictures[suffix].save(buffer, format="png")
        elif suffix == POINTS_SUFFIX:
            assert camera is not None  # the suffix comes with a known one
            assert image is not None
            buffer.write(to_ply(*to_points(array, to_array(image), camera.focal(array.shape[1]))))
        else:
            np.save(buffer, array, allow_pickle=False)
        write_whole(path, buffer.getvalue())
        written.append(path)
    return written


def result_suffixes(camera: Camera | None) -> tuple[str, ...]:
    """What the names of an image's results end with."""
    return (*SUFFIXES, POINTS_SUFFIX) if camera is not None and camera.known else SUFFIXES


def predict_files(
    model: DepthModel,
    files: Sequence[tuple[Path, Path]],
    output: Path,
    *,
    overwrite: bool = False,
    camera: Camera | None = None,
    domain: str | None = None,
) -> tuple[int, dict[Path, str]]:
    """Predicts and writes, one image after the other.

    Args:
        model: on its device.
        files: from [`find_images`].
        output: folder of the results.
        overwrite: replace results that are there; else images that have all of theirs are not predicted again.
        camera: a known one gives point clouds.
        domain: of all images, instead of what a router would choose.

    Returns:
        How many images were left alone because their results were there, and the files that could not be read, with
        the reason.
    """
    check_domain(model, domain)
    if camera is not None and camera.known and model.kind != "depth":
        raise ValueError("a point cloud needs metres and this model predicts inverse depth; take a metric model.")
    inputs = {} if domain is None else {"domain_labels": [model.domains.index(domain)]}
    device = next(model.model.parameters()).device
    broken: dict[Path, str] = {}
    kept = 0
    for file, name in _progress(files):
        target = output / name
        if not overwrite and all(target.with_name(target.name + suffix).exists() for suffix in result_suffixes(camera)):
            kept += 1
            continue
        try:
            image = decode_image(file)
        except (BrokenSampleError, OSError) as error:
            broken[file] = str(error)
            continue
        values = model.forward(image[None].to(device), **inputs)[0][0]
        write_results(values, model.kind, target, overwrite=overwrite, image=image, camera=camera)
    return kept, broken


def check_domain(model: DepthModel, domain: str | None) -> None:
    """Raises ValueError if a model has no head for a domain."""
    if domain is not None and domain not in model.domains:
        has = f"has {', '.join(model.domains)}" if model.domains else "has no domains"
        raise ValueError(f"--domain is {domain!r} and the model {has}; leave it out to let the model choose.")


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
    parser.add_argument("--domain", help="domain of all images, for a routed model; default: its router chooses")
    parser.add_argument("--focal_px", type=float, help="focal length in pixels: also write a point cloud (.ply)")
    parser.add_argument("--fov_deg", type=float, help="or the horizontal field of view in degrees")
    parser.add_argument("--overwrite", action="store_true", help="replace results that are there")
    options = parser.parse_args(argv)
    set_up_logging()
    try:
        check_folder("output", options.output)
        camera = Camera(options.focal_px, options.fov_deg)
        files = find_images(options.images)
        model = load_depth_model(options.model, device=options.device, kind=options.kind)
        kept, broken = predict_files(
            model, files, options.output, overwrite=options.overwrite, camera=camera, domain=options.domain
        )
    except ValueError as error:
        parser.exit(2, f"error: {error}\n")
    unit = "metres" if model.kind == "depth" else "inverse depth, larger is nearer"
    print(f"{len(files) - len(broken) - kept} of {len(files)} images predicted into {options.output} ({unit})")
    if kept:
        print(f"{kept} had results there already, which were kept; --overwrite replaces them")
    for file, reason in broken.items():
        print(f"not read: {file}: {reason}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
