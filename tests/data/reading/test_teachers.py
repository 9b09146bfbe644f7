"""Maps in the format of six tools, read by the lines of docs/teachers.md.

Each writer below follows the tool's own, named there with its place and commit; expected depth is what the tool's
reader, or its definition, gives.
"""

import math
import re
from pathlib import Path

import numpy as np
import OpenEXR
import pytest
import torch
from PIL import Image, PngImagePlugin
from sample_files import encoded

from semidepth.data.source_spec import parse_source
from semidepth.data.streaming.plan import StreamPlan
from semidepth.data.streaming.stream import SampleStream

PAGE = Path(__file__).resolve().parents[3] / "docs" / "teachers.md"
LINES = re.findall(r"^\| [^|]+ \|[^|]*\|[^|]*\| `((\w+)/[^`]*)` \|$", PAGE.read_text(), re.MULTILINE)
HEIGHT, WIDTH = 20, 32


def scene(number: int) -> np.ndarray:
    """(H, W) float32 depth in metres from about 1 to 40, another in each photo."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    return (1.5 + number + rows * 1.2 + columns * 0.3 + np.sin(rows * columns)).astype(np.float32)


def da3(folder: Path, name: str, depth: np.ndarray) -> None:
    """`export_to_mini_npz` of one image: (1, H, W) at the size of `_make_divisible_by_resize`, rounded to 8 digits."""
    height, width = (round(side * 504 / WIDTH) for side in (HEIGHT, WIDTH))
    height, width = (14 * math.floor(side / 14 + 0.5) for side in (height, width))
    assert (height, width) == (322, 504)  # of 20 x 32: another aspect ratio
    resized = torch.nn.functional.interpolate(
        torch.from_numpy(depth)[None, None], (height, width), mode="nearest-exact"
    )
    file = folder / name / "exports" / "mini_npz" / "results.npz"
    file.parent.mkdir(parents=True)
    np.savez_compressed(file, depth=np.round(resized[0].numpy(), 8), conf=np.round(resized[0].numpy() * 0 + 1, 2),
                        intrinsics=np.eye(3)[None])  # fmt: skip


def moge(folder: Path, name: str, depth: np.ndarray) -> None:
    """The maps of `moge infer --maps`: OpenCV writes one channel, Y, of 32-bit floats; the mask's outside is inf."""
    (folder / name).mkdir(parents=True)
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(header, {"Y": depth}).write(str(folder / name / "depth.exr"))
    OpenEXR.File(header, {"RGB": np.stack([depth] * 3, -1)}).write(str(folder / name / "points.exr"))
    for other in ("depth_vis", "mask", "normal"):
        (folder / name / f"{other}.png").write_bytes(encoded(np.zeros((HEIGHT, WIDTH), np.uint8)))
    (folder / name / "image.jpg").write_bytes(encoded(np.zeros((HEIGHT, WIDTH, 3), np.uint8), "JPEG"))


def moge_data(folder: Path, name: str, depth: np.ndarray) -> None:
    """`write_depth`: steps 1 to 65534 are even in the logarithm between near and far, 0 is unknown, 65535 inf."""
    known = depth[np.isfinite(depth)]
    near, far = max(known.min(), 1e-5), known.max()
    with np.errstate(invalid="ignore"):
        steps = 1 + np.round(np.log(depth / near) / np.log(far / near) * 65533)
    stored = np.where(np.isnan(depth), 0, np.where(np.isinf(depth), 65535, steps)).astype(np.uint16)
    texts = PngImagePlugin.PngInfo()
    texts.add_text("near", str(near))
    texts.add_text("far", str(far))
    (folder / name).mkdir(parents=True)
    Image.fromarray(stored).save(folder / name / "depth.png", pnginfo=texts, compress_level=7)


def read_moge_data(file: Path) -> np.ndarray:
    """Depth as `read_depth` defines it: near^(1 - x) far^x with x = (step - 1) / 65533."""
    picture = Image.open(file)
    near, far = float(picture.info["near"]), float(picture.info["far"])
    step = np.asarray(picture).astype(np.float64)
    place = (step - 1) / 65533
    depth = near ** (1 - place) * far**place
    return np.where(step == 0, np.nan, np.where(step == 65535, np.inf, depth))


def unidepth(folder: Path, name: str, depth: np.ndarray) -> None:
    """`predictions["depth"]`, (1, 1, H, W)."""
    folder.mkdir(exist_ok=True)
    np.save(folder / f"{name}.npy", depth[None, None])


