"""Losses of a step, and the window over steps in which they stay on the device."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from semidepth.common.console import CommandError


class NonFiniteLossError(CommandError, RuntimeError):
    """A loss term became NaN or infinite."""


@dataclass
class Losses:
    """What one forward pass gave.

    Args:
        total: scalar that is minimised.
        terms: scalars for the log, detached or not.
        finite: (N,) bool, whether each image's prediction is finite.
        origins: name of each of these images.
        images: images that count for the speed (labeled and unlabeled).
    """

    total: Tensor
    terms: dict[str, Tensor]
    finite: Tensor
    origins: list[str]
    images: int


class LossWindow:
    """The loss terms since the last look, kept on the device so that training waits for nothing until then."""

    def __init__(self) -> None:
        self._steps: list[tuple[int, Losses]] = []
        self._norms: list[Tensor] = []

    def add(self, step: int, losses: Losses, gradient_norm: Tensor | None) -> None:
        """Remembers one forward pass, and the gradient's norm where it ended in an update."""
        terms = {name: value.detach() for name, value in losses.terms.items()}
        # A gradient can be broken behind a loss that is not; the step that made it is the one to name.
        broken = losses.total.new_zeros(()) if gradient_norm is None else gradient_norm.detach() * 0
        terms["gradient"] = broken
        if gradient_norm is not None:
            self._norms.append(gradient_norm.detach())
        self._steps.append((step, Losses(losses.total.detach(), terms, losses.finite, losses.origins, losses.images)))

    def close(self) -> dict[str, float]:
        """Means of all terms since the last call, in one transfer from the device.

        Raises:
            NonFiniteLossError: naming the first step, the term and the samples, if any term was not finite.
        """
        if not self._steps:
            return {}
        names = ["loss", *self._steps[0][1].terms]
        rows = [torch.stack([losses.total, *losses.terms.values()]).float() for _, losses in self._steps]
        values = torch.stack(rows).cpu()  # (steps, terms)
        bad = (~values.isfinite()).nonzero()
        if len(bad):
            step, losses = self._steps[int(bad[0, 0])]
            _raise_non_finite(step, dict(zip(names, values[bad[0, 0]].tolist(), strict=True)), losses)
        means = dict(zip(names, values.mean(0).tolist(), strict=True))
        del means["gradient"]
        if self._norms:
            means["gradient_norm"] = torch.stack(self._norms).float().mean().item()
        self._steps, self._norms = [], []
        return means


def _raise_non_finite(step: int, values: dict[str, float], losses: Losses) -> None:
    terms = [name for name, value in values.items() if name != "loss" and not math.isfinite(value)] or ["loss"]
    broken = [name for name, fine in zip(losses.origins, losses.finite.tolist(), strict=True) if not fine]
    raise NonFiniteLossError(
        f"step {step}: {', '.join(terms)} is not finite, with {', '.join(broken or losses.origins)}; the last "
        "checkpoint is intact: look at these samples, or go on from it with a lower --learning_rate."
    )
