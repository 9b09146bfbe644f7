"""Opened sources: every kind comes out as the same undecoded rows, each once, named for logs."""

from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from sample_files import (
    HEIGHT,
    WIDTH,
    depth_mm,
    encoded,
    npy,
    picture,
    write_images,
    write_parquet,
    write_tar,
)

from semidepth.data.depth_decoding import decode_depth
from semidepth.data.listing import LOOKS_LIKE_DEPTH
from semidepth.data.reading.image_folders import NO_DEPTH, find_images
from semidepth.data.reading.sources import (
    ENDLESS_SCENE_SHARDS,
    SCENES_PER_CHUNK,
    count_samples,
    open_source,
)
from semidepth.data.scenes.render import render_scenes
from semidepth.data.source_spec import HELD_OUT_START, parse_source


def rows(spec, labeled=True, shards=None, size=None):
    opened = open_source(parse_source(spec), labeled=labeled, size=size)
    return [row for shard in shards or range(opened.num_shards) for _, row in opened.rows(shard)]


def test_parquet_rows(tmp_path):
    write_parquet(tmp_path / "a.parquet", range(3), "indoor")
    write_parquet(tmp_path / "b.parquet", range(3, 5), "outdoor")
    assert open_source(parse_source(str(tmp_path)), labeled=True).num_shards == 2
    read = rows(str(tmp_path))
    assert [row["image"] for row in read] == [encoded(picture(n)) for n in range(5)]
    assert [row["depth"] for row in read] == [encoded(depth_mm(n)) for n in range(5)]
    assert [row["domain"] for row in read] == ["indoor"] * 3 + ["outdoor"] * 2
    assert read[3]["depth_scale"] == pytest.approx(0.001)
    assert [row["origin"] for row in read][2:4] == [
        f"{tmp_path}/a.parquet#row 2",
        f"{tmp_path}/b.parquet#row 0",
    ]


def test_unlabeled_use_carries_no_depth(tmp_path):
    write_parquet(tmp_path / "a.parquet", range(2))
    assert [row["depth"] for row in rows(str(tmp_path), labeled=False)] == [None, None]
    with pytest.raises(ValueError, match="depth=none but is used with labels"):
        open_source(parse_source(f"{tmp_path}?depth=none"), labeled=True)


def test_a_table_names_no_file_of_this_machine(tmp_path):
    """A row of someone else's table must not make us read, and then show, a private file."""
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(encoded(picture(0)))
    cells = [{"bytes": None, "path": str(secret)}, {"bytes": encoded(picture(1)), "path": str(secret)}]
    pq.write_table(pa.table({"image": cells}), tmp_path / "a.parquet")
    images = [row["image"] for row in rows(str(tmp_path / "a.parquet"), labeled=False)]
    assert images == [None, encoded(picture(1))]


def test_options_domain_and_count(tmp_path):
    write_parquet(tmp_path / "a.parquet", range(3), "indoor")
    write_parquet(tmp_path / "b.parquet", range(3, 6), "outdoor")
    read = rows(f"{tmp_path}?count=4&domain=house")
    assert [row["image"] for row in read] == [encoded(picture(n)) for n in range(4)]
    assert {row["domain"] for row in read} == {"house"}
    assert count_samples(parse_source(f"{tmp_path}?count=4")) == 4
    assert count_samples(parse_source(f"{tmp_path}?count=40")) == count_samples(parse_source(str(tmp_path))) == 6


def test_shards_can_be_chosen(tmp_path):
    for shard in range(3):
        write_parquet(tmp_path / f"{shard}.parquet", range(shard * 2, shard * 2 + 2))
    read = rows(str(tmp_path), shards=[2, 0])
    assert [row["image"] for row in read] == [encoded(picture(n)) for n in (4, 5, 0, 1)]


def test_file_urls(tmp_path):
    path = write_parquet(tmp_path / "a.parquet", range(2))
    read = rows(f"file://{path}?count=1")
    assert [row["image"] for row in read] == [encoded(picture(0))]
    assert read[0]["origin"] == f"file://{path}#row 0"


