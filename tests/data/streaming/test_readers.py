"""Readers: passes shared out without gap or overlap, and taken up exactly where they were left."""

import json
from collections import Counter

import numpy as np
import pytest
from sample_files import encoded, picture, write_images, write_parquet, write_tar
from streams import make_plan

from semidepth.data.reading import tables
from semidepth.data.streaming.readers import SourceReader, plan_pass


def make(spec, reader=0, readers=1, shuffle_buffer=6, repeat=True, seed=0) -> SourceReader:
    plan = make_plan([spec], size=8, seed=seed, shuffle_buffer=shuffle_buffer, repeat=repeat)
    return SourceReader(plan, 0, reader, readers)


def take(reader: SourceReader, count: int, passes: bool = True) -> list:
    """(epoch, shard, row) of so many rows, going on from pass to pass."""
    found = []
    while len(found) < count:
        item = next(reader)
        if item is None:
            if not passes:
                break
            reader.start_pass(reader.epoch + 1)
        else:
            found.append((reader.epoch, *item[0]))
    return found


def stored(state):
    """A state as a checkpoint gives it back."""
    return json.loads(json.dumps(state, default=lambda array: array.tolist()))


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> dict[str, tuple[str, int]]:
    """Name -> (source, rows): fewer shards than readers, as many, more, and not divisible."""
    root = tmp_path_factory.mktemp("readers")
    write_parquet(root / "one.parquet", range(23), labeled=False)
    for shard in range(4):
        write_parquet(root / "four" / f"{shard}.parquet", range(shard * 5, shard * 5 + 5), labeled=False)
    for shard in range(7):
        write_parquet(root / "seven" / f"{shard}.parquet", range(shard * 3, shard * 3 + 3), labeled=False)
    write_images(root / "folder", range(29))
    for shard in range(2):
        write_tar(root / "tars" / f"{shard}.tar", {f"{n:03}.png": encoded(picture(n)) for n in range(11)})
    return {
        "one file": (str(root / "one.parquet"), 23),
        "four files": (str(root / "four"), 20),
        "seven files": (str(root / "seven"), 21),
        "folder": (str(root / "folder"), 29),
        "tars": (str(root / "tars"), 22),
        "scenes": ("scenes:indoor?count=35", 35),
    }


KINDS = ["one file", "four files", "seven files", "folder", "tars", "scenes"]


@pytest.mark.parametrize("shards", [1, 2, 4, 5, 12, 13])
@pytest.mark.parametrize("readers", [1, 2, 3, 4, 6, 9])
def test_plans_hold_every_row_once(shards, readers):
    for epoch, seed in ((0, None), (3, (1, 2))):
        plans = [
            plan_pass(shards, epoch=epoch, reader=reader, readers=readers, seed=seed, rotate=True)
            for reader in range(readers)
        ]
        rows = Counter(
            (shard, row) for plan in plans for shard, first, step in plan for row in range(first, 10 + shard, step)
        )
        assert rows == Counter((shard, row) for shard in range(shards) for row in range(10 + shard))


