"""Selective re-training divides each source by itself: a kind of images with less stable labels is not left out."""

import numpy as np
import pytest
from sample_files import encoded, picture

from semidepth.data.pseudo_labels import LabelFolder
from semidepth.data.reading.sources import count_samples, open_source
from semidepth.data.source_spec import parse_sources
from semidepth.training.recipes.selection import divide

SOURCES = ("rooms/", "streets/", "one.jpg")


def write_set(folder, *reliabilities: list[float]) -> str:
    """A set with these reliabilities, a list for each source; images are named SOURCE/PLACE."""
    labels = LabelFolder(str(folder))
    for source, values in enumerate(reliabilities):
        rows = [
            {
                "image": {"bytes": encoded(picture(place)), "path": None}, "disparity": {"bytes": b"x", "path": None},
                "depth_scale": 1.0, "depth_shift": 0.0, "reliability": value, "teacher": "t", "teacher_revision": "r",
                "domain": f"{source}/{place}", "origin": "",
            }
            for place, value in enumerate(values)
        ]  # fmt: skip
        half = len(rows) // 2
        labels.write_part(f"labels-{source:02d}-00000-00000.parquet", rows[:half])
        labels.write_part(f"labels-{source:02d}-00000-00001.parquet", rows[half:])
    return str(folder)


def images(specs) -> set[str]:
    found = []
    for source in parse_sources(specs):
        opened = open_source(source, labeled=False)
        rows = [row["domain"] for shard in range(opened.num_shards) for _, row in opened.rows(shard)]
        assert count_samples(source) == len(rows)
        found += rows
    assert len(set(found)) == len(found)
    return set(found)


def test_each_source_is_divided_by_itself(tmp_path, caplog):
    caplog.set_level("INFO", logger="semidepth")
    # All streets are more stable than all rooms: ranked together, the stable half would hold no room.
    labels = write_set(tmp_path / "set", [0.3, 0.1, 0.2, 0.4], [0.9, 0.7, 0.6, 0.8, 0.65], [0.5])
    stable, rest = divide(labels, 0.5, SOURCES)
    # Of five, round(5 / 2) = 2 stay behind; of one, none can.
    assert images(stable) == {"0/0", "0/3", "1/0", "1/1", "1/3", "2/0"}
    assert images(rest) == {"0/1", "0/2", "1/2", "1/4"}
    assert "rooms/: 2 of 4 pseudo labels have a reliability of at least 0.3000" in caplog.text
    assert "streets/: 3 of 5" in caplog.text
    stable, rest = divide(labels, 0.25, SOURCES)
    assert images(stable) == {"0/3", "1/0", "2/0"}


def test_a_share_is_that_of_each_source(tmp_path):
    values = np.random.default_rng(0).permutation(100) / 100
    labels = write_set(tmp_path / "set", [*values / 2], [*values[:40] / 2 + 0.5])
    stable, rest = divide(labels, 0.2, SOURCES)
    chosen = images(stable)
    assert [sum(name.startswith(f"{source}/") for name in chosen) for source in (0, 1)] == [20, 8]
    assert chosen | images(rest) == images([labels])
    assert chosen >= {f"0/{place}" for place in np.argsort(values)[-20:]}


def test_labels_that_cannot_be_divided_are_refused(tmp_path):
    labels = write_set(tmp_path / "set", [0.5, 0.5], [0.7])
    with pytest.raises(ValueError, match=r"--select_reliable .* 3 of 3 images"):
        divide(labels, 0.5, SOURCES)
