"""How far predicted maps are from true ones: values of each picture, so that means have standard errors."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from semidepth.data.scenes.captions import read_caption

ANGLES_DEG = (11.25, 22.5, 30.0)
LARGER_IS_BETTER = ("delta1", "miou", "accuracy", "psnr", "edges", "sky", "domain", "things_f1", "nearest", "distance",
                    *(f"within_{angle:g}" for angle in ANGLES_DEG))  # fmt: skip


def depth_errors(predicted: Tensor, truth: Tensor) -> dict[str, float]:
    """Returns AbsRel, RMSE in metres and delta1 where both are of a surface, and the share of pixels right about sky.

    Nothing is aligned. Where sky is predicted on a surface the farthest surface of the prediction is taken.

    Args:
        predicted: (H, W) metres, inf sky.
        truth: (H, W) metres, inf sky, NaN unknown.
    """
    surface, known = truth.isfinite(), ~truth.isnan()
    finite = predicted[predicted.isfinite()]
    metres = predicted.nan_to_num(posinf=float(finite.max()) if len(finite) else 100.0)[surface]
    true = truth[surface]
    ratio = torch.maximum(metres / true, true / metres)
    return {
        "abs_rel": float(((metres - true).abs() / true).mean()),
        "rmse": float(((metres - true) ** 2).mean().sqrt()),
        "delta1": float((ratio < 1.25).float().mean()),
        "sky": float((predicted.isinf() == truth.isinf())[known].float().mean()),
    }


def normal_errors(predicted: Tensor, truth: Tensor) -> dict[str, float]:
    """Returns the mean angle in degrees and the shares of pixels within some angles; NaN where no truth is known.

    Args:
        predicted: (3, H, W) unit vectors.
        truth: (3, H, W) unit vectors, NaN unknown.
    """
    known = truth.isfinite().all(0)
    cosine = (F.normalize(predicted, dim=0) * truth).sum(0)[known].clamp(-1, 1)
    angles = torch.rad2deg(torch.arccos(cosine))
    shares = {f"within_{angle:g}": float((angles < angle).float().mean()) for angle in ANGLES_DEG}
    return {"angle_deg": float(angles.mean())} | shares


def image_errors(predicted: Tensor, truth: Tensor) -> dict[str, float]:
    """Returns PSNR in dB, and the correlation of the steps of brightness between pixels: that of structure.

    Args:
        predicted: (3, H, W), 0 to 1.
        truth: as predicted.
    """
    error = float(((predicted - truth) ** 2).mean())
    steps = [torch.cat([gray.diff(dim=0).flatten(), gray.diff(dim=1).flatten()]).abs()
             for gray in (predicted.mean(0), truth.mean(0))]  # fmt: skip
    together = torch.corrcoef(torch.stack(steps))[0, 1]
    return {"psnr": -10 * math.log10(max(error, 1e-10)), "edges": float(together.nan_to_num())}


def caption_errors(predicted: str, truth: str) -> dict[str, float]:
    """Returns how many facts of a built-in scene's caption are right, each from 0 to 1; what cannot be read has none.

    `things_f1` compares the kinds of things; `distance` asks for the same nearest distance.
    """
    true = read_caption(truth)
    names = ("domain", "things_f1", "nearest", "distance")
    try:
        found = read_caption(predicted)
    except ValueError:
        return dict.fromkeys(names, 0.0)
    kinds, wanted = ({kind for kind, _ in facts.counts} for facts in (found, true))
    f1 = 2 * len(kinds & wanted) / max(1, len(kinds) + len(wanted))
    right = (found.domain == true.domain, f1, found.nearest == true.nearest, found.metres == true.metres)
    return dict(zip(names, map(float, right), strict=True))


def is_readable(caption: str) -> bool:
    """Returns true for a caption as the built-in scenes have it, whose facts [`caption_errors`] compares."""
    try:
        read_caption(caption)
    except ValueError:
        return False
    return True


def confusion(predicted: Tensor, truth: Tensor, classes: int) -> Tensor:
    """Returns (classes, classes) counts of pixels, by true class and predicted one."""
    known = truth >= 0
    pairs = truth[known] * classes + predicted[known]
    return torch.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def class_scores(counts: Tensor) -> dict[str, float]:
    """Returns the share of pixels that are right, and the mean IoU of the classes that are there."""
    right = counts.diagonal().double()
    union = counts.sum(0) + counts.sum(1) - right
    there = counts.sum(1) > 0
    if not there.any():
        return {"accuracy": math.nan, "miou": math.nan}
    return {"accuracy": float(right.sum() / counts.sum()), "miou": float((right / union)[there].mean())}


@dataclass
class Scores:
    """Errors of one direction over pictures.

    Args:
        values: name of a measure -> its value of each picture.
        counts: of classes, over all pictures.
    """

    values: dict[str, list[float]] = field(default_factory=dict)
    counts: Tensor | None = None

    def add(self, kind: str, predicted: Tensor | str, truth: Tensor | str, classes: int = 0) -> None:
        """Adds a picture.

        Args:
            kind: "depth", "normal", "semantic", "rgb" or "caption".
            predicted: of that kind.
            truth: of that kind.
            classes: number of classes, of "semantic".

        Raises:
            ValueError: a prediction is not finite, but for the sky of depth.
        """
        if isinstance(predicted, Tensor):
            require_known(predicted, kind)
        if isinstance(predicted, str) or isinstance(truth, str):
            self._append(caption_errors(str(predicted), str(truth)))
        elif kind == "semantic":
            counts = confusion(predicted, truth, classes)
            self.counts = counts if self.counts is None else self.counts + counts
            self._append({"accuracy": class_scores(counts)["accuracy"]})
        else:
            measure = {"depth": depth_errors, "normal": normal_errors, "rgb": image_errors}[kind]
            self._append(measure(predicted, truth))

    def _append(self, found: Mapping[str, float]) -> None:
        for name, value in found.items():
            self.values.setdefault(name, []).append(value)

    def means(self) -> dict[str, float]:
        """Returns the mean over pictures of each measure; of classes the mean IoU over all pixels, too."""
        found = {name: mean_of(values) for name, values in self.values.items()}
        return found | ({"miou": class_scores(self.counts)["miou"]} if self.counts is not None else {})


def require_known(predicted: Tensor, what: str) -> None:
    """Raises ValueError for a predicted map with NaN or a class below 0: its scores would look like a missing label."""
    if bool(predicted.isnan().any() if predicted.is_floating_point() else (predicted < 0).any()):
        raise ValueError(f"the model's prediction of {what} is not finite; this checkpoint is broken.")


def mean_of(values: Sequence[float]) -> float:
    """Returns the mean of what is finite; NaN where nothing is."""
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else math.nan


def standard_error(values: Sequence[float]) -> float:
    """Returns the standard error of the mean of what is finite; NaN for fewer than two values."""
    finite = [value for value in values if math.isfinite(value)]
    if len(finite) < 2:
        return math.nan
    mean = mean_of(finite)
    return math.sqrt(sum((value - mean) ** 2 for value in finite) / (len(finite) - 1) / len(finite))
