"""Hostile plugins: each is kept from what it tries, is told by name, and changes no row of others, then or later."""

from __future__ import annotations

import csv
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Finished
from hostile import rows, write_scenario, write_table

from linkbench.boundary import sandbox

pytestmark = pytest.mark.skipif(bool(sandbox.missing()), reason=f"this system lacks {', '.join(sandbox.missing())}")

DEFENDERS = {
    "hooks": """
        def spoil(module, given, out):
            return out * 0 if hasattr(out, "mul") else out
        torch.nn.modules.module.register_module_forward_hook(spoil)
        torch.set_default_dtype(torch.float64)
""",
    "patches": """
        import linkbench.metrics.counting, linkbench.metrics.image_quality
        linkbench.metrics.image_quality.ssim = lambda one, other: one.flatten(1).sum(1) * 0 + 1
        linkbench.metrics.counting.count_ranks = None
""",
    "subclasses": """
        class Sly(torch.Tensor):
            pass
        return (photos * 0).as_subclass(Sly)
""",
    "blackens": "        return photos * 0\n",
    "hunts": """
        from pkg.hunt import hunted
        if hunted(40):
            raise RuntimeError("found the candidates")
""",
    "peeps": """
        with open("/proc/self/environ", "rb") as file:
            told = file.read() + repr(dict(os.environ)).encode()
        if b"TEST_SECRET" in told:
            raise RuntimeError("found the secret")
""",
    "exits": "        os._exit(0)\n",
    "crashes": "        import ctypes; ctypes.string_at(0)\n",
    "forks": """
        if os.fork() == 0:
            os.execv(sys.executable, [sys.executable, "-c", "import time; time.sleep(50)", "outlives-its-parent"])
        time.sleep(0.2)
""",
    "closes": "        os.closerange(0, 1000)\n",
    "fills": """
        held = []
        while True:
            held.append(bytes(1 << 28))
""",
    "floods": """
        for _ in range(64):
            os.write(1, b"x" * (1 << 20))
""",
    "colours": """
        print("\\x1b[31mred")
        raise ValueError("\\x1b]0;evil\\x07 title")
""",
    "calls": '        socket.create_connection(("127.0.0.1", PORT), 2)\n',
    "reads": '        open("STORE/entry", "rb").read()\n',
    "writes": '        open("STORE/entry", "ab").write(b"x")\n',
    "changes": '        os.chmod("STORE/entry", 0)\n',
    "kills": """
        for process in (PARENT, os.getppid()):
            os.kill(process, signal.SIGKILL)
""",
    "forges": """
        os.write(3, b"LB01" + (1 << 31).to_bytes(4, "little"))
""",
}
"""Defenders, by what they do in `perturb` before they return the photos a little darker."""

REASONS = {
    "subclasses": "must return a tensor, it returned Sly",
    "exits": "ended its process (exit status 0) before it had answered",
    "crashes": "ended its process by the signal SIGSEGV",
    "closes": "before it had answered",
    "fills": "MemoryError",
    "colours": "ValueError: ?]0;evil? title",
    "calls": "PermissionError",
    "reads": "PermissionError",
    "writes": "Error: [Errno",
    "changes": "Read-only file system",
    "kills": "ProcessLookupError",
    "forges": "it sent bytes that are no message",
}
"""What is said of those that get no row."""

HUNT = """
import gc
import sys


def hunted(count):
    \"\"\"Whether a table of so many genomes can be found, in any object or in a frame.\"\"\"
    import numpy as np

    frames, frame = [], sys._getframe()
    while frame:
        frames += frame.f_locals.values()
        frame = frame.f_back
    seen = [*gc.get_objects(), *frames]
    seen += [value for each in seen if isinstance(each, dict) for value in list(each.values())]
    found = False
    for each in seen:
        if type(each).__name__ in ("Genomes", "Cohort", "Store"):
            found = True
        if isinstance(each, np.ndarray) and each.dtype == np.float64 and each.ndim == 2 and len(each) == count:
            found = True
    return found
"""

ATTACKERS = """
import numpy as np
from linkbench import Attacker

CALLS = [0]


class Plain(Attacker):
    def score(self, evidence, genomes, learned):
        starts = np.array([span.start for span in evidence.schema.slices.values()])
        return genomes.log_p[:, starts + evidence.variants].sum(axis=2).T


class Counts(Plain):
    def score(self, evidence, genomes, learned):
        CALLS[0] += 1
        return np.tile(np.arange(len(genomes)) == CALLS[0] % len(genomes), (len(evidence), 1)).astype(float)


class Guesses(Plain):
    def score(self, evidence, genomes, learned):
        return super().score(evidence, genomes, learned).round() + 0.1 * np.random.default_rng().random()


class Imagines(Plain):
    def score(self, evidence, genomes, learned):
        return super().score(evidence, genomes, learned) + 1j


class Places(Plain):
    def score(self, evidence, genomes, learned):
        return np.eye(len(evidence), len(genomes))
"""


