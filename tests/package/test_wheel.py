"""The wheel in an environment of its own, with the network off: a photo's depth by the model that comes with it."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from serving import photo
from shipped_model import save_runs, ship

import semidepth

ROOT = Path(__file__).resolve().parents[2]
ROOMS = (
    "common", "media", "runtime", "modeling", "data", "prediction", "evaluation", "publishing", "training", "package",
    "model_cards", "spaces",
)  # fmt: skip
SHIPPED = "model_cards/semidepth-small"
# Refuses every connection, and writes down that one was asked for.
NO_NETWORK = """
import pathlib, socket
def refuse(*asked, **more):
    with pathlib.Path({told!r}).open("a") as file:
        file.write(f"{{asked}}\\n")
    raise OSError("the network is off")
socket.getaddrinfo = socket.socket.connect = refuse
"""


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Path:
    """A copy of what is packaged; where no weights are shipped yet, with a tiny model in their place."""
    clone = tmp_path_factory.mktemp("clone")
    for name in ROOMS:
        shutil.copytree(ROOT / name, clone / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, clone / name)
    if not (clone / SHIPPED / "weights.json").is_file():
        shutil.rmtree(clone / SHIPPED, ignore_errors=True)
        student, metric = save_runs(tmp_path_factory.mktemp("runs"))
        ship(student, clone / SHIPPED, "--heads", str(metric))
    return clone


@pytest.fixture(scope="module")
def wheel(clone, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, str(folder)], cwd=clone, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """An environment with the wheel alone, which sees the packages that semidepth needs and no network."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    (site,) = folder.glob("lib/python*/site-packages")
    others = [path for path in sys.path if path.endswith("site-packages")]
    (site / "no_network.py").write_text(NO_NETWORK.format(told=str(folder / "asked.txt")))
    (site / "others.pth").write_text("\n".join([*others, "import no_network"]) + "\n")
    return folder


def run(installed: Path, folder: Path, *words: str) -> str:
    """Runs a program of the environment in a folder, without a cache and a setting that keeps it from the Hub."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "PYTHON"))}
    environment |= {"HF_HOME": str(folder / "hub"), "OMP_NUM_THREADS": "1"}
    command = [str(installed / "bin" / words[0]), *words[1:]]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_it_carries_the_model_and_the_page(wheel, clone):
    names = set(zipfile.ZipFile(wheel).namelist())
    files = {path.relative_to(clone).as_posix() for path in (clone / SHIPPED).rglob("*") if path.is_file()}
    assert {f"semidepth/{name}" for name in files} <= names
    assert "semidepth/spaces/depth_demo/examples/SOURCES.md" in names


def test_a_photo_s_depth_at_once_with_the_network_off(installed, clone, tmp_path):
    photo(tmp_path / "photo.jpg")
    place = run(installed, tmp_path, "python", "-c", "import semidepth; print(semidepth.__file__)").strip()
    assert Path(place).is_relative_to(installed)
    told = json.loads(run(installed, tmp_path, "semidepth", "predict", "photo.jpg", "--json"))
    assert told["model"] in ("semidepth-small", "semidepth-small-metric")
    heads = told["model"] == "semidepth-small-metric"
    here = semidepth.predict(tmp_path / "photo.jpg", clone / SHIPPED / ("metres" if heads else ""), device="cpu")
    assert told["unit"] == here.unit
    values = np.load(tmp_path / "depth" / "photo_depth.npy")
    assert values == pytest.approx(here.values, rel=1e-4)
    code = "import semidepth; print(semidepth.predict('photo.jpg', device='cpu').unit, semidepth.load_model().kind)"
    assert run(installed, tmp_path, "python", "-c", code).strip() == f"{here.unit} {'depth' if heads else 'disparity'}"
    assert "semidepth-small" in run(installed, tmp_path, "semidepth", "info")
    assert not (installed / "asked.txt").exists()
