"""Publishing to a Hub on this machine by the real clients, each in a process of its own, and loading what is there.

One process does all of one person's pushes; each test looks at its part of what came out, and at the Hub.
"""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from hub_clients import PUBLISH, WITH_PACKAGE, WITHOUT_PACKAGE, run_client, save_student, sha256
from loopback_hub import OTHER_TOKEN, READ_TOKEN, TOKEN, LoopbackHub
from PIL import Image

from semidepth.modeling import DepthStudentForDepthEstimation
from semidepth.publishing import spaces
from semidepth.training import pseudo_label


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Two students' folders and a set of labels."""
    root = tmp_path_factory.mktemp("publish")
    save_student(root / "student")
    save_student(root / "other", seed=1)
    shutil.copytree(root / "student", root / "again")
    (root / "again" / "results.json").write_text('{"steps": 4}\n')
    pseudo_label.main([
        "--teacher", str(root / "student"), "--unlabeled", "scenes:indoor?count=5&size=48", "--output",
        str(root / "labels"), "--part_size", "3", "--cpu", "true",
    ])  # fmt: skip
    return root


@pytest.fixture(scope="module")
def hub():
    with LoopbackHub() as hub:
        yield hub


def pushes(root: Path) -> list[tuple[str, str, list[str]]]:
    """Name, token and command line of everything that is published, in order."""
    student, again, other, labels = (str(root / name) for name in ("student", "again", "other", "labels"))
    return [
        ("dry run", TOKEN, [student, "--repo", "org/student", "--dry_run"]),
        ("created", TOKEN, [student, "--repo", "org/student", "--private"]),
        ("unchanged", TOKEN, [student, "--repo", "org/student", "--private"]),
        ("changed", TOKEN, [again, "--repo", "org/student"]),
        ("sharded", TOKEN, [other, "--repo", "org/student", "--max_shard_size", "60KB", "--branch", "shards"]),
        ("public", TOKEN, [other, "--repo", "org/public"]),
        ("pull request", OTHER_TOKEN, [student, "--repo", "org/public", "--pull_request"]),
        ("added to it", OTHER_TOKEN, [again, "--repo", "org/public", "--branch", "refs/pr/1"]),
        ("stock", TOKEN, [student, "--repo", "org/stock", "--stock"]),
        ("labels", TOKEN, [labels, "--repo", "org/labels"]),
        ("labels again", TOKEN, [labels, "--repo", "org/labels"]),
        ("space", TOKEN, ["--space", "metrics", "--repo", "org/depth_metrics"]),
        ("space misnamed", TOKEN, ["--space", "metrics", "--repo", "org/metric"]),
        ("space not there", TOKEN, ["--space", "demo", "--repo", "org/demo"]),
        ("no token", "", [student, "--repo", "org/new"]),
        ("wrong token", "hf_" + "nobody" * 6, [student, "--repo", "org/new"]),
        ("read-only token", READ_TOKEN, [student, "--repo", "org/new"]),
        ("taken", OTHER_TOKEN, [student, "--repo", "org/public"]),
        ("not ours", OTHER_TOKEN, [student, "--repo", "org/new"]),
        ("nothing to ask", OTHER_TOKEN, [student, "--repo", "org/nothing", "--pull_request"]),
        ("read-only repository", TOKEN, [student, "--repo", "org/locked"]),
        ("public already", TOKEN, [student, "--repo", "org/public", "--private"]),
        ("cut off", TOKEN, [other, "--repo", "org/cut"]),
        ("resumed", TOKEN, [other, "--repo", "org/cut"]),
        ("conflict", TOKEN, [student, "--repo", "org/busy"]),
        ("down", TOKEN, [student, "--repo", "org/down"]),
    ]


# What the client tries before it gives up on one large file: its own six times in each of five attempts.
TRIES = 30


@pytest.fixture(scope="module")
def published(root, hub, tmp_path_factory) -> dict[str, dict[str, Any]]:
    """What a person was told of each push."""
    weights = f"_lfs/{sha256(root / 'student' / 'model.safetensors')}"
    hub.faults.fail(weights, method="PUT", drop_after=1000)  # once, which the client mends itself
    hub.add("model", "org/locked", {})
    hub.faults.fail("org/locked/commit", method="POST", status=403, times=100)
    hub.faults.fail(f"_lfs/{sha256(root / 'other' / 'model.safetensors')}", method="PUT", drop_after=1000, times=TRIES)
    hub.faults.fail("org/busy/commit", method="POST", status=412, times=2)
    hub.faults.fail("org/down", method=None, status=503, times=10_000)
    environment = hub.environment(tmp_path_factory.mktemp("home"))
    order = pushes(root)
    # The weights of `other` go to org/cut first: once on the Hub they would not be sent again.
    order.sort(key=lambda push: push[0] not in ("cut off", "resumed"))
    return run_client(PUBLISH, json.dumps(order), environment=environment)


