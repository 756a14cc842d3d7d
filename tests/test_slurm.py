"""Jobs of submitit, tried with its processes on this machine, carry out a run to the same bytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Finished
from test_executors import tables
from test_resume import outputs

import linkbench as lb

pytest.importorskip("submitit", reason="pip install 'linkbench[slurm]'")

Cli = Callable[..., Finished]


@pytest.mark.slow
def test_jobs_that_are_ready_together_are_one_array(home: Path, spawn: Cli) -> None:
    Path("t.yaml").write_text(tables("predicted"))
    done = spawn(
        "run", "t.yaml", "--executor", "slurm", "--workers", "3", "--with", "cluster=local", "--with", "folder=jobs",
        "--out", "slurm", "--store", "slurm-store",
    )  # fmt: skip
    assert done.status == 0, done.err
    alone = spawn("run", "t.yaml", "--workers", "1", "--out", "one", "--store", "one-store")
    assert alone.status == 0, alone.err
    assert outputs(home / "slurm") == outputs(home / "one")
    assert len(list(Path("jobs").glob("*_submitted.pkl"))) == 6, "three cohorts and three ranks; the rest is small"
    assert not list(Path("jobs").glob("*.progress"))


def test_a_machine_without_slurm_is_told_so(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(home))
    with pytest.raises(lb.WorkerError, match="Slurm cannot be used here"):
        lb.run(tables("predicted"), executor={"use": "slurm", "partition": "gpu", "minutes": 5}, store=home / "s")
