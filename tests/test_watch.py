"""How a run is shown: lines in a log, bars on a terminal, events for programs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, Finished, environment
from rich.console import Console

from linkbench.api.executor import Failure
from linkbench.execution import lines as lines_module
from linkbench.execution import running as running_module
from linkbench.execution.bars import Bars
from linkbench.execution.estimate import Past
from linkbench.execution.events import Events
from linkbench.execution.lines import Lines
from linkbench.execution.records import Record
from linkbench.execution.running import Running, duration
from linkbench.plan.builder import Step
from linkbench.store.store import KEY_VERSION, Stored

Cli = Callable[..., Finished]
SCENARIO = """
linkbench: 1
name: a
genomes: {use: simulated, count: 60}
cohort: {use: sampled, count: 20}
attackers: [predicted, random]
measure: {top_k: [1], sizes: [10], resamples: 100}
"""


def step(stage: str, number: int = 0) -> Step:
    return Step(stage, "module:function", {}, {}, {}, number)


def computed(seconds: float) -> Record:
    return Record(Stored({}, "0" * 64, seconds), computed=True)


class Clock:
    """Time that passes when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(running_module.time, "monotonic", lambda: self.now)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"), (9.94, "9.9 s"), (12.3, "12 s"), (59.7, "1 min 0 s"), (200, "3 min 20 s"), (1234, "21 min"),
        (7500, "2 h 5 min"),
    ],
)  # fmt: skip
def test_durations_read_well(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_time_left_follows_the_speed_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    running = Running("train small-cnn", "worker 2")
    assert running.text() == "worker 2: train small-cnn"
    clock.now += 30
    running.hear(30, 200, "epoch 3/20")
    assert running.left() == pytest.approx(170)
    assert running.text() == "worker 2: train small-cnn (epoch 3/20, 2 min 50 s left)"
    clock.now += 100
    running.hear(1, 4)  # another count: what came before is not its speed
    assert (running.left(), running.how_far()) == (None, "25 %")
    clock.now += 10
    running.hear(2, 4)
    assert (running.left(), running.how_far()) == (pytest.approx(20), "50 %, 20 s left")
    running.hear(7, 0)
    assert running.how_far() == ""


def test_trivial_stages_share_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines(6)
    for number, seconds in enumerate([0.2, 0.3]):
        lines.end(step("rank", number), "rank predicted", computed(seconds))
    lines.end(step("measure"), "measure", computed(0.1))
    lines.end(step("train"), "train standard", computed(75.0))
    lines.note("train standard", "printed something")
    lines.end(step("rank", 2), "rank lame", Failure("rank lame", "RuntimeError: no", False, ""))
    lines.end(step("rank", 3), "rank last", computed(0.4))
    lines.close()
    assert capsys.readouterr().err.splitlines() == [
        "[3/6] 2 rank, 1 measure: 0.6 s",
        "[4/6] train standard: 1 min 15 s",
        "note: train standard printed something",
        "[5/6] rank lame FAILED: RuntimeError: no",
        "[6/6] 1 rank: 0.4 s",
    ]


def test_a_silent_run_gives_signs_of_life(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(lines_module, "HEARTBEAT", 0.05)
    lines = Lines(9)
    hear = lines.begin(step("train"), "train standard", "worker 1")
    hear(1, 4)
    lines.begin(step("protect"), "protect noise")
    said = ""
    until = time.monotonic() + 10
    while said.count("\n") < 2 and time.monotonic() < until:
        time.sleep(0.02)
        said += capsys.readouterr().err
    lines.close()
    assert re.match(r"\[0/9\] after 0\.\d s: worker 1: train standard \(25 %, .* left\); protect noise\n", said)
    time.sleep(0.15)
    assert capsys.readouterr().err == "", "a run that is over is silent"


def test_bars_show_each_stage_that_is_computed() -> None:
    screen = StringIO()
    with Bars(3, Console(file=screen, force_terminal=True, width=120)) as bars:
        one = bars.begin(step("train"), "train [standard]", "worker 1")
        bars.begin(step("protect"), "protect noise", "worker 2")
        one(5, 20)
        bars.progress.refresh()
        shown = screen.getvalue()
        bars.note("train", "printed [this]")
        bars.end(step("train"), "train [standard]", computed(2.0))
        bars.end(step("train"), "train [standard]", computed(2.0))
        bars.end(step("protect"), "protect noise", Failure("protect noise", "no [such] thing", False, ""))
        bars.progress.refresh()
    assert "worker 1: train [standard]" in shown
    assert "worker 2: protect noise" in shown
    assert "25 %, " in shown
    assert "None" not in shown
    after = screen.getvalue()[len(shown) :]
    assert "2/3" in after, "a stage that ends twice counts once"
    assert "printed [this]" in after
    assert "no [such] thing" in after


# events


def documented() -> dict[str, set[str]]:
    """The fields of every event, as docs/events.md tells them."""
    rows = re.findall(r"^\| `(\w+)` \| [^|]* \| ([^|]*) \|$", (ROOT / "docs" / "events.md").read_text(), re.MULTILINE)
    return {name: {"version", "event", "time", *re.findall(r"`(\w+)`", fields)} for name, fields in rows}


def events_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_events_are_as_documented(capfd: pytest.CaptureFixture[str]) -> None:
    events = Events(2)
    hear = events.begin(step("train"), "train", "worker 1")
    hear(1, 4)
    hear(2, 4)
    hear(4, 4)
    events.note("train", "printed")
    events.end(step("train"), "train", computed(1.0))
    events.end(step("rank"), "rank", Failure("rank", "why", False, ""))
    events.conclude(1, error=None, cells=1, failed=[], table="t", report="r")
    told = events_of(capfd.readouterr().out)
    assert [event["event"] for event in told] == [
        "begin", "progress", "progress", "note", "end", "end", "conclusion",
    ]  # fmt: skip
    assert [event["done"] for event in told if event["event"] == "progress"] == [1, 4], "not every word"
    assert all(set(event) == documented()[event["event"]] for event in told)
    assert (told[4]["outcome"], told[5]["outcome"], told[5]["reason"], told[5]["seconds"]) == (
        "computed", "failed", "why", None,
    )  # fmt: skip
    assert (told[5]["ended"], told[5]["steps"]) == (2, 2)


@pytest.mark.slow
def test_a_run_tells_its_events_and_nothing_else(home: Path, spawn: Callable[..., Finished]) -> None:
    Path("s.yaml").write_text(SCENARIO)
    first = spawn("run", "s.yaml", "--json")
    assert (first.status, first.err) == (0, "")
    told = events_of(first.out)
    ids = set(json.loads(Path("results/a/run.json").read_text())["steps"])
    assert {event["step"] for event in told if event["event"] == "begin"} == ids
    assert [event["outcome"] for event in told if event["event"] == "end"] == ["computed"] * len(ids)
    conclusion = told[-1]
    assert (conclusion["event"], conclusion["status"], conclusion["cells"]) == ("conclusion", 0, 2)
    assert (Path(conclusion["table"]).is_file(), Path(conclusion["report"]).is_file()) == (True, True)
    again = events_of(spawn("run", "s.yaml", "--json").out)
    assert [event["outcome"] for event in again[:-1]] == ["cached"] * len(ids)


@pytest.mark.slow
def test_a_run_without_results_concludes_too(home: Path, spawn: Callable[..., Finished]) -> None:
    Path("s.yaml").write_text(SCENARIO.replace("{use: simulated, count: 60}", "{use: table, path: g.csv}"))
    Path("g.csv").write_text("id,sex:female,sex:male\na,nonsense,0.5\n")
    done = spawn("run", "s.yaml", "--json")
    assert done.status == 2
    assert "g.csv:2" in done.err
    conclusion = events_of(done.out)[-1]
    assert (conclusion["event"], conclusion["status"]) == ("conclusion", 2)
    assert "g.csv:2" in conclusion["error"]


def test_a_reader_who_goes_away_does_not_disturb_the_run(home: Path) -> None:
    Path("s.yaml").write_text(SCENARIO)
    command = [sys.executable, "-m", "linkbench", "run", "s.yaml", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as run:
        assert run.stdout is not None
        run.stdout.close()
        assert (run.wait(60), run.stderr.read() if run.stderr else b"") == (0, b"")
    assert Path("results/a/run.json").exists()


def test_a_dry_run_has_no_events(run_cli: Cli) -> None:
    Path("s.yaml").write_text(SCENARIO)
    done = run_cli("run", "s.yaml", "--json", "--dry-run")
    assert done.status == 2
    assert "--dry-run runs nothing; leave one of them out" in done.err


# how long it may take


def entry(stage: str, use: str, seconds: float, epochs: int = 1, device: str = "cpu") -> Stored:
    plugins = {"recipe": {"use": use, "params": {"epochs": epochs}}}
    key = {"key": KEY_VERSION, "stage": stage, "plugins": plugins, "settings": {}, "device": device}
    return Stored(key, "0" * 64, seconds)


def test_estimates_go_by_the_past_stages_most_alike() -> None:
    class Recipe:
        """A plugin chosen in a scenario, as far as estimates look at it."""

        def __init__(self, name: str, epochs: int) -> None:
            self.name, self.epochs = name, epochs

        def identity(self) -> dict[str, Any]:
            return {"use": self.name, "params": {"epochs": self.epochs}, "code": ["new"]}

    def asked(name: str, epochs: int = 1, device: str = "cpu") -> float | None:
        specs: Any = {"recipe": Recipe(name, epochs)}
        return past.estimate(Step("train", "m:f", specs, {}, {}, 0, on_device=True), device)

    past = Past(
        [
            entry("train", "standard", 10.0),
            entry("train", "standard", 12.0),
            entry("train", "standard", 50.0, epochs=5),
            entry("train", "adversarial", 100.0),
            entry("train", "standard", 1.0, device="cuda"),
            entry("rank", "standard", 7.0),
            Stored({"key": 1}, "0" * 64, 5.0),
        ]
    )
    assert asked("standard") == 11.0
    assert asked("standard", epochs=5) == 50.0
    assert asked("standard", epochs=7) == 12.0, "the same plugin with other parameters"
    assert asked("orthogonal") == 31.0, "the same stage"
    assert asked("standard", device="cuda:1") == 1.0
    assert Past([]).estimate(step("train"), "cpu") is None


@pytest.mark.slow
def test_a_dry_run_says_how_long_it_may_take(run_cli: Cli) -> None:
    Path("s.yaml").write_text(SCENARIO)
    first = run_cli("run", "s.yaml", "--dry-run").out
    assert "7 stages to compute are of a kind that this store has not seen" in first
    assert "about" not in first
    assert run_cli("run", "s.yaml").status == 0
    then = run_cli("run", "s.yaml", "--dry-run", "--set", "cohort.count=30").out
    assert re.search(r"cohort +to compute +about \d\.\d s +cohort sampled", then)
    assert re.search(r"about .* of work for 6 stages, judging by past stages of their kind", then)
    assert "about" not in run_cli("run", "s.yaml", "--dry-run").out