def test_single_rows_in_few_shards_are_spread():
    """Four shards of one row each over eight readers: four readers get one."""
    plans = [plan_pass(4, epoch=0, reader=r, readers=8, seed=None, rotate=False) for r in range(8)]
    assert [sum(first == 0 for _, first, _ in plan) for plan in plans] == [1, 1, 1, 1, 0, 0, 0, 0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("readers", [1, 2, 5])
def test_every_pass_is_shared_out_exactly_once(sources, kind, readers):
    spec, rows = sources[kind]
    seen = Counter()
    for number in range(readers):
        reader = make(spec, number, readers)
        for epoch in range(3):
            reader.start_pass(epoch)
            seen.update(take(reader, 10_000, passes=False))
    assert set(seen.values()) == {1}
    assert Counter(epoch for epoch, _, _ in seen) == dict.fromkeys(range(3), rows)


def test_shuffled_through_and_through():
    places = [take(make("scenes:indoor?count=6", seed=seed), 6).index((0, 0, 0)) for seed in range(600)]
    assert (abs(np.bincount(places, minlength=6) - 100) < 46).all()  # 5 standard deviations


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("readers", [1, 2, 5])
def test_a_reader_goes_on_exactly_from_any_row(sources, kind, readers):
    """Stopped before the buffer is full, amid a pass, while it drains and in the next pass."""
    spec, _ = sources[kind]
    whole = [make(spec, number, readers) for number in range(readers)]
    total = 60
    expected = [take(reader, total) for reader in whole]
    for stop in (0, 1, 4, 9, 17, 22, 41):
        states = []
        for number in range(readers):
            reader = make(spec, number, readers)
            take(reader, stop)
            states.append(stored(reader.state()))
        for number in range(readers):
            reader = make(spec, number, readers)
            reader.restore(states)
            assert take(reader, total - stop) == expected[number][stop:]


def test_a_state_is_small_and_stays_as_it_was(sources):
    spec, _ = sources["one file"]
    reader = make(spec)
    take(reader, 5)
    state = reader.state()
    before = json.dumps(stored(state))
    take(reader, 10)
    assert json.dumps(stored(state)) == before
    assert len(before) < 1500


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 1), (2, 3), (4, 2), (5, 7)])
def test_another_number_of_readers_loses_nothing_and_repeats_nothing(sources, kind, before, after):
    spec, rows = sources[kind]
    readers = [make(spec, number, before) for number in range(before)]
    seen = Counter()
    for number, reader in enumerate(readers):  # unevenly far, the first ones into the second pass
        seen.update(take(reader, rows // before + 3 if number == 0 else rows // before // 2))
    states = [stored(reader.state()) for reader in readers]
    last = max(state["epoch"] for state in states)
    for number in range(after):
        reader = make(spec, number, after)
        reader.restore(states)
        assert reader.epoch == last
        seen.update((reader.epoch, *item[1:]) for item in take(reader, 10_000, passes=False))
        reader.start_pass(last + 1)
        seen.update(take(reader, 10_000, passes=False))
    # Rows left over from an earlier pass are counted under the last one here: each was met once a pass in all.
    met = Counter((shard, row) for (_, shard, row), count in seen.items() for _ in range(count))
    assert set(met.values()) == {last + 2}
    assert len(met) == rows


def test_a_second_change_of_readers_and_a_stop_amid_the_rest(sources):
    spec, rows = sources["seven files"]
    seen = Counter()
    states = []
    for number in range(3):
        reader = make(spec, number, 3)
        seen.update(item[1:] for item in take(reader, 3))
        states.append(stored(reader.state()))
    for readers, rows_each in ((2, 2), (2, 1), (4, 1)):
        following = []
        for number in range(readers):
            reader = make(spec, number, readers)
            reader.restore(states)
            seen.update(item[1:] for item in take(reader, rows_each))
            following.append(stored(reader.state()))
        states = following
    for number in range(5):
        reader = make(spec, number, 5)
        reader.restore(states)
        seen.update(item[1:] for item in take(reader, 10_000, passes=False))
    assert set(seen.values()) == {1}
    assert len(seen) == rows


def test_endless_scenes_stay_new_for_another_number_of_readers():
    spec = "scenes:indoor?size=8"
    seen = []
    states = []
    for number in range(2):
        reader = make(spec, number, 2)
        seen += take(reader, 20)
        states.append(stored(reader.state()))
    for number in range(3):
        reader = make(spec, number, 3)
        reader.restore(states)
        seen += take(reader, 20)
    assert len(set(seen)) == len(seen) == 100


def test_another_seed_or_buffer_still_finishes_the_pass(sources):
    spec, rows = sources["one file"]
    reader = make(spec, shuffle_buffer=6)
    seen = Counter(take(reader, 8))
    for changes in ({"seed": 5}, {"shuffle_buffer": 0}, {"shuffle_buffer": 50}):
        other = make(spec, **changes)
        other.restore([stored(reader.state())])
        assert set((seen + Counter(take(other, 10_000, passes=False))).values()) == {1}
    assert rows == 23


def test_files_that_changed_start_a_new_pass_or_are_refused(tmp_path, caplog):
    write_parquet(tmp_path / "a.parquet", range(9), labeled=False)
    reader = make(tmp_path)
    take(reader, 3)
    state = stored(reader.state())
    write_parquet(tmp_path / "b.parquet", range(9, 12), labeled=False)
    tables.open_table.cache_clear()  # as a new run has it
    other = make(tmp_path)
    other.restore([state])
    assert "has 2 files and had 1: what was left of the pass cannot be told" in caplog.text
    assert len(take(other, 10_000, passes=False)) == 12
    (tmp_path / "b.parquet").unlink()
    write_parquet(tmp_path / "a.parquet", range(1), labeled=False)
    tables.open_table.cache_clear()
    with pytest.raises(ValueError, match=r"lacks .* rows that a checkpoint refers to; its files have changed"):
        make(tmp_path).restore([state])


def test_a_run_whose_buffer_or_seed_changes_keeps_its_order_of_passes(sources):
    """Readers in different passes: were the order of the next pass another for one of them, rows would be lost."""
    for spec, rows in (sources["seven files"], sources["folder"]):
        for buffer, seed in ((0, 0), (6, 9), (0, 9)):
            readers = [make(spec, number, 2) for number in range(2)]
            seen = Counter(take(readers[0], rows // 2 + 4)) + Counter(take(readers[1], 2))  # one is a pass ahead
            states = [stored(reader.state()) for reader in readers]
            assert states[0]["epoch"] == states[1]["epoch"] + 1
            for number in range(2):
                reader = make(spec, number, 2, shuffle_buffer=buffer, seed=seed)
                reader.restore(states)
                while reader.epoch < 3:
                    seen.update(take(reader, 10_000, passes=False))
                    reader.start_pass(reader.epoch + 1)
            assert set(seen.values()) == {1}
            assert len(seen) == 3 * rows
