"""Labels are for people: a scenario with other labels gives the same numbers, counts and flags everywhere."""

from __future__ import annotations

import contextlib
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from conftest import take_in
from rich.console import Console

from linkbench.execution.run import Run
from linkbench.leaderboard import collect, exports
from linkbench.leaderboard.assembly import assemble
from linkbench.plan.make import make_plan
from linkbench.report import page, terminal
from linkbench.results.carry_out import carry_out
from linkbench.results.results import Results
from linkbench.scenario.load import load_scenario
from linkbench.store.store import Store

pytestmark = pytest.mark.slow

SCENARIO = """
linkbench: 1
name: labels
seed: 0
cohort: {{use: rendered, count: 150, size: 32}}
genomes: {{use: simulated, count: 400}}
models: [{{name: standard, architecture: small-cnn, recipe: {{use: standard, epochs: 2}}}}]
poisons:
  - {{use: none{clear}}}
  - {{use: shortcut, epsilon: 0.1{poison}}}
defenders:
  - {{use: none{clean}}}
  - {{use: noise, epsilon: [0.001, 0.05]{dust}}}
  - {{use: single-pgd, phenotype: sex, epsilon: [0.001, 0.05], steps: 2, name: attack}}
channels: [{{use: float{exact}}}, {{use: png{rounded}}}]
attackers: [predicted, random]
measure: {{top_k: [1], sizes: [10, 100], resamples: 100}}
"""
NAMES = {
    "clear": "zzqq",
    "clean": "zzqq",
    "dust": "zzizq",
    "poison": "zzqzqtzt",
    "exact": "zlzqt",
    "rounded": "qzq",
}
BACK = {"zzqq": "none", "zzizq": "noise", "zzqzqtzt": "shortcut", "zlzqt": "float", "qzq": "png"}
"""The new labels, which stand in no text of the program and take as much room, and the names of the plugins."""


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[tuple[Path, Results], tuple[Path, Results]]:
    """The results of one scenario with plain labels, and with every control and channel renamed."""
    home = tmp_path_factory.mktemp("labels")
    out = []
    for labels in (dict.fromkeys(NAMES, ""), {key: f", name: {name}" for key, name in NAMES.items()}):
        path = home / f"{len(out)}.yaml"
        path.write_text(SCENARIO.format(**labels))
        scenario = load_scenario(path)
        run = Run(make_plan(scenario), Store(home / "store"))
        folder = home / f"out{len(out)}"
        out.append((folder, carry_out(scenario, run, contextlib.nullcontext(None), folder, page.render)))
    return out[0], out[1]


def back(text: str) -> str:
    """The text with the old labels for the new ones, and without ids, which follow from labels."""
    for new, old in BACK.items():
        text = text.replace(new, old)
    return re.sub(r"\b[0-9a-f]{10,64}\b", "ID", text)


def test_the_table_has_the_same_numbers_and_flags(both: Any) -> None:
    plain, renamed = (results.rows for _, results in both)
    assert len(plain) > 300
    assert "below-quantisation" in {flag for row in plain for flag in row.flags.split(";")}
    changed = [
        row._replace(poison=back(row.poison), defender=back(row.defender), channel=back(row.channel)) for row in renamed
    ]
    assert {row.channel for row in renamed} == {"zlzqt", "qzq"}
    assert [row._replace(cell="") for row in changed] == [row._replace(cell="") for row in plain]


def test_the_page_and_the_conclusions_are_the_same(both: Any) -> None:
    one, other = (folder / "report.html" for folder, _ in both)
    assert back(other.read_text()) == back(one.read_text())
    texts = [json.dumps(results.run["conclusions"]) for _, results in both]
    assert back(texts[1]) == back(texts[0])
    assert "zzqq" in other.read_text()


def test_the_terminal_is_the_same(both: Any) -> None:
    said = []
    for _, results in both:
        stream = io.StringIO()
        terminal.show(results, Console(file=stream, width=400), full=True)
        said.append(re.sub(r"[ ─━]+", " ", back(stream.getvalue())))
    assert "8-bit" in said[0]
    assert said[1] == said[0]


def test_the_leaderboard_is_the_same(both: Any, tmp_path: Path) -> None:
    texts = []
    for at, (folder, _) in enumerate(both):
        home = tmp_path / str(at)
        take_in(home, collect.make(folder, name="labels"))
        found = assemble(home)
        assert {len(sheet.table.rows) for sheets in found.protocols for sheet in sheets} == {10}
        texts.append(back(exports.to_csv(found) + exports.readme(found)))
    assert texts[1] == texts[0]
