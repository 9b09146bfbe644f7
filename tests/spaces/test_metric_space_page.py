"""The metric Space's page, served from the composed folder without the checkout, and its front matter."""

import contextlib
import subprocess
import sys
import time

import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from huggingface_hub import SpaceCardData
from huggingface_hub.repocard import RepoCard
from metric_space import PAGE, compose, environment_of
from PIL import Image
from processes import WITHOUT_SEMIDEPTH, free_port

START = """
import runpy
sys.path.insert(0, sys.argv[1])
runpy.run_path(sys.argv[1] + "/app.py", run_name="__main__")
"""


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    folder, port = tmp_path_factory.mktemp("space"), free_port()
    environment = environment_of(folder) | {"GRADIO_SERVER_PORT": str(port), "GRADIO_SERVER_NAME": "127.0.0.1"}
    command = [sys.executable, "-c", WITHOUT_SEMIDEPTH + START, str(compose(folder / "app"))]
    log = folder / "app.log"
    with log.open("w") as file:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=file, stderr=subprocess.STDOUT)
    try:
        for _ in range(300):
            assert process.poll() is None, log.read_text()
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"http://127.0.0.1:{port}", timeout=5).status_code == 200:
                    break
            time.sleep(0.2)
        yield Client(f"http://127.0.0.1:{port}", verbose=False)
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        finally:
            process.kill()


def score(client, prediction, reference, *options):
    files = [None if path is None else handle_file(path) for path in (prediction, reference)]
    table = client.predict(*files, 1000, *(options or ("metric", "none", "depth", "none", None)), api_name="/score")
    return dict(table["data"])


@pytest.fixture
def files(tmp_path):
    depth = np.random.default_rng(0).uniform(1, 9, (24, 32)).round(3)
    depth[0] = 0  # unknown
    np.save(tmp_path / "prediction.npy", depth * 1.1 + (depth == 0))
    Image.fromarray((depth * 1000).round().astype(np.uint16)).save(tmp_path / "depth.png")
    Image.fromarray(np.zeros((24, 32, 3), np.uint8)).save(tmp_path / "colours.png")
    return tmp_path


def test_two_files_are_scored(client, files):
    scores = score(client, files / "prediction.npy", files / "depth.png")
    assert scores["abs_rel"] == pytest.approx(0.1, abs=1e-4)
    assert scores["delta1"] == 1
    assert scores["boundary_f1"] > 0.5
    capped = score(client, files / "prediction.npy", files / "depth.png", "metric", "median", "depth", "none", 5)
    assert capped["abs_rel"] == pytest.approx(0, abs=1e-4)


def test_mistakes_are_told(client, files):
    with pytest.raises(AppError, match=r"there is no prediction; give a \.npy file or a 16-bit PNG"):
        score(client, None, files / "depth.png")
    with pytest.raises(AppError, match=r"colours\.png has the channels RGB; expected one channel"):
        score(client, files / "prediction.npy", files / "colours.png")
    with pytest.raises(AppError, match="expected 0 < min < max"):
        score(client, files / "prediction.npy", files / "depth.png", "metric", "none", "depth", "none", 1e-4)


def test_the_front_matter_is_a_space_s():
    data = RepoCard.load(PAGE / "README.md", repo_type="space").data
    assert isinstance(SpaceCardData(**data.to_dict()), SpaceCardData)
    assert (data.sdk, data.app_file) == ("gradio", "app.py")
    assert (PAGE / data.app_file).is_file()
    assert {"evaluate", "metric"} <= set(data.tags)
    assert len(data.short_description) <= 60  # the Hub takes no more
