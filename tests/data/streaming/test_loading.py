"""Loading: crop and flip against plain loops, exact labels, full batches, determinism."""

import json
from collections import Counter
from itertools import islice

import numpy as np
import pytest
import torch
from PIL import Image
from sample_files import (
    HEIGHT,
    WIDTH,
    depth_mm,
    encoded,
    npy,
    picture,
    write_images,
    write_parquet,
    write_tar,
)
from streams import make_loader

from semidepth.data.preparing import collate, prepare_sample
from semidepth.data.samples import Sample, to_disparity
from semidepth.data.source_spec import parse_source
from semidepth.data.streaming.loading import _start_worker, evaluation_samples


def sample_of(height: int, width: int) -> Sample:
    """Random image; depth that numbers the pixels from 1, with NaN and sky among them."""
    rng = np.random.default_rng(height * width)
    depth = torch.arange(1, height * width + 1, dtype=torch.float32).view(height, width)
    depth[1, ::3] = torch.nan
    depth[0] = torch.inf
    image = torch.from_numpy(rng.integers(0, 256, (3, height, width), dtype=np.uint8))
    return Sample(image=image, depth=depth, domain="d", origin="o")


def test_labeled_crops_are_the_image_but_for_crop_and_flip():
    """At the image's own scale, prepared pixels equal a plain loop over the crop that the depth tells of."""
    sample = sample_of(12, 20)
    windows = Counter()
    for seed in range(200):
        prepared = prepare_sample(sample, 12, np.random.default_rng(seed), train=True)
        numbers = prepared["depth"][5]  # pixel numbers of a row without NaN
        flipped = bool(numbers[0] > numbers[1])
        left = int(numbers.min().item() - 1) % 20
        for row in range(12):
            for column in range(12):
                source = left + (11 - column if flipped else column)
                assert torch.equal(prepared["image"][:, row, column], sample["image"][:, row, source])
        expected = sample["depth"][:, left : left + 12]
        expected = expected.flip(1) if flipped else expected
        assert torch.equal(prepared["depth"].nan_to_num(-1), expected.nan_to_num(-1))
        windows[left, flipped] += 1
    assert set(windows) == {(left, flip) for left in range(9) for flip in (False, True)}
    assert 60 < sum(count for (_, flip), count in windows.items() if flip) < 140


def test_sample_is_not_changed():
    sample = sample_of(12, 20)
    before = {key: sample[key].clone() for key in ("image", "depth")}
    prepare_sample(sample, 6, np.random.default_rng(0), train=True)
    assert torch.equal(sample["image"], before["image"])
    assert torch.equal(sample["depth"].nan_to_num(-1), before["depth"].nan_to_num(-1))


@pytest.mark.parametrize(("height", "width", "size"), [(30, 40, 14), (41, 23, 14), (10, 12, 28), (14, 14, 14)])
def test_sizes_and_exact_depth_values(height, width, size):
    sample = sample_of(height, width)
    prepared = prepare_sample(sample, size, np.random.default_rng(1), train=True, multiple=14)
    assert prepared["image"].shape == (3, size, size)
    assert prepared["image"].dtype == torch.uint8
    assert prepared["depth"].shape == (size, size)
    known = prepared["depth"][prepared["depth"].isfinite()]
    assert set(known.tolist()) <= set(sample["depth"].flatten().tolist())  # nothing is made up in between
    assert (prepared["domain"], prepared["origin"]) == ("d", "o")


def test_resizing_is_pillows_bilinear_and_nearest_by_hand():
    sample = sample_of(32, 32)
    prepared = prepare_sample(sample, 16, np.random.default_rng(3), train=True)  # whole image: only a flip is drawn
    picture = Image.fromarray(sample["image"].permute(1, 2, 0).numpy())
    small = np.asarray(picture.resize((16, 16), Image.Resampling.BILINEAR)).astype(int)
    nearest = sample["depth"][1::2, 1::2]  # the pixel that covers the middle of each 2 x 2, as nearest-exact has it
    if prepared["depth"][5, 0] > prepared["depth"][5, 1]:
        small, nearest = small[:, ::-1], nearest.flip(1)
    assert np.abs(prepared["image"].permute(1, 2, 0).numpy() - small).max() <= 1
    assert torch.equal(prepared["depth"].nan_to_num(-1), nearest.nan_to_num(-1))


