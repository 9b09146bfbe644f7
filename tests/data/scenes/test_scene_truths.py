"""Parts, things and normals of the built-in scenes, against what can be worked out from depth and class."""

import numpy as np
import pytest
import torch

from semidepth.data.scenes.layout import SEMANTIC_CLASSES
from semidepth.data.scenes.render import DOMAINS, SceneBatch, render_scenes
from semidepth.data.scenes.things import SKY, things_of

# The classes of a thing's pixels by its kind; all others have one, and it is the thing's alone in name.
CLASSES = {
    "wall": "wall", "floor": "ground", "ceiling": "ceiling", "door": "opening", "window": "opening", "picture": "wall",
    "rug": "ground", "furniture": "furniture", "shelf": "furniture", "box": "furniture", "table": "furniture",
    "chair": "furniture", "bin": "furniture", "vase": "furniture", "column": "column", "lamp": "ball", "ball": "ball",
    "road": "ground", "pavement": "pavement", "house": "house", "car": "vehicle", "kiosk": "furniture",
    "tree": "trunk foliage", "pole": "pole", "person": "person",
}  # fmt: skip


@pytest.fixture(scope="module", params=DOMAINS)
def domain(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def batch(domain: str) -> SceneBatch:
    return render_scenes(domain, range(12), seed=4, height=96, width=128, truths=("masks", "normals"))


def test_without_truths_there_are_none_and_with_them_the_picture_is_the_same(domain: str, batch: SceneBatch):
    plain = render_scenes(domain, range(12), seed=4, height=96, width=128)
    assert (plain.part, plain.thing, plain.normal, plain.caption) == (None, None, None, None)
    for name in ("image", "depth", "semantic", "fov_deg"):
        assert torch.equal(vars(plain)[name], vars(batch)[name]), name


def test_a_part_lies_inside_one_thing(domain: str, batch: SceneBatch):
    pairs = torch.stack([batch.part.flatten(), batch.thing.flatten()], 1).unique(dim=0)
    assert len(pairs) == len(batch.part.unique())
    several = [number for number in pairs[:, 1].unique() if (pairs[:, 1] == number).sum() > 1]
    kinds = {things_of(domain).kinds[int(number)] for number in several}
    assert kinds == ({"furniture", "table", "chair"} if domain == "indoor" else {"car", "tree", "person"})


def test_a_things_pixels_have_its_class(domain: str, batch: SceneBatch):
    assert torch.equal(batch.thing == SKY, batch.semantic == SEMANTIC_CLASSES.index("sky"))
    assert torch.equal(batch.thing == SKY, batch.depth.isinf())
    for number in batch.thing.unique().tolist():
        found = {SEMANTIC_CLASSES[each] for each in batch.semantic[batch.thing == number].unique().tolist()}
        assert found <= set(CLASSES.get(things_of(domain).kinds[number] if number != SKY else "", "sky").split())


def test_things_are_numbered_and_named():
    for domain in DOMAINS:
        things = things_of(domain)
        assert set(things.thing_of_part) == set(range(len(things.kinds)))
        for part, thing in zip(things.parts, things.thing_of_part, strict=True):
            assert part.partition("/")[0] == things.kinds[thing]
    room = things_of("indoor")
    standing = {room.thing_of_part[room.parts.index(name)] for name in ("table/top", "vase", "chair/seat")}
    assert len(standing) == 3  # what stands on a table is another thing


def points_of(batch: SceneBatch) -> np.ndarray:
    """(B, H, W, 3) metres, x right, y up, z towards the camera; from depth and field of view alone."""
    depth = batch.depth.masked_fill(batch.depth.isinf(), torch.nan).double().numpy()
    height, width = depth.shape[1:]
    pixel = 2 * np.tan(np.radians(batch.fov_deg.numpy().astype(np.float64)) / 2) / width
    across = (np.arange(width) + 0.5 - width / 2) * pixel[:, None]
    above = (height / 2 - 0.5 - np.arange(height)) * pixel[:, None]
    return np.stack([depth * across[:, None, :], depth * above[:, :, None], -depth], -1)


def test_normals_are_those_of_the_depth(batch: SceneBatch):
    normal = batch.normal.permute(0, 2, 3, 1).double().numpy()
    sky = batch.thing.numpy() == SKY
    assert (np.isnan(normal).all(-1) == sky).all()
    assert np.isnan(normal).any(-1).sum() == sky.sum()
    assert np.abs(np.linalg.norm(normal[~sky], axis=-1) - 1).max() < 1e-6
    points = points_of(batch)
    towards = (normal * -points / np.linalg.norm(points, axis=-1, keepdims=True)).sum(-1)
    assert towards[~sky].min() > -1e-3

    right = points[:, 1:-1, 2:] - points[:, 1:-1, :-2]
    up = points[:, :-2, 1:-1] - points[:, 2:, 1:-1]
    expected = np.cross(right, up)
    expected /= np.linalg.norm(expected, axis=-1, keepdims=True)
    part, inner = batch.part.numpy(), normal[:, 1:-1, 1:-1]
    smooth = ~sky[:, 1:-1, 1:-1]
    for rows, columns in ((slice(2, None), slice(1, -1)), (slice(None, -2), slice(1, -1)),
                          (slice(1, -1), slice(2, None)), (slice(1, -1), slice(None, -2))):  # fmt: skip
        smooth &= part[:, rows, columns] == part[:, 1:-1, 1:-1]
        smooth &= (normal[:, rows, columns] * inner).sum(-1) > np.cos(np.radians(10))  # not over a box's own edge
    angle = np.degrees(np.arccos(np.clip((inner * expected).sum(-1)[smooth], -1, 1)))
    assert smooth.mean() > 0.4
    assert np.quantile(angle, 0.999) < 2
    assert np.median(angle) < 0.1


def test_unknown_truths_are_refused():
    with pytest.raises(ValueError, match="truths"):
        render_scenes("indoor", [0], truths=("mask",))
