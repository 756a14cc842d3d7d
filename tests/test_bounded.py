"""Input without bounds is refused in no time, and text of others never steers a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import Finished

import linkbench as lb
from linkbench.api.text import shown
from linkbench.errors import InputError, PluginError, ScenarioError
from linkbench.genomes.table_files import MOST_COLUMNS, open_rows
from linkbench.registry.catalogue import parameter_schemas
from linkbench.registry.spec import parse_spec
from linkbench.scenario.load import load_scenario

Cli = Callable[..., Finished]
ABSURD = 99_999_999_999_999
SCENARIO = """
linkbench: 1
name: a
genomes: {use: simulated, count: 60}
cohort: {use: sampled, count: 20}
attackers: [predicted, lame]
measure: {top_k: [1], sizes: [10], resamples: 100}
"""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Of processor time: the machine may be busy."""
    begun = time.process_time()
    yield
    assert time.process_time() - begun < seconds


def whole_numbers() -> Iterator[tuple[str, str, str]]:
    """Kind, plugin and parameter of every whole number that an installed plugin takes."""
    for (kind, name), schema in parameter_schemas().items():
        assert not isinstance(schema, PluginError), (kind, name)
        for parameter, said in schema.get("properties", {}).items():
            if any(part.get("type") == "integer" for part in (said, *said.get("anyOf", ()))):
                yield kind, name, parameter


def test_every_count_of_every_plugin_has_an_upper_bound() -> None:
    asked = list(whole_numbers())
    assert len(asked) > 60
    with within(5):
        loose = [
            (kind, name, parameter)
            for kind, name, parameter in asked
            if not any(
                wrong.location[:1] == (parameter,)
                for wrong in parse_spec(kind, {"use": name, parameter: ABSURD}, ())[1]
            )
        ]
    assert loose == []


@pytest.mark.parametrize(
    "setting",
    ["measure.top_k=[{}]", "measure.sizes=[{}]", "measure.resamples={}", "cohort.count={}", "genomes.count={}"],
)
def test_absurd_settings_are_refused_before_any_work(setting: str, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(SCENARIO.replace(", lame", ""))
    with within(1), pytest.raises((ScenarioError, InputError)):
        load_scenario(tmp_path / "s.yaml", (setting.format(ABSURD),))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"seed": [*range(2_000)]}, "the scenario spans 200,000 cells, at most 100,000 allowed"),
        ({"genomes": [{"use": "simulated", "count": [*range(60, 10_070)]}]}, "10,010 points, at most 10,000"),
    ],
    ids=["cells", "points"],
)
def test_a_grid_that_nobody_can_wait_for_is_refused_in_a_second(change: dict[str, Any], why: str) -> None:
    many = [{"use": "simulated", "count": count} for count in range(60, 160)]
    grid: dict[str, Any] = {
        "linkbench": 1, "name": "a", "genomes": many, "cohort": {"use": "sampled", "count": 20},
        "attackers": ["predicted"], **change,
    }  # fmt: skip
    with within(1), pytest.raises(ScenarioError, match=why):
        lb.load_scenario(grid)


# tables


def names_of(path: Path) -> list[str]:
    with open_rows(path) as table:
        return table.names


@pytest.mark.parametrize("name", ["sex:f{}", "\x1b[31m{}", "same"])
def test_a_header_of_200000_columns_is_refused_in_a_second(name: str, tmp_path: Path) -> None:
    path = tmp_path / "g.csv"
    path.write_text("id," + ",".join(name.format(number) for number in range(200_000)) + "\n")
    with (
        within(1),
        pytest.raises(InputError, match=r"g.csv:1: the header names 200,001 columns, at most 1,000") as said,
    ):
        names_of(path)
    assert len(str(said.value)) < 500
    path.write_text("id," + ",".join(f"sex:f{number}" for number in range(MOST_COLUMNS - 1)) + "\n")
    assert len(names_of(path)) == MOST_COLUMNS


def test_what_a_table_says_is_cut_and_made_harmless(tmp_path: Path) -> None:
    path = tmp_path / "g.csv"
    path.write_text(f"id,sex\n{'x' * 100},\x1b[31m{'y' * 130_000}\n")
    from linkbench.genomes.table import GenomeTable

    path.write_text(f"id,{'y' * 100_000},\x1b[2J,\x1b[2J\n")
    with pytest.raises(InputError) as said:
        names_of(path)
    assert "\x1b" not in str(said.value)
    path.write_text(f"id,sex:female,sex:male\na,{'y' * 100_000}\x1b[2J,0.5\n")
    with pytest.raises(InputError) as said:
        GenomeTable(path=path).build(0)
    assert "\x1b" not in str(said.value)
    assert len(str(said.value)) < 3_000


# what plugins say


def test_text_is_cut_and_steers_nothing() -> None:
    assert shown("plain\n\tlines, é ≤ 1") == "plain\n\tlines, é ≤ 1"
    assert shown("\x1b[31mred\x1b]0;title\x07 \u202e\x00\r") == "?[31mred?]0;title? ???"
    assert shown("x" * 5_000_000) == "x" * 2_000 + "... (5,000,000 letters)"
    assert shown(ValueError("why"), 2) == "wh... (3 letters)"


REGISTER = """
from linkbench.api.hookspecs import hookimpl

@hookimpl
def register_attackers(register):
    register("lame", "pkg.lame:Lame", summary="\\x1b[31msummary\\u202e", api=1)
    register("gone", "pkg.gone:Gone", summary="x", api=1)
"""
LAME = r"""
from linkbench.api.base import Attacker
from linkbench.errors import InputError

class Lame(Attacker):
    def score(self, evidence, genomes, learned):
        print("\x1b[31mred\x1b]0;title\x07\u202e")
        raise RAISED("\x1b[31mred\x1b]0;title\x07\u202e" + "x" * 5_000_000)
"""


@pytest.mark.slow
@pytest.mark.parametrize("raised", ["RuntimeError", "InputError"])
def test_a_plugin_that_steers_terminals_is_shown_harmlessly_everywhere(
    raised: str, run_cli: Cli, fake_plugin: Any
) -> None:
    files = {"lame.py": LAME.replace("RAISED", raised), "gone.py": r"raise RuntimeError('\x1b[31m' + 'y' * 5_000_000)"}
    fake_plugin("pkg", {"__init__.py": REGISTER, **files})
    Path("s.yaml").write_text(SCENARIO)
    done = run_cli("run", "s.yaml")
    assert done.status == 1
    listed, checked = run_cli("plugins"), run_cli("validate", "s.yaml", "--set", "attackers=[gone]")
    assert checked.status == 2
    for said in (done, listed, checked, run_cli("report", "results/a")):
        assert not {"\x1b", "\x07", "\u202e"} & set(said.out + said.err), said
        assert len(said.out + said.err) < 100_000
    for name in ("results.csv", "report.html", "run.json"):
        written = Path("results/a", name).read_text()
        assert not {"\x1b", "\x07", "\u202e"} & set(written)
        assert "\\u001b" not in written
        assert "x" * 3_000 not in written