def test_webdataset_rows(tmp_path):
    members = {}
    for number in range(3):
        members[f"a/{number:03}.jpg"] = encoded(picture(number), "JPEG")
        members[f"a/{number:03}.depth.png"] = encoded(depth_mm(number))
    write_tar(tmp_path / "t.tar", members)
    read = rows(str(tmp_path))
    assert [row["image"] for row in read] == [encoded(picture(n), "JPEG") for n in range(3)]
    assert [row["depth"] for row in read] == [encoded(depth_mm(n)) for n in range(3)]
    assert read[1]["origin"] == f"{tmp_path}/t.tar#a/001"
    assert count_samples(parse_source(str(tmp_path))) is None


def test_webdataset_numpy_depth_keeps_nan_and_sky(tmp_path):
    depth = np.array([[1.5, np.nan], [np.inf, 0.25]], dtype=np.float32)
    write_tar(tmp_path / "t.tar", {"0.png": encoded(picture(0)), "0.depth.npy": npy(depth)})
    assert rows(str(tmp_path))[0]["depth"] == npy(depth)
    np.testing.assert_array_equal(decode_depth(rows(str(tmp_path))[0]["depth"]).numpy(), depth)


def test_folder_of_images(tmp_path):
    write_images(tmp_path / "b", range(2))
    write_images(tmp_path / "a", range(2, 4))
    read = rows(f"{tmp_path}?domain=d", labeled=False)
    assert [row["origin"] for row in read] == [
        f"{tmp_path}/{name}.png" for name in ("a/0002", "a/0003", "b/0000", "b/0001")
    ]
    assert Path(read[0]["image"]).read_bytes() == encoded(picture(2))
    assert {row["domain"] for row in read} == {"d"}
    assert count_samples(parse_source(str(tmp_path))) == 4
    assert count_samples(parse_source(f"{tmp_path}?count=3")) == len(rows(f"{tmp_path}?count=3", labeled=False)) == 3


def test_depth_beside_images(tmp_path):
    write_images(tmp_path, range(4))
    (tmp_path / "0000_depth.png").write_bytes(encoded(depth_mm(0)))
    (tmp_path / "0001.depth.npy").write_bytes(npy(np.ones((HEIGHT, WIDTH))))
    (tmp_path / "0003_depth.tiff").write_bytes(encoded(np.ones((HEIGHT, WIDTH), np.float32), "TIFF"))
    read = rows(f"{tmp_path}?depth_scale=0.001")
    assert [Path(row["image"]).name for row in read] == ["0000.png", "0001.png", "0003.png"]
    assert [Path(row["depth"]).name for row in read] == [
        "0000_depth.png",
        "0001.depth.npy",
        "0003_depth.tiff",
    ]
    with pytest.raises(ValueError, match=r"0000_depth\.png holds uint16 depth without a scale; give depth_scale"):
        open_source(parse_source(str(tmp_path)), labeled=True)
    assert count_samples(parse_source(f"{tmp_path}?depth_scale=0.001"), labeled=True) == 3
    assert count_samples(parse_source(str(tmp_path))) == 4


def test_depth_in_a_mirrored_folder(tmp_path):
    for scene in ("x", "y"):
        write_images(tmp_path / scene / "rgb" / "left", range(2))
        (tmp_path / scene / "depth" / "left").mkdir(parents=True)
        for number in range(2):
            (tmp_path / scene / "depth" / "left" / f"{number:04}.png").write_bytes(encoded(depth_mm(number)))
    for spec in (str(tmp_path), f"{tmp_path}/*/rgb/left/*.png"):
        read = rows(f"{spec}?depth_scale=0.001")
        expected = [Path(str(row["image"]).replace("/rgb/", "/depth/")) for row in read]
        assert [row["depth"] for row in read] == expected
        assert len(read) == 4


@pytest.mark.parametrize(
    ("image", "depth"),
    [
        ("a.png", "a_Depth.png"),
        ("a.png", "a.DEPTH.PNG"),
        ("x/RGB/y/a.png", "x/depth/y/a.png"),
        ("x/images/a.png", "x/Depth/a.npy"),
        ("image/a.png", "depths/a.png"),
        ("Images/a.png", "depth_png/a.png"),
    ],
)
def test_depth_is_found_in_other_spellings(tmp_path, image, depth):
    for name, content in ((image, encoded(picture(0))), (depth, encoded(depth_mm(0)))):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(npy(np.ones((HEIGHT, WIDTH))) if name.endswith("npy") else content)
    (row,) = rows(f"{tmp_path}?depth_scale=0.001")
    assert (row["image"], row["depth"]) == (tmp_path / image, tmp_path / depth)


