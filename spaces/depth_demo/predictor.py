"""The depth models that the Space offers, each loaded when it is first asked for, and their predictions.

Only ids and folders that the Space was started with are ever loaded; a visitor's input is never taken for one.
"""

import itertools
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import too_far
from trust import ModelRecord, error_of, read_model_record
from zero_gpu import ON_ZERO_GPU, gpu

from semidepth.prediction.checkpoints import domains_of, kind_of, read_config, router_names
from semidepth.prediction.depth_maps import DepthMap, ImageLike, predict
from semidepth.prediction.models import DepthModel, load_depth_model
from semidepth.prediction.options import Runtime

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelCard:
    """A model as its configuration describes it.

    Args:
        name: short one that visitors see and the API takes, never a path of the server.
        metric: whether it predicts metres; else inverse depth without a unit.
        domains: heads that its router chooses between, such as indoor and outdoor; empty for models with fewer.
        choosable: whether a head can be asked for.
        trusted: whether code that the model brings along is run.
        record: what its folder records of it.
        place: where it is loaded from, a Hub id or folder.
        reach_m: largest depth of each head, "" for a model with one; empty where that is not known.
        runtime: library that runs it on a CPU, see [`load_depth_model`].
        any_to_any: whether it also makes normals, classes and a sentence, and takes them.
    """

    name: str
    metric: bool
    domains: tuple[str, ...] = ()
    choosable: bool = False
    trusted: bool = False
    record: ModelRecord = field(default_factory=ModelRecord)
    place: str = ""
    reach_m: dict[str, float] = field(default_factory=dict)
    runtime: Runtime = "torch"
    any_to_any: bool = False

    @property
    def label(self) -> str:
        """Name and kind of values, for people."""
        return f"{self.name} · {'metres' if self.metric else 'near to far'}"


@dataclass(frozen=True)
class ImageDepth:
    """Depth of one image.

    Args:
        values: (H, W) float32 at the image's size: metres, larger is farther, or inverse depth without a unit, larger
            is nearer.
        metric: whether they are metres.
        model: short name of the model.
        domain: name of the head that was used; "" for models without a choice.
        domains: the router's probability of each head, in order; empty without a router.
        error: mean relative error of the model's metres; None where it is not recorded.
        beyond: (H, W) bool, sky and what cannot be told from it, whose values mean nothing; None without any.
    """

    values: np.ndarray
    metric: bool
    model: str
    domain: str = ""
    domains: dict[str, float] = field(default_factory=dict)
    error: float | None = None
    beyond: np.ndarray | None = None

    def known(self, step: int = 1) -> np.ndarray:
        """The values of every `step`-th row and column, NaN beyond."""
        values = self.values[::step, ::step]
        return values if self.beyond is None else np.where(self.beyond[::step, ::step], np.nan, values)

    @property
    def beyond_share(self) -> float:
        """Share of the picture that is beyond."""
        return 0.0 if self.beyond is None else float(self.beyond.mean())


def short_name(place: str) -> str:
    """The last two parts of a folder's path, such as "demo/metric"; a Hub id as it is."""
    return "/".join([part for part in Path(place).parts if part not in ("/", "..")][-2:]) or place


def read_card(place: str, *, trusted: bool = False, runtime: Runtime = "torch") -> ModelCard:
    """The card of a model, from its configuration.

    Args:
        place: Hub id or folder.
        trusted: run code that the model brings along.
        runtime: library that is to run it on a CPU.

    Raises:
        ValueError: there is no such model, it is not known what it predicts, it needs code that is not to be run, or
            its record is damaged.
    """
    config = read_config(place, trust_remote_code=trusted)
    kind = kind_of(config)
    if kind is None:
        raise ValueError(f"The model {place!r} is a {config.model_type}, of which it is not known what it predicts.")
    domains = tuple(router_names(config))
    several = domains if len(domains) > 1 else ()
    metric = kind == "depth"
    record, reach_m = read_model_record(place, metric=metric), reach_of(config) if metric else {}
    choosable, any_to_any = len(domains_of(config)) > 1, config.model_type == "four_m"
    return ModelCard(
        short_name(place), metric, several, choosable, trusted, record, place, reach_m, runtime, any_to_any
    )


def reach_of(config: Any) -> dict[str, float]:
    """Largest depth in metres of each head of a metric model, "" for the only one; empty where it is not known."""
    if domains := getattr(config, "domains", None):
        return {domain["name"]: float(domain["max_depth_m"]) for domain in domains}
    if heads := getattr(config, "bin_configurations", None):
        return {head.get("name", ""): float(head["max_depth"]) for head in heads}
    most_m = getattr(config, "max_depth", None)
    return {"": float(most_m)} if most_m else {}


