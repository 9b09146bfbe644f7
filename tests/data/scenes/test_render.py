"""The built-in scenes as a whole: exact depth, determinism, ranges, and styles that are far apart."""

import numpy as np
import pytest
import torch

from semidepth.data.scenes.draws import Draws, uniform_table
from semidepth.data.scenes.layout import Layout
from semidepth.data.scenes.render import (
    DOMAINS,
    SEMANTIC_CLASSES,
    STYLES,
    SceneBatch,
    render_scenes,
)
from semidepth.data.scenes.rooms import layout_rooms
from semidepth.data.scenes.streets import layout_streets

TRUTHS = ("masks", "normals", "captions")
KINDS = ("faces", "aligned", "yawed", "cylinders", "spheres")


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """Small tensors on many threads crawl when the machine is busy with something else."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", params=DOMAINS)
def domain(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def by_style(domain: str) -> dict[str, SceneBatch]:
    return {style: render_scenes(domain, range(48), seed=1, style=style) for style in STYLES}


def same(first: SceneBatch, second: SceneBatch) -> bool:
    return all(equal(vars(first)[name], vars(second)[name]) for name in vars(first))


def equal(one: object, other: object) -> bool:
    if isinstance(one, torch.Tensor) and one.is_floating_point():
        return isinstance(other, torch.Tensor) and torch.equal(one.nan_to_num(-7), other.nan_to_num(-7))
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def one(batch: SceneBatch, place: int) -> SceneBatch:
    truths = {name: part for name, part in vars(batch).items() if part is not None}
    return SceneBatch(**{name: part[place : place + 1] for name, part in truths.items()})


def test_shapes_and_types(domain: str):
    batch = render_scenes(domain, [0, 4, 9], height=40, width=56)
    assert (batch.image.shape, batch.image.dtype) == ((3, 3, 40, 56), torch.uint8)
    assert (batch.depth.shape, batch.depth.dtype) == ((3, 40, 56), torch.float32)
    assert (batch.semantic.shape, batch.semantic.dtype) == ((3, 40, 56), torch.int64)
    assert (batch.fov_deg.shape, batch.fov_deg.dtype) == ((3,), torch.float32)
    assert batch.fov_deg.min() >= 45
    assert batch.fov_deg.max() <= 100


def test_same_numbers_same_bits(domain: str):
    first = render_scenes(domain, range(6), seed=3, height=50, width=37)
    assert same(first, render_scenes(domain, range(6), seed=3, height=50, width=37))


def test_a_scene_does_not_depend_on_its_batch(domain: str):
    # an odd size, so that the ends of vectors and threads fall in different places
    batch = render_scenes(domain, range(17), seed=3, height=51, width=37, truths=TRUTHS)
    for place in (0, 5, 16):
        assert same(one(batch, place), render_scenes(domain, [place], seed=3, height=51, width=37, truths=TRUTHS)), (
            place
        )
    backwards = render_scenes(domain, range(16, -1, -1), seed=3, height=51, width=37, truths=TRUTHS)
    assert same(one(batch, 4), one(backwards, 12))


def test_a_scene_does_not_depend_on_threads(domain: str):
    """Threads also set how the work is cut: with one of them, 270 x 270 pixels are traced in two pieces."""
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(render_scenes(domain, [7, 8], height=270, width=270, truths=TRUTHS))
    finally:
        torch.set_num_threads(before)
    assert same(found[0], found[1])


def test_numbers_seeds_and_domains_give_other_scenes(domain: str):
    batch = render_scenes(domain, range(20), height=32, width=32)
    flat = batch.depth.flatten(1).clamp_max(100.0)
    apart = torch.cdist(flat, flat) + 1e9 * torch.eye(20)
    assert apart.min() > 1.0
    assert len(batch.fov_deg.unique()) == 20
    other = render_scenes(domain, range(20), seed=1, height=32, width=32)
    assert not (other.fov_deg == batch.fov_deg).any()


def test_style_changes_the_picture_and_nothing_else(by_style: dict[str, SceneBatch]):
    clean, wild = (by_style[style] for style in STYLES)
    assert torch.equal(clean.depth, wild.depth)
    assert torch.equal(clean.semantic, wild.semantic)
    assert torch.equal(clean.fov_deg, wild.fov_deg)
    assert (clean.image.float() - wild.image.float()).abs().mean((1, 2, 3)).min() > 15


def test_any_style_is_a_fair_draw(domain: str, by_style: dict[str, SceneBatch]):
    batch = render_scenes(domain, range(48), seed=1)
    equal = torch.stack([(by_style[style].image == batch.image).flatten(1).all(1) for style in STYLES])
    assert torch.equal(equal.sum(0), torch.ones(48, dtype=torch.int64))  # each is one of the styles, to the bit
    assert 12 <= equal[0].sum() <= 36


def test_styles_are_far_apart(by_style: dict[str, SceneBatch]):
    """By local contrast, by colour, and by how much scenes differ from each other."""

    def measure(batch: SceneBatch) -> tuple[float, float, float]:
        image = batch.image.float() / 255
        grey = image.mean(1)
        centre = grey[:, 1:-1, 1:-1]
        rough = 4 * centre - grey[:, :-2, 1:-1] - grey[:, 2:, 1:-1] - grey[:, 1:-1, :-2] - grey[:, 1:-1, 2:]
        colourful = (image.amax(1) - image.amin(1)).mean((1, 2))
        return rough.abs().mean().item(), colourful.mean().item(), image.mean((2, 3)).std(0).mean().item()

    studio, wild = (measure(by_style[style]) for style in STYLES)
    assert wild[0] > 1.5 * studio[0]
    assert wild[1] > 1.5 * studio[1]
    assert wild[2] > 2.5 * studio[2]


def test_pictures_are_well_exposed(by_style: dict[str, SceneBatch]):
    for style, batch in by_style.items():
        image = batch.image.float()
        assert image.mean((1, 2, 3)).min() > 35, style
        assert image.mean((1, 2, 3)).max() < 190, style
        assert image.std((1, 2, 3)).min() > 8, style


def test_depth_range_and_sky(domain: str, by_style: dict[str, SceneBatch]):
    depth, semantic = by_style[STYLES[0]].depth, by_style[STYLES[0]].semantic
    assert not depth.isnan().any()
    assert depth.min() >= 0.2
    sky = depth.isinf()
    assert torch.equal(sky, semantic == SEMANTIC_CLASSES.index("sky"))
    if domain == "indoor":
        assert not sky.any()
        assert depth.max() <= 10
        assert depth.max() > 6
    else:
        assert 0.05 < sky.float().mean() < 0.5
        assert depth[~sky].max() <= 80
        assert depth[~sky].max() > 60


def test_semantic_classes_are_those_of_the_domain(domain: str, by_style: dict[str, SceneBatch]):
    names = {SEMANTIC_CLASSES[number] for number in by_style[STYLES[0]].semantic.unique().tolist()}
    indoor = {"ground", "ceiling", "wall", "opening", "furniture", "column", "ball"}
    outdoor = {
        "sky",
        "ground",
        "pavement",
        "house",
        "vehicle",
        "furniture",
        "trunk",
        "foliage",
        "pole",
        "person",
    }
    assert names == (indoor if domain == "indoor" else outdoor)


def nearest_by_hand(layout: Layout, image: int, d: np.ndarray) -> float:
    """z-depth along one ray in float64, one primitive after the other: planes and containment, roots."""
    slots, eye = layout.slots, layout.eye[image]
    kinds = [kind for kind in KINDS for _ in getattr(slots, kind)]
    found = [np.inf]
    for p, kind in enumerate(kinds):
        center, half, yaw = layout.center[image, p], layout.half[image, p], layout.yaw[image, p]
        if half.min() <= 0:
            continue
        turn = np.array([[np.cos(yaw), 0, -np.sin(yaw)], [0, 1, 0], [np.sin(yaw), 0, np.cos(yaw)]])
        o, way = turn @ (eye - center), turn @ d
        t = []
        if kind in ("faces", "aligned", "yawed", "cylinders"):
            for axis in (1,) if kind == "cylinders" else range(3):
                for side in (-1, 1):
                    at = (side * half[axis] - o[axis]) / way[axis]
                    rest = np.delete((o + at * way) / half, axis)
                    if (np.hypot(*rest) if kind == "cylinders" else np.abs(rest).max()) <= 1:
                        t.append(at)
        if kind in ("cylinders", "spheres"):
            axes = [0, 2] if kind == "cylinders" else [0, 1, 2]
            square = way[axes] @ way[axes], 2 * way[axes] @ o[axes], o[axes] @ o[axes] - half[0] ** 2
            roots = [root.real for root in np.roots(square) if np.isreal(root)]
            t += [at for at in roots if kind == "spheres" or abs((o + at * way)[1]) <= half[1]]
        found += [at for at in t if at > 0]
    return min(found)


def test_depth_against_a_slow_loop(domain: str):
    """A few pixels of a few scenes, traced again by other formulas from the same primitives."""
    scenes, height, width = [3, 11, 20, 35], 60, 80
    batch = render_scenes(domain, scenes, seed=2, height=height, width=width)
    draws = Draws(uniform_table(2, DOMAINS.index(domain), scenes, 320))
    layout = (layout_rooms if domain == "indoor" else layout_streets)(draws)
    rng, wrong = np.random.default_rng(0), 0
    for image in range(len(scenes)):
        right, up, forward = layout.axes[image]
        side = np.tan(np.radians(layout.fov_deg[image]) / 2)  # half the width of the picture at one metre
        for row, column in zip(rng.integers(0, height, 60), rng.integers(0, width, 60), strict=True):
            x = ((column + 0.5) / width * 2 - 1) * side
            y = -((row + 0.5) / height * 2 - 1) * side * height / width
            expected = nearest_by_hand(layout, image, forward + x * right + y * up)
            got = batch.depth[image, row, column].item()
            wrong += got != pytest.approx(expected if expected <= 80 else np.inf, rel=1e-4)
    assert wrong <= 1  # of 240: a ray along an edge may pass it on either side in float32


def test_arguments_out_of_range_are_refused():
    for arguments, message in (
        ({"domain": "space"}, "domain is 'space'"),
        ({"style": "noir"}, "style is 'noir'"),
        ({"indices": []}, "indices is"),
        ({"indices": [1, -1]}, "indices is"),
        ({"seed": -1}, "seed is -1"),
        ({"height": 4}, "4 x 96 pixels"),
    ):
        call = {"domain": "indoor", "indices": [0]} | arguments
        with pytest.raises(ValueError, match=message):
            render_scenes(call.pop("domain"), call.pop("indices"), **call)
