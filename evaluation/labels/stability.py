"""Disagreement between a teacher's checkpoints on an image: ST++'s measure of a pseudo label's reliability.

ST++ (arXiv 2106.05095, section 3.2) scores an unlabeled image by how well the predictions of earlier checkpoints agree
with the last one's, by mean IoU since its maps are classes. Here the maps are inverse depth up to scale and shift, so
they are compared as the training loss compares them.
"""

import torch
from torch import Tensor

from semidepth.modeling.affine_invariant import affine_invariant_normalize


def stability(earlier: Tensor, last: Tensor) -> Tensor:
    """Reliability of each image's pseudo label.

    1 / (1 + d), where d is the mean over earlier checkpoints of the affine-invariant distance between their map and the
    last one's (both moved to median 0 and mean absolute deviation 1): 1 where nothing but scale and shift ever changed,
    1/2 where the difference is as large as the map itself.

    Args:
        earlier: (K, B, H, W) inverse depth predicted by K earlier checkpoints, any affine scale.
        last: (B, H, W) inverse depth predicted by the last one.

    Returns:
        (B,) float32 in (0, 1], larger is more reliable.

    Raises:
        ValueError: for shapes that do not match, or no earlier map.
    """
    if earlier.ndim != 4 or earlier.shape[0] < 1 or earlier.shape[1:] != last.shape:
        raise ValueError(
            f"Expected maps (K, B, H, W) of at least one earlier checkpoint and (B, H, W) of the last, got "
            f"{tuple(earlier.shape)} and {tuple(last.shape)}: stack the earlier ones."
        )
    everywhere = torch.ones_like(last, dtype=torch.bool)
    final = affine_invariant_normalize(last, everywhere)
    distances = [(affine_invariant_normalize(each, everywhere) - final).abs().mean((1, 2)) for each in earlier]
    return 1 / (1 + torch.stack(distances).mean(0))
