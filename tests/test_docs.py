"""The documentation holds: every example in the help and in the pages is run, or at least checked.

What a page says in code blocks is done in order, in one folder, as a reader would. Comments before a block,
`<!-- docs: ... -->`, say what a reader knows without them:

- `file NAME`: the reader saves the block under this name.
- `tiny`: runs are made small, see `tiny`.
- `status N`: the last command ends so.
- `output`: the lines of the block stand in what the last command said; `output of COMMAND`: in what that one says.
- `wrong`: a scenario with mistakes. `the scenario of the plugin`: it needs the plugin of the page, see the test.
- `not run, WHY`: the commands are only parsed.
"""

from __future__ import annotations

import csv
import doctest
import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
import PIL.Image
import pytest
from conftest import ROOT, SCENARIOS, Finished, environment

from linkbench.cli import cli
from linkbench.cohorts.rendered import Rendered
from linkbench.errors import LinkbenchError
from linkbench.genomes.thousand_genomes import ThousandGenomes
from linkbench.plan.make import make_plan
from linkbench.scenario.load import load_scenario

ADAPTERS = [ROOT / "plugins" / name / "README.md" for name in ("linkbench-art", "linkbench-torchattacks")]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *ADAPTERS]
GENERATED = {"cli.md", "reference.md"}
"""Without examples of their own: what --help prints is checked below."""

Cli = Callable[..., Finished]


class Block(NamedTuple):
    """A code block of a page, its language, and what the comments before it say."""

    language: str
    text: str
    marks: tuple[str, ...]
    line: int

    def mark(self, name: str) -> str | None:
        """What follows a mark, or None where it is missing."""
        found = [mark for mark in self.marks if re.split("[ ,]", mark)[0] == name]
        return found[0][len(name) :].strip(" ,") if found else None


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    found, marks = [], []
    lines = iter(enumerate(page.read_text().splitlines(), start=1))
    for number, line in lines:
        if mark := re.fullmatch(r"<!-- docs: (.*) -->", line):
            marks.append(mark[1])
        elif line.startswith("```"):
            text = []
            for _, inner in lines:
                if inner == "```":
                    break
                text.append(inner)
            found.append(Block(line[3:], "\n".join(text) + "\n", tuple(marks), number))
            marks = []
        else:
            assert not marks, f"{page.name}:{number}: a comment 'docs:' stands before no block"
    return found