def metric3d(folder: Path, name: str, depth: np.ndarray) -> None:
    """`pred_depth` of hubconf.py: cut to 0 and 300 m."""
    folder.mkdir(exist_ok=True)
    np.save(folder / f"{name}.npy", depth.clip(0, 300))


def depth_pro(folder: Path, name: str, depth: np.ndarray) -> None:
    """`run`: an array `depth`, one over inverse depth of at least 1e-4, beside a picture."""
    folder.mkdir(exist_ok=True)
    inverse = torch.from_numpy(1 / depth).clamp(1e-4, 1e4)
    np.savez_compressed(folder / name, depth=(1.0 / inverse).numpy())
    (folder / f"{name}.jpg").write_bytes(encoded(np.zeros((HEIGHT, WIDTH, 3), np.uint8), "JPEG"))


def marigold(folder: Path, name: str, depth: np.ndarray) -> None:
    """`run.py`: 0 at the nearest, 1 at the farthest; as floats and as 16-bit PNG."""
    relative = (depth - depth.min()) / (depth.max() - depth.min())
    for part in ("depth_npy", "depth_bw", "depth_colored"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    np.save(folder / "depth_npy" / f"{name}_depth.npy", relative)
    Image.fromarray((relative * 65535.0).astype(np.uint16)).save(folder / "depth_bw" / f"{name}_depth.png")
    (folder / "depth_colored" / f"{name}_depth_colored.png").write_bytes(
        encoded(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    )


WRITERS = {each.__name__: each for each in (da3, moge, moge_data, unidepth, metric3d, depth_pro, marigold)}
# Where a tool has no depth, and what its maps hold there.
NO_DEPTH = {"moge": np.inf, "moge_data": np.inf, "metric3d": 400.0, "depth_pro": np.inf}


def read(spec: str) -> list[np.ndarray]:
    samples = SampleStream(StreamPlan((parse_source(spec),), labeled=True))
    return [sample["depth"].numpy() for sample in samples]


def make(folder: Path, tool: str) -> list[np.ndarray]:
    """Two photos with the tool's maps; returns their depth."""
    depths = []
    for number, name in enumerate(("first", "second.view")):
        (folder / "photos").mkdir(parents=True, exist_ok=True)
        (folder / "photos" / f"{name}.jpg").write_bytes(encoded(np.zeros((HEIGHT, WIDTH, 3), np.uint8), "JPEG"))
        depth = scene(number)
        if tool in NO_DEPTH:
            depth[:3] = NO_DEPTH[tool]
        WRITERS[tool](folder / tool, name, depth)
        depths.append(depth)
    return depths


def test_every_tool_of_the_page_has_its_format_here():
    assert {tool for _, tool in LINES} == WRITERS.keys()


@pytest.mark.parametrize(("line", "tool"), LINES)
def test_the_line_reads_what_the_tool_wrote(tmp_path, monkeypatch, line, tool):
    monkeypatch.chdir(tmp_path)
    depths = make(tmp_path, tool)
    if tool == "moge_data":
        depths = [read_moge_data(tmp_path / tool / name / "depth.png") for name in ("first", "second.view")]
    for found, depth in zip(read(line), depths, strict=True):
        expected = depth * float(dict(re.findall(r"(\w+)=([\d.]+)", line)).get("depth_scale", 1))
        if tool == "metric3d":
            expected[depth > 300] = np.nan
        if "near=" in line:  # 0.1 at the nearest, 1 at the farthest, straight between
            expected = 0.1 + 0.9 * (depth - depth.min()) / (depth.max() - depth.min())
        np.testing.assert_allclose(found, expected, rtol=2e-4 if "depth_bw" in line else 1e-5)


def test_all_photos_of_a_call_in_one_file_are_refused(tmp_path):
    """As `da3 images` writes them: whose map is which only the order of names would tell."""
    make(tmp_path, "unidepth")
    file = tmp_path / "da3" / "first" / "exports" / "mini_npz" / "results.npz"
    file.parent.mkdir(parents=True)
    np.savez_compressed(file, depth=np.stack([scene(0), scene(1)]))
    with pytest.raises(ValueError, match=r"the shape \(2, 20, 32\)"):
        read(f"{tmp_path}/da3?images={tmp_path}/photos&kind=depth")
