"""Every attack of ART keeps the contract of a defender; its preprocessors are channels."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from adapters import KNOWN, PHOTOS, Adapter, one_thread  # noqa: F401

from linkbench import LinkbenchError
from linkbench.registry.registry import registry
from linkbench.testing import examine
from linkbench_art import attacks, names
from linkbench_art.names import CHANNELS
from linkbench_art.table import ATTACKS

SMALL: dict[str, Any] = {"steps": 4, "queries": 30, "max_eval": 40, "init_eval": 10}
SPECIAL: dict[str, dict[str, Any]] = {
    "auto-conjugate": {"steps": 12},
    "carlini-l2": {"steps": 5, "initial_const": 10.0, "learning_rate": 0.1, "binary_search_steps": 1},
    "carlini-linf": {"steps": 4, "initial_const": 10.0, "decrease_factor": 0.5, "learning_rate": 0.1},
    "deepfool": {"steps": 10},
    "newtonfool": {"steps": 10, "eta": 0.1},
    "simba": {"steps": 60},
}


ADAPTER = Adapter("art", ATTACKS, SMALL, SPECIAL)
made, confidence = ADAPTER.made, ADAPTER.confidence


@pytest.mark.slow
@pytest.mark.parametrize("name", ATTACKS)
def test_contract(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    ADAPTER.keeps_the_contract(name)
    assert capsys.readouterr().out == ""


@pytest.mark.slow
@pytest.mark.parametrize("name", ATTACKS)
def test_conformance(name: str) -> None:
    starts = (
        {"num_random_init": 1}
        if "num_random_init" in registry().imported("defender", f"art/{name}").model_fields
        else {}
    )
    outcomes = examine("defender", f"art/{name}", starts)
    assert not [outcome for outcome in outcomes if outcome.status != "pass"]
    assert len(outcomes) == 14


def test_the_table_and_the_names_agree() -> None:
    assert set(names.ATTACKS) == set(ATTACKS)


@pytest.mark.slow
def test_one_phenotype_moves_that_phenotype() -> None:
    defender = made("pgd", phenotype="eye", steps=10)
    out = defender.perturb(PHOTOS, KNOWN)
    assert confidence(defender, out).mean() < confidence(defender, PHOTOS).mean()


def test_a_missing_library_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "art.attacks.evasion", None)
    monkeypatch.setitem(sys.modules, "art", None)
    with pytest.raises(LinkbenchError, match="pip install adversarial-robustness-toolbox"):
        made("pgd").perturb(PHOTOS, KNOWN)


def test_parameters_are_typed_and_listed() -> None:
    properties = registry().imported("defender", "art/pgd").model_json_schema()["properties"]
    assert {"epsilon", "steps", "alpha", "num_random_init", "phenotype", "label", "knowledge"} <= set(properties)
    with pytest.raises(ValueError, match="steps"):
        made("pgd", steps=0)
    with pytest.raises(AttributeError, match="nonsense"):
        attacks.nonsense  # noqa: B018


@pytest.mark.slow
@pytest.mark.parametrize("name", CHANNELS)
def test_channels(name: str) -> None:
    outcomes = examine("channel", f"art/{name}")
    assert not [outcome for outcome in outcomes if outcome.status != "pass"]
    assert len(outcomes) == 11
    out = registry().imported("channel", f"art/{name}")().publish(PHOTOS)
    assert 1e-3 < (out - PHOTOS).abs().max() < 0.9


def test_the_recipe() -> None:
    outcomes = examine("recipe", "art/adversarial-trainer")
    assert not [outcome for outcome in outcomes if outcome.status != "pass"]
    assert len(outcomes) == 9
