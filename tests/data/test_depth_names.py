"""Names that say depth, in the spellings of known data sets."""

import pytest

from semidepth.data.depth_names import says_depth


@pytest.mark.parametrize(
    "name",
    [
        "depth", "Depth", "depths", "depth_0001", "sync_depth_00012.png", "proj_depth", "groundtruth_depth", "a_Depth",
        "a.depth", "depth.png", "sceneDepth01", "DEPTH", "depthmap", "depth_map", "depth_mm", "frame.0000.depth_meters",
        "left_disparity", "disp", "Disparity", "photo-depth", "gt_depth.npy", "20240101_depth_color",
    ],
)  # fmt: skip
def test_depth(name):
    assert says_depth(name)


@pytest.mark.parametrize(
    "name",
    [
        "", "0001", "image", "photo.jpg", "rgb_0001", "depth_confidence", "depth_mask", "depth_scale", "depth_of_field",
        "depth_selection", "nyu_depth_v2", "indepth_talk", "display", "dispatch", "deep", "predepths", "map", "left",
    ],
)  # fmt: skip
def test_no_depth(name):
    assert not says_depth(name)


def test_of_one_kind():
    assert says_depth("gt_depth", "depth")
    assert not says_depth("gt_depth", "disparity")
    assert says_depth("disp_left", "disparity")
    assert not says_depth("disp_left", "depth")
