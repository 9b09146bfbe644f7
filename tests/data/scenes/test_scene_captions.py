"""Captions of built-in scenes say what is in the picture, and are read back to it."""

import re
from itertools import product

import numpy as np
import pytest

from semidepth.data.scenes.captions import SIDES, SceneFacts, find_facts, read_caption, round_distance, write_caption
from semidepth.data.scenes.render import DOMAINS, render_scenes
from semidepth.data.scenes.things import things_of

OPEN = {"wall", "floor", "ceiling", "road", "pavement"}


@pytest.mark.parametrize("domain", DOMAINS)
def test_captions_say_what_is_in_the_picture(domain: str):
    batch = render_scenes(domain, range(24), seed=6, height=60, width=90, truths=("masks", "captions"))
    kinds = things_of(domain).kinds
    for caption, thing, depth in zip(batch.caption, batch.thing.numpy(), batch.depth.numpy(), strict=True):
        facts = read_caption(caption)
        assert facts.domain == domain
        things = [(kinds[n], thing == n) for n in range(len(kinds)) if kinds[n] not in OPEN]
        things = [(kind, mask) for kind, mask in things if mask.mean() >= 0.003]
        covered = {kind: sum(mask.sum() for other, mask in things if other == kind) for kind, _ in things}
        said = [kind for kind, _ in facts.counts]
        assert len(said) == len(set(said)) == min(5, len(covered))
        areas = [covered[kind] for kind in said]
        assert areas == sorted(covered.values(), reverse=True)[:5]
        for kind, count in facts.counts:
            assert count == min(3, sum(other == kind for other, _ in things))
        if not things:
            continue
        near = min(depth[mask].min() for _, mask in things)
        assert any(kind == facts.nearest and depth[mask].min() == near for kind, mask in things)
        assert abs(facts.metres - near) <= (0.25 if near < 5 else 0.5 if near < 20 else 2.5) + 0.25
        most = max(mask.sum() for _, mask in things)
        (large,) = [mask for kind, mask in things if mask.sum() == most and kind == facts.largest]
        middle = np.average(np.arange(90) + 0.5, weights=large.sum(0))
        assert SIDES.index(facts.side) == int(middle >= 30) + int(middle >= 60)
    assert len({re.split(" with", caption)[0] for caption in batch.caption}) == 3


def test_captions_alone_are_the_same():
    both = render_scenes("outdoor", range(3), truths=("masks", "captions"))
    alone = render_scenes("outdoor", range(3), truths=("captions",))
    assert alone.caption == both.caption
    assert alone.thing is None


def test_every_caption_is_read_back():
    for domain, words in product(DOMAINS, range(4)):
        kinds = sorted(set(things_of(domain).kinds) - OPEN)
        assert read_caption(write_caption(SceneFacts(domain), words)) == SceneFacts(domain)
        for first, count, side in product(range(len(kinds)), (1, 2, 3), SIDES):
            named = [kinds[(first + step) % len(kinds)] for step in range(1 + first % 5)]
            facts = SceneFacts(domain, tuple((kind, count) for kind in named), named[0], 2.5, named[-1], side)
            assert read_caption(write_caption(facts, words)) == facts


def test_distances_are_rounded():
    found = [round_distance(metres) for metres in (0.2, 1.3, 4.9, 5.4, 19.6, 22.6, 61.0)]
    assert found == [0.5, 1.5, 5.0, 5.0, 20.0, 25.0, 60.0]


def test_a_picture_by_hand():
    kinds = things_of("indoor").kinds
    thing = np.full((10, 30), kinds.index("floor"), dtype=np.uint8)
    thing[:, 20:] = kinds.index("table")
    thing[:5, :4] = kinds.index("vase")
    depth = np.where(thing == kinds.index("vase"), 1.4, 3.0).astype(np.float32)
    caption = write_caption(find_facts("indoor", thing, depth))
    assert caption == (
        "a room with a table and a vase; the nearest thing is a vase, 1.5 m away; the largest, a table, is on the right"
    )


@pytest.mark.parametrize(
    "text",
    [
        "", "a room", "a room with a cat; the nearest thing is a cat, 1 m away; the largest, a cat, is on the left",
        "a room with a table; the nearest thing is a table, 1.. m away; the largest, a table, is on the left",
        "a room without things ", "a street with ten cars",
    ],
)  # fmt: skip
def test_other_sentences_are_refused(text: str):
    with pytest.raises(ValueError, match="caption"):
        read_caption(text)
