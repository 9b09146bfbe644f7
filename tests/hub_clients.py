"""People at a Hub: what they run, each in a process of its own, to publish and to load what is published."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import tiny
import torch
from loopback_hub import TOKEN
from PIL import Image
from processes import WITHOUT_SEMIDEPTH

from semidepth.modeling import DepthStudentConfig, DepthStudentForDepthEstimation

# Publishes all that its argument lists: name, token, command line; tells what each person was told.
PUBLISH = """
import io, json, logging, os, sys, time
from pathlib import Path
sleep = time.sleep
time.sleep = lambda seconds: sleep(min(seconds, 0.02))  # waits between two tries, the libraries' too
from contextlib import redirect_stderr, redirect_stdout
from semidepth.publishing import cli as publish
from semidepth.publishing import spaces

root = spaces.ROOT
told = io.StringIO()
logging.basicConfig(stream=told, format="%(levelname)s %(message)s", level=logging.INFO)
results = {}
for name, token, arguments in json.loads(sys.argv[1]):
    os.environ["HF_TOKEN"] = token
    if not token:
        del os.environ["HF_TOKEN"]
    spaces.ROOT = Path("nowhere") if name == "space not there" else root
    told.seek(0), told.truncate()
    printed, errors = io.StringIO(), io.StringIO()
    with redirect_stdout(printed), redirect_stderr(errors):
        status = publish.main(arguments)
    *_, error = errors.getvalue().split("error: ")  # a progress bar may stand before it
    error = None if status == 0 else "error: " + error.removesuffix("\\n")
    assert status in (0, 2), (status, error)
    results[name] = {"error": error, "told": told.getvalue(), "printed": printed.getvalue()}
print("RESULTS" + json.dumps(results))
"""

# Loads models by id with transformers alone, and runs one of them on a photo.
WITHOUT_PACKAGE = (
    WITHOUT_SEMIDEPTH
    + """
import json
import torch
from transformers import AutoModelForDepthEstimation, pipeline
results = {}
for name, options in json.loads(sys.argv[1]).items():
    id, *revision = name.split("@")
    revision = revision[0] if revision else "main"
    model = AutoModelForDepthEstimation.from_pretrained(id, revision=revision, **options).eval()
    with torch.no_grad():
        results[name] = model(torch.ones(1, 3, 48, 48)).predicted_depth.double().sum().item()
pipe = pipeline("depth-estimation", model=id, **options)
results["pipeline"] = list(pipe(sys.argv[2])["predicted_depth"].shape)
print("RESULTS" + json.dumps(results))
"""
)

# Loads a model, a set of labels and a metric by id.
WITH_PACKAGE = """
import json, sys
import evaluate, torch
import numpy as np
from semidepth.data.source_spec import parse_sources
from semidepth.data.streaming.plan import StreamPlan
from semidepth.data.streaming.stream import SampleStream
from semidepth.prediction.models import load_depth_model

model = load_depth_model("org/public").model
with torch.no_grad():
    total = model(pixel_values=torch.ones(1, 3, 48, 48)).predicted_depth.double().sum().item()
stream = SampleStream(StreamPlan(parse_sources(["org/labels?kind=disparity"]), labeled=True))
labels = [sample["depth"].double().sum().item() for sample in stream]
metric = evaluate.load("org/depth_metrics")
results = {"sum": total, "class": type(model).__module__, "labels": labels,
           "metric": metric.compute(predictions=[np.full((4, 6), 3.0), np.full((2, 3), 5.0)],
                                    references=[np.full((4, 6), 2.0), np.full((2, 3), 4.0)],
                                    mode="metric", align="none", space="depth", protocol="none")}
print("RESULTS" + json.dumps(results))
"""


def save_student(folder: Path, seed: int = 0) -> DepthStudentForDepthEstimation:
    """A trained student's folder as the command leaves it, with what stays: a checkpoint, previews, stray files."""
    fields = tiny.stock_config().to_dict()
    fields.pop("model_type")
    torch.manual_seed(seed)
    student = DepthStudentForDepthEstimation(DepthStudentConfig(**fields)).eval()
    tiny.save_model(student, folder)
    (folder / "student.yaml").write_text("encoder: scenes\n")
    (folder / "results.json").write_text('{"steps": 3}\n')
    for place in ("checkpoint-00000003", "previews", "scores"):
        (folder / place).mkdir()
    (folder / "checkpoint-00000003" / "model.safetensors").write_bytes(b"of the loop")
    (folder / "previews" / "a.png").write_bytes(b"a picture")
    Image.new("RGB", (8, 8), (seed, 1, 2)).save(folder / "scores" / "examples.png")
    (folder / "notes.py").write_text("print('mine')\n")
    (folder / "optimizer.pt").write_bytes(b"pickle")
    return student


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def run_client(code: str, *arguments: str, environment: dict[str, str]) -> Any:
    """What a client's process came to."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert TOKEN not in done.stdout + done.stderr
    return json.loads(done.stdout.partition("RESULTS")[2])
