"""`linkbench plugin new` writes packages that install, show up, pass their tests and run; adapters are light."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import environment

from linkbench.cli.plugin import FILES, KINDS, package, wrong_name

ROOT = Path(__file__).parent.parent

STAGE = """
import sys
import numpy as np
import pytest
from linkbench.api.schema import PAPER
from linkbench.plan.task import Task
from linkbench.stages.protect import protect
from linkbench.registry.spec import parse_spec
from linkbench.api.data import TEST, Cohort, Genomes, strings

use, wrong = parse_spec("defender", {"use": "mosaic-veil", "epsilon": 0.04}, ())
assert not wrong, wrong
count = 6
ids = strings([f"p{i}" for i in range(count)])
photos = np.random.default_rng(0).integers(0, 256, (count, 3, 12, 12), dtype=np.uint8)
people = Cohort(PAPER, ids, np.arange(count), np.zeros((count, 4), int), np.arange(count), np.full(count, TEST), photos)
genomes = Genomes(PAPER, ids, np.full((count, PAPER.width), -1.0))
task = Task({"cohort": people.artefact(), "genomes": genomes.artefact()}, {"defender": use[0]}, {}, 0, "cpu")
out = np.concatenate(list(protect(task).arrays["photos"].blocks))
moved = np.abs(out - photos / 255).max()
assert out.shape == photos.shape and 0.01 < moved <= 0.04 + 1e-6, moved
print("ran", use[0].identity()["distribution"], flush=True)
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", sys.argv[1]]))
"""

LISTING = """
import sys
from linkbench.registry.catalogue import describe

found = {(entry["kind"], entry["name"]): entry for entry in describe()}
for name in ("defender torchattacks/pgd", "defender art/auto-pgd", "channel art/spatial-smoothing"):
    entry = found[tuple(name.split())]
    assert not entry["broken"], entry
    assert entry["parameters"], name
heavy = {"torch", "art", "torchattacks", "scipy", "pandas", "sklearn"} & set(sys.modules)
assert not heavy, heavy
"""


def python(*arguments: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    given = {**environment(path), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=given)


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_package_is_complete(kind: str, home: Path, run_cli: Callable[..., Any]) -> None:
    done = run_cli("plugin", "new", "mosaic-veil", "--kind", kind, "--out", "made")
    assert done.status == 0, done.err
    folder = home / "made" / "mosaic-veil"
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert found == {path.format(module="mosaic_veil", kind=kind) for path in FILES}
    text = "".join((folder / path).read_text() for path in found)
    assert "{{" not in text
    assert "pip install" in done.out
    for path in found:
        if path.endswith(".py"):
            compile((folder / path).read_text(), path, "exec")
            assert max(map(len, (folder / path).read_text().splitlines())) <= 120
    if kind != "defender":  # the next test does more with that one
        done = python("-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder / "tests"), path=folder)
        assert done.returncode == 0, done.stdout


def test_a_new_package_installs_shows_up_passes_its_tests_and_runs(
    tmp_path: Path, home: Path, run_cli: Callable[..., Any], spawn: Callable[..., Any]
) -> None:
    assert run_cli("plugin", "new", "mosaic-veil").status == 0
    site = tmp_path / "site"
    installed = python(
        *("-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"),
        *("--disable-pip-version-check", "--target", str(site), str(home / "mosaic-veil")),
    )
    assert installed.returncode == 0, installed.stderr
    listed = spawn("plugins", "--kind", "defender", "--json", path=site)
    entry = next(entry for entry in json.loads(listed.out)["plugins"] if entry["name"] == "mosaic-veil")
    assert (entry["distribution"], entry["version"], entry["broken"]) == ("mosaic-veil", "0.1.0", None)
    assert {"epsilon", "random", "knowledge"} <= set(entry["parameters"])
    ran = python("-c", STAGE, str(home / "mosaic-veil" / "tests"), path=site)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.startswith("ran mosaic-veil")
    checked = spawn("check", "mosaic-veil", path=site)
    assert checked.status == 0, checked.out
    assert checked.out.startswith("defender mosaic-veil: 12 checks, 11 passed, 0 failed, 1 skipped")


def test_an_existing_folder_is_refused(home: Path, run_cli: Callable[..., Any]) -> None:
    (home / "mine").mkdir()
    (home / "mine" / "kept.txt").write_text("kept")
    done = run_cli("plugin", "new", "mine")
    assert done.status == 2
    assert "already exists; nothing was written" in done.err
    assert [path.name for path in (home / "mine").iterdir()] == ["kept.txt"]


@pytest.mark.parametrize("name", ["", "../x", "Upper", "a--b", "-a", "a_b", "a/b", "json", "torch", "linkbench-1", "é"])
def test_names_that_cannot_be_are_refused(name: str, home: Path, run_cli: Callable[..., Any]) -> None:
    done = run_cli("plugin", "new", "--", name)
    assert done.status == 2
    assert repr(name) in done.err
    assert not list(home.iterdir())


def test_names_that_can_be() -> None:
    assert all(wrong_name(name) is None for name in ("a", "my-defender", "linkbench-mosaic", "x2-3d"))


def test_the_template_in_the_repository_is_what_the_command_writes() -> None:
    folder = ROOT / "plugins" / "linkbench-template"
    found = {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and not {"__pycache__", ".pytest_cache"} & set(path.parts)
    }
    assert found == package("linkbench-template", "defender"), (
        "write it again: linkbench plugin new linkbench-template --out plugins"
    )


def test_listing_the_adapters_imports_no_library_behind_them() -> None:
    done = python("-c", LISTING)
    assert done.returncode == 0, done.stderr
