"""Names with the signs of patterns: what exists under the literal name is read, and nothing else."""

from pathlib import Path

import pytest
from sample_files import encoded, picture, write_images, write_parquet, write_tar

from semidepth.common.files import find_matching
from semidepth.data.pseudo_labels import LabelFolder, read_reliability
from semidepth.data.reading.sources import open_source
from semidepth.data.source_spec import parse_source
from semidepth.prediction.inputs import find_inputs


def images(spec: str) -> list[bytes]:
    """Content of all images of a source."""
    opened = open_source(parse_source(spec), labeled=False)
    cells = [row["image"] for shard in range(opened.num_shards) for _, row in opened.rows(shard)]
    return [cell.read_bytes() if isinstance(cell, Path) else cell for cell in cells]


def contents(*numbers: int) -> list[bytes]:
    return [encoded(picture(number)) for number in numbers]


def tar_of(path: Path, numbers: range) -> Path:
    return write_tar(path, {f"{number}.png": encoded(picture(number)) for number in numbers})


@pytest.fixture(params=["{}", "file://{}"])
def written(request):
    """How a path is written: as it is, or as an address."""
    return request.param.format


@pytest.mark.parametrize("write", [write_parquet, tar_of])
@pytest.mark.parametrize(("asked", "other"), [("set[1]", "set1"), ("take*", "take1"), ("a?", "ab"), ("[!x]", "y")])
def test_the_file_of_that_name_is_read(tmp_path, written, write, asked, other):
    suffix = ".tar" if write is tar_of else ".parquet"
    write(tmp_path / f"{other}{suffix}", range(5, 8))
    write(tmp_path / f"{asked}{suffix}", range(2))
    assert images(written(tmp_path / f"{asked}{suffix}")) == contents(0, 1)


@pytest.mark.parametrize("write", [write_parquet, tar_of])
@pytest.mark.parametrize(("asked", "other"), [("run [a]", "run a"), ("take*", "take1")])
def test_the_folder_of_that_name_is_read(tmp_path, monkeypatch, write, asked, other):
    suffix = "tar" if write is tar_of else "parquet"
    write(tmp_path / other / f"x.{suffix}", range(5, 8))
    write(tmp_path / asked / f"x.{suffix}", range(1))
    write(tmp_path / asked / f"y[1].{suffix}", range(1, 3))
    for spec in (asked, f"{asked}/*.{suffix}", f"{tmp_path / asked}", f"{tmp_path / asked}/**/*.{suffix}"):
        monkeypatch.chdir(tmp_path)
        assert images(spec) == contents(0, 1, 2)


def test_folders_of_images_too(tmp_path):
    write_images(tmp_path / "run a", range(5, 8))
    write_images(tmp_path / "run [a]" / "in [b]", range(2))
    for pattern in ("run [a]", "run [a]/in [b]", "run [a]/*/*.png", "run [a]/in [b]/*.png", "run [a]/**/000[0-9].png"):
        assert images(str(tmp_path / pattern)) == contents(0, 1)


def test_a_pattern_stays_one_where_nothing_has_its_name(tmp_path):
    for name in ("take1", "take2"):
        write_images(tmp_path / name, range(1))
    assert find_matching(str(tmp_path / "take[12]")) == [str(tmp_path / "take1"), str(tmp_path / "take2")]
    assert find_matching(str(tmp_path / "take[3]")) == []
    assert find_matching(str(tmp_path / "nothing")) == []
    assert find_matching("") == []
    assert find_matching("a\0*") == []


def test_a_set_of_pseudo_labels_is_written_and_read_under_such_a_name(tmp_path):
    folder = LabelFolder(str(tmp_path / "labels [1]*"))
    (tmp_path / "labels 1x" / "data").mkdir(parents=True)
    row = {"image": None, "disparity": None, "depth_scale": 1.0, "depth_shift": 0.0, "reliability": 0.5}
    folder.write_part(
        "labels-00-00000-00000.parquet", [row | dict.fromkeys(("teacher", "teacher_revision", "domain", "origin"), "")]
    )
    assert LabelFolder(folder.location).finished() == {"labels-00-00000-00000.parquet"}
    assert {source: found.tolist() for source, found in read_reliability(folder.location).items()} == {0: [0.5]}
    assert not list((tmp_path / "labels 1x" / "data").iterdir())


def test_predict_finds_such_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("run [a]", "run a", "take*", "take1"):
        write_images(Path(folder), range(1))
    for text in ("run [a]", "run [a]/*.png", "run [a]/0000.png", "run [a]/**/*.png"):
        assert [str(file) for file, _ in find_inputs([text])] == ["run [a]/0000.png"]
    assert [str(file) for file, _ in find_inputs(["take*"])] == ["take*/0000.png"]