@pytest.mark.parametrize("smallest", [1.0, 0.5])
@pytest.mark.parametrize(("height", "width", "size"), [(48, 64, 52), (64, 48, 31), (90, 37, 37), (30, 40, 7)])
def test_crops_are_squares_of_the_source_resized(height, width, size, smallest):
    """As Pillow resizes a box of the picture; depth by a plain loop."""
    sample = sample_of(height, width)
    picture = Image.fromarray(sample["image"].permute(1, 2, 0).numpy())
    sides = set()
    for seed in range(8):
        prepared = prepare_sample(sample, size, np.random.default_rng(seed), train=True, smallest_crop=smallest)
        rng = np.random.default_rng(seed)
        side = min(height, width)
        if smallest < 1:
            side = round(side * rng.uniform(smallest, 1))
        sides.add(side / min(height, width))
        top, left = (int(rng.integers(length - side + 1)) for length in (height, width))
        flip = rng.random() < 0.5
        image = picture.crop((left, top, left + side, top + side)).resize((size, size), Image.Resampling.BILINEAR)
        image = np.asarray(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip else image).astype(int)
        assert np.abs(prepared["image"].permute(1, 2, 0).numpy() - image).max() <= 1
        for row in range(size):
            for column in range(size):
                source = size - 1 - column if flip else column
                value = sample["depth"][top + int((row + 0.5) * side / size), left + int((source + 0.5) * side / size)]
                np.testing.assert_equal(prepared["depth"][row, column].item(), value.item())
    assert smallest - 0.02 <= min(sides) <= max(sides) <= 1
    assert (len(sides) > 1) == (smallest < 1)


@pytest.mark.parametrize(("probability", "flipped"), [(0.0, 0), (1.0, 20)])
def test_flips_can_be_switched_off(probability, flipped):
    sample, found = sample_of(12, 12), 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        numbers = prepare_sample(sample, 12, rng, train=True, flip_probability=probability)["depth"][5]
        found += bool(numbers[0] > numbers[1])
    assert found == flipped


@pytest.mark.parametrize("memory", ["planes", "pixels", "transposed"])
def test_order_of_memory_does_not_matter(memory):
    sample = sample_of(30, 41)
    image = sample["image"]
    if memory == "pixels":
        sample["image"] = image.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    elif memory == "transposed":
        sample["image"] = image.mT.contiguous().mT
    for train, size in ((True, 22), (False, 44), (True, 30)):
        found = prepare_sample(sample, size, np.random.default_rng(0), train=train)["image"]
        plain = prepare_sample(sample | {"image": image}, size, np.random.default_rng(0), train=train)["image"]
        assert torch.equal(found, plain)
        assert torch.equal(collate([sample | {"image": found}] * 2)["image"], torch.stack([plain] * 2))


def test_image_and_depth_stay_aligned_when_resized():
    rows, columns = torch.meshgrid(torch.arange(60), torch.arange(90), indexing="ij")
    depth = (rows + 2 * columns + 1).float()
    image = (depth.clamp(max=255)).to(torch.uint8).expand(3, 60, 90)
    sample = Sample(image=image, depth=depth, domain="", origin="")
    for seed in range(10):
        prepared = prepare_sample(sample, 24, np.random.default_rng(seed), train=True)
        error = (prepared["image"][0].float() - prepared["depth"])[:, 2:-2]
        assert error.abs().max() <= 4  # at most half a source pixel each way: 0.5 * (1 + 2) and the rounding
        assert abs(error.mean()) < 1.6


def test_evaluation_keeps_aspect_and_depth():
    sample = sample_of(48, 64)
    prepared = prepare_sample(sample, 28, None, train=False, multiple=14)
    assert prepared["image"].shape == (3, 28, 42)  # 64 * 28 / 48 = 37.3, to the nearest multiple of 14
    assert prepared["depth"] is sample["depth"]


def test_wrong_sizes_are_refused():
    with pytest.raises(ValueError, match="size 30 is not a positive multiple of 14"):
        prepare_sample(sample_of(8, 8), 30, None, train=False, multiple=14)
    with pytest.raises(ValueError, match="rng is None"):
        prepare_sample(sample_of(8, 8), 8, None, train=True)


def test_disparity_of_unknown_and_sky():
    depth = torch.tensor([0.5, 4.0, torch.nan, torch.inf, 0.0, -1.0])
    expected = np.array([2.0, 0.25, np.nan, 0.0, np.nan, np.nan], np.float32)
    np.testing.assert_array_equal(to_disparity(depth).numpy(), expected)


