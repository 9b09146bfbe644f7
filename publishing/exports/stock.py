"""Conversion of a trained model to the stock classes of transformers, with the same predictions."""

import logging
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoImageProcessor, AutoModelForDepthEstimation, PreTrainedModel

from semidepth.common.console import first_line
from semidepth.common.files import whole_folder
from semidepth.modeling import DepthStudentForDepthEstimation, RoutedDepthForDepthEstimation
from semidepth.prediction.models import load_depth_model

logger = logging.getLogger(__name__)

# Largest difference of the stock class over the largest value of ours, both in float32.
TOLERANCE = 1e-5


def to_stock(folder: Path, target: Path) -> None:
    """Saves a model for the stock classes of transformers, without remote code, and checks that it predicts the same.

    A student, and a metric model that is one network without domains, become a stock Depth Anything. A metric model on
    the MiDaS core of stock ZoeDepth becomes a stock ZoeDepth again. The target gets config.json, safetensors (sharded
    by transformers' own rule) and preprocessor_config.json, all or nothing.

    Args:
        folder: the trained model with its image processor.
        target: a new or empty folder.

    Raises:
        ValueError: no stock class can hold the model, the target is not empty, or the stock class does not predict the
            same within 1e-5 of the largest value.
    """
    folder, target = Path(folder), Path(target)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ValueError(f"{target} exists and is not an empty folder; give a new one for the stock model.")
    model: Any = load_depth_model(Path(folder)).model
    stock = _stock_of(model.to(_saved_dtype(folder)), str(folder))
    try:
        processor = AutoImageProcessor.from_pretrained(str(folder), trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{folder} has no image processor that loads ({first_line(error)}); put its preprocessor_config.json there."
        ) from error
    with whole_folder(target) as partial:
        stock.save_pretrained(partial)
        processor.save_pretrained(partial)
        _check(model.float(), partial, str(folder))
    logger.info("wrote %s: a %s for plain transformers", target, type(stock).__name__)


def _saved_dtype(folder: Path) -> torch.dtype:
    """Returns the dtype of a folder's weights by its configuration; float32 where it names none."""
    named = AutoConfig.from_pretrained(str(folder), trust_remote_code=False).dtype
    return getattr(torch, str(named or torch.float32).removeprefix("torch."))


def _stock_of(model: Any, name: str) -> PreTrainedModel:
    """Returns the stock class with the model's weights."""
    if isinstance(model, DepthStudentForDepthEstimation):
        stock: PreTrainedModel = model.to_depth_anything()
    elif isinstance(model, RoutedDepthForDepthEstimation):
        try:
            stock = model.to_zoedepth()
        except ValueError as error:
            why = str(error).partition(";")[0].rstrip(".")
            raise ValueError(
                f"{name!r} cannot become a stock model: {why}; publish it with its code, export it to ONNX, or train "
                "one with metric.py --metric_head stock."
            ) from error
    else:
        raise ValueError(f"{name!r} is a {type(model).__name__}; give a student or a metric model of semidepth.")
    return stock


def _check(model: Any, folder: Path, name: str) -> None:
    """Loads the saved folder with plain transformers and compares it with the original model.

    Raises:
        ValueError: it holds code, or predicts something else.
    """
    code = sorted(path.name for path in folder.glob("**/*.py"))
    stock, info = AutoModelForDepthEstimation.from_pretrained(
        str(folder), trust_remote_code=False, use_safetensors=True, dtype=torch.float32, output_loading_info=True
    )
    stock.eval()
    odd = sorted({*info["missing_keys"], *info["unexpected_keys"]})
    if code or odd or not type(stock).__module__.startswith("transformers.models."):
        raise ValueError(
            f"{name!r} did not become a stock model (code {code}, missing or unknown weights {odd[:3]}, class "
            f"{type(stock).__name__}); nothing was written."
        )
    for number, pixels in enumerate(_test_images(model)):
        try:
            with torch.no_grad():
                ours, theirs = (each(pixel_values=pixels).predicted_depth for each in (model, stock))
        except RuntimeError as error:
            # Stock Depth Anything takes the first token away and has no place for register tokens.
            raise ValueError(
                f"{type(stock).__name__} cannot run {name!r} ({first_line(error)}): it knows no encoder with register "
                "tokens; publish the model with its own code, or export it to ONNX."
            ) from error
        largest = (ours - theirs).abs().max().item()
        if not largest <= TOLERANCE * ours.abs().max().item():
            raise ValueError(
                f"the stock class predicts something else than {name!r}, by up to {largest:.1e} where the largest "
                f"value is {ours.abs().max().item():.1e}, for test image {number}; nothing was written."
            )


def _test_images(model: Any) -> list[Tensor]:
    """Returns a square image of the training size and a wide one, (1, 3, H, W) normalised noise."""
    core: Any = model.core if isinstance(model, RoutedDepthForDepthEstimation) else model
    backbone = core.config.backbone_config
    patch, size = (
        int(value if isinstance(value, int) else value[0]) for value in (backbone.patch_size, backbone.image_size)
    )
    side = max(size // patch, 2)
    generator = torch.Generator().manual_seed(0)
    sides = ((side, side), (side // 2 + 1, side))
    return [torch.randn(1, 3, high * patch, wide * patch, generator=generator) for high, wide in sides]


__all__ = ["to_stock"]
