"""A model of the Hub without a network: one sentence at once, or the copy in the cache."""

import pytest
import tiny
from huggingface_hub import constants

from semidepth.prediction import checkpoints
from semidepth.prediction.checkpoints import read_config
from semidepth.prediction.models import load_depth_model


@pytest.fixture
def waits(tmp_path, monkeypatch):
    """No Hub, HF_HUB_OFFLINE unset and an empty cache; gives the seconds that were waited for between attempts."""
    waited = []
    monkeypatch.setattr("time.sleep", waited.append)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # refuses connections
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", "http://127.0.0.1:9/{repo_id}/resolve/{revision}/{filename}"
    )
    checkpoints.hub_answers.cache_clear()
    yield waited
    checkpoints.hub_answers.cache_clear()


def test_a_name_on_the_hub_is_one_sentence_without_retries(waits, caplog):
    for _ in range(2):
        with pytest.raises(ValueError, match=r"'org/name' could not be loaded .*couldn't connect.*; give") as told:
            read_config("org/name")
        assert "\n" not in str(told.value)
    assert waits == [1]
    assert not caplog.records


def test_a_copy_in_the_cache_is_loaded_without_retries_and_said_to_be_one(waits, tmp_path, caplog):
    repository = tmp_path / "cache" / "models--org--name"
    tiny.save_model(tiny.stock_model(), repository / "snapshots" / ("a" * 40))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a" * 40)
    assert load_depth_model("org/name").kind == "disparity"
    assert waits == [1]
    assert [record.getMessage() for record in caplog.records] == [
        "the Hub cannot be reached, and this process does not ask it again: org/name is read from the cache here"
    ]


def test_a_folder_asks_nobody(waits, tmp_path):
    tiny.save_model(tiny.stock_model(), tmp_path / "model")
    load_depth_model(str(tmp_path / "model"))
    assert waits == []
    assert constants.HF_HUB_OFFLINE is False
