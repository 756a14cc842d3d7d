"""Poisons against recipes through the command line: rows, curves, best-of's choice, later models, clear refusals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from linkbench.results.folder import read

SCENARIO = """\
linkbench: 1
name: tiny
cohort: {use: rendered, count: 48, size: 32}
genomes: {use: simulated, count: 60}
models:
  - {name: old, architecture: {use: small-cnn, width: 2}, recipe: {use: standard, epochs: 2}}
  - name: new
    architecture: {use: resnet, shared: true, width: 2}
    recipe: {use: best-of, recipes: [{use: standard, epochs: 1}, {use: grayscale, recipe: {use: standard, epochs: 1}}]}
poisons: [none, {use: targeted-poison, knowledge: old, phenotype: sex, steps: 1}]
defenders: [none, {use: joint-pgd, knowledge: old, steps: 1, epsilon: 0.03}]
channels: [png]
attackers: [predicted]
measure: {top_k: [1], sizes: [10], resamples: 100}
"""


@pytest.mark.slow
def test_poisons_meet_recipes_and_later_models(home: Path, run_cli: Callable[..., Any]) -> None:
    (home / "tiny.yaml").write_text(SCENARIO)
    assert run_cli("run", home / "tiny.yaml", "--out", "out").status == 0
    results = read(home / "out")
    shares: dict[str, dict[tuple[str, str, str], float]] = {"peak": {}, "final": {}}
    for row in results.rows:
        name, _, phenotype = row.metric.partition("_accuracy:")
        if name in shares:
            shares[name][row.model, row.poison, phenotype] = row.value
            assert row.ci_low <= row.value <= row.ci_high
    assert len(shares["peak"]) == len(shares["final"]) == 2 * 2 * 4
    assert all(shares["peak"][place] >= share for place, share in shares["final"].items())
    trained = results.run["training"]
    chosen = [one for told in trained.values() for one in told["candidates"] if one["chosen"]]
    assert len(trained) == 4, "two models, each with and without poison"
    assert len(chosen) == 2
    assert {cell["steps"]["curves"] for cell in results.run["cells"]} == set(trained)
    text = (home / "out/report.html").read_text()
    for words in ("What best-of chose", "new, on photos made against old (joint-pgd, targeted-poison)",
                  "sex told right, clean photos", "Poisons against recipes"):  # fmt: skip
        assert words in text, words


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ("{use: best-of, recipes: [best-of]}", "best-of cannot stand inside best-of"),
        ("{use: blur, recipe: sharpen}", "there is no recipe 'sharpen'"),
        ("{use: best-of, phenotype: beard}", "phenotype names the phenotype 'beard'; the genomes have: sex, hair"),
        ("{use: jpeg, recipe: {use: adaptive, defender: {use: single-pgd, phenotype: beard}}}", "'beard'"),
    ],
)
def test_wrong_recipes_are_refused_with_the_file(
    home: Path, run_cli: Callable[..., Any], recipe: str, said: str
) -> None:
    (home / "wrong.yaml").write_text(SCENARIO.replace("{use: standard, epochs: 2}}\n  - name", recipe + "}\n  - name"))
    done = run_cli("validate", home / "wrong.yaml")
    assert done.status == 2
    assert said in done.err
    assert "wrong.yaml" in done.err
