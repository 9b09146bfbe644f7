"""Datasets on a Hub: pushed, listed and streamed by the real clients, whole in spite of faults, no token told.

The client runs in a process of its own, since huggingface_hub reads where the Hub is when it is imported. One process
does all that is asked here; each test looks at its part.
"""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from loopback_hub import TOKEN, LoopbackHub
from sample_files import encoded, write_parquet, write_tar

CLIENT = """
import json, logging, sys, time
sleep = time.sleep
time.sleep = lambda seconds: sleep(min(seconds, 0.02))  # the client's own waits, too
import huggingface_hub
from semidepth.common import retrying
from semidepth.data.reading.sources import count_samples, open_source
from semidepth.data.source_spec import parse_source
from semidepth.data.streaming.plan import StreamPlan
from semidepth.data.streaming.stream import SampleStream

logging.basicConfig(level=logging.INFO, stream=sys.stderr)
retrying.ATTEMPTS = 3
results = {}
for name, spec in json.loads(sys.argv[1]).items():
    read = []
    try:
        source = parse_source(spec)
        read += (int(sample["image"][0, 0, 0]) for sample in SampleStream(StreamPlan((source,), labeled=False)))
        shards = open_source(source, labeled=False).num_shards
        results[name] = {"read": read, "count": count_samples(source), "shards": shards}
    except ValueError as error:
        results[name] = {"read": read, "error": str(error)}
api = huggingface_hub.HfApi()
api.create_repo("org/pushed", repo_type="dataset", private=True)
api.upload_folder(repo_id="org/pushed", repo_type="dataset", folder_path=sys.argv[2])
results["pulled"] = open(huggingface_hub.hf_hub_download("org/pushed", "b/notes.txt", repo_type="dataset")).read()
print("RESULTS" + json.dumps(results))
"""

SPECS = {
    "by name": "org/frames",
    "by file": "hf://datasets/org/frames/data/train-1.parquet",
    "by pattern": "hf://datasets/org/frames/data/*.parquet",
    "by number": "hf://datasets/org/frames/data/train-{0..1}.parquet",
    "busy": "org/busy",
    "busy at the start": "org/opening",
    "tar": "hf://datasets/org/tars/a.tar",
    "tar cut off": "hf://datasets/org/tars/cut.tar",
    "forbidden": "org/forbidden",
    "missing": "org/nothing",
    "missing file": "hf://datasets/org/frames/none.parquet",
    "down": "org/down",
    "dead": "hf://datasets/org/dead/data/train-1.parquet",
}


def plan_faults(hub: LoopbackHub) -> None:
    hub.faults.fail("org/busy/resolve", status=503, skip=1, times=8)  # more than the client's own five tries
    hub.faults.fail("org/busy/resolve", drop_after=100, times=2)
    hub.faults.fail("org/busy/resolve", status=429, times=2)
    hub.faults.fail("org/opening", status=503, method=None, times=2)
    hub.faults.fail("tars/resolve/main/a.tar", drop_after=100_000, times=3)
    hub.faults.fail("org/forbidden", status=403, method=None, times=1000)
    hub.faults.fail("org/down", status=503, method=None, times=1000)
    hub.faults.fail("org/dead/resolve", status=503, method=None, times=1000)


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    root = tmp_path_factory.mktemp("hub")
    parts = [write_parquet(root / f"{part}.parquet", range(part * 20, part * 20 + 20)) for part in range(2)]
    files = {f"data/train-{number}.parquet": path.read_bytes() for number, path in enumerate(parts)}
    noise = np.random.default_rng(0).integers(0, 256, (99, 70, 3), dtype=np.uint8)
    pictures = []
    for number in range(20):
        noise[0, 0, 0] = number
        pictures.append(encoded(noise))
    tar = write_tar(root / "a.tar", {f"{number:02}.png": pictures[number] for number in range(20)}).read_bytes()
    with LoopbackHub() as hub:
        for name in ("frames", "busy", "opening", "forbidden", "dead", "down"):
            hub.add("dataset", f"org/{name}", files)
        hub.add("dataset", "org/tars", {"a.tar": tar, "cut.tar": tar[: tar.index(b"13.png")]})
        yield hub


@pytest.fixture(scope="module")
def client(hub, tmp_path_factory):
    """What the client's process printed: its results, and its log."""
    root = tmp_path_factory.mktemp("client")
    (root / "pushed" / "b").mkdir(parents=True)
    (root / "pushed" / "a.parquet").write_bytes(hub.files("dataset", "org/frames")["data/train-0.parquet"])
    (root / "pushed" / "b" / "notes.txt").write_text("a small file")
    plan_faults(hub)
    command = [sys.executable, "-c", CLIENT, json.dumps(SPECS), str(root / "pushed")]
    environment = os.environ | hub.environment(root)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.partition("RESULTS")[2]), done.stderr


@pytest.mark.parametrize("name", ["by name", "by pattern", "by number", "busy", "busy at the start"])
def test_every_row_of_a_dataset_comes_once_and_in_order(client, name):
    results, _ = client
    assert results[name]["read"] == list(range(40))
    assert results[name]["shards"] == 2


def test_a_file_and_a_tar_of_a_dataset(client):
    results, _ = client
    assert results["by file"]["read"] == list(range(20, 40))
    assert results["tar"]["read"] == list(range(20))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "forbidden",
            "'org/forbidden' is no local path and cannot be read from the Hub (HfHubHTTPError: ",
        ),
        ("missing", "'org/nothing' is no local path and cannot be read from the Hub (RepositoryNotFoundError: 404"),
        ("missing file", "none.parquet"),
        ("dead", "was tried 3 times in a row, at last with HfHubHTTPError: Server error '503"),
        ("down", "was tried 3 times in a row, at last with HfHubHTTPError"),
        ("tar cut off", "hf://datasets/org/tars/cut.tar was cut off"),
    ],
)
def test_what_cannot_be_read_is_told_in_one_sentence(client, name, words):
    results, _ = client
    assert words in results[name]["error"]
    assert "\n" not in results[name]["error"]


def test_the_token_is_told_nowhere(client):
    results, log = client
    assert "attempt 2 of 3" in log
    assert TOKEN not in json.dumps(results) + log


def test_what_is_pushed_can_be_pulled(client, hub):
    results, _ = client
    assert results["pulled"] == "a small file"
    assert hub.repositories["dataset", "org/pushed"].private
    assert set(hub.files("dataset", "org/pushed")) == {".gitattributes", "a.parquet", "b/notes.txt"}
    pushed = hub.files("dataset", "org/pushed")["a.parquet"]
    assert pushed == hub.files("dataset", "org/frames")["data/train-0.parquet"]
