"""ETH3D: which photos, raw float32 rows on the photo as it is stored, and what is said of missing or broken files."""

import math
import struct

import pytest
import torch
from benchmark_folders import assert_metres, touch, write, write_image
from PIL import Image as Pillow

from semidepth.evaluation.benchmarks import open_benchmark
from semidepth.evaluation.benchmarks.eth3d import SCENES

# Photos of each scene, https://www.eth3d.net/datasets.
COUNTS = {
    "courtyard": 38,
    "delivery_area": 44,
    "electro": 45,
    "facade": 76,
    "kicker": 31,
    "meadow": 15,
    "office": 26,
    "pipes": 14,
    "playground": 38,
    "relief": 31,
    "relief_2": 31,
    "terrace": 23,
    "terrains": 42,
}
PHOTO, DEPTH = "images/dslr_images/DSC_{}.JPG", "ground_truth_depth/dslr_images/DSC_{}.JPG"


@pytest.fixture
def root(tmp_path):
    names = [
        f"{scene}/{part.format(f'{number:04}')}"
        for scene, runs in SCENES.items()
        for first, last in runs
        for number in range(first, last + 1)
        for part in (PHOTO, DEPTH)
    ]
    return touch(tmp_path, names)


def write_photo(path, width, height, orientation=None):
    """Left half black, right half white, in halves so large that JPEG keeps them."""
    photo = Pillow.new("RGB", (width, height), "black")
    photo.paste("white", (width // 2, 0, width, height))
    exif = Pillow.Exif()
    if orientation:
        exif[0x0112] = orientation
    photo.save(path, "JPEG", exif=exif)


def test_all_photos_in_order_without_reading_any(root):
    photos = open_benchmark("eth3d", root)
    assert len(photos) == 454  # MiDaS, arXiv 1907.01341
    found = {scene: sum(frame.startswith(f"{scene}/") for frame in photos.frames) for scene in COUNTS}
    assert found == COUNTS
    assert photos.frames[:2] == ["courtyard/DSC_0286", "courtyard/DSC_0287"]
    assert photos.frames[-1] == "terrains/DSC_0671"
    assert list(photos.frames) == sorted(set(photos.frames))
    assert (photos.relative_max_depth_m, photos.protocol, photos.domain) == (72.0, "none", "")


def test_depth_is_bare_rows_of_the_photos_size(root):
    write_photo(root / "courtyard" / PHOTO.format("0286"), 32, 16)
    values = [float(1 + index) for index in range(32 * 16)]
    values[:3] = [math.inf, 0.0, math.nan]
    write(root / "courtyard" / DEPTH.format("0286"), struct.pack("<512f", *values))
    sample = open_benchmark("eth3d", root).read(0)
    assert sample["depth"].shape == (16, 32)
    assert_metres(sample["depth"][0, :5], [math.nan, math.nan, math.nan, 4.0, 5.0])
    assert sample["depth"][1, 0] == 33.0  # the second row begins after 32 pixels
    assert sample["depth"][15, 31] == 512.0
    assert sample["depth"].dtype == torch.float32
    assert sample["image"].dtype == torch.uint8
    assert (sample["image"][:, 8, 4] < 20).all()
    assert (sample["image"][:, 8, 28] > 235).all()


def test_a_photo_that_is_to_be_shown_upright_stays_on_its_depth(root):
    write_photo(root / "courtyard" / PHOTO.format("0286"), 32, 16, orientation=6)  # a viewer turns it by 90 degrees
    write(root / "courtyard" / DEPTH.format("0286"), struct.pack("<512f", *range(1, 513)))
    sample = open_benchmark("eth3d", root).read(0)
    assert sample["image"].shape == (3, 16, 32)
    assert (sample["image"][:, 8, 28] > 235).all()
    assert sample["depth"][15, 31] == 512.0


def test_each_sample_tells_its_scenes_domain(root):
    photos = open_benchmark("eth3d", root)
    for scene, number in (("courtyard", "0286"), ("office", "0219")):
        write_photo(root / scene / PHOTO.format(number), 1, 1)
        write(root / scene / DEPTH.format(number), struct.pack("<f", 2.0))
    domains = [photos.read(photos.frames.index(f))["domain"] for f in ("courtyard/DSC_0286", "office/DSC_0219")]
    assert domains == ["outdoor", "indoor"]


def test_missing_files_are_counted_and_one_is_named(root):
    for number in range(634, 648):
        (root / "pipes" / DEPTH.format(f"{number:04}")).unlink()
    said = (
        r"^14 of 908 files of eth3d are missing below .*, such as pipes/ground_truth_depth/dslr_images/DSC_0634\.JPG; "
        r"expected is <scene>/images"
    )
    with pytest.raises(ValueError, match=said):
        open_benchmark("eth3d", root)


def test_depth_of_another_size_is_named(root):
    write_photo(root / "courtyard" / PHOTO.format("0286"), 32, 16)
    eth3d = open_benchmark("eth3d", root)
    for floats in (511, 513):
        write(root / "courtyard" / DEPTH.format("0286"), struct.pack(f"<{floats}f", *range(floats)))
        said = rf"dslr_images/DSC_0286\.JPG has {4 * floats} bytes where 32x16 pixels of float32 depth.* need 2048"
        with pytest.raises(ValueError, match=said):
            eth3d.read(0)


def test_a_broken_photo_is_named(root):
    with pytest.raises(ValueError, match=r"courtyard/images/dslr_images/DSC_0286\.JPG cannot be decoded as an image"):
        open_benchmark("eth3d", root).read(0)
    write_image(root / "courtyard" / PHOTO.format("0286"), torch.zeros(4, 4, dtype=torch.uint8).numpy())
    with pytest.raises(ValueError, match=r"DSC_0286\.JPG has pixels of uint8 in the shape \(4, 4\); 8-bit RGB"):
        open_benchmark("eth3d", root).read(0)
