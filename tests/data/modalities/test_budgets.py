"""Budgets: sums, bounds and shares of what steps see and predict."""

from collections import Counter

import pytest
import torch

from semidepth.data.modalities.budgets import BudgetSettings, draw_positions, plan_step, sample_budget

TOKENS = {"rgb": 64, "tok_depth": 64, "tok_normal": 64, "caption": 20}
TARGETS = {name: count for name, count in TOKENS.items() if name != "rgb"}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("alpha", [0.001, 0.5, 10.0])
@pytest.mark.parametrize("total", [0, 7, 100, 1000])
def test_a_budget_is_spent_and_no_modality_gives_more_than_it_has(alpha, total):
    drawn = generator()
    for _ in range(50):
        found = sample_budget(TOKENS, total, alpha, drawn)
        assert sum(found.values()) == min(total, sum(TOKENS.values()))
        assert all(0 <= found[name] <= TOKENS[name] for name in TOKENS)


def test_alpha_says_how_many_modalities_share():
    """The largest share of a Dirichlet draw over four: nearly all at a small alpha, nearly a quarter at a large one."""
    most = dict.fromkeys("abcd", 1000)

    def largest(alpha: float) -> float:
        drawn = generator(1)
        return sum(max(sample_budget(most, 1000, alpha, drawn).values()) for _ in range(200)) / 200 / 1000

    assert largest(0.01) > 0.95
    assert largest(100.0) < 0.32


def test_modalities_that_are_not_there_get_nothing():
    assert sample_budget({"a": 0, "b": 5}, 9, 0.5, generator()) == {"a": 0, "b": 5}
    assert sample_budget({"a": 0}, 9, 0.5, generator()) == {"a": 0}


def test_steps_are_of_the_three_kinds_in_their_shares():
    drawn, kinds = generator(2), Counter()
    settings = BudgetSettings(inputs=32, targets=32, full_share=0.4, beside_share=0.0, source_share=0.5)
    for _ in range(1000):
        plan = plan_step(TOKENS, TARGETS, settings, drawn)
        used = {name: count for name, count in plan.inputs.items() if count}
        if len(used) == 1 and next(iter(used.items())) in TOKENS.items():
            kinds["full"] += 1
        elif used == {"rgb": 32}:
            kinds["source"] += 1
        else:
            kinds["all"] += 1
        assert sum(plan.targets.values()) == 32
        assert all(plan.inputs[name] + plan.targets[name] <= TOKENS[name] for name in TARGETS)
    assert kinds["full"] == pytest.approx(400, abs=50)
    assert kinds["source"] == pytest.approx(300, abs=50)


def test_a_model_of_one_task_always_has_something_to_predict():
    drawn = generator(3)
    for _ in range(200):
        plan = plan_step({"tok_depth": 16}, {"tok_depth": 16}, BudgetSettings(full_share=1.0), drawn)
        assert plan.targets["tok_depth"] > 0


def test_what_is_seen_is_not_predicted():
    seen, predicted = draw_positions(50, 20, 25, 8, generator())
    assert seen.sum(1).tolist() == [20] * 8
    assert predicted.sum(1).tolist() == [25] * 8
    assert not (seen & predicted).any()
    assert len({tuple(row) for row in seen.tolist()}) > 1
    again = draw_positions(50, 20, 25, 8, generator())
    assert torch.equal(again[0], seen)
