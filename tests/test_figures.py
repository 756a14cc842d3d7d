"""Tables of the documentation come from stored runs, and a page that says something else is found."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
from conftest import ROOT


@pytest.fixture
def figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, with pages and runs of its own."""
    spec = importlib.util.spec_from_file_location("figures_of_docs", ROOT / "docs" / "figures.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "figures_of_docs", module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "DOCS", tmp_path / "docs")
    monkeypatch.setattr(module, "RUNS", tmp_path / "docs" / "runs")
    (tmp_path / "docs").mkdir()
    layout = module.Layout("small", "png", "predicted", 1, 100, (0.02,), {"noise of signs": "noise(noise=sign)"})
    monkeypatch.setattr(module, "TABLES", {"small": layout})
    return module


@pytest.mark.slow
def test_a_table_is_written_from_a_run_and_drift_is_found(
    figures: ModuleType, small_board: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = figures.DOCS / "page.md"
    page.write_text("Before.\n\n<!-- figures: small -->\nold\n<!-- end of figures -->\n\nAfter.\n")
    assert "cannot be made" in figures.drifted()[0]
    monkeypatch.setattr(sys, "argv", ["figures.py", "add", str(small_board / "results" / "small")])
    figures.main()
    text = page.read_text()
    assert text.startswith("Before.\n\n<!-- figures: small -->\nSuccess@1 at n = 100 of the attacker `predicted`")
    assert "10 photos of 10 people, seed 0, CPU; nobody defends: ." in " ".join(text.split())
    assert "| channel png, epsilon | .02 |\n|---|---|\n| noise of signs | ." in text
    assert text.endswith("\n<!-- end of figures -->\n\nAfter.\n")
    assert figures.drifted() == []
    kept = json.loads((figures.RUNS / "small.json").read_text())
    assert kept["photos"] == 10
    assert "rank" not in json.dumps(kept)
    page.write_text(text.replace("of 10 people", "of 11 people"))
    assert "are not those of the stored runs" in figures.drifted()[0]
    page.write_text(text.replace("<!-- end of figures -->", ""))
    assert "have no end" in figures.drifted()[0]


def test_the_check_of_the_documentation_looks_for_drift() -> None:
    assert "drifted()" in (ROOT / "docs" / "check.py").read_text()
