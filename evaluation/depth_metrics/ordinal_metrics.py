"""Pairwise ordinal accuracy: which of two points is nearer (DA-2K, Depth Anything V2, arXiv 2406.09414).

Needs torch only: the metric Space runs this file outside the package.
"""

import torch
from torch import Tensor

ORDINAL_NAMES = ("ordinal_accuracy",)


def ordinal_hits(prediction: Tensor, nearer: Tensor, farther: Tensor, *, larger_is_nearer: bool = True) -> Tensor:
    """Mask of the pairs of points that the prediction orders as the label does.

    The paper and its repository do not define ties. Here a tie is a miss, so that a constant map scores 0.

    Args:
        prediction: (H, W) inverse depth, or depth; at the size of the image on which the points were marked.
        nearer: (N, 2) int, row and column of the nearer point of each pair.
        farther: (N, 2) int, row and column of the other.
        larger_is_nearer: True for inverse depth, False for depth.

    Returns:
        (N,) bool. Their mean over all pairs of a set is the accuracy, in [0, 1]; larger is better.

    Raises:
        ValueError: for other shapes, points outside the map, or a prediction that is not finite at a point.
    """
    if prediction.ndim != 2 or nearer.ndim != 2 or nearer.shape[1:] != (2,) or nearer.shape != farther.shape:
        raise ValueError(
            f"Expected a map (H, W) and points (N, 2), (N, 2), got {tuple(prediction.shape)}, {tuple(nearer.shape)} "
            f"and {tuple(farther.shape)}: give each pair's nearer and farther point as row, column."
        )
    if nearer.is_floating_point() or farther.is_floating_point():
        raise ValueError(f"Expected whole rows and columns, got {nearer.dtype} and {farther.dtype}: round them first.")
    size = torch.tensor(prediction.shape, device=nearer.device)
    for points in (nearer, farther):
        outside = ((points < 0) | (points >= size)).any(1)
        if outside.any():
            raise ValueError(
                f"the point {tuple(points[outside][0].tolist())} (row, column) lies outside the map of "
                f"{tuple(prediction.shape)}; resize the prediction to the image on which the points were marked."
            )
    near, far = (prediction[points[:, 0], points[:, 1]].double() for points in (nearer, farther))
    if not (near.isfinite() & far.isfinite()).all():
        raise ValueError("the prediction is not finite at a labeled point; this checkpoint is broken.")
    return near > far if larger_is_nearer else near < far
