"""Depth-estimation models of any kind behind one interface: pixels in, inverse depth (or metres) out.

Used for teachers, scoring and prediction. Which direction a stock class predicts in is not written in its output, so
it is looked up here; an unknown class has to be told.
"""

import contextlib
import hashlib
import logging
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import (
    AutoConfig,
    AutoModelForDepthEstimation,
    PreTrainedModel,
)

from semidepth.common.console import first_line
from semidepth.modeling import DepthStudentForDepthEstimation, RoutedDepthForDepthEstimation
from semidepth.prediction.kinds import Kind, kind_of
from semidepth.prediction.preprocessing import (
    Preprocessing,
    preprocessing_of,
)
from semidepth.prediction.safe_weights import refuse_pickled
from semidepth.prediction.stock_models import (
    finish,
    prepare,
    stock_processor,
    votes_over_batch,
)

logger = logging.getLogger(__name__)

# A sensor's coarse depth with each image.
NEEDS_MORE_THAN_PIXELS = {"prompt_depth_anything"}
# What a folder that holds no whole model of a known kind, or lacks a package, makes transformers raise.
LOADING_ERRORS = (
    AttributeError, ImportError, LookupError, OSError, RuntimeError, TypeError, ValueError, SafetensorError,
    StrictDataclassError,
)  # fmt: skip
# Metric predictions nearer than this are clamped before they are inverted.
NEAREST_M = 1e-3


class DepthModel:
    """A loaded depth-estimation model that predicts for pixels of any size.

    Args:
        model: any `AutoModelForDepthEstimation`.
        preprocessing: how it wants its pixels.
        kind: what its `predicted_depth` is: "disparity" (inverse depth, larger is nearer, no unit) or "depth"
            (metres, larger is farther).
        processor: the stock image processor that prepares pixels and finishes predictions instead of `preprocessing`,
            which then only tells of a size.
    """

    def __init__(self, model: nn.Module, preprocessing: Preprocessing, kind: Kind, processor: Any | None = None):
        self.model = model
        self.preprocessing = preprocessing
        self.kind = kind
        self.processor = processor

    @property
    def domains(self) -> list[str]:
        """Names of a routed model's heads, in order; empty for other models."""
        return [domain["name"] for domain in getattr(self.model.config, "domains", None) or []]

    @torch.no_grad()
    def forward(self, images: Tensor, **inputs: Any) -> tuple[Tensor, Any]:
        """Runs the model on images of any size.

        Args:
            images: (B, 3, H, W), uint8 or float in [0, 1], on the model's device.
            inputs: further inputs, such as a routed model's `domain_labels`.

        Returns:
            (B, H, W) float32, inverse depth or metres as `kind` says; and the model's output at its own size.
        """
        height, width = images.shape[-2:]
        if self.processor is not None:
            return self._forward_stock(images, **inputs)
        pixels = self.preprocessing.normalize(images)
        target = self.preprocessing.target_size(height, width)
        if target != (height, width):
            pixels = F.interpolate(pixels, size=target, mode="bicubic", align_corners=False, antialias=True)
        parameter = next(self.model.parameters())
        # Our own heads predict float32 whatever the autocast; others would round pseudo labels to 8 bits of mantissa.
        context: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()
        if not isinstance(self.model, DepthStudentForDepthEstimation | RoutedDepthForDepthEstimation):
            context = torch.autocast(images.device.type, enabled=False)
        with context:
            output = self.model(pixel_values=pixels.to(parameter.dtype), **inputs)
        predicted = output.predicted_depth.float().unsqueeze(1)  # (B, h, w) -> (B, 1, h, w)
        if predicted.shape[-2:] != (height, width):
            predicted = F.interpolate(predicted, size=(height, width), mode="bilinear", align_corners=True)
        return predicted.squeeze(1), output

    def _forward_stock(self, images: Tensor, **inputs: Any) -> tuple[Tensor, Any]:
        if len(images) > 1 and votes_over_batch(self.model.config):
            apart = [self._forward_stock(image[None], **inputs) for image in images]
            return torch.cat([predicted for predicted, _ in apart]), [output for _, output in apart]
        pixels = prepare(self.processor, images).to(next(self.model.parameters()).dtype)
        with torch.autocast(images.device.type, enabled=False):
            output = self.model(pixel_values=pixels, **inputs)
        height, width = images.shape[-2:]
        return finish(self.processor, output, (height, width)), output

    def predict(self, images: Tensor) -> Tensor:
        """The model's own prediction; arguments and first result of [`forward`]."""
        return self.forward(images)[0]

    def predict_disparity(self, images: Tensor) -> Tensor:
        """Inverse depth whatever the model's kind, larger is nearer; arguments and shape as in [`predict`]."""
        predicted = self.predict(images)
        return 1 / predicted.clamp(min=NEAREST_M) if self.kind == "depth" else predicted


