"""What goes up of a run's records: everything but where things lie on the machine that it ran on."""

import json

import pytest
import yaml

from semidepth.training.engine.hub_files import HubFile
from semidepth.training.engine.public_files import public_files, public_text


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
        (
            "python training/score.py --model /home/me/x/student --root nyu=/data/nyu",
            "python training/score.py --model student --root nyu=nyu",
        ),
        ("| /home/me/student | nyu | 0.1 |", "| student | nyu | 0.1 |"),
        ("1/2 and 3 / 4", "1/2 and 3 / 4"),
    ],
)
def test_absolute_paths_are_cut_to_their_last_part(text, shown):
    assert public_text(text) == shown


def test_records_are_copied_and_the_rest_goes_up_as_it_is(tmp_path):
    folder = tmp_path / "run"
    (folder / "scores").mkdir(parents=True)
    options = {"output_dir": "/home/me/acme/run", "labeled": ["/home/me/acme/rooms"], "steps": 3}
    (folder / "student.yaml").write_text(yaml.safe_dump(options))
    (folder / "results.json").write_text(json.dumps({"loss": 0.5, "teacher": "/home/me/acme/teacher"}))
    (folder / "config.json").write_text(json.dumps({"_name_or_path": "org/name"}))
    (folder / "scores/table.md").write_text("| model |\n|---|\n| /home/me/acme/run |\n")
    (folder / "model.py").write_text("PATH = '/home/me/acme'\n")
    names = ("student.yaml", "results.json", "config.json", "scores/table.md", "model.py")
    found = public_files([HubFile(name, folder / name) for name in names], tmp_path / "room")
    assert [file.path for file in found] == list(names)
    shown = {file.path: file.source.read_text() for file in found}
    assert yaml.safe_load(shown["student.yaml"]) == {"output_dir": "run", "labeled": ["rooms"], "steps": 3}
    assert json.loads(shown["results.json"]) == {"loss": 0.5, "teacher": "teacher"}
    assert shown["scores/table.md"] == "| model |\n|---|\n| run |\n"
    assert [file.source.parent for file in found if file.path in ("config.json", "model.py")] == [folder, folder]
    assert "acme" in (folder / "student.yaml").read_text()  # the run's own stays as it was
