"""Scratch folders of plugins: each goes with its process, and those of a run that was killed go with the next one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from linkbench.boundary import process as processes
from linkbench.boundary import scratch
from linkbench.boundary.process import Process, Wanted
from linkbench.errors import PluginError

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="plugins have no processes here")

KILLED = """
import sys, time
from linkbench.boundary import scratch
print(scratch.make(), flush=True)
time.sleep(600)
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where temporary files go, looked at for the first time."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    scratch._clear_away.cache_clear()
    yield tmp_path
    scratch._clear_away.cache_clear()


def test_those_of_a_killed_run_are_cleared_away_and_no_others(place: Path) -> None:
    started = subprocess.Popen([sys.executable, "-c", KILLED], stdout=subprocess.PIPE, text=True)
    assert started.stdout is not None
    left = Path(started.stdout.readline().strip())
    (left / "photos.safetensors").write_bytes(b"of somebody")
    number = scratch._numbering()
    others = [
        place / name
        for name in (
            f"{scratch.PREFIX}1{number}-{started.pid}-7-elsewhere",
            f"{scratch.PREFIX}mine",
            "something-else",
        )
    ]
    for other in others:
        other.mkdir()
    mine = scratch.make()
    assert left.is_dir(), "its maker is at work"
    started.send_signal(signal.SIGKILL)
    started.wait()
    started.stdout.close()
    scratch._clear_away.cache_clear()
    again = scratch.make()
    assert not left.exists()
    assert all(path.is_dir() for path in (*others, Path(mine), Path(again)))
    reused = place / f"{scratch.PREFIX}{number}-{os.getpid()}-1-reused"  # another process had the number before
    reused.mkdir()
    (place / f"{reused.name}-link").symlink_to(others[2])
    scratch._clear_away.cache_clear()
    scratch.remove(scratch.make())
    assert not reused.exists()
    assert others[2].is_dir()


def test_a_process_takes_its_folder_along_however_it_ends(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = Wanted("it", ["linkbench.registry.describing"], [], [])
    with Process(wanted) as there:
        assert Path(there.scratch).is_dir()
        (Path(there.scratch) / "given").write_text("")
    assert not list(place.glob(f"{scratch.PREFIX}*"))
    with pytest.raises(RuntimeError), Process(wanted):
        raise RuntimeError
    assert not list(place.glob(f"{scratch.PREFIX}*"))

    def refuse(*_: object) -> None:
        raise PluginError("no process for plugins can be started")

    monkeypatch.setattr(processes._ZYGOTE, "order", refuse)
    with pytest.raises(PluginError):
        Process(wanted)
    assert not list(place.glob(f"{scratch.PREFIX}*"))


LOCKED = """
import os, sys
from pathlib import Path
from linkbench.boundary import scratch
if os.getuid() == 0:
    os.setuid(65534)  # whom the rights of files hold
folder = Path(sys.argv[1], "made")
inner = folder
for name in "abc":
    inner = inner / name
    inner.mkdir(parents=True)
(inner / "file").write_text("")
for each in (inner, inner.parent, inner.parent.parent):
    each.chmod(0)
scratch.remove(str(folder))
print(folder.exists())
"""


def test_what_a_plugin_made_unreadable_goes_too() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        done = subprocess.run([sys.executable, "-c", LOCKED, folder], capture_output=True, text=True)
        assert done.stdout.strip() == "False", done.stderr
