"""Training batches and samples with masks: crops, choices, determinism and resuming."""

import numpy as np
import pytest
import torch

from semidepth.data.scenes.render import render_scenes
from semidepth.data.scenes.things import SKY, things_of
from semidepth.data.source_spec import parse_sources
from semidepth.data.streaming.mask_loading import MaskChoice, MaskLoader, mask_samples
from semidepth.data.streaming.plan import StreamPlan

ALL = MaskChoice(min_area=0.0, max_area=1.0, masks_per_image=1000)


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def samples(spec: str, **options) -> list:
    return list(mask_samples(parse_sources([spec]), **options))


@pytest.mark.parametrize("domain", ["indoor", "outdoor"])
def test_masks_of_scenes_are_those_of_the_renderer(domain: str):
    batch = render_scenes(domain, range(4), seed=2, height=48, width=48, truths=("masks",))
    things = things_of(domain)
    found = samples(f"scenes:{domain}?count=4&seed=2&size=48", choice=ALL)
    for sample, image, part, thing in zip(found, batch.image, batch.part, batch.thing, strict=True):
        assert torch.equal(sample.image, image)
        whole = {(things.kinds + ("sky",) * 256)[n] if n != SKY else "sky" for n in thing.unique().tolist()}
        assert {n for n, level in zip(sample.names, sample.levels, strict=True) if level == "thing"} == whole
        for mask, name, level in zip(sample.masks, sample.names, sample.levels, strict=True):
            numbers = (thing if level == "thing" else part)[mask].unique()
            assert len(numbers) == 1
            assert torch.equal(mask, (thing if level == "thing" else part) == numbers)
            if level == "part":
                assert things.parts[numbers] == name
                assert any((mask <= other).all() and (mask < other).any() for other in sample.masks)  # its thing


def test_levels_that_a_source_asks_for():
    for wanted, levels in (("things", {"thing"}), ("parts", {"part"}), ("both", {"thing", "part"})):
        found = samples(f"scenes:indoor?count=6&size=32&masks={wanted}", choice=ALL)
        assert {level for sample in found for level in sample.levels} == levels


def test_areas_and_number_of_masks():
    choice = MaskChoice(min_area=0.01, max_area=0.3, masks_per_image=3)
    found = samples("scenes:indoor?count=8&size=64", choice=choice)
    shares = torch.cat([sample.masks.float().mean((1, 2)) for sample in found])
    assert shares.min() >= 0.01
    assert shares.max() <= 0.3
    assert max(len(sample.masks) for sample in found) == 3
    again = samples("scenes:indoor?count=8&size=64", choice=choice)
    assert all(torch.equal(a.masks, b.masks) for a, b in zip(found, again, strict=True))
    other = samples("scenes:indoor?count=8&size=64", choice=choice, seed=1)
    assert any(a.names != b.names for a, b in zip(found, other, strict=True))


def test_size_and_multiple():
    (sample,) = samples("scenes:indoor?count=1&size=60", size=42, multiple=14)
    assert sample.image.shape == (3, 42, 42)
    assert sample.masks.shape[-2:] == (42, 42)
    assert sample.masks.dtype == torch.bool


def loader(**options) -> MaskLoader:
    plan = StreamPlan(
        parse_sources(["scenes:indoor?count=40", "scenes:outdoor"]), labeled=True, size=28, seed=3, shuffle_buffer=16,
        repeat=True, smallest_crop=0.6, **options,
    )  # fmt: skip
    return MaskLoader(plan, batch_size=3, multiple=14, choice=MaskChoice(masks_per_image=5))


def take(source, count: int) -> list:
    batches = iter(source)
    return [next(batches) for _ in range(count)]


def same(one: dict, other: dict) -> bool:
    return all(
        torch.equal(one[key], other[key]) if isinstance(one[key], torch.Tensor) else one[key] == other[key]
        for key in one
    )


def test_batches_and_resuming_to_the_bit():
    first = take(loader(), 6)
    for batch in first:
        assert batch["image"].shape == (3, 3, 28, 28)
        assert batch["masks"].shape == (3, int(batch["counts"].max()), 28, 28)
        of_each = (batch[key] for key in ("masks", "counts", "names", "levels"))
        for masks, count, names, levels in zip(*of_each, strict=True):
            assert masks[:count].flatten(1).any(1).all()
            assert not masks[count:].any()
            assert len(names) == len(levels) == count
    stopped = loader()
    take(stopped, 2)
    resumed = loader()
    assert resumed.restore([stopped.state()]) == ""
    assert all(same(a, b) for a, b in zip(first[2:], take(resumed, 4), strict=True))


def test_crop_and_flip_are_the_images():
    """A mask of a scene rendered again, cropped by hand: every pixel of a thing has the thing's number."""
    sources = parse_sources(["scenes:indoor?count=1&size=64"])
    plan = StreamPlan(sources, labeled=False, size=32, seed=5, repeat=True, smallest_crop=0.5)
    scene = render_scenes("indoor", [0], height=64, width=64, truths=("masks",))
    flips = set()
    for batch in take(MaskLoader(plan, batch_size=1, choice=ALL), 6):
        # The crop whose nearest pixels all masks fit: found by search, not by the code's own draw.
        fits = set()
        for side in range(32, 65):
            places = (2 * np.arange(32) + 1) * side // 64
            for top in range(65 - side):
                for left in range(65 - side):
                    for step in (1, -1):
                        ids = scene.thing[0].numpy()[np.ix_(top + places, (left + places)[::step])]
                        if _fit(batch, ids):
                            fits.add(step)
            if fits:
                break
        assert fits
        flips |= fits
    assert flips == {1, -1}


def _fit(batch: dict, ids: np.ndarray) -> bool:
    things = [m for m, level in zip(batch["masks"][0].numpy(), batch["levels"][0], strict=True) if level == "thing"]
    if len(things) != len(np.unique(ids)):
        return False
    return all(len(np.unique(ids[m])) == 1 and (ids == ids[m][0]).sum() == m.sum() for m in things)


def test_sources_without_masks_or_end_are_refused(tmp_path):
    from PIL import Image

    Image.new("RGB", (20, 10)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="masks="):
        samples(str(tmp_path))
    with pytest.raises(ValueError, match="never ends"):
        samples("scenes:indoor")
    with pytest.raises(ValueError, match="masks"):
        parse_sources(["scenes:indoor?masks=all"])


def test_a_stream_without_any_mask_to_give_ends(monkeypatch):
    monkeypatch.setattr("semidepth.data.streaming.mask_loading.MOST_WITHOUT", 20)
    plan = StreamPlan(parse_sources(["scenes:indoor?count=2&size=16"]), labeled=False, size=16, repeat=True)
    with pytest.raises(ValueError, match="min_area"):
        take(MaskLoader(plan, batch_size=1, choice=MaskChoice(min_area=0.98, max_area=0.99)), 1)
