"""A results folder: whole results are only replaced by whole results, and nobody finds half a run."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Finished

from linkbench.errors import InputError
from linkbench.results import folder as files
from linkbench.results import writing

Cli = Callable[..., Finished]
SCENARIO = """
linkbench: 1
name: a
genomes: {use: simulated, count: 60}
cohort: {use: sampled, count: 20}
attackers: [predicted]
measure: {top_k: [1], sizes: [10], resamples: 100}
"""
REGISTER = """
from linkbench.api.hookspecs import hookimpl

@hookimpl
def register_attackers(register):
    register("lame", "pkg.lame:Lame", summary="x", api=1)
"""
LAME = """
from linkbench.api.base import Attacker

class Lame(Attacker):
    def score(self, evidence, genomes, learned):
        raise RuntimeError("cannot")
"""
WITH_LAME = ("--set", "attackers=[predicted, lame]")
OUT = Path("results/a")


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def run(run_cli: Cli, fake_plugin: Any) -> Callable[..., Finished]:
    fake_plugin("pkg", {"__init__.py": REGISTER, "lame.py": LAME})
    Path("s.yaml").write_text(SCENARIO)
    return lambda *arguments: run_cli("run", "s.yaml", *arguments)


@pytest.mark.slow
def test_a_run_that_fails_in_part_leaves_whole_results_alone(run: Cli) -> None:
    assert run().status == 0
    whole = content(OUT)
    failed = run(*WITH_LAME)
    assert failed.status == 1
    assert "results/a holds the whole results of an earlier run and keeps them; this run failed in part:" in failed.out
    assert "table:  results/a/incomplete/results.csv" in failed.out
    assert {name: left for name, left in content(OUT).items() if not name.startswith("incomplete/")} == whole
    beside = content(OUT / "incomplete")
    assert set(beside) == set(whole)
    assert [failure.reason for failure in files.read(OUT / "incomplete").failed] == ["RuntimeError: cannot"]
    assert run(*WITH_LAME).status == 1
    assert beside["results.csv"] == content(OUT)["incomplete/results.csv"]
    (OUT / "incomplete" / "notes.txt").write_text("mine")
    assert run("--set", "attackers=[predicted, random]").status == 0
    assert set(content(OUT)) - set(whole) - {"incomplete/notes.txt"} == {
        f"ranks/{cell}.safetensors" for cell in files.read(OUT).cells[1].ids
    }


@pytest.mark.slow
def test_results_that_failed_in_part_give_way_to_any_others(run: Cli) -> None:
    assert run(*WITH_LAME).status == 1
    assert "table:  results/a/results.csv" in run(*WITH_LAME, "--set", "measure.top_k=[2]").out
    assert not (OUT / "incomplete").exists()
    assert {row.k for row in files.read(OUT).rows if row.metric == "success"} == {2}
    assert run().status == 0
    assert files.read(OUT).failed == []


@pytest.mark.slow
def test_results_that_cannot_be_written_leave_the_earlier_ones(run: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run().status == 0
    whole = content(OUT)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(writing, "write_text", full)
    done = run("--set", "measure.top_k=[2]")
    assert done.status == 2
    assert "results/a cannot be written: No space left on device. Finished stages are kept" in done.err
    assert content(OUT) == whole


@pytest.mark.slow
def test_a_whole_run_that_was_killed_at_the_last_moment_is_put_in_place_by_whoever_reads(run: Cli) -> None:
    assert run().status == 0
    old = content(OUT)
    assert run("--set", "measure.top_k=[2]", "--out", "new").status == 0
    new = content(Path("new"))
    sealed, broken = OUT / f"{files.STAGING}a", OUT / f"{files.STAGING}b"
    shutil.copytree("new", sealed)
    shutil.copytree("new", broken)
    (broken / "run.json").unlink()
    (sealed / "results.csv").rename(OUT / "results.csv")  # it had begun
    assert {row.k for row in files.read(OUT).rows if row.metric == "success"} == {2}
    assert {name: left for name, left in content(OUT).items() if not name.startswith(".")} == new
    assert not sealed.exists()
    os.utime(broken, (time.time() - 2 * writing.STALE,) * 2)
    assert run().status == 0
    assert set(content(OUT)) == set(old), "what was never whole is swept"


def test_a_folder_without_results_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no finished run"):
        files.read(tmp_path / "none")
    assert writing.place(tmp_path / "none", {"cells": [{"failed": {"reason": "x"}}]}) == tmp_path / "none"
