"""The ablation at its smallest: what each row's run was told, what is kept, the tables' arithmetic."""

import dataclasses
import importlib.util
import json
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from tiny import save_encoder

FILE = Path(__file__).parents[2] / "benchmarks/ablation.py"


@pytest.fixture(scope="module")
def ablation():
    spec = importlib.util.spec_from_file_location("ablation_benchmark", FILE)
    module = sys.modules["ablation_benchmark"] = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(FILE.parent)  # as for a script
        spec.loader.exec_module(module)
    yield module
    del sys.modules["ablation_benchmark"]


def smallest(ablation, tmp_path, **changes):
    options = {
        "output_dir": str(tmp_path / "out"), "encoder": save_encoder(tmp_path / "encoder"), "seeds": [4],
        "rows": ["labeled_only", "unlabeled", "perturbation", "feature_alignment", "gradient_matching"],
        "real": ["scenes:indoor?count=2&start=900"], "labeled_scenes": 2, "unlabeled_scenes": 4, "test_scenes": 2,
        "teacher_steps": 3, "steps": 2, "batch_size": 2, "cpu": True,
    }  # fmt: skip
    return ablation.AblationOptions(**(options | changes))


def test_rows_differ_in_what_they_are_named_for_alone(ablation, tmp_path):
    text = ablation.run_ablation(smallest(ablation, tmp_path))
    folder = tmp_path / "out/seed_4"
    students = ["unlabeled", "perturbation", "feature_alignment", "gradient_matching"]
    options = [yaml.safe_load((folder / row / "student.yaml").read_text()) for row in students]
    changed = [
        {name: row[name] for name in row if row[name] != above[name] and name != "output_dir"}
        for above, row in pairwise(options)
    ]
    assert changed == [
        {"color_distortion": True, "cutmix_probability": 0.5},
        {"feature_alignment": True},
        {"losses": "v2"},
    ]
    first = options[0]
    assert (first["color_distortion"], first["cutmix_probability"], first["feature_alignment"]) == (False, 0.0, False)
    assert (first["losses"], first["gradient_matching_weight"]) == ("v1", None)
    assert first["teacher"] == str(folder / "teacher")
    assert all("style=any" in source and source.endswith("&count=4") for source in first["unlabeled"])
    assert first["learning_rate"] == 5e-6  # the paper's, since the encoder is not the built-in one
    labeled_only = yaml.safe_load((folder / "labeled_only/teacher.yaml").read_text())
    alike = ("encoder", "labeled", "steps", "seed", "batch_size", "learning_rate", "losses", "gradient_matching_weight")
    assert {name: labeled_only[name] for name in alike} == {name: first[name] for name in alike}
    assert all("style=studio" in source for source in labeled_only["labeled"])
    assert yaml.safe_load((folder / "teacher/teacher.yaml").read_text())["steps"] == 3
    assert sorted(path.name for path in folder.glob("*.json")) == sorted(
        f"{row}.json" for row in ["teacher", "labeled_only", *students]
    )
    scores = json.loads((folder / "unlabeled.json").read_text())["scores"]
    scenes = [f"{domain}, {style}" for domain in ("indoor", "outdoor") for style in ("studio", "wild")]
    assert set(scores) == {*scenes, "indoor", "mean of scenes"}
    assert scores["mean of scenes"]["abs_rel"] == pytest.approx(sum(scores[name]["abs_rel"] for name in scenes) / 4)
    assert (tmp_path / "out/table.md").read_text() == f"{text}\n"
    assert text.count("| + feature alignment |") == 6  # two metrics: values, differences to the row above and the first


def test_what_is_finished_is_kept_and_more_rows_and_seeds_are_added(ablation, tmp_path):
    ablation.run_ablation(smallest(ablation, tmp_path, rows=["labeled_only"]))
    kept = tmp_path / "out/seed_4/labeled_only.json"
    result = json.loads(kept.read_text())
    result["scores"]["indoor, wild"]["abs_rel"] = 0.123456  # if it were trained again, this would be gone
    kept.write_text(json.dumps(result))
    (tmp_path / "out/seed_4/perturbation").mkdir()
    (tmp_path / "out/seed_4/perturbation/student.yaml").write_text("of an interrupted run")
    text = ablation.run_ablation(smallest(ablation, tmp_path, rows=["perturbation", "labeled_only"]))
    assert "0.1235" in next(line for line in text.splitlines() if line.startswith("| labeled only |"))
    assert text.index("| labeled only |") < text.index("| + perturbation |")  # in the paper's order
    text = ablation.run_ablation(smallest(ablation, tmp_path, rows=["labeled_only"], seeds=[4, 5]))
    assert (tmp_path / "out/seed_5/labeled_only.json").is_file()
    assert "seeds 4, 5" in text
    with pytest.raises(ValueError, match="other steps"):
        ablation.run_ablation(smallest(ablation, tmp_path, steps=7))


def made_up(scenes, real):
    return {"mean of scenes": {"abs_rel": scenes, "delta1": 1 - scenes}, "real": {"abs_rel": real, "delta1": 1 - real}}


