"""The metric Space's page, served and used through its API, and its front matter."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from huggingface_hub import SpaceCardData
from huggingface_hub.repocard import RepoCard
from PIL import Image

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
SPACE = Path(__file__).parents[2] / "spaces" / "depth_metrics"


@pytest.fixture(scope="module")
def client():
    sys.path.insert(0, str(SPACE))
    try:
        import app
    finally:
        sys.path.remove(str(SPACE))
        for name in ("app", "protocols"):  # names that another Space may have, too
            sys.modules.pop(name, None)
    page = app.build()
    _, url, _ = page.launch(prevent_thread_lock=True, quiet=True)
    yield Client(url, verbose=False)
    page.close()


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
    data = RepoCard.load(SPACE / "README.md", repo_type="space").data
    assert isinstance(SpaceCardData(**data.to_dict()), SpaceCardData)
    assert (data.sdk, data.app_file) == ("gradio", "app.py")
    assert (SPACE / data.app_file).is_file()
    assert {"evaluate", "metric"} <= set(data.tags)
    assert len(data.short_description) <= 60  # the Hub takes no more
