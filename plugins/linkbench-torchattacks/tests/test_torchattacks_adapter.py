"""Every attack of torchattacks keeps the contract of a defender."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from adapters import KNOWN, PHOTOS, Adapter, one_thread  # noqa: F401

from linkbench import LinkbenchError, PluginError
from linkbench.registry.registry import registry
from linkbench.testing import examine
from linkbench_torchattacks import attacks, names
from linkbench_torchattacks.table import ATTACKS

SMALL: dict[str, Any] = {"steps": 4, "queries": 60, "samples": 32, "noise_batch_size": 2, "N": 2, "m": 2, "targets": 3}
SPECIAL: dict[str, dict[str, Any]] = {
    "cw-l2": {"steps": 30, "c": 20.0, "lr": 0.05},
    "autoattack": {"version": "rand"},
    "deepfool": {"steps": 10},
    "spsa": {"samples": 32, "delta": 0.05, "steps": 4},
}


ADAPTER = Adapter("torchattacks", ATTACKS, SMALL, SPECIAL)
made, confidence = ADAPTER.made, ADAPTER.confidence


@pytest.mark.slow
@pytest.mark.parametrize("name", ATTACKS)
def test_contract(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    ADAPTER.keeps_the_contract(name)
    assert capsys.readouterr().out == ""


@pytest.mark.slow
@pytest.mark.parametrize("name", ATTACKS)
def test_conformance(name: str) -> None:
    cls = registry().imported("defender", f"torchattacks/{name}")
    outcomes = examine(
        "defender", f"torchattacks/{name}", {"random_start": True} if "random_start" in cls.model_fields else {}
    )
    assert not [outcome for outcome in outcomes if outcome.status != "pass"]
    assert len(outcomes) == 14


def test_the_table_and_the_names_agree() -> None:
    assert set(names.ATTACKS) == set(ATTACKS)


def test_one_phenotype_moves_that_phenotype() -> None:
    defender = made("pgd", phenotype="eye", steps=10)
    out = defender.perturb(PHOTOS, KNOWN)
    assert confidence(defender, out).mean() < confidence(defender, PHOTOS).mean()


def test_too_few_variants_are_refused() -> None:
    with pytest.raises(PluginError, match="phenotype 'sex' has 2 variants"):
        made("apgdt", phenotype="sex").perturb(PHOTOS, KNOWN)
    with pytest.raises(PluginError, match="compares 3 classes"):
        made("apgd", phenotype="sex", loss="dlr").perturb(PHOTOS, KNOWN)


def test_a_missing_library_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchattacks", None)
    with pytest.raises(LinkbenchError, match="pip install --no-deps torchattacks"):
        made("pgd").perturb(PHOTOS, KNOWN)


def test_parameters_are_typed_and_listed() -> None:
    properties = registry().imported("defender", "torchattacks/pgd").model_json_schema()["properties"]
    assert {"epsilon", "steps", "alpha", "random_start", "phenotype", "label", "knowledge"} <= set(properties)
    with pytest.raises(ValueError, match="steps"):
        made("pgd", steps=0)
    with pytest.raises(AttributeError, match="nonsense"):
        attacks.nonsense  # noqa: B018
