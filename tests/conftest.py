"""What many tests share: the command line in this process and in another, each with a store and a folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from browser import browser
from hypothesis import HealthCheck, settings
from playwright.sync_api import Browser

from linkbench import cli
from linkbench.execution.run import Run
from linkbench.leaderboard import entry, keeping
from linkbench.leaderboard.board import entries_folder
from linkbench.leaderboard.collect import make
from linkbench.plan.make import make_plan
from linkbench.registry import code_digest as code
from linkbench.registry import registry as plugins
from linkbench.results.conclusions import Reached
from linkbench.results.folder import collect, describe
from linkbench.results.results import Results
from linkbench.results.table import Row
from linkbench.results.writing import write
from linkbench.scenario.load import load_scenario
from linkbench.stages import matching
from linkbench.store.store import Store

if TYPE_CHECKING:
    from linkbench.protection.background import Background

ROOT = Path(__file__).parent.parent
SCENARIOS = ROOT / "scenarios"


# one after the other, in the process of the test, where stages and stores can be patched; test_executors asks for more
os.environ["LINKBENCH_WORKERS"] = "1"

# a busy machine is no reason to fail; the same examples every time, so that what failed fails again.
# `--hypothesis-profile=explore` looks at new ones.
LENIENT: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
}
settings.register_profile("explore", **LENIENT)
settings.register_profile("same", derandomize=True, **LENIENT)
settings.load_profile("same")


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """For networks and tensors so small that threads would wait for each other."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `tiny.yaml`, a scenario that photos can be protected with, and the store that it fills once."""
    from photofiles import TINY

    folder = tmp_path_factory.mktemp("protection")
    (folder / "tiny.yaml").write_text(TINY)
    return folder


@pytest.fixture(scope="module")
def background(kept: Path, one_thread: None) -> Background:
    """What `tiny.yaml` comes to: networks, decoys and attackers."""
    from linkbench.protection.background import prepare, scenario_of

    return prepare(scenario_of(kept / "tiny.yaml"), Store(str(kept / "store")), lambda steps: nullcontext())


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """A real browser; see browser.find for machines that have none."""
    with browser() as opened:
        yield opened


class Finished(NamedTuple):
    """A command that has ended."""

    status: int
    out: str
    err: str


