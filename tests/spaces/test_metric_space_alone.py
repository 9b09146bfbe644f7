"""The metric Space away from this repository: its links, an upload, a clone, and the numbers of a lone copy."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub._commit_api import CommitOperationAdd
from huggingface_hub.hf_api import HfApi

from semidepth.evaluation.depth_metrics.formulas import metric_scores, relative_metrics

ROOT = Path(__file__).parents[2]
SPACE = ROOT / "spaces" / "depth_metrics"
LINKS = {
    "formulas.py": "depth_metrics.py",
    "protocols.py": "protocols.py",
    "boundary_metrics.py": "boundary_metrics.py",
    "ordinal_metrics.py": "ordinal_metrics.py",
}

ALONE = """
import json, sys
sys.modules["semidepth"] = None  # an import of the package fails
import evaluate, numpy as np
maps = np.load(sys.argv[2])
found = {}
for mode in ("metric", "relative"):
    for align in ("least_squares", "median", "none"):
        metric = evaluate.load(sys.argv[1], cache_dir=sys.argv[3], mode=mode, align=align)
        found[mode + " " + align] = metric.compute(predictions=maps["prediction"], references=maps["depth"])
found["boundary"] = evaluate.load(sys.argv[1], "boundary", cache_dir=sys.argv[3]).compute(
    predictions=maps["prediction"], references=maps["depth"]
)
print(json.dumps(found))
"""


def test_formulas_are_links_to_the_one_source():
    for name, source in LINKS.items():
        assert (SPACE / name).is_symlink(), f"{name} is a copy; it would drift"
        assert (SPACE / name).resolve() == ROOT / "training" / "objectives" / source


def test_git_keeps_the_links():
    listed = subprocess.run(["git", "ls-files", "-s", str(SPACE)], capture_output=True, text=True, cwd=ROOT, check=True)
    links = {line.split("/")[-1] for line in listed.stdout.splitlines() if line.startswith("120000")}
    assert links == set(LINKS)


def test_an_upload_follows_the_links():
    left_out = ["__pycache__/*", "README.md"]  # the Hub checks a README's front matter before it takes it
    operations = HfApi()._prepare_upload_folder_additions(SPACE, path_in_repo="", ignore_patterns=left_out)
    files = {operation.path_in_repo: operation for operation in operations}
    assert {"app.py", "depth_metrics.py", "requirements.txt", *LINKS} <= set(files)
    for name, source in LINKS.items():
        assert isinstance(files[name], CommitOperationAdd)
        with files[name].as_file() as content:
            assert content.read() == (ROOT / "training" / "objectives" / source).read_bytes()


def test_a_lone_copy_gives_the_same_numbers(tmp_path):
    copy = tmp_path / "app"  # what the folder is called on a Space's machine
    shutil.copytree(SPACE, copy, symlinks=False, ignore=shutil.ignore_patterns("__pycache__"))
    assert not any(file.is_symlink() for file in copy.iterdir())
    random = np.random.default_rng(0)
    depth = random.uniform(0.5, 9, (2, 24, 32))
    prediction = depth * random.uniform(0.7, 1.4, depth.shape)
    np.savez(tmp_path / "maps.npz", depth=depth, prediction=prediction)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {
        "HF_HOME": str(tmp_path / "home"),
        "OMP_NUM_THREADS": "1",
    }
    command = [
        sys.executable,
        "-c",
        ALONE,
        str(copy / "depth_metrics.py"),
        str(tmp_path / "maps.npz"),
        str(tmp_path / "cache"),
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    label, ours = torch.from_numpy(depth), torch.from_numpy(prediction)
    for mode, function in (("metric", metric_scores), ("relative", relative_metrics)):
        for align in ("least_squares", "median", "none"):
            expected = {name: values.mean().item() for name, values in function(ours, label, align=align).items()}
            assert found[f"{mode} {align}"] == pytest.approx(expected, rel=1e-12), (mode, align)
    assert 0 < found["boundary"]["boundary_f1"] < 1