def test_tables_are_worked_out_from_the_scores(ablation):
    runs = {
        "teacher": [made_up(0.5, 0.9), made_up(0.5, 0.9)],
        "labeled_only": [made_up(0.4, 0.75), made_up(0.2, 0.75)],
        "unlabeled": [made_up(0.3, 0.625), made_up(0.14, 0.875)],
        "gradient_matching": [made_up(0.3, 0.625), made_up(0.14, 0.875)],
    }
    values = ablation.to_table(runs, "abs_rel").splitlines()
    assert values[0] == "| AbsRel ↓ | mean of scenes | real | paper, 6 sets |"
    assert values[2] == "| (teacher) | 0.5000 ± 0.0000 | 0.9000 ± 0.0000 |  |"
    # Two values 0.1 off their mean: standard deviation 0.1 * sqrt(2), standard error 0.1.
    assert values[3] == "| labeled only | 0.3000 ± 0.1000 | 0.7500 ± 0.0000 | 0.1798 |"
    assert values[5] == "| + gradient matching (V2) | 0.2200 ± 0.0800 | 0.7500 ± 0.1250 |  |"
    added = ablation.to_table(runs, "abs_rel", "above").splitlines()
    assert added[2:] == [  # differences -0.1 and -0.06; -0.125 and +0.125
        "| + unlabeled | -0.0800 ± 0.0200 | +0.0000 ± 0.1250 | -0.0010 |",
        "| + gradient matching (V2) | +0.0000 ± 0.0000 | +0.0000 ± 0.0000 |  |",
    ]
    single = ablation.to_table({row: seeds[:1] for row, seeds in runs.items()}, "delta1", "first")
    assert single.splitlines()[2:] == [
        "| + unlabeled | +0.1000 | +0.1250 |",
        "| + gradient matching (V2) | +0.1000 | +0.1250 |",
    ]


def test_variants_change_the_last_row_and_are_compared_with_it(ablation, monkeypatch, tmp_path):
    found = {}
    monkeypatch.setattr(ablation, "train_student", lambda options: found.__setitem__(options.output_dir, options))
    arguments = smallest(ablation, tmp_path)
    for row in ("gradient_matching", *ablation.VARIANTS):
        ablation.train_row(arguments, arguments.encoder, 4, row)
    base, *variants = [dataclasses.asdict(options) for options in found.values()]
    changed = [{name for name in each if each[name] != base[name] and name != "output_dir"} for each in variants]
    meant = {row: set(changes) for row, changes in ablation.VARIANTS.items()}
    meant["label_free"].add("batch_size")
    assert changed == list(meant.values())
    free, warm = (found[str(tmp_path / "out/seed_4" / row)] for row in ("label_free", "warm_start"))
    assert free.unlabeled_batch_size == base["batch_size"] * base["unlabeled_per_labeled"]
    assert warm.start == base["teacher"]
    assert {losses for each in variants for losses in each["losses"].split("+")} >= {"local", "edge", "normal", "sky"}
    runs = {
        row: [made_up(value, value)]
        for row, value in (("labeled_only", 0.4), ("gradient_matching", 0.3), ("local", 0.25), ("sky", 0.5))
    }
    lines = ablation.to_table(runs, "delta1", "above").splitlines()[2:]
    assert [line.split(" | ")[1] for line in lines] == ["+0.1000", "+0.0500", "-0.2000"]


def test_each_source_to_test_on_has_a_column(ablation):
    arguments = ablation.AblationOptions(real=["one/rooms?count=3", "two/frames"], test_scenes=5)
    names = list(ablation.test_sets(arguments))
    assert names[-2:] == ["rooms", "frames"]
    assert len(names) == 6
    arguments = replace(arguments, real=("one/rooms", "two/rooms"))
    assert list(ablation.test_sets(arguments))[-2:] == ["one/rooms", "two/rooms"]


def test_wrong_values_get_one_sentence(ablation, refused):
    for argv, words in (
        (["--seeds", "1", "1"], "different numbers"),
        (["--steps", "0"], "--steps is 0"),
        (["--rows", "unlabelled"], "give some of labeled_only, unlabeled"),
        (["--photos", "scenes:indoor"], "never ends; give it ?count=N"),
    ):
        assert words in refused(ablation.main, *argv)


def test_real_frames_alone(ablation, tmp_path):
    source = "scenes:indoor?count=2&start=40"  # stands for a folder of frames
    options = smallest(
        ablation, tmp_path, rows=["labeled_only", "unlabeled"], labeled=[source], photos=["scenes:outdoor?count=4"],
        unlabeled_scenes=0, test_scenes=0, learning_rate=1e-4,
    )  # fmt: skip
    text = ablation.run_ablation(options)
    run = yaml.safe_load((tmp_path / "out/seed_4/unlabeled/student.yaml").read_text())
    assert (run["labeled"], run["unlabeled"]) == ([source], ["scenes:outdoor?count=4"])
    assert run["learning_rate"] == 1e-4
    assert ablation.SCENES_MEAN not in text
    for none in ({"photos": []}, {"real": []}):
        with pytest.raises(ValueError, match="scenes is 0"):
            replace(options, **none)