def test_collate_stacks_and_inverts():
    samples = [sample_of(4, 4) | {"origin": name} for name in "ab"]
    batch = collate(samples)
    assert batch["image"].shape == (2, 3, 4, 4)
    assert batch["origin"] == ["a", "b"]
    assert (batch["disparity"][:, 0] == 0).all()
    assert batch["disparity"][1, 1].isnan().tolist() == [True, False, False, True]
    assert batch["disparity"][0, 2, 3] == 1 / 12
    assert set(collate([sample | {"depth": None} for sample in samples])) == {"image", "domain", "origin"}


@pytest.fixture
def frames(tmp_path):
    """23 labeled frames in 3 parquet files of 32 x 24 pixels."""
    for shard, numbers in enumerate((range(10), range(10, 15), range(15, 23))):
        write_parquet(tmp_path / f"{shard}.parquet", numbers)
    return str(tmp_path)


def test_batches_are_full_and_right(frames):
    loader = make_loader([frames], labeled=True, batch_size=5, size=HEIGHT, repeat=False, shuffle_buffer=8)
    batches = list(loader)
    assert len(batches) == 4  # 23 // 5
    for batch in batches:
        assert batch["image"].shape == (5, 3, HEIGHT, HEIGHT)
        assert batch["image"].dtype == torch.uint8
        assert batch["disparity"].shape == batch["depth"].shape == (5, HEIGHT, HEIGHT)
        assert batch["disparity"].dtype == torch.float32
        assert batch["domain"] == ["indoor"] * 5
        for image, disparity in zip(batch["image"], batch["disparity"], strict=True):
            number = int(image[0, 0, 0])
            assert torch.equal(image, torch.from_numpy(picture(number)).permute(2, 0, 1)[:, :, :HEIGHT])
            assert disparity[0].isnan().all()  # the unknown row
            expected = 1000 / depth_mm(number)[1:, :HEIGHT]
            np.testing.assert_allclose(disparity[1:].numpy(), expected, rtol=1e-5)
    origins = [origin for batch in batches for origin in batch["origin"]]
    assert len(set(origins)) == 20


@pytest.mark.parametrize("num_workers", [0, 2])
def test_loader_repeats_without_end_and_is_deterministic(frames, num_workers):
    def first(seed):
        loader = make_loader(
            [frames],
            labeled=True,
            batch_size=4,
            size=16,
            seed=seed,
            num_workers=num_workers,
            shuffle_buffer=8,
        )
        return list(islice(loader, 12))  # 48 samples: more than two passes

    one, same, other = first(3), first(3), first(4)
    assert all(len(batch["origin"]) == 4 for batch in one)
    for a, b in zip(one, same, strict=True):
        assert a["origin"] == b["origin"]
        assert torch.equal(a["image"], b["image"])
        assert torch.equal(a["disparity"].nan_to_num(-1), b["disparity"].nan_to_num(-1))
    assert [batch["origin"] for batch in one] != [batch["origin"] for batch in other]


