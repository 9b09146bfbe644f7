"""Depth-estimation models of any kind behind one interface: preprocess, predict, postprocess (resize to the image).

Prediction, scoring, teachers and the Space use it. A stock class does not say whether it predicts inverse depth or
metres, so this is looked up by class; for an unknown class the user has to say it.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from semidepth.common.console import first_line
from semidepth.prediction.checkpoints import (
    NEEDS_MORE_THAN_PIXELS,
    Kind,
    check_nothing_missing,
    domains_of,
    kind_of,
    loading_errors,
    needs_more_than_pixels,
    read_config,
    refuse_pickled,
    router_names,
    unknown_kind,
    unloadable,
)
from semidepth.prediction.preprocessing import Preprocessing, load_processor, needs_processor, preprocessing_from
from semidepth.prediction.shipped.folder import find_model, is_heads, shown_name
from semidepth.prediction.shipped.heads import load_joined
from semidepth.prediction.stock_models import finish, finite_range, prepare, votes_over_batch

if TYPE_CHECKING:
    from semidepth.prediction.options import Runtime

# How images come to the model's size, and maps back to theirs. "pipeline": as transformers' pipeline, pixels rounded
# to 8 bits and both bicubic, but within the map's own range. "paper": as published evaluations, without rounding, maps
# bilinear with aligned corners.
Resizing = Literal["pipeline", "paper"]
# Ours predict float32 whatever the autocast.
FLOAT32_MODEL_TYPES = {"depth_student", "routed_depth"}
# Metric predictions nearer than this are clamped before they are inverted.
NEAREST_M = 1e-3


@dataclass(frozen=True)
class ModelOutput:
    """Output of a model for a batch, at the model's size; [`DepthModel.postprocess`] makes maps of it.

    Args:
        values: (B, h, w) float32, `predicted_depth` as the model's class defines it.
        domain: (B,) index of the head that was used; None for models without heads.
        domain_logits: (B, D) float32 of the router; None for models without one.
        fov_deg: (B,) Depth Pro's horizontal field of view; None for other models.
    """

    values: Tensor
    domain: Tensor | None = None
    domain_logits: Tensor | None = None
    fov_deg: Tensor | None = None

    def tensors(self) -> dict[str, Tensor]:
        """The fields that are there, by name."""
        found = {name: getattr(self, name) for name in ("values", "domain", "domain_logits", "fov_deg")}
        return {name: tensor for name, tensor in found.items() if tensor is not None}

    def image(self, number: int) -> "ModelOutput":
        """One image of the batch, as a batch of one."""
        return ModelOutput(**{name: tensor[number : number + 1] for name, tensor in self.tensors().items()})


class DepthModel:
    """A loaded depth-estimation model.

    Args:
        model: any `AutoModelForDepthEstimation`.
        preprocessing: how it wants its pixels.
        kind: what its `predicted_depth` is: "disparity" (inverse depth, larger is nearer, no unit) or "depth"
            (metres, larger is farther).
        processor: stock image processor that prepares pixels and finishes maps instead of `preprocessing`, which then
            only gives a size.

    Attributes:
        domains: names of a routed model's heads, in order; empty for other models.
        router_names: names that `ModelOutput.domain` counts: `domains`, or the heads of a stock ZoeDepth, which chooses
            among them itself.
    """

    def __init__(self, model: nn.Module, preprocessing: Preprocessing, kind: Kind, processor: Any | None = None):
        self.model = model
        self.preprocessing = preprocessing
        self.kind = kind
        self.processor = processor
        self.domains = domains_of(model.config)
        self.router_names = router_names(model.config)
        self._one_by_one = votes_over_batch(model.config)

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return next(self.model.parameters()).device

    def preprocess(self, images: Tensor, resizing: Resizing = "pipeline") -> Tensor:
        """Resizes images to the model's size and prepares their pixels.

        Args:
            images: (B, 3, H, W), uint8 or float in [0, 1], on any device.
            resizing: see `Resizing`; stock image processors have their own way.

        Returns:
            (B, 3, h, w) on the same device: uint8, which [`predict`] normalises, or float32 that is normalised.
        """
        if self.processor is not None:
            return prepare(self.processor, images)
        if resizing == "pipeline" and images.dtype == torch.uint8 and images.device.type == "cpu":
            return self.preprocessing.resize(images)
        return self.preprocessing.resize(self.preprocessing.normalize(images))

    @torch.no_grad()
    def predict(self, pixels: Tensor, domain_labels: Sequence[int] | None = None) -> ModelOutput:
        """Runs the model.

        Args:
            pixels: (B, 3, h, w) by [`preprocess`], on the model's device.
            domain_labels: (B,) index of the head for each image; None lets a router choose.

        Returns:
            The model's output, for [`postprocess`].
        """
        if len(pixels) > 1 and self._one_by_one:
            return _joined([self.predict(image[None]) for image in pixels])
        pixels = self.preprocessing.normalize(pixels) if pixels.dtype == torch.uint8 else pixels
        context: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()
        if getattr(self.model.config, "model_type", "") not in FLOAT32_MODEL_TYPES:
            # Under autocast others would round pseudo labels to 8 bits of mantissa.
            context = torch.autocast(pixels.device.type, enabled=False)
        labels = {} if domain_labels is None else {"domain_labels": list(domain_labels)}
        with context:
            output = self.model(pixel_values=pixels.to(next(self.model.parameters()).dtype), **labels)
        domain, logits = getattr(output, "domain", None), getattr(output, "domain_logits", None)
        if domain is None and logits is not None:
            domain = logits.argmax(-1)
        logits = None if logits is None else logits.float()
        return ModelOutput(output.predicted_depth.float(), domain, logits, getattr(output, "field_of_view", None))

    @torch.no_grad()
    def postprocess(self, output: ModelOutput, size: tuple[int, int], resizing: Resizing = "pipeline") -> Tensor:
        """Resizes a model's predictions to the size of their images.

        Args:
            output: by [`predict`], on any device.
            size: height and width of the images.
            resizing: see `Resizing`.

        Returns:
            (B, H, W) float32, metres or inverse depth as `kind` says.
        """
        values = output.values
        if self.processor is not None:
            # Maps of 4M are small and have sky beside near things: bicubic alone would give metres below 0.
            model: Any = self.model
            within = resizing == "pipeline" or model.config.model_type == "four_m"
            return finish(self.processor, values, size, output.fov_deg, within=within)
        if tuple(values.shape[-2:]) == tuple(size):
            return values
        if resizing == "paper":
            return F.interpolate(values[:, None], size=size, mode="bilinear", align_corners=True)[:, 0]
        # Bicubic overshoots at edges: a wall 8 m behind a cup may put the cup's rim at -0.1 m.
        large = F.interpolate(values[:, None], size=size, mode="bicubic", align_corners=False)[:, 0]
        return large.clamp_(*finite_range(values))

    def forward(self, images: Tensor, domain_labels: Sequence[int] | None = None) -> tuple[Tensor, ModelOutput]:
        """Preprocesses, predicts and postprocesses a batch as published evaluations do it: for scores and teachers.

        Args:
            images: (B, 3, H, W), uint8 or float in [0, 1], on the model's device.
            domain_labels: (B,) index of the head for each image; None lets a router choose.

        Returns:
            (B, H, W) float32, metres or inverse depth as `kind` says; and the output at the model's own size.
        """
        output = self.predict(self.preprocess(images, "paper"), domain_labels)
        height, width = images.shape[-2:]
        return self.postprocess(output, (height, width), "paper"), output

    def predict_disparity(self, images: Tensor) -> Tensor:
        """(B, H, W) inverse depth whatever the model's kind, larger is nearer; images as in [`forward`]."""
        predicted, _ = self.forward(images)
        return 1 / predicted.clamp(min=NEAREST_M) if self.kind == "depth" else predicted


