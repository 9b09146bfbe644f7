"""One running Space for all tests of this folder."""

import pytest
from gradio_client import Client
from serving import SPACE, Served, save_models, serve


@pytest.fixture(scope="session")
def space(tmp_path_factory):
    folder = tmp_path_factory.mktemp("space")
    routed, stock = save_models(folder)
    with serve(folder, "--model", routed, stock) as url:
        yield Served(url, routed, stock, folder)


@pytest.fixture(scope="session")
def client(space):
    """It through its API."""
    return Client(space.url, verbose=False)


@pytest.fixture
def space_on_path(monkeypatch):
    """The Space's files can be imported, as they import one another."""
    monkeypatch.syspath_prepend(str(SPACE))