def test_crops_change_from_pass_to_pass(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    (tmp_path / "a.png").write_bytes(encoded(noise))
    loader = make_loader([tmp_path.as_posix()], labeled=False, batch_size=1, size=HEIGHT, shuffle_buffer=0)
    crops = {batch["image"].numpy().tobytes() for batch in islice(loader, 40)}
    assert len(crops) >= 12  # of 9 places x 2 flips


def test_ranks_share_a_pass(frames):
    seen = []
    for rank in range(2):
        loader = make_loader([frames], labeled=False, batch_size=1, size=16, repeat=False, rank=rank, world_size=2)
        seen += [batch["origin"][0] for batch in loader]
    assert len(seen) == len(set(seen)) == 23


def test_unlabeled_batches_have_no_depth_and_workers_one_thread(tmp_path):
    write_images(tmp_path, range(4))
    loader = make_loader([str(tmp_path)], labeled=False, batch_size=2, size=16, num_workers=1, repeat=False)
    assert [set(batch) for batch in loader] == [{"image", "domain", "origin"}] * 2
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        _start_worker(0)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def origins_and_crops(loader, count):
    return [(batch["origin"], batch["image"].sum((1, 2, 3)).tolist()) for batch in islice(loader, count)]


@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_a_loader_goes_on_exactly(frames, tmp_path, num_workers):
    """Whatever the workers had made ahead: samples and crops are those of a loader that was never stopped."""
    write_images(tmp_path, range(100, 109))

    def make():
        return make_loader(
            [frames, str(tmp_path)], labeled=False, batch_size=3, size=16, num_workers=num_workers, shuffle_buffer=6
        )

    expected = origins_and_crops(make(), 20)
    for stop in (0, 1, 2, 7, 12):
        first = make()
        assert origins_and_crops(first, stop) == expected[:stop]
        state = json.loads(json.dumps(first.state(), default=lambda array: array.tolist()))
        second = make()
        assert second.restore([state]) == ""
        assert origins_and_crops(second, 3) == expected[stop : stop + 3]
        third = make()  # stopped again, before every worker has had a turn
        third.restore([second.state()])
        assert origins_and_crops(third, 20 - stop - 3) == expected[stop + 3 :]


def test_another_number_of_workers_is_told_and_goes_on_with_the_pass(frames):
    first = make_loader([frames], labeled=False, batch_size=2, size=16, num_workers=0, shuffle_buffer=4)
    seen = [name for names, _ in origins_and_crops(first, 4) for name in names]
    second = make_loader([frames], labeled=False, batch_size=1, size=16, num_workers=2, shuffle_buffer=4)
    assert "1 readers have become 2" in second.restore([first.state()])
    seen += [name for names, _ in origins_and_crops(second, 23 - 8) for name in names]
    assert len(seen) == len(set(seen)) == 23


def test_crops_do_not_depend_on_who_reads(frames):
    def crops(rank, world_size):
        loader = make_loader(
            [frames], labeled=False, batch_size=1, size=16, rank=rank, world_size=world_size, repeat=False,
            shuffle_buffer=0,
        )  # fmt: skip
        return {batch["origin"][0]: batch["image"].float().mean().item() for batch in loader}

    assert crops(0, 1) == crops(0, 2) | crops(1, 2)


def test_scenes_are_rendered_at_the_training_size():
    loader = make_loader(["scenes:indoor", "scenes:outdoor"], labeled=True, batch_size=4, size=32)
    batch = next(iter(loader))
    assert batch["image"].shape == (4, 3, 32, 32)
    assert batch["domain"] == ["indoor", "outdoor"] * 2
    assert (batch["disparity"] >= 0).all()  # exact everywhere, sky 0
    torch.testing.assert_close(batch["disparity"], 1 / batch["depth"])


def test_wrong_loader_arguments_are_refused(frames):
    for changes, words in (({"batch_size": 0}, "batch_size 0"), ({"num_workers": -1}, "num_workers -1")):
        with pytest.raises(ValueError, match=words):
            make_loader([frames], labeled=True, size=16, **({"batch_size": 2} | changes))
    with pytest.raises(ValueError, match="size 20 is not a positive multiple of 14"):
        make_loader([frames], labeled=True, batch_size=2, size=20, multiple=14)


def test_evaluation_samples_are_whole_and_in_order(frames):
    samples = list(evaluation_samples([parse_source(frames)]))
    assert len(samples) == 23
    assert samples[0]["image"].shape == (3, HEIGHT, WIDTH)
    assert samples[0]["depth"].shape == (HEIGHT, WIDTH)
    assert [int(sample["image"][0, 0, 0]) for sample in samples] == list(range(23))
    assert [sample["origin"] for sample in evaluation_samples([parse_source(frames)], 3)] == [
        s["origin"] for s in samples[:3]
    ]


def test_endless_evaluation_needs_a_limit():
    with pytest.raises(ValueError, match="never ends"):
        evaluation_samples([parse_source("scenes:indoor")])
    samples = list(evaluation_samples([parse_source("scenes:indoor?split=validation")], 3, size=24))
    assert [sample["origin"] for sample in samples] == [f"scenes:indoor/validation#{n}" for n in range(3)]


def test_tar_with_numpy_depth_end_to_end(tmp_path):
    depth = np.full((HEIGHT, WIDTH), 2.0, dtype=np.float32)
    depth[:, 0] = np.inf
    members = {}
    for number in range(4):
        members[f"{number}.jpg"] = encoded(picture(number), "JPEG")
        members[f"{number}.depth.npy"] = npy(depth)
    write_tar(tmp_path / "t.tar", members)
    (batch,) = make_loader([str(tmp_path)], labeled=True, batch_size=4, size=HEIGHT, repeat=False)
    values = set(batch["disparity"].flatten().tolist())
    assert values <= {0.0, 0.5}
    assert 0.5 in values
