"""Exported files run without torch, and predict what torch does."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from PIL import Image
from torch.nn import functional as F

from semidepth import runtime
from semidepth.prediction.depth_maps import predict
from semidepth.prediction.preprocessing import Preprocessing
from semidepth.prediction.runtimes.onnx import export_onnx
from semidepth.runtime.checks import check_about
from semidepth.runtime.pixels import enlarge, target_size, to_rgb


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    """A folder with a student, its export and a photo that EXIF data turn."""
    folder = tmp_path_factory.mktemp("exported")
    tiny.save_model(tiny.stock_model(), folder / "student")
    export_onnx(folder / "student", folder / "model.onnx")
    soft = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(soft).resize((150, 110), Image.Resampling.BICUBIC).save(folder / "photo.png", exif=turned)
    return folder


def near(found: np.ndarray, expected: np.ndarray, share: float) -> bool:
    return found.shape == expected.shape and np.abs(found - expected).max() <= share * np.ptp(expected)


@pytest.mark.parametrize("library", ["onnx", "openvino"])
def test_predicts_as_torch_does(exported, library):
    expected = predict(exported / "photo.png", exported / "student", device="cpu")
    values, unit = runtime.load(exported, runtime=library).predict(exported / "photo.png")
    assert unit == expected.unit == "inverse depth"
    assert values.shape == (150, 110)
    assert values.dtype == np.float32
    # Pillow rounds to 8 bits twice, once for each axis.
    assert near(values, expected.values, 0.01)
    assert np.abs(values - expected.values).mean() < 1e-3 * np.ptp(expected.values)


def test_runs_where_torch_cannot_be_imported(exported):
    code = f"""
import sys
class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision", "transformers"):
            raise ImportError(name + " must not be imported")
sys.meta_path.insert(0, NoTorch())
import numpy as np
from semidepth import runtime
try:
    import torch
except ImportError:
    pass
else:
    sys.exit("torch was there")
for library in ("onnx", "openvino"):
    values, unit = runtime.load({str(exported / "model.onnx")!r}, runtime=library, threads=1).predict(
        {str(exported / "photo.png")!r})
    print(library, unit, *values.shape, values.mean())
assert not any(name.split(".")[0] == "torch" for name in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [line[:5] for line in lines] == [[name, "inverse", "depth", "150", "110"] for name in ("onnx", "openvino")]
    mean = predict(exported / "photo.png", exported / "student", device="cpu").values.mean()
    assert all(abs(float(line[5]) - mean) < 1e-3 * mean for line in lines)


def test_bfloat16_is_another_precision(exported):
    exact, coarse = (
        runtime.load(exported, runtime="openvino", precision=precision).predict(exported / "photo.png").values
        for precision in ("float32", "bfloat16")
    )
    assert near(coarse, exact, 0.1)


def test_resizing_is_torchs():
    values = np.random.default_rng(0).random((13, 17)).astype(np.float32)
    for size in ((40, 60), (13, 17), (14, 100), (5, 9)):
        expected = F.interpolate(torch.from_numpy(values)[None, None], size, mode="bicubic", align_corners=False)
        expected = expected[0, 0].clamp(float(values.min()), float(values.max())).numpy()
        assert np.abs(enlarge(values, *size) - expected).max() < 2e-6
    own = Preprocessing(size=518, multiple=14)
    sides = ((480, 640), (3000, 4000), (100, 900), (518, 518), (1080, 607))
    assert [target_size(*side, 518, 14) for side in sides] == [own.target_size(*side) for side in sides]


def test_transparent_pixels_are_white():
    clear = np.zeros((4, 4, 4), np.uint8)
    assert np.asarray(to_rgb(clear)).min() == 255


def test_wrong_use_is_told(exported, tmp_path):
    for arguments, told in (
        ((tmp_path,), "there is no file"),
        ((exported / "photo.png",), "neither a .onnx nor a .xml"),
        ((exported / "model.onnx", "tensorrt"), "give 'onnx' or 'openvino'"),
        ((exported / "model.onnx", "onnx", "bfloat16"), "take the runtime 'openvino'"),
    ):
        names = dict(zip(("runtime", "precision"), arguments[1:], strict=False))
        with pytest.raises(ValueError, match=told):
            runtime.load(arguments[0], **names)
    (tmp_path / "damaged.onnx").write_bytes((exported / "model.onnx").read_bytes()[:5000])
    with pytest.raises(ValueError, match="cannot be loaded by onnxruntime"):
        runtime.load(tmp_path / "damaged.onnx")
    with pytest.raises(ValueError, match="cannot be loaded by openvino"):
        runtime.load(tmp_path / "damaged.onnx", runtime="openvino")
    loaded = runtime.load(exported)
    with pytest.raises(ValueError, match="has no domains"):
        loaded.predict(exported / "photo.png", domain="indoor")
    with pytest.raises(ValueError, match="float32"):
        loaded.predict(np.zeros((4, 4, 3), np.float32))
    with pytest.raises(ValueError, match="cannot be read"):
        loaded.predict(exported / "model.onnx")
    assert (
        json.loads((exported / "model.onnx.json").read_text())["preprocessing"]
        == (loaded.engine.metadata["preprocessing"])
    )


def test_pictures_are_regular_files_of_a_decent_size(exported, tmp_path):
    loaded = runtime.load(exported)
    os.mkfifo(tmp_path / "pipe.png")
    Image.new("1", (9000, 9000)).save(tmp_path / "large.png")
    Image.fromarray(np.zeros((8, 8), np.uint16)).save(tmp_path / "deep.tif")
    for name, told in (
        ("pipe.png", "there is no file"),
        ("large.png", "9000x9000 pixels, more than 80,000,000"),
        ("deep.tif", "it has 16 bits per channel"),
    ):
        with pytest.raises(ValueError, match=told):
            loaded.predict(tmp_path / name)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("kind", "metre"), ("domains", ["indoor"]), ("preprocessing", []), ("preprocessing", {"size": 20_000}),
        ("preprocessing", {"size": 0}), ("preprocessing", {"multiple": 10**6}), ("preprocessing", {"std": [0, 0, 0]}),
        ("preprocessing", {"mean": [math.nan] * 3}), ("preprocessing", {"mean": [0.5]}),
    ],
)  # fmt: skip
def test_what_a_file_says_of_itself_is_checked(exported, key, value):
    about = json.loads((exported / "model.onnx.json").read_text())
    check_about(exported / "model.onnx", about)
    changed = about[key] | value if isinstance(value, dict) else value
    with pytest.raises(ValueError, match=f"says semidepth.{key} = "):
        check_about(exported / "model.onnx", about | {key: changed})
