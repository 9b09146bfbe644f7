"""The code of the cards is run: by plain transformers where it says so, on tiny models, offline, in another folder."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny
from PIL import Image

from semidepth.modeling import DepthStudentForDepthEstimation, RoutedDepthForDepthEstimation
from semidepth.prediction.preprocessing import Preprocessing
from semidepth.publishing.cards.model_card import make_card
from semidepth.publishing.facts import read_facts
from semidepth.training.engine.saving import save_model

# Runs each block by itself, and tells the shape and range of the depth that it made.
RUNNER = """
import json, sys
told = []
for block in json.loads(sys.argv[1]):
    if "semidepth" not in block:
        assert not any(name.startswith("semidepth") for name in sys.modules)
    names = {}
    exec(block, names)
    depth = names.get("inverse_depth", names.get("metres"))
    told.append(None if depth is None else [list(depth.shape), float(depth.min()), float(depth.max())])
if len(sys.argv) > 2:
    from semidepth.prediction import cli as predict
    predict.main(json.loads(sys.argv[2]))
print("TOLD" + json.dumps(told))
"""
ZOEDEPTH = {"zoedepth": 1, "zoedepth of two": 2}  # the number of heads
DOMAINS = [{"name": "in door's", "max_depth_m": 10.0}, {"name": "outdoor", "max_depth_m": 80.0}]


def save(kind: str, folder: Path) -> Path:
    """A tiny model of a kind, as the commands leave it."""
    student = DepthStudentForDepthEstimation.from_encoder(tiny.save_encoder(folder.parent / "encoder"))
    if kind == "relative":
        model = student
    elif kind in ZOEDEPTH:
        model = tiny.zoedepth(ZOEDEPTH[kind])
    elif kind == "stock":
        fields = student.config.to_dict() | {"depth_estimation_type": "metric", "max_depth": 20.0}
        model = DepthStudentForDepthEstimation(type(student.config)(**fields)).to_depth_anything()
    else:
        sizes = {"bin_embedding_dim": 16, "projector_hidden_size": 16, "seed_hidden_size": 32, "router_hidden_size": 32}
        domains = DOMAINS if kind == "routed" else DOMAINS[:1]
        model = RoutedDepthForDepthEstimation.from_student(student, domains, **sizes)
    folder.mkdir()
    save_model(model, Preprocessing(size=tiny.SIZE, multiple=tiny.PATCH), folder)
    return folder


@pytest.mark.parametrize(
    ("kind", "blocks"),
    [
        ("relative", 3),
        ("routed", 3),
        ("stock", 2),
        *(pytest.param(*each, marks=pytest.mark.slow) for each in (("single", 3), *((kind, 2) for kind in ZOEDEPTH))),
    ],
)
def test_every_block_runs(tmp_path, kind, blocks):
    folder = save(kind, tmp_path / "mine")
    card = make_card(read_facts(folder))
    code = re.findall(r"```python\n(.*?)```", card.text, re.DOTALL)
    assert len(code) == blocks
    assert all(str(folder) in block for block in code)
    assert ("trust_remote_code" in card.text) == (kind not in ("stock", *ZOEDEPTH))
    (command,) = re.findall(r"`semidepth predict (.*?)`", card.text)

    work = tmp_path / "elsewhere"
    (work / "holiday").mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 256, (60, 100, 3), dtype=np.uint8)
    portrait = Image.Exif()
    portrait[0x0112] = 6  # a photo of a camera held upright: turned by the pipeline, by semidepth and by hand
    for name in ("photo.jpg", "holiday/beach.png"):
        Image.fromarray(noise).save(work / name, exif=portrait)
    environment = os.environ | {"HF_MODULES_CACHE": str(tmp_path / "modules"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", RUNNER, json.dumps(code), json.dumps(shlex.split(command))],
        capture_output=True, text=True, env=environment, cwd=work, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.partition("TOLD")[2])
    assert [shape for shape, *_ in told[:2]] == [[100, 60]] * 2
    assert told[0][1:] == pytest.approx(told[1][1:], rel=1e-4)  # by hand as by the pipeline
    assert (work / "depth/photo_depth.npy").is_file()
    assert (work / "depth/photo_points.ply").is_file() == (kind != "relative")
    if kind == "relative":
        assert (work / "depth/beach_depth.npy").is_file()
        assert (work / "depth.png").is_file()
    if kind == "zoedepth of two":
        assert "the router takes it for nyu" in done.stdout or "the router takes it for kitti" in done.stdout
    if kind == "routed":
        assert "the router takes it for " in done.stdout
        assert "in door's: up to 10 m" in done.stdout
