"""How tokens are drawn from their probabilities, and how many of a map at a time."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

SCHEDULES = ("cosine", "linear")
ORDERS = ("confidence", "random")
NOT_FINITE = "the model's prediction is not finite; its weights are damaged, or its dtype is too small for it."


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn; see [`FourMGeneration.generate`]."""

    steps: Mapping[str, int]
    schedule: str = "cosine"
    order: str = "confidence"
    temperature: float = 0.0
    top_p: float = 0.0
    guidance: float = 1.0
    soft: bool = True
    generator: torch.Generator | None = None
    require_finite: bool = True

    def __post_init__(self) -> None:
        for name, known in (("schedule", SCHEDULES), ("order", ORDERS)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is {getattr(self, name)!r}; choose one of {', '.join(known)}.")
        if not self.temperature >= 0 or not 0 <= self.top_p <= 1:
            raise ValueError(
                f"temperature is {self.temperature} and top_p {self.top_p}; give a temperature of at least 0 and a "
                "top_p from 0 (off) to 1."
            )
        wrong = {name: steps for name, steps in self.steps.items() if steps < 1}
        if wrong:
            raise ValueError(f"steps are {wrong}; give at least 1.")

    def draw(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Returns tokens (..., ) of logits (..., V), and the probability of each."""
        scaled = logits.float()
        if (self.require_finite or self.temperature > 0) and not bool(scaled.isfinite().all()):
            raise ValueError(NOT_FINITE)
        if self.temperature == 0:
            found, ids = scaled.softmax(-1).max(-1)
            return ids, found
        probabilities = nucleus((scaled / self.temperature).softmax(-1), self.top_p)
        flat = probabilities.flatten(0, -2)
        ids = torch.multinomial(flat, 1, generator=self.generator)
        return ids.view(logits.shape[:-1]), flat.gather(1, ids).view(logits.shape[:-1])

    def left(self, holes: Tensor, step: int, steps: int) -> Tensor:
        """Returns (B,) holes that stay open after a step, of (B,) at the beginning."""
        share = (step + 1) / steps
        rest = math.cos(math.pi / 2 * share) if self.schedule == "cosine" else 1 - share
        return (holes * rest).floor().long() if step + 1 < steps else torch.zeros_like(holes)


def nucleus(probabilities: Tensor, top_p: float) -> Tensor:
    """Returns only the likeliest tokens whose probabilities add up to top_p, scaled to 1; top_p 0 or 1: all of them."""
    if top_p in (0, 1):
        return probabilities
    ranked, order = probabilities.sort(-1, descending=True)
    ranked = torch.where(ranked.cumsum(-1) - ranked < top_p, ranked, 0.0)
    kept = torch.zeros_like(probabilities).scatter(-1, order, ranked)
    return kept / kept.sum(-1, keepdim=True)


def any_of(open_now: Tensor, count: Tensor, generator: torch.Generator | None) -> Tensor:
    """Returns (B, N) true for so many of the open positions, by chance."""
    lots = torch.rand(open_now.shape, generator=generator, device=open_now.device).masked_fill(~open_now, 2.0)
    return lots.argsort(1).argsort(1) < count[:, None]


def one_hot(ids: Tensor, size: int) -> Tensor:
    """Returns (B, N, V) float32 of (B, N) ids; of negative ones as of 0."""
    return F.one_hot(ids.clamp(min=0), size).float()


__all__ = ["NOT_FINITE", "ORDERS", "SCHEDULES", "Sampling", "any_of", "nucleus", "one_hot"]
