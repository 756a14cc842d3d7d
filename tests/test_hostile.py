"""Hostile plugins, installed from outside the repository: each spoils its own rows only, and is told by name."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from conftest import Finished
from hostile import rows, write_scenario

from linkbench.registry import registry as plugins

PROJECT = """
[build-system]
requires = ["hatchling>=1.27"]
build-backend = "hatchling.build"

[project]
name = "hostile"
version = "6.6"
description = "Plugins that misbehave."

[project.entry-points.linkbench]
hostile = "hostile.register"

[tool.hatch.build.targets.wheel]
packages = ["hostile"]
"""
REGISTER = """
import hostile.plugins
from linkbench.api.hookspecs import hookimpl

print("rubbish while it is listed")

@hookimpl
def register_defenders(register):
    for name in ("kind", "raises", "exits", "interrupts", "nan", "greedy", "meddles", "prints", "hangs"):
        register(name, f"hostile.plugins:{name.title()}", summary=f"one that {name}", api=1)

@hookimpl
def register_attackers(register):
    register("void", "hostile.plugins:Void", summary="no scores", api=1)
    register("clings", "hostile.plugins:Clings", summary="one that takes no notice", api=1)
"""
PLUGINS = """
import os
import time
from typing import ClassVar

from linkbench.api.fields import Epsilon
from linkbench.api.base import Attacker, Defender

print("rubbish while it is imported")


class Kind(Defender):
    needs: ClassVar[frozenset[str]] = frozenset({"predictor"})
    epsilon: Epsilon = 0.02

    def perturb(self, photos, knowledge):
        return (photos - self.epsilon).clamp(0, 1)


class Raises(Kind):
    def perturb(self, photos, knowledge):
        raise ValueError("no [bold]idea[/]")


class Exits(Kind):
    def perturb(self, photos, knowledge):
        raise SystemExit(0)


class Interrupts(Kind):
    def perturb(self, photos, knowledge):
        raise KeyboardInterrupt


class Nan(Kind):
    def perturb(self, photos, knowledge):
        return photos * float("nan")


class Greedy(Kind):
    def perturb(self, photos, knowledge):
        return photos + 3 * self.epsilon


class Meddles(Kind):
    def perturb(self, photos, knowledge):
        next(knowledge.predictor.parameters()).data.mul_(2)
        return photos


class Prints(Kind):
    def perturb(self, photos, knowledge):
        import torch

        print("{rubbish: [1,")
        os.write(1, b"from below\\n")
        torch.set_default_dtype(torch.float64)
        torch.manual_seed(0)
        os.chdir("/")
        return super().perturb(photos, knowledge)


class Hangs(Kind):
    def perturb(self, photos, knowledge):
        import signal

        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            try:
                signal.signal(number, signal.SIG_IGN)
            except OSError:
                pass
        open(os.path.join(os.environ["TMPDIR"], "hanging"), "w").close()
        while True:
            try:
                time.sleep(60)
            except Exception:
                pass


class Clings(Attacker):
    def score(self, evidence, genomes, learned):
        while True:
            try:
                time.sleep(60)
            except BaseException:
                pass


class Void(Attacker):
    def score(self, evidence, genomes, learned):
        return evidence.variants[:, :1] * float("nan") + genomes.log_p[:, 0]
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which pip installed the package."""
    source = tmp_path_factory.mktemp("source")
    (source / "hostile").mkdir()
    (source / "pyproject.toml").write_text(PROJECT)
    (source / "hostile" / "__init__.py").write_text("")
    (source / "hostile" / "register.py").write_text(REGISTER)
    (source / "hostile" / "plugins.py").write_text(PLUGINS)
    target = tmp_path_factory.mktemp("site")
    command = (
        *("-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"),
        *("--disable-pip-version-check", "--target", str(target), str(source)),
    )
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The package can be imported in this process, and is found."""
    monkeypatch.syspath_prepend(str(site))
    plugins.forget()
    yield site
    for name in [name for name in sys.modules if name.partition(".")[0] == "hostile"]:
        del sys.modules[name]
    plugins.forget()


