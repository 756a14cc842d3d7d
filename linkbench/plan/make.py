"""From a scenario to a plan: the stages behind every cell of its grid, each stage once. Knows no disk."""

from __future__ import annotations

from linkbench.plan.builder import Builder, Plan
from linkbench.registry.registry import registry
from linkbench.scenario.file import Scenario
from linkbench.scenario.tasks import TASKS


def make_plan(scenario: Scenario) -> Plan:
    """The stages and cells of a scenario."""
    builder = Builder(scenario)
    TASKS[scenario.task].load("cells")(builder)
    registry().rest()  # what packages of others said is known
    return Plan(builder.steps, builder.cells)
