"""What one training step of 4M gives its model and asks it for."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from semidepth.data.modalities.budgets import BudgetSettings, StepPlan, draw_positions, plan_step
from semidepth.data.modalities.words import mask_spans, sentinel_ids, stack_words
from semidepth.prediction.any_to_any.model import KINDS, SOURCE, WORDS
from semidepth.training.engine.loss_window import Losses
from semidepth.training.engine.step_data import Batch
from semidepth.training.options.four_m import FourMOptions

DEPTH = "tok_depth"
SPARSE = "sparse_depth"  # (B, K, h, w) tokens of thinned out depth


class Steps:
    """Draws steps and computes their losses.

    Args:
        options: the command's options.
        tokens: modality -> its tokens, of all that the model has.
        words: of captions.
        generator: on the CPU, of this process.
        images: turns a batch's `image` into what the model takes; None where features are cached.
    """

    def __init__(
        self,
        options: FourMOptions,
        tokens: Mapping[str, int],
        words: PreTrainedTokenizerBase | None,
        generator: torch.Generator,
        images: Any = None,
    ) -> None:
        self.generator, self.words, self.images = generator, words, images
        self.sparse_share = options.sparse_share
        self.targets = {name: tokens[name] for name in tokens if name != SOURCE}
        self.inputs = {SOURCE: tokens[SOURCE]} if options.only_from_rgb else dict(tokens)
        # Pictures are given as features or pixels; their tokens are a target and no second way in.
        self.inputs.pop("tok_rgb", None)
        self.settings = BudgetSettings(
            inputs=options.input_tokens, targets=options.target_tokens, alpha=options.alpha,
            full_share=options.full_share, beside_share=options.beside_share, source_share=options.source_share,
            source=SOURCE,
        )  # fmt: skip
        self._last: dict[str, Tensor] = {}

    def losses(self, model: nn.Module, batch: Batch) -> Losses:
        """Returns the loss of a step; a modality without targets in it shows its last loss in the log."""
        plan = plan_step(self.inputs, self.targets, self.settings, self.generator)
        inputs, seen, targets, asked = self.draw(batch, plan)
        output = model(inputs, seen, targets, asked)
        loss = output.loss if output.loss is not None else output.encoder_last_hidden_state.sum() * 0.0
        for name, value in (output.losses or {}).items():
            self._last[name] = value.detach()
        terms = {name: self._last.get(name, loss.detach()) for name in self.targets}
        count = len(batch["origin"])
        return Losses(loss, terms, loss.detach().isfinite().expand(count), batch["origin"], count)

    def draw(
        self, batch: Batch, plan: StepPlan
    ) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
        """Returns inputs, which of them are seen, targets, and which of them are asked for: a model's arguments.

        Args:
            batch: tokens of a batch, as the cache keeps them.
            plan: how many of each.
        """
        inputs: dict[str, Tensor] = {}
        seen: dict[str, Tensor] = {}
        targets: dict[str, Tensor] = {}
        asked: dict[str, Tensor] = {}
        count = len(batch["origin"])
        for name in {**self.inputs, **self.targets}:
            given, wanted = plan.inputs.get(name, 0), plan.targets.get(name, 0)
            if name == WORDS or not (given or wanted):
                continue
            total = self.inputs.get(name) or self.targets[name]
            here, there = draw_positions(total, given, wanted, count, self.generator)
            if given:
                inputs[name] = self._given(name, batch)
                seen[name] = here.to(inputs[name].device)
            if wanted:
                targets[name] = batch[name].long()
                asked[name] = there.to(targets[name].device)
        given, wanted = plan.inputs.get(WORDS, 0), plan.targets.get(WORDS, 0)
        if given or wanted:
            shown, hidden = self._words(batch["caption"], given, wanted)
            device = next((each.device for each in (*inputs.values(), *targets.values())), torch.device("cpu"))
            if given:
                inputs[WORDS] = shown.to(device)
            if wanted:
                targets[WORDS] = hidden.to(device)
        return inputs, seen, targets, asked

    def _given(self, name: str, batch: Batch) -> Tensor:
        if name == SOURCE:
            return batch["features"].float() if self.images is None else self.images(batch["image"])
        if name == DEPTH and torch.rand((), generator=self.generator) < self.sparse_share:
            kinds = batch[SPARSE]
            chosen = torch.randint(kinds.shape[1], (len(kinds),), generator=self.generator)
            return kinds[torch.arange(len(kinds)), chosen.to(kinds.device)].long()
        return batch[name].long()

    def _words(self, captions: list[str], given: int, wanted: int) -> tuple[Tensor, Tensor]:
        """Returns what is seen and what is asked for of captions; both get -100 where there is none."""
        assert self.words is not None
        sentinels, most = sentinel_ids(self.words), self.targets[WORDS]  # type: ignore[arg-type]
        end = int(self.words.eos_token_id)
        shown: list[list[int]] = []
        hidden: list[list[int]] = []
        for caption in captions:
            keep = 0.0 if not given else 1.0 if not wanted else float(torch.rand((), generator=self.generator))
            parts = mask_spans(self.words(caption)["input_ids"], keep, sentinels, end, self.generator)
            shown.append(parts[0] if caption else [])
            hidden.append(parts[1] if caption else [])
        return stack_words(shown, most), stack_words(hidden, most)


def token_counts(model_config: Any, kinds: Mapping[str, Any]) -> dict[str, int]:
    """Returns modality -> tokens of a model's modalities that are in use."""
    return {each.name: each.num_tokens for each in model_config.modality_list if each.name in {*kinds, SOURCE, WORDS}}


__all__ = ["DEPTH", "KINDS", "SPARSE", "Steps", "token_counts"]
