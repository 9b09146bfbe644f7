"""The Space through its API: each endpoint against the model's own values, and what is refused."""

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import httpx
import numpy as np
import pytest
import trimesh
from clip_files import write_clip
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image
from serving import own_values, photo


@pytest.fixture
def picture(tmp_path):
    return photo(tmp_path / "a photo.png", seed=3)


def test_models_are_listed_by_short_names(client, space):
    assert space.names == tuple(f"{space.folder.name}/{name}" for name in ("metric", "relative"))
    assert client.predict(api_name="/models") == [
        {"name": space.names[0], "metric": True, "domains": ["indoor", "outdoor"]},
        {"name": space.names[1], "metric": False, "domains": []},
    ]


@pytest.mark.parametrize(("domain", "number"), [("indoor", 0), ("outdoor", 1), ("router", None)])
def test_predict_gives_the_models_own_metres(client, space, picture, domain, number):
    own = own_values(space.routed, picture, number)
    assert own.std() > 1e-3 * own.mean()  # else nothing below could fail
    info, color, png16, npy = client.predict(handle_file(picture), domain=domain, api_name="/predict")
    values = np.load(npy)
    np.testing.assert_allclose(values, own, rtol=1e-4, atol=1e-4)
    assert info["unit"] == "metres"
    assert (info["width"], info["height"]) == (120, 90)
    assert math.isclose(sum(info["domains"].values()), 1, rel_tol=1e-4)
    millimetres = np.asarray(Image.open(png16))
    assert millimetres.dtype == np.uint16
    assert np.abs(millimetres - np.minimum(own * 1000, 65535)).max() <= 0.51 + 0.0001 * own.max() * 1000
    assert Image.open(color).size == (120, 90)
    assert Path(npy).name == "a_photo_depth.npy"


def test_the_heads_differ(space, picture):
    """Else overruling the router could not be seen."""
    assert np.abs(own_values(space.routed, picture, 0) / own_values(space.routed, picture, 1) - 1).mean() > 0.05


def test_predict_of_a_stock_model_is_relative_and_near_is_bright(client, space, picture):
    own = own_values(space.stock, picture)
    info, color, png16, npy = client.predict(handle_file(picture), model=space.names[1], api_name="/predict")
    np.testing.assert_allclose(np.load(npy), own, rtol=1e-4, atol=1e-4)
    assert info["unit"] == "inverse depth"
    stored = np.asarray(Image.open(png16)).astype(float)
    assert stored.min() == 0
    assert stored.max() == 65535
    assert np.corrcoef(stored.ravel(), own.ravel())[0, 1] > 0.9999
    bright = np.asarray(Image.open(color).convert("L"))
    assert info["beyond_share"] == 0
    assert bright[own >= np.percentile(own, 90)].mean() > bright[own <= np.percentile(own, 50)].mean() + 20


def test_colours_keep_to_the_given_range(client, space, picture):
    own = own_values(space.routed, picture, 0)
    middle = float(np.median(own))
    _, color, *_ = client.predict(
        handle_file(picture), domain="indoor", near=middle, far=middle * 2, color_map="cividis", api_name="/predict"
    )
    nearer = np.asarray(Image.open(color))[own < middle]
    assert (nearer == nearer[0]).all()  # all in the near end's colour
    with pytest.raises(AppError, match="has to lie before the far end"):
        client.predict(handle_file(picture), near=3, far=2, api_name="/predict")


def test_distance_is_pythagoras_in_space(client, space, picture):
    own = own_values(space.routed, picture, 1)
    ends, places = [(10, 20), (100, 70)], []
    focal = 120 / 2 / math.tan(math.radians(40))
    for x, y in ends:
        places.append([(x + 0.5 - 60) / focal * own[y, x], (y + 0.5 - 45) / focal * own[y, x], own[y, x]])
    points = [list(end) for end in ends]
    found = client.predict(handle_file(picture), points, domain="outdoor", fov=80, api_name="/distance")
    assert math.isclose(found["between_m"], math.dist(*places), rel_tol=1e-4)
    assert [point["distance_m"] for point in found["points"]] == pytest.approx([own[20, 10], own[70, 100]], rel=1e-4)
    straight = [point["straight_m"] for point in found["points"]]
    assert straight == pytest.approx([math.hypot(*place) for place in places], rel=1e-4)
    assert found["fov_from"] == "given"
    guessed = client.predict(handle_file(picture), points[:1], api_name="/distance")
    assert (guessed["fov_deg"], guessed["fov_from"]) == (60, "guessed")
    assert "60°, guessed" in guessed["text"]


def test_distance_takes_the_field_of_view_from_the_camera(client, tmp_path):
    path = tmp_path / "camera.jpg"
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = 50  # mm on film of 36 x 24 mm
    Image.open(photo(tmp_path / "p.png")).save(path, exif=exif)
    found = client.predict(handle_file(path), [[1, 1]], api_name="/distance")
    width_mm = math.hypot(36, 24) * 120 / math.hypot(120, 90)
    assert found["fov_deg"] == pytest.approx(math.degrees(2 * math.atan(width_mm / 2 / 50)), rel=1e-6)
    assert "EXIF" in found["fov_from"]


