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


# What a stranger's process without torch says. In one process with torch, trainings and a browser's driver behind it,
# OpenVINO has crashed now and then; alone it never did.
CODE = """
import sys
class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision", "transformers"):
            raise ImportError(name + " must not be imported")
sys.meta_path.insert(0, NoTorch())
import json
from pathlib import Path
import numpy as np
from semidepth import runtime
try:
    import torch
except ImportError:
    pass
else:
    sys.exit("torch was there")
folder = Path(sys.argv[1])
photo, damaged = folder / "photo.png", folder / "damaged.onnx"
damaged.write_bytes((folder / "model.onnx").read_bytes()[:5000])
found = {}
for name, wanted in {
    "onnx": {"runtime": "onnx"}, "openvino": {"runtime": "openvino"},
    "one_thread": {"runtime": "openvino", "threads": 1},
    "bfloat16": {"runtime": "openvino", "precision": "bfloat16"},
}.items():
    loaded = runtime.load(folder / "model.onnx" if name == "one_thread" else folder, **wanted)
    found[name], unit = loaded.predict(photo)
    assert unit == "inverse depth", unit
np.savez(folder / "found.npz", **found)
metadata = loaded.engine.metadata["preprocessing"]
loaded = runtime.load(folder)
(folder / "empty").mkdir()
said = {}
for name, call in {
    "no file": lambda: runtime.load(folder / "empty"),
    "no graph": lambda: runtime.load(photo),
    "no such runtime": lambda: runtime.load(folder / "model.onnx", runtime="tensorrt"),
    "precision": lambda: runtime.load(folder / "model.onnx", runtime="onnx", precision="bfloat16"),
    "damaged, onnx": lambda: runtime.load(damaged),
    "damaged, openvino": lambda: runtime.load(damaged, runtime="openvino"),
    "domain": lambda: loaded.predict(photo, domain="indoor"),
    "kind of values": lambda: loaded.predict(np.zeros((4, 4, 3), np.float32)),
    "no photo": lambda: loaded.predict(folder / "model.onnx"),
    "pipe": lambda: loaded.predict(folder / "pipe.png"),
    "large": lambda: loaded.predict(folder / "large.png"),
    "deep": lambda: loaded.predict(folder / "deep.tif"),
}.items():
    try:
        call()
    except ValueError as error:
        said[name] = str(error)
assert not any(name.split(".")[0] == "torch" for name in sys.modules)
print(json.dumps({"said": said, "preprocessing": metadata}))
"""


@pytest.fixture(scope="module")
def without_torch(exported) -> dict:
    """What `CODE` prints."""
    os.mkfifo(exported / "pipe.png")
    Image.new("1", (9000, 9000)).save(exported / "large.png")
    Image.fromarray(np.zeros((8, 8), np.uint16)).save(exported / "deep.tif")
    done = subprocess.run([sys.executable, "-c", CODE, exported], capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.returncode, done.stderr[-2000:])
    return json.loads(done.stdout)


def test_predicts_as_torch_does(exported, without_torch):
    expected = predict(exported / "photo.png", exported / "student", device="cpu")
    with np.load(exported / "found.npz") as found:
        for name in ("onnx", "openvino", "one_thread"):
            values = found[name]
            assert expected.unit == "inverse depth"
            assert values.shape == (150, 110)
            assert values.dtype == np.float32
            # Pillow rounds to 8 bits twice, once for each axis.
            assert near(values, expected.values, 0.01)
            assert np.abs(values - expected.values).mean() < 1e-3 * np.ptp(expected.values)
        assert near(found["bfloat16"], found["openvino"], 0.1)


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


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("no file", "there is no file"),
        ("no graph", "neither a .onnx nor a .xml"),
        ("no such runtime", "give 'onnx' or 'openvino'"),
        ("precision", "take the runtime 'openvino'"),
        ("damaged, onnx", "cannot be loaded by onnxruntime"),
        ("damaged, openvino", "cannot be loaded by openvino"),
        ("domain", "has no domains"),
        ("kind of values", "float32"),
        ("no photo", "cannot be read"),
        ("pipe", "there is no file"),
        ("large", "9000x9000 pixels, more than 80,000,000"),
        ("deep", "it has 16 bits per channel"),
    ],
)
def test_wrong_use_is_told(without_torch, name, told):
    assert told in without_torch["said"][name]


def test_the_graph_knows_its_preprocessing(exported, without_torch):
    assert json.loads((exported / "model.onnx.json").read_text())["preprocessing"] == without_torch["preprocessing"]


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
