"""Preparation of a model's input: resizing of images to the model's size, patch multiple and normalisation."""

import logging
import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from semidepth.common.console import first_line
from semidepth.prediction.shipped.folder import find_model

if TYPE_CHECKING:
    from transformers import DPTImageProcessor, SamImageProcessor

logger = logging.getLogger(__name__)

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# What `Preprocessing` prepares; all others are prepared by their stock processors.
OWN_MODEL_TYPES = {"depth_student", "routed_depth", "depth_anything"}
BICUBIC = 3
MASK_CELLS = 4  # cells of a mask along the side of a patch
# Of the square that a model sees, in pixels: a photo of this size takes 200 MB as numbers, and several GB in a model.
LARGEST_SIZE = 4_096
RESAMPLING = range(6)  # Pillow's


@dataclass(frozen=True)
class Preprocessing:
    """Sizes and normalisation of a model's input: sides a multiple of `multiple`, shorter side about `size`."""

    size: int
    multiple: int
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def __post_init__(self) -> None:
        for name, value in (("size", self.size), ("ensure_multiple_of", self.multiple)):
            if not 1 <= value <= LARGEST_SIZE:
                raise ValueError(
                    f"the image processor's {name} is {value}; expected 1 to {LARGEST_SIZE:,} pixels; mend "
                    "preprocessor_config.json."
                )
        for name, values, above, kind in (
            ("image_mean", self.mean, -math.inf, "finite"),
            ("image_std", self.std, 0.0, "positive"),
        ):
            usable = [each for each in values if isinstance(each, int | float) and above < each < math.inf]
            if len(values) != 3 or len(usable) != 3:
                raise ValueError(
                    f"the image processor's {name} is {list(values)}; expected three {kind} numbers; mend "
                    "preprocessor_config.json."
                )

    def normalize(self, images: Tensor) -> Tensor:
        """(B, 3, H, W), uint8 or float in [0, 1] -> float32, normalised, on the same device."""
        images = images.float() / 255 if images.dtype == torch.uint8 else images.float()
        return (images - _per_channel(self.mean, images.device)) / _per_channel(self.std, images.device)

    def target_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width at which the model sees an image: those that the stock image processor gives it.

        That is the image's shape, scaled so that one side becomes `size`: the side that needs the smaller change (the
        shorter one of a large photo), and both sides are rounded to multiples of `multiple`.
        """
        scale = min((self.size / height, self.size / width), key=lambda scale: abs(1 - scale))
        sides = [max(1, round(side * scale / self.multiple)) * self.multiple for side in (height, width)]
        return sides[0], sides[1]

    def resize(self, images: Tensor) -> Tensor:
        """(3, H, W) or (B, 3, H, W) -> the same of [`target_size`], bicubic and antialiased.

        uint8 on the CPU stays uint8, rounded as stock image processors do it; floats stay floats.
        """
        size = self.target_size(*images.shape[-2:])
        if size == tuple(images.shape[-2:]):
            return images
        batch = images if images.ndim == 4 else images[None]
        resized = F.interpolate(batch, size=size, mode="bicubic", align_corners=False, antialias=True)
        return resized if images.ndim == 4 else resized[0]

    def to_image_processor(self) -> "DPTImageProcessor":
        """The stock image processor that prepares pixels in this way; it is saved beside the weights."""
        from transformers import DPTImageProcessor

        return DPTImageProcessor(
            do_resize=True,
            size={"height": self.size, "width": self.size},
            keep_aspect_ratio=True,
            ensure_multiple_of=self.multiple,
            resample=BICUBIC,  # as stock Depth Anything
            do_rescale=True,
            do_normalize=True,
            do_pad=False,
            image_mean=list(self.mean),
            image_std=list(self.std),
        )

    def to_sam_image_processor(self) -> "SamImageProcessor":
        """The stock image processor of a mask model, with which transformers' pipeline for masks runs it.

        Unlike [`resize`] it scales the longer side to `size` and pads the other one.
        """
        from transformers import SamImageProcessor

        side = math.ceil(self.size / self.multiple) * self.multiple
        mask_side = side // self.multiple * MASK_CELLS
        return SamImageProcessor(
            size={"longest_edge": side},
            pad_size={"height": side, "width": side},
            mask_size={"longest_edge": mask_side},
            mask_pad_size={"height": mask_side, "width": mask_side},
            resample=BICUBIC,
            image_mean=list(self.mean),
            image_std=list(self.std),
        )


def check_size(size: int, multiple: int, of: str) -> None:
    """Raises ValueError, with the nearest sizes that fit, unless a size is a multiple of a model's patch size."""
    if size % multiple:
        near = [max(1, size // multiple) * multiple, (size // multiple + 1) * multiple]
        raise ValueError(f"--size {size} is not a multiple of {of} {multiple}; take {near[0]} or {near[1]}.")


def preprocessing_of(name: str, config: Any) -> Preprocessing:
    """Reads size, multiple, mean and standard deviation from a model's image processor.

    Args:
        name: Hub id or folder.
        config: its configuration, for what the image processor leaves open.

    Returns:
        The preprocessing; the built-in defaults where there is no image processor, which is logged.
    """
    return preprocessing_from(load_processor(name), config)


def load_processor(name: str, *, trust_remote_code: bool = False) -> Any | None:
    """The image processor of a model; None where it has none, which is logged.

    Args:
        name: Hub id or folder.
        trust_remote_code: run code that the model brings along.

    Raises:
        ValueError: there is one, and it cannot be used: another in its place would change what the model predicts.
    """
    from transformers import AutoImageProcessor

    place = find_model(name)
    try:
        return AutoImageProcessor.from_pretrained(place, trust_remote_code=trust_remote_code)
    except (OSError, ValueError, TypeError, AttributeError, KeyError, ImportError) as error:
        here = Path(place, "preprocessor_config.json").exists()
        if here or not isinstance(error, OSError | ValueError):  # of those on the Hub they tell that there is none
            raise ValueError(
                f"preprocessor_config.json of {name!r} cannot be used ({first_line(error)}); mend it, or remove it to "
                "take ImageNet's statistics."
            ) from error
        logger.warning(
            "%s has no image processor (%s); using ImageNet statistics at the size in its configuration.",
            name,
            first_line(error),
        )
        return None


def needs_processor(processor: Any, config: Any) -> bool:
    """True for a model that only its stock processor can run, False where `Preprocessing` does the same.

    Args:
        processor: image processor of the model.
        config: configuration of the model.
    """
    usual = (
        type(processor).__name__.startswith("DPTImageProcessor")
        and processor.do_resize
        and processor.keep_aspect_ratio
        and not processor.do_pad
        and processor.resample == BICUBIC
    )
    own = config.model_type in OWN_MODEL_TYPES and usual
    return not own and hasattr(processor, "post_process_depth_estimation")


def preprocessing_from(processor: Any | None, config: Any) -> Preprocessing:
    """Arguments and result of [`preprocessing_of`], from an image processor that is loaded already."""
    backbone = getattr(config, "backbone_config", None) or config
    patch: Any = getattr(config, "core_patch_size", None) or getattr(backbone, "patch_size", 32)
    patch = int(patch if isinstance(patch, int) else patch[0])
    image_size = getattr(backbone, "image_size", 518)
    size = int(image_size if isinstance(image_size, int) else min(image_size))
    if processor is None:
        return Preprocessing(size=size, multiple=patch)
    resample = getattr(processor, "resample", None)
    if resample is not None and resample not in RESAMPLING:
        raise ValueError(
            f"the image processor's resample is {resample}; expected one of Pillow's filters, 0 to {RESAMPLING[-1]}; "
            "mend preprocessor_config.json."
        )
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


@lru_cache
def _per_channel(values: tuple[float, float, float], device: torch.device) -> Tensor:
    """(1, 3, 1, 1), made once for each device: making it waits for the device."""
    return torch.tensor(values, device=device).view(1, 3, 1, 1)