def check_device(device: torch.device | str) -> None:
    """Raises ValueError if nothing can be computed on a device."""
    try:
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, ImportError) as error:  # each kind of device has its own
        reason = first_line(error).split(". ")[0]
        raise ValueError(f"the device {str(device)!r} cannot be used ({reason}); take cpu or cuda.") from error


def load_depth_model(
    name: str,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    kind: Kind | None = None,
) -> DepthModel:
    """Loads a depth-estimation model for inference: ours, or any that transformers has.

    Args:
        name: Hub id or folder.
        device: where to put it.
        dtype: dtype of its weights.
        kind: what it predicts, where it cannot be looked up.

    Returns:
        The model in evaluation mode, without gradients.

    Raises:
        ValueError: if there is no such model, its kind is neither known nor given, or the device cannot be used.
    """
    check_device(device)
    refuse_pickled(name)
    try:
        config = AutoConfig.from_pretrained(name)
        # Ours computes stock Depth Anything's function, faster, and in float32 at its end whatever the autocast.
        ours = config.model_type == "depth_anything"
        loader: Any = DepthStudentForDepthEstimation if ours else AutoModelForDepthEstimation
        loaded = loader.from_pretrained(name, dtype=dtype, use_safetensors=True, output_loading_info=True)
    except LOADING_ERRORS as error:
        raise unloadable(name, first_line(error)) from error
    if config.model_type in NEEDS_MORE_THAN_PIXELS:
        raise ValueError(f"{name!r} is a {config.model_type} model, which needs more than an image; take another one.")
    model: PreTrainedModel = loaded[0]
    check_nothing_missing(name, loaded[1])
    found = kind or kind_of(config)
    if found is None:
        raise unknown_kind(name, config)
    model = model.to(device).eval().requires_grad_(False)  # type: ignore[arg-type]
    return DepthModel(model, preprocessing_of(name, config), found, stock_processor(name, config))


def unloadable(name: str, reason: str) -> ValueError:
    """What to raise for a model that cannot be loaded."""
    return ValueError(
        f"{name!r} could not be loaded as a depth-estimation model ({reason}); give a Hub id or a folder with "
        "config.json and model.safetensors."
    )


def unknown_kind(name: str, config: Any) -> ValueError:
    """What to raise for a model of which it is not known what it predicts."""
    return ValueError(
        f"{name!r} is a {config.model_type} model and it is not known whether that predicts disparity or depth; "
        "say which: --kind, or --teacher_kind of a student, disparity or depth."
    )


def check_nothing_missing(name: str, info: dict[str, Any]) -> None:
    """Raises ValueError if a checkpoint lacked weights, which would then be random ones."""
    missing = sorted(info.get("missing_keys") or [])
    if missing:
        raise ValueError(
            f"{name!r} lacks {len(missing)} of the model's weights, such as {missing[0]}; give a complete checkpoint "
            "of this kind of model, or train it again if an earlier version of semidepth has trained it."
        )


def revision_of(name: str) -> str:
    """What tells a model apart from others of its name: the Hub's commit, or a digest of a folder's weights."""
    if not Path(name).is_dir():
        return getattr(AutoConfig.from_pretrained(name), "_commit_hash", None) or "unknown"
    digest = hashlib.sha256()
    for path in sorted(Path(name).glob("*.safetensors")):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return f"sha256:{digest.hexdigest()[:16]}"
