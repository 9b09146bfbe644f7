"""How many images a training prepares, and what it says of options that do nothing."""

import pytest

from semidepth.data.source_spec import parse_sources
from semidepth.training.options.tokenizers import TokenizerOptions
from semidepth.training.recipes.prepared import images_there


@pytest.mark.parametrize(
    ("asked", "world", "expected"),
    [(40, 1, 20), (8, 1, 8), (40, 2, 8), (40, 9, 4)],  # of 21 scenes, in batches of 4
)
def test_each_process_prepares_its_share_in_whole_batches_and_less_is_told(caplog, asked, world, expected):
    caplog.set_level("INFO", logger="semidepth")
    sources = parse_sources(["scenes:indoor?count=13", "scenes:outdoor?count=8"])
    found = images_there(sources, asked, labeled=True, world=world, batch_size=4, option="images")
    assert found == expected
    assert ("--images is 40" in caplog.text) == (expected < asked)


def test_a_source_without_an_end_gives_what_is_asked_for():
    sources = parse_sources(["scenes:indoor"])
    assert images_there(sources, 1000, labeled=True, world=3, batch_size=4, option="images") == 1000


def test_pictures_that_nobody_draws_are_refused():
    with pytest.raises(ValueError, match=r"--preview_every is 5"):
        TokenizerOptions(preview_every=5)
