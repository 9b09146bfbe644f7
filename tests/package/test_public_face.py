"""What `import semidepth` offers, how little it imports, and that it works from any folder."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from serving import photo, save_models

import semidepth

ROOT = Path(__file__).resolve().parents[2]
# Of streams, downloads and tables: nothing that a prediction needs.
UNNEEDED = ("datasets", "aiohttp", "pyarrow", "pandas", "semidepth.data.streaming", "semidepth.publishing")


def run(code: str, folder: Path) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def test_its_names_are_there_and_others_are_refused():
    for name in semidepth.__all__:
        assert getattr(semidepth, name)
    assert set(semidepth.__all__) <= set(dir(semidepth))
    with pytest.raises(AttributeError, match="nothing"):
        _ = semidepth.nothing


def test_importing_it_imports_no_torch(tmp_path):
    assert (
        run("import sys, semidepth; dir(semidepth); semidepth.__version__; print('torch' in sys.modules)", tmp_path)
        == "False"
    )


def test_predicting_imports_no_readers_of_data_sets(tmp_path):
    model = save_models(tmp_path)[0]
    code = f"""
import json, sys, semidepth
semidepth.predict
first = list(sys.modules)
semidepth.predict({str(photo(tmp_path / "a.png"))!r}, {model!r}, device="cpu")
print(json.dumps([first, list(sys.modules)]))"""
    first, then = json.loads(run(code, tmp_path))
    assert not set(UNNEEDED) & set(then)
    assert not {"transformers", "torchvision", "accelerate"} & set(first)  # seconds that only loading a model needs
    assert "transformers" in then


def test_an_editable_install_works_in_the_folder_that_holds_the_clone(tmp_path):
    """There the clone's own folder, called semidepth, would hide an installation that does not come before it."""
    clone, site = tmp_path / "semidepth", tmp_path / "site"
    names = ("common", "media", "data", "prediction", "package", "modeling", "evaluation", "publishing", "training")
    for name in (*names, "runtime", "model_cards", "spaces"):
        shutil.copytree(ROOT / name, clone / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, clone / name)
    build = "import sys; from setuptools import build_meta; build_meta.build_editable(sys.argv[1])"
    site.mkdir()
    subprocess.run([sys.executable, "-c", build, str(site)], cwd=clone, check=True, capture_output=True)
    shutil.unpack_archive(next(site.glob("*.whl")), site, "zip")
    code = f"""
import sys, site
# This test's own installation goes.
sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__module__ == "builtins" and finder.__module__ in
                    ("_frozen_importlib", "_frozen_importlib_external")]
sys.path[:] = ["", *(path for path in sys.path if path and "__editable__" not in path)]
site.addsitedir({str(site)!r})
import semidepth
semidepth.predict
from semidepth.prediction.depth_maps import predict
print(semidepth.__file__)"""
    assert Path(run(code, tmp_path)).resolve() == clone / "package" / "__init__.py"
