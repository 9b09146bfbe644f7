"""Whether an exported file predicts what torch does, on held-out scenes and photos, and how fast it is.

The scenes are of the built-in renderer's test split, which no training sees. Photos have no labels; on them the maps
are compared with torch's.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from semidepth.data.decoding import decode_image
from semidepth.data.reading.rows import decode_row
from semidepth.data.reading.sources import open_source
from semidepth.data.source_spec import parse_source
from semidepth.evaluation.depth_metrics.formulas import metres_scores, relative_scores
from semidepth.prediction.models import DepthModel, ModelOutput
from semidepth.prediction.runtimes.onnx import relative_difference

Run = Callable[[np.ndarray], dict[str, np.ndarray]]
DOMAINS = ("indoor", "outdoor")
ROUNDS = 5
# Bounds of a file's precision. Of float32 the largest difference from torch, as a share of the range of torch's map; of
# the others the change of AbsRel on scenes as a share of torch's, and the mean difference on photos.
LARGEST = 1e-3
CHANGE = {"float16": 0.002, "int8": 0.02}


@dataclass(frozen=True)
class Picture:
    """One image with what torch predicts for it.

    Args:
        name: for people.
        pixels: (1, 3, h, w) float32, normalised.
        size: height and width of the image.
        output: of torch.
        depth: (1, H, W) metres; None for photos.
        abs_rel: torch's AbsRel; NaN for photos.
        delta1: torch's delta1.
    """

    name: str
    pixels: Tensor
    size: tuple[int, int]
    output: ModelOutput
    depth: Tensor | None = None
    abs_rel: float = float("nan")
    delta1: float = float("nan")


@dataclass
class Gate:
    """Scenes and photos with torch's predictions.

    Args:
        loaded: the model in torch, float32, on the CPU.
        photos: files.
        scenes: number of each domain.
        side: every image is squeezed into a square of this side, for files that run at one size; None: as the model
            sees it.
    """

    loaded: DepthModel
    photos: Sequence[Path]
    scenes: int
    side: int | None = None
    pictures: list[Picture] = field(default_factory=list)

    def __post_init__(self) -> None:
        size = self.loaded.preprocessing.size
        for domain in DOMAINS if self.scenes else ():
            source = parse_source(f"scenes:{domain}?split=test&count={self.scenes}")
            for number, row in open_source(source, labeled=True, size=size).rows(0):
                sample = decode_row(row, source, True)
                self.pictures.append(self._picture(f"{domain} {number}", sample["image"], sample["depth"]))
        for photo in self.photos:
            self.pictures.append(self._picture(photo.name, decode_image(photo), None))

    def _picture(self, name: str, image: Tensor, depth: Tensor | None) -> Picture:
        pixels = self.loaded.preprocess(image[None])
        pixels = self.loaded.preprocessing.normalize(pixels) if pixels.dtype == torch.uint8 else pixels
        if self.side is not None:
            pixels = F.interpolate(pixels, (self.side, self.side), mode="bilinear", align_corners=False)
        output = self.loaded.predict(pixels)
        picture = Picture(
            name, pixels, (image.shape[-2], image.shape[-1]), output, None if depth is None else depth[None]
        )
        if depth is None:
            return picture
        return Picture(**{**vars(picture), **self._scores(picture, output.values)})

    def _scores(self, picture: Picture, values: Tensor) -> dict[str, float]:
        """Returns AbsRel and delta1 of a scene's prediction at the model's size."""
        assert picture.depth is not None
        large = self.loaded.postprocess(ModelOutput(values), picture.size, "paper")
        score = metres_scores if self.loaded.kind == "depth" else relative_scores
        found = score(large, picture.depth)
        return {name: found[name].item() for name in ("abs_rel", "delta1")}

    def measure(self, run: Run) -> dict[str, Any]:
        """Compares a file with torch on all pictures.

        Args:
            run: gives the file's outputs for (1, 3, h, w) float32 pixels.

        Returns:
            largest_difference and mean_difference over the range of torch's map; photo_difference, the largest mean of
            a photo; abs_rel and delta1 with torch's beside (torch_...), means over scenes; abs_rel_change, a share of
            torch's; scenes and photos, how many; routed_elsewhere, for how many of them the file's router chose another
            head. Each map of a metric model is compared for the head that torch chose.
        """
        worst, means, scores, elsewhere = [], [], [], 0
        for picture in self.pictures:
            found = run(picture.pixels.numpy())
            values, other = _values(found, picture.output)
            elsewhere += other
            expected = picture.output.values
            worst.append(relative_difference(values, expected))
            span = (expected.max() - expected.min()).item()
            means.append((values - expected).abs().mean().item() / span if span > 0 else 0.0)
            if picture.depth is not None:
                scores.append(
                    {**self._scores(picture, values), "torch_abs_rel": picture.abs_rel, "torch_delta1": picture.delta1}
                )
        photos = [mean for mean, picture in zip(means, self.pictures, strict=True) if picture.depth is None]
        # numpy's largest of numbers with a NaN among them is NaN.
        record: dict[str, Any] = {
            "largest_difference": float(np.max(worst)),
            "mean_difference": statistics.fmean(means),
        }
        record |= {"photo_difference": float(np.max(photos, initial=0.0)), "scenes": len(scores), "photos": len(photos)}
        if scores:
            record |= {name: statistics.fmean(score[name] for score in scores) for name in scores[0]}
            record["abs_rel_change"] = record["abs_rel"] / record["torch_abs_rel"] - 1
        return record | {"routed_elsewhere": elsewhere}

    @property
    def timed_side(self) -> int:
        """Side of the square image that is timed, pixels."""
        return self.side or self.loaded.preprocessing.target_size(512, 512)[0]

    def seconds(self, run: Run, rounds: int = ROUNDS) -> tuple[float, float]:
        """Seconds of torch and of a file for one square image, medians of rounds that alternate between the two."""
        pixels = torch.randn(1, 3, self.timed_side, self.timed_side, generator=torch.Generator().manual_seed(0))
        calls = (lambda: self.loaded.predict(pixels), lambda: run(pixels.numpy()))
        pairs = [[_timed(call) for call in calls] for _ in range(rounds + 1)][1:]  # the first one warms up
        return statistics.median(pair[0] for pair in pairs), statistics.median(pair[1] for pair in pairs)


def refusal(precision: str, record: dict[str, Any]) -> str | None:
    """Returns why a file may not be kept, with its figure and the bound; None where it may."""
    if precision == "float32":
        largest = record["largest_difference"]
        if largest <= LARGEST:
            return None
        return f"it differs from torch by up to {largest:.1e} of the range of a map, more than {LARGEST:.0e}"
    bound = CHANGE[precision]
    change, photo = abs(record.get("abs_rel_change", 0.0)), record["photo_difference"]
    if not change <= bound:
        return f"AbsRel changes by {change:.2%} of torch's, more than {bound:.1%}"
    if not photo <= bound:
        return f"on a photo it differs from torch by {photo:.2%} of the range on average, more than {bound:.1%}"
    return None


def _values(found: dict[str, np.ndarray], expected: ModelOutput) -> tuple[Tensor, int]:
    """Returns the map for torch's own choice of head, and 1 where the file's router chose another."""
    if expected.domain is None or "depth_by_domain" not in found:
        return torch.from_numpy(np.array(found["predicted_depth"])), 0
    head = int(expected.domain[0])
    return torch.from_numpy(np.array(found["depth_by_domain"][:, head])), int(found["domain"][0] != head)


def _timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began
