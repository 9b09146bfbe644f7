"""Losses of a step, kept on the device until the next log line; there, losses that are not finite stop the run."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from semidepth.common.console import CommandError


class NonFiniteLossError(CommandError, RuntimeError):
    """A loss term became NaN or infinite."""


@dataclass
class Losses:
    """Losses of one forward pass.

    Args:
        total: scalar to minimise.
        terms: scalars for the log, detached or not.
        finite: (N,) bool, true where an image's prediction is finite.
        origins: names of these N images.
        images: number of images, labeled and unlabeled, for the log's images per second.
    """

    total: Tensor
    terms: dict[str, Tensor]
    finite: Tensor
    origins: list[str]
    images: int


class LossWindow:
    """Loss terms since the last log line; they stay on the device, so training does not wait for them."""

    def __init__(self) -> None:
        self._steps: list[tuple[int, Losses]] = []
        self._norms: list[Tensor] = []

    def add(self, step: int, losses: Losses, gradient_norm: Tensor | None) -> None:
        """Adds the losses of one forward pass and, if it ended in an update, the gradient norm."""
        terms = {name: value.detach() for name, value in losses.terms.items()}
        # A gradient can be infinite although the loss is finite; the error then names the step of this gradient.
        broken = losses.total.new_zeros(()) if gradient_norm is None else gradient_norm.detach() * 0
        terms["gradient"] = broken
        if gradient_norm is not None:
            self._norms.append(gradient_norm.detach())
        self._steps.append((step, Losses(losses.total.detach(), terms, losses.finite, losses.origins, losses.images)))

    def close(self) -> dict[str, float]:
        """Returns the means of all terms since the last call, with one transfer from the device.

        Raises:
            NonFiniteLossError: if a term was not finite, naming the first such step, the term and the samples.
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
        f"step {step}: {', '.join(terms)} is not finite, with {', '.join(broken or losses.origins)}; check these "
        "samples, or resume from the last checkpoint with a lower --learning_rate."
    )
