"""Cached core features: what is kept, in which order it comes back, and when it is made anew."""

import json

import pytest
import torch
from processes import held_by_another
from safetensors import SafetensorError

from semidepth.common.console import CommandError
from semidepth.training.recipes import prepared
from semidepth.training.recipes.masks.cache import CachedBatches, cache_features

SIZE = 12


def batches(images=6, each=2):
    """Image number n has n + 1 objects, single pixels in rows of their own, and the brightness n."""
    for start in range(0, images, each):
        numbers = range(start, start + each)
        masks = torch.zeros(each, start + each, SIZE, SIZE, dtype=torch.bool)
        for row, number in enumerate(numbers):
            masks[row, torch.arange(number + 1), torch.arange(number + 1), number] = True
        image = torch.tensor(list(numbers), dtype=torch.uint8)[:, None, None, None].expand(each, 3, SIZE, SIZE)
        counts = torch.tensor([number + 1 for number in numbers])
        yield {"image": image, "masks": masks, "counts": counts, "origin": [f"image {number}" for number in numbers]}


def core(images):
    return {"patches": images[:, :, ::4, ::4].float() / 2, "fine": images[:, :1].float()}


def cached(folder, **changes):
    made_of = {"core": "abc"}
    cache_features(folder, batches(), core, images=6, made_of=made_of | changes.pop("made_of", {}), tell=False)
    return CachedBatches(folder, **({"batch_size": 2, "objects": 4, "size": SIZE, "seed": 0} | changes))


def test_every_image_comes_once_in_a_pass_with_its_own_features_and_objects(tmp_path):
    loader = cached(tmp_path)
    orders = []
    for _ in range(3):
        seen = []
        for batch in (next(loader) for _ in range(3)):
            for row, origin in enumerate(batch["origin"]):
                number = int(origin.split()[1])
                seen.append(number)
                assert (batch["features"]["patches"][row] == number / 2).all()
                assert batch["features"]["fine"].shape == (2, 1, SIZE, SIZE)
                masks = batch["masks"][row]
                there = masks[masks.flatten(1).any(1)]
                assert len(there) == min(number + 1, 4)
                rows, columns = there.nonzero()[:, 1:].unbind(1)
                assert len(set(rows.tolist())) == len(there)  # different objects
                assert (columns == number).all()
                assert rows.max() <= number
        assert sorted(seen) == list(range(6))
        orders.append(seen)
    assert len({tuple(order) for order in orders}) > 1


def test_of_many_objects_each_is_drawn_in_turn(tmp_path):
    loader = cached(tmp_path, objects=1, batch_size=6)
    rows = [next(loader) for _ in range(60)]
    last = [batch["masks"][batch["origin"].index("image 5")].nonzero()[0, 1].item() for batch in rows]
    assert set(last) == set(range(6))


def test_a_resumed_run_goes_on_where_the_other_stopped(tmp_path):
    loader = cached(tmp_path)
    expected = [next(loader) for _ in range(8)]
    first = cached(tmp_path)
    for _ in range(4):
        next(first)
    again = cached(tmp_path)
    again.restore([json.loads(json.dumps(first.state()))])
    for batch in expected[4:]:
        found = next(again)
        assert found["origin"] == batch["origin"]
        assert torch.equal(found["masks"], batch["masks"])


def test_features_are_made_anew_when_they_are_of_something_else(tmp_path):
    cached(tmp_path)
    called = []

    def counting(images):
        called.append(len(images))
        return core(images)

    cache_features(tmp_path, batches(), counting, images=6, made_of={"core": "abc"}, tell=False)
    assert not called
    cache_features(tmp_path, batches(), counting, images=6, made_of={"core": "other"}, tell=False)
    assert called == [2, 2, 2]


def test_a_cache_that_was_not_finished_is_not_used(tmp_path):
    cached(tmp_path)
    (tmp_path / "index.json").unlink()
    called = []
    cache_features(
        tmp_path,
        batches(),
        lambda images: called.append(1) or core(images),
        images=6,
        made_of={"core": "abc"},
        tell=False,
    )
    assert len(called) == 3


def test_too_few_images_are_told(tmp_path):
    with pytest.raises(CommandError, match=r"--cached_images is 7 .* only 6"):
        cache_features(tmp_path, batches(), core, images=7, made_of={}, tell=False)


@pytest.mark.parametrize("file", ["index.json", "part-00001.safetensors"])
@pytest.mark.parametrize("damage", ["cut", "changed", "gone"])
def test_damaged_features_are_made_anew(tmp_path, file, damage, caplog):
    expected = next(cached(tmp_path))
    content = (tmp_path / file).read_bytes()
    if damage == "gone":
        (tmp_path / file).unlink()
    else:
        changed = content[:-9] if damage == "cut" else content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]
        (tmp_path / file).write_bytes(changed)
    found = next(cached(tmp_path))
    assert torch.equal(found["masks"], expected["masks"])
    assert all(torch.equal(value, expected["features"][name]) for name, value in found["features"].items())
    assert ("is damaged" in caplog.text) == ((damage, file) != ("gone", "index.json"))


def test_two_runs_do_not_make_one_cache(tmp_path):
    with held_by_another(tmp_path / "features"), pytest.raises(ValueError, match=r"--cache_dir .* is in use"):
        cached(tmp_path / "features")


def test_no_room_is_one_sentence(tmp_path, monkeypatch):
    def full(*_):
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(prepared, "save_file", full)
    with pytest.raises(CommandError, match=r"No space left on device .* free disk space, or give another --cache_dir"):
        cached(tmp_path)
