"""`import linkbench`: light, complete, and the same numbers as the command."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from conftest import SCENARIOS, Finished, environment

import linkbench as lb
from linkbench import metrics, public
from linkbench.registry import code_digest as code
from linkbench.results import frame
from linkbench.results.results import SHOWN
from linkbench.results.table import COLUMNS, Row, to_csv
from linkbench.scenario.load import load_scenario

TINY = {
    "linkbench": 1,
    "name": "tiny",
    "cohort": "paper-tables",
    "genomes": {"use": "paper-tables", "setting": ["ideal", "realistic"]},
    "attackers": ["predicted", "ground-truth", "random"],
    "measure": {"top_k": [1, 3], "sizes": [10, 100], "resamples": 100},
}
TEXT = """
linkbench: 1
name: tiny
cohort: paper-tables
genomes: {use: paper-tables, setting: [ideal, realistic]}
attackers: [predicted, ground-truth, random]
measure: {top_k: [1, 3], sizes: [10, 100], resamples: 100}
"""
PACKAGES = [lb, metrics]
BAD = """
from linkbench import Attacker

class Bad(Attacker):
    def score(self, evidence, genomes, learned):
        raise RuntimeError("no")
"""
REGISTER = """
from linkbench import hookimpl

@hookimpl
def register_attackers(register):
    register("bad", "bad_one.bad:Bad", summary="fails", api=1)
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> lb.Results:
    return lb.run(TINY, store=tmp_path_factory.mktemp("store"))


def test_importing_it_imports_nothing_heavy() -> None:
    heavy = ["numpy", "torch", "pydantic", "pluggy", "click", "linkbench.errors"]
    program = f"import sys, linkbench as lb; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment())
    assert done.stdout == "[]\n", done.stderr


def test_a_registration_needs_no_pydantic_and_a_plugin_no_torch() -> None:
    registration = "import sys; from linkbench import Register, hookimpl; print('pydantic' in sys.modules)"
    plugin = "import sys; from linkbench import Defender, Epsilon, InputPath, hookimpl; print('torch' in sys.modules)"
    for text in (registration, plugin):
        done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, env=environment())
        assert done.stdout == "False\n", done.stderr


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_all_is_the_namespace(package: Any) -> None:
    """What is listed, what `dir` says, where names come from and what type checkers see are the same."""
    homes = public.homes(package.__name__)
    assert sorted(package.__all__) == public.names(package.__name__) == dir(package)
    seen = {}
    for block in ast.parse(Path(package.__file__).read_text()).body:
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING":
            for line in block.body:
                assert isinstance(line, ast.ImportFrom)
                seen |= {alias.name: line.module for alias in line.names}
    modules = dict.fromkeys(public.MODULES[package.__name__], package.__name__)
    assert seen == homes | modules
    for name, home in homes.items():
        value = getattr(package, name)
        assert value is getattr(importlib.import_module(home), name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__module__ == home
    assert lb.metrics is metrics


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="module 'linkbench' has no attribute 'Defendr'"):
        lb.Defendr  # noqa: B018  # type: ignore[attr-defined]


def test_the_examples_of_the_mathematics_hold() -> None:
    failed, tried = doctest.testmod(metrics)
    assert tried >= 8
    assert failed == 0


def test_a_file_a_text_and_a_mapping_are_one_scenario(tmp_path: Path) -> None:
    file = tmp_path / "tiny.yaml"
    file.write_text(TEXT)
    wanted = load_scenario(file)
    for source in (file, str(file), TEXT, TINY, {**TINY, "attackers": ("predicted", "ground-truth", "random")}):
        assert lb.load_scenario(source) == wanted
    before = repr(TINY)
    changed = lb.load_scenario(TINY, "measure.resamples=200", "attackers=random")
    assert changed.measure.resamples == 200
    assert [spec.label for spec in changed.specs["attackers"]] == ["random"]
    assert repr(TINY) == before


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            {**TINY, "attackers": ["predicted", "ground-thruth"]},
            "scenario: attackers[1].use: there is no attacker 'ground-thruth'",
        ),
        ({**TINY, "name": {1, 2}}, "scenario: name: found a set; write text, numbers"),
        ({**TINY, "color": 1}, "scenario: color: "),
        ({}, "scenario: linkbench: "),
        ("linkbench: 1\nname: [", "scenario:2:"),
        ("nowhere.yaml", "nowhere.yaml: cannot be read"),
    ],
)
def test_what_is_wrong_with_a_scenario_is_a_scenario_error(source: Any, message: str) -> None:
    with pytest.raises(lb.ScenarioError) as raised:
        lb.load_scenario(source)
    assert message in str(raised.value)
    assert isinstance(raised.value, lb.LinkbenchError)