@pytest.mark.parametrize(
    ("points", "says"),
    [([[500, 3]], "lies outside"), ([], "0 points"), ("middle", "list of one or two pairs"), ([[1, 2, 3]], "pairs")],
)
def test_distance_refuses_points_that_are_none(client, picture, points, says):
    with pytest.raises(AppError, match=says):
        client.predict(handle_file(picture), points, api_name="/distance")


def test_mesh_and_point_cloud_stand_upright_in_metres(client, space, picture):
    own = own_values(space.routed, picture, 0)
    far = float(np.percentile(own, 80))
    options = {"domain": "indoor", "fov": 60, "max_jump": 1.2}
    glb, ply, info = client.predict(handle_file(picture), **options, api_name="/mesh")
    mesh, scene = trimesh.load(ply), trimesh.load(glb)
    assert info["triangles"] == len(mesh.faces) > 0
    np.testing.assert_allclose(scene.bounds, mesh.bounds, rtol=1e-5)
    top, bottom = mesh.vertices[:, 1].max(), mesh.vertices[:, 1].min()
    assert top > 0 > bottom
    assert mesh.vertices[:, 2].max() < 0  # in front of a camera that looks along -z
    np.testing.assert_allclose([-mesh.vertices[:, 2].min()], [own.max()], rtol=0.05)
    glb, ply, info = client.predict(handle_file(picture), far=far, **options, api_name="/point_cloud")
    cloud = trimesh.load(ply)
    assert info["points"] == len(cloud.vertices) < len(mesh.vertices)
    assert -cloud.vertices[:, 2].min() <= far * 1.0001
    # The upper left pixel is upper left in space, and has its colour.
    first = cloud.colors[np.argmin(cloud.vertices[:, 0] - cloud.vertices[:, 1])][:3]
    near_corner = np.asarray(Image.open(picture))[:45, :60].reshape(-1, 3)
    assert np.abs(near_corner.astype(int) - first).sum(1).min() == 0
    with pytest.raises(AppError, match="farther cut-off"):
        client.predict(handle_file(picture), far=1e-4, api_name="/point_cloud")


def test_compare_shows_each_model(client, space, picture):
    told, files = client.predict(handle_file(picture), [space.names[1], space.names[0]], api_name="/compare")
    assert [each["unit"] for each in told] == ["inverse depth", "metres"]
    assert len(files) == 2
    folder = space.folder.name.replace("-", "_")
    names = [Path(file).stem.replace("-", "_") for file in files]
    assert names == [f"a_photo_1_{folder}_relative", f"a_photo_2_{folder}_metric"]
    assert (np.asarray(Image.open(files[0])) != np.asarray(Image.open(files[1]))).any()
    with pytest.raises(AppError, match="not one of this Space's"):
        client.predict(handle_file(picture), ["facebook/dpt"], api_name="/compare")


def test_compare_uses_the_chosen_head_where_there_is_one(client, space, picture):
    names = [space.names[1], space.names[0]]
    told, _ = client.predict(handle_file(picture), names, domain="outdoor", api_name="/compare")
    assert [each["domain"] for each in told] == ["", "outdoor"]
    assert told[1]["largest"] == pytest.approx(own_values(space.routed, picture, 1).max(), rel=1e-4)
    with pytest.raises(AppError, match="None of these models has a head called 'outdoor'"):
        client.predict(handle_file(picture), [space.names[1]], domain="outdoor", api_name="/compare")


def test_the_far_end_of_a_relative_scene_is_per_cent(client, space, picture):
    options = {"model": space.names[1], "max_jump": 500}
    own = own_values(space.stock, picture)
    low, high = np.percentile(own, [0.5, 99.5])
    for far in (100, 40):
        *_, info = client.predict(handle_file(picture), far=far, **options, api_name="/point_cloud")
        kept = ((high - own) / (high - low) <= far / 100) | (far == 100)
        assert info["points"] == pytest.approx(kept.sum(), rel=0.06)  # those without a neighbour are left out
    with pytest.raises(AppError, match="per cent, at most 100"):
        client.predict(handle_file(picture), far=101, **options, api_name="/mesh")


