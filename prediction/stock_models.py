"""Depth models of transformers as their own image processors run them, so that their scores are theirs.

Depth Anything and our models share one preparation of pixels, which `Preprocessing` does in fewer steps. The other
families each have their own: ZoeDepth pads with reflections and cuts them off again, DPT may squeeze the picture, GLPN
rounds its sides down, Depth Pro turns inverse depth into metres by the field of view that it finds. That knowledge is
their processors'; nothing of it is repeated here.
"""

from typing import Any

import torch
from torch import Tensor
from transformers import AutoImageProcessor, DPTImageProcessor

# What `Preprocessing` prepares; all others are prepared by their stock processors.
OWN_MODEL_TYPES = {"depth_student", "routed_depth", "depth_anything"}
BICUBIC = 3


def stock_processor(name: str, config: Any) -> Any | None:
    """The image processor that has to run a model; None where `Preprocessing` does what it does, or there is none.

    Args:
        name: Hub id or folder.
        config: its configuration.
    """
    try:
        processor = AutoImageProcessor.from_pretrained(name)
    except (OSError, ValueError):
        return None  # `preprocessing_of` tells
    usual = (
        isinstance(processor, DPTImageProcessor)
        and processor.do_resize
        and processor.keep_aspect_ratio
        and not processor.do_pad
        and processor.resample == BICUBIC
    )
    if config.model_type in OWN_MODEL_TYPES and usual:
        return None
    return processor if hasattr(processor, "post_process_depth_estimation") else None


def prepare(processor: Any, images: Tensor) -> Tensor:
    """Pixels as a processor makes them.

    Args:
        processor: of the model.
        images: (B, 3, H, W), uint8 or float in [0, 1].

    Returns:
        (B, 3, h, w) float32 on the same device.
    """
    scaled = {} if images.dtype == torch.uint8 else {"do_rescale": False}
    return processor(images=list(images), return_tensors="pt", **scaled)["pixel_values"].to(images.device)


def finish(processor: Any, output: Any, size: tuple[int, int]) -> Tensor:
    """A model's output as its processor brings it to the size of the images.

    Args:
        processor: of the model.
        output: with `predicted_depth` (B, h, w).
        size: height and width of the images.

    Returns:
        (B, H, W) float32. Depth Pro's is metres where it has found a field of view; without one it has no unit, and its
        inverse depth is given.
    """
    output.predicted_depth = output.predicted_depth.float()
    # The second argument is what the pipeline passes, too: the padded picture's own size to ZoeDepth, else the target.
    found = processor.post_process_depth_estimation(output, [size] * len(output.predicted_depth))
    predicted = torch.stack([each["predicted_depth"].reshape(size) for each in found])
    canonical = "field_of_view" in found[0] and found[0]["field_of_view"] is None
    return 1 / predicted if canonical else predicted


def votes_over_batch(config: Any) -> bool:
    """Whether a model's prediction for an image depends on its neighbours in the batch.

    ZoeDepth with two heads chooses one for the whole batch, by the sum of its images' votes.
    """
    return config.model_type == "zoedepth" and len(config.bin_configurations) > 1