def test_a_mapping_that_never_ends_is_refused() -> None:
    endless: dict[str, Any] = {}
    endless["linkbench"] = endless
    with pytest.raises(lb.ScenarioError, match="nested more than"):
        lb.load_scenario(endless)


@pytest.mark.slow
def test_the_numbers_are_those_of_the_command(home: Path, run_cli: Callable[..., Finished], tmp_path: Path) -> None:
    (home / "tiny.yaml").write_text(TEXT)
    assert run_cli("run", "tiny.yaml").status == 0
    folder = home / "results" / "tiny"
    before = sorted(home.rglob("*"))
    here = lb.run(home / "tiny.yaml", store=tmp_path / "another-store")
    assert sorted(home.rglob("*")) == before  # nothing is written unless it is asked for
    assert to_csv(here.rows) == (folder / "results.csv").read_text()

    written = lb.run(TINY, store=tmp_path / "another-store", out=tmp_path / "out")
    again = lb.load_results(tmp_path / "out")
    assert (again.rows, again.run) == (written.rows, {**written.run, "table": again.run["table"]})
    names = {str(path.relative_to(folder)) for path in folder.rglob("*")}
    assert {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*")} == names
    for name in names - {"run.json", "ranks"}:  # seconds differ, and what was computed
        assert (tmp_path / "out" / name).read_bytes() == (folder / name).read_bytes()

    there = lb.load_results(folder)
    assert [cell.ids for cell in there.cells] == [cell.ids for cell in here.cells]
    for cell in here.cells:
        mine, stored = here.ranks(cell), there.ranks(cell.ids[0])
        assert mine.keys() == stored.keys()
        assert all(np.array_equal(mine[name], stored[name]) for name in mine)


def test_cells_can_be_asked(results: lb.Results) -> None:
    cell = next(cell for cell in results.cells if cell.attacker == "predicted" and "realistic" in cell.genomes)
    (row,) = (row for row in results.rows if row.cell == cell.ids[0] and row[8:11] == ("success", 1, 10))
    found = cell.at(1, 10)
    assert found is not None
    assert tuple(found) == (row.value, row.ci_low, row.ci_high)
    assert (cell.defender, cell.epsilon, cell.channel, cell.seed) == ("none", None, "float", 0)
    ranks = results.ranks(cell)
    again = metrics.expected_success(metrics.Ranks(ranks["better"], ranks["tied"]), 456, 1, [10]).mean()
    assert again == pytest.approx(row.value, abs=1e-9)
    with pytest.raises(lb.InputError, match="there is no cell 'x'; there are: "):
        results.ranks("x")


def test_ranks_that_are_lost_are_an_input_error(tmp_path: Path) -> None:
    lb.run(TINY, store=tmp_path / "store", out=tmp_path / "out")
    there = lb.load_results(tmp_path / "out")
    first, second = (cell.ids[0] for cell in there.cells[:2])
    (tmp_path / "out" / "ranks" / f"{first}.safetensors").unlink()
    (tmp_path / "out" / "ranks" / f"{second}.safetensors").write_bytes(b"\xff" * 9)
    for cell in (first, second):
        with pytest.raises(lb.InputError, match="cannot be read"):
            there.ranks(cell)
    with pytest.raises(lb.InputError, match="not at hand"):
        lb.Results(there.rows, there.run).ranks(first)
    with pytest.raises(lb.InputError, match="no finished run"):
        lb.load_results(tmp_path)


def test_tables_of_both_libraries_say_the_same(results: lb.Results) -> None:
    pandas, polars = results.table(), results.table("polars")
    assert isinstance(pandas, pd.DataFrame)
    assert isinstance(polars, pl.DataFrame)
    assert list(pandas.columns) == polars.columns == list(COLUMNS)
    assert polars.rows() == [tuple(row) for row in results.rows]
    assert [str(pandas[name].dtype) for name in ("k", "epsilon", "value")] == ["Int64", "float64", "float64"]
    plain = pandas.astype(object).where(pandas.notna(), None)
    assert [Row(*line) for line in plain.to_numpy().tolist()] == results.rows
    empty = lb.Results([], {})
    assert empty.table("pandas").shape == empty.table("polars").shape == (0, len(COLUMNS))


def test_a_table_without_a_library(results: lb.Results, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(lb.InputError, match="'numpy' makes no table; choose one of: pandas, polars"):
        results.table("numpy")  # type: ignore[arg-type]
    there = {"polars": True}
    monkeypatch.setattr(frame.importlib.util, "find_spec", lambda name: there.get(name))
    assert isinstance(results.table(), pl.DataFrame)
    with pytest.raises(lb.MissingExtraError, match=r"needs the package 'pandas'.*pip install 'linkbench\[frames\]'"):
        results.table("pandas")
    there.clear()
    with pytest.raises(lb.MissingExtraError, match="needs the package 'pandas or polars'"):
        results.table()
    there["polars"] = True
    monkeypatch.setitem(sys.modules, "narwhals", None)
    with pytest.raises(lb.MissingExtraError, match="needs the package 'narwhals'"):
        results.table()


def test_a_notebook_shows_cells_and_no_markup_of_strangers(results: lb.Results) -> None:
    page = results._repr_html_()
    assert page.count("<tr>") == 1 + len(results.cells)
    assert "<th>success@1, n=10</th>" in page
    evil = "<script>evil=1</script>"
    row = results.rows[0]
    rows = [row._replace(attacker=f"{evil}{cell}", cell=f"c{cell}", flags=evil) for cell in range(SHOWN + 10)]
    shown = lb.Results(rows, {"scenario": {"name": evil}})._repr_html_()
    assert "<script" not in shown
    assert shown.count("<tr>") == 1 + SHOWN
    assert "10 more cells" in shown
    assert lb.Results([], {})._repr_html_().count("<tr>") == 1


def test_a_failing_stage_takes_only_its_cells(tmp_path: Path, fake_plugin: Any) -> None:
    fake_plugin("bad_one", {"__init__.py": "", "bad.py": BAD, "register.py": REGISTER}, "bad_one.register")
    found = lb.run({**TINY, "attackers": ["random", "bad"]}, store=tmp_path / "store")
    assert {cell.attacker for cell in found.cells} == {"random"}
    assert [(cell.place["attacker"], "no" in cell.reason) for cell in found.failed] == [("bad", True)] * 2
    assert "2 cells failed: see .failed" in found._repr_html_()


@pytest.mark.parametrize(
    ("line", "behind", "beside"),
    [
        ("from linkbench import Defender, Epsilon", {"api.base", "api.fields"}, {"face", "metrics.ranking"}),
        ("from linkbench.metrics import interval", {"metrics.intervals"}, {"metrics.ranking", "api.base"}),
        ("from linkbench import metrics", {"metrics.intervals", "metrics.ranking"}, {"face", "report.page"}),
        ("import linkbench as lb", {"api.base", "face", "metrics.ranking"}, {"cli.run"}),
        ("import json, linkbench.metrics", {"metrics.ranking"}, {"api.base", "face"}),
    ],
)
def test_the_code_behind_a_public_name_belongs_to_a_plugin(
    line: str, behind: set[str], beside: set[str], fake_plugin: Any
) -> None:
    fake_plugin("pkg", {"__init__.py": "", "plugin.py": line})
    modules = code.code_of("pkg.plugin").modules
    assert {f"linkbench.{name}" for name in behind} <= modules
    assert not {f"linkbench.{name}" for name in beside} & modules


class Heard:
    """A watcher that remembers."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ended: list[str] = []

    def begin(self, step: Any, label: str, worker: str) -> None:
        self.begun.append(label)

    def note(self, label: str, text: str) -> None:
        raise AssertionError(text)

    def end(self, step: Any, label: str, outcome: Any) -> None:
        self.ended.append(label)


@pytest.mark.slow
def test_progress_is_shown_to_whom_it_may_concern(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lb.run(TINY, store=tmp_path / "a")
    assert capsys.readouterr() == ("", "")
    lb.run(TINY, store=tmp_path / "b", progress=True)
    said = capsys.readouterr()
    assert said.out == ""
    assert "[18/18] " in said.err
    heard = Heard()
    lb.run(TINY, store=tmp_path / "c", progress=heard)
    assert len(heard.begun) >= 2 * 3
    assert set(heard.begun) == set(heard.ended)


@pytest.mark.parametrize("device", ["tpu", "cpu:1", ""])
def test_a_device_that_is_not_there(device: str) -> None:
    with pytest.raises(lb.InputError, match="is no device; use cpu, cuda or cuda:0"):
        lb.run(SCENARIOS / "quickstart.yaml", device=device)
