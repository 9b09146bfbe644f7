"""Sentences as tokens: a word tokenizer made of the captions themselves, and span masking as in T5 and 4M.

Of "a room with two chairs" with the span "with two" hidden, a model sees `a room <s0> chairs <eos>` and predicts
`<s0> with two <s1> <eos>`. A sentence of which nothing is seen is one hidden span: `<s0> a room with two chairs <s1>`.
"""

import re
from collections.abc import Iterable, Sequence
from typing import cast

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import Tensor
from transformers import PreTrainedTokenizerFast

PAD, UNKNOWN, END = "<pad>", "<unk>", "<eos>"
SENTINELS = 16
IGNORED = -100


def train_words(sentences: Iterable[str], *, vocab_size: int = 30000) -> PreTrainedTokenizerFast:
    """Returns a WordPiece tokenizer of lower-case words with sentinels `<s0>` and so on.

    Args:
        sentences: to learn words from.
        vocab_size: most tokens, special ones included.
    """
    tokenizer = Tokenizer(models.WordPiece(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    # Numbers by their digits, or 1.5 and 2.5 would have nothing in common with distances not met before.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.BertPreTokenizer(), pre_tokenizers.Digits(True)])
    tokenizer.decoder = decoders.WordPiece()
    special = [PAD, UNKNOWN, END, *(f"<s{number}>" for number in range(SENTINELS))]
    tokenizer.train_from_iterator(
        sentences, trainers.WordPieceTrainer(vocab_size=vocab_size, special_tokens=special, show_progress=False)
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, unk_token=UNKNOWN, eos_token=END,
        additional_special_tokens=special[3:],
    )  # fmt: skip


def sentinel_ids(words: PreTrainedTokenizerFast) -> list[int]:
    """Returns the ids of `<s0>`, `<s1>` and so on."""
    return [int(words.convert_tokens_to_ids(f"<s{number}>")) for number in range(SENTINELS)]  # type: ignore[arg-type]


def read_words(words: PreTrainedTokenizerFast, ids: Sequence[int]) -> str:
    """Returns the sentence of tokens, up to its end, as it was written: ", " and "1.5" have no odd spaces."""
    end = words.eos_token_id
    kept = list(ids)[: list(ids).index(end)] if end in ids else list(ids)
    text = cast(str, words.decode(kept, skip_special_tokens=True))
    text = re.sub(r"(?<=\d) ?\. ?(?=\d)", ".", text)
    return re.sub(r" (?=[,;.!?])", "", text)


def mask_spans(
    ids: Sequence[int], keep: float, sentinels: Sequence[int], end: int, generator: torch.Generator
) -> tuple[list[int], list[int]]:
    """Returns a sentence with spans hidden, and the spans.

    Args:
        ids: tokens, without an end.
        keep: share of them that is seen; 0 hides all in one span.
        sentinels: ids that stand for hidden spans, in order; with all but one used up, the rest is hidden in one.
        end: id of the end.
        generator: on the CPU.

    Returns:
        What is seen and what is predicted, both closed by the end; the second is only the end where nothing is hidden.
    """
    hidden = [False] * len(ids) if keep >= 1 else (torch.rand(len(ids), generator=generator) >= keep).tolist()
    seen: list[int] = []
    predicted: list[int] = []
    used = 0
    for number, token in enumerate(ids):
        if not hidden[number]:
            seen.append(token)
            continue
        if number == 0 or not hidden[number - 1]:
            if used == len(sentinels) - 1:
                predicted += ids[number:]
                seen.append(sentinels[used])
                predicted.insert(len(predicted) - len(ids[number:]), sentinels[used])
                return [*seen, end], [*predicted, end]
            seen.append(sentinels[used])
            predicted.append(sentinels[used])
            used += 1
        predicted.append(token)
    return [*seen, end], [*predicted, end]


def stack_words(rows: Sequence[Sequence[int]], most: int) -> Tensor:
    """Returns (B, L) int64, L the longest row or `most`; what is missing is -100, and what is longer is cut."""
    length = max(1, min(most, max((len(row) for row in rows), default=1)))
    found = torch.full((len(rows), length), IGNORED)
    for number, row in enumerate(rows):
        found[number, : len(row[:length])] = torch.tensor(row[:length], dtype=torch.int64)
    return found