def check_device(device: torch.device | str) -> None:
    """Raises ValueError if nothing can be computed on a device."""
    try:
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, ImportError) as error:  # each kind of device has its own
        reason = first_line(error).split(". ")[0]
        there = ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
        there += ["mps"] if torch.backends.mps.is_available() else []
        raise ValueError(f"the device {str(device)!r} cannot be used ({reason}); take {' or '.join(there)}.") from error


def load_depth_model(
    name: str | Path | None = None,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    kind: Kind | None = None,
    trust_remote_code: bool = False,
    runtime: "Runtime" = "torch",
) -> DepthModel:
    """Loads a depth-estimation model for inference: ours, or any that transformers has.

    Args:
        name: Hub id or folder; "semidepth-small" (inverse depth) or "semidepth-small-metric" (metres) of those that
            come with semidepth; None: the metric one where this installation has it, else the relative one.
        device: where to put it.
        dtype: dtype of its weights.
        kind: what it predicts, where it cannot be looked up.
        trust_remote_code: run code that the model brings along, where transformers and semidepth have none for it.
        runtime: "torch"; "onnx" or "openvino" (on a CPU, from an export that is made at first use and kept in the
            user's cache folder); "auto": the fastest of those installed, measured once for each machine and model.

    Returns:
        The model in evaluation mode, without gradients.

    Raises:
        ValueError: there is no such model, it needs code that is not trusted, its kind is neither known nor given, or
            the device or the runtime cannot be used.
    """
    check_device(device)
    place = find_model(name)
    name = shown_name(place)
    refuse_pickled(place)
    config = read_config(place, trust_remote_code=trust_remote_code)
    if config.model_type in NEEDS_MORE_THAN_PIXELS:
        raise needs_more_than_pixels(name, config)
    found = kind or kind_of(config)
    if found is None:
        raise unknown_kind(name, config)
    if is_heads(place):
        model = load_joined(Path(place), dtype)
    else:
        model = _load_whole(place, config, dtype, trust_remote_code=trust_remote_code)
    model.config._name_or_path = name  # a shipped model's own, for records of what it predicted
    processor = load_processor(place, trust_remote_code=trust_remote_code)
    preprocessing = preprocessing_from(processor, config)
    if processor is not None and not needs_processor(processor, config):
        processor = None
    loaded = DepthModel(model.to(device).eval().requires_grad_(False), preprocessing, found, processor)
    if runtime == "torch":
        return loaded
    from semidepth.prediction.runtimes.choice import on_runtime  # which needs this file

    return on_runtime(loaded, runtime, name)


def _load_whole(name: str, config: Any, dtype: torch.dtype, *, trust_remote_code: bool) -> Any:
    """The model of a folder or Hub id with all its weights; arguments and errors as in [`load_depth_model`]."""
    # Only now what takes seconds to import.
    from transformers import AutoModelForDepthEstimation

    from semidepth.modeling import DepthStudentForDepthEstimation

    # Ours computes stock Depth Anything's function, faster, and in float32 at its end whatever the autocast.
    ours = config.model_type == "depth_anything"
    loader: Any = DepthStudentForDepthEstimation if ours else AutoModelForDepthEstimation
    try:
        model, info = loader.from_pretrained(
            name, dtype=dtype, use_safetensors=True, output_loading_info=True, trust_remote_code=trust_remote_code
        )
    except loading_errors(trust_remote_code) as error:
        raise unloadable(name, first_line(error)) from error
    check_nothing_missing(name, info)
    return model


def _joined(outputs: list[ModelOutput]) -> ModelOutput:
    """Outputs of single images as one of a batch."""

    names = outputs[0].tensors()
    return ModelOutput(**{name: torch.cat([output.tensors()[name] for output in outputs]) for name in names})
