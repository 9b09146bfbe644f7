"""The held-out part of a source: fixed, whole groups, and nothing of it in training."""

import io
import tarfile
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sample_files import depth_mm, encoded, picture, write_parquet

from semidepth.data.reading.parts import MOST_SAMPLES, choose_groups, part_of
from semidepth.data.reading.sources import count_samples, cut_of
from semidepth.data.source_spec import parse_source
from semidepth.data.streaming.loading import evaluation_samples


def origins(spec: str, labeled: bool = True) -> list[str]:
    return [sample["origin"] for sample in evaluation_samples([parse_source(spec)], labeled=labeled)]


def with_part(spec: str, part: str) -> str:
    return part_of(parse_source(spec), part).spec


def divided(spec: str) -> tuple[list[str], list[str]]:
    """Origins of both parts, which are checked to be the whole source and counted right."""
    train, held = (origins(with_part(spec, part)) for part in ("train", "held_out"))
    assert sorted(train + held) == sorted(origins(spec))
    assert not set(train) & set(held)
    assert held
    for part, found in (("train", train), ("held_out", held)):
        counted = count_samples(parse_source(with_part(spec, part)), labeled=True)
        assert counted in (len(found), None)
    return train, held


def photos(root, names) -> str:
    for number, name in enumerate(names):
        path = root / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(number)).save(path)
        np.save(path.with_name(f"{path.stem}_depth.npy"), depth_mm(number).astype(np.float32) / 1000)
    return str(root)


def parquet_with_scenes(path, scenes) -> str:
    write_parquet(path, range(len(scenes)))
    table = pq.read_table(path)
    pq.write_table(table.append_column("scene", pa.array(scenes)), path)
    return str(path)


def test_groups_fill_a_twentieth_and_never_much_more():
    assert len(choose_groups({str(number): 1 for number in range(100)})) == 5
    assert sum(choose_groups_sizes({f"a{n}": 10 for n in range(40)})) == 20
    assert sum(choose_groups_sizes({f"a{n}": 1000 for n in range(40)} | {"small": 150})) == 150
    assert len(choose_groups({str(number): 1 for number in range(10**5)})) == MOST_SAMPLES
    assert choose_groups({"a": 50, "b": 50}) == frozenset()  # each is half of the source
    assert choose_groups({str(number): 1 for number in range(9)}) == frozenset()  # too few to give one away


def choose_groups_sizes(sizes):
    return [sizes[name] for name in choose_groups(sizes)]


def test_images_are_cut_by_folders(tmp_path):
    root = photos(tmp_path / "a", [f"{scene}/images/{n}" for scene in "abcdefghijklmnopqrst" for n in range(2)])
    train, held = divided(root)
    assert {name.rpartition("/")[0] for name in held}.isdisjoint(name.rpartition("/")[0] for name in train)
    assert len(held) == 2
    assert cut_of(parse_source(root), labeled=True).rule == "folder"
    moved = tmp_path / "elsewhere"
    (tmp_path / "a").rename(moved)
    assert [name.replace("/elsewhere/", "/a/") for name in divided(str(moved))[1]] == held


def test_images_of_one_folder_are_cut_one_by_one(tmp_path):
    root = photos(tmp_path, [str(number) for number in range(40)])
    _, held = divided(root)
    assert len(held) == 2
    assert cut_of(parse_source(root), labeled=True).rule == "image"
    assert len(origins(f"{root}?count=20&part=train")) == 19


def test_a_table_is_cut_by_its_scenes(tmp_path):
    scenes = [f"room {number // 3}" for number in range(60)]
    spec = parquet_with_scenes(tmp_path / "a.parquet", scenes)
    train, held = divided(f"{spec}?depth_scale=0.001")
    by_number = dict(enumerate(scenes))

    def of(names):
        return {by_number[int(name.rpartition("row ")[2])] for name in names}

    assert of(train).isdisjoint(of(held))
    assert len(held) == 3
    assert cut_of(parse_source(spec), labeled=True).rule == "scene"


def test_a_table_of_many_files_is_cut_by_files(tmp_path):
    for number in range(20):
        write_parquet(tmp_path / f"{number:02}.parquet", range(3 * number, 3 * number + 3))
    _, held = divided(str(tmp_path))
    assert Counter(name.partition("#")[0] for name in held).most_common() == [(held[0].partition("#")[0], 3)]
    assert cut_of(parse_source(str(tmp_path)), labeled=True).rule == "file"


def test_a_table_of_few_files_is_cut_by_rows_over_all_of_them(tmp_path):
    for number in range(3):
        write_parquet(tmp_path / f"{number}.parquet", range(15 * number, 15 * number + 15))
    _, held = divided(str(tmp_path))
    assert [name.rpartition("/")[2] for name in held] == ["0.parquet#row 11", "2.parquet#row 3"]  # 11 and 33 of 45
    assert cut_of(parse_source(str(tmp_path)), labeled=True).rule == "row"
    _, held = divided(f"{tmp_path}?count=20")
    assert len(held) == 1


def test_scenes_of_a_classlabel_and_of_a_count_are_followed(tmp_path):
    spec = parquet_with_scenes(tmp_path / "a.parquet", [number // 2 for number in range(40)])
    assert len(divided(spec)[1]) == 2
    _, held = divided(f"{spec}?count=20")
    assert len(held) == 2  # one room; a single one would be half of it


def test_tars_are_cut_by_files_where_there_are_many(tmp_path):
    for number in range(21):
        with tarfile.open(tmp_path / f"{number:02}.tar", "w") as tar:
            for member, content in (("image.png", picture(number)), ("depth.png", depth_mm(number))):
                data = encoded(content)
                info = tarfile.TarInfo(f"{number}.{member}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    _, held = divided(f"{tmp_path}?depth_scale=0.001&image=image.png&depth=depth.png")
    assert len(held) == 1


def test_what_cannot_be_cut_is_not_cut(tmp_path):
    small = photos(tmp_path / "small", [str(number) for number in range(9)])
    tar = tmp_path / "a.tar"
    with tarfile.open(tar, "w") as file:
        info = tarfile.TarInfo("0.png")
        data = encoded(picture(0))
        info.size = len(data)
        file.addfile(info, io.BytesIO(data))
    assert cut_of(parse_source(small), labeled=True) is None
    assert cut_of(parse_source(str(tar)), labeled=False) is None
    assert cut_of(parse_source("scenes:indoor?count=100"), labeled=True) is None
    with pytest.raises(ValueError, match="has no held-out part"):
        origins(f"{small}?part=held_out")
    with pytest.raises(ValueError, match="unknown option 'part'"):
        parse_source("scenes:indoor?part=train")
    with pytest.raises(ValueError, match="part must be one of train, held_out"):
        parse_source(f"{small}?part=test")


def test_the_parts_keep_the_options_of_the_source(tmp_path):
    root = photos(tmp_path, [str(number) for number in range(20)])
    assert with_part(root, "train") == f"{root}?part=train"
    assert with_part(f"{root}?max_depth_m=2", "held_out") == f"{root}?max_depth_m=2&part=held_out"
    assert part_of(parse_source(f"{root}?max_depth_m=2"), "held_out") == parse_source(
        f"{root}?max_depth_m=2&part=held_out"
    )
