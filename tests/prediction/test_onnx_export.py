"""ONNX files against torch: any batch and size, per-image domains, metadata, nothing half-written."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import tiny
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F
from transformers import AutoImageProcessor, set_seed

from semidepth import runtime
from semidepth.modeling import DepthStudentForDepthEstimation, RoutedDepthConfig, RoutedDepthForDepthEstimation
from semidepth.prediction.depth_maps import predict
from semidepth.prediction.runtimes import graphs
from semidepth.prediction.runtimes import onnx as onnx_export
from semidepth.prediction.runtimes.graphs import resize_weights
from semidepth.prediction.runtimes.onnx import export_onnx

# (batch, height, width): square as trained, not square, more than trained, one patch; none is the export's.
SIZES = [(1, 48, 48), (2, 48, 48), (3, 24, 80), (2, 96, 56), (1, 8, 16)]
ROOMS = {"name": "indoor", "n_bins": 16, "min_depth_m": 0.1, "max_depth_m": 10.0}
STREETS = {"name": "outdoor", "n_bins": 24, "min_depth_m": 0.5, "max_depth_m": 80.0, "bin_centers_type": "normed"}
SMALL = {
    "bin_embedding_dim": 16, "seed_hidden_size": 16, "projector_hidden_size": 16, "num_attractors": [4, 3, 2, 1],
    "router_hidden_size": 16, "router_layers": 1, "router_heads": 2, "router_intermediate_size": 32,
}  # fmt: skip


def save(model, folder: Path) -> Path:
    tiny.save_model(model, folder)
    return folder


def student(kind: str) -> DepthStudentForDepthEstimation:
    set_seed(0)
    config = DepthStudentForDepthEstimation.config_for_encoder(tiny.encoder_config(kind), **tiny.DECODER)
    model = DepthStudentForDepthEstimation(config).eval()
    for name, weights in model.backbone.named_parameters():
        if "position_embeddings" in name:  # large enough that a wrong resizing shows
            nn.init.normal_(weights)
    return model


def routed(*domains: dict, **fields) -> RoutedDepthForDepthEstimation:
    model = RoutedDepthForDepthEstimation.from_student(student("dinov2"), list(domains), **(SMALL | fields)).eval()
    model.measure_core_scales(tiny.pixels(4))
    return model


def session_of(file: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])


def assert_near(found: np.ndarray, expected: torch.Tensor) -> None:
    wanted = expected.detach().numpy()
    assert found.shape == wanted.shape
    assert np.ptp(wanted) > 1e-3 * np.abs(wanted).max()  # a constant map would show nothing
    assert np.abs(found - wanted).max() < 1e-4 * np.ptp(wanted)


@pytest.fixture(scope="module")
def registers(tmp_path_factory) -> tuple[Path, DepthStudentForDepthEstimation]:
    """A student whose encoder has register tokens, and its file."""
    folder, model = tmp_path_factory.mktemp("registers"), student("dinov2_with_registers")
    export_onnx(save(model, folder / "student"), folder / "model.onnx")
    return folder, model


def test_every_size_and_batch_with_registers(registers):
    folder, model = registers
    session = session_of(folder / "model.onnx")
    for number, size in enumerate(SIZES):
        pixels = tiny.pixels(*size, seed=number)
        (found,) = session.run(None, {"pixel_values": pixels.numpy()})
        assert_near(found, model(pixels).predicted_depth)


def test_record_metadata_and_what_is_left(registers):
    folder, _ = registers
    assert sorted(path.name for path in folder.iterdir()) == ["model.onnx", "model.onnx.json", "student"]
    record = json.loads((folder / "model.onnx.json").read_text())
    assert record["inputs"] == {"pixel_values": ["batch", 3, "8*rows", "8*columns"]}
    assert record["outputs"] == {"predicted_depth": ["batch", "8*rows", "8*columns"]}
    assert record["dynamic"] == ["batch", "8*rows", "8*columns"]
    assert record["files"] == {"model.onnx": (folder / "model.onnx").stat().st_size}
    assert {entry["batch"] for entry in record["differences"]} == {1, 2, 3}
    assert len({(entry["height"], entry["width"]) for entry in record["differences"]}) == 5
    assert all(entry["difference"] < 1e-4 for entry in record["differences"])
    model = onnx.load(folder / "model.onnx")
    onnx.checker.check_model(model)
    assert [entry.version for entry in model.opset_import if entry.domain == ""] == [record["opset"]] == [18]
    metadata = {entry.key: json.loads(entry.value) for entry in model.metadata_props}
    assert metadata["semidepth.kind"] == "inverse_depth"
    assert metadata["semidepth.domains"] == []
    assert metadata["semidepth.preprocessing"] == {
        "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "size": 48, "multiple": 8,
    }  # fmt: skip
    assert b".py" not in (folder / "model.onnx").read_bytes()  # nothing tells where this machine keeps its code


def test_the_docs_example(registers):
    folder, model = registers
    block = re.search(r"```python\n(import json.*?)```", Path("docs/export.md").read_text(), re.DOTALL)
    assert block is not None
    soft = Image.fromarray(np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)).resize((70, 50))
    soft.save(folder / "photo.jpg")
    code = block[1] + "\nnp.save('depth.npy', depth)\n"
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith("inverse_depth (50, 70)")
    photo = Image.open(folder / "photo.jpg")
    pixels = AutoImageProcessor.from_pretrained(folder / "student")(images=photo, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        expected = model(pixels).predicted_depth[:, None]
    expected = F.interpolate(expected, (50, 70), mode="bilinear")[0, 0].numpy()
    found = np.load(folder / "depth.npy")
    # The two resizings of the photo round to other 8-bit values.
    assert np.abs(found - expected).mean() < 0.02 * np.ptp(expected)
    for name in ("photo.jpg", "depth.npy"):
        (folder / name).unlink()


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_the_docs_example_is_the_librarys_map_of_a_turned_photo(registers, orientation):
    folder, _ = registers
    block = re.search(r"```python\n(import json.*?)```", Path("docs/export.md").read_text(), re.DOTALL)
    soft = Image.fromarray(np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)).resize((70, 50))
    exif = Image.Exif()
    exif[0x0112] = orientation
    soft.save(folder / "photo.jpg", exif=exif)
    done = subprocess.run(
        [sys.executable, "-c", block[1] + "\nnp.save('depth.npy', depth)\n"], cwd=folder, check=False,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    found, expected = np.load(folder / "depth.npy"), predict(folder / "photo.jpg", str(folder / "student")).values
    assert found.shape == expected.shape == ((70, 50) if orientation > 4 else (50, 70))
    assert np.abs(found - expected).mean() < 0.02 * np.ptp(expected)
    for name in ("photo.jpg", "depth.npy"):
        (folder / name).unlink()


@pytest.mark.slow
def test_dinov3_with_weights_beside_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_export, "INLINE_BYTES", 1000)  # as if it were larger than 2 GB
    model = student("dinov3_vit")
    record = export_onnx(save(model, tmp_path / "student"), tmp_path / "there" / "model.onnx")
    assert set(record["files"]) == {"model.onnx", "model.onnx.data"}
    assert record["files"]["model.onnx.data"] > 4 * sum(weights.numel() for weights in model.parameters()) * 0.9
    elsewhere = (tmp_path / "there").rename(tmp_path / "elsewhere")
    session = session_of(elsewhere / "model.onnx")
    for number, size in enumerate(SIZES):
        pixels = tiny.pixels(*size, seed=number)
        (found,) = session.run(None, {"pixel_values": pixels.numpy()})
        assert_near(found, model(pixels).predicted_depth)


@pytest.mark.slow
def test_stock_depth_anything_in_metres_with_another_opset(tmp_path):
    model = tiny.stock_model(tiny.stock_config(depth_estimation_type="metric", max_depth=20))
    nn.init.constant_(model.head.conv3.bias, 0.0)
    record = export_onnx(save(model, tmp_path / "stock"), tmp_path / "model.onnx", opset=20)
    assert (record["kind"], record["opset"]) == ("metres", 20)
    session = session_of(tmp_path / "model.onnx")
    for number, size in enumerate(SIZES):
        pixels = tiny.pixels(*size, seed=number)
        (found,) = session.run(None, {"pixel_values": pixels.numpy()})
        assert_near(found, model(pixels).predicted_depth)
        assert 0 <= found.min() <= found.max() <= 20


@torch.no_grad()
@pytest.mark.slow
def test_one_domain(tmp_path):
    model = routed(STREETS, attractor_kind="sum", relative_conditioning=True)
    record = export_onnx(save(model, tmp_path / "metric"), tmp_path / "model.onnx")
    assert record["outputs"] == {"predicted_depth": ["batch", "8*rows", "8*columns"]}
    assert record["domains"] == [{"name": "outdoor", "min_depth_m": 0.5, "max_depth_m": 80.0}]
    session = session_of(tmp_path / "model.onnx")
    for number, size in enumerate(SIZES):
        pixels = tiny.pixels(*size, seed=number)
        (found,) = session.run(None, {"pixel_values": pixels.numpy()})
        assert_near(found, model(pixels).predicted_depth)


@torch.no_grad()
def test_each_image_of_a_batch_goes_its_own_way(tmp_path):
    model = routed(ROOMS, STREETS)
    pixels = tiny.pixels(6, 40, 72) + torch.linspace(-3, 3, 6).view(-1, 1, 1, 1)
    # A fresh router likes one domain: move its threshold between these images.
    assert model.router is not None
    ahead = model(pixels).domain_logits.diff(dim=1)
    model.router.linear2.bias[1] -= ahead.quantile(0.5)
    export_onnx(save(model, tmp_path / "metric"), tmp_path / "model.onnx")
    session = session_of(tmp_path / "model.onnx")
    names = [output.name for output in session.get_outputs()]
    assert names == ["predicted_depth", "domain_logits", "domain", "depth_by_domain"]

    expected = model(pixels)
    depth, logits, domain, by_domain = session.run(names, {"pixel_values": pixels.numpy()})
    assert set(domain) == {0, 1}
    assert domain.tolist() == expected.domain.tolist()
    assert_near(depth, expected.predicted_depth)
    assert np.abs(logits - expected.domain_logits.numpy()).max() < 1e-4
    loaded, photo = runtime.load(tmp_path), np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    for head, name in enumerate(loaded.domains):
        values, unit = loaded.predict(photo, domain=name)
        assert unit == "m"
        assert_near(values, torch.from_numpy(predict(photo, str(tmp_path / "metric"), domain=name).values))
        assert loaded.domains[head] == model.config.domains[head]["name"]
    with pytest.raises(ValueError, match="has indoor, outdoor"):
        loaded.predict(photo, domain="space")
    for head in (0, 1):
        assert_near(by_domain[:, head], model(pixels, domain_labels=[head] * 6).predicted_depth)
    for index in range(6):
        alone = session.run(names, {"pixel_values": pixels[index : index + 1].numpy()})
        assert alone[2][0] == domain[index]
        assert np.abs(alone[0][0] - depth[index]).max() < 1e-5 * np.ptp(depth[index])
    for number, size in enumerate(SIZES):
        pixels = tiny.pixels(*size, seed=number)
        by_domain = session.run(["depth_by_domain"], {"pixel_values": pixels.numpy()})[0]
        for head in (0, 1):
            assert_near(by_domain[:, head], model(pixels, domain_labels=[head] * size[0]).predicted_depth)


def test_wrong_numbers_get_no_name_and_the_old_file_stays(tmp_path, monkeypatch):
    # torch's own export of antialiased resizing holds for the example's size alone.
    monkeypatch.setattr(onnx_export, "followable", graphs.contextlib.nullcontext)
    folder = save(student("dinov2_with_registers"), tmp_path / "student")
    (tmp_path / "model.onnx").write_text("an older one")
    with pytest.raises(ValueError, match=r"nothing was written"):
        export_onnx(folder, tmp_path / "model.onnx")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.onnx", "student"]
    assert (tmp_path / "model.onnx").read_text() == "an older one"


@pytest.mark.parametrize(("source", "target"), [(6, 3), (6, 5), (6, 6), (6, 13), (37, 1), (37, 14), (5, 64)])
def test_antialiased_resizing_as_a_matrix(source, target):
    values = torch.randn(1, 2, source, 4, generator=torch.Generator().manual_seed(0))
    expected = F.interpolate(values, (target, 4), mode="bicubic", align_corners=False, antialias=True)
    weights = resize_weights(torch.arange(target, dtype=torch.float32), source)
    assert torch.allclose(weights @ values, expected, atol=1e-5)


def test_refusals_say_what_to_do(tmp_path, monkeypatch):
    file = tmp_path / "model.onnx"
    folder = save(student("dinov2"), tmp_path / "student")
    with pytest.raises(ValueError, match=r"opset is 17; give a whole number from 18 to 23\."):
        export_onnx(folder, file, opset=17)
    midas = save(
        RoutedDepthForDepthEstimation(RoutedDepthConfig(core_config=tiny.zoedepth_config())), tmp_path / "midas"
    )
    with pytest.raises(ValueError, match=r"MiDaS core of stock ZoeDepth, .*; export a metric model on a student\."):
        export_onnx(midas, file)
    with pytest.raises(ValueError, match="could not be loaded"):
        export_onnx(tmp_path / "nothing", file)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ValueError, match=r"package onnxruntime; install it: pip install 'semidepth\[onnx\]'\."):
        export_onnx(folder, file)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["midas", "student"]
