"""Small image, depth, parquet and tar files that the data tests read."""

import io
import tarfile
from pathlib import Path

import numpy as np
from datasets import ClassLabel, Dataset, Features, Image, Value
from PIL import Image as Pillow

HEIGHT, WIDTH = 24, 32


def encoded(pixels: np.ndarray, format: str = "PNG", **options: object) -> bytes:
    """One image file's bytes."""
    buffer = io.BytesIO()
    Pillow.fromarray(pixels).save(buffer, format, **options)
    return buffer.getvalue()


def npy(array: np.ndarray) -> bytes:
    """One `.npy` file's bytes."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def picture(number: int) -> np.ndarray:
    """(H, W, 3) uint8 of one colour that tells the number (0 to 255 x 40)."""
    return np.full((HEIGHT, WIDTH, 3), (number % 256, number // 256 * 6, 77), dtype=np.uint8)


def depth_mm(number: int) -> np.ndarray:
    """(H, W) uint16 millimetres: 1000 + number everywhere, the first row unknown."""
    depth = np.full((HEIGHT, WIDTH), 1000 + number, dtype=np.uint16)
    depth[0] = 0
    return depth


def write_parquet(path: Path, numbers: range, domain: str = "indoor", labeled: bool = True) -> Path:
    """A parquet file as `datasets` writes it: PNG image, 16-bit PNG depth, depth_scale, ClassLabel domain."""
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {"image": [{"bytes": encoded(picture(n)), "path": None} for n in numbers]}
    features = {"image": Image()}
    if labeled:
        columns["depth"] = [{"bytes": encoded(depth_mm(n)), "path": None} for n in numbers]
        columns["depth_scale"] = [0.001] * len(numbers)
        columns["domain"] = [domain] * len(numbers)
        names = ClassLabel(names=["indoor", "outdoor"])
        features |= {"depth": Image(), "depth_scale": Value("float32"), "domain": names}
        columns["domain"] = [names.str2int(domain)] * len(numbers)
    Dataset.from_dict(columns, features=Features(features)).to_parquet(path)
    return path


def write_images(folder: Path, numbers: range) -> Path:
    """A folder of PNG images named by number."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (folder / f"{number:04}.png").write_bytes(encoded(picture(number)))
    return folder


def write_tar(path: Path, members: dict[str, bytes]) -> Path:
    """A tar of the given members, in order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path