@pytest.mark.slow
def test_each_spoils_only_its_own_rows_and_is_told_by_name(run_cli: Callable[..., Finished], installed: Path) -> None:
    good = ["none", "{use: noise, epsilon: 0.02}", "kind"]
    bad = ["raises", "exits", "interrupts", "nan", "greedy", "meddles", "prints"]
    write_scenario("good.yaml", good, "predicted", "calibrated")
    write_scenario("bad.yaml", [*bad, *good], "void", "predicted", "calibrated")
    here, kind = Path.cwd(), torch.get_default_dtype()
    before = run_cli("run", "good.yaml")
    assert before.status == 0, before.err
    after = run_cli("run", "bad.yaml", "--store", "another", "--out", "bad")
    assert after.status == 1, after.err
    assert (Path.cwd(), torch.get_default_dtype()) == (here, kind)
    expected, found = rows("results/hostile", "defender"), rows("bad", "defender")
    assert set(expected) == {"none", "noise", "kind"}
    assert {name: found.get(name) for name in expected} == expected, "a row of an innocent changed"
    assert set(found) == {*expected, "greedy", "prints"}
    assert all("over-budget" in line for line in found["greedy"])
    said = " ".join(after.err.split())
    for name, reason in {
        "raises": "ValueError: no [bold]idea[/]",
        "exits": "SystemExit: 0",
        "interrupts": "KeyboardInterrupt",
        "nan": "put out pixels that are NaN or infinite",
        "meddles": "changed the weights of the predictor that it was shown; its results are void",
    }.items():
        assert f"protect {name} FAILED: " in said, said
        assert reason in said.partition(f"protect {name} FAILED: ")[2][:200]
    assert "attacker class Void returned scores that are NaN or infinite" in said
    assert "note: protect prints printed '{rubbish: [1,' and 1 more lines on standard output" in said
    assert "rubbish" not in after.out
    assert "from below" not in after.out


@pytest.mark.slow
def test_one_that_hangs_is_given_up(
    run_cli: Callable[..., Finished], spawn: Callable[..., Finished], installed: Path
) -> None:
    write_scenario("good.yaml", ["none"])
    write_scenario("hangs.yaml", ["hangs", "none"])
    write_scenario("clings.yaml", ["none"], "clings", "predicted")
    assert run_cli("run", "good.yaml").status == 0
    expected = rows("results/hostile", "defender")
    assert list(expected) == ["none"]
    done = run_cli("run", "hangs.yaml", "--limit", "1.5", "--out", "hangs")
    assert done.status == 1, done.err
    assert "protect hangs FAILED: took longer than 1.5 seconds, the limit of a stage" in done.err
    assert rows("hangs", "defender") == expected
    done = spawn("run", "clings.yaml", "--limit", "3", "--out", "clings", path=installed)
    assert done.status == 1, done.err
    assert "cannot be interrupted" not in done.err, "the run need not start again for it"
    assert "rank clings FAILED: took longer than 3 seconds" in done.err
    assert rows("clings", "defender") == expected


@pytest.mark.slow
def test_what_a_package_prints_stays_out_of_lists(run_cli: Callable[..., Finished], installed: Path) -> None:
    for _ in range(2):
        done = run_cli("plugins", "--json")
        assert done.status == 0
        listed = json.loads(done.out)
        found = {entry["name"] for entry in listed["plugins"] if entry["distribution"] == "hostile"}
        assert {"kind", "void"} <= found
    reasons = [entry["reason"] for entry in listed["broken"] if entry["distribution"] == "hostile"]
    assert any("printed 'rubbish while it is " in reason for reason in reasons)


def test_a_plugin_does_not_interrupt_where_the_user_cannot(run_cli: Callable[..., Finished], installed: Path) -> None:
    write_scenario("alone.yaml", ["interrupts", "none"])
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as shells start what runs in the background
    try:
        done = run_cli("run", "alone.yaml")
    finally:
        signal.signal(signal.SIGINT, before)
    assert done.status == 1, done.err
    assert "protect interrupts FAILED: KeyboardInterrupt" in " ".join(done.err.split())


def test_the_user_can_still_interrupt(
    run_cli: Callable[..., Finished], installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_scenario("slow.yaml", ["hangs"])
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    timer = threading.Thread(target=_interrupt_the_hanging, args=[tmp_path], daemon=True)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a shell runs the tests behind it
    try:
        timer.start()
        done = run_cli("run", "slow.yaml")
        timer.join()
    finally:
        signal.signal(signal.SIGINT, before)
    assert done.status == 130, done.err
    assert "Interrupted." in done.err
    assert not Path("results").exists()


def _interrupt_the_hanging(folder: Path) -> None:
    """Ctrl-C as soon as the plugin hangs."""
    while not list(folder.glob("linkbench-plugin-*/home/hanging")):
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGINT)
