"""All modalities of a picture: from scenes, from tables, mirrored, and as batches that go on where they stopped."""

import io
import math

import numpy as np
import pytest
import torch
from datasets import Dataset
from PIL import Image

from semidepth.data.decoding import BrokenSampleError
from semidepth.data.modalities.cells import read_beside
from semidepth.data.modalities.loading import ModalityLoader, mirror_words, modality_samples
from semidepth.data.modalities.normals import fit_normals
from semidepth.data.orientation import turn_with_image
from semidepth.data.source_spec import parse_source, parse_sources
from semidepth.data.streaming.plan import StreamPlan

SCENES = parse_sources(["scenes:indoor?count=8", "scenes:outdoor?count=8"])


def png(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(values).save(file, "PNG")
    return file.getvalue()


def plane(height: int, width: int, normal: tuple[float, float, float], focal: float, middle) -> torch.Tensor:
    """Depth of a plane two metres along its normal, by intersecting the rays of the pixels with it."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    rays = torch.stack([(x - middle[0]) / focal, -(y - middle[1]) / focal, torch.full(x.shape, -1.0)])
    unit = torch.tensor(normal) / math.hypot(*normal)
    return -2.0 / (rays * unit[:, None, None]).sum(0)


@pytest.mark.parametrize("normal", [(0.0, 0.0, 1.0), (0.3, 0.5, 0.8), (-0.4, 0.1, 0.9)])
def test_a_plane_has_its_normal_everywhere(normal):
    middle = (10.0, 14.0)
    found = fit_normals(plane(24, 30, normal, 40.0, middle), 40.0, middle, window=5)
    unit = torch.tensor(normal) / math.hypot(*normal)
    torch.testing.assert_close(found, unit[:, None, None].expand_as(found), atol=1e-4, rtol=0)


def test_coarse_depth_and_an_edge_leave_the_normals_of_both_surfaces():
    depth = torch.full((30, 40), 2.5)
    depth[:, 20:] = 4.0
    depth += torch.rand(depth.shape, generator=torch.Generator().manual_seed(0)).round() * 0.02
    depth[5, 5], depth[20:, :4] = torch.nan, torch.inf
    found = fit_normals(depth, 60.0, (19.5, 14.5))
    assert found[:, 5, 5].isnan().all()
    assert found[:, 20:, :4].isnan().all()
    assert found[2].nanquantile(0.02) > 0.85


def test_scenes_give_every_modality_and_normals_fit_their_depth():
    sample = next(modality_samples(SCENES[:1], 64))
    assert sample["caption"].startswith(("a ", "an "))
    assert sample["semantic"].shape == sample["depth"].shape == (64, 64)
    torch.testing.assert_close(sample["normal"].norm(dim=0), torch.ones(64, 64))


def test_what_is_mirrored_is_mirrored_in_every_modality():
    def first(flip: float):
        plan = StreamPlan(SCENES[:1], labeled=True, size=48, repeat=True, flip_probability=flip)
        return next(iter(ModalityLoader(plan, batch_size=4)))

    straight, mirrored = first(0.0), first(1.0)
    for name in ("image", "depth", "semantic"):
        assert torch.equal(straight[name].flip(-1), mirrored[name])
    turned = straight["normal"].flip(-1) * torch.tensor([-1.0, 1, 1])[:, None, None]
    torch.testing.assert_close(turned, mirrored["normal"], equal_nan=True)
    assert [mirror_words(text) for text in straight["caption"]] == mirrored["caption"]
    assert mirror_words("a chair on the left") == "a chair on the right"


def test_batches_go_on_where_they_stopped():
    plan = StreamPlan(SCENES, labeled=True, size=32, seed=3, shuffle_buffer=4, repeat=True)
    loader = ModalityLoader(plan, batch_size=3)
    batches = iter(loader)
    for _ in range(2):
        next(batches)
    state, expected = loader.state(), next(batches)
    again = ModalityLoader(plan, batch_size=3)
    again.restore([state])
    found = next(iter(again))
    assert found["origin"] == expected["origin"]
    assert found["caption"] == expected["caption"]
    assert torch.equal(found["semantic"], expected["semantic"])


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> str:
    """Two rows: a plane that leans back, with classes and a caption, and one with neither."""
    focal, middle = 60.0, (29.5, 19.5)
    depth = plane(40, 60, (0.0, 0.6, 0.8), focal, middle).numpy()
    classes = np.zeros((40, 60), np.uint8)
    classes[:, 30:], classes[0] = 2, 255
    rows = {
        "image": [png(np.full((40, 60, 3), 90, np.uint8))] * 2,
        "depth": [png(np.rint(depth * 1000).astype(np.uint16))] * 2,
        "semantic": [png(classes), None],
        "caption": ["a floor on the left", None],
    }
    path = tmp_path_factory.mktemp("table") / "rows.parquet"
    Dataset.from_dict(rows).to_parquet(path)
    fov = math.degrees(2 * math.atan(30 / focal))
    return f"{path}?depth_scale=0.001&fov_deg={fov}"


def test_a_table_gives_its_columns_and_normals_from_depth(table):
    first, second = modality_samples([parse_source(table)], 40)
    assert first["caption"] == "a floor on the left"
    assert first["semantic"].unique().tolist() == [-1, 0, 2]
    known = first["normal"].isfinite().all(0)
    assert known.float().mean() > 0.9
    assert (first["normal"] * torch.tensor([0, 0.6, 0.8])[:, None, None]).sum(0)[known].min() > 0.99
    assert second["caption"] == ""
    assert (second["semantic"] == -1).all()


def test_without_a_field_of_view_normals_are_unknown(table):
    first = next(modality_samples([parse_source(table.partition("&fov")[0])], 40))
    assert first["normal"].isnan().all()


def test_labels_without_metres_are_refused(table):
    source = parse_source(table.partition("?")[0] + "?kind=disparity")
    with pytest.raises(ValueError, match="without metres"):
        next(modality_samples([source], 40))


def test_an_impossible_angle_is_refused(table):
    with pytest.raises(ValueError, match="fov_deg"):
        parse_source(table.partition("&fov")[0] + "&fov_deg=200")


@pytest.mark.parametrize(("orientation", "frame"), [(3, None), (3, "upright"), (6, None), (6, "stored")])
def test_classes_of_a_turned_photo_lie_as_its_depth_does(orientation, frame):
    image = torch.empty(3, *((4, 6) if orientation == 3 else (6, 4)))
    stored = np.arange(24, dtype=np.uint8).reshape(4, 6)
    depth = turn_with_image(torch.from_numpy(stored), image, orientation, frame)
    classes = read_beside({"semantic": stored}, "a row", image, orientation, frame)["semantic"]
    assert torch.equal(classes, depth.long())


def test_classes_of_too_many_pixels_are_refused_by_number():
    content = png(np.zeros((9000, 9000), bool))
    with pytest.raises(BrokenSampleError, match="9000x9000 pixels"):
        read_beside({"semantic": content}, "a row", torch.empty(3, 4, 6), 1, None)
