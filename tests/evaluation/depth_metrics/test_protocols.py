"""Protocols of metric evaluation: each crop and cap on hand-made arrays."""

import pytest
import torch

from semidepth.evaluation.depth_metrics.formulas import metres_scores
from semidepth.evaluation.depth_metrics.protocols import PROTOCOLS, find_protocol


def test_the_eigen_crop_is_taken_literally():
    mask = find_protocol("nyu").mask(480, 640)
    assert mask.sum() == (471 - 45) * (601 - 41)
    assert mask[45, 41]
    assert mask[470, 600]
    assert not mask[44, 41]
    assert not mask[45, 40]
    assert not mask[471, 300]
    assert not mask[300, 601]


def test_the_garg_crop_is_a_share_of_the_map():
    """Rows 143 to 349 and columns 43 to 1172 of KITTI's 352 x 1216, by hand."""
    mask = find_protocol("kitti").mask(352, 1216)
    rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
    assert (rows.min(), rows.max()) == (143, 348)
    assert (columns.min(), columns.max()) == (43, 1171)
    assert mask.sum() == (349 - 143) * (1172 - 43)


def test_the_benchmark_crop_is_at_the_bottom_in_the_middle():
    maps = torch.arange(375 * 1242).view(1, 375, 1242)
    cut = find_protocol("kitti").cut(maps)
    assert cut.shape == (1, 352, 1216)
    assert cut[0, 0, 0] == 23 * 1242 + 13
    assert cut[0, -1, -1] == 374 * 1242 + 13 + 1215
    assert find_protocol("ddad").cut(maps) is maps
    with pytest.raises(ValueError, match="cuts 352 x 1216 pixels and a map has 100 x 1300"):
        find_protocol("vkitti2").cut(torch.zeros(1, 100, 1300))


@pytest.mark.parametrize(
    ("name", "crop", "max_depth_m"),
    [
        ("nyu", "eigen", 10.0), ("sunrgbd", "eigen", 8.0), ("ibims", "eigen", 10.0), ("diode_indoor", "eigen", 10.0),
        ("hypersim", "eigen", 80.0), ("kitti", "garg", 80.0), ("vkitti2", "garg", 80.0), ("ddad", "garg", 80.0),
        ("diml_outdoor", "garg", 80.0), ("diode_outdoor", "garg", 80.0), ("none", None, None),
    ],
)  # fmt: skip
def test_the_table(name, crop, max_depth_m):
    protocol = PROTOCOLS[name]
    assert (protocol.crop, protocol.max_depth_m, protocol.min_depth_m) == (crop, max_depth_m, 1e-3)
    assert protocol.kb_crop == (name in ("kitti", "vkitti2"))


def test_caps_leave_labels_out_and_clamp_predictions():
    """Of labels 5, 9 and 12 m with a cap of 10, two count; a prediction of 40 m counts as 10."""
    protocol = find_protocol("nyu")
    scores = metres_scores(
        torch.tensor([[[5.0, 40.0, 12.0]]]),
        torch.tensor([[[5.0, 9.0, 12.0]]]),
        max_depth_m=protocol.max_depth_m,
        min_depth_m=protocol.min_depth_m,
    )
    assert scores["abs_rel"].item() == pytest.approx((0 + 1 / 9) / 2)
    assert scores["delta1"].item() == 1


def test_an_unknown_protocol_is_refused():
    with pytest.raises(ValueError, match=r"'nyuv2' is not known; choose one of nyu, "):
        find_protocol("nyuv2")
