"""Tables: which columns are taken, and what cannot be opened."""

import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, Features, Image
from sample_files import depth_mm, encoded, npy, picture, write_parquet, write_tar

from semidepth.data.reading.tables import count_rows, open_table
from semidepth.data.source_spec import parse_source


def write_columns(path, **columns) -> str:
    pq.write_table(pa.table(columns), path)
    return str(path)


def test_only_needed_columns_are_read_and_none_is_decoded(tmp_path):
    source = parse_source(str(write_parquet(tmp_path / "a.parquet", range(2), "outdoor")))
    table = open_table(source, labeled=True)
    assert (table.image, table.depth, table.domain_names) == ("image", "depth", ("indoor", "outdoor"))
    row = next(iter(table.rows))
    assert row["depth"].to_pylist() == [{"bytes": encoded(depth_mm(0)), "path": None}]
    unlabeled = next(iter(open_table(source, labeled=False).rows))
    assert set(unlabeled.column_names) == {"image", "depth_scale", "domain"}


def test_columns_are_found_by_kind_and_name(tmp_path):
    png = [encoded(picture(0))]
    path = write_columns(
        tmp_path / "a.parquet", rgb=png, depth_scale=[0.1], disparity=[[1.0]], depth_map=[[2.0]], image=png
    )
    assert open_table(parse_source(path), True).depth == "depth_map"
    assert open_table(parse_source(f"{path}?kind=disparity"), True).depth == "disparity"
    named = open_table(parse_source(f"{path}?image=rgb&depth=depth_map"), True)
    assert (named.image, named.depth) == ("rgb", "depth_map")


PNG = [encoded(picture(0))]


@pytest.mark.parametrize(
    ("columns", "options", "chosen"),
    [
        (["image", "depth_confidence", "depth"], "", ("image", "depth")),
        (["depth", "depth_confidence", "rgb", "image"], "", ("image", "depth")),
        (["image", "depth_raw", "Depth"], "", ("image", "Depth")),
        (["image", "depth", "disparity"], "?kind=disparity", ("image", "disparity")),
        (["image", "disparity", "gt_depth"], "", ("image", "gt_depth")),
        (["image", "disparity_confidence", "left_disparity", "depth"], "?kind=disparity", ("image", "left_disparity")),
    ],
)
def test_the_exact_name_wins_wherever_it_stands(tmp_path, columns, options, chosen):
    path = write_columns(tmp_path / "a.parquet", **dict.fromkeys(columns, PNG))
    table = open_table(parse_source(path + options), True)
    assert (table.image, table.depth) == chosen


def test_a_column_of_disparity_is_not_read_as_depth_in_silence(tmp_path):
    path = write_columns(tmp_path / "a.parquet", image=PNG, disparity=PNG)
    with pytest.raises(ValueError, match=r"column disparity .*add kind=disparity"):
        open_table(parse_source(path), True)
    for kind in ("disparity", "depth"):
        assert open_table(parse_source(f"{path}?kind={kind}"), True).depth == "disparity"
    assert open_table(parse_source(f"{path}?depth=disparity"), True).depth == "disparity"


def test_a_number_about_depth_is_no_depth(tmp_path):
    path = write_columns(tmp_path / "a.parquet", image=PNG, depth_mm=[3.5], depth_map=PNG)
    assert open_table(parse_source(path), True).depth == "depth_map"


def test_columns_about_depth_are_not_taken_for_it(tmp_path):
    path = write_columns(tmp_path / "a.parquet", image=PNG, depth_confidence=PNG, depth_mask=PNG)
    with pytest.raises(ValueError, match="no depth column among image, depth_confidence, depth_mask"):
        open_table(parse_source(path), True)


def test_of_several_columns_that_may_be_meant_none_is_taken(tmp_path):
    pictures = Features({name: Image() for name in ("left", "right", "gt_depth", "depth_map")})
    path = tmp_path / "a.parquet"
    Dataset.from_dict({name: [{"bytes": PNG[0], "path": None}] for name in pictures}, features=pictures).to_parquet(
        path
    )
    with pytest.raises(ValueError, match=r"several columns that may be image: left, right; name one with image=NAME"):
        open_table(parse_source(str(path)), False)
    with pytest.raises(ValueError, match=r"may be depth: gt_depth, depth_map; name one with depth=NAME"):
        open_table(parse_source(f"{path}?image=left"), True)


