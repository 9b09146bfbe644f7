"""Every endpoint with every kind of wrong value: one sentence, and nothing in the server's log."""

import math

import httpx
import pytest
from clip_files import write_clip
from gradio_client import handle_file
from gradio_client.exceptions import AppError
from serving import photo

NOT_NUMBERS = ["abc", "60", [], [1], {"a": 1}, True, math.nan, math.inf, -math.inf, 10**300, -(10**300), -1]
NOT_WORDS = [3, 0, 1.5, math.nan, [], ["magma"], {"a": 1}, True, False, "nonsense", "x" * 10_000]
NOT_POINTS = [
    "abc", 3, True, {}, [], [1, 2], [[1]], [["a", "b"]], [[None, 1]], [[True, 1]], [[math.inf, 0]], [[math.nan, 0]],
    [[10**300, 0]], [[-1, 0]], [[0, 0]] * 3, [[[1], [2]]], None,
]  # fmt: skip
NOT_NAMES = ["abc", 3, True, {}, [], [3], [["a"]], [None], ["nobody/nothing"], ["x"] * 7, None]
NOT_FILES = ["abc", 3, True, [], [1], {}, {"path": 3}, {"path": "/etc/hostname"}]
NOT_FLAGS = ["abc", 3, 0, math.nan, [], {}]
KINDS = {
    "picture": [None, *NOT_FILES], "clip": [None, *NOT_FILES], "points": NOT_POINTS, "models": NOT_NAMES,
    "side_by_side": NOT_FLAGS, "model": NOT_WORDS, "domain": NOT_WORDS, "color_map": NOT_WORDS,
    **dict.fromkeys(("near", "far", "fov", "max_jump"), NOT_NUMBERS),
}  # fmt: skip
SIGNATURES = {
    "predict": ("picture", "model", "domain", "color_map", "near", "far"),
    "distance": ("picture", "points", "model", "domain", "fov"),
    "point_cloud": ("picture", "model", "domain", "fov", "far", "max_jump"),
    "mesh": ("picture", "model", "domain", "fov", "far", "max_jump"),
    "compare": ("picture", "models", "color_map", "domain"),
    "video": ("clip", "model", "domain", "color_map", "side_by_side"),
}


@pytest.fixture(scope="module")
def good(space, tmp_path_factory):
    """A value of each kind that is taken."""
    folder = tmp_path_factory.mktemp("good")
    return {
        "picture": handle_file(photo(folder / "a.png")), "clip": handle_file(write_clip(folder / "a.mp4")),
        "points": [[1, 2]], "models": [space.names[1]],
    }  # fmt: skip


def test_all_parameters_of_all_endpoints_are_looked_at(client):
    named = client.view_api(return_format="dict")["named_endpoints"]
    assert set(named) == {"/models", *(f"/{name}" for name in SIGNATURES)}
    for name, parameters in SIGNATURES.items():
        assert tuple(each["parameter_name"] for each in named[f"/{name}"]["parameters"]) == parameters


@pytest.mark.parametrize(
    ("endpoint", "parameter"), [(name, each) for name, parameters in SIGNATURES.items() for each in parameters]
)
def test_wrong_values_get_a_sentence(client, space, good, endpoint, parameter):
    log = space.folder / "app.log"
    before = len(log.read_text())
    for wrong in KINDS[parameter]:
        given = {name: good[name] for name in SIGNATURES[endpoint] if name in good} | {parameter: wrong}
        with pytest.raises((AppError, ValueError)) as caught:  # the client itself refuses some
            client.predict(**given, api_name=f"/{endpoint}")
        said = str(caught.value)
        assert "has raised an exception" not in said, (wrong, said)
        assert "\n" not in said.strip(), (wrong, said)
        assert len(said) < 400, (wrong, said)
    assert "Traceback" not in log.read_text()[before:]


@pytest.mark.parametrize(
    "data",
    [[], [None], [{"path": "/etc/hostname", "meta": {"_type": "gradio.FileData"}}] * 6, [{"path": "x", "meta": 3}] * 6],
)
def test_requests_of_another_shape_get_a_sentence(space, data):
    started = httpx.post(f"{space.url}/gradio_api/call/predict", json={"data": data}).json()
    answer = httpx.get(f"{space.url}/gradio_api/call/predict/{started['event_id']}", timeout=60).text
    assert "event: error" in answer
    assert "What was sent" in answer or "Upload a picture" in answer
    assert "Traceback" not in (space.folder / "app.log").read_text()


def test_what_is_not_given_has_a_default(client, good):
    info, *_ = client.predict(good["picture"], None, None, None, None, None, api_name="/predict")
    assert info["unit"] == "metres"
    *_, info = client.predict(good["picture"], None, "", None, None, None, api_name="/mesh")
    assert info["triangles"] > 0
