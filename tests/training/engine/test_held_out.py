"""What a run is validated on where --validation does not say it."""

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sample_files import depth_mm, picture, write_parquet

from semidepth.training import teacher
from semidepth.training.engine.held_out import split_labeled, split_sources
from semidepth.training.engine.resuming import setting_of
from semidepth.training.options.metric import MetricOptions
from semidepth.training.options.teacher import TeacherOptions


def photos(folder, count):
    folder.mkdir()
    for number in range(count):
        Image.fromarray(picture(number)).save(folder / f"{number}.png")
        np.save(folder / f"{number}_depth.npy", depth_mm(number).astype(np.float32) / 1000)
    return str(folder)


def split(*labeled, validation=(), **options):
    return split_labeled(TeacherOptions(labeled=labeled, validation=validation, steps=1, **options))


def specs(sources):
    return [source.spec for source in sources]


def test_a_part_of_each_labeled_source_is_held_out_and_the_log_says_which(tmp_path, caplog):
    caplog.set_level("INFO", logger="semidepth")
    table, folder = str(write_parquet(tmp_path / "a.parquet", range(40))), photos(tmp_path / "photos", 60)
    train, validation = split(table, f"{folder}?max_depth_m=9")
    assert specs(train) == [f"{table}?part=train", f"{folder}?max_depth_m=9&part=train"]
    assert specs(validation) == [f"{table}?part=held_out", f"{folder}?max_depth_m=9&part=held_out"]
    told = [record.getMessage() for record in caplog.records]
    assert any(table in text and "2 images" in text and "single rows" in text for text in told)
    assert any(folder in text and "3 images" in text and "single images" in text for text in told)


def test_scenes_are_validated_on_their_own_split(tmp_path):
    train, validation = split("scenes:indoor?style=wild&start=7&count=300", "scenes:outdoor", "scenes:indoor?count=8")
    assert specs(train)[1] == "scenes:outdoor"
    assert specs(validation) == [
        "scenes:indoor?style=wild&count=200&split=validation", "scenes:outdoor?split=validation&count=200",
        "scenes:indoor?count=8&split=validation",
    ]  # fmt: skip
    assert validation[0].first_index > train[0].first_index + 300


def test_named_sources_and_none_leave_the_labeled_ones_whole(tmp_path):
    folder = photos(tmp_path / "photos", 60)
    train, validation = split(folder, validation=("scenes:indoor?split=validation&count=4",))
    assert (specs(train), specs(validation)) == ([folder], ["scenes:indoor?split=validation&count=4"])
    assert [specs(part) for part in split(folder, validation=("none",))] == [[folder], []]


def test_parts_of_metric_sources_keep_their_domain(tmp_path):
    named = MetricOptions(train=(f"faces={photos(tmp_path / 'photos', 60)}", "streets=scenes:outdoor?count=8"),
                          domains=("faces?max_depth_m=3", "streets?max_depth_m=80"))  # fmt: skip
    train, validation = split_sources(named.train_sources(), named.validation_sources(), images=5)
    assert [source.domain for source in train] == [source.domain for source in validation] == ["faces", "streets"]
    assert specs(validation)[0].endswith("?part=held_out")
    assert specs(validation)[1] == "scenes:outdoor?count=5&split=validation"
    assert setting_of(named)["held_out"] is not None
    none = replace(named, validation=("none",))
    assert none.validation_sources() == []
    assert setting_of(none)["held_out"] is None


def test_what_is_not_cut_is_told_with_its_reason(tmp_path, caplog):
    folder, table = photos(tmp_path / "photos", 4), tmp_path / "a.parquet"
    rows = pq.read_table(write_parquet(table, range(40)))
    pq.write_table(rows.append_column("reliability", [[1.0] * 40]), table)
    for source, reason in {
        folder: "it has 4 images",
        f"{table}?part=train": "it is a part itself (train)",
        f"{table}?min_reliability=0.5": "chosen by reliability",
        "scenes:indoor?split=test&count=4": "it is the test split",
    }.items():
        caplog.clear()
        assert [specs(part) for part in split(source)] == [[source], []]
        assert f"nothing of {source} is held out for validation: " in caplog.text
        assert reason in caplog.text


def test_a_run_with_another_cut_is_another_run(tmp_path):
    folder = photos(tmp_path / "photos", 60)
    cut = TeacherOptions(labeled=(folder,), steps=1)
    for other in (("none",), ("scenes:indoor?count=4",)):
        assert setting_of(cut) != setting_of(TeacherOptions(labeled=(folder,), validation=other, steps=1))
    scenes = TeacherOptions(labeled=("scenes:indoor",), steps=1)
    assert setting_of(scenes) == setting_of(TeacherOptions(labeled=("scenes:indoor",), validation=("none",), steps=1))


@pytest.mark.parametrize("words", [["none", "scenes:indoor"], ["scenes:indoor", "none"]])
def test_none_stands_alone(words, refused):
    assert "names sources and none" in refused(teacher.main, "--validation", *words)