class Models:
    """The models that this Space was started with. The first is loaded at once: no visitor waits for it.

    Where two folders would have the same short name, the later one's ends with a number, as in "demo/metric-2".

    Args:
        places: Hub ids and folders; the first is shown first.
        device: to run on.
        skip_broken: for models that nobody asked for by name: broken ones are left out with a warning.
        trusted: run code that models bring along.
        runtime: library that runs them on a CPU.

    Raises:
        ValueError: one of them is no depth model, or the first does not load.
    """

    def __init__(
        self,
        places: list[str],
        device: str,
        *,
        skip_broken: bool = False,
        trusted: bool = False,
        runtime: Runtime = "torch",
    ) -> None:
        self.device = device
        self.cards: dict[str, ModelCard] = {}
        self.skipped: list[str] = []
        for place in places:
            try:
                card = read_card(place, trusted=trusted, runtime=runtime)
                # On ZeroGPU all: the process that has the GPU is a copy of this one, with what is loaded by then.
                if ON_ZERO_GPU or not self.cards:
                    _loaded(card, device)
            except ValueError as error:
                if not skip_broken:
                    raise
                logger.warning("%s It is left out.", error)
                self.skipped.append(str(error))
            else:
                numbered = (f"{card.name}-{number}" for number in itertools.count(2))
                name = next(each for each in itertools.chain([card.name], numbered) if each not in self.cards)
                self.cards[name] = replace(card, name=name)
        self.names = list(self.cards)

    def card(self, name: str) -> ModelCard:
        """The card of a model; raises ValueError if it is none of this Space's."""
        if name not in self.cards:
            raise ValueError(f"The model {name!r} is not one of this Space's; choose one of {', '.join(self.names)}.")
        return self.cards[name]

    def predict(self, name: str, images: Sequence[ImageLike], domain: str | None = None) -> list[ImageDepth]:
        """Depth of images.

        Args:
            name: short one of the model.
            images: arrays (H, W, 3) of uint8, or whatever else `semidepth.predict` takes.
            domain: head to use instead of the router's choice.

        Raises:
            ValueError: the model is none of this Space's, does not load, has no such head, is broken, or there is not
                enough memory.
        """
        card = self.card(name)
        if domain is not None and not (card.choosable and domain in card.domains):
            has = f"has {', '.join(card.domains)}" if card.choosable else "has none to choose from"
            raise ValueError(f"The domain {domain!r} is not known: {card.label} {has}.")
        try:
            maps = run_model(card, self.device, list(images), domain)
        except torch.OutOfMemoryError as error:
            raise ValueError(
                f"{card.label} needs more memory for this than there is; take a smaller picture or another model."
            ) from error
        if not all(np.isfinite(depth.values).all() for depth in maps):
            raise ValueError(f"{name} gave values that are not finite; this checkpoint is broken.")
        return [_prediction(card, depth) for depth in maps]


def _prediction(card: ModelCard, depth: DepthMap) -> ImageDepth:
    """Returns what the page shows of a model's map."""
    domain = (depth.domain or "") if card.domains else ""
    only = next(iter(card.reach_m.values())) if len(card.reach_m) == 1 else None
    beyond = too_far(depth.values, card.reach_m.get(domain, only))
    shares = depth.probabilities if card.domains else {}
    return ImageDepth(depth.values, card.metric, card.name, domain, shares, error_of(card.record, domain), beyond)


_LOADED: dict[tuple[str, str], DepthModel] = {}
_LOADING: dict[tuple[str, str], threading.Lock] = {}
_RUNNING = threading.Lock()


@gpu
def run_model(card: ModelCard, device: str, images: list[ImageLike], domain: str | None) -> list[DepthMap]:
    """One batch through a model. On ZeroGPU arguments and result travel between processes, so they can be pickled."""
    try:
        model = _loaded(card, device)
    except ValueError as error:
        logger.warning("%s", error)  # which names folders of this machine
        raise ValueError(f"The model {card.name!r} cannot be loaded; the log of this page says why.") from error
    with _RUNNING:  # one at a time: two side by side take as long, and twice the memory
        return predict(images, model, domain=domain, batch_size=len(images))


def _loaded(card: ModelCard, device: str) -> DepthModel:
    """A model, loaded now if it was not yet; others wait for the same model alone."""
    key = (card.place, device)
    with _LOADING.setdefault(key, threading.Lock()):
        if key not in _LOADED:
            logger.info("loading %s", card.place)
            # ZeroGPU lends its device to calls alone: it can be named before, but nothing is computed on it.
            place = "cpu" if ON_ZERO_GPU else device
            runtime: Runtime = "torch" if ON_ZERO_GPU else card.runtime
            model = load_depth_model(card.place, device=place, trust_remote_code=card.trusted, runtime=runtime)
            model.model.to(device)
            _LOADED[key] = model
        return _LOADED[key]
