"""Labeled sets of our own making for `seeded_faults`: rendered scenes and composed photos, as users store them."""

import io
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from semidepth.data.scenes.render import render_scenes

SIDES = ((240, 320), (256, 256), (320, 240))  # height, width
IN_POOL = 40  # of each material and size
FORMS = ("npy beside", "png beside", "folders", "parquet png", "parquet lists", "tar")
FAR_M = 65.0  # what 16 bits of millimetres hold

Pair = tuple[np.ndarray, np.ndarray]  # (H, W, 3) uint8, (H, W) float32 metres, NaN unknown, inf sky


@dataclass(frozen=True)
class Stored:
    """One sample as it is written: pixels, the label's numbers as they go to the file, the EXIF orientation."""

    image: np.ndarray
    label: np.ndarray
    orientation: int = 1


def rendered(domain: str, number: int, height: int, width: int) -> Pair:
    """A scene of the built-in renderer."""
    batch = render_scenes(domain, [number], seed=77, height=height, width=width)
    return batch.image[0].permute(1, 2, 0).numpy(), batch.depth[0].numpy()


def composed(number: int, height: int, width: int) -> Pair:
    """A photo made of textured layers: a wall or a sky, the ground, and things that stand on it; with noise.

    Their textures have edges where depth has none, light falls off unevenly, and colours of neighbours may be alike.
    """
    rng = np.random.default_rng([5, number, height, width])
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float64)
    horizon, focal, camera = height * rng.uniform(0.3, 0.5), width * rng.uniform(0.7, 1.2), rng.uniform(1.0, 1.7)
    back = rng.uniform(3.5, 12)
    with np.errstate(all="ignore"):
        ground = np.where(rows > horizon, camera * focal / (rows - horizon), np.inf)
    slant = 1 + rng.uniform(-0.3, 0.3) * (columns / width - 0.5)
    wall = back * slant
    depth = np.minimum(ground, wall)
    image = np.where((ground < wall)[..., None], _texture(rng, height, width), _texture(rng, height, width))
    for z in np.sort(rng.uniform(1.3, 0.9 * back, rng.integers(5, 9)))[::-1]:
        foot = horizon + camera * focal / z
        middle = rng.uniform(0, width)
        across, tall = focal * rng.uniform(0.2, 0.5) / z, focal * rng.uniform(0.4, 1.6) / z
        x, y = (columns - middle) / across, (rows - (foot - tall / 2)) / (tall / 2)
        inside = (np.abs(x) < 1) & (np.abs(y) < 1) if rng.random() < 0.5 else x**2 + y**2 < 1
        inside &= depth > z
        round_ = 1 - 0.1 * np.sqrt(np.clip(1 - x**2, 0, 1)) if rng.random() < 0.5 else 1
        depth = np.where(inside, z * round_, depth)
        image = np.where(inside[..., None], _texture(rng, height, width), image)
    light = 1 + rng.uniform(-0.4, 0.4) * columns / width + rng.uniform(-0.3, 0.3) * rows / height
    noisy = image * light[..., None] + rng.normal(0, rng.uniform(2, 8), image.shape)
    return noisy.clip(0, 255).astype(np.uint8), depth.astype(np.float32)


def _texture(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """(H, W, 3) of one colour with cloudy, and sometimes striped, lightness."""
    values = np.zeros((height, width))
    for cells in (3, 7, 20, 60):
        coarse = Image.fromarray(rng.normal(0, 1, (cells, cells)).astype(np.float32))
        values += np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)) * cells**-0.4
    if rng.random() < 0.3:
        rows, columns = np.mgrid[0:height, 0:width]
        angle, length = rng.uniform(0, np.pi), rng.uniform(8, 40)
        values += np.sign(np.sin((rows * np.sin(angle) + columns * np.cos(angle)) * 2 * np.pi / length))
    return rng.uniform(40, 210, 3) + values[..., None] * rng.uniform(5, 25)


class Pool:
    """Pairs of each material, made once."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, int, int, int], Pair] = {}

    def draw(self, rng: np.random.Generator, material: str, count: int, *, square: bool = False) -> list[Pair]:
        """Pairs of one size, of `indoor`, `outdoor` or `photos`."""
        height, width = SIDES[1] if square else SIDES[rng.integers(len(SIDES))]
        numbers = rng.choice(IN_POOL, count, replace=False)
        return [self._make(material, int(number), height, width) for number in numbers]

    def _make(self, material: str, number: int, height: int, width: int) -> Pair:
        key = (material, number, height, width)
        if key not in self._made:
            self._made[key] = (
                composed(number, height, width) if material == "photos" else rendered(material, number, height, width)
            )
        image, depth = self._made[key]
        return image.copy(), depth.copy()


def millimetres(depth: np.ndarray) -> np.ndarray:
    """Metres as 16-bit millimetres, 0 for unknown and 65535 for sky and beyond."""
    stored = np.where(np.isfinite(depth), np.rint(depth * 1000).clip(1, 65534), 0)
    return np.where(np.isposinf(depth) | (depth > FAR_M), 65535, stored).astype(np.uint16)


def store(folder: Path, samples: Sequence[Stored], form: str) -> str:
    """Writes a set in one of `FORMS` and returns its location."""
    folder.mkdir(parents=True)
    contents = [(_jpeg(sample), sample.label) for sample in samples]
    if form == "tar":
        _tar(folder / "a.tar", [(image, _encoded(label)) for image, label in contents])
        return str(folder)
    if form.startswith("parquet"):
        lists = form == "parquet lists"
        labels = [label.tolist() if lists else _encoded(label)[0] for _, label in contents]
        table = pa.table({"image": [image for image, _ in contents], "depth": labels})
        pq.write_table(table, folder / "a.parquet")
        return str(folder)
    beside = form != "folders"
    images, depths = (folder, folder) if beside else (folder / "images", folder / "depth")
    for number, (image, label) in enumerate(contents):
        content, ending = _encoded(label)
        for place in (images, depths):
            place.mkdir(exist_ok=True)
        (images / f"{number:04}.jpg").write_bytes(image)
        (depths / f"{number:04}{'_depth' if beside else ''}.{ending}").write_bytes(content)
    return str(folder)


def _jpeg(sample: Stored) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = sample.orientation
    buffer = io.BytesIO()
    Image.fromarray(sample.image).save(buffer, "JPEG", quality=90, exif=exif)
    return buffer.getvalue()


def _encoded(label: np.ndarray) -> tuple[bytes, str]:
    """Content and ending: integers as PNG, floats as `.npy`."""
    buffer = io.BytesIO()
    if np.issubdtype(label.dtype, np.floating):
        np.save(buffer, label.astype(np.float32))
        return buffer.getvalue(), "npy"
    Image.fromarray(label).save(buffer, "PNG")
    return buffer.getvalue(), "png"


def _tar(path: Path, contents: Sequence[tuple[bytes, tuple[bytes, str]]]) -> None:
    with tarfile.open(path, "w") as tar:
        for number, (image, (label, ending)) in enumerate(contents):
            for name, content in ((f"{number:04}.jpg", image), (f"{number:04}.depth.{ending}", label)):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
