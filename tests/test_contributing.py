"""CONTRIBUTING.md says which files a new thing needs: here each is added to a copy with just those files, and works."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import linkbench

PACKAGE = Path(linkbench.__file__).parent
ROOT = Path(__file__).parent.parent

COMMANDS = """
import json, sys
from linkbench.cli import cli

for arguments in json.loads(sys.argv[1]):
    status = cli.main(args=arguments, prog_name="linkbench", standalone_mode=False)
    assert not status, arguments
"""


class Copy:
    """A copy of the package that notes which of its files are new, and which are touched."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.new: set[str] = set()
        self.touched: set[str] = set()
        shutil.copytree(PACKAGE, folder / "linkbench", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", folder)

    def add(self, path: str, text: str) -> None:
        file = self.folder / path
        assert not file.exists()
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        self.new.add(path)

    def edit(self, path: str, *changes: tuple[str, str]) -> None:
        """Each change puts lines in front of a line, or appends them where that is empty."""
        file = self.folder / path
        text = file.read_text()
        for before, lines in changes:
            assert not before or text.count(before) == 1, (path, before)
            text = text.replace(before, lines + before) if before else text + lines
        file.write_text(text)
        self.touched.add(path)

    def run(self, *commands: list[str]) -> str:
        """linkbench with these arguments, one command after the other in one process; what they printed."""
        return self.python("-c", COMMANDS, json.dumps(commands))

    def python(self, *arguments: str) -> str:
        environment = {
            **os.environ, "PYTHONPATH": str(self.folder), "LINKBENCH_STORE": str(self.folder / "store"),
            "OMP_NUM_THREADS": "1", "COLUMNS": "200",
        }  # fmt: skip
        done = subprocess.run(
            [sys.executable, *arguments], cwd=self.folder, env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def agrees_with(self, heading: str) -> None:
        """The page lists the very same files."""
        page = (ROOT / "CONTRIBUTING.md").read_text()
        (part,) = re.findall(rf"^### {heading}\n(.*?)(?=^##)", page, re.DOTALL | re.MULTILINE)
        listed = {word: set(re.findall(rf"^- {word}: `([^`]+)`", part, re.MULTILINE)) for word in ("New", "Touched")}
        assert (self.new, self.touched) == (listed["New"], listed["Touched"])


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(tmp_path / "copy")


MATCHING = """
linkbench: 1
name: matching
cohort: paper-tables
genomes: paper-tables
attackers: [predicted, random]
measure: {top_k: [1], sizes: [10], resamples: 100}
"""

PHOTOS = """
linkbench: 1
name: photos
cohort: {use: rendered, count: 24, size: 32}
genomes: {use: paper-tables}
models:
  - {name: plain, architecture: {use: small-cnn, width: 4, depth: 3}, recipe: {use: standard, epochs: 1}}
defenders: [none, noise]
attackers: [predicted]
measure: {top_k: [1], sizes: [10], resamples: 100}
"""

DARKEN = '''"""Darker photos."""

from __future__ import annotations

from typing import TYPE_CHECKING

from linkbench.api.base import Defender
from linkbench.api.fields import Epsilon

if TYPE_CHECKING:
    from torch import Tensor

    from linkbench.api.knowledge import Knowledge


class Darken(Defender):
    """Takes epsilon from every pixel."""

    epsilon: Epsilon = 0.02

    def perturb(self, photos: Tensor, knowledge: Knowledge) -> Tensor:
        return (photos - self.epsilon).clamp(0, 1)
'''


@pytest.mark.slow
def test_a_defender_is_one_file_and_one_line(copy: Copy) -> None:
    copy.add("linkbench/defenders/darken.py", DARKEN)
    line = '    register("darken", "linkbench.defenders.darken:Darken", api=1, summary="classical: darker photos")\n'
    copy.edit("linkbench/registry/builtins.py", ('    register("blur", "linkbench.defenders.blur:Blur"', line))
    assert line.count("\n") == 1
    assert (len(copy.new), len(copy.touched)) == (1, 1)
    copy.agrees_with("A defender")
    (copy.folder / "s.yaml").write_text(PHOTOS.replace("noise", "darken"))
    told = copy.run(["plugins", "--kind", "defender"], ["check", "darken"], ["run", "s.yaml", "--out", "out"])
    assert "classical: darker photos" in told
    assert "defender darken: " in told
    assert ",darken,0.02,float,predicted,success,1,10," in (copy.folder / "out" / "results.csv").read_text()


def test_a_metric_column_is_two_files(copy: Copy) -> None:
    copy.edit(
        "linkbench/metrics/rows.py",
        ('        "reciprocal_rank": ', '        "within_ten": (expected <= 10).astype(np.float64),\n'),
    )
    copy.edit(
        "linkbench/report/tables.py",
        ('    "median_rank": ', '    "within_ten": Metric("rank", "at most ten", _share),\n'),
    )
    assert (len(copy.new), len(copy.touched)) == (0, 2)
    copy.agrees_with("A metric with a column in the report")
    (copy.folder / "s.yaml").write_text(MATCHING)
    copy.run(["run", "s.yaml", "--out", "out"])
    assert ",predicted,within_ten,,," in (copy.folder / "out" / "results.csv").read_text()
    assert "at most ten" in (copy.folder / "out" / "report.html").read_text()


def test_a_figure_is_one_file(copy: Copy) -> None:
    figure = '''"""How many cells there are."""

from linkbench.report.figures.base import Panel, Section
from linkbench.report.figures.vega import Axis, rows
from linkbench.results.cells import MeasuredCell


def dimness(cells: list[MeasuredCell]) -> Section:
    """A row that says it."""
    view = rows(["cells"], {"": "s1"}, Axis("number", "count"))
    drawn = Panel("", view, [{"name": "", "row": "cells", "value": len(cells)}])
    return Section("dimness", "Number of cells", f"{len(cells)} cells at {{level}}.", [], [drawn], shared=False)
'''
    copy.add("linkbench/report/figures/dimness.py", figure)
    copy.edit(
        "linkbench/report/linkage.py",
        ("    pooling,\n", "    dimness,\n"),
        ("    lambda run: [curves.attackers(", "    lambda run: [dimness.dimness(run.cells)],\n"),
    )
    assert (len(copy.new), len(copy.touched)) == (1, 1)
    copy.agrees_with("A figure in the report")
    (copy.folder / "s.yaml").write_text(MATCHING)
    copy.run(["run", "s.yaml", "--out", "out"])
    page = (copy.folder / "out" / "report.html").read_text()
    assert "Number of cells" in page
    assert "2 cells at 95%." in page
    assert "dimness" in copy.run(["plot", "out"])


KIND = """    "camera": Kind(
        what="Cameras: what becomes of photos before anybody has them.",
        hook="register_cameras",
        base="Camera",
        title="Cameras",
        checks="linkbench.testing.cameras",
        sections=("camera",),
        does="takes part of the light",
        example="light: 0.5",
    ),
"""

BASE = '''

class Camera(Plugin):
    """Kind `camera`: what becomes of photos before anybody has them."""

    def take(self, photos: Array) -> Array:
        """uint8 [N, 3, h, w] to the same shape; no randomness."""
        raise NotImplementedError
'''

REGISTER = """

@hookimpl
def register_cameras(register: Register) -> None:
    register("dim", "linkbench.cameras.dim:Dim", api=1, summary="part of the light")
"""

DIM = '''"""A camera {where}."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from linkbench.api.base import Camera

if TYPE_CHECKING:
    from linkbench.api.data import Array


class {name}(Camera):
    """Takes part of the light."""

    light: float = Field(1.0, ge=0, le=1, description="part of the light that is left")

    def take(self, photos: Array) -> Array:
        import numpy as np

        return np.rint(photos * self.light).astype(np.uint8)
'''

STAGE = '''"""The stage in which photos are taken."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from linkbench.api.data import Artefact, Cohort
from linkbench.plan.task import Task


def take(task: Task) -> Artefact:
    """The cohort, its photos as the camera gives them."""
    people = Cohort.of(task.inputs["cohort"])
    return replace(people, photos=task.specs["camera"].plugin().take(np.asarray(people.photos))).artefact()
'''

PLANNED = """        base["cohort"] = builder.add(
            "camera", "linkbench.stages.camera:take", seed,
            specs={"camera": scenario.specs["camera"][0]}, inputs={"cohort": base["cohort"]},
        )
"""

CHECKS = '''"""What linkbench expects of a camera."""

from __future__ import annotations

import numpy as np

from linkbench.testing.check import Subject


def photos_come_back(subject: Subject) -> None:
    """uint8 of the same shape."""
    photos = np.random.default_rng(0).integers(0, 256, (2, 3, 8, 8), dtype=np.uint8)
    taken = subject.plugin().take(photos)
    assert (taken.shape, taken.dtype) == (photos.shape, photos.dtype)


CHECKS = (photos_come_back,)
'''

TEST = '''"""What linkbench expects of every camera."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from linkbench.testing import conformance
from {{module}}.camera import {{class}}


@pytest.mark.parametrize("check", conformance({{class}}), ids=str)
def test_conformance(check: Callable[[], None]) -> None:
    check()
'''


@pytest.mark.slow
def test_a_kind_of_plugin_touches_six_files(copy: Copy) -> None:
    copy.add("linkbench/cameras/__init__.py", "")
    copy.add("linkbench/cameras/dim.py", DIM.format(where="of linkbench", name="Dim"))
    copy.add("linkbench/stages/camera.py", STAGE)
    copy.add("linkbench/testing/cameras.py", CHECKS)
    copy.add("linkbench/testing/template/camera.py.in", DIM.format(where="of its own", name="{{class}}"))
    copy.add("linkbench/testing/template/test_camera.py.in", TEST)
    copy.edit("linkbench/api/kinds.py", ('    "identifier": Kind(', KIND))
    copy.edit("linkbench/api/base.py", ("", BASE))
    copy.edit("linkbench/registry/builtins.py", ("", REGISTER))
    section = '    camera: Any = Field("dim", description="what photos go through before anybody has them")\n'
    copy.edit("linkbench/scenario/linkage.py", ("    split: Split = Split()", section))
    copy.edit("linkbench/plan/linkage.py", ('        place = {"seed": seed, "genomes"', PLANNED))
    copy.edit("pyproject.toml", ('    "attackers : cohorts : genomes",', '    "cameras",\n'))
    assert len(copy.touched) <= 6
    copy.agrees_with("A kind of plugin")
    (copy.folder / "s.yaml").write_text(PHOTOS + "camera: {use: dim, light: 0.5}\n")
    told = copy.run(
        ["plugins", "--kind", "camera"],
        ["check", "dim"],
        ["schema"],
        ["run", "s.yaml", "--out", "out"],
        ["plugin", "new", "my-camera", "--kind", "camera"],
    )
    for words in ("part of the light", "camera dim: ", "use-camera"):
        assert words in told
    run = json.loads((copy.folder / "out" / "run.json").read_text())
    assert [spec["params"] for spec in run["scenario"]["camera"]] == [{"light": 0.5}]
    assert any(step["label"] == "camera dim" for step in run["steps"].values())
    assert not any(cell["failed"] for cell in run["cells"])
    copy.python("-c", "import linkbench; assert linkbench.Camera.__name__ == 'Camera'")
    shutil.move(copy.folder / "my-camera" / "my_camera", copy.folder / "my_camera")
    copy.python("-m", "pytest", "-q", "-c", os.devnull, "-p", "no:cacheprovider", str(copy.folder / "my-camera/tests"))
    layers = copy.python("-c", "from importlinter.cli import lint_imports_command as lint; lint()", "--no-cache")
    assert "0 broken" in layers


INLINE = '''"""The run itself, through the door of an executor."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future

from linkbench.api.base import Executor
from linkbench.api.executor import Job, JobReport, Progress, Site, Workers
from linkbench.api.resources import Resources


class Inline(Executor):
    """Carries a job out while it is handed in."""

    elsewhere = False

    def start(self, site: Site) -> Workers:
        return _Workers()


class _Workers(Workers):
    def accepts(self, resources: Resources) -> bool:
        return True

    def submit(self, job: Job) -> Future[JobReport]:
        future: Future[JobReport] = Future()
        future.set_result(job.work(lambda done, total, at="": None))
        return future

    def progress(self) -> Iterable[Progress]:
        return ()

    def stop(self, job: str) -> None:
        pass

    def close(self) -> None:
        pass
'''


def test_an_executor_is_one_file_and_one_line(copy: Copy) -> None:
    copy.add("linkbench/execution/inline.py", INLINE)
    line = '    register("inline", "linkbench.execution.inline:Inline", api=1, summary="the run itself")\n'
    copy.edit("linkbench/registry/builtins.py", ("", line))
    assert (len(copy.new), len(copy.touched)) == (1, 1)
    copy.agrees_with("An executor")
    (copy.folder / "s.yaml").write_text(MATCHING)
    told = copy.run(
        ["plugins", "--kind", "executor"], ["run", "s.yaml", "--executor", "inline", "--out", "out"], ["run", "s.yaml"]
    )
    assert "the run itself" in told
    assert " 0 computed" in told
    assert ",predicted,success,1,10," in (copy.folder / "out" / "results.csv").read_text()
