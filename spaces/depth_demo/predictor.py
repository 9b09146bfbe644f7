"""Depth models that the Space offers, each loaded when it is first asked for, and what they say of an image.

Plain transformers is all that is needed: models with code of their own bring it along. Only ids and folders that the
Space was started with are ever loaded; what a visitor sends is never taken for one.
"""

import logging
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import AutoConfig, AutoImageProcessor, AutoModelForDepthEstimation

logger = logging.getLogger(__name__)

# Types that predict metres; Depth Anything says so in its configuration; all others predict inverse depth.
METRIC_TYPES = {"routed_depth", "zoedepth", "glpn", "depth_pro"}


@dataclass(frozen=True)
class Prediction:
    """What a model says of an image.

    Args:
        values: (H, W) float32 at the image's size: metres, larger is farther, or inverse depth without a unit, larger is
            nearer.
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

    @property
    def unit(self) -> str:
        """Of the values, to be shown."""
        return "m" if self.metric else "inverse depth"


class Predictor:
    """A loaded model.

    Args:
        name: Hub id or folder.
        device: to run on.

    Raises:
        ValueError: if there is no such model.
    """

    def __init__(self, name: str, device: str) -> None:
        self.name = name
        self.device = device
        try:
            config = AutoConfig.from_pretrained(name, trust_remote_code=True)
            self.processor: Any = AutoImageProcessor.from_pretrained(name, trust_remote_code=True)
            model: Any = AutoModelForDepthEstimation.from_pretrained(
                name, trust_remote_code=True, use_safetensors=True, dtype=torch.float32
            )
        except (OSError, ValueError, KeyError, AttributeError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ValueError(f"the model {name!r} could not be loaded ({reason}).") from error
        self.model = model.to(device).eval().requires_grad_(False)
        relative = getattr(config, "depth_estimation_type", None) == "relative"
        said_metric = getattr(config, "depth_estimation_type", None) == "metric"
        self.metric = said_metric or (config.model_type in METRIC_TYPES and not relative)
        self.domains = [domain["name"] for domain in getattr(config, "domains", None) or []]

    @torch.inference_mode()
    def predict(self, image: Image.Image, domain: str | None = None) -> Prediction:
        """Depth of one image.

        Args:
            image: RGB.
            domain: whose head to use, instead of the router's choice.
        """
        inputs = dict(self.processor(images=image, return_tensors="pt").to(self.device))
        if domain is not None:
            inputs["domain_labels"] = [self.domains.index(domain)]
        output = self.model(**inputs)
        size = [(image.height, image.width)]
        try:
            resized = self.processor.post_process_depth_estimation(output, target_sizes=size)
        except TypeError:  # ZoeDepth's wants the sizes before its padding, too
            resized = self.processor.post_process_depth_estimation(output, source_sizes=size, target_sizes=size)
        values = resized[0]["predicted_depth"].float().cpu().numpy()
        if not np.isfinite(values).all():
            raise ValueError(f"{self.name} gave values that are not finite; this checkpoint is broken.")
        if not self.domains:
            return Prediction(values, self.metric, self.name)
        chances = {}
        if len(self.domains) > 1:
            chances = dict(zip(self.domains, output.domain_logits[0].softmax(-1).tolist(), strict=True))
        return Prediction(values, self.metric, self.name, self.domains[int(output.domain[0])], chances)


class Models:
    """The models that this Space was started with.

    Args:
        names: Hub ids and folders; the first is shown first.
        device: to run on.
    """

    def __init__(self, names: list[str], device: str) -> None:
        self.names = names
        self.device = device
        self._loaded: dict[str, Predictor] = {}
        self._lock = threading.Lock()

    def get(self, name: str) -> Predictor:
        """A model, loaded now if it was not yet.

        Raises:
            ValueError: if it is none of this Space's, or cannot be loaded.
        """
        if name not in self.names:
            raise ValueError(f"the model {name!r} is not one of this Space's; choose one of {', '.join(self.names)}.")
        with self._lock:
            if name not in self._loaded:
                logger.info("loading %s", name)
                self._loaded[name] = Predictor(name, self.device)
            return self._loaded[name]


def find_models(given: list[str], outputs: Path, published: str | None) -> list[str]:
    """The models to offer.

    Args:
        given: by whoever starts the Space; they are taken as they are.
        outputs: folder of trained models, searched when none is given.
        published: id to fall back on.

    Returns:
        Names, the newest folder first; empty if there is nothing.
    """
    if given:
        return list(dict.fromkeys(given))
    trained = []
    for config in outputs.glob("**/config.json") if outputs.is_dir() else ():
        folder = config.parent
        weights = [*folder.glob("model*.safetensors")]
        if weights and "DepthEstimation" in config.read_text():
            trained.append((max(file.stat().st_mtime for file in weights), folder.as_posix()))
    if trained:
        return [name for _, name in sorted(trained, reverse=True)]
    return [published] if published else []
