"""The rounds of one training step: answer the prompts, take the loss, click on the error, answer again."""

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from semidepth.training.options.masks import MaskOptions
from semidepth.training.recipes.masks.prompting import BoxNoise, DrawnPrompts, first_prompts, next_points


@dataclass(frozen=True)
class RoundSettings:
    """Settings by which a step's prompts are drawn; see the options of the same names in [`MaskOptions`]."""

    rounds: int = 11
    random_rounds: bool = False
    rounds_without_point: int = 2
    box_share: float = 0.5
    noise: BoxNoise = field(default_factory=BoxNoise)
    from_mask_share: float = 0.0

    @classmethod
    def of(cls, options: MaskOptions) -> "RoundSettings":
        """Returns the settings in a command's options."""
        noise = BoxNoise(options.box_noise, options.box_noise_px)
        return cls(
            options.rounds, options.random_rounds, options.rounds_without_point, options.box_share, noise,
            options.from_mask_share,
        )  # fmt: skip

    def draw(self, generator: torch.Generator) -> list[bool]:
        """Returns for each round of a step whether a new point comes before it; the first brings its own prompt.

        Of the rounds without a new point the last one is the step's last, the others are anywhere.
        """
        count = self.rounds
        if self.random_rounds:
            count = int(torch.randint(1, self.rounds + 1, (), generator=generator))
        points = [True] * count
        idle = min(self.rounds_without_point, count - 1)
        if idle:
            points[-1] = False
            for place in torch.randperm(max(0, count - 2), generator=generator)[: idle - 1].tolist():
                points[place + 1] = False
        return points


@dataclass
class RoundsOutput:
    """Losses of a step's rounds.

    Args:
        loss: scalar, the mean over rounds.
        terms: scalars for the log: `first` and `last` loss, `iou_first` and `iou_last` (mean IoU of the candidate with
            the best predicted score).
        finite: (B,) bool, whether all answers on an image's objects are finite.
    """

    loss: Tensor
    terms: dict[str, Tensor]
    finite: Tensor


class Rounds(nn.Module):
    """A mask model whose one forward pass does all rounds of a step, so that DDP and FSDP see one call.

    Args:
        model: the mask model.
        settings: how prompts are drawn.
    """

    def __init__(self, model: nn.Module, settings: RoundSettings) -> None:
        super().__init__()
        self.model = model
        self.settings = settings

    def forward(
        self,
        masks: Tensor,
        generator: torch.Generator,
        pixel_values: Tensor | None = None,
        features: tuple[Tensor, ...] | None = None,
    ) -> RoundsOutput:
        """Returns the losses of a batch of images.

        Args:
            masks: (B, P, S, S) bool, the objects of each image; empty ones are padding.
            generator: on the CPU, for the prompts.
            pixel_values: (B, 3, S, S), normalised.
            features: of the core, cached, instead of pixels.
        """
        model: Any = self.model
        seen = model.core_features(pixel_values) if features is None else features
        embeddings, fine = model.embed_features(seen)
        batch, count, size = masks.shape[0], masks.shape[1], masks.shape[-2:]
        objects = masks.flatten(0, 1)  # (B, P, S, S) -> (N, S, S)
        there = objects.flatten(1).any(1)
        labels = torch.where(there[:, None, None], objects.float(), torch.nan).unflatten(0, (batch, count))
        settings = self.settings
        prompts = first_prompts(objects, generator, box_share=settings.box_share, noise=settings.noise)
        losses, ious, finite, answer = [], [], there.new_ones(batch), objects
        for number, point in enumerate(settings.draw(generator)):
            if number and point:
                found = next_points(answer, objects, generator, from_mask_share=settings.from_mask_share)
                prompts = prompts.add(*found)
            output = model(
                image_embeddings=embeddings, intermediate_embeddings=fine, labels=labels,
                multimask_output=number == 0 and prompts.boxes is None, **_as_inputs(prompts, batch),
            )  # fmt: skip
            losses.append(output.loss)
            logits = _best(output).flatten(0, 1)  # (N, h, w)
            finite = finite & output.pred_masks.detach().isfinite().flatten(1).all(1)
            answer = F.interpolate(logits[:, None], size, mode="bilinear", align_corners=False)[:, 0] > 0
            ious.append(_mean_iou(answer, objects, there))
            prompts = replace(prompts, logits=logits)
        terms = {"first": losses[0], "last": losses[-1], "iou_first": ious[0], "iou_last": ious[-1]}
        return RoundsOutput(torch.stack(losses).mean(), terms, finite)


def _as_inputs(prompts: DrawnPrompts, batch: int) -> dict[str, Tensor]:
    """Returns the prompts of N = B * P objects as the model's arguments."""
    given = {"input_boxes": prompts.boxes, "input_masks": prompts.logits}
    if prompts.points.shape[1]:
        # The model counts pixels from their middles, as stock SAM does: the first one's is 0.
        given |= {"input_points": prompts.points - 0.5, "input_labels": prompts.labels}
    return {name: value.unflatten(0, (batch, -1)) for name, value in given.items() if value is not None}


@torch.no_grad()
def _best(output: Any) -> Tensor:
    """Returns (B, P, h, w) float32 logits of the candidates with the best predicted scores, detached."""
    best = output.iou_scores.argmax(-1)[..., None, None, None]
    shape = (*best.shape[:3], *output.pred_masks.shape[-2:])
    return output.pred_masks.detach().float().gather(2, best.expand(shape))[:, :, 0]


def _mean_iou(answers: Tensor, objects: Tensor, there: Tensor) -> Tensor:
    both = (answers & objects).flatten(1).sum(1).float()
    either = (answers | objects).flatten(1).sum(1).float().clamp(min=1)
    return torch.where(there, both / either, 0.0).sum() / there.sum().clamp(min=1)
