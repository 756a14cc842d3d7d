"""What the boundary costs: the quickstart with all of its defenders from another package, in processes of their own
and, for comparison, in linkbench's own process. Pairs of runs, one after the other, each with a store of its own.

    python benchmarks/boundary.py --pairs 3
    python benchmarks/boundary.py --pairs 5 --set cohort.count=120
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

PR_SET_CHILD_SUBREAPER = 36
"""Of Linux, see prctl(2)."""

ROOT = Path(__file__).parent.parent

NAMES = {"noise": "noise:Noise", "joint-pgd": "joint_pgd:JointPGD", "single-pgd": "single_pgd:SinglePGD",
         "blur": "blur:Blur", "pixelate": "pixelate:Pixelate"}  # fmt: skip
"""The defenders of the quickstart, as another package has them."""

ENTRY = """
import sys
from linkbench.harness import proposals
from linkbench.registry.foreign import Foreign
from linkbench.registry.registry import Registry
if sys.argv.pop(1) == "together":
    Registry.load = Registry.imported
    proposals._foreign = lambda task: Foreign([], [])
    proposals.expect = lambda *_: None
from linkbench.cli import main
main()
"""


def package(folder: Path) -> None:
    """A package whose defenders are linkbench's own under other names."""
    register = ["from linkbench import hookimpl", "@hookimpl", "def register_defenders(register):"]
    plugins = []
    for name, target in NAMES.items():
        module, cls = target.split(":")
        plugins += [f"import linkbench.defenders.{module} as {module}", f"class {cls}({module}.{cls}):", "    pass"]
        register.append(f"    register('their-{name}', 'theirs.plugins:{cls}', summary='{name}', api=1)")
    (folder / "theirs").mkdir(parents=True)
    (folder / "theirs" / "__init__.py").write_text("\n".join(register) + "\n")
    (folder / "theirs" / "plugins.py").write_text("\n".join(plugins) + "\n")
    info = folder / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[linkbench]\ntheirs = theirs\n")


def scenario(folder: Path) -> Path:
    """The quickstart with those defenders."""
    text = (ROOT / "scenarios" / "quickstart.yaml").read_text()
    for name in NAMES:
        text = text.replace(f"use: {name},", f"use: their-{name},").replace(f"use: {name}}}", f"use: their-{name}}}")
    path = folder / "quickstart.yaml"
    path.write_text(text)
    return path


class Taken(NamedTuple):
    """One run: seconds on the clock, seconds of the processor in all processes, and the table it wrote."""

    wall: float
    processor: float
    table: str


def _adopt() -> None:
    """Workers are children of a server that nobody waits for: once it is gone they, and their seconds, become ours."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _wait_for_the_rest() -> None:
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()


def run(folder: Path, file: Path, how: str, number: int, overrides: list[str]) -> Taken:
    """One run with a store of its own."""
    out = folder / f"{how}-{number}"
    paths = [str(folder), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    changes = [argument for change in overrides for argument in ("--set", change)]
    command = [sys.executable, "-c", ENTRY, how, "run", str(file), "--store", str(out / "store"), "--out", str(out)]
    begun, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([*command, *changes], env=environment, capture_output=True, text=True)
    seconds = time.perf_counter() - begun
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    _wait_for_the_rest()
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
    return Taken(seconds, processor, (out / "results.csv").read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    given = parser.parse_args()
    _adopt()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        package(folder)
        file = scenario(folder)
        ratios: list[list[float]] = []
        for number in range(given.pairs):
            order = ("together", "apart") if number % 2 == 0 else ("apart", "together")
            found = {how: run(folder, file, how, number, given.overrides) for how in order}
            if found["apart"].table != found["together"].table:
                raise SystemExit("the tables differ")
            apart, together = found["apart"], found["together"]
            ratios.append([apart.wall / together.wall, apart.processor / together.processor])
            shown = {how: [round(one.wall, 2), round(one.processor, 2)] for how, one in found.items()}
            print(json.dumps({**shown, "ratio": [round(ratio, 3) for ratio in ratios[-1]]}), flush=True)
        wall, processor = (round(statistics.median(column), 3) for column in zip(*ratios, strict=True))
        print(json.dumps({"pairs": given.pairs, "wall": wall, "processor": processor, "load": os.getloadavg()[0]}))


if __name__ == "__main__":
    main()
