"""Every modality from every other: errors, floors below which nothing is learned, and nats per token."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from semidepth.data.modalities.loading import ModalitySample, collate_modalities
from semidepth.evaluation.any_to_any.measures import Scores
from semidepth.evaluation.any_to_any.round_trip import is_known, values_of
from semidepth.prediction.any_to_any.model import KINDS, SOURCE, UNKNOWN, WORDS, AnyToAny, fit_map

BATCH = 16
# What a source is called in a `ModalityBatch`.
KEYS = {
    SOURCE: "image",
    WORDS: "caption",
    "tok_rgb": "image",
    **{name: KINDS[name] for name in KINDS if name != "tok_rgb"},
}
FLOORS = ("all", "domain")


def batches(samples: Sequence[ModalitySample]) -> Iterator[Any]:
    """Yields samples in small batches."""
    for start in range(0, len(samples), BATCH):
        yield collate_modalities(samples[start : start + BATCH])


def all_inputs(
    made: AnyToAny, samples: Sequence[ModalitySample], names: Collection[str] | None = None
) -> dict[str, Tensor]:
    """Returns what the model takes of all samples, by modality: made once for all directions.

    Args:
        made: the model.
        samples: pictures with what is known of them.
        names: modalities; None: all that the model can be given.
    """
    keys = {KEYS[name] for name in (made.names if names is None else names)}
    parts = [made.inputs_of({key: batch[key] for key in keys}) for batch in batches(samples)]
    return {name: _joined([part[name] for part in parts]) for name in parts[0]}


def _joined(parts: Sequence[Tensor]) -> Tensor:
    if parts[0].ndim != 2:
        return torch.cat(list(parts))
    longest = max(part.shape[1] for part in parts)
    return torch.cat([F.pad(part, (0, longest - part.shape[1]), value=UNKNOWN) for part in parts])


def score_direction(
    made: AnyToAny,
    samples: Sequence[ModalitySample],
    source: str,
    target: str,
    *,
    shuffled: bool = False,
    inputs: Mapping[str, Tensor] | None = None,
) -> Scores:
    """Returns the errors of a target predicted from a source.

    Args:
        made: the model.
        samples: with their truth, which is compared at the samples' own size.
        source: modality that is given.
        target: modality that is predicted.
        shuffled: give each picture another one's source: a control that no score may beat by much.
        inputs: of [`all_inputs`]; None makes them here.
    """
    found = Scores()
    given = (all_inputs(made, samples, [source]) if inputs is None else inputs)[source]
    given = given.roll(-1, 0) if shuffled else given
    for start in range(0, len(samples), BATCH):
        part = {source: given[start : start + BATCH]}
        predicted: Any = made.predict_caption(part) if target == WORDS else made.predict_map(part, target).cpu()
        for guess, truth in zip(predicted, samples[start : start + BATCH], strict=True):
            _add(found, guess, truth, target, made)
    return found


def _add(found: Scores, guess: Any, truth: ModalitySample, target: str, made: AnyToAny) -> None:
    if target == WORDS:
        if truth["caption"]:
            found.add(WORDS, guess, truth["caption"])
        return
    kind = KINDS[target]
    values = values_of(truth, kind)
    if is_known(values):
        guess = fit_map(guess[None], kind, values.shape[-1])[0]
        found.add(kind, guess, values, len(made.tokenizers[target].config.classes))


@torch.no_grad()
def nats_per_token(
    made: AnyToAny,
    samples: Sequence[ModalitySample],
    source: str,
    target: str,
    inputs: Mapping[str, Tensor] | None = None,
) -> float:
    """Returns the mean cross-entropy of the true tokens of a target, given a source, over all of them."""
    total, count = 0.0, 0
    every = all_inputs(made, samples, [source, target]) if inputs is None else inputs
    for start in range(0, len(samples), BATCH):
        part = slice(start, start + BATCH)
        truth = made.targets_of({target: every[target][part]})
        logits, labels, _ = made.model.decode(made.model.encode({source: every[source][part]}), truth)[target]
        total += float(F.cross_entropy(logits.float(), labels, reduction="sum"))
        count += len(labels)
    return total / max(1, count)


def unigram_nats(
    made: AnyToAny, known: Sequence[ModalitySample], samples: Sequence[ModalitySample], target: str
) -> float:
    """Returns the mean cross-entropy of a target's true tokens under how often each came in other pictures.

    Args:
        made: the model.
        known: pictures to count in; each token is counted once more than it came.
        samples: pictures to score.
        target: modality.
    """
    size = made.model.config.modality(target).vocab_size
    assert size is not None  # targets have one
    counts = torch.ones(size, dtype=torch.float64)

    ids = all_inputs(made, known, [target])[target].cpu()
    counts += torch.bincount(ids[ids != UNKNOWN], minlength=size)
    nats = -(counts / counts.sum()).log()
    asked = all_inputs(made, samples, [target])[target].cpu()
    return float(nats[asked[asked != UNKNOWN]].mean())


def floor_maps(known: Sequence[ModalitySample], kind: str, classes: int) -> dict[str, Tensor]:
    """Returns the map that is right most without looking: of all pictures ("") and of those of each domain.

    Depth: the median, sky counting as farthest; normals: the mean vector; classes: the most frequent; RGB: the mean.

    Args:
        known: pictures, of one size.
        kind: of map.
        classes: number of classes, of "semantic".
    """
    groups: dict[str, list[Tensor]] = {}
    for sample in known:
        values = values_of(sample, kind)
        if is_known(values):
            for name in ("", sample["domain"]):
                groups.setdefault(name, []).append(values)
    return {name: _typical(torch.stack(maps), kind, classes) for name, maps in groups.items()}


def _typical(maps: Tensor, kind: str, classes: int) -> Tensor:
    if kind == "depth":
        return maps.nanmedian(0).values.nan_to_num(nan=float(maps[maps.isfinite()].median()), posinf=torch.inf)
    if kind == "semantic":
        return torch.stack([(maps == number).sum(0) for number in range(classes)]).argmax(0)
    if kind == "normal":
        return F.normalize(maps.nanmean(0).nan_to_num(), dim=0)
    return maps.mean(0)


def score_floors(
    known: Sequence[ModalitySample], samples: Sequence[ModalitySample], kind: str, classes: int = 0
) -> dict[str, Scores]:
    """Returns the errors of the maps of [`floor_maps`]: "all", and "domain" for that of each picture's own domain."""
    maps = floor_maps(known, kind, classes)
    found = {name: Scores() for name in FLOORS}
    for sample in samples:
        values = values_of(sample, kind)
        if is_known(values):
            found["all"].add(kind, maps[""], values, classes)
            found["domain"].add(kind, maps.get(sample["domain"], maps[""]), values, classes)
    return found
