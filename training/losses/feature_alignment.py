"""Feature alignment: the student's encoder stays close to the frozen one it started from, up to a margin."""

import torch
from torch import Tensor

# Tokens shorter than this have no direction; they count as cosine 0.
MIN_NORM = 1e-12


def feature_alignment_loss(student: Tensor, frozen: Tensor, *, tolerance: float = 0.85) -> Tensor:
    """Mean of 1 - cos(student, frozen) over the tokens whose cosine does not exceed the tolerance.

    Tokens already above the margin are left out, so that parts of one object may keep different depths (Depth
    Anything, arXiv 2401.10891, section 3.3; the authors' correction of the wording in its first version). The
    mean is over the tokens of the batch that stay. If none stays the loss is 0 with zero gradient.

    Args:
        student: (B, N, C) last encoder tokens of the student.
        frozen: (B, N, C) tokens of the frozen encoder for the same images; no gradient reaches them.
        tolerance: the largest cosine that still counts, in [-1, 1]; 1 keeps every token.

    Returns:
        Scalar float32 in [0, 2].

    Raises:
        ValueError: for shapes that differ or a tolerance outside [-1, 1].
    """
    if student.ndim != 3 or student.shape != frozen.shape:
        raise ValueError(
            f"Expected student and frozen tokens of one shape (B, N, C), got {tuple(student.shape)} and "
            f"{tuple(frozen.shape)}: give both encoders the same images, and project a differing width first."
        )
    if not -1.0 <= tolerance <= 1.0:
        raise ValueError(f"tolerance is {tolerance}, expected a cosine between -1 and 1; 1 keeps every token.")
    with torch.autocast(student.device.type, enabled=False):
        # (B, N, C) -> (B, N); rounding can carry a cosine past 1, where tolerance 1 would lose the token.
        cosine = (_unit(student.float()) * _unit(frozen.detach().float())).sum(-1).clamp(max=1.0)
        # A NaN cosine counts as kept, so that the training loop sees it.
        kept = ~(cosine > tolerance)
        return torch.where(kept, 1.0 - cosine, 0.0).sum() / kept.sum().clamp(min=1)


def _unit(tokens: Tensor) -> Tensor:
    """Tokens of length 1; a zero token stays zero with a gradient of ordinary size."""
    norm = torch.linalg.vector_norm(tokens, dim=-1, keepdim=True)
    return tokens / torch.where(norm <= MIN_NORM, 1.0, norm)
