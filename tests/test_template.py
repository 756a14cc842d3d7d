"""`linkbench plugin new` writes packages that install, show up, pass their tests and run; adapters are light."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import environment

from linkbench.api.kinds import KINDS, SECTIONS
from linkbench.cli.plugin import FILES, package, wrong_name
from linkbench.scenario.yaml import parse_yaml

ROOT = Path(__file__).parent.parent

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


@pytest.mark.slow
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
    readme = (folder / "README.md").read_text()
    assert KINDS[kind].example in readme


LINKAGE = """
linkbench: 1
name: all-mine
cohort: {use: veil-cohort, count: 30, size: 16}
genomes: {use: veil-genomes, count: 60}
models:
  - {name: mine, architecture: {use: veil-architecture, width: 4}, recipe: {use: veil-recipe, epochs: 1}}
defenders: [none, {use: veil-defender, epsilon: 0.04}]
channels: {use: veil-channel, levels: 16}
attackers: [veil-attacker, random]
measure: {top_k: [1], sizes: [10], resamples: 100}
"""

IDENTIFICATION = """
linkbench: 1
name: all-named
task: identification
cohort: {use: veil-cohort, count: 30, size: 16}
models:
  - {name: mine, architecture: {use: veil-architecture, width: 4}, recipe: {use: veil-recipe, epochs: 1}}
defenders: [none, {use: veil-defender, epsilon: 0.04}]
identifiers: [veil-identifier]
measure: {top_k: [1], sizes: [10], resamples: 100}
"""


@pytest.mark.slow
def test_new_packages_of_every_kind_install_show_up_pass_and_run(
    tmp_path: Path, home: Path, run_cli: Callable[..., Any], spawn: Callable[..., Any]
) -> None:
    names = {kind: f"veil-{kind}" for kind in KINDS}
    for kind, name in names.items():
        assert run_cli("plugin", "new", name, "--kind", kind).status == 0
    site = tmp_path / "site"
    installed = python(
        *("-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"),
        *("--disable-pip-version-check", "--target", str(site), *(str(home / name) for name in names.values())),
    )
    assert installed.returncode == 0, installed.stderr
    listed = json.loads(spawn("plugins", "--json", path=site).out)
    assert not listed["broken"]
    found = {
        (entry["kind"], entry["name"]): entry for entry in listed["plugins"] if entry["distribution"] != "linkbench"
    }
    for kind, name in names.items():
        entry = found[kind, name]
        assert (entry["distribution"], entry["version"], entry["broken"]) == (name, "0.1.0", None)
        assert re.split("[:=]", KINDS[kind].example)[0] in entry["parameters"]
    checked = spawn("check", "--json", *names.values(), path=site)
    assert checked.status == 0, checked.out
    assert [entry["name"] for entry in json.loads(checked.out)["plugins"]] == list(names.values())
    tests = [str(home / name / "tests") for name in names.values()]
    passed = python("-m", "pytest", "-q", "-p", "no:cacheprovider", *tests, path=site)
    assert passed.returncode == 0, passed.stdout
    for text in (LINKAGE, IDENTIFICATION):
        (home / "mine.yaml").write_text(text)
        ran = spawn("run", "mine.yaml", path=site)
        assert ran.status == 0, ran.out + ran.err
    rows = (home / "results" / "all-mine" / "results.csv").read_text()
    assert "veil-cohort,veil-genomes,mine,none,veil-defender,0.04,veil-channel" in rows
    assert ",veil-identifier,protection_rate," in (home / "results" / "all-named" / "results.csv").read_text()


@pytest.mark.parametrize("kind", [kind for kind, record in KINDS.items() if not record.option])
def test_scenario_lines_of_a_readme_are_of_its_kind(kind: str) -> None:
    data = parse_yaml("README", KINDS[kind].in_scenario(kind, "mine")).data
    (section,) = data
    assert section == "models" if not KINDS[kind].sections else SECTIONS[section] == kind


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


@pytest.mark.slow
def test_listing_the_adapters_imports_no_library_behind_them() -> None:
    done = python("-c", LISTING)
    assert done.returncode == 0, done.stderr
