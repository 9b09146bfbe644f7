"""The type of labels: what the option says, what a source is, and else what its samples look like."""

import numpy as np
import pytest
import torch
from sample_files import depth_mm, encoded, picture, write_images, write_parquet

from semidepth.data.pseudo_labels import LabelFolder, LabelRecord
from semidepth.data.source_spec import parse_source, parse_sources
from semidepth.data.streaming.loading import BatchLoader
from semidepth.data.streaming.plan import StreamPlan
from semidepth.evaluation.labels.label_types import find_label_type, share_with_neighbors, with_label_types


def write_pairs(folder, keep) -> str:
    """Two images with depth in millimetres, 0 where `keep` (a function of row and column) is False."""
    folder.mkdir()
    for number in range(2):
        depth = depth_mm(number)
        rows, columns = np.indices(depth.shape)
        (folder / f"{number}.png").write_bytes(encoded(picture(number)))
        (folder / f"{number}_depth.png").write_bytes(encoded(np.where(keep(rows, columns), depth, 0).astype(np.uint16)))
    return f"{folder}?depth_scale=0.001"


def test_the_share_by_hand():
    # 3 x 4, unknown at one corner: of 9 known pixels with one to their right 8 have it known, and of 8 below 7.
    depth = torch.ones(3, 4)
    depth[2, 3] = torch.nan
    assert share_with_neighbors(depth) == pytest.approx(7 / 8)
    depth[:, ::2] = torch.nan
    assert share_with_neighbors(depth) == 0.0
    assert share_with_neighbors(torch.full((3, 4), torch.inf)) == 1.0  # sky is known
    assert share_with_neighbors(torch.full((3, 4), torch.nan)) == 0.0


@pytest.mark.parametrize(
    ("name", "keep", "expected"),
    [
        ("whole", lambda i, j: i >= 0, "dense"),
        ("holes", lambda i, j: (i * 7 + j * 3) % 11 > 0, "dense"),
        ("object", lambda i, j: (i < 12) & (j < 12), "dense"),  # few pixels, but together
        ("scattered", lambda i, j: (i * 7 + j * 3) % 11 == 0, "sparse"),
        ("lidar", lambda i, j: i % 3 == 0, "sparse"),  # rows with nothing between
    ],
)
def test_files_are_looked_at(tmp_path, name, keep, expected):
    labels, reason = find_label_type(parse_source(write_pairs(tmp_path / name, keep)))
    assert labels == expected
    assert "have a known neighbour" in reason


def test_what_is_known_is_not_looked_at(tmp_path, caplog):
    caplog.set_level("INFO", logger="semidepth")
    sparse = write_pairs(tmp_path / "lidar", lambda i, j: i % 3 == 0)
    sources = parse_sources([
        "scenes:indoor?count=4", f"{sparse}&labels=dense", sparse, f"{sparse}&invariant=affine&kind=disparity",
    ])  # fmt: skip
    found = with_label_types(sources)
    assert [source.labels for source in found] == ["synthetic", "dense", "sparse", "pseudo"]
    assert [source.spec for source in found] == [source.spec for source in sources]
    for source, word in zip(sources, ("rendered", "option", "neighbour", "invariant"), strict=True):
        line = next(line for line in caplog.messages if line.startswith(f"labels of {source.spec}: "))
        assert word in line
    # By the record that we write, wherever in the set a source points.
    folder = LabelFolder(str(tmp_path / "set"))
    folder.begin(LabelRecord("t", "r", [], [], "", [], [], 5, 48))
    write_parquet(tmp_path / "set" / "data" / "a.parquet", range(2))
    assert find_label_type(parse_source(str(tmp_path / "set")))[0] == "pseudo"


def test_an_unknown_type_is_refused(tmp_path):
    with pytest.raises(ValueError, match="labels must be one of synthetic, dense, pseudo, sparse"):
        parse_source(f"{write_images(tmp_path / 'a', range(1))}?labels=lidar")


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_carry_the_type_of_each_label(tmp_path, workers):
    sources = with_label_types(
        parse_sources([write_pairs(tmp_path / "a", lambda i, j: i >= 0), "scenes:indoor?count=2"])
    )
    plan = StreamPlan(tuple(sources), labeled=True, size=16, repeat=True)
    batch = next(iter(BatchLoader(plan, batch_size=4, num_workers=workers)))
    expected = ["synthetic" if origin.startswith("scenes") else "dense" for origin in batch["origin"]]
    assert batch["labels"] == expected
    assert set(expected) == {"synthetic", "dense"}
    plan = StreamPlan(tuple(parse_sources(["scenes:indoor?count=2"])), labeled=False, size=16, repeat=True)
    assert "labels" not in next(iter(BatchLoader(plan, batch_size=2, num_workers=workers)))
