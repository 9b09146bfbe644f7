"""What goes up of a run's records: everything but where things lie on the machine that it ran on."""

import json

import pytest
import yaml

from semidepth.publishing.files import HubFile
from semidepth.publishing.records import public_files, public_text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/me/acme/photos", "photos"),
        ("~/acme/photos", "photos"),
        ("indoor=/home/me/my rooms/*.parquet?depth_scale=0.001", "indoor=my rooms/*.parquet?depth_scale=0.001"),
        ("outputs/demo/teacher", "outputs/demo/teacher"),
        ("org/name", "org/name"),
        ("https://host/data/a.parquet", "https://host/data/a.parquet"),
        ("hf://datasets/org/name", "hf://datasets/org/name"),
        ("scenes:indoor?count=3", "scenes:indoor?count=3"),
        ("../../acme/y.parquet", "y.parquet"),
        ("outputs/a b/c", "outputs/a b/c"),
    ],
)
def test_absolute_paths_are_cut_to_their_last_part(text, shown):
    assert public_text(text) == shown


def test_records_are_copied_and_the_rest_goes_up_as_it_is(tmp_path):
    folder = tmp_path / "run"
    (folder / "scores").mkdir(parents=True)
    options = {"output_dir": "/home/me/acme/run", "labeled": ["/home/me/acme/rooms"], "steps": 3}
    (folder / "student.yaml").write_text(yaml.safe_dump(options))
    (folder / "results.json").write_text(
        json.dumps(
            {
                "loss": 0.5,
                "teacher": "/home/me/acme/teacher",
                "/a/val.parquet/abs_rel": 0.1,
                "/b/val.parquet/abs_rel": 0.9,
            }
        )
    )
    command = "python training/score.py --model '/home/me/acme x/run' --root nyu=/data/nyu"
    entry = {"model": "/home/me/acme x/run", "data": "nyu", "metrics": {"abs_rel": 0.1}}
    (folder / "scores/results.json").write_text(json.dumps({"command": command, "scores": [entry]}))
    (folder / "config.json").write_text(json.dumps({"_name_or_path": "org/name"}))
    (folder / "scores/table.md").write_text("| model |\n|---|\n| /home/me/acme x/run |\n")
    (folder / "model.py").write_text("PATH = '/home/me/acme'\n")
    names = ("student.yaml", "results.json", "config.json", "scores/results.json", "scores/table.md", "model.py")
    found = public_files([HubFile(name, folder / name) for name in names], tmp_path / "room")
    assert [file.path for file in found] == list(names)
    shown = {file.path: file.source.read_text() for file in found}
    assert yaml.safe_load(shown["student.yaml"]) == {"output_dir": "run", "labeled": ["rooms"], "steps": 3}
    assert json.loads(shown["results.json"]) == {
        "loss": 0.5, "teacher": "teacher", "val.parquet/abs_rel": 0.1, "val.parquet/abs_rel (2)": 0.9,
    }  # fmt: skip
    scores = json.loads(shown["scores/results.json"])
    assert scores["scores"][0]["model"] == "run"
    assert "acme" not in scores["command"]
    assert shown["scores/table.md"] == "| model |\n|---|\n| run |\n"
    assert [file.source.parent for file in found if file.path in ("config.json", "model.py")] == [folder, folder]
    assert "acme" in (folder / "student.yaml").read_text()  # the run's own stays as it was


def test_a_record_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "student.yaml").write_text("a: [1")
    with pytest.raises(ValueError, match=r"student\.yaml cannot be read .* repair or remove it"):
        public_files([HubFile("student.yaml", tmp_path / "student.yaml")], tmp_path / "room")
