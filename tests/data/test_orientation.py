"""Photos with an EXIF orientation and their labels: both end in the same frame."""

from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset, Features, Value
from datasets import Image as Cell
from PIL import Image
from sample_files import encoded, npy, write_tar
from test_decoding import UPRIGHT

from semidepth.data.decoding import decode_image
from semidepth.data.depth_coding import DepthCoding
from semidepth.data.depth_decoding import decode_depth
from semidepth.data.orientation import turn_upright
from semidepth.data.source_spec import parse_source
from semidepth.data.streaming.loading import evaluation_samples

STORED = (np.arange(40)[:, None] * 4 + np.arange(64)).astype(np.uint16)  # 0 to 219, rising right and down
LABEL = STORED + 1
SWAPS = (5, 6, 7, 8)


def photo(orientation: int, format: str = "JPEG") -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = np.repeat(STORED.astype(np.uint8)[..., None], 3, -1)
    options = {"quality": 98} if format == "JPEG" else {}
    return encoded(pixels, format, exif=exif, **options)


def agree(sample: dict) -> bool:
    """True if depth equals the gray value that it was made from, but for what a lossy format changes."""
    return bool((sample["depth"] - 1 - sample["image"][0]).abs().max() <= 8)


def write_rows(path: Path, image: bytes, label: bytes, **columns: list[float]) -> None:
    """A parquet file of one row."""
    cells = {"image": [{"bytes": image, "path": None}], "depth": [{"bytes": label, "path": None}]}
    features = {"image": Cell(), "depth": Cell()} | dict.fromkeys(columns, Value("float64"))
    Dataset.from_dict(cells | columns, features=Features(features)).to_parquet(path)


def only_sample(spec: object) -> dict:
    (sample,) = evaluation_samples([parse_source(str(spec))])
    return sample


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_arrays_are_turned_as_the_standard_says(orientation):
    turned = turn_upright(torch.from_numpy(STORED.astype(np.float32)), orientation)
    np.testing.assert_array_equal(turned.numpy(), UPRIGHT[orientation](STORED))


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_a_label_that_lies_as_the_stored_pixels_is_turned_with_them(tmp_path, orientation, format):
    (tmp_path / f"a.{format.lower()}").write_bytes(photo(orientation, format=format))
    (tmp_path / "a_depth.npy").write_bytes(npy(STORED.astype(np.float32) % 256 + 1))
    if format == "WEBP":  # no decoder gives back what was put in
        assert (
            np.corrcoef(*(only_sample(tmp_path)[key].flatten()[: 64 * 40] for key in ("image", "depth")))[0, 1] > 0.99
        )
    else:
        assert agree(only_sample(tmp_path))


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("frame", ["stored", "upright"])
@pytest.mark.parametrize("kind", ["folder", "parquet", "tar"])
def test_the_option_says_how_labels_lie_wherever_they_are(tmp_path, orientation, frame, kind):
    label = encoded(np.ascontiguousarray(LABEL if frame == "stored" else UPRIGHT[orientation](LABEL)))
    image = photo(orientation)
    if kind == "folder":
        (tmp_path / "a.jpg").write_bytes(image)
        (tmp_path / "a_depth.png").write_bytes(label)
    elif kind == "tar":
        write_tar(tmp_path / "a.tar", {"a.jpg": image, "a.depth.png": label})
    else:
        cells = {"image": [{"bytes": image, "path": None}], "depth": [{"bytes": label, "path": None}]}
        Dataset.from_dict(cells, features=Features({"image": Cell(), "depth": Cell()})).to_parquet(
            tmp_path / "a.parquet"
        )
    sample = only_sample(f"{tmp_path}?depth_scale=1&label_frame={frame}")
    assert agree({**sample, "depth": (sample["depth"] - 1) % 256 + 1})


@pytest.mark.parametrize("orientation", SWAPS)
@pytest.mark.parametrize("half", [1, 2])
def test_the_shape_of_a_label_says_how_it_lies(tmp_path, orientation, half):
    """Of portrait photos, which are the most: a label of the other aspect ratio was skipped."""
    for name, turn in (("stored", UPRIGHT[1]), ("upright", UPRIGHT[orientation])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.jpg").write_bytes(photo(orientation))
        label = turn(LABEL.astype(np.float32))[::half, ::half]
        (tmp_path / name / "a_depth.npy").write_bytes(npy(label))
        sample = only_sample(tmp_path / name)
        assert agree(sample)


@pytest.mark.parametrize("orientation", [3, 6])
def test_pseudo_labels_lie_as_the_teacher_saw_the_photo(tmp_path, orientation):
    label = encoded(np.ascontiguousarray(UPRIGHT[orientation](LABEL)))
    write_rows(tmp_path / "a.parquet", photo(orientation), label, depth_scale=[1.0], depth_shift=[0.0])
    assert agree(only_sample(tmp_path))


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_a_label_with_an_orientation_of_its_own(tmp_path, orientation, format):
    exif = Image.Exif()
    exif[0x0112] = orientation
    label = encoded(LABEL, format, exif=exif)
    np.testing.assert_array_equal(decode_depth(label, DepthCoding(scale=1.0)).numpy(), UPRIGHT[orientation](LABEL))
    (tmp_path / "a.jpg").write_bytes(photo(orientation))
    (tmp_path / f"a_depth.{format.lower()}").write_bytes(label)
    assert agree(only_sample(f"{tmp_path}?depth_scale=1"))


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_maps_of_other_tools_are_upright_unless_said(tmp_path, orientation):
    """As OpenCV and the pipelines of transformers turn what they read."""
    for folder in ("photos", "maps", "sensor"):
        (tmp_path / folder).mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(photo(orientation))
    np.save(tmp_path / "maps" / "a.npy", UPRIGHT[orientation](LABEL.astype(np.float32)))
    np.save(tmp_path / "sensor" / "a.npy", LABEL.astype(np.float32))
    assert agree(only_sample(f"{tmp_path}/maps?images={tmp_path}/photos"))
    assert agree(only_sample(f"{tmp_path}/sensor?images={tmp_path}/photos&label_frame=stored"))


def test_predictions_and_labels_have_one_frame():
    """What predict writes for a photo is upright, as is what training sees."""
    for orientation in UPRIGHT:
        assert decode_image(photo(orientation)).shape[1:] == UPRIGHT[orientation](STORED).shape
