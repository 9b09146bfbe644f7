"""The metric in several processes, and its memory over many images."""

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from metric_space import METRIC
from processes import interruptible

PROCESS = """
import sys
import evaluate, numpy as np
space, cache, number, count, align = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
random = np.random.default_rng(0)
depth = random.uniform(1, 9, (5, 12, 16))
prediction = depth * random.uniform(0.7, 1.4, depth.shape)
metric = evaluate.load(
    space, cache_dir=cache, num_process=count, process_id=number, experiment_id="one", align=align, timeout=60
)
share = slice(number, None, 2) if count == 2 else slice(5 * number, 5)  # of three, one has all and two have none
if len(depth[share]):
    metric.add_batch(predictions=prediction[share], references=depth[share])
print(metric.compute())
"""


def run_together(folder: Path, aligns: list[str]) -> list[subprocess.CompletedProcess]:
    count = len(aligns)
    commands = [
        [sys.executable, "-c", PROCESS, str(METRIC), str(folder), str(number), str(count), align]
        for number, align in enumerate(aligns)
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    done = []
    with ExitStack() as stack:
        started = [stack.enter_context(interruptible(command, env=environment, **pipes)) for command in commands]
        for process in started:
            out, err = process.communicate(timeout=120)
            done.append(subprocess.CompletedProcess(process.args, process.returncode, out, err))
    return done


@pytest.mark.parametrize("count", [pytest.param(2, marks=pytest.mark.slow), 3])
def test_several_processes_compute_one_mean(load, tmp_path, count):
    first, *others = run_together(tmp_path, ["none"] * count)
    assert not any(process.returncode for process in (first, *others)), [process.stderr for process in (first, *others)]
    assert {process.stdout.strip() for process in others} == {"None"}
    random = np.random.default_rng(0)
    depth = random.uniform(1, 9, (5, 12, 16))
    prediction = depth * random.uniform(0.7, 1.4, depth.shape)
    expected = load().compute(predictions=prediction, references=depth)
    assert eval(first.stdout) == pytest.approx(expected, rel=1e-12)


def test_two_processes_with_different_options_are_refused(tmp_path):
    first, _ = run_together(tmp_path, ["none", "median"])
    assert first.returncode == 1
    assert "ValueError: the processes scored with different options" in first.stderr


MEMORY = """
import resource, sys
import evaluate, numpy as np
metric = evaluate.load(sys.argv[1], cache_dir=sys.argv[2])
depth = np.random.default_rng(0).uniform(1, 9, (480, 640)).astype(np.float32)
peaks = []
for images in (8, 56):
    for _ in range(images):
        metric.add(prediction=depth, reference=depth)
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
metric.compute()
peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
print(peaks[0], peaks[-1])
"""


def test_memory_does_not_grow_with_images(tmp_path):
    """56 more maps and predictions of 480 x 640 in float32 are 131 MiB, as Arrow would hold them at the least."""
    command = [sys.executable, "-c", MEMORY, str(METRIC), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    before, after = map(float, done.stdout.split())
    assert after - before < 30