def test_a_source_that_is_the_folder_of_images_itself(tmp_path):
    write_images(tmp_path / "rgb", range(1))
    (tmp_path / "depth").mkdir()
    (tmp_path / "depth" / "0000.png").write_bytes(encoded(depth_mm(0)))
    for spec in (tmp_path / "rgb", tmp_path / "rgb" / "*.png", tmp_path / "rgb" / "0000.png"):
        assert [row["depth"] for row in rows(f"{spec}?depth_scale=0.001")] == [tmp_path / "depth" / "0000.png"]


@pytest.mark.parametrize("names", [("a_depth.png", "a_depth.npy"), ("depth_raw/a.png", "depth_filled/a.png")])
def test_of_several_depth_files_none_is_taken(tmp_path, names):
    for name in ("a.png" if "_depth" in names[0] else "rgb/a.png", *names):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(npy(np.ones((2, 2))) if name.endswith("npy") else encoded(depth_mm(0)))
    with pytest.raises(ValueError, match="has 2 depth files") as caught:
        open_source(parse_source(f"{tmp_path}?depth_scale=0.001"), labeled=True)
    assert all(str(tmp_path / name) in str(caught.value) for name in names)
    assert len(rows(str(tmp_path), labeled=False)) == 1


def test_the_way_out_that_is_named_for_several_depth_files(tmp_path):
    write_images(tmp_path, range(2))
    for number in range(2):
        (tmp_path / f"000{number}_depth.png").write_bytes(encoded(depth_mm(0)))
        (tmp_path / f"000{number}_depth.npy").write_bytes(npy(np.ones((HEIGHT, WIDTH))))
    found = rows(f"{tmp_path}?images={tmp_path}&map={{}}_depth.npy")
    assert [row["depth"].name for row in found] == ["0000_depth.npy", "0001_depth.npy"]


def test_what_is_left_out_of_a_labeled_folder(tmp_path):
    write_images(tmp_path, range(3))
    for name in ("0001_depth.png", "0009_depth.png"):
        (tmp_path / name).write_bytes(encoded(depth_mm(0)))
    listing = find_images(parse_source(f"{tmp_path}?depth_scale=0.001"), True).listing
    assert [path.name for path in listing.used] == ["0001.png"]
    assert {each.path.name: each.reason for each in listing.left_out} == {
        "0009_depth.png": LOOKS_LIKE_DEPTH, "0000.png": NO_DEPTH, "0002.png": NO_DEPTH,
    }  # fmt: skip


def test_folder_without_depth_cannot_be_labeled(tmp_path):
    write_images(tmp_path, range(2))
    with pytest.raises(ValueError, match="has no depth beside its 2 images"):
        open_source(parse_source(str(tmp_path)), labeled=True)


def test_many_images_spread_over_shards_once(tmp_path, monkeypatch):
    monkeypatch.setattr("semidepth.data.reading.sources.IMAGE_SHARDS", 4)
    write_images(tmp_path, range(11))
    assert open_source(parse_source(str(tmp_path)), labeled=False).num_shards == 4
    parts = [[Path(row["image"]).stem for row in rows(str(tmp_path), False, shards=[s])] for s in range(4)]
    assert [len(part) for part in parts] == [2, 3, 3, 3]
    assert [name for part in parts for name in part] == [f"{n:04}" for n in range(11)]


@pytest.mark.parametrize("domain", ["indoor", "outdoor"])
def test_scenes_are_the_renderers(domain):
    count = SCENES_PER_CHUNK + 3
    read = rows(f"scenes:{domain}?count={count}&start=5&seed=2&size=24")
    assert len(read) == count
    expected = render_scenes(domain, range(5, 5 + count), seed=2, height=24, width=24)
    for number, row in enumerate(read):
        assert torch.equal(row["image"], expected.image[number])
        assert torch.equal(row["depth"], expected.depth[number])
        assert (row["origin"], row["domain"]) == (f"scenes:{domain}#{5 + number}", domain)
    assert rows(f"scenes:{domain}?count=1", labeled=False, size=16)[0]["image"].shape == (3, 16, 16)


