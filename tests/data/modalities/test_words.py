"""Word tokens of captions, and span masking."""

import pytest
import torch

from semidepth.data.modalities.loading import modality_samples
from semidepth.data.modalities.words import mask_spans, read_words, sentinel_ids, stack_words, train_words
from semidepth.data.scenes.captions import read_caption
from semidepth.data.source_spec import parse_sources

SOURCES = parse_sources(["scenes:indoor?count=12", "scenes:outdoor?count=12"])
S0, S1, S2, END = 100, 101, 102, 99


@pytest.fixture(scope="module")
def captions() -> list[str]:
    return [sample["caption"] for sample in modality_samples(SOURCES, 48)]


@pytest.fixture(scope="module")
def words(captions):
    return train_words(captions)


def test_captions_come_back_as_they_were_written(words, captions):
    for caption in captions:
        ids = words(caption)["input_ids"]
        assert words.unk_token_id not in ids
        text = read_words(words, [sentinel_ids(words)[0], *ids, words.eos_token_id, ids[0]])
        assert text == caption
        read_caption(text)


def test_it_is_saved_and_found_again(words, captions, tmp_path):
    words.save_pretrained(tmp_path)
    again = type(words).from_pretrained(tmp_path)
    assert again(captions[0])["input_ids"] == words(captions[0])["input_ids"]
    assert len(set(sentinel_ids(again))) == 16


def test_hidden_spans_and_what_is_left_make_the_sentence():
    generator = torch.Generator().manual_seed(0)
    ids = list(range(20))
    for keep in (0.0, 0.2, 0.5, 0.9, 1.0):
        for _ in range(20):
            seen, hidden = mask_spans(ids, keep, range(100, 120), END, generator)
            spans: dict[int, list[int]] = {}
            for token in hidden[:-1]:
                if token >= 100:
                    current = spans.setdefault(token, [])
                else:
                    current.append(token)
            filled = [each for token in seen[:-1] for each in spans.get(token, [token])]
            assert filled == ids
            assert seen[-1] == hidden[-1] == END


def test_nothing_seen_is_one_span_and_all_seen_hides_nothing():
    generator = torch.Generator()
    assert mask_spans([1, 2, 3], 0.0, [S0, S1], END, generator) == ([S0, END], [S0, 1, 2, 3, END])
    assert mask_spans([1, 2, 3], 1.0, [S0, S1], END, generator) == ([1, 2, 3, END], [END])


def test_with_no_sentinel_left_the_rest_is_hidden():
    generator = torch.Generator().manual_seed(0)
    ids = list(range(40))
    seen, hidden = mask_spans(ids, 0.5, [S0, S1, S2], END, generator)
    assert [token for token in seen if token >= 100] == [S0, S1, S2]
    assert seen[-2:] == [S2, END]
    assert hidden[-2] == 39


def test_rows_are_stacked_with_what_counts_for_nothing():
    assert stack_words([[1, 2], [3], []], 9).tolist() == [[1, 2], [3, -100], [-100, -100]]
    assert stack_words([[1, 2, 3]], 2).tolist() == [[1, 2]]
