"""Objectives of the defenders against brute force and finite differences."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from standins import random_log_p

from linkbench.api.schema import HIRISPLEX, PAPER, Schema
from linkbench.defenders import objectives
from linkbench.defenders.objectives import (
    BLOCK,
    Combinations,
    CrossEntropy,
    Expected,
    Objective,
    Paper,
    Rank,
    Until,
    rank_table,
)
from linkbench.errors import PluginError

CPU = torch.device("cpu")
SMALL = Schema({"ear": ("attached", "free"), "height": ("short", "middle", "tall")})
schemas = st.lists(st.integers(2, 4), min_size=1, max_size=4).map(
    lambda sizes: Schema({f"p{i}": tuple(f"v{j}" for j in range(size)) for i, size in enumerate(sizes)})
)


def brute_force_ranks(log_p: torch.Tensor, reference: torch.Tensor, schema: Schema) -> torch.Tensor:
    """The definition, one sum at a time, in the order of itertools.product."""
    spans = [range(span.start, span.stop) for span in schema.slices.values()]
    rows = []
    for own in log_p.tolist():
        row = []
        for combination in itertools.product(*spans):
            score = sum(own[column] for column in combination)
            others = [sum(other[column] for column in combination) for other in reference.tolist()]
            above = sum(other > score + 1e-9 for other in others)
            tied = sum(abs(other - score) <= 1e-9 for other in others)
            row.append(1 + above + tied / 2)
        rows.append(row)
    return torch.tensor(rows, dtype=torch.float64)


@settings(max_examples=25, deadline=None)
@given(schema=schemas, count=st.integers(1, 4), others=st.integers(1, 30), seed=st.integers(0, 99), ties=st.booleans())
def test_rank_table_and_objective_are_the_definition(
    schema: Schema, count: int, others: int, seed: int, ties: bool
) -> None:
    log_p, reference = random_log_p(count, seed, schema), random_log_p(others, seed + 1, schema)
    if ties:  # few values only: many genomes tie, also the true one with others
        log_p, reference = log_p.round(), reference.round()
    combinations = Combinations(schema, CPU)
    ranks = rank_table(log_p, reference, combinations)
    expected = brute_force_ranks(log_p, reference, schema)
    torch.testing.assert_close(ranks, expected, rtol=0, atol=0)
    log_probs = random_log_p(count, seed + 2, schema)
    spans = [range(span.start, span.stop) for span in schema.slices.values()]
    probability = log_probs.exp()
    value = torch.zeros(count, dtype=torch.float64)
    for at, combination in enumerate(itertools.product(*spans)):
        value += probability[:, list(combination)].prod(dim=1) * expected[:, at]
    torch.testing.assert_close(Rank(combinations, ranks).value(log_probs), value.log(), rtol=1e-9, atol=1e-12)
    best = torch.stack([log_probs[:, span].argmax(dim=1) + span.start for span in schema.slices.values()], dim=1)
    predicted = combinations.members[combinations.predicted(log_probs)]
    assert torch.equal(predicted.nonzero()[:, 1].view(count, -1), best)


def test_rank_table_in_blocks_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    combinations = Combinations(HIRISPLEX, CPU)
    tables = (random_log_p(5, 0, HIRISPLEX), random_log_p(50, 1, HIRISPLEX))
    whole = rank_table(*tables, combinations)
    assert 50 * HIRISPLEX.combinations < BLOCK
    monkeypatch.setattr(objectives, "BLOCK", 350)  # 7 combinations at a time
    torch.testing.assert_close(rank_table(*tables, combinations), whole, rtol=0, atol=0)


def test_paper_and_expected_by_hand() -> None:
    log_p = torch.log(torch.tensor([[0.9, 0.1, 0.2, 0.3, 0.5]], dtype=torch.float64))
    g = torch.log(torch.tensor([[0.6, 0.4, 0.1, 0.1, 0.8]], dtype=torch.float64))
    assert Paper(log_p).value(g).item() == pytest.approx(-(g * log_p).sum().item())
    assert Expected(log_p).value(g).item() == pytest.approx(-(g.exp() * log_p).sum().item())
    assert CrossEntropy(torch.tensor([4])).value(g).item() == pytest.approx(-g[0, 4].item())


def every_objective(count: int, schema: Schema) -> list[Objective]:
    log_p = random_log_p(count, 3, schema)
    combinations = Combinations(schema, CPU)
    ranks = rank_table(log_p, random_log_p(20, 4, schema), combinations)
    labels = torch.arange(count) % len(next(iter(schema.slices.values())).indices(9))
    return [
        Paper(log_p),
        Expected(log_p),
        CrossEntropy(labels % schema.width),
        Rank(combinations, ranks),
        Until(Rank(combinations, ranks), combinations, ranks, 3),
    ]


@pytest.mark.parametrize("at", range(5))
@pytest.mark.parametrize("schema", [SMALL, PAPER])
def test_gradients(at: int, schema: Schema) -> None:
    objective = every_objective(4, schema)[at]
    logits = random_log_p(4, 9, schema).requires_grad_(True)

    def value(logits: torch.Tensor) -> torch.Tensor:
        parts = [logits[:, span].log_softmax(dim=1) for span in schema.slices.values()]
        return objective.value(torch.cat(parts, dim=1))

    assert torch.autograd.gradcheck(value, (logits,))


def test_rows_are_the_objective_of_those_photos() -> None:
    log_probs = random_log_p(4, 9)
    index = torch.tensor([2, 0])
    for whole in every_objective(4, PAPER):
        objective = whole.at(0.5)
        some_values, values = objective.rows(index).value(log_probs[index]), objective.value(log_probs)[index]
        torch.testing.assert_close(some_values, values, rtol=1e-12, atol=1e-12)
        met, some = objective.met(log_probs), objective.rows(index).met(log_probs[index])
        assert (met is None) == (some is None)
        if met is not None:
            assert some is not None
            assert torch.equal(some, met[index])


def test_confident_float32_predictors_still_have_a_direction() -> None:
    """Where a predictor is certain to float32 rounding, the rank objective must not lose its gradient."""
    logits = torch.tensor([[0.0, 40.0, 0.0, 3.0, 30.0]], dtype=torch.float32, requires_grad=True)
    log_probs = torch.cat([logits[:, span].log_softmax(dim=1) for span in SMALL.slices.values()], dim=1)
    combinations = Combinations(SMALL, CPU)
    ranks = torch.tensor([[9.0, 9, 9, 5, 5, 1]], dtype=torch.float64)
    (gradient,) = torch.autograd.grad(Rank(combinations, ranks).value(log_probs).sum(), logits)
    assert (gradient[0, [0, 2, 3]] > 0).all()


def test_rank_sharpens_on_the_way() -> None:
    combinations = Combinations(PAPER, CPU)
    ranks = rank_table(random_log_p(3, 1), random_log_p(40, 2), combinations)
    log_probs = random_log_p(3, 3)
    rank = Rank(combinations, ranks)
    for part, power in ((0.0, objectives.FLATTEST), (1.0, objectives.SHARPEST)):
        g = (log_probs @ combinations.members.T).mul(power).softmax(dim=1)
        torch.testing.assert_close(rank.at(part).value(log_probs), (g * ranks).sum(dim=1).log())


def test_rank_does_not_stop_at_the_first_better_combination() -> None:
    """The second phenotype's nearest gain is variant 1; with the first one changed too, variant 2 is far better."""
    ranks = torch.tensor([[1.0, 2, 1, 40, 1, 60]], dtype=torch.float64)
    logits = torch.tensor([[9.0, 0, 9, 0, 0]], dtype=torch.float32, requires_grad=True)
    log_probs = torch.cat([logits[:, span].log_softmax(dim=1) for span in SMALL.slices.values()], dim=1)
    rank = Rank(Combinations(SMALL, CPU), ranks)
    (toward,) = torch.autograd.grad(rank.at(0.0).value(log_probs).sum(), logits)
    assert toward[0, 1] > 0
    assert toward[0, 4] > toward[0, 3]


@pytest.mark.parametrize("gap", [1.0, 60.0, 2000.0])
def test_rank_has_a_gradient_however_sure_the_predictor_is(gap: float) -> None:
    combinations = Combinations(SMALL, CPU)
    ranks = torch.tensor([[1.0, 9, 9, 9, 9, 9]], dtype=torch.float64)
    logits = torch.tensor([[gap, 0, gap, 0, 0]], dtype=torch.float32, requires_grad=True)
    log_probs = torch.cat([logits[:, span].log_softmax(dim=1) for span in SMALL.slices.values()], dim=1)
    value = Rank(combinations, ranks).at(1.0).value(log_probs).sum()
    (gradient,) = torch.autograd.grad(value, logits)
    assert (gradient[0, [1, 3, 4]] > 1e-14).all()


def test_a_schema_with_too_many_combinations_is_refused() -> None:
    many = Schema({f"p{i}": ("a", "b") for i in range(40)})
    with pytest.raises(PluginError, match=r"1,099,511,627,776.*'paper' or 'expected'"):
        Combinations(many, CPU)
