"""The composed metric Space in processes that cannot see the checkout: `evaluate.load` of its folder, and its page."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from metric_space import PAGE, compose, environment_of
from processes import WITHOUT_SEMIDEPTH

from semidepth.evaluation.depth_metrics.formulas import metres_scores, relative_scores

LOAD = """
import json
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


def test_the_page_s_folder_has_no_links_and_no_code_of_the_metric():
    assert sorted(file.name for file in PAGE.iterdir() if file.name != "__pycache__") == [
        "README.md", "app.py", "requirements.txt",
    ]  # fmt: skip
    assert not any(file.is_symlink() for file in PAGE.iterdir())


@pytest.mark.parametrize("path", ["depth_metrics", "app/depth_metrics.py"])
def test_the_composed_folder_scores_as_the_formulas_do(tmp_path, path):
    """Loaded by its folder's name, and as the file of a folder with another name, as on a Space's machine."""
    compose(tmp_path / path.split("/")[0])
    random = np.random.default_rng(0)
    depth = random.uniform(0.5, 9, (2, 24, 32))
    prediction = depth * random.uniform(0.7, 1.4, depth.shape)
    np.savez(tmp_path / "maps.npz", depth=depth, prediction=prediction)
    command = [sys.executable, "-c", WITHOUT_SEMIDEPTH + LOAD, path, str(tmp_path / "maps.npz"), str(tmp_path / "c")]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment_of(tmp_path), cwd=tmp_path, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    label, ours = torch.from_numpy(depth), torch.from_numpy(prediction)
    for mode, function in (("metric", metres_scores), ("relative", relative_scores)):
        for align in ("least_squares", "median", "none"):
            expected = {name: values.mean().item() for name, values in function(ours, label, align=align).items()}
            assert found[f"{mode} {align}"] == pytest.approx(expected, rel=1e-12), (mode, align)
    assert 0 < found["boundary"]["boundary_f1"] < 1
