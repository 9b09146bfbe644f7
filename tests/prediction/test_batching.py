"""Batches of one size: what waits for what, in which order all come out, and copies to and from the device."""

import pytest
import torch

from semidepth.prediction.batching import (
    AHEAD,
    MOST_PIXELS,
    at_once,
    batches_of_one_size,
    groups_of_one_size,
    to_device,
    to_host,
)


def size_of(item):
    """Items are written as size and number: "a1"."""
    return item[0]


def image_of(item):
    """An image whose height the item's letter says."""
    return torch.empty(3, ord(size_of(item)), 4)


def batches(text, batch_size):
    return [" ".join(batch) for batch in batches_of_one_size(text.split(), batch_size, image_of)]


def groups(text, batch_size, **options):
    return [" ".join(group) for group in groups_of_one_size(text.split(), batch_size, size_of, **options)]


def test_batches_hold_neighbours_of_one_size():
    assert batches("a1 a2 a3 b4 a5", 2) == ["a1 a2", "a3", "b4", "a5"]
    assert batches("a1 a2 a3 b4 a5", 1) == ["a1", "a2", "a3", "b4", "a5"]
    assert batches("", 2) == []


def test_batches_of_large_images_are_small():
    def lengths(pixels):
        image = torch.empty(3, pixels, 1, device="meta")
        return [len(batch) for batch in batches_of_one_size(range(9), 4, lambda _: image)]

    assert lengths(MOST_PIXELS // 4) == [4, 4, 1]
    assert lengths(MOST_PIXELS // 4 + 1) == [3, 3, 3]
    assert lengths(MOST_PIXELS * 2) == [1] * 9
    assert [at_once(pixels) for pixels in (0, 1, MOST_PIXELS, MOST_PIXELS + 1)] == [MOST_PIXELS, MOST_PIXELS, 1, 1]


def test_groups_fill_up_across_other_sizes_and_the_rest_comes_in_the_order_of_its_first():
    assert groups("a1 b2 a3 c4 b5 d6 c7 d8 a9", 3) == ["a1 a3 a9", "b2 b5", "c4 c7", "d6 d8"]
    assert groups("a1 b2 b3 c4 a5", 2) == ["b2 b3", "a1 a5", "c4"]
    assert groups("", 2) == []


def test_where_too_many_wait_the_longest_waiting_goes_although_it_is_not_full():
    assert AHEAD == 4
    # Eight of different sizes may wait for their second; the ninth sends the first away.
    assert groups("a1 b2 c3 d4 e5 f6 g7 h8 a9", 2)[0] == "a1 a9"
    assert groups("a1 b2 c3 d4 e5 f6 g7 h8 i9 a10", 2) == ["a1", "b2", "c3", "d4", "e5", "f6", "g7", "h8", "i9", "a10"]


def test_a_group_that_waits_longest_goes_whole():
    text = "a1 a2 b3 b4 c5 c6 d7 d8 e9 e10 f11 f12 a13"  # batches of three: the 13th is one more than 4 x 3
    assert groups(text, 3) == ["a1 a2 a13", "b3 b4", "c5 c6", "d7 d8", "e9 e10", "f11 f12"]
    assert groups(text.replace("a13", "g13"), 3)[0] == "a1 a2"


def test_nothing_of_a_section_waits_for_the_next_one():
    sections = {str(number): "first" if number < 4 else "second" for number in range(1, 8)}
    found = groups("a1 b2 a3 b4 a5 b6 a7", 3, section_of=lambda item: sections[item[1:]])
    assert found == ["a1 a3", "b2", "b4 b6", "a5 a7"]


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7])
def test_every_item_comes_once_in_a_group_of_its_size(batch_size):
    generator = torch.Generator().manual_seed(batch_size)
    items = [(int(size), number) for number, size in enumerate(torch.randint(0, 12, (200,), generator=generator))]
    found = list(groups_of_one_size(iter(items), batch_size, lambda item: item[0]))
    assert sorted(item for group in found for item in group) == sorted(items)
    for group in found:
        assert len({size for size, _ in group}) == 1
        assert len(group) <= batch_size
        assert group == sorted(group)  # in the order in which they came
    most, seen, given = 0, 0, 0
    counted = (item for item in items)

    def count():
        nonlocal seen
        for item in counted:
            seen += 1
            yield item

    for group in groups_of_one_size(count(), batch_size, lambda item: item[0]):
        most = max(most, seen - given)
        given += len(group)
    assert most <= AHEAD * batch_size + 1


def test_copies_on_the_host_can_be_read_when_there_is_no_event():
    images = [torch.full((3, 2, 2), number, dtype=torch.uint8) for number in range(3)]
    batch = to_device(images, torch.device("cpu"))
    assert batch.shape == (3, 3, 2, 2)
    assert batch[:, 0, 0, 0].tolist() == [0, 1, 2]
    copies, finished = to_host([batch, batch[:, 0]])
    assert finished is None
    assert torch.equal(copies[0], batch)
    assert torch.equal(copies[1], batch[:, 0])
