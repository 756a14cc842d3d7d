"""Runs `linkbench` again and again in forked processes and kills them; started by test_resume.

Imports are done once, so that a run takes no longer than its own work. Standard input is JSON: `command`, a list of
`kills` and the `folders` that matter. A kill is ["seconds", s], or ["step", n]: just before the n-th thing that is done
to a file in the folders (opened, renamed, removed, made); null lets a run finish. Prints the exit statuses as JSON.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import time
from typing import Any

from linkbench import cli
from linkbench.registry.registry import registry

EARLY = ("plan.make", "report.page", "report.terminal", "results.folder", "stages.link", "metrics.rows", "cli.run")

TOUCHING = {"open", "os.rename", "os.remove", "os.mkdir", "os.chmod"}


def kill_at(step: int, folders: tuple[str, ...]) -> None:
    """Kill this process just before it touches one of the folders for the `step`-th time."""
    left = step

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        if event in TOUCHING and str(arguments[0]).startswith(folders):
            left -= 1
            if left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def one(command: list[str], kill: tuple[str, float] | None, folders: tuple[str, ...]) -> int:
    """Exit status of one run, -9 if it was killed."""
    process = os.fork()
    if process == 0:
        status = 1
        try:
            quiet = os.open(os.devnull, os.O_WRONLY)
            os.dup2(quiet, 1)
            if kill and kill[0] == "step":
                kill_at(int(kill[1]), folders)
            sys.argv = ["linkbench", *command]
            cli.main()
        except SystemExit as ended:
            status = int(ended.code or 0)
        finally:
            os._exit(status)
    if kill and kill[0] == "seconds":
        time.sleep(kill[1])
        os.kill(process, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


if __name__ == "__main__":
    task = json.load(sys.stdin)
    registry()
    for module in EARLY:
        importlib.import_module(f"linkbench.{module}")
    folders = tuple(task["folders"])
    print(json.dumps([one(task["command"], kill, folders) for kill in task["kills"]]))
