"""Pseudo-label sets: quantisation, how the work is shared out, whole files only."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from sample_files import encoded, picture, write_images, write_parquet, write_tar

from semidepth.data.label_images import encode_label, quantize
from semidepth.data.pseudo_labels import (
    LabelFolder,
    LabelRecord,
    parts_to_make,
    read_reliability,
)
from semidepth.data.source_spec import parse_source

RECORD = LabelRecord("teacher", "sha256:1", [], ["photos"], "made", [1], [5], 100, 48)


@pytest.mark.parametrize("scale", [1.0, 1e-6, 300.0])
def test_quantisation_keeps_half_a_step(scale):
    disparity = (np.random.default_rng(0).random((20, 30)) * scale + 0.3 * scale).astype(np.float32)
    stored, step, shift = quantize(disparity)
    assert stored.dtype == np.uint16
    assert (stored.min(), stored.max()) == (0, 65535)
    assert np.abs(stored * step + shift - disparity).max() <= step / 2 * (1 + 1e-6)
    assert step == pytest.approx((disparity.max() - disparity.min()) / 65535)


def test_a_constant_map_comes_back():
    stored, step, shift = quantize(np.full((2, 3), 0.25, np.float32))
    assert (stored * step + shift == 0.25).all()


def test_a_label_is_a_16_bit_png():
    disparity = np.random.default_rng(0).random((6, 8)).astype(np.float32)
    data, _, _ = encode_label(disparity)
    image = Image.open(io.BytesIO(data))
    assert image.mode.startswith("I;16")
    np.testing.assert_array_equal(np.asarray(image), quantize(disparity)[0])


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    root = tmp_path_factory.mktemp("sources")
    write_images(root / "photos", range(23))
    write_parquet(root / "one.parquet", range(30, 47), labeled=False)
    for shard in range(4):
        write_tar(root / "tars" / f"{shard}.tar", {f"{n}.png": encoded(picture(n)) for n in range(3 + shard)})
    specs = [root / "photos", root / "one.parquet", root / "tars", "scenes:indoor?count=40"]
    return [parse_source(str(spec)) for spec in specs]


def make(sources, process=0, processes=1, finished=(), part_size=5):
    parts = parts_to_make(sources, part_size, process=process, processes=processes, finished=set(finished))
    return {name: [row["origin"] for row in rows] for name, rows in parts}


@pytest.mark.parametrize(("which", "count"), [((0, 4), 98), ((0, 1), 23), ((1, 2), 17), ((3, 4), 40)])
def test_any_number_of_processes_makes_the_same_parts_once(sources, which, count):
    sources = sources[slice(*which)]
    whole = make(sources)
    origins = [origin for rows in whole.values() for origin in rows]
    assert len(origins) == len(set(origins)) == count
    assert all(0 < len(rows) <= (16 if "scenes" in rows[0] else 5) for rows in whole.values())
    for processes in (2, 3, 7, 40):
        together = {}
        for process in range(processes):
            own = make(sources, process, processes)
            assert not own.keys() & together.keys()
            together |= own
        assert together == whole


def test_finished_parts_are_passed_over(sources):
    whole = make(sources)
    finished = list(whole)[::2]
    assert make(sources, finished=finished) == {name: rows for name, rows in whole.items() if name not in finished}
    assert make(sources, finished=list(whole)) == {}


def row(number):
    return {
        "image": {"bytes": encoded(picture(number)), "path": None}, "disparity": {"bytes": b"x", "path": None},
        "depth_scale": 0.5, "depth_shift": 0.1, "reliability": number / 10, "teacher": "t", "teacher_revision": "r",
        "domain": "", "origin": str(number),
    }  # fmt: skip


def test_parts_are_whole_and_a_set_made_otherwise_is_not_added_to(tmp_path):
    folder = LabelFolder(str(tmp_path / "set"))
    folder.check(RECORD)
    folder.begin(RECORD)
    folder.write_part("labels-00-00000-00000.parquet", [row(3), row(1)])
    folder.write_part("labels-00-00001-00000.parquet", [])  # all of it broken: done all the same
    (tmp_path / "set/data/labels-00-00002-00000.parquet.unfinished").write_bytes(b"cut off")
    assert folder.finished() == {"labels-00-00000-00000.parquet", "labels-00-00001-00000.parquet"}
    folder.write_part("labels-01-00000-00000.parquet", [])
    folder.write_part("labels-02-00000-00000.parquet", [row(5)])
    found = read_reliability(str(tmp_path / "set"))
    assert list(found) == [0, 2]  # all images of source 1 were broken
    np.testing.assert_allclose(np.concatenate(list(found.values())), [0.3, 0.1, 0.5])
    LabelFolder(str(tmp_path / "set")).check(RECORD)
    with pytest.raises(ValueError, match="holds pseudo labels with teacher=teacher, not teacher=other; give another"):
        folder.check(replace(RECORD, teacher="other"))
    assert json.loads((tmp_path / "set/pseudo_labels.json").read_text())["teacher_revision"] == "sha256:1"


def test_the_set_loads_with_datasets(tmp_path):
    from datasets import load_dataset

    folder = LabelFolder(str(tmp_path / "set"))
    folder.begin(RECORD)
    folder.write_part("labels-00-00000-00000.parquet", [row(3) | {"disparity": {"bytes": encode_label(
        np.arange(12, dtype=np.float32).reshape(3, 4))[0], "path": None}}])  # fmt: skip
    (sample,) = load_dataset(str(tmp_path / "set"), split="train", cache_dir=str(tmp_path / "cache"))
    assert sample["image"].size == (32, 24)
    assert np.asarray(sample["disparity"])[2, 3] == 65535
    assert sample["reliability"] == pytest.approx(0.3)


def test_a_table_is_read_once_whatever_the_size_of_parts(tmp_path, monkeypatch):
    """Each part opening its file again would read a file of many parts over and over."""
    from semidepth.data.reading.sources import TableRows

    write_parquet(tmp_path / "one.parquet", range(17), labeled=False)
    opened = []
    rows = TableRows.rows

    def counted(self, shard, start=0, step=1):
        opened.append(start)
        return rows(self, shard, start, step)

    monkeypatch.setattr(TableRows, "rows", counted)
    whole = make([parse_source(str(tmp_path / "one.parquet"))], part_size=3)
    assert opened == [0]
    again = make(
        [parse_source(str(tmp_path / "one.parquet"))], part_size=3, finished=list(whole)[:2] + list(whole)[4:5]
    )
    assert opened == [0, 6]
    assert list(again) == [list(whole)[place] for place in (2, 3, 5)]


@pytest.mark.parametrize("damage", [lambda data: bytes(len(data)), lambda data: b"", lambda data: data[:-30]])
def test_a_damaged_part_is_told_and_not_finished(tmp_path, damage, caplog):
    folder = LabelFolder(str(tmp_path))
    names = {f"labels-00-00000-0000{number}.parquet" for number in range(2)}
    for name in names:
        folder.write_part(name, [row(3)])
    assert folder.finished() == names
    part = tmp_path / "data" / min(names)
    part.write_bytes(damage(part.read_bytes()))
    assert folder.finished() == {max(names)}
    assert f"{min(names)} is damaged" in caplog.text