def test_video_comes_back_with_its_sound_and_steady_colours(client, space, tmp_path):
    clip = write_clip(tmp_path / "clip.mp4")
    made, info = client.predict(handle_file(clip), api_name="/video")
    assert info["frames"] == 12
    assert info["audio"] == "copied"
    with av.open(str(made)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert container.streams.audio
    assert len(frames) == 12
    assert frames[0].shape == (48, 128, 3)  # side by side
    with av.open(str(clip)) as container:
        first = next(container.decode(video=0)).to_image()
    first.save(tmp_path / "first.png")
    own = own_values(space.routed, tmp_path / "first.png", ["indoor", "outdoor"].index(info["domain"]))
    share = (info["shown_to"] - own) / (info["shown_to"] - info["shown_from"])  # 1 is near and bright
    bright = np.asarray(Image.fromarray(frames[0][:, 64:]).convert("L")).astype(float)
    assert np.corrcoef(np.clip(share, 0, 1).ravel(), bright.ravel())[0, 1] > 0.95
    alone, _ = client.predict(handle_file(clip), side_by_side=False, api_name="/video")
    with av.open(str(alone)) as container:
        assert container.streams.video[0].width == 64


def test_a_clip_beyond_the_limits_is_refused_before_the_work(client, tmp_path):
    clip = write_clip(tmp_path / "long.mp4", frames=610)
    with pytest.raises(AppError, match=r"up to 60 seconds.*This one: 61 s, 610 frames"):
        client.predict(handle_file(clip), api_name="/video")


def test_bad_files_get_one_sentence(client, space, tmp_path):
    text = tmp_path / "text.jpg"
    text.write_text("not a picture")
    torn = tmp_path / "torn.png"
    torn.write_bytes(photo(tmp_path / "whole.png", size=(400, 300)).read_bytes()[:2000])
    large = tmp_path / "large.png"
    Image.new("1", (9300, 7000)).save(large)
    for path, says in ((text, "cannot be read as a picture"), (torn, "cannot be read as a picture"),
                       (large, "65.1 megapixels and at most 65")):  # fmt: skip
        with pytest.raises(AppError, match=says):
            client.predict(handle_file(path), api_name="/predict")
    with pytest.raises(AppError, match="cannot be read as a video"):
        client.predict(handle_file(text), api_name="/video")
    with pytest.raises(AppError, match="Upload a picture"):
        client.predict(None, api_name="/predict")
    with pytest.raises(AppError, match="'cellar' is not known"):
        client.predict(handle_file(photo(tmp_path / "p.png")), domain="cellar", api_name="/predict")


def test_the_largest_picture_that_is_taken(client, tmp_path):
    Image.open(photo(tmp_path / "p.png")).resize((9200, 7000)).save(tmp_path / "large.jpg")
    found = client.predict(handle_file(tmp_path / "large.jpg"), [[9199, 6999]], api_name="/distance")
    assert found["points"][0]["distance_m"] > 0
    with pytest.raises(AppError, match="outside of the picture of 9200 x 7000"):
        client.predict(handle_file(tmp_path / "large.jpg"), [[9200, 6999]], api_name="/distance")


def test_files_of_the_server_are_out_of_reach(space):
    secret = Path(space.folder) / "secret.png"
    photo(secret)
    for path in (str(secret), "/etc/hostname", "app.py"):
        file = {"path": path, "meta": {"_type": "gradio.FileData"}}
        body = {"data": [file, space.names[0], "router", "magma", None, None]}
        started = httpx.post(f"{space.url}/gradio_api/call/predict", json=body)
        if started.status_code == 200:
            answer = httpx.get(f"{space.url}/gradio_api/call/predict/{started.json()['event_id']}", timeout=60).text
            assert "event: error" in answer
            assert "smallest" not in answer
        fetched = httpx.get(f"{space.url}/gradio_api/file={path}")
        assert fetched.status_code in (403, 404)


def test_thirty_at_once_each_get_their_own_answer(space, tmp_path):
    """Of their picture, their model and their head."""
    pictures = [photo(tmp_path / f"{number}.png", seed=number, size=(60 + number, 50)) for number in range(30)]
    clients = [Client(space.url, verbose=False, httpx_kwargs={"timeout": 120}) for _ in range(4)]
    wishes = [(space.names[0], "indoor"), (space.names[0], "outdoor"), (space.names[1], "router")]

    def ask(number):
        model, domain = wishes[number % 3]
        info, *_, npy = clients[number % 4].predict(
            handle_file(pictures[number]), model=model, domain=domain, api_name="/predict"
        )
        assert info["model"] == model
        return np.load(npy)

    with ThreadPoolExecutor(30) as pool:
        answers = list(pool.map(ask, range(30)))
    folders = [(space.routed, 0), (space.routed, 1), (space.stock, None)]
    for number, answer in enumerate(answers):
        folder, head = folders[number % 3]
        np.testing.assert_allclose(answer, own_values(folder, pictures[number], head), rtol=1e-4, atol=1e-4)


def test_no_path_of_the_server_is_told(client, space):
    """Neither by the page's own description, nor by the API's, nor where a model is asked for by its folder."""
    for address in ("config", "gradio_api/info"):
        assert str(space.folder / "metric") not in httpx.get(f"{space.url}/{address}").text
    with pytest.raises(AppError) as caught:
        client.predict(handle_file(photo(space.folder / "x.png")), model=space.routed, api_name="/predict")
    assert f"give one of {', '.join(space.names)}" in str(caught.value)


def test_the_page_offers_documented_endpoints_alone(client):
    named = client.view_api(return_format="dict")["named_endpoints"]
    assert set(named) == {"/models", "/predict", "/distance", "/point_cloud", "/mesh", "/compare", "/video"}
    assert all(endpoint["description"] for endpoint in named.values())
