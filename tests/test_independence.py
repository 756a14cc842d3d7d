"""Outputs from which critics learn nothing: the measure by its definition, and who is told less than before."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from standins import knowledge, predictor, random_photos, study_set
from torch import Tensor

from linkbench.api.schema import PAPER
from linkbench.attackers import logistic
from linkbench.defenders import independence
from linkbench.defenders.decoy_pgd import DecoyPGD
from linkbench.defenders.decoys import variants
from linkbench.defenders.independence import FLOOR, ROUNDS, Critics, Silent, features

pytestmark = pytest.mark.usefixtures("one_thread")

PEOPLE = 40
NETWORK = predictor(smooth=True)
OTHERS = random_photos(PEOPLE, seed=3)
STUDIED = study_set(OTHERS, NETWORK, list(range(PEOPLE)))
TOOL = DecoyPGD(epsilon=0.1, steps=8, objective="independent")
CRITICS: Critics = TOOL.learn(STUDIED)


def said(photos: Tensor) -> Tensor:
    out: Tensor = NETWORK(photos)
    return out


def bits(outputs: Tensor, truth: Tensor) -> float:
    """What a regression fitted to these very outputs says of the variants, in bits more than their frequencies do."""
    plain = features(outputs)
    shown = ((plain - plain.mean(0)) / plain.std(0)).numpy()
    told = 0.0
    for at, name in enumerate(PAPER):
        one_hot = np.eye(len(PAPER[name]))[truth[:, at].numpy()]
        one_hot = one_hot[:, one_hot.any(axis=0)]
        solved = logistic.fit(shown, one_hot, np.ones((1, len(shown))), np.ones((1, shown.shape[1])))[0]
        share = one_hot.mean(axis=0)
        told += float((logistic.log_probabilities(shown, solved) * one_hot).sum(axis=1).mean())
        told -= float((share * np.log(share)).sum())
    return told / float(np.log(2))


def test_what_is_told_is_a_divergence_from_the_prior() -> None:
    outputs = said(OTHERS[:5])
    shown = (outputs.double().exp() + FLOOR).log()
    expected = torch.zeros(5, dtype=torch.float64)
    for critic in CRITICS.each:
        standard = ((shown - critic.mean) / critic.spread).numpy()
        for weights, prior in zip(critic.coefficients, CRITICS.priors, strict=True):
            log_q = torch.from_numpy(logistic.log_probabilities(standard, weights.numpy()))
            expected += torch.nn.functional.kl_div(log_q, prior.exp().expand_as(log_q), reduction="none").sum(dim=1)
    goal = Silent(CRITICS, None)
    torch.testing.assert_close(-goal.value(outputs), expected / ROUNDS)
    assert (goal.value(outputs) <= 0).all()
    assert goal.met(outputs) is None
    loose = Silent(CRITICS, 1e9).met(outputs)
    assert loose is not None
    assert loose.all()


def test_every_round_has_a_critic_and_the_first_learned_from_clean_photos() -> None:
    assert len(CRITICS.each) == ROUNDS
    plain = features(said(OTHERS))
    torch.testing.assert_close(CRITICS.each[0].mean.mean(), plain.mean(), atol=1e-5, rtol=0)
    truth = variants(said(OTHERS)[:, None].double(), PAPER)
    for prior, column in zip(CRITICS.priors, truth.T, strict=True):
        counts = torch.bincount(column, minlength=len(prior)) + 1.0
        torch.testing.assert_close(prior.exp(), counts.double() / counts.sum())
    again = TOOL.learn(STUDIED)
    for one, other in zip(again.each, CRITICS.each, strict=True):
        assert all(torch.equal(*pair) for pair in zip(one.coefficients, other.coefficients, strict=True))
    assert not any(torch.equal(CRITICS.each[0].coefficients[0], later.coefficients[0]) for later in CRITICS.each[1:])


def test_who_learns_anew_from_protected_photos_is_told_less() -> None:
    photos = random_photos(PEOPLE, seed=9)
    truth = variants(said(photos)[:, None].double(), PAPER)
    known = replace(knowledge(PEOPLE, NETWORK), identity=tuple(range(100, 100 + PEOPLE)), learned=CRITICS)
    protected = TOOL.perturb(photos, known)
    assert float((protected - photos).abs().max()) <= 0.1 + 1e-6
    before, after = (bits(said(each), truth) for each in (photos, protected))
    assert after < 0.8 * before


def test_members_of_an_ensemble_are_looked_at_side_by_side() -> None:
    from linkbench.models.predictor import Ensemble, Predictor

    several = Ensemble([Predictor(torch.nn.Identity(), PAPER)] * 2)
    several.predictors = torch.nn.ModuleList([predictor(seed) for seed in (0, 2)])
    crowd = study_set(OTHERS, several, list(range(PEOPLE)))
    found = independence.find_critics(crowd, TOOL.sight, TOOL.model_copy(update={"steps": 1}).ascent())
    assert found.each[0].mean.shape == (2 * PAPER.width,)