def plugin_module(port: int, store: Path) -> str:
    lines = [
        "import os, signal, socket, sys, time",
        "from typing import ClassVar",
        "from linkbench import Defender, Epsilon",
    ]
    for name, body in DEFENDERS.items():
        body = body.replace("PORT", str(port)).replace("STORE", str(store)).replace("PARENT", str(os.getpid()))
        lines += [
            f"class {name.title()}(Defender):",
            '    needs: ClassVar[frozenset[str]] = frozenset({"predictor"})',
            "    epsilon: Epsilon = 0.02",
            "    def perturb(self, photos, knowledge):",
            "        import torch",
            body.strip("\n"),
            "        return photos - self.epsilon * photos",
        ]
    return "\n".join(lines) + "\n"


REGISTER = """
from linkbench import hookimpl

@hookimpl
def register_defenders(register):
    for name in {defenders}:
        register(name, f"pkg.defenders:{{name.title()}}", summary=f"one that {{name}}", api=1)

@hookimpl
def register_attackers(register):
    for name in ("plain", "counts", "guesses", "imagines", "places"):
        register(name, f"pkg.attackers:{{name.title()}}", summary=f"one that {{name}}", api=1)
"""


@pytest.fixture
def hostile(fake_plugin: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The package is installed, and somebody listens on a port that it knows."""
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "entry").write_bytes(b"kept")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0)
        module = plugin_module(listening.getsockname()[1], tmp_path / "precious")
        register = REGISTER.format(defenders=list(DEFENDERS))
        files = {"__init__.py": register, "defenders.py": module, "attackers.py": ATTACKERS, "hunt.py": HUNT}
        fake_plugin("pkg", files)
        monkeypatch.setenv("TEST_SECRET", "value of TEST_SECRET")
        monkeypatch.setenv("LINKBENCH_PLUGIN_MEMORY", "3G")
        yield listening


@pytest.mark.slow
def test_no_defender_reaches_what_is_not_its_own(
    run_cli: Callable[..., Finished], hostile: socket.socket, tmp_path: Path
) -> None:
    good = ["none", "{use: noise, epsilon: 0.02}"]
    write_scenario("good.yaml", good)
    write_scenario("bad.yaml", [*DEFENDERS, *good])
    assert run_cli("run", "good.yaml", "--store", "one", "--out", "good").status == 0
    done = run_cli("run", "bad.yaml", "--store", "two", "--out", "bad")
    assert done.status == 1, done.err
    expected, found = rows("good", "defender"), rows("bad", "defender")
    assert set(found) == {"none", "noise", *DEFENDERS} - set(REASONS), done.err
    assert {name: found[name] for name in expected} == expected, "a row of an innocent changed"
    said = " ".join(done.err.split())
    for name, reason in REASONS.items():
        assert reason in said.partition(f"protect {name} FAILED: ")[2][:300], (name, said)
    assert all("over-budget" in line for line in found["blackens"])
    assert "note: protect forks left 1 process running; ended" in said
    assert "note: protect floods printed 'xxx" in said
    assert "\x1b" not in done.err + done.out
    with pytest.raises(BlockingIOError):
        hostile.accept()
    precious = tmp_path / "precious" / "entry"
    assert precious.read_bytes() == b"kept"
    assert precious.stat().st_mode & 0o400
    assert not alive("outlives-its-parent")
    again = run_cli("run", "good.yaml", "--store", "two", "--out", "again")
    assert " 0 computed" in again.out
    assert rows("again", "defender") == expected, "what hostile plugins left in the store is served to others"


def alive(marker: str) -> list[str]:
    """Processes that were started with this argument."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if marker in (process / "cmdline").read_text(errors="replace"):
                found.append(process.name)
        except OSError:
            continue
    return found


@pytest.mark.filterwarnings("ignore")  # it touches everything
def test_the_hunt_finds_candidates_where_there_are_any() -> None:
    """Or the test above would show nothing."""
    space: dict[str, Any] = {}
    exec(HUNT.replace('\\"', '"'), space)
    held = [np.zeros((40, 3))]
    assert space["hunted"](40)
    assert len(held) == 1


def test_scores_that_depend_on_the_call_are_refused_by_name(
    run_cli: Callable[..., Finished], hostile: socket.socket
) -> None:
    names = ["plain", "predicted", "counts", "guesses", "imagines", "places"]
    write_table("good.yaml", "predicted", "plain")
    write_table("bad.yaml", *names)
    assert run_cli("run", "good.yaml", "--store", "one", "--out", "good").status == 0
    done = run_cli("run", "bad.yaml", "--store", "two", "--out", "bad")
    assert done.status == 1, done.err
    expected, found = rows("good", "attacker"), rows("bad", "attacker")
    assert {name: found[name] for name in expected} == expected
    plain, own = ([line.replace(name, "").split(",")[:-1] for line in found[name]] for name in ("plain", "predicted"))
    assert plain == own, "behind the boundary the numbers are the same"
    said = " ".join(done.err.split())
    for name, reason in {
        "counts": "gave other scores when it was asked about the same photos and genomes again",
        "guesses": "gave other scores when it was asked about the same photos and genomes again",
        "imagines": "must return real numbers as scores, it returned complex128",
        "places": "gave other scores",
    }.items():
        assert reason in said.partition(f"rank {name} FAILED: ")[2][:300], (name, said)


THEIRS = {
    "genomes": ("simulated", "linkbench.genomes.simulated:Simulated", "register_genomes"),
    "cohort": ("rendered", "linkbench.cohorts.rendered:Rendered", "register_cohorts"),
    "architecture": ("small-cnn", "linkbench.models.small_cnn:SmallCNN", "register_architectures"),
    "recipe": ("standard", "linkbench.recipes.standard:Standard", "register_recipes"),
    "defender": ("joint-pgd", "linkbench.defenders.joint_pgd:JointPGD", "register_defenders"),
    "channel": ("png", "linkbench.channels.png:Png", "register_channels"),
    "attacker": ("calibrated", "linkbench.attackers.calibrated:Calibrated", "register_attackers"),
    "joint attacker": ("assignment", "linkbench.attackers.assignment:Assignment", "register_attackers"),
}
"""Plugins of linkbench that another package has under other names: kind, name, class and hook."""

ALIKE = """
linkbench: 1
name: alike
genomes: {use: simulated, count: 40}
cohort: {use: rendered, count: 24, size: 32}
split: {test: 0.3, validation: 0.2}
models: [{name: tiny, architecture: {use: small-cnn, width: 4}, recipe: {use: standard, epochs: 2}}]
defenders: [none, {use: joint-pgd, epsilon: 0.02, steps: 3, random_start: true}]
channels: [png]
attackers: [calibrated, assignment]
measure: {resamples: 100, sizes: [5]}
"""


@pytest.mark.slow
def test_every_kind_gives_the_same_numbers_behind_the_boundary(
    run_cli: Callable[..., Finished], fake_plugin: Any
) -> None:
    register, plugins, text = ["from linkbench import hookimpl"], [], ALIKE
    hooks: dict[str, list[str]] = {}
    for number, (name, target, hook) in enumerate(THEIRS.values()):
        module, cls = target.split(":")
        plugins += [f"import {module} as m{number}", f"class {cls}(m{number}.{cls}):", "    pass"]
        hooks.setdefault(hook, []).append(f"    register('x{name}', 'pkg.plugins:{cls}', summary='{name}', api=1)")
        text = text.replace(f"use: {name},", f"use: x{name},")
        text = text.replace(f"[{name}", f"[x{name}").replace(f", {name}]", f", x{name}]")
    for hook, lines in hooks.items():
        register += ["@hookimpl", f"def {hook}(register):", *lines]
    fake_plugin("pkg", {"__init__.py": "\n".join(register) + "\n", "plugins.py": "\n".join(plugins) + "\n"})
    assert text.count("x") >= ALIKE.count("x") + len(THEIRS)
    Path("ours.yaml").write_text(ALIKE)
    Path("theirs.yaml").write_text(text)
    tables = []
    for which in ("ours", "theirs"):
        done = run_cli("run", f"{which}.yaml", "--store", which, "--out", f"out-{which}")
        assert done.status == 0, done.err
        with (Path(f"out-{which}") / "results.csv").open(newline="") as file:
            columns = ("metric", "k", "n", "value", "ci_low", "ci_high")
            tables.append([[row[column] for column in columns] for row in csv.DictReader(file)])
    assert tables[0]
    assert tables[0] == tables[1]