def test_held_out_scenes_have_numbers_of_their_own():
    row = rows("scenes:indoor?split=validation&count=1&size=16")[0]
    assert row["origin"] == "scenes:indoor/validation#0"
    assert torch.equal(row["image"], render_scenes("indoor", [HELD_OUT_START], height=16, width=16).image[0])


def test_endless_scenes_never_repeat():
    iterator = open_source(parse_source("scenes:indoor?size=8"), labeled=False).rows(3)
    origins = [next(iterator)[1]["origin"] for _ in range(3 * SCENES_PER_CHUNK)]
    chunks = [3, ENDLESS_SCENE_SHARDS + 3, 2 * ENDLESS_SCENE_SHARDS + 3]
    expected = [f"scenes:indoor#{c * SCENES_PER_CHUNK + i}" for c in chunks for i in range(SCENES_PER_CHUNK)]
    assert origins == expected
    assert count_samples(parse_source("scenes:indoor")) is None
    assert count_samples(parse_source("scenes:indoor?count=7")) == 7


@pytest.fixture(scope="module")
def every_kind(tmp_path_factory):
    """A source of each kind, with a shard of 7 to 16 rows."""
    root = tmp_path_factory.mktemp("kinds")
    write_parquet(root / "one.parquet", range(11))
    write_images(root / "folder", range(9))
    write_tar(root / "one.tar", {f"{n:03}.png": encoded(picture(n)) for n in range(12)})
    return {
        "parquet": str(root / "one.parquet"),
        "counted": f"{root / 'one.parquet'}?count=7",
        "images": str(root / "folder"),
        "webdataset": str(root / "one.tar"),
        "scenes": "scenes:indoor?count=13&size=8",
        "endless": "scenes:indoor?size=8",
    }


@pytest.mark.parametrize("kind", ["parquet", "counted", "images", "webdataset", "scenes", "endless"])
def test_a_shard_can_be_read_from_any_row_in_any_step(every_kind, kind, monkeypatch):
    monkeypatch.setattr("semidepth.data.reading.sources.IMAGE_SHARDS", 1)
    opened = open_source(parse_source(every_kind[kind]), labeled=False)
    whole = list(islice(opened.rows(0), 40))
    assert [number for number, _ in whole] == list(range(len(whole)))
    origins = [row["origin"] for _, row in whole]
    assert len(set(origins)) == len(origins)
    for start, step in ((0, 1), (3, 1), (1, 2), (5, 4), (2, 7), (0, 50), (60, 1)):
        part = list(islice(opened.rows(0, start, step), len(range(start, len(whole), step))))
        assert [number for number, _ in part] == list(range(start, len(whole), step))
        assert [row["origin"] for _, row in part] == origins[start::step]


def test_pseudo_labels_are_chosen_by_reliability(tmp_path):
    cells = {"image": [encoded(picture(n)) for n in range(5)], "reliability": [0.9, 0.1, 0.5, 0.7, 0.3]}
    pq.write_table(pa.table(cells), tmp_path / "a.parquet")
    chosen = open_source(parse_source(f"{tmp_path}?min_reliability=0.5"), labeled=False)
    assert [number for number, _ in chosen.rows(0)] == [0, 2, 3]  # rows keep their numbers
    assert [number for number, _ in chosen.rows(0, 1)] == [2, 3]
    rest = open_source(parse_source(f"{tmp_path}?max_reliability=0.5"), labeled=False)
    assert [number for number, _ in rest.rows(0)] == [1, 4]
    assert count_samples(parse_source(f"{tmp_path}?min_reliability=0.5")) == 3
    write_parquet(tmp_path / "b.parquet", range(1))
    with pytest.raises(ValueError, match="no column 'reliability' for min_reliability or max_reliability"):
        open_source(parse_source(f"{tmp_path / 'b.parquet'}?min_reliability=0.5"), labeled=False)
