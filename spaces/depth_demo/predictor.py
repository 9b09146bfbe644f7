"""Depth models that the Space offers, each loaded when it is first asked for, and what they say of images.

Only ids and folders that the
Space was started with are ever loaded; what a visitor sends is never taken for one.
"""

import logging
import threading
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from transformers import AutoConfig, AutoImageProcessor, AutoModelForDepthEstimation
from zero_gpu import ON_ZERO_GPU, gpu

from semidepth.prediction.checkpoints import kind_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelCard:
    """What is known of a model without its weights.

    Args:
        name: Hub id or folder.
        metric: whether it predicts metres; else inverse depth without a unit.
        domains: that its router tells apart, such as indoor and outdoor; empty for models without.
        choosable: whether a domain's head can be asked for.
    """

    name: str
    metric: bool
    domains: tuple[str, ...] = ()
    choosable: bool = False

    @property
    def short(self) -> str:
        """The end of the name."""
        return "/".join(self.name.rstrip("/").split("/")[-2:])

    @property
    def label(self) -> str:
        """For people: the end of the name, and what the numbers are."""
        return f"{self.short} · {'metres' if self.metric else 'near to far'}"


@dataclass(frozen=True)
class Prediction:
    """What a model says of an image.

    Args:
        values: (H, W) float32 at the image's size: metres, larger is farther, or inverse depth without a unit, larger
            is nearer.
        metric: whether they are metres.
        model: who says so.
        domain: the head that was used; "" for models without domains.
        domains: the router's probability for each of them, in order; empty without a router.
    """

    values: np.ndarray
    metric: bool
    model: str
    domain: str = ""
    domains: dict[str, float] = field(default_factory=dict)


def read_card(name: str) -> ModelCard:
    """Looks at a model's configuration.

    Args:
        name: Hub id or folder.

    Raises:
        ValueError: there is no such model, or it is not known what it predicts.
    """
    try:
        config = AutoConfig.from_pretrained(name, trust_remote_code=True)
    except Exception as error:  # code that a model brings along raises as it likes
        raise ValueError(f"The model {name!r} could not be found ({_first_line(error)}).") from error
    kind = kind_of(config)
    if kind is None:
        raise ValueError(f"The model {name!r} is a {config.model_type}, of which it is not known what it predicts.")
    own = [domain["name"] for domain in getattr(config, "domains", None) or []]
    stock = [each["name"] for each in getattr(config, "bin_configurations", None) or []]  # ZoeDepth
    domains = tuple(own or stock)
    return ModelCard(name, kind == "depth", domains if len(domains) > 1 else (), choosable=len(own) > 1)


class Models:
    """The models that this Space was started with. The first is loaded at once: no visitor waits for it.

    Args:
        names: Hub ids and folders; the first is shown first.
        device: to run on.
        skip_broken: warn of models that are none and leave them out: for those that nobody asked for by name.

    Raises:
        ValueError: one of them is no depth model, or the first does not load.
    """

    def __init__(self, names: list[str], device: str, *, skip_broken: bool = False) -> None:
        self.device = device
        self.cards: dict[str, ModelCard] = {}
        self.skipped: list[str] = []
        for name in names:
            try:
                card = read_card(name)
                # On ZeroGPU all: the process that has the GPU is a copy of this one, with what is there by then.
                if ON_ZERO_GPU or not self.cards:
                    _loaded(name, device)
            except ValueError as error:
                if not skip_broken:
                    raise
                logger.warning("%s It is left out.", error)
                self.skipped.append(str(error))
            else:
                self.cards[name] = card
        self.names = list(self.cards)

    def card(self, name: str) -> ModelCard:
        """What is known of a model.

        Raises:
            ValueError: it is none of this Space's.
        """
        if name not in self.cards:
            raise ValueError(f"The model {name!r} is not one of this Space's; choose one of {', '.join(self.names)}.")
        return self.cards[name]

    def predict(self, name: str, images: list[Image.Image], domain: str | None = None) -> list[Prediction]:
        """Depth of images.

        Args:
            name: of the model.
            images: RGB, of one size.
            domain: whose head to use, instead of the router's choice.

        Raises:
            ValueError: the model is none of this Space's, does not load, has no such domain, is broken, or the
                memory does not suffice.
        """
        card = self.card(name)
        if domain is not None and not (card.choosable and domain in card.domains):
            has = f"has {', '.join(card.domains)}" if card.choosable else "has none to choose from"
            raise ValueError(f"The domain {domain!r} is not known: {card.label} {has}.")
        number = None if domain is None else card.domains.index(domain)
        try:
            made = run_model(name, self.device, images, number)
        except torch.OutOfMemoryError as error:
            raise ValueError(
                f"{card.label} needs more memory for this than there is; take a smaller picture or another model."
            ) from error
        found = []
        for values, chances, chosen in made:
            if not np.isfinite(values).all():
                raise ValueError(f"{name} gave values that are not finite; this checkpoint is broken.")
            probabilities = dict(zip(card.domains, chances, strict=True)) if card.domains and chances else {}
            head = card.domains[chosen] if card.domains and chosen is not None else ""
            found.append(Prediction(values, card.metric, name, head, probabilities))
        return found


