"""Depth models of transformers, run by their own image processors, so that their maps and scores are theirs.

Depth Anything and our models share one preparation of pixels, which `Preprocessing` does in fewer steps. The other
families each have their own: ZoeDepth pads with reflections and cuts them off again, DPT may squeeze the picture, GLPN
rounds its sides down, Depth Pro turns inverse depth into metres by the field of view that it finds. Their processors
know how; nothing of it is repeated here.
"""

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor


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


def finish(processor: Any, values: Tensor, size: tuple[int, int], fov_deg: Tensor | None, *, within: bool) -> Tensor:
    """Maps as a processor brings them to the size of their images.

    Args:
        processor: of the model.
        values: (B, h, w) float32, `predicted_depth` of the model.
        size: height and width of the images.
        fov_deg: (B,) Depth Pro's horizontal field of view; None where it has none, and for other models.
        within: keep each map within the range of its values; bicubic enlarging overshoots at edges.

    Returns:
        (B, H, W) float32. Depth Pro's is metres where it has found a field of view; without one it has no unit, and its
        inverse depth is given.
    """
    output = SimpleNamespace(predicted_depth=values, field_of_view=fov_deg)
    # The second argument is what the pipeline passes, too: the padded picture's own size to ZoeDepth, else the target.
    found = processor.post_process_depth_estimation(output, [size] * len(values))
    maps = torch.stack([each["predicted_depth"].reshape(size) for each in found])
    if "field_of_view" in found[0]:  # Depth Pro resizes inverse depth, linearly, and gives depth
        return 1 / maps if fov_deg is None else maps
    return maps.clamp(*finite_range(values)) if within else maps


def finite_range(values: Tensor) -> tuple[Tensor, Tensor]:
    """Smallest and largest finite value of each map, (B, 1, 1) each; values that are not finite do not count.

    Args:
        values: (B, h, w).
    """
    finite = values.isfinite()
    low = torch.where(finite, values, torch.inf).amin((1, 2), keepdim=True)
    return low, torch.where(finite, values, -torch.inf).amax((1, 2), keepdim=True)


def votes_over_batch(config: Any) -> bool:
    """True for a model whose prediction for an image depends on the others in the batch.

    ZoeDepth with two heads chooses one for the whole batch, by the sum of its images' votes.
    """
    return getattr(config, "model_type", "") == "zoedepth" and len(config.bin_configurations) > 1