def environment(site: Path | None = None) -> dict[str, str]:
    """The environment of another process, with a folder of plugins."""
    paths = [str(site)] if site else []
    paths += [os.environ["PYTHONPATH"]] if os.environ.get("PYTHONPATH") else []
    return {**os.environ, **({"PYTHONPATH": os.pathsep.join(paths)} if paths else {})}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder; the store and the user's predictors lie beside it."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("LINKBENCH_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("LINKBENCH_PREDICTORS", str(tmp_path / "predictors"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def run_cli(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Finished]:
    """`linkbench ...` in this process, from its entry point; an escaping exception fails the test."""

    def run(*arguments: Any) -> Finished:
        monkeypatch.setattr(sys, "argv", ["linkbench", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return Finished(int(ended.value.code or 0), *capsys.readouterr())

    return run


@pytest.fixture
def spawn(home: Path) -> Callable[..., Finished]:
    """`linkbench ...` in a process of its own."""

    def run(*arguments: Any, python: tuple[str, ...] = (), path: Path | None = None) -> Finished:
        command = [sys.executable, *python, "-m", "linkbench", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment(path), timeout=120)
        return Finished(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def fake_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Install plugin packages: `fake_plugin("pkg", {"__init__.py": ..., "helper.py": ...})`, seen as `linkbench-pkg`.

    Returns the folder to put on PYTHONPATH for other processes.
    """
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))

    def forget() -> None:
        plugins.forget()
        code.forget()

    def install(package: str, files: dict[str, str], target: str | None = None) -> Path:
        for name, text in files.items():
            path = site / package / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        info = site / f"linkbench_{package}-1.2.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: linkbench-{package}\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(f"[linkbench]\n{package} = {target or package}\n")
        forget()
        return site

    before = set(sys.modules)
    yield install
    for name in set(sys.modules) - before:
        if str(site) in str(getattr(sys.modules[name], "__file__", "") or ""):
            del sys.modules[name]
    forget()


@pytest.fixture(scope="session")
def paper_rows(
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[tuple[str, str], dict[tuple[str, int | None, int | None], Row]]:
    """Rows of scenarios/paper-matching.yaml at n = 10 and 100: (setting, attacker) -> (metric, k, n) -> row."""
    changes = ("measure.sizes=[10, 100]", "measure.resamples=100")
    plan = make_plan(load_scenario(SCENARIOS / "paper-matching.yaml", changes))
    outcome = Run(plan, Store(tmp_path_factory.mktemp("paper"))).execute()
    out: dict[tuple[str, str], dict[tuple[str, int | None, int | None], Row]] = {}
    for row in collect(plan, outcome, Reached(lambda cell: outcome.cells[cell]["rank"])):
        setting = "ideal" if "ideal" in row.genomes else "realistic"
        out.setdefault((setting, row.attacker), {})[(row.metric, row.k, row.n)] = row
    return out


SMALL = """
linkbench: 1
name: small
cohort: {use: rendered, count: 24, size: 32}
genomes: {use: thousand-genomes, population: EUR}
models:
  - {name: plain, recipe: {use: standard, epochs: 1}}
defenders:
  - none
  - {use: noise, epsilon: 0.02, noise: [uniform, sign]}
  - {use: pixelate, name: "</script><script>evil=1</script><img src=//e.test/x onerror=evil=1>|`*"}
channels: [float, png]
attackers: [predicted, assignment, random]
measure: {top_k: [1], sizes: [100], resamples: 100}
"""


FEW = 100
"""Photos matched per size in the run of the small board, instead of thousands."""


@pytest.fixture(scope="session")
def small_board(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the scenario, its results in results/small and a leaderboard with its entry."""
    return made_board(tmp_path_factory.mktemp("leaderboard"), SMALL)


def made_board(folder: Path, text: str) -> Path:
    """The folder, with the scenario `small`, its results and a leaderboard with its entry."""
    (folder / "small.yaml").write_text(text)
    scenario = load_scenario(folder / "small.yaml")
    plan = make_plan(scenario)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matching, "MATCHES", FEW)
        outcome = Run(plan, Store(folder / "store")).execute()
    assert not outcome.failures
    out = folder / "results" / "small"
    counted = Reached(lambda cell: outcome.cells[cell]["rank"])
    results = Results(collect(plan, outcome, counted), describe(scenario, plan, outcome, "cpu", {}, counted))
    write(out, results, outcome, lambda _: "")
    take_in(folder / "leaderboard", make(out, store=Store(folder / "store")))
    return folder


def take_in(board: Path, made: entry.Entry) -> Path:
    """Write an entry into a leaderboard that owns what it played first."""
    path = entries_folder(board) / f"{made.name}.json"
    entry.write(path, made)
    keeping.write_register(board, keeping.read_register(board).with_entry(made))
    return path


@pytest.fixture(scope="session")
def bucket_server() -> Iterator[Any]:
    """An object store on this machine, over a real connection; a second to start, so all tests share it."""
    from buckets import serving

    with serving() as server:
        yield server


@pytest.fixture
def bucket(bucket_server: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """An empty bucket that this process can reach, and a cache folder of its own."""
    import s3fs

    from linkbench.store import bucket as module

    bucket_server.heal()
    s3fs.S3FileSystem.clear_instance_cache()
    for name, value in bucket_server.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LINKBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "PAUSES", (0.01, 0.02))
    return bucket_server.bucket(f"bucket-{time.monotonic_ns()}")


@pytest.fixture(params=["folder", "memory", "s3"])
def store_address(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of an empty store, of each kind."""
    monkeypatch.setenv("LINKBENCH_CACHE", str(tmp_path / "cache"))
    if request.param == "s3":
        return f"s3://{request.getfixturevalue('bucket').name}/some/prefix"
    return str(tmp_path / "store") if request.param == "folder" else f"memory:/{tmp_path}"
