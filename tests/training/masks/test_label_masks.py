"""Masks of unlabeled photos: written once, resumed, read back by the sources, and trained on."""

import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import tiny
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from semidepth.data.masks.mask_sets import MaskFolder
from semidepth.data.source_spec import parse_sources
from semidepth.data.streaming.mask_loading import mask_samples
from semidepth.media.run_lengths import decode_run_lengths
from semidepth.modeling import DepthStudentForDepthEstimation
from semidepth.training.label_masks import main
from semidepth.training.recipes.pseudo_label import released

COLORS = np.random.default_rng(3).integers(0, 256, (4, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    """A small student, and seven photos of patches of colour, one of them broken."""
    root = tmp_path_factory.mktemp("cut")
    torch.manual_seed(0)
    config = DepthStudentForDepthEstimation.config_for_encoder(tiny.encoder_config(), **tiny.DECODER)
    tiny.save_model(DepthStudentForDepthEstimation(config), root / "student")
    (root / "photos").mkdir()
    rng = np.random.default_rng(0)
    for number in range(7):
        coarse = COLORS[rng.integers(0, 4, (3, 4))]
        size = (96, 64) if number % 2 else (64, 96)
        picture = np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.NEAREST)).copy()
        picture[::7] //= 2
        Image.fromarray(picture).save(root / "photos" / f"{number}.png")
    (root / "photos/3.png").write_bytes(b"\x89PNG")
    return root


def cut(root, name, *more):
    return main([
        "--teacher", str(root / "student"), "--unlabeled", f"{root}/photos/", "--output", str(root / name),
        "--part_size", "3", "--batch_size", "2", "--num_workers", "0", "--min_stability", "0", "--cpu", "true", *more,
    ])  # fmt: skip


def test_masks_are_written_resumed_and_read_back(setting):
    assert cut(setting, "set", "--json", "true") == 0
    parts = sorted((setting / "set/data").glob("*.parquet"))
    assert len(parts) > 1
    rows = [row for part in parts for row in pq.read_table(part).to_pylist()]
    assert len(rows) == 6  # without the broken one
    times = {part: part.stat().st_mtime_ns for part in parts[1:]}
    before = pq.read_table(parts[0])
    parts[0].unlink()
    assert cut(setting, "set", "--json", "true") == 0
    assert pq.read_table(parts[0]).equals(before)
    assert {part: part.stat().st_mtime_ns for part in parts[1:]} == times

    expected = {}
    for row in rows:
        masks = np.array([decode_run_lengths(each) for each in row["masks"]])
        size = Image.open(setting / "photos" / row["origin"].split("/")[-1]).size
        assert masks.shape[1:] == size[::-1]
        expected[row["image"]["bytes"]] = masks
    for spec in (f"{setting}/set?masks=masks", f"{setting}/set/images?masks=json"):
        found = list(mask_samples(parse_sources([spec])))
        assert sorted(len(each.masks) for each in found) == sorted(len(each) for each in expected.values())
    record = json.loads(next((setting / "set/images").glob("*.json")).read_text())
    first = record["annotations"][0]
    mask = decode_run_lengths(first["segmentation"])
    x, y, width, height = first["bbox"]
    assert mask.sum() == first["area"] == mask[y : y + height, x : x + width].sum()


def test_other_rules_want_another_folder(setting, capsys):
    assert cut(setting, "rules") == 0
    assert cut(setting, "rules", "--depth_weight", "5") == 2
    assert "holds masks with made_from" in capsys.readouterr().err


def test_what_cannot_be(setting, capsys):
    assert cut(setting, "never", "--unlabeled", "scenes:indoor") == 2
    assert "never ends" in capsys.readouterr().err
    assert cut(setting, "areas", "--min_area", "0.8") == 2
    assert "--min_area" in capsys.readouterr().err


def test_ctrl_c_says_how_the_set_is_resumed(tmp_path):
    told = f"run the same command again to resume, finished parts are in {tmp_path}"
    with pytest.raises(KeyboardInterrupt, match=told), released(MaskFolder(str(tmp_path))):
        raise KeyboardInterrupt


def test_a_teacher_whose_features_are_not_finite_is_refused(setting, tmp_path, capsys):
    shutil.copytree(setting / "student", tmp_path / "student")
    weights = load_file(tmp_path / "student/model.safetensors")
    next(weights[name] for name in sorted(weights) if name.startswith("backbone"))[..., 0] = torch.nan
    save_file(weights, tmp_path / "student/model.safetensors", metadata={"format": "pt"})
    words = ["--unlabeled", f"{setting}/photos/", "--output", str(tmp_path / "set"), "--num_workers", "0"]
    assert main(["--teacher", str(tmp_path / "student"), *words, "--cpu", "true"]) == 2
    assert "the teacher's prediction is not finite" in capsys.readouterr().err
    assert not list((tmp_path / "set").glob("data/*"))
