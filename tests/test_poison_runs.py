"""Poisons through the command line: what they really changed, examples of it, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from linkbench.api.data import TRAIN
from linkbench.results.folder import read
from linkbench.store import tensorfile

SCENARIO = """\
linkbench: 1
name: tiny
cohort: {use: rendered, count: 48, size: 32}
genomes: {use: simulated, count: 60}
models: [{name: s, architecture: {use: small-cnn, shared: true, width: 2}, recipe: {use: standard, epochs: 1}}]
poisons: [POISONS]
channels: [png]
attackers: [random]
measure: {top_k: [1], sizes: [10], resamples: 100}
"""
TWO = "{use: shortcut, phenotype: sex, pattern: [lsp, autoregressive]}"


def write(home: Path, poisons: str) -> Path:
    path = home / "tiny.yaml"
    path.write_text(SCENARIO.replace("POISONS", poisons))
    return path


@pytest.mark.slow
def test_what_a_poison_changed_is_measured(home: Path, run_cli: Callable[..., Any]) -> None:
    weak = "{use: shortcut, name: weak, epsilon: 0.001}"
    done = run_cli("run", write(home, f"none, {TWO}, {weak}, {{use: convolution, rate: 0.5}}"), "--out", "out")
    assert done.status == 0
    results = read(home / "out")
    largest = {row.poison: row for row in results.rows if row.metric == "poison_linf_max"}
    similar = {row.poison: row.value for row in results.rows if row.metric == "poison_ssim"}
    assert len(largest) == 4, "every poison but 'none'"
    for poison, row in largest.items():
        if poison.startswith("shortcut"):
            assert 7.4 / 255 < row.value < 8.5 / 255 + 1e-6, poison
            assert "poison" not in row.flags
            assert similar[poison] < 1
    assert largest["weak at 0.001"].value == 0
    assert "poison-below-quantisation" in largest["weak at 0.001"].flags
    assert largest["convolution"].value > 0.03
    half = next(row for row in results.rows if row.poison == "convolution" and row.metric == "poison_linf")
    assert half.ci_low < half.value < half.ci_high, "half of the people changed nothing"
    labels = tensorfile.read(home / "out/examples.safetensors").meta["labels"]
    assert {f"poison {poison}" for poison in largest} < set(labels)
    assert "what the poisons changed" in done.out
    held = {row.metric: row.value for row in results.rows if row.poison == "weak at 0.001" and row.k is None}
    assert held["bound:combination"] == 0, "too weak to promise anything for 54 classes"
    assert 0 <= held["rule_accuracy_worst:combination"] <= held["rule_accuracy:combination"] < 0.2
    assert not any("bound" in row.metric for row in results.rows if row.poison == "convolution")
    assert "What the poison's theorem claims" in done.out
    assert "What the poison&#39;s theorem claims" in (home / "out/report.html").read_text()
    cells = {cell["poison"]: cell["poison_seconds_per_photo"] for cell in results.run["cells"]}
    assert cells["none"] is None
    assert cells["convolution"] > 0


@pytest.mark.slow
def test_people_may_be_listed(home: Path, run_cli: Callable[..., Any]) -> None:
    (home / "people.csv").write_text("name,identity\n" + "".join(f"p,{person}\n" for person in range(24)))
    path = write(home, "{use: shortcut, identities: people.csv}")
    assert run_cli("run", path, "--out", "out").status == 0
    row = next(row for row in read(home / "out").rows if row.metric == "poison_linf")
    found = map(tensorfile.read, (home.parent / "store").rglob("*.safetensors"))
    split = next(artefact.array("split") for artefact in found if "truth" in artefact.arrays)
    share = (split[:24] == TRAIN).sum() / (split == TRAIN).sum()
    assert row.value == pytest.approx(share * 8 / 255, abs=1e-6)
    (home / "people.csv").write_text("identity\n3\n4711\n")
    done = run_cli("run", path, "--out", "second")
    assert done.status == 2
    assert "names 1 identities that the cohort does not have, the first is 4711" in done.err
    for text, message in (("id\n3\n", "no column 'identity'"), ("identity\nanna\n", "line 2: 'anna' is no identity")):
        (home / "people.csv").write_text(text)
        done = run_cli("run", path, "--out", "second")
        assert done.status == 2
        assert message in done.err
    assert not (home / "second").exists()


def test_one_class_is_no_poison(home: Path, run_cli: Callable[..., Any]) -> None:
    path = write(home, "{use: shortcut, phenotype: hair}")
    lone = ("--set", "cohort.count=5", "--set", "split={test: 0.4, validation: 0.4}")
    done = run_cli("run", path, *lone, "--out", "out")
    assert done.status == 2
    assert "all photos with a known label are of one class" in done.err
    assert not (home / "out").exists()


@pytest.mark.parametrize(
    ("poison", "message"),
    [
        ("{use: shortcut, phenotype: height}", "phenotype 'height'; the genomes have: sex, hair, eye, skin"),
        ("{use: shortcut, rate: 1.5}", "poisons[0].rate"),
        ("{use: convolution, rate: -0.1}", "poisons[0].rate"),
        ("{use: shortcut, epsilon: 1.5}", "in the infinity norm epsilon is at most 1, found 1.5"),
        ("{use: shortcut, identities: people.csv, rate: 0.5}", "leave 'rate' out"),
    ],
)
def test_bad_poisons(home: Path, run_cli: Callable[..., Any], poison: str, message: str) -> None:
    done = run_cli("run", write(home, poison), "--out", "out")
    assert done.status == 2
    assert message in done.err
    assert not (home / "out").exists()
