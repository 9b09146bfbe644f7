"""Settings of every test: offline, seeded, one thread. `make test` runs two at a time."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # of the commands that tests start

import pytest
import torch
from accelerate.state import AcceleratorState
from huggingface_hub import constants
from processes import limit_of, limited
from transformers import set_seed

from semidepth.prediction import checkpoints


def _in_time(item):
    with limited(limit_of(item)):
        return (yield)


pytest_runtest_setup = pytest.hookimpl(wrapper=True)(_in_time)
pytest_runtest_call = pytest.hookimpl(wrapper=True)(_in_time)
pytest_runtest_teardown = pytest.hookimpl(wrapper=True)(_in_time)


@pytest.fixture(autouse=True)
def _fresh():
    set_seed(0)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)  # one run per process outside the tests


@pytest.fixture
def no_hub(tmp_path, monkeypatch):
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


@pytest.fixture
def refused(capsys):
    """Runs a command that has to refuse its options or its data, and returns its one sentence on standard error."""

    def run(main, *words, status=2):
        assert main([str(word) for word in words]) == status
        told = capsys.readouterr().err
        assert "Traceback" not in told
        sentence = told.strip().splitlines()[-1]
        assert sentence.startswith("error: ")
        return sentence

    return run


@pytest.fixture(autouse=True, scope="session")
def _threads():
    torch.set_num_threads(1)
