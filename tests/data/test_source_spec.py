"""How sources are written: what each string means, and that wrong ones are refused in one sentence."""

import pickle
import re
from pathlib import Path

import pytest
from sample_files import write_images, write_parquet, write_tar

from semidepth.data.source_spec import HELD_OUT_START, local_files, parse_source


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """A working folder with images, parquet and tars; paths in the tests are relative to it."""
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path / "photos", range(3))
    write_images(tmp_path / "photos" / "more", range(3, 5))
    (tmp_path / "photos" / ".hidden").mkdir()
    (tmp_path / "photos" / "notes.txt").write_text("not an image")
    write_parquet(tmp_path / "frames" / "train-0.parquet", range(3))
    write_parquet(tmp_path / "frames" / "test-0.parquet", range(3, 5))
    write_tar(tmp_path / "shards" / "a.tar", {"0.jpg": b"x"})
    (tmp_path / "empty").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("spec", "form", "location"),
    [
        ("scenes:indoor", "scenes", "indoor"),
        ("scenes:outdoor?count=3", "scenes", "outdoor"),
        ("photos", "images", "photos"),
        ("photos/", "images", "photos"),
        ("photos/0001.png", "images", "photos/0001.png"),
        ("photos/*.png", "images", "photos/*.png"),
        ("photos/000?.png", "images", "photos/000?.png"),
        ("photos/000?.png?count=2", "images", "photos/000?.png"),
        ("frames", "parquet", "frames"),
        ("frames/*.parquet?domain=indoor", "parquet", "frames/*.parquet"),
        ("shards/a.tar", "webdataset", "shards/a.tar"),
        ("https://host.org/d/a.parquet?kind=disparity", "parquet", "https://host.org/d/a.parquet"),
        ("hf://datasets/o/n/x.tar", "webdataset", "hf://datasets/o/n/x.tar"),
        ("org/name", "hub", "org/name"),
        ("org/name.v2?split=validation", "hub", "org/name.v2"),
    ],
)
def test_what_a_location_is(place, spec, form, location):
    source = parse_source(spec)
    assert (source.format, source.location, source.spec) == (form, location, spec)


def test_every_option_arrives(place):
    source = parse_source(
        "org/name?split=val&config=v2&revision=main&image=rgb&depth=d&depth_scale=1e-3&kind=disparity"
    )
    assert (source.split, source.name, source.revision) == ("val", "v2", "main")
    assert (source.image, source.depth, source.depth_scale, source.kind) == ("rgb", "d", 0.001, "disparity")
    source = parse_source("frames?domain=in%26out&min_depth_m=0.5&max_depth_m=10&count=4")
    assert (source.domain, source.min_depth_m, source.max_depth_m, source.count) == ("in&out", 0.5, 10.0, 4)
    assert source.endless is False


def test_scene_options_and_held_out_numbers():
    source = parse_source("scenes:indoor?seed=3&size=64&start=10&count=5")
    assert (source.seed, source.size, source.count, source.first_index, source.endless) == (
        3,
        64,
        5,
        10,
        False,
    )
    assert source.style == "any"
    assert parse_source("scenes:outdoor").endless
    held_out = parse_source("scenes:indoor?split=validation&start=10&count=5")
    assert held_out.first_index == HELD_OUT_START + 10
    assert parse_source("scenes:indoor?split=test").first_index == 2 * HELD_OUT_START


def test_sources_are_hashable_and_picklable(place):
    source = parse_source("frames?count=2")
    assert pickle.loads(pickle.dumps(source)) == source
    assert len({source, parse_source("frames?count=2"), parse_source("frames?count=3")}) == 2


def test_local_files_are_sorted_and_split(place):
    names = [path.as_posix() for path in local_files(parse_source("photos"))]
    assert names == [f"photos/000{n}.png" for n in range(3)] + [f"photos/more/000{n}.png" for n in (3, 4)]
    assert [path.name for path in local_files(parse_source("frames?split=test"))] == ["test-0.parquet"]
    assert [path.name for path in local_files(parse_source("frames"))] == [
        "test-0.parquet",
        "train-0.parquet",
    ]


def test_depth_files_are_no_images(place):
    folder = write_images(place / "pairs" / "images", range(2))
    write_images(place / "pairs" / "depth", range(2))
    (folder / "0000_depth.png").write_bytes((folder / "0000.png").read_bytes())
    (folder / "0001.depth.png").write_bytes((folder / "0000.png").read_bytes())
    assert [path.name for path in local_files(parse_source("pairs"))] == ["0000.png", "0001.png"]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("", "names no location"),
        ("?count=3", "names no location"),
        ("scenes:cave", "unknown domain 'cave'; use indoor or outdoor"),
        ("scenes:indoor?style=baroque", "unknown style 'baroque'"),
        ("scenes:indoor?depth_scale=2", "unknown option 'depth_scale'; known here are count, domain"),
        ("scenes:indoor?split=dev", "unknown split 'dev'"),
        (f"scenes:indoor?start={2**40}&count=1", "runs past scene"),
        ("photos?colour=red", "unknown option 'colour'"),
        ("photos?count=0", "count must be a whole number of at least 1, got '0'"),
        ("photos?count=2&count=3", "gives the option 'count' twice"),
        ("photos?depth_scale=-1", "depth_scale must be a positive number"),
        ("photos?depth_scale=nan", "depth_scale must be a positive number"),
        ("photos?kind=height", "kind must be one of depth, disparity"),
        ("photos?split=", "split must not be empty"),
        ("photos?min_depth_m=5&max_depth_m=5", "must be less than max_depth_m"),
        ("photos?revision=main", "are for Hub datasets"),
        ("photos?split=test", "no usable file of split 'test'"),
        ("missing.parquet", "nothing at 'missing.parquet'"),
        ("frames/missing.parquet", "nothing at 'frames/missing.parquet'"),
        ("some/deep/missing/folder", "nothing at"),
        ("missing/*.png", "holds no image, .parquet or .tar file"),
        ("empty", "holds no image"),
        ("photos/notes.txt", "holds no image"),
        ("*/*", "matches files of several kinds"),
        ("https://host.org/page.html", "neither .parquet nor .tar"),
        ("https://host.org/a.parquet?download=true", "unknown option 'download'"),
        ("https://host.org/a.parquet?split=test", "a URL has no splits"),
    ],
)
def test_wrong_sources_are_refused_in_one_sentence(place, spec, words):
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        parse_source(spec)
    assert "\n" not in str(caught.value)
