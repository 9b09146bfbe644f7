"""Check of the direction of other tools' maps: a model's own prediction of a few photos must rank them alike.

The maps alone cannot tell: depth taken for inverse depth is as smooth, and has the same edges. Against a prediction the
order of the pixels tells, whatever unit, factor or summand the maps have.
"""

import logging
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from semidepth.data.samples import to_disparity
from semidepth.data.source_spec import Source
from semidepth.data.streaming.loading import evaluation_samples
from semidepth.evaluation.source_report.edges import mean_ranks
from semidepth.prediction.models import DepthModel

logger = logging.getLogger(__name__)

PHOTOS = 8
# A correlation below this on most photos is no accident, and one nearer to 0 tells nothing.
CLEAR = 0.3


def rank_correlation(first: Tensor, second: Tensor) -> float:
    """Returns Spearman's rank correlation of two maps, equal values sharing their mean rank.

    Args:
        first: (H, W), NaN where unknown.
        second: (H, W), the same.

    Returns:
        From -1 to 1, over the pixels that both know; NaN with fewer than two of them, or for a constant map.
    """
    known = first.isfinite() & second.isfinite()
    ranks = [mean_ranks(values[known]) for values in (first, second)]
    centred = [rank - rank.mean() for rank in ranks]
    norm = (centred[0].square().sum() * centred[1].square().sum()).sqrt()
    return float((centred[0] * centred[1]).sum() / norm)  # 0 / 0 is NaN


def check_direction(sources: Sequence[Source], model: DepthModel, name: str) -> None:
    """Compares the first photos of each source with a model's prediction, and logs what it finds.

    Args:
        sources: with labels.
        model: predicts depth or inverse depth.
        name: of the model, for messages.

    Raises:
        ValueError: if the maps of a source clearly run against the prediction.
    """
    for source in sources:
        found = [
            _agreement(model, sample["image"], sample["depth"])
            for sample in evaluation_samples([source], PHOTOS)
            if sample["depth"] is not None
        ]
        judge(found, f"the maps of {source.spec!r}", f"the prediction of {name}")


def judge(correlations: Sequence[float], what: str, other: str) -> None:
    """Logs whether maps run the same way; raises ValueError if they clearly do not.

    Args:
        correlations: of the maps of each photo; NaN where there is none.
        what: name of the maps that are judged.
        other: name of what they are compared with.
    """
    found = torch.tensor([each for each in correlations if each == each])
    if len(found) == 0:
        logger.warning("the direction of %s cannot be compared with %s: no photo has two different depths", what, other)
        return
    middle, against = found.median().item(), int((found < 0).sum())
    told = f"median rank correlation {middle:+.2f} on {len(found)} photos"
    if middle <= -CLEAR and against > len(found) / 2:
        raise ValueError(
            f"{what} run against {other} ({told}): nearer and farther seem exchanged; correct kind=, or give "
            "--no_check_direction if you are sure."
        )
    if middle < CLEAR:
        logger.warning(
            "%s and %s have little in common (%s): look at the maps before you train on them", what, other, told
        )
    else:
        logger.info("%s run the same way as %s (%s)", what, other, told)


@torch.no_grad()
def _agreement(model: DepthModel, image: Tensor, depth: Tensor) -> float:
    predicted = model.predict_disparity(model.preprocessing.resize(image)[None].to(model.device))[0].float().cpu()
    disparity = F.interpolate(to_disparity(depth)[None, None], predicted.shape, mode="nearest-exact")[0, 0]
    return rank_correlation(disparity, predicted)
