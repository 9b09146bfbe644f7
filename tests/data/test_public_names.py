"""What a card may say of a user's paths: enough to recognise the data, nothing of where it lies; and no secrets."""

import pytest

from semidepth.data.public_names import (
    hub_ids,
    is_hub_id,
    public_command,
    public_source,
)

TOKEN = "hf_" + "a" * 34


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("scenes:indoor?style=studio&count=64", "scenes:indoor?style=studio&count=64"),
        ("/home/me/acme/photos", "photos"),
        ("/home/me/acme/photos/", "photos"),
        ("~/acme/photos", "photos"),
        ("../acme/photos/*.jpg", "photos/*.jpg"),
        ("acme/rooms/part?/*.parquet?depth_scale=0.001", "rooms/part?/*.parquet?depth_scale=0.001"),
        ("indoor=/home/me/rooms/*.parquet?depth_scale=0.001", "indoor=rooms/*.parquet?depth_scale=0.001"),
        ("file:///home/me/a.parquet", "a.parquet"),
        ("/home/me/a.parquet", "a.parquet"),
        ("/", "a local folder"),
        ("..", "a local folder"),
        ("outputs/pseudo_labels", "pseudo_labels"),
        ("org/frames?split=train&revision=v1", "org/frames?split=train&revision=v1"),
        ("outdoor=org/frames", "outdoor=org/frames"),
        ("https://host/data/a.parquet", "https://host/data/a.parquet"),
        ("s3://bucket/shards/*.tar", "s3://bucket/shards/*.tar"),
        ("https://me:secret@host/a.parquet", "https://***@host/a.parquet"),
        (f"https://host/a.parquet?token={TOKEN}", "https://host/a.parquet?token=***"),
    ],
)
def test_sources_are_shown_without_where_they_lie(text, shown):
    assert public_source(text) == shown


def test_what_is_there_is_local_however_much_it_looks_like_a_hub_id(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert is_hub_id("acme/photos")
    (tmp_path / "acme/photos").mkdir(parents=True)
    assert not is_hub_id("acme/photos")
    assert public_source("acme/photos") == "photos"
    # What the run recorded wins over what is on this disk.
    assert public_source("acme/photos", lambda name: True) == "acme/photos"


def test_hub_ids_of_a_runs_options(tmp_path):
    options = {
        "encoder": "facebook/dinov2-small", "teacher": str(tmp_path), "student": None, "output_dir": "org/run",
        "labeled": ["scenes:indoor", "org/frames?split=train", "rooms.parquet"],
        "train": ["indoor=org/frames", "outdoor=org/drives?depth_scale=0.001"],
    }  # fmt: skip
    assert hub_ids(options) == ["facebook/dinov2-small", "org/frames", "org/drives"]


def test_commands_are_shown_without_where_things_lie():
    command = (
        "/home/me/.venv/bin/python /home/me/work/training/score.py --model /home/me/outputs/mine org/peer "
        f"--data 'acme/faces/*.png' /data/nyu --root=/data/sets --token {TOKEN} --limit 96"
    )
    shown = public_command(command, lambda word: "org/mine" if word == "/home/me/outputs/mine" else None)
    assert shown == (
        "python training/score.py --model org/mine org/peer --data 'faces/*.png' nyu --root=sets "
        "--token 'hf_***' --limit 96"
    )