@gpu
@torch.inference_mode()
def run_model(name: str, device: str, images: list[Image.Image], domain: int | None) -> list[tuple[Any, Any, Any]]:
    """One batch through a model; all that is given and returned can be sent to another process.

    Returns:
        For each image (H, W) float32 values, the probability of each domain or None, and the domain's number or None.
    """
    model, processor = _loaded(name, device)
    with _RUNNING:  # one at a time: two side by side take as long, and twice the memory
        inputs = dict(processor(images=images, return_tensors="pt").to(device))
        if domain is not None:
            inputs["domain_labels"] = [domain] * len(images)
        output = model(**inputs)
        sizes = [(image.height, image.width) for image in images]
        values = [each.float().cpu().numpy() for each in full_size(output, processor, sizes)]
        logits = getattr(output, "domain_logits", None)
        if logits is None:
            return [(each, None, None) for each in values]
        chosen = getattr(output, "domain", None)
        chosen = logits.argmax(-1) if chosen is None else chosen
        return list(zip(values, logits.float().softmax(-1).tolist(), chosen.tolist(), strict=True))


def full_size(output: Any, processor: Any, sizes: list[tuple[int, int]]) -> list[torch.Tensor]:
    """Predictions at their images' sizes, as `semidepth predict` makes them: as the stock pipeline does, bicubic, but
    within the range of the model's own map, where the stock way goes below 0 m at edges.

    Inverse depth of Depth Pro, which has no field of view then, is resized here: the stock way would invert it.

    Args:
        output: of the model.
        processor: of its images.
        sizes: height and width of each image.
    """
    if type(processor).__name__.startswith("DepthPro") and output.field_of_view is None:
        maps = output.predicted_depth.float()[:, None]  # (B, h, w) -> (B, 1, h, w)
        large = [
            F.interpolate(each[None], size=size, mode="bicubic", align_corners=False)[0, 0]
            for each, size in zip(maps, sizes, strict=True)
        ]
        return [each.clamp(own.min(), own.max()) for each, own in zip(large, maps, strict=True)]
    more = {"source_sizes": sizes} if type(processor).__name__.startswith("ZoeDepth") else {}  # to take its padding off
    done = processor.post_process_depth_estimation(output, target_sizes=sizes, **more)
    if type(processor).__name__.startswith("DepthPro"):  # made of inverse depth, and clamped, by its processor
        return [each["predicted_depth"] for each in done]
    pairs = zip(done, output.predicted_depth, strict=True)
    return [each["predicted_depth"].clamp(own.min(), own.max()) for each, own in pairs]


_LOADED: dict[tuple[str, str], tuple[Any, Any]] = {}
_LOADING: dict[tuple[str, str], threading.Lock] = {}
_RUNNING = threading.Lock()


def _loaded(name: str, device: str) -> tuple[Any, Any]:
    """A model and its image processor, loaded now if they were not yet; others wait for the same model alone."""
    key = (name, device)
    with _LOADING.setdefault(key, threading.Lock()):
        if key not in _LOADED:
            logger.info("loading %s", name)
            try:
                processor: Any = AutoImageProcessor.from_pretrained(name, trust_remote_code=True)
                model: Any = AutoModelForDepthEstimation.from_pretrained(
                    name, trust_remote_code=True, use_safetensors=True, dtype=torch.float32
                )
                _LOADED[key] = model.to(device).eval().requires_grad_(False), processor
            except Exception as error:  # code that a model brings along raises as it likes
                raise ValueError(f"The model {name!r} could not be loaded ({_first_line(error)}).") from error
        return _LOADED[key]


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
