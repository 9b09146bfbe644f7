"""What a model of many modalities is given and asked for in a training step: 4M's budgets (arXiv 2312.06647).

A step draws how many tokens of each modality are seen and how many are predicted, and which. With small budgets alone
a model never sees what it is asked for afterwards, a whole picture; so a share of steps gives one whole modality.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class BudgetSettings:
    """How steps are drawn.

    Args:
        inputs: tokens seen, of all modalities together.
        targets: tokens predicted, of all modalities together.
        alpha: of the Dirichlet distributions; small ones take most from few modalities.
        full_share: share of steps that give one whole modality: the source in half of them.
        beside_share: of these, the share that also gives a part of one other map.
        source_share: of the other steps, the share whose whole input is of the source.
        source: the modality that others are mostly wanted from.
    """

    inputs: int = 128
    targets: int = 128
    alpha: float = 0.5
    full_share: float = 0.25
    beside_share: float = 0.5
    source_share: float = 0.5
    source: str = "rgb"


@dataclass(frozen=True)
class StepPlan:
    """Which modalities one step sees, and how much of each.

    Args:
        inputs: name -> tokens seen of it in each sample; all of one that has no more.
        targets: name -> tokens predicted of it.
    """

    inputs: dict[str, int]
    targets: dict[str, int]


def sample_budget(most: Mapping[str, int], total: int, alpha: float, generator: torch.Generator) -> dict[str, int]:
    """Returns how many of `total` tokens each modality gets, by one Dirichlet draw.

    Shares are rounded down. What is left goes one by one to the winners of further draws, and what a modality has not
    goes to the others; so the sum is `total`, or all that there is.

    Args:
        most: name -> tokens that it has.
        total: tokens to share out.
        alpha: concentration of every modality, above 0.
        generator: on the CPU.
    """
    total = min(total, sum(most.values()))
    names = [name for name, count in most.items() if count > 0]
    if not names:
        return dict.fromkeys(most, 0)
    shares = _dirichlet(len(names), alpha, generator)
    found = dict.fromkeys(most, 0)
    for name, share in zip(names, shares.tolist(), strict=True):
        found[name] = min(int(share * total), most[name])
    while (left := total - sum(found.values())) > 0:
        open_names = [name for name in names if found[name] < most[name]]
        name = open_names[int(_dirichlet(len(open_names), alpha, generator).argmax())]
        # A large rest is what full modalities could not take: shared by halves, not token by token.
        found[name] += min(max(1, left // 2), most[name] - found[name])
    return found


def _dirichlet(count: int, alpha: float, generator: torch.Generator) -> Tensor:
    drawn = torch._standard_gamma(torch.full((count,), alpha, dtype=torch.float64), generator=generator)
    if not drawn.sum() > 0:  # a small alpha's draws may all be too small for a float: one of them is all
        drawn[int(torch.randint(count, (), generator=generator))] = 1.0
    return drawn / drawn.sum()


def plan_step(
    inputs: Mapping[str, int], targets: Mapping[str, int], settings: BudgetSettings, generator: torch.Generator
) -> StepPlan:
    """Draws what one step sees and predicts.

    Args:
        inputs: modality that can be seen -> its tokens.
        targets: modality that can be predicted -> its tokens.
        settings: shares and budgets.
        generator: on the CPU.
    """

    def chance(share: float) -> bool:
        return bool(torch.rand((), generator=generator) < share)

    def one_of(names: Sequence[str]) -> str:
        return names[int(torch.randint(len(names), (), generator=generator))]

    seen = dict.fromkeys(inputs, 0)
    others = [name for name in inputs if name != settings.source]
    has_source = settings.source in inputs
    if chance(settings.full_share):
        given = settings.source if has_source and (not others or chance(0.5)) else one_of(others)
        seen[given] = inputs[given]
        maps = [name for name in inputs if name != given and name in targets]
        if maps and chance(settings.beside_share):
            name = one_of(maps)
            seen[name] = int(torch.randint(1, inputs[name] + 1, (), generator=generator))
    elif has_source and chance(settings.source_share):
        seen[settings.source] = min(settings.inputs, inputs[settings.source])
    else:
        seen = sample_budget(inputs, settings.inputs, settings.alpha, generator)
    left = {name: count - seen.get(name, 0) for name, count in targets.items()}
    if not any(left.values()):  # all that could be predicted is seen: one of them is asked for instead
        name = one_of(list(targets))
        seen[name], left[name] = 0, targets[name]
    return StepPlan(seen, sample_budget(left, settings.targets, settings.alpha, generator))


def draw_positions(
    tokens: int, seen: int, predicted: int, batch: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Returns which tokens of a map each sample sees and which it predicts: two (B, N) bool without overlap."""
    order = torch.rand(batch, tokens, generator=generator).argsort(1).argsort(1)
    return order < seen, (order >= seen) & (order < seen + predicted)
