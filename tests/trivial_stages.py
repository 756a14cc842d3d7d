"""Stages that do next to nothing, or end their process: for runs in which only what is around them matters."""

from __future__ import annotations

import os
import signal

import numpy as np

from linkbench.api.data import Artefact
from linkbench.plan.builder import Plan, Step
from linkbench.plan.task import Task


def number(task: Task) -> Artefact:
    """A number, and the sum of those before."""
    before = sum(float(given.array("number")[0]) for given in task.inputs.values())
    return Artefact({"number": np.array([task.settings["number"] + before])}, {})


def crash(task: Task) -> Artefact:
    """As a library does that reads where nothing is."""
    os.kill(os.getpid(), signal.SIGSEGV)
    raise AssertionError


def leave(task: Task) -> Artefact:
    """Ends the process without a word."""
    os._exit(0)


def plan(count: int, *others: str, wide: bool = True) -> Plan:
    """A first number and others that need it, or each the one before; then functions of this module that need the
    first."""
    steps: dict[str, Step] = {}
    first = before = ""
    for index in range(count):
        inputs = {} if not before else {"before": first if wide else before}
        step = Step("number", "trivial_stages:number", {}, {"number": index}, inputs, 0)
        steps[step.id] = step
        before, first = step.id, first or step.id
    for name in others:
        step = Step(name, f"trivial_stages:{name}", {}, {}, {"before": first}, 0)
        steps[step.id] = step
    return Plan(steps, [])
