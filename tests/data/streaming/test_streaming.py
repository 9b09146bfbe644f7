"""The stream: each sample of a pass once to one reader, deterministic, broken samples skipped and counted."""

import logging
import re
from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from sample_files import depth_mm, encoded, npy, picture, write_images, write_parquet, write_tar
from streams import open_stream
from torch.utils.data import DataLoader

from semidepth.data.streaming.stream import whose_turn


def number_of(sample) -> int:
    """The number that a picture tells by its colour."""
    red, green = sample["image"][:2, 0, 0].tolist()
    return red + 256 * (green // 6)


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> list[str]:
    """91 samples: 1 parquet file of 13, 7 of 4, a folder of 20 images, 2 tars of 15: few and many shards."""
    root = tmp_path_factory.mktemp("sources")
    write_parquet(root / "one.parquet", range(13))
    for shard in range(7):
        write_parquet(root / "seven" / f"{shard}.parquet", range(13 + shard * 4, 17 + shard * 4))
    write_images(root / "folder", range(41, 61))
    for shard in range(2):
        numbers = range(61 + shard * 15, 76 + shard * 15)
        write_tar(root / "tars" / f"{shard}.tar", {f"{n:03}.png": encoded(picture(n)) for n in numbers})
    return [str(root / "one.parquet"), str(root / "seven"), str(root / "folder"), str(root / "tars")]


def test_samples_are_decoded(tmp_path):
    write_parquet(tmp_path / "a.parquet", range(300, 302), "outdoor")
    sample = list(open_stream([tmp_path], labeled=True))[1]
    np.testing.assert_array_equal(sample["image"].numpy(), picture(301).transpose(2, 0, 1))
    expected = np.where(depth_mm(301) == 0, np.nan, depth_mm(301) * np.float32(0.001))
    np.testing.assert_allclose(sample["depth"].numpy(), expected, rtol=1e-6)
    assert (sample["domain"], sample["origin"]) == ("outdoor", f"{tmp_path}/a.parquet#row 1")
    assert next(iter(open_stream([tmp_path])))["depth"] is None


def test_given_scale_goes_before_the_column(tmp_path):
    write_parquet(tmp_path / "a.parquet", range(1))
    with pytest.raises(ValueError, match="no pixel of known depth"):  # 1000 * 0.5 m is beyond 400 m
        next(iter(open_stream([f"{tmp_path}?depth_scale=0.5&max_depth_m=400"], labeled=True)))
    sample = next(iter(open_stream([f"{tmp_path}?depth_scale=0.25&max_depth_m=400"], labeled=True)))
    assert sample["depth"][5, 5] == 250.0


def test_disparity_sources_and_depth_of_another_size(tmp_path):
    disparity = np.array([[0.0, 0.5], [np.nan, -1.0]], dtype=np.float32)
    image = encoded(np.zeros((4, 4, 3), np.uint8))
    write_tar(tmp_path / "t.tar", {"0.png": image, "0.disparity.npy": npy(disparity)})
    (sample,) = open_stream([f"{tmp_path}?kind=disparity"], labeled=True)
    small = np.array([[np.inf, 2.0], [np.nan, np.nan]], dtype=np.float32)
    np.testing.assert_array_equal(sample["depth"].numpy(), small.repeat(2, axis=0).repeat(2, axis=1))


def test_integers_without_a_scale_stop_the_run(tmp_path):
    write_images(tmp_path, range(1))
    (tmp_path / "0000_depth.png").write_bytes(encoded(depth_mm(0)))
    with pytest.raises(ValueError, match=r"0000_depth\.png holds uint16 depth without a scale"):
        list(open_stream([tmp_path], labeled=True))
    (sample,) = open_stream([f"{tmp_path}?depth_scale=0.001"], labeled=True)
    assert sample["depth"][3, 3] == pytest.approx(1.0)


@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_readers_are_disjoint_and_complete(sources, world_size, num_workers):
    seen: Counter[int] = Counter()
    for rank in range(world_size):
        stream = open_stream(sources, seed=5, shuffle_buffer=8, rank=rank, world_size=world_size)
        loader = DataLoader(stream, batch_size=None, num_workers=num_workers)
        seen.update(number_of(sample) for sample in loader)
    assert seen == Counter(range(91))


@pytest.mark.parametrize("readers", [4, 7, 16])
def test_any_number_of_readers_works(sources, readers):
    for count in ("", "?count=5"):
        shares = [
            [number_of(s) for s in open_stream([source + count for source in sources], rank=r, world_size=readers)]
            for r in range(readers)
        ]
        expected = range(91) if not count else [*range(5), *range(13, 18), *range(41, 46), *range(61, 66)]
        assert sorted(number for share in shares for number in share) == list(expected)


def test_order_without_shuffling_is_the_files_order(sources):
    for source, numbers in zip(sources, (range(13), range(13, 41), range(41, 61), range(61, 91)), strict=True):
        assert [number_of(sample) for sample in open_stream([source])] == list(numbers)


def test_seed_makes_the_order(sources):
    def order(**options):
        return [number_of(sample) for sample in open_stream(sources, shuffle_buffer=20, **options)]

    assert order(seed=1) == order(seed=1)
    assert order(seed=1) != order(seed=2)
    assert sorted(order(seed=1)) == list(range(91))
    # Shuffled through and through: neighbours in a file rarely stay neighbours.
    assert np.mean(np.diff(order(seed=1)) == 1) < 0.1


def test_passes_repeat_in_new_orders(sources):
    numbers = [number_of(s) for s in islice(open_stream(sources, shuffle_buffer=20, repeat=True), 3 * 91)]
    passes = [numbers[:91], numbers[91:182], numbers[182:]]
    assert all(sorted(one) == list(range(91)) for one in passes)
    assert passes[0] != passes[1] != passes[2]


def test_readers_without_a_share_get_one_in_the_next_pass(tmp_path):
    write_parquet(tmp_path / "a.parquet", range(2))
    for rank in range(5):
        stream = open_stream([tmp_path], repeat=True, rank=rank, world_size=5)
        assert {number_of(sample) for sample in islice(stream, 6)} == {0, 1}


def test_sources_are_interleaved_by_size(tmp_path):
    write_parquet(tmp_path / "a.parquet", range(30))
    write_parquet(tmp_path / "b.parquet", range(100, 110))
    numbers = [number_of(s) for s in open_stream([tmp_path / "a.parquet", tmp_path / "b.parquet"])]
    for start in range(0, 40, 8):  # 3 : 1 all along
        assert sum(number >= 100 for number in numbers[start : start + 8]) == 2


def test_streams_take_turns_by_weight_and_drop_out():
    def order(lengths, weights):
        taken, ended, turns = [0] * len(lengths), [False] * len(lengths), []
        while (turn := whose_turn(taken, weights, ended)) is not None:
            taken[turn] += 1
            if taken[turn] > lengths[turn]:
                ended[turn] = True
            else:
                turns.append(turn)
        return turns

    assert order([3, 5], [1, 1]) == [0, 1, 0, 1, 0, 1, 1, 1]
    assert order([2, 6], [2.0, 6.0]) == [1, 0, 1, 1, 1, 0, 1, 1]
    assert order([], []) == []


def test_broken_samples_are_skipped_counted_and_named(tmp_path, caplog):
    write_images(tmp_path, range(6))
    whole = (tmp_path / "0002.png").read_bytes()
    (tmp_path / "0002.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "0004.png").write_text("not an image")
    reader = open_stream([tmp_path], repeat=True).reader(0, 1)
    with caplog.at_level(logging.WARNING):
        numbers = [number_of(sample) for sample in islice(reader, 8)]
    assert numbers == [0, 1, 3, 5, 0, 1, 3, 5]
    assert reader.skipped == {str(tmp_path): 4}
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2  # each is named once, not in each pass
    assert re.search(r"0002\.png .*1 skipped so far.*truncated", messages[0])
    assert re.search(r"0004\.png .*2 skipped so far.*no known image format", messages[1])


def test_missing_cells_are_broken_samples(tmp_path, caplog):
    from datasets import Dataset, Features, Image

    columns = {
        "image": [encoded(picture(0)), None, encoded(picture(2))],
        "depth": [None, encoded(depth_mm(1)), encoded(depth_mm(2))],
    }
    Dataset.from_dict(columns, features=Features({"image": Image(), "depth": Image()})).to_parquet(
        tmp_path / "a.parquet"
    )
    stream = open_stream([f"{tmp_path}?depth_scale=0.001"], labeled=True)
    assert [number_of(sample) for sample in stream] == [2]
    assert "row 0 has no depth" in caplog.text
    assert "row 1 has no image" in caplog.text


def test_source_with_nothing_good_is_an_error(tmp_path):
    good, bad = write_images(tmp_path / "good", range(2)), tmp_path / "bad"
    bad.mkdir()
    for number in range(3):
        (bad / f"{number}.jpg").write_bytes(b"\xff\xd8\xff")
    for repeat in (False, True):
        with pytest.raises(
            ValueError, match=r"bad' has no usable sample: all 3 are broken, the first because .*0\.jpg"
        ):
            list(islice(open_stream([good, bad], repeat=repeat), 100))


def test_a_reader_whose_share_is_broken_goes_on_if_the_source_is_good(tmp_path):
    write_images(tmp_path, range(4))
    (tmp_path / "0001.png").write_bytes(b"")
    (tmp_path / "0003.png").write_bytes(b"")
    assert [number_of(s) for s in open_stream([tmp_path], rank=0, world_size=2)] == [0, 2]
    assert list(open_stream([tmp_path], rank=1, world_size=2)) == []


def test_empty_source_is_an_error(tmp_path):
    write_parquet(tmp_path / "a.parquet", range(0))
    with pytest.raises(ValueError, match="has no usable sample: it is empty"):
        list(open_stream([tmp_path]))


def test_broken_sample_in_a_worker_is_an_error_there_too(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(ValueError, match="has no usable sample"):
        list(DataLoader(open_stream([tmp_path]), batch_size=None, num_workers=1))


def test_endless_scenes_are_fresh_and_disjoint():
    seen = []
    for rank in range(2):
        stream = open_stream(["scenes:indoor", "scenes:outdoor"], size=8, repeat=True, rank=rank, world_size=2)
        samples = list(islice(stream, 40))
        assert [sample["domain"] for sample in samples] == ["indoor", "outdoor"] * 20
        seen += [sample["origin"] for sample in samples]
    assert len(set(seen)) == len(seen) == 80


def test_endless_beside_finite_starts_over(tmp_path):
    write_parquet(tmp_path / "a.parquet", range(3))
    stream = open_stream(["scenes:indoor", tmp_path], size=8, repeat=True)
    origins = [sample["origin"] for sample in islice(stream, 20)]
    assert all(origin.startswith("scenes:") for origin in origins[::2])
    assert Counter(origins[1::2]) == {f"{tmp_path}/a.parquet#row {n}": 4 if n == 0 else 3 for n in range(3)}


def test_counted_scenes_repeat_the_same_scenes():
    stream = open_stream(["scenes:outdoor?count=20"], labeled=True, size=16, repeat=True, shuffle_buffer=64)
    samples = list(islice(stream, 40))
    first, second = ({s["origin"]: s for s in half} for half in (samples[:20], samples[20:]))
    assert set(first) == set(second) == {f"scenes:outdoor#{n}" for n in range(20)}
    for origin, sample in first.items():
        assert torch.equal(sample["image"], second[origin]["image"])
        assert torch.equal(sample["depth"], second[origin]["depth"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rank": 2, "world_size": 2}, "rank 2 does not fit a world of 2"),
        ({"shuffle_buffer": -1}, "must not be negative"),
        ({"seed": -1}, "must not be negative"),
    ],
)
def test_wrong_arguments_are_refused(sources, changes, words):
    with pytest.raises(ValueError, match=words):
        open_stream(sources, **changes)


def test_no_source_is_refused():
    with pytest.raises(ValueError, match="no source was given"):
        open_stream([])


def test_path_objects_stand_for_rows_until_decoded(tmp_path):
    write_images(tmp_path, range(1))
    iterator = iter(open_stream([tmp_path]))
    Path(tmp_path / "0000.png").write_bytes(encoded(picture(9)))  # read when it is asked for, not before
    assert number_of(next(iterator)) == 9


def test_weights_say_how_often_each_source_is_met(sources):
    """A source of 13 and one of 30, three to one; the smaller starts over and nothing of it is left out."""
    pair = [sources[0], sources[3]]
    stream = open_stream(pair, weights=[3.0, 1.0], repeat=True, shuffle_buffer=8)
    numbers = [number_of(sample) for sample in islice(stream, 104)]
    small = [number for number in numbers if number < 13]
    assert len(small) == 78
    assert Counter(small) == dict.fromkeys(range(13), 6)
    for start in range(0, 104, 8):  # also within every batch
        assert sum(number < 13 for number in numbers[start : start + 8]) == 6


@pytest.mark.parametrize("weights", [[1.0], [1.0, 0.0]])
def test_weights_that_do_not_fit_are_refused(sources, weights):
    with pytest.raises(ValueError, match="do not fit 2 sources"):
        open_stream(sources[:2], weights=weights, repeat=True)