@pytest.fixture(scope="session")
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pages run the same scenarios; they need not compute them again."""
    return tmp_path_factory.mktemp("docs-store")


class Reader:
    """Does what a page says, in one folder."""

    def __init__(self, run_cli: Cli) -> None:
        self.run_cli = run_cli
        self.said = ""
        self.names: dict[str, Any] = {}

    def read(self, block: Block) -> None:
        name = block.mark("file")
        if name is not None:
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_text(block.text)
        getattr(self, f"_{block.language}", self._unknown)(block)

    def _unknown(self, block: Block) -> None:
        pytest.fail(
            f"line {block.line}: what is a block of {block.language!r}? Choose sh, yaml, python, pycon, toml or text"
        )

    def _sh(self, block: Block) -> None:
        why = block.mark("not")
        lines = block.text.replace("\\\n", " ").splitlines()
        for line in (line for line in lines if line and not line.startswith("#")):
            if why is not None:
                assert why.startswith("run, "), "say why it is not run"
                if line.startswith("linkbench "):
                    parse(line)
                continue
            self.said, status = self._do(line, block.mark("tiny") is not None)
            assert status == int(block.mark("status") or 0), f"{line}\n{self.said}"

    def _do(self, line: str, small: bool) -> tuple[str, int]:
        command, _, target = line.partition(" > ")
        words = shlex.split(command, comments=True)
        if words[0] == "linkbench":
            done = self.run_cli(*words[1:], *(tiny(Path(words[2])) if small and words[1] == "run" else ()))
            if target:
                Path(target.strip()).write_text(done.out)
            return done.out + done.err, done.status
        ended = subprocess.run(["bash", "-c", line], capture_output=True, text=True, env=environment(), timeout=60)
        return ended.stdout + ended.stderr, ended.returncode

    def _text(self, block: Block) -> None:
        source = block.mark("output")
        if source is None:
            return
        if source:
            ended = subprocess.run(["bash", "-c", source.removeprefix("of ")], capture_output=True, text=True)
            self.said = ended.stdout
        for line in block.text.splitlines():
            assert line in self.said

    def _yaml(self, block: Block) -> None:
        if block.mark("wrong") is not None or block.mark("the") is not None:
            return
        text = block.text
        if "linkbench:" not in text:
            given = {line.partition(":")[0] for line in text.splitlines()}
            text += "".join(f"{key}: {value}\n" for key, value in REST.items() if key not in given)
        file = Path("block.yaml")
        file.write_text(text)
        assert make_plan(load_scenario(file)).cells

    def _pycon(self, block: Block) -> None:
        session = doctest.DocTestParser().get_doctest(block.text, self.names, f"line {block.line}", None, block.line)
        runner = doctest.DocTestRunner()
        runner.run(session, clear_globs=False)
        assert runner.failures == 0
        self.names = session.globs

    def _toml(self, block: Block) -> None:
        tomllib.loads(block.text)

    def _python(self, block: Block) -> None:
        compile(block.text, f"line {block.line}", "exec")


REST = {
    "linkbench": 1,
    "name": "part",
    "cohort": "rendered",
    "genomes": "thousand-genomes",
    "models": "[{name: standard, recipe: standard, architecture: small-cnn}]",
}
"""What a part of a scenario is completed with."""


def tiny(scenario: Path) -> list[str]:
    """Options that make a run small: few and small photos, one channel, one narrow network trained for one epoch."""
    changes = ["measure.resamples=100", "measure.sizes=[10, 100]"]
    text = scenario.read_text()
    if "models:" in text:
        changes += ["models.0.recipe.epochs=1", "models.0.architecture.width=4"]
    if "rendered" in text:
        changes += ["cohort.count=40", "cohort.size=32"]
    if "channels:" in text:
        changes += ["channels=png"]
    return [word for change in changes for word in ("--set", change)]


def save_photos() -> None:
    """The folder that a reader with photos of their own has: rendered faces here, two of each person."""
    genomes = ThousandGenomes().build(0)
    cohort = Rendered(count=80, per_identity=2, size=32).build(genomes, 0)
    Path("photos").mkdir()
    with Path("photos/labels.csv").open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["file", "identity", *genomes.schema])
        streamed = (photo for part in cohort.photos.blocks for photo in part)  # type: ignore[union-attr]
        for number, photo in enumerate(streamed):
            PIL.Image.fromarray(np.asarray(photo).transpose(1, 2, 0)).save(f"photos/{number:03}.jpg")
            seen = zip(genomes.schema, cohort.labels[number], strict=True)
            labels = [genomes.schema[name][variant] for name, variant in seen]
            table.writerow([f"{number:03}.jpg", f"p{cohort.identity[number]}", *labels])


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.name not in GENERATED], ids=lambda page: f"{page.parent.name}/{page.name}"
)
def test_what_a_page_says_can_be_done(
    page: Path, home: Path, run_cli: Cli, shared_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LINKBENCH_STORE", str(shared_store))
    (home / "scenarios").symlink_to(SCENARIOS)
    if "photos/labels.csv" in page.read_text():
        save_photos()
    reader = Reader(run_cli)
    for block in blocks(page):
        reader.read(block)


@pytest.mark.parametrize(
    ("language", "text", "marks"),
    [
        ("sh", "linkbench validate nowhere.yaml\n", ()),
        ("sh", "false\n", ()),
        ("sh", "true\n", ("status 1",)),
        ("sh", "linkbench rnu x.yaml\n", ("not run, it takes long",)),
        ("sh", "true\n", ("not run",)),
        ("text", "never said\n", ("output of echo said",)),
        ("yaml", "defenders: {use: joint-pdg}\n", ()),
        ("python", "def f(:\n", ()),
        ("pycon", ">>> 1 + 1\n3\n", ()),
        ("toml", "a = \n", ()),
        ("", "no language\n", ()),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("home")
def test_a_page_that_is_wrong_is_noticed(run_cli: Cli, language: str, text: str, marks: tuple[str, ...]) -> None:
    wrong = (AssertionError, click.UsageError, LinkbenchError, SyntaxError, ValueError, pytest.fail.Exception)
    with pytest.raises(wrong):
        Reader(run_cli).read(Block(language, text, marks, 1))


@pytest.mark.slow
@pytest.mark.slow
def test_the_notebook_runs(tmp_path: Path) -> None:
    """Its code cells in order, as one program; outputs are not kept in the file."""
    cells = json.loads((ROOT / "docs/notebook.ipynb").read_text())["cells"]
    programs = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert len(programs) >= 5
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)
    where = {**environment(), "LINKBENCH_STORE": str(tmp_path / "store")}
    command = [sys.executable, "-W", "error", "-c", "\n".join(programs)]
    done = subprocess.run(command, capture_output=True, text=True, env=where, cwd=tmp_path, timeout=240)
    assert done.returncode == 0, done.stderr
    assert "realistic)  predicted     0.2" in done.stdout
    assert done.stdout.count("\n") == 8 + 8 + 2
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


@pytest.mark.slow
def test_the_plugin_of_the_page_works(home: Path, run_cli: Cli, fake_plugin: Any) -> None:
    found = [(block.mark("file") or "", block) for block in blocks(ROOT / "docs/plugins.md")]
    files = {name.partition("/")[2]: block.text for name, block in found if name.startswith("my_defender/")}
    entry = tomllib.loads(next(block.text for name, block in found if name == "pyproject.toml"))
    ((_, target),) = entry["project"]["entry-points"]["linkbench"].items()
    fake_plugin("my_defender", {"__init__.py": "", **files}, target)
    checked = run_cli("check", "darken")
    assert checked.status == 0, checked.out
    scenario = Path("darken.yaml")
    part = next(block.text for _, block in found if block.mark("the") is not None)
    scenario.write_text(part + "".join(f"{key}: {value}\n" for key, value in REST.items()))
    done = run_cli("run", scenario, *tiny(scenario))
    assert done.status == 0, done.err
    with Path("results/part/results.csv").open() as file:
        moved = {row["epsilon"]: float(row["value"]) for row in csv.DictReader(file) if row["metric"] == "linf_max"}
    assert len(moved) == 3
    for epsilon, most in moved.items():
        budget = float(epsilon or 0)
        assert 0.7 * budget <= most <= budget + 1e-6


def commands(
    command: click.Command = cli, name: str = "linkbench", parent: click.Context | None = None
) -> Iterator[click.Context]:
    """Every command and subcommand, each in a context of its own."""
    context = click.Context(
        command, parent, name, max_content_width=200, terminal_width=200, **command.context_settings
    )
    yield context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from commands(inner, name, context)


def parse(line: str) -> str:
    """The path of the command that a line calls, `linkbench plugin new`; raises if it does not fit the command."""
    name, *rest = shlex.split(line.partition(" > ")[0], comments=True)
    context = cli.make_context(name, list(rest))
    path = [name]
    while isinstance(context.command, click.Group) and (rest := [*context._protected_args, *context.args]):
        found, command, rest = context.command.resolve_command(context, rest)
        assert found is not None
        assert command is not None
        context = command.make_context(found, list(rest), parent=context)
        path.append(found)
    return " ".join(path)


@pytest.mark.parametrize("context", list(commands()), ids=lambda context: context.command_path)
def test_help_ends_with_examples_that_call_that_command(context: click.Context) -> None:
    _, heading, listed = context.get_help().partition("\nExamples:\n")
    assert heading, "give the command its examples with linkbench.cli.options.examples"
    for line in listed.splitlines():
        assert parse(line).startswith(context.command_path)


@pytest.mark.parametrize("line", ["linkbench rn a.yaml", "linkbench run", "linkbench run a.yaml --sett x=1"])
def test_an_example_that_does_not_fit_is_noticed(line: str) -> None:
    with pytest.raises(click.UsageError):
        parse(line)
