"""What holds the project together besides code: one version, one workflow, a citation, hooks that run our own tools."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import browser
import pytest
from conftest import ROOT
from ruamel.yaml import YAML

import linkbench as lb

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())


def read(name: str) -> Any:
    return YAML(typ="safe", pure=True).load((ROOT / name).read_text())


def test_the_version_stands_in_one_place() -> None:
    assert "version" in PROJECT["project"]["dynamic"]
    source = PROJECT["tool"]["hatch"]["version"]["path"]
    assert f'__version__ = "{lb.__version__}"' in (ROOT / source).read_text()
    assert "version" not in read("CITATION.cff")


def test_the_workflow_runs_ci_on_every_python_that_the_package_names() -> None:
    (job,) = read(".github/workflows/checks.yml")["jobs"].values()
    named = [line.rpartition(" ")[2] for line in PROJECT["project"]["classifiers"] if "Python :: 3." in line]
    assert job["strategy"]["matrix"]["python"] == named
    assert ".ci/run" in [step.get("run") for step in job["steps"]]
    assert (ROOT / ".ci/run").stat().st_mode & 0o111
    assert PROJECT["project"]["requires-python"] == f">={named[0]}"


def test_the_workflow_of_entries_trusts_nothing_that_a_pull_request_brings() -> None:
    text = (ROOT / ".github/workflows/entries.yml").read_text()
    workflow = read(".github/workflows/entries.yml")
    assert workflow["permissions"] == {"contents": "read"}
    assert "secrets." not in text
    for job in workflow["jobs"].values():
        assert "permissions" not in job
        checkout, *steps = job["steps"]
        assert checkout["with"]["persist-credentials"] is False
        ran = [step["run"] for step in steps if "run" in step]
        assert not any("${{" in script for script in ran)  # what a stranger names reaches a shell as a variable only
        assert all('"../base[' in script for script in ran if "pip install" in script)


def test_hooks_before_commits_run_the_tools_of_make() -> None:
    makefile = (ROOT / "Makefile").read_text().replace("$(BIN)", ".venv/bin")
    for hook in read(".pre-commit-config.yaml")["repos"][0]["hooks"]:
        assert hook["entry"].removesuffix(" --fix") in makefile, hook["id"]


def test_the_citation_names_the_licence_of_the_package() -> None:
    cited = read("CITATION.cff")
    assert cited["license"] == PROJECT["project"]["license"]
    assert {"cff-version", "message", "title", "authors"} <= set(cited)
    (paper,) = cited["references"]
    assert paper["doi"] in (ROOT / "docs/methods.md").read_text()


def test_the_changelog_keeps_its_form() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    first, *_ = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert first == "Unreleased"
    kinds = re.findall(r"^### (.*)$", text, re.MULTILINE)
    assert set(kinds) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


@pytest.mark.parametrize(("ci", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_a_missing_browser_fails_in_ci_and_is_skipped_elsewhere(
    ci: str, outcome: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("LINKBENCH_CHROMIUM", raising=False)
    with pytest.raises(outcome, match="no Chromium on this machine"):
        browser.find()
    monkeypatch.setenv("LINKBENCH_CHROMIUM", "/somewhere/chrome")
    assert browser.find() == "/somewhere/chrome"
