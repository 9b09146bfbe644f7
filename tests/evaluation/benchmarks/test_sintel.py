"""Sintel: which frames, the .dpt format byte by byte, and what is said of missing or broken files."""

import math
import pickle
import struct

import pytest
import torch
from benchmark_folders import assert_metres, picture, touch, write, write_image

from semidepth.evaluation.benchmarks import open_benchmark
from semidepth.evaluation.benchmarks.sintel import SCENES

FIRST = "training/depth/alley_1/frame_0001.dpt"


@pytest.fixture
def root(tmp_path):
    frames = [f"{scene}/frame_{n:04}" for scene, count in SCENES.items() for n in range(1, count + 1)]
    return touch(tmp_path, [f"training/{end}" for f in frames for end in (f"final/{f}.png", f"depth/{f}.dpt")])


def dpt(width: int, height: int, *values: float) -> bytes:
    return struct.pack(f"<fii{len(values)}f", 202021.25, width, height, *values)


def test_all_frames_with_depth_in_order_without_reading_any(root):
    frames = open_benchmark("sintel", root)
    assert len(frames) == 1064  # MiDaS, arXiv 1907.01341
    assert len(SCENES) == 23
    assert frames.frames[0] == "alley_1/frame_0001"
    assert frames.frames[49:51] == ["alley_1/frame_0050", "alley_2/frame_0001"]
    assert frames.frames[-1] == "temple_3/frame_0050"
    assert len(set(frames.frames)) == 1064
    assert (frames.relative_max_depth_m, frames.protocol, frames.domain) == (72.0, "none", "")


def test_depth_is_rows_of_float32_after_tag_width_and_height(root):
    write_image(root / "training/final/alley_1/frame_0001.png", picture(2, 3))
    write(root / FIRST, dpt(3, 2, 0.5, 1.25, 71.0, 0.0, -1.0, 100.0))
    # What the format looks like on disk: the tag is 202021.25 = 0x48454950, "PIEH".
    assert (root / FIRST).read_bytes()[:16] == b"PIEH\x03\0\0\0\x02\0\0\0\x00\x00\x00\x3f"
    sample = open_benchmark("sintel", root).read(0)
    assert_metres(sample["depth"], [[0.5, 1.25, 71.0], [math.nan, math.nan, 100.0]])
    assert sample["depth"].dtype == torch.float32
    assert torch.equal(sample["image"], torch.from_numpy(picture(2, 3)).permute(2, 0, 1))
    assert (sample["origin"], sample["domain"]) == ("sintel/alley_1/frame_0001", "")


def test_a_set_can_be_handed_to_another_process(root):
    write_image(root / "training/final/alley_1/frame_0001.png", picture(1, 2))
    write(root / FIRST, dpt(2, 1, 3.0, 4.0))
    copy = pickle.loads(pickle.dumps(open_benchmark("sintel", root)))
    assert_metres(copy.read(0)["depth"], [[3.0, 4.0]])


def test_the_final_pass_is_shown(root):
    write_image(root / "training/final/alley_1/frame_0001.png", picture(1, 1))
    write_image(root / "training/clean/alley_1/frame_0001.png", picture(1, 1) * 0)
    write(root / FIRST, dpt(1, 1, 2.0))
    assert open_benchmark("sintel", root).read(0)["image"].flatten().tolist() == [0, 0, 200]


def test_missing_files_are_counted_and_one_is_named(root):
    (root / "training/depth/bamboo_1/frame_0007.dpt").unlink()
    (root / "training/final/cave_4/frame_0050.png").unlink()
    said = r"^2 of 2128 files of sintel are missing .*bamboo_1/frame_0007\.dpt; expected is training/final/<scene>"
    with pytest.raises(ValueError, match=said):
        open_benchmark("sintel", root)
    with pytest.raises(ValueError, match=r"nowhere is not a folder; sintel is expected there as training/final"):
        open_benchmark("sintel", root / "nowhere")


def test_broken_depth_is_named(root):
    write_image(root / "training/final/alley_1/frame_0001.png", picture(2, 3))
    sintel = open_benchmark("sintel", root)
    for content, said in (
        (dpt(3, 2, *range(1, 6)), "has 32 bytes where 3x2 pixels of depth need 36"),
        (dpt(3, 2, *range(1, 8)), "has 40 bytes where 3x2 pixels of depth need 36"),
        (b"", "is no Sintel depth"),
        (struct.pack("<fii", 1.0, 1, 1), "is no Sintel depth"),
        (struct.pack(">fiif", 202021.25, 1, 1, 2.0), "is no Sintel depth"),
        (dpt(-1, -1, 2.0), "is no Sintel depth"),
        (dpt(2, 3, *range(1, 7)), "has depth of 2x3 and its image has 3x2"),
    ):
        write(root / FIRST, content)
        with pytest.raises(ValueError, match=rf"alley_1/frame_0001\.dpt {said}"):
            sintel.read(0)


def test_a_broken_image_is_named(root):
    write_image(root / "training/final/alley_1/frame_0001.png", picture(20, 30))
    file = root / "training/final/alley_1/frame_0001.png"
    file.write_bytes(file.read_bytes()[:-40])
    write(root / FIRST, dpt(30, 20, *range(1, 601)))
    with pytest.raises(ValueError, match=r"frame_0001\.png cannot be decoded as an image"):
        open_benchmark("sintel", root).read(0)
