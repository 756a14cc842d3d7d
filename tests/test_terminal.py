"""One screen of a run, all of it, as JSON, beside another run; lists, starting files and what is missing here."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, Finished
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from test_conclusions import PLACE, run
from test_report import EVIL, Page, failure, rows_of, run_of

from linkbench.execution import preflight
from linkbench.report import brief, compared, names, terminal
from linkbench.results.cells import Value
from linkbench.results.conclusions import Reached, conclude, to_json
from linkbench.results.difference import Difference, Pair, difference
from linkbench.results.ladders import PLACE as PLACES
from linkbench.results.ladders import Climb, Ladder, Rung
from linkbench.results.results import Results
from linkbench.results.verdicts import Protection, Setting
from linkbench.scenario import shipped
from linkbench.scenario.load import load_scenario


def judged() -> Setting:
    record, files = run()
    (found,) = conclude(record["scenario"], record["cells"], record["sees"], Reached(files.__getitem__))
    return found


def screen(results: Results, width: int = 80, full: bool = False, encoding: str = "utf-8") -> list[str]:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    terminal.show(results, Console(file=stream, width=width, highlight=False), full=full)
    stream.flush()
    return stream.buffer.getvalue().decode(encoding).splitlines()


def big(channels: int, defences: int) -> Results:
    """A run with so many ways of posting and defences, one of them with a name of somebody who means harm."""
    one = judged()
    pgd = one.findings[-1]
    many = [pgd._replace(protection=Protection("", f"defence number {at}", 0.01)) for at in range(defences)]
    evil = pgd._replace(protection=Protection("", EVIL, 0.01))
    every = [
        one._replace(place={**PLACE, "channel": f"channel-{at}"}, findings=(*one.findings, *many, evil))
        for at in range(channels)
    ]
    rows = rows_of(attackers=["predicted", "random"], flags="odd;weaker-than-noise")
    return Results(rows, {**run_of(EVIL, [failure()] * 3), "conclusions": to_json(every)})


@settings(max_examples=12)
@given(st.integers(1, 6), st.integers(0, 60))
def test_a_run_of_any_size_takes_one_screen_of_80_columns(channels: int, defences: int) -> None:
    lines = screen(big(channels, defences))
    assert len(lines) <= 21  # the command adds three
    assert max(map(len, lines)) <= 80
    assert not any("\x1b" in line for line in lines)
    assert any("more defences: --full" in line for line in lines) == (
        len(judged().findings) + 1 + defences > brief.ROWS
    )


def test_a_screen_ends_with_the_conclusion_in_three_lines_at_most() -> None:
    lines = screen(Results([], {"conclusions": to_json([judged()])}))
    assert lines[-3].startswith("Undefended, ")
    assert lines[-2].startswith("pgd, ε 0.01 leaves ")
    assert lines[-1].endswith("apart from none.")
    several = screen(big(5, 2))
    assert [line.split(":")[0] for line in several[-3:]] == ["channel-0", "channel-1", "channel-2"]
    assert several[-1].endswith(("2 more: --full.", "…"))
    ascii_only = screen(big(2, 2), encoding="ascii")
    assert any("surely less" in line for line in ascii_only)


def test_marks_say_what_tests_say() -> None:
    one = judged()
    shown = brief.table([one], intervals=False)
    marks = {row[0]: row[1].split()[-1] for row in shown.rows}
    for finding in one.findings:
        wanted = {"less": "↓", "more": "↑", "open": "="}.get(finding.against_none or "")
        if wanted:
            assert marks[names.of(finding.protection)] == wanted


def test_a_screen_says_at_which_step_a_defence_falls() -> None:
    one = judged()
    protection = one.defences[0].protection
    place = {name: one.place[name] for name in PLACES}
    rung, held = (
        Rung("protected", "b on m", Value(0.4, 0.3, 0.5), "open"),
        Rung("clean", "a", Value(0.1, 0, 0.2), "less"),
    )
    met = Ladder(place, one.question, rung, (Climb(protection, (held, rung)),))
    elsewhere = met._replace(place={**place, "channel": "other"})
    shown = brief.table([one], False, [met, elsewhere])
    assert shown.headings[-1] == "falls at"
    steps = {row[0]: row[-1] for row in shown.rows}
    assert steps.pop(names.of(one.defences[0].protection)) == "protected"
    assert set(steps.values()) == {""}
    assert "falls at" not in brief.table([one], False, [elsewhere]).headings
    safe = met._replace(climbs=(Climb(protection, (held,)),))
    assert "\N{EM DASH}" in {row[-1] for row in brief.table([one], False, [safe]).rows}


def test_without_conclusions_a_screen_shows_the_beginning_and_full_shows_all() -> None:
    many = [("none", None), *((f"defence {at}", 0.01) for at in range(30))]
    results = Results(rows_of(attackers=["predicted", "calibrated", "random"], defenders=many), run_of())
    lines = screen(results)
    assert len(lines) == terminal.SCREEN + 1
    assert lines[-1].endswith("more lines: --full")
    assert len(screen(results, full=True)) > len(lines)


def test_attackers_that_see_no_photo_stand_there_once() -> None:
    many = [("none", None), ("a", 0.01), ("b", 0.01)]
    results = Results(rows_of(attackers=["predicted", "ground-truth", "random"], defenders=many), run_of())
    lines = screen(results, width=140, full=True)
    count = {name: sum(f" {name} " in line for line in lines) for name in ("predicted", "ground-truth", "random")}
    assert count == {"predicted": 3, "ground-truth": 1, "random": 1}


def test_a_run_as_json_holds_its_cells_and_conclusions(
    home: Path, small_board: Path, run_cli: Callable[..., Finished]
) -> None:
    done = run_cli("report", small_board / "results" / "small", "--json")
    document = json.loads(done.out)
    assert done.status == 0
    assert len(document["cells"]) == 4 * 2 * 3
    assert document["name"] == "small"
    assert {"k", "n", "value", "low", "high"} == set(document["cells"][0]["success"][0])
    assert document["failed"] == []
    assert document["conclusions"]


def two(change: Callable[[dict[str, Any]], None], tmp_path: Path, small_board: Path) -> Difference:
    """The small run beside a copy in which something was changed."""
    from linkbench.results import folder

    copy = tmp_path / "copy"
    shutil.copytree(small_board / "results" / "small", copy)
    first, second = folder.read(small_board / "results" / "small"), folder.read(copy)
    change(second.run)
    return difference(first, second)


@pytest.mark.slow
def test_a_run_beside_itself_differs_in_nothing(tmp_path: Path, small_board: Path) -> None:
    found = two(lambda run: None, tmp_path, small_board)
    assert found.differs == []
    assert len(found.pairs) == 4 * 2 * 3
    assert all(pair.paired and pair.change.value == 0 and pair.verdict == "open" for pair in found.pairs)
    assert "all paired by person: nothing is told apart." in compared.conclusion(found)


@pytest.mark.slow
def test_what_was_done_otherwise_is_said_and_other_people_are_not_paired(tmp_path: Path, small_board: Path) -> None:
    def other(run: dict[str, Any]) -> None:
        run["scenario"]["models"][0]["recipe"]["params"]["epochs"] = 9
        run["versions"]["torch"] = "0.1"
        run["plugins"][0]["code"] = "0" * 16
        for step in run["steps"].values():
            if step["stage"] == "cohort":
                step["digest"], step["key"]["seed"] = "0" * 64, 5

    found = two(other, tmp_path, small_board)
    assert "scenario.models.plain.recipe.params.epochs: 1 -> 9" in found.differs
    assert any(line.startswith("versions.torch: ") for line in found.differs)
    assert any(line.startswith("the code of ") for line in found.differs)
    assert not any(pair.paired for pair in found.pairs)
    assert "(unpaired)" in compared.table(found)[1][0][-2]


def test_a_comparison_is_safe_on_a_page_and_whole_as_json() -> None:
    place = {"cohort": "c", "genomes": "g", "model": EVIL, "poison": "none", "defender": "none", "epsilon": None,
             "channel": "png", "attacker": "predicted", "seed": 0}  # fmt: skip
    pair = Pair(place, 0.1, 0.2, Value(0.1, 0.05, 0.15), True, "more")
    found = Difference(1, 100, 0.95, [f"scenario.{EVIL}"], [pair, pair._replace(place={**place, "model": "b"})], (1, 0))
    text = compared.to_html(found, (EVIL, "b"))
    page = Page(text)
    assert "script" not in page.tags
    assert page.links == ["data:,"]
    assert "\x1b" not in text
    assert json.loads(compared.to_json(found))["pairs"][0]["change"] == {"value": 0.1, "low": 0.05, "high": 0.15}


@pytest.mark.slow
def test_the_command_compares_and_refuses_what_has_nothing_in_common(
    home: Path, small_board: Path, run_cli: Callable[..., Finished]
) -> None:
    small = small_board / "results" / "small"
    done = run_cli("compare", small, small, "--html", "page.html")
    assert done.status == 0, done.err
    assert done.out.splitlines()[-2].startswith("24 cells in both")
    assert Path("page.html").is_file()
    assert len(json.loads(run_cli("compare", small, small, "--json").out)["pairs"]) == 24
    assert run_cli("compare", small, "nowhere").status == 2


def test_paired_differences_are_found_where_there_are_some() -> None:
    from linkbench.results.difference import _test
    from linkbench.results.verdicts import Photos

    people = np.arange(200)
    base = np.random.default_rng(1).random(200) < 0.3
    worse = base & (people % 3 > 0)
    made = [Photos(values.astype(float), people, np.ones(200)) for values in (base, worse)]
    paired, unpaired = (_test(made[0], made[1], how, 0.95) for how in (True, False))
    assert paired[0].value == pytest.approx(unpaired[0].value)
    assert paired[1] < unpaired[1]
    assert paired[0].high < 0


def test_scenarios_of_the_toolkit_run_by_name(home: Path, run_cli: Callable[..., Finished]) -> None:
    assert shipped.folder() == ROOT / "scenarios"
    assert run_cli("validate", "paper-matching").status == 0
    shown = run_cli("list")
    assert "no finished run below results" in shown.out
    assert "Fig. 2 of Venkatesaramani" in shown.out
    assert {one["name"] for one in json.loads(run_cli("list", "--json").out)["scenarios"]} == set(shipped.names())
    Path("quickstart").write_text("nonsense")  # a file goes first
    assert run_cli("validate", "quickstart").status == 2


def test_the_wheel_brings_the_scenarios() -> None:
    import tomllib

    built = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert built["force-include"] == {"scenarios": "linkbench/scenarios"}


def test_finished_runs_are_listed_with_what_they_show(
    small_board: Path, home: Path, run_cli: Callable[..., Finished]
) -> None:
    shutil.copytree(small_board / "results", home / "results")
    (home / "results" / "broken").mkdir()
    (home / "results" / "broken" / "run.json").write_text("{}")
    found = {Path(one["folder"]).name: one for one in json.loads(run_cli("list", "--json").out)["results"]}
    assert found["small"]["cells"] == 24
    assert found["small"]["shows"]
    assert "problem" in found["broken"]


def test_a_start_is_written_once_and_passes(home: Path, run_cli: Callable[..., Finished]) -> None:
    done = run_cli("init")
    assert done.status == 0
    assert run_cli("validate", "quickstart.yaml").status == 0
    assert Path("quickstart.yaml").read_text().startswith("# yaml-language-server: $schema=linkbench.schema.json\n")
    assert json.loads(Path("linkbench.schema.json").read_text())["$schema"]
    assert "exists" in run_cli("init").err
    assert run_cli("init", "theorem1", "--out", "mine.yaml").status == 0
    assert "quickstart" in run_cli("init", "nothing").err
    assert "is no folder" in run_cli("init", "--out", "no/where.yaml").err


def test_what_is_missing_here_is_said_before_any_work(
    home: Path, run_cli: Callable[..., Finished], monkeypatch: pytest.MonkeyPatch
) -> None:
    done = run_cli("validate", "paper-fig2-photos")
    assert done.status == 1
    assert "missing here: cohort paper-release reads paper-release" in done.err
    found = load_scenario(ROOT / "scenarios" / "quickstart.yaml")
    assert preflight.missing(found) == []
    whole = preflight.importlib.util.find_spec
    monkeypatch.setattr(preflight.importlib.util, "find_spec", lambda name: None if name == "torch" else whole(name))
    assert "pip install 'linkbench[photos]'" in preflight.missing(found)[0]