@pytest.mark.parametrize(
    ("names", "image", "depth"),
    [
        (["a.depth_confidence.png", "a.depth.png", "a.jpg"], "jpg", "depth.png"),
        (["a.seg.png", "a.normal.png", "a.jpg", "a.gt_depth.npy"], "jpg", "gt_depth.npy"),
        (["a.left.jpg", "a.right.jpg", "a.image.png", "a.disparity.png", "a.depth.npy"], "image.png", "depth.npy"),
    ],
)
def test_members_of_tars_are_chosen_by_name(tmp_path, names, image, depth):
    content = {"npy": npy(np.ones((2, 2))), "png": PNG[0], "jpg": PNG[0]}
    path = write_tar(tmp_path / "a.tar", {name: content[name[-3:]] for name in names})
    table = open_table(parse_source(str(path)), labeled=True)
    assert (table.image, table.depth) == (image, depth)


@pytest.mark.parametrize(
    ("names", "candidates"),
    [
        ([f"clip.{n:04}.jpg" for n in range(12)], ", ".join(f"{n:04}.jpg" for n in range(12))),
        (["clip.jpg", "clip.0001.jpg", "clip.0002.jpg", "clip.normals.png"], "jpg, 0001.jpg, 0002.jpg"),
        (["a.jpg", "a.png"], "jpg, png"),
        (["a.left.jpg", "a.right.jpg"], "left.jpg, right.jpg"),
    ],
)
def test_several_pictures_in_a_sample_of_a_tar_are_refused_and_not_dropped(tmp_path, names, candidates):
    path = write_tar(tmp_path / "a.tar", dict.fromkeys(names, PNG[0]))
    with pytest.raises(ValueError, match=rf"may be image: {candidates}; .*equal up to the first dot"):
        open_table(parse_source(str(path)), labeled=False)
    named = candidates.split(", ")[1]
    assert open_table(parse_source(f"{path}?image={named}"), labeled=False).image == named


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("", "has no image column among a, b; name it with image=NAME"),
        ("?image=a", "has no depth column among a, b; name it with depth=NAME"),
        ("?image=c", "has no column 'c' for image; it has a, b"),
        ("?image=a&depth=c", "has no column 'c' for depth; it has a, b"),
    ],
)
def test_missing_columns_are_named(tmp_path, options, words):
    path = write_columns(tmp_path / "x.parquet", a=[b"x"], b=[1.0])
    with pytest.raises(ValueError, match=re.escape(words)):
        open_table(parse_source(path + options), labeled=True)


def test_webdataset_members_are_found(tmp_path):
    members = {"0.depth.npy": npy(np.ones((2, 2))), "0.png": encoded(picture(0))}
    table = open_table(parse_source(str(write_tar(tmp_path / "a.tar", members))), labeled=True)
    assert (table.image, table.depth) == ("png", "depth.npy")


@pytest.mark.parametrize("suffix", ["parquet", "tar"])
def test_files_that_cannot_be_opened_are_named(tmp_path, suffix):
    path = tmp_path / f"broken.{suffix}"
    path.write_bytes(b"neither of the two, whatever the name says")
    with pytest.raises(ValueError, match=rf"broken\.{suffix}' cannot be read"):
        open_table(parse_source(str(path)), labeled=False)


def test_hub_failure_is_one_sentence(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    words = "'nobody/nothing' is no local path and cannot be read from the Hub"
    with pytest.raises(ValueError, match=words) as caught:
        open_table(parse_source("nobody/nothing"), labeled=False)
    assert "\n" not in str(caught.value)


def test_row_counts(tmp_path):
    write_parquet(tmp_path / "p" / "a.parquet", range(3))
    write_parquet(tmp_path / "p" / "b.parquet", range(4))
    assert count_rows(parse_source(str(tmp_path / "p"))) == 7
    assert count_rows(parse_source(str(write_tar(tmp_path / "a.tar", {"0.png": b"x"})))) is None
    assert count_rows(parse_source("https://host.org/a.parquet")) is None
    (tmp_path / "c.parquet").write_bytes(b"no")
    with pytest.raises(ValueError, match="cannot be read"):
        count_rows(parse_source(str(tmp_path / "c.parquet")))
