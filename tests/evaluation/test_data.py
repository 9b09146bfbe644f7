"""Scored data: each image goes to one process, has one place in every run, and can be read again."""

import os
import time

import numpy as np
import pytest
import torch
from PIL import Image

from semidepth.evaluation import benchmarks
from semidepth.evaluation.benchmarks.base import BenchmarkSet
from semidepth.evaluation.data import (
    BenchmarkData,
    benchmark_data,
    depth_label,
    folder_fingerprint,
    read_ahead,
    source_data,
    source_fingerprint,
)

IMAGES = 7


@pytest.fixture
def frames(tmp_path):
    """A folder of images whose red channel and label, in metres, tell their number."""
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(IMAGES):
        Image.fromarray(np.full((6, 8, 3), 10 * number, np.uint8)).save(folder / f"{number}.png")
        np.save(folder / f"{number}_depth.npy", np.full((6, 8), 1.0 + number, np.float32))
    return folder


def numbers_set():
    """A benchmark of images that tell their number, which needs no files."""

    def read(number):
        image = torch.full((3, 6, 8), 10 * number, dtype=torch.uint8)
        return {"image": image, "depth": torch.full((6, 8), 1.0 + number), "domain": "", "origin": str(number)}

    return BenchmarkSet("numbers", [str(number) for number in range(IMAGES)], read, "none", 8.0, "", "")


def benchmark(total=IMAGES):
    return BenchmarkData("numbers", numbers_set(), total, "", ordinal=False, protocol="none", relative_max_depth_m=8.0)


@pytest.fixture(params=["source", "benchmark"])
def data(request, frames):
    return source_data(str(frames), None) if request.param == "source" else benchmark()


def shown(item):
    """Number that an item's image and label tell; they must agree."""
    number = round(item["depth"][0, 0].item() - 1)
    assert item["image"].unique().tolist() == [10 * number]
    return number


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_each_image_goes_to_one_process_and_keeps_its_place(data, processes):
    whole = {place: shown(read()) for place, read in data.share(0, 1, (), None)}
    assert sorted(whole.values()) == list(range(IMAGES))
    shares = [[(place, shown(read())) for place, read in data.share(k, processes, (), None)] for k in range(processes)]
    assert sorted(pair for share in shares for pair in share) == sorted(whole.items())
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_places_that_are_done_are_skipped_in_the_same_order(data):
    places = [place for place, _ in data.share(0, 1, (), None)]
    for done in (places[:3], places[2:4], places):
        left = [place for place, _ in data.share(0, 1, set(done), None)]
        assert left == [place for place in places if place not in done]


def test_a_place_is_read_again_as_it_was(data):
    for place, read in data.share(1, 2, (), None):
        again = data.read(place, None)
        assert torch.equal(again["image"], read()["image"])
        assert shown(again) == shown(read())


def test_a_limit_cuts_off_the_end(frames):
    limited = source_data(str(frames), 3)
    assert limited.total == 3
    assert [shown(read()) for _, read in limited.share(0, 1, (), None)] == [0, 1, 2]
    assert source_data(str(frames), 100).total == IMAGES
    assert [place for place, _ in benchmark(total=3).share(0, 2, (), None)] == [(0, 0), (0, 2)]


def test_sources_without_an_end_or_an_image_are_refused(tmp_path):
    with pytest.raises(ValueError, match="--limit"):
        source_data("scenes:indoor", None)
    assert source_data("scenes:indoor", 2).total == 2
    (tmp_path / "nothing").mkdir()
    with pytest.raises(ValueError, match="nothing"):
        source_data(str(tmp_path / "nothing"), None)


def test_a_benchmark_brings_its_own_protocol_and_cap(tmp_path, monkeypatch):
    monkeypatch.setattr("semidepth.evaluation.data.open_benchmark", lambda name, root: numbers_set())
    found = benchmark_data("numbers", str(tmp_path), 4)
    assert (found.total, found.protocol, found.relative_max_depth_m, found.ordinal) == (4, "none", 8.0, False)
    with pytest.raises(ValueError, match="nowhere"):
        benchmarks.open_benchmark("nowhere", tmp_path)


def test_a_broken_image_is_told_and_yielded_as_none(frames, caplog):
    content = (frames / "2.png").read_bytes()
    (frames / "2.png").write_bytes(content[:40])
    data = source_data(str(frames), None)
    items = [item for _, item in read_ahead(data.share(0, 1, (), None), 3)]
    assert [None if item is None else shown(item) for item in items] == [0, 1, None, 3, 4, 5, 6]
    assert "2.png" in caplog.text


@pytest.mark.parametrize(("side", "most"), [(100, 6), (6000, 1), (9000, 1)])
def test_of_large_images_few_are_read_ahead(side, most):
    read = []

    def items():
        for number in range(20):

            def image(number=number):
                read.append(number)
                return {"image": torch.zeros(1, dtype=torch.uint8).expand(3, side, side)}

            yield (0, number), image

    for (_, number), _ in read_ahead(items(), 6):
        time.sleep(0.01)  # the consumer is slower
        assert len(read) - 1 - number <= most
    assert read == list(range(20))


def test_an_image_without_a_label_is_named():
    with pytest.raises(ValueError, match="frame 7"):
        depth_label({"image": torch.zeros(3, 2, 2), "depth": None, "domain": "", "origin": "frame 7"})


def test_a_fingerprint_tells_changed_files(frames):
    first = source_data(str(frames), None).files
    assert first == source_data(str(frames), None).files
    os.utime(frames / "3_depth.npy", (1, 1))
    second = source_data(str(frames), None).files
    np.save(frames / "3_depth.npy", np.ones((12, 8), np.float32))
    os.utime(frames / "3_depth.npy", (1, 1))
    third = source_data(str(frames), None).files
    assert len({first, second, third}) == 3
    assert source_fingerprint(source_data("scenes:indoor?count=2", None).source) == ""


def test_two_roots_of_one_benchmark_differ(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.png").write_bytes(b"same")
        os.utime(tmp_path / name / "0.png", (1, 1))
    first = folder_fingerprint(tmp_path / "a")
    assert first != folder_fingerprint(tmp_path / "b")
    (tmp_path / "a/scores").mkdir()
    (tmp_path / "a/scores/options.json").write_text("{}")  # a run's own folder below the set
    (tmp_path / "a/.cache").write_text("hidden")
    assert folder_fingerprint(tmp_path / "a") == first
    (tmp_path / "a/0.png").write_bytes(b"other")
    assert folder_fingerprint(tmp_path / "a") != first
