"""Composed Spaces work alone: in a process that can import neither the checkout nor an installed semidepth."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from gradio_client import Client, handle_file
from processes import free_port
from serving import photo, save_models, wait_for_page
from shipped_model import save_runs, ship, take

from semidepth.prediction.models import load_depth_model
from semidepth.publishing import cli, spaces
from semidepth.publishing.spaces import space_files

# Python's own ways to find modules are all that is left; on exit it tells where those of semidepth came from.
ALONE = """
import atexit, importlib.machinery as machinery, json, pathlib, runpy, sys
sys.meta_path[:] = [machinery.BuiltinImporter, machinery.FrozenImporter, machinery.PathFinder]
for name in [name for name in sys.modules if name.split(".")[0] == "semidepth"]:
    del sys.modules[name]
def tell():
    files = {name: module.__file__ for name, module in sys.modules.items() if name.split(".")[0] == "semidepth"}
    pathlib.Path(told).write_text(json.dumps(files))
told, sys.argv = sys.argv[1], sys.argv[2:]
atexit.register(tell)
sys.path.insert(0, "")
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def compose(name: str, folder: Path) -> Path:
    """Lays the files of a Space out in a folder."""
    made = folder.with_name("made")
    made.mkdir()
    files, sdk = space_files(name, made)
    assert sdk == "gradio"
    for file in files:
        assert not file.source.is_symlink()
        (folder / file.path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file.source, folder / file.path)
    return folder


def test_the_demo_answers_a_request(tmp_path):
    folder, port = compose("demo", tmp_path / "app"), free_port()
    _, stock = save_models(tmp_path)
    command = [sys.executable, "-c", ALONE, str(tmp_path / "told.json"), "app.py", "--model", stock]
    command += ["--port", str(port), "--host", "127.0.0.1", "--device", "cpu"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "GRADIO_ANALYTICS_ENABLED": "False"}
    with (tmp_path / "app.log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            wait_for_page(process, f"http://127.0.0.1:{port}", tmp_path / "app.log")
            client = Client(f"http://127.0.0.1:{port}", verbose=False, download_files=str(tmp_path))
            info, *_ = client.predict(handle_file(photo(tmp_path / "a.png")), api_name="/predict")
            assert (info["unit"], info["width"], info["height"]) == ("inverse depth", 120, 90)
        finally:
            process.terminate()
            process.wait(timeout=30)
    told = json.loads((tmp_path / "told.json").read_text())
    assert "semidepth.prediction" in told
    assert all(Path(file).is_relative_to(folder) for file in told.values()), told


def test_the_demo_asks_for_what_it_imports(tmp_path):
    names = {
        line.split(">")[0] for line in (compose("demo", tmp_path / "app") / "requirements.txt").read_text().split()
    }
    assert {"torch", "torchvision", "transformers", "safetensors", "numpy", "pillow", "av", "trimesh"} <= names
    assert not {"gradio", "accelerate", "datasets", "evaluate", "pytest"} & names


def test_requirements_of_an_installed_package_are_those_of_the_checkout(tmp_path, monkeypatch):
    imported = {"torch", "PIL", "av", "gradio"}
    expected = spaces._requirements(imported)
    assert [line.split(">")[0] for line in expected] == ["av", "pillow", "safetensors", "torch", "torchvision"]
    told = ["torch>=2.11", "torchvision>=0.26", "safetensors>=0.8", "pillow>=10.4", 'h5py>=3; extra == "benchmarks"']
    told += ['av>=18.1; extra == "media"', 'av>=18.1; extra == "space"', 'gradio>=6.0; extra == "space"']
    monkeypatch.setattr(spaces, "ROOT", tmp_path)
    monkeypatch.setattr(spaces.importlib.metadata, "requires", lambda name: told)
    assert spaces._requirements(imported) == expected


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("import semidepth.media.meshes", "semidepth.media.meshes"),
        ("def f():\n    from semidepth.media import meshes", "semidepth.media.meshes"),
        ("from semidepth import predict", "semidepth.prediction.depth_maps"),
        ("from semidepth.modeling import DepthStudentConfig", "semidepth.modeling.modeling_depth_student"),
    ],
)
def test_imports_of_every_form_are_followed(tmp_path, code, name):
    (tmp_path / "app.py").write_text(code)
    modules, _ = spaces._needed_modules([tmp_path / "app.py"])
    assert {name, "semidepth"} <= set(modules)
    assert "semidepth.training" not in modules


def test_what_only_a_type_checker_reads_is_not_followed(tmp_path):
    (tmp_path / "app.py").write_text("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import semidepth.data")
    assert spaces._needed_modules([tmp_path / "app.py"]) == ({}, {"typing"})


@pytest.mark.parametrize(("name", "part"), [("demo", "semidepth/modeling/__init__.py"), ("metrics", "formulas.py")])
def test_a_dry_run_lists_the_files_and_needs_no_repository(name, part, capsys):
    assert cli.main(["--space", name, "--dry_run"]) == 0
    listed = [line.split()[-1] for line in capsys.readouterr().out.splitlines()]
    assert {"app.py", "README.md", "requirements.txt", part} <= set(listed)
    assert len(listed) == len(set(listed))


def test_the_model_that_comes_with_semidepth_goes_along(tmp_path, monkeypatch):
    student, metric = save_runs(tmp_path / "runs")
    take(monkeypatch, ship(student, tmp_path / "semidepth-small", "--heads", str(metric)))
    cards = compose("demo", tmp_path / "app") / "semidepth" / "model_cards"
    assert (cards / "__init__.py").is_file()
    take(monkeypatch, cards / "semidepth-small")
    assert load_depth_model("semidepth-small-metric").domains == ["indoor", "outdoor"]
    assert load_depth_model().kind == "disparity"
    assert (cards / "semidepth-small" / "metres" / "scores" / "results.json").is_file()  # how far off its metres are
    take(monkeypatch, tmp_path / "none")
    (tmp_path / "made").rename(tmp_path / "before")
    assert not (compose("demo", tmp_path / "other") / "semidepth" / "model_cards" / "semidepth-small").exists()


def test_the_checkout_s_spaces_hold_no_links():
    assert not [path for path in (spaces.ROOT / "spaces").rglob("*") if path.is_symlink()]
