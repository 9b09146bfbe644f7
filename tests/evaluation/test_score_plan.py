"""Tasks of a score run: which model is scored on which set in which way, and what is refused before any is loaded."""

from pathlib import Path

import pytest
import tiny
import torch

from semidepth.evaluation.benchmarks.base import BenchmarkSet, PointPairSet
from semidepth.evaluation.depth_metrics.protocols import Protocol, find_protocol
from semidepth.evaluation.options import ScoreOptions
from semidepth.evaluation.plan import check_model, find_roots, plain_names, plan_tasks
from semidepth.prediction.shipped.folder import find_model

ROOMS = "scenes:indoor?count=2"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    metric = tiny.stock_config(depth_estimation_type="metric", max_depth=12)
    return {
        "relative": tiny.save_model(tiny.stock_model(), folder / "relative"),
        "metric": tiny.save_model(tiny.stock_model(metric, seed=1), folder / "metric"),
    }


@pytest.fixture
def sets(monkeypatch):
    """Two benchmarks that need no files: one of depth maps, one of pairs."""
    image = torch.zeros(3, 8, 10, dtype=torch.uint8)
    photo = {"image": image, "origin": "0", "domain": None}
    found = {
        "nyu": BenchmarkSet(
            "nyu", ["0", "1"], lambda number: photo | {"depth": torch.ones(8, 10)}, "nyu", 8.0, "indoor", ""
        ),
        "da2k": PointPairSet("da2k", ["0"], lambda number: photo, ""),
    }
    monkeypatch.setattr("semidepth.evaluation.data.open_benchmark", lambda name, root: found[name])


def planned(models, *names, **options):
    """(model, set, mode) of each task, with the tasks."""
    tasks = plan_tasks(ScoreOptions(model=tuple(models[name] for name in names), **options))
    return [(Path(task.model).name, task.data.name, task.mode) for task in tasks], tasks


def test_metric_models_are_scored_in_metres_where_a_set_has_a_protocol(models, sets, tmp_path):
    on_disk = {"benchmark": ("nyu", "da2k"), "root": (f"nyu={tmp_path}", f"da2k={tmp_path}")}
    found, tasks = planned(models, "relative", "metric", data=(ROOMS,), **on_disk)
    assert found == [
        ("relative", ROOMS, "relative"), ("relative", "nyu", "relative"), ("relative", "da2k", "ordinal"),
        ("metric", ROOMS, "relative"), ("metric", "nyu", "metric"), ("metric", "da2k", "ordinal"),
    ]  # fmt: skip
    assert tasks[0].max_depth_m is None  # each image's own
    assert tasks[1].max_depth_m == 8.0  # the benchmark's
    assert tasks[4].protocol == find_protocol("nyu")
    assert {task.revision for task in tasks[:3]} != {task.revision for task in tasks[3:]}


@pytest.mark.parametrize(
    ("options", "modes"),
    [
        ({"mode": "both"}, ["relative", "relative", "metric"]),
        ({"mode": "relative"}, ["relative", "relative"]),
        ({"mode": "auto"}, ["relative", "relative"]),
    ],
)
def test_modes_on_a_source(models, options, modes, caplog):
    options = {"protocol": ("none",)} | options if options["mode"] == "both" else options
    assert [mode for *_, mode in planned(models, "relative", "metric", data=(ROOMS,), **options)[0]] == modes
    told = [record.getMessage() for record in caplog.records if "--protocol" in record.getMessage()]
    assert [message.split()[0] for message in told] == ([str(models["metric"])] if options["mode"] == "auto" else [])


def test_options_overrule_a_benchmarks_protocol_and_cap(models, sets, tmp_path):
    on_disk = {"benchmark": ("nyu",), "root": (str(tmp_path),), "max_depth_m": 5.0}
    _, [task] = planned(models, "metric", protocol=("kitti",), flip=False, **on_disk)
    assert task.protocol == Protocol("kitti", 1e-3, 5.0, "garg", kb_crop=True)
    assert task.flip is False
    _, [task] = planned(models, "relative", align="median", space=("depth", "depth"), **on_disk)
    assert (task.max_depth_m, task.align, task.spaces) == (5.0, "median", ("depth",))


def test_metres_of_a_relative_model_and_metres_without_a_protocol_are_refused(models):
    with pytest.raises(ValueError, match="no unit"):
        planned(models, "relative", data=(ROOMS,), protocol=("none",))
    with pytest.raises(ValueError, match="--protocol"):
        planned(models, "metric", data=(ROOMS,), mode="metric")


def test_each_source_is_scored_once(models):
    assert len(planned(models, "relative", data=(ROOMS, ROOMS))[0]) == 1


def test_one_folder_keeps_the_first_of_its_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("model", "other"):
        (tmp_path / name).mkdir()
    names = ["./model", "org/model", "model/", str(tmp_path / "model"), "other", "org/model"]
    assert plain_names(names) == ["model", "org/model", "other"]


def test_a_folder_called_like_the_shipped_model_is_not_taken_for_it(tmp_path, monkeypatch):
    """Its scores were the shipped model's, under its own name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "semidepth-small").mkdir()
    names = plain_names(["./semidepth-small", "semidepth-small", "semidepth-small/"])
    assert names == ["./semidepth-small", "semidepth-small"]
    assert [find_model(name) == name for name in names] == [True, False]


@pytest.mark.parametrize(
    ("names", "roots", "expected"),
    [
        ([], [], {}),
        (["nyu"], ["/d/nyu"], {"nyu": "/d/nyu"}),
        (["nyu"], ["nyu=/d/nyu"], {"nyu": "/d/nyu"}),
        (["nyu"], ["/d/a=b"], {"nyu": "/d/a=b"}),  # a folder with = in its name
        (["nyu", "nyu"], ["/d/nyu"], {"nyu": "/d/nyu"}),
        (["nyu", "kitti"], ["kitti=/d/k", "nyu=/d/n"], {"nyu": "/d/n", "kitti": "/d/k"}),
    ],
)
def test_each_benchmark_finds_its_root(names, roots, expected):
    assert find_roots(names, roots) == expected


@pytest.mark.parametrize(
    ("names", "roots"),
    [
        ([], ["/d"]),
        (["nyu"], []),
        (["nyu"], ["/d", "/e"]),
        (["nyu", "kitti"], ["/d"]),
        (["nyu", "kitti"], ["nyu=/d", "sintel=/e"]),
        (["nyu", "kitti"], ["nyu=/d", "nyu=/e", "kitti=/f"]),
    ],
)
def test_roots_that_fit_no_benchmark_are_refused(names, roots):
    with pytest.raises(ValueError, match="--root"):
        find_roots(names, roots)


def test_a_models_kind_is_known_from_its_files_alone(models, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.nn.Module, "load_state_dict", None)  # no weights are loaded
    assert check_model(models["relative"], None) == "disparity"
    assert check_model(models["metric"], None) == "depth"
    assert check_model(models["relative"], "depth") == "depth"  # as the user says
    tiny.stock_config().save_pretrained(tmp_path / "bare")
    with pytest.raises(ValueError, match=r"model\.safetensors"):
        check_model(str(tmp_path / "bare"), None)
    (tmp_path / "bare/pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(ValueError, match="pickled"):
        check_model(str(tmp_path / "bare"), None)
    with pytest.raises(ValueError, match="nowhere"):
        check_model(str(tmp_path / "nowhere"), None)
