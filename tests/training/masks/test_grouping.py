"""Photos cut into masks without labels, on a painted picture: wholes and parts, whatever the size of the features."""

import numpy as np
import pytest

from semidepth.training.recipes.masks.grouping import GroupingRules, group

HEIGHT, WIDTH, PATCH = 96, 128, 8


def iou(one, other):
    return (one & other).sum() / (one | other).sum()


@pytest.fixture(scope="module")
def picture():
    """A wall, and before it a thing of two halves, of different colours, that lie at one depth."""
    rng = np.random.default_rng(0)
    parts = np.zeros((HEIGHT, WIDTH), int)
    parts[24:72, 32:64], parts[24:72, 64:96] = 1, 2
    image = np.array([[90, 90, 90], [200, 40, 40], [40, 40, 200]])[parts] + rng.integers(-4, 5, (HEIGHT, WIDTH, 3))
    disparity = np.where(parts > 0, 2.0, 0.5) + 0.1 * np.linspace(0, 1, HEIGHT)[:, None]
    kinds = np.array([[0, 0, 1.0, 0], [1.0, 0.5, 0, 0], [1.0, -0.5, 0, 0]])
    features = kinds[parts[PATCH // 2 :: PATCH, PATCH // 2 :: PATCH]].transpose(2, 0, 1)
    return parts, image.astype(np.uint8), features.astype(np.float32), disparity


def test_whole_and_parts_come_from_one_hierarchy(picture):
    parts, *seen = picture
    found = group(*seen, GroupingRules(min_area=0.01))
    # A superpixel is no mask for its being uniform, so the parts have to be made of several.
    textured = seen[0].copy()
    textured[::6] = 255 - textured[::6]
    found += group(textured, *seen[1:], GroupingRules(min_area=0.01, min_stability=0.0))
    assert max(iou(region.mask, parts > 0) for region in found) > 0.9
    for part in (1, 2):
        assert max(iou(region.mask, parts == part) for region in found) > 0.8


def test_depth_alone_tells_two_like_things_apart(picture):
    parts, image, features, _ = picture
    alike = np.zeros_like(features)
    alike[0] = 1
    alike += 0.01 * np.random.default_rng(0).standard_normal(alike.shape).astype(np.float32)
    gray = np.full_like(image, 128)
    gray[parts > 0] = 134  # an outline for superpixels to follow, and hardly a difference
    gray[::6, :] = 120
    apart = np.where(parts == 1, 2.0, 0.5)
    rules = GroupingRules(min_area=0.01, scale=5, sigma=0.0, min_stability=0.0)
    best = {
        name: max((iou(each.mask, parts == 1) for each in group(gray, alike, depth, rules)), default=0.0)
        for name, depth in (("jump", apart), ("flat", np.ones_like(apart)))
    }
    assert best["jump"] > best["flat"]


def test_masks_keep_to_the_rules(picture):
    _, *seen = picture
    rules = GroupingRules(min_area=0.05, max_area=0.4, min_stability=0.2, most=2)
    found = group(*seen, rules)
    assert len(found) <= 2
    for region in found:
        assert 0.04 <= region.mask.mean() <= 0.45  # small holes are filled afterwards
        assert 0.2 <= region.stability <= 1
    again = group(*seen, rules)
    assert all(np.array_equal(one.mask, other.mask) for one, other in zip(found, again, strict=True))
