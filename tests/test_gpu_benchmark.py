"""The command that measures a device runs where there is none, and says what it could not do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.usefixtures("one_thread")
def test_a_cpu_measures_what_it_has(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    import gpu

    gpu.batches("small-cnn", "cpu", 16, 1)
    gpu.precision("small-cnn", "cpu", 4)
    gpu.uploads("cpu", 4, 1)
    said = capsys.readouterr().out.splitlines()
    assert [line.split(" at once")[0] for line in said[:2]] == ["batches:     8", "batches:    16"]
    assert said[2].startswith("precision: bfloat16: log-probabilities move by up to ")
    assert not said[2].startswith("precision: bfloat16: log-probabilities move by up to 0.0"), "it is coarser"
    assert [line for line in said if "NOT RUN" in line] == said[3:]
    assert len(said) == 5


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_nothing_is_claimed() -> None:
    done = subprocess.run([sys.executable, FOLDER / "gpu.py"], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "NOT RUN" in done.stderr
