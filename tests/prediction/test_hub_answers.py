"""A model of the Hub without a network: one sentence at once, or the copy in the cache."""

import pytest
import tiny
from huggingface_hub import constants

from semidepth.prediction.checkpoints import read_config
from semidepth.prediction.models import load_depth_model


def test_a_name_on_the_hub_is_one_sentence_without_retries(no_hub, caplog):
    for _ in range(2):
        with pytest.raises(ValueError, match=r"'org/name' could not be loaded .*couldn't connect.*; give") as told:
            read_config("org/name")
        assert "\n" not in str(told.value)
    assert no_hub == [1]
    assert not caplog.records


def test_a_copy_in_the_cache_is_loaded_without_retries_and_said_to_be_one(no_hub, tmp_path, caplog):
    repository = tmp_path / "cache" / "models--org--name"
    tiny.save_model(tiny.stock_model(), repository / "snapshots" / ("a" * 40))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a" * 40)
    assert load_depth_model("org/name").kind == "disparity"
    assert no_hub == [1]
    assert [record.getMessage() for record in caplog.records] == [
        "the Hub cannot be reached, and this process does not ask it again: org/name is read from the cache here"
    ]


def test_a_folder_asks_nobody(no_hub, tmp_path):
    tiny.save_model(tiny.stock_model(), tmp_path / "model")
    load_depth_model(str(tmp_path / "model"))
    assert no_hub == []
    assert constants.HF_HUB_OFFLINE is False
