"""One running Space for all tests of this folder."""

import pytest
from serving import Served, save_models, serve


@pytest.fixture(scope="session")
def space(tmp_path_factory):
    folder = tmp_path_factory.mktemp("space")
    routed, stock = save_models(folder)
    with serve(folder, "--model", routed, stock) as url:
        yield Served(url, routed, stock, folder)