WHOLE = {
    "README.md", "affine_invariant.py", "config.json", "configuration_depth_student.py", "dpt_decoder.py",
    "model.safetensors", "modeling_depth_student.py", "preprocessor_config.json", "results.json",
    "scores/examples.png", "student.yaml", ".gitattributes",
}  # fmt: skip


def test_a_dry_run_lists_all_that_would_go_up_and_creates_nothing(published, root, hub):
    told = published["dry run"]
    assert told["error"] is None
    lines = re.findall(r"^ *([\d,]+)  (\S+)$", told["printed"], re.MULTILINE)
    listed = {name: int(size.replace(",", "")) for size, name in lines}
    assert listed["model.safetensors"] == (root / "student" / "model.safetensors").stat().st_size
    assert set(listed) == WHOLE - {".gitattributes"}
    assert "These stay here: checkpoint-00000003/, notes.py, optimizer.pt, previews/" in told["printed"]
    first = next(index for index, call in enumerate(hub.calls) if "org/student" in call[1])
    assert hub.calls[first][0] != "POST"  # nothing was made before the push after it asked


def test_a_model_is_created_and_goes_up_whole_and_only_that(published, root, hub):
    told = published["created"]
    assert told["error"] is None
    repository = hub.repositories["model", "org/student"]
    assert repository.private
    state = repository.commits[2]  # after the Hub's own two
    assert set(state.files) == WHOLE
    for name in WHOLE - {"README.md", ".gitattributes"}:
        assert state.files[name] == (root / "student" / name).read_bytes()
    assert f"pushed to {hub.url}/org/student (revision {state.oid})" in told["told"]
    assert "optimizer.pt is pickled and stays here" in told["told"]
    cut = [call for call in hub.calls if call == ("PUT", f"/_lfs/{sha256(root / 'student' / 'model.safetensors')}", 0)]
    assert len(cut) == 1


def test_a_second_push_makes_a_commit_only_where_something_changed(published, hub):
    assert "nothing has changed" in published["unchanged"]["told"]
    assert "no commit was made" in published["unchanged"]["told"]
    commits = hub.repositories["model", "org/student"].commits
    assert [commit.title for commit in commits] == ["initial commit", "files", "Publish student", "Publish again"]
    differing = [name for name in commits[3].files if commits[3].files[name] != commits[2].files.get(name)]
    assert differing == ["results.json"]


def test_shards_on_a_branch_replace_the_whole_file(published, hub):
    repository = hub.repositories["model", "org/student"]
    files = repository.branches["shards"][-1].files
    shards = sorted(name for name in files if name.startswith("model-"))
    assert len(shards) > 2
    assert "model.safetensors" not in files
    assert set(json.loads(files["model.safetensors.index.json"])["weight_map"].values()) == set(shards)
    assert "model.safetensors" in repository.commits[-1].files  # main is as it was


def test_anybody_can_open_a_pull_request_and_add_to_it(published, hub):
    repository = hub.repositories["model", "org/public"]
    assert f"{hub.url}/org/public/discussions/1" in published["pull request"]["told"]
    assert published["added to it"]["error"] is None
    assert repository.pull_requests == ["refs/pr/1"]
    start, first, second = repository.branches["refs/pr/1"]
    assert start is repository.commits[-1]
    assert json.loads(first.files["results.json"]) == {"steps": 3}
    assert json.loads(second.files["results.json"]) == {"steps": 4}


def test_a_push_goes_on_after_its_connection_was_cut(published, root, hub):
    told = published["cut off"]
    assert re.fullmatch(
        r"error: org/cut could not be pushed to: .+; run the same command again later.+",
        told["error"],
    )
    assert "attempt 5 of 5" in told["told"]
    assert published["resumed"]["error"] is None
    assert hub.files("model", "org/cut")["model.safetensors"] == (root / "other" / "model.safetensors").read_bytes()
    picture = f"/_lfs/{sha256(root / 'other' / 'scores' / 'examples.png')}"
    assert [call for call in hub.calls if call[:2] == ("PUT", picture)] == [("PUT", picture, 200)]
    weights = f"/_lfs/{sha256(root / 'other' / 'model.safetensors')}"
    assert [call[2] for call in hub.calls if call[:2] == ("PUT", weights)] == [0] * TRIES + [200]


