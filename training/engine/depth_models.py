"""Depth-estimation models of any kind behind one interface: pixels in, inverse depth (or metres) out.

Used for teachers, scoring and prediction. Which direction a stock class predicts in is not written in its output, so
it is looked up here; an unknown class has to be told.
"""

import contextlib
import logging
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as transforms
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModelForDepthEstimation,
    DPTImageProcessor,
    PreTrainedModel,
)

from semidepth.modeling import DepthStudentForDepthEstimation, RoutedDepthForDepthEstimation
from semidepth.training.engine.model_kinds import Kind, kind_of
from semidepth.training.engine.safe_weights import refuse_pickled
from semidepth.training.engine.stock_models import finish, prepare, stock_processor, votes_over_batch

logger = logging.getLogger(__name__)

# A sensor's coarse depth with each image.
NEEDS_MORE_THAN_PIXELS = {"prompt_depth_anything"}
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# What a folder that holds no whole model of a known kind, or lacks a package, makes transformers raise.
LOADING_ERRORS = (
    AttributeError, ImportError, LookupError, OSError, RuntimeError, TypeError, ValueError, SafetensorError,
    StrictDataclassError,
)  # fmt: skip
# Metric predictions nearer than this are clamped before they are inverted.
NEAREST_M = 1e-3


@lru_cache
def _per_channel(values: tuple[float, float, float], device: torch.device) -> Tensor:
    """(1, 3, 1, 1), made once for each device: making it waits for the device."""
    return torch.tensor(values, device=device).view(1, 3, 1, 1)


@dataclass(frozen=True)
class Preprocessing:
    """How a model wants its pixels: sides a multiple of `multiple`, shorter side about `size`, normalised."""

    size: int
    multiple: int
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def normalize(self, images: Tensor) -> Tensor:
        """(B, 3, H, W), uint8 or float in [0, 1] -> float32, normalised, on the same device."""
        images = images.float() / 255 if images.dtype == torch.uint8 else images.float()
        return (images - _per_channel(self.mean, images.device)) / _per_channel(self.std, images.device)

    def target_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width at which an image is shown to the model: those that the stock image processor gives it.

        That is the image's shape, scaled so that one side becomes `size`: the side that needs the smaller change (the
        shorter one of a large photo), and both sides are rounded to multiples of `multiple`.
        """
        scale = min((self.size / height, self.size / width), key=lambda scale: abs(1 - scale))
        sides = [max(1, round(side * scale / self.multiple)) * self.multiple for side in (height, width)]
        return sides[0], sides[1]

    def resize(self, image: Tensor) -> Tensor:
        """(3, H, W) uint8 -> (3, h, w) uint8 of [`target_size`], as stock image processors do it: 8 bits, bicubic."""
        height, width = self.target_size(*image.shape[-2:])
        if (height, width) == tuple(image.shape[-2:]):
            return image
        return transforms.resize(image, [height, width], interpolation=InterpolationMode.BICUBIC, antialias=True)

    def to_image_processor(self) -> DPTImageProcessor:
        """The stock image processor that prepares pixels in this way; it is saved beside the weights."""
        return DPTImageProcessor(
            do_resize=True,
            size={"height": self.size, "width": self.size},
            keep_aspect_ratio=True,
            ensure_multiple_of=self.multiple,
            resample=3,  # bicubic, as stock Depth Anything
            do_rescale=True,
            do_normalize=True,
            do_pad=False,
            image_mean=list(self.mean),
            image_std=list(self.std),
        )


def check_size(size: int, multiple: int, of: str) -> None:
    """Raises ValueError, with the nearest sizes that fit, unless a size is a multiple of a model's patch size."""
    if size % multiple:
        near = [max(1, size // multiple) * multiple, (size // multiple + 1) * multiple]
        raise ValueError(f"--size {size} is not a multiple of {of} {multiple}; take {near[0]} or {near[1]}.")


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


def preprocessing_of(name: str, config: Any) -> Preprocessing:
    """Reads size, multiple, mean and standard deviation from a model's image processor.

    Args:
        name: Hub id or folder.
        config: its configuration, for what the image processor leaves open.

    Returns:
        The preprocessing; the built-in defaults where there is no image processor, which is logged.
    """
    backbone = getattr(config, "backbone_config", None) or config
    patch = getattr(backbone, "patch_size", 32)
    patch = int(patch if isinstance(patch, int) else patch[0])
    image_size = getattr(backbone, "image_size", 518)
    size = int(image_size if isinstance(image_size, int) else min(image_size))
    try:
        processor = AutoImageProcessor.from_pretrained(name)
    except (OSError, ValueError) as error:
        logger.warning(
            "%s has no image processor (%s); using ImageNet statistics at %d pixels.",
            name,
            first_line(error),
            size,
        )
        return Preprocessing(size=size, multiple=patch)
    wanted = getattr(processor, "size", None)
    if wanted is not None:
        sides = [side for side in dict(wanted).values() if isinstance(side, int)]
        size = min(sides) if sides else size
    multiple = getattr(processor, "ensure_multiple_of", None) or patch
    multiple = int(multiple) if multiple >= 1 else patch  # ZoeDepth's 1/32 means 32
    return Preprocessing(
        size=size,
        multiple=math.lcm(multiple, patch) if config.model_type == "zoedepth" else multiple,
        mean=tuple(getattr(processor, "image_mean", None) or IMAGENET_MEAN),
        std=tuple(getattr(processor, "image_std", None) or IMAGENET_STD),
    )


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


def first_line(error: BaseException) -> str:
    """The first line of an error's text, for one-sentence messages."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