def test_somebody_elses_push_in_between_is_waited_for(published, hub):
    assert published["conflict"]["error"] is None
    assert published["conflict"]["told"].count("somebody else is writing to org/busy") == 2
    assert set(hub.files("model", "org/busy")) == WHOLE


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no token", "pushing to org/new needs a token that may write; run `hf auth login` or set HF_TOKEN."),
        ("wrong token", "the Hub does not know the token in use; make one that may write (https://"),
        ("read-only token", "the token of 'tester' may only read; make one that may write (https://"),
        ("taken", "org/public is there already and not of 'somebody'; choose another name, such as somebody/public"),
        ("not ours", "org/new cannot be made by 'somebody', who belongs to somebody; choose a name below"),
        ("nothing to ask", "there is no model org/nothing to open a pull request for; check its name."),
        ("read-only repository", "the Hub does not let this token write to org/locked (as planned); ask for the right"),
        ("public already", "org/public is there already and public; make it private in its settings, or"),
        ("space misnamed", "--repo is org/metric, but evaluate.load looks for a metric's code under"),
        ("space not there", "the Space demo is not part of this installation ("),
        ("down", "org/down could not be pushed to: HfHubHTTPError: Server error '503"),
    ],
)
def test_what_cannot_be_pushed_is_told_in_one_sentence(published, hub, name, words):
    error = published[name]["error"]
    assert error.startswith(f"error: {words}")
    assert "\n" not in error
    assert not any(repository in {name for _, name in hub.repositories} for repository in ("org/new", "org/nothing"))


def expected_sum(folder: Path) -> float:
    model = DepthStudentForDepthEstimation.from_pretrained(folder).eval()
    with torch.no_grad():
        return model(torch.ones(1, 3, 48, 48)).predicted_depth.double().sum().item()


def test_it_loads_by_id_without_the_package_and_offline_from_the_cache(published, root, hub, tmp_path):
    first, photo = hub.repositories["model", "org/student"].commits[2].oid, tmp_path / "photo.png"
    Image.new("RGB", (100, 60), (200, 100, 50)).save(photo)
    ours = {"trust_remote_code": True}
    wanted = {"org/public": ours, f"org/student@{first}": ours, "org/student@shards": ours, "org/stock": {}}
    environment = hub.environment(tmp_path)
    found = run_client(WITHOUT_PACKAGE, json.dumps(wanted), str(photo), environment=environment)
    for name in ("org/public", "org/student@shards"):
        assert found[name] == pytest.approx(expected_sum(root / "other"), rel=1e-5)
    for name in (f"org/student@{first}", "org/stock"):
        assert found[name] == pytest.approx(expected_sum(root / "student"), rel=1e-5)
    assert found["pipeline"] == [60, 100]
    before = len(hub.calls)
    offline = environment | {"HF_HUB_OFFLINE": "1"}
    assert run_client(WITHOUT_PACKAGE, json.dumps(wanted), str(photo), environment=offline) == found
    assert len(hub.calls) == before


def test_model_labels_and_metric_come_back_with_the_package(published, root, hub, tmp_path):
    found = run_client(WITH_PACKAGE, environment=hub.environment(tmp_path))
    assert found["sum"] == pytest.approx(expected_sum(root / "other"), rel=1e-5)
    assert found["class"] == "semidepth.modeling.modeling_depth_student"
    assert len(found["labels"]) == 5
    assert found["metric"]["abs_rel"] == pytest.approx((1 / 2 + 1 / 4) / 2)
    files = hub.files("dataset", "org/labels")
    assert {name: files[name] for name in files if name.startswith("data/")} == {
        f"data/{path.name}": path.read_bytes() for path in (root / "labels" / "data").iterdir()
    }
    assert "nothing has changed" in published["labels again"]["told"]
    space = hub.repositories["space", "org/depth_metrics"]
    assert space.sdk == "gradio"
    composed = space.commits[-1].files["formulas.py"]
    assert composed == (spaces.ROOT / "evaluation" / "depth_metrics" / "formulas.py").read_bytes()


def test_no_token_is_told_or_published(published, hub):
    assert TOKEN not in json.dumps(published)
    for repository in hub.repositories.values():
        for commit in repository.commits:
            assert not any(TOKEN.encode() in content for content in commit.files.values())
