"""From a scenario to a plan: the stages behind every cell of its grid, each stage once. Knows no disk."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, NamedTuple

from linkbench.registry.registry import registry
from linkbench.scenario.file import Model, Scenario
from linkbench.store.store import digest_of
from linkbench.registry.spec import Use
from linkbench.api.data import TEST, TRAIN, VALIDATION


class Step(NamedTuple):
    """One stage with everything that decides its result: plugins, settings, inputs and seed.

    `run` names the pure function as "module:function", so that a step can be carried out anywhere.
    """

    stage: str
    run: str
    uses: dict[str, Use]
    settings: dict[str, Any]
    inputs: dict[str, str]
    seed: int
    on_device: bool = False

    @property
    def id(self) -> str:
        """Equal steps of a plan have equal ids; cells share them."""
        return digest_of([self.stage, self.run, self.uses, self.settings, self.inputs, self.seed])[:16]


class Cell(NamedTuple):
    """One point of the grid: where it stands, and the steps behind it by stage."""

    id: str
    cohort: str
    genomes: str
    model: str
    poison: str
    defender: str
    epsilon: float | None
    channel: str
    attacker: str
    seed: int
    steps: dict[str, str]

    def coordinates(self) -> dict[str, Any]:
        """The cell's place in the grid, as columns of the results."""
        return {name: getattr(self, name) for name in COORDINATES}


COORDINATES = ("cohort", "genomes", "model", "poison", "defender", "epsilon", "channel", "attacker", "seed")


MEASURED = ("cohort", "predict", "quality", "poison_quality", "rule", "curves")
"""Steps behind a cell that its numbers come from, besides its ranks."""


class Plan(NamedTuple):
    """All steps, each after its inputs, and all cells."""

    steps: dict[str, Step]
    cells: list[Cell]


class Builder:
    """Collects the steps and cells of a scenario."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.steps: dict[str, Step] = {}
        self.cells: list[Cell] = []

    def add(
        self,
        stage: str,
        run: str,
        seed: int,
        *,
        uses: Mapping[str, Use] | None = None,
        settings: Mapping[str, Any] | None = None,
        inputs: Mapping[str, str] | None = None,
        on_device: bool = False,
    ) -> str:
        step = Step(stage, run, dict(uses or {}), dict(settings or {}), dict(inputs or {}), seed, on_device)
        self.steps.setdefault(step.id, step)
        return step.id

    def build(self) -> Plan:
        scenario = self.scenario
        if scenario.task == "identification":
            from linkbench.plan.identification import add_cells

            add_cells(self)
        for seed, genomes, cohort in itertools.product(scenario.seeds, scenario.genomes, scenario.cohort):
            base = {"genomes": self.add("genomes", "linkbench.stages.link:genomes", seed, uses={"genomes": genomes})}
            base["cohort"] = self.add(
                "cohort",
                "linkbench.stages.link:cohort",
                seed,
                uses={"cohort": cohort},
                settings={"split": scenario.split.model_dump()},
                inputs={"genomes": base["genomes"]},
            )
            place = {"seed": seed, "genomes": genomes.label, "cohort": cohort.label}
            if scenario.models:
                self.photo_cells(place, base, cohort)
            else:
                predict = self.add(
                    "predict", "linkbench.stages.link:published", seed, inputs={"cohort": base["cohort"]}
                )
                nothing = {
                    "model": "published",
                    "poison": "none",
                    "defender": "none",
                    "epsilon": None,
                    "channel": "float",
                }
                for attacker in scenario.attackers:
                    self.cell({**place, **nothing}, {**base, "predict": predict}, attacker)
        return Plan(self.steps, self.cells)

    def photo_cells(self, place: dict[str, Any], base: dict[str, str], cohort: Use) -> None:
        """Train every model, protect and publish the photos for each defender and channel, predict and link."""
        seed, scenario = place["seed"], self.scenario
        known = {"cohort": base["cohort"]}
        imaginary = registry().load("cohort", cohort.name).imaginary
        for model, poison, channel in itertools.product(scenario.models, scenario.poisons, scenario.channels):
            poisoned = self.poison(poison, channel, model, base, seed, imaginary)
            train = self.train(model, {**base, **poisoned}, seed)
            calibrate = self.add(
                "predict", "linkbench.stages.train:predict", seed,
                settings={"split": VALIDATION}, inputs={"train": train, **known}, on_device=True,
            )  # fmt: skip
            curves = self.add(
                "curves", "linkbench.stages.train:curves", seed, inputs={"train": train, "cohort": base["cohort"]}
            )
            baseline: dict[str, str] = {}
            for defender in sorted(scenario.defenders, key=lambda use: use.name != "none"):
                protect = self.protect(defender, channel, model, base, seed)
                publish, quality = self.publish(protect, channel, base, seed, imaginary)
                predict = self.add(
                    "predict", "linkbench.stages.train:predict", seed,
                    inputs={"train": train, "published": publish}, on_device=True,
                )  # fmt: skip
                epsilon = defender.params.get("epsilon")
                here = {"model": model.name, "poison": poison.label, "defender": defender.label, "epsilon": epsilon}
                steps = {
                    **base, **poisoned, "train": train, "protect": protect, "publish": publish, "quality": quality,
                    "predict": predict, "calibrate": calibrate, "curves": curves,
                }  # fmt: skip
                for attacker in scenario.attackers:
                    cell = self.cell({**place, **here, "channel": channel.label}, steps, attacker, baseline)
                    if defender.name == "none":
                        baseline[attacker.label] = cell.steps["rank"]

    def train(self, model: Model, base: dict[str, str], seed: int, twin: bool = False) -> str:
        """The training of a model, and of the model that it starts from; a twin differs in its seed alone."""
        inputs: dict[str, str] = {name: base[name] for name in ("cohort", "genomes", "poisoned") if name in base}
        if model.start is not None:
            start = next(other for other in self.scenario.models if other.name == model.start)
            inputs["start"] = self.train(start, base, seed, twin)
        uses = {"architecture": model.architecture, "recipe": model.recipe}
        settings = {"twin": True} if twin else {}
        run = "linkbench.stages.train:train"
        return self.add("train", run, seed, uses=uses, settings=settings, inputs=inputs, on_device=True)

    def publish(
        self, protect: str, channel: Use, base: dict[str, str], seed: int, imaginary: bool, **more: int
    ) -> tuple[str, str]:
        """Protected photos as posting leaves them, and the measurement of what was changed in them.

        Examples are kept of imaginary people only.
        """
        uses, inputs = {"channel": channel}, {"protect": protect}
        posted = self.add("publish", "linkbench.stages.protect:publish", seed, uses=uses, inputs=inputs)
        quality = self.add(
            "quality", "linkbench.stages.protect:quality", seed,
            uses=uses, settings={**more, **({"examples": True} if imaginary else {})},
            inputs={**inputs, "publish": posted, "cohort": base["cohort"]},
        )  # fmt: skip
        return posted, quality

    def poison(
        self, poison: Use, channel: Use, model: Model, base: dict[str, str], seed: int, imaginary: bool
    ) -> dict[str, str]:
        """The photos that the attacker trains on, poisoned, posted and measured; nothing where there is no poison.

        A poison that sees a white box sees the attacker's model as it would be without poison.
        """
        if poison.name == "none":
            return {}
        changed = self.protect(poison, channel, model, base, seed, split=TRAIN)
        posted, quality = self.publish(changed, channel, base, seed, imaginary, split=TRAIN)
        out = {"poison": changed, "poisoned": posted, "poison_quality": quality}
        if poison.plugin().proves():
            uses, inputs = {"defender": poison, "channel": channel}, {"cohort": base["cohort"]}
            run = "linkbench.stages.theorem_check:rule"
            out["rule"] = self.add("rule", run, seed, uses=uses, inputs=inputs, on_device=True)
        return out

    def protect(
        self, defender: Use, channel: Use, model: Model, base: dict[str, str], seed: int, split: int = TEST
    ) -> str:
        """The photos of one split, changed by a defender that sees the models its knowledge names."""
        inputs: dict[str, str] = {name: base[name] for name in ("cohort", "genomes") if name in base}
        if "predictor" in registry().load("defender", defender.name).needs:
            names = defender.params["knowledge"]
            for index, name in enumerate([names] if isinstance(names, str) else names):
                inputs[f"model{index}"] = self.seen_model(name, model, base, seed)
        uses = {"defender": defender}
        if defender.params.get("through"):
            uses["channel"] = channel
        stage, settings = "poison" if split == TRAIN else "protect", {} if split == TEST else {"split": split}
        run = "linkbench.stages.protect:protect"
        return self.add(stage, run, seed, uses=uses, settings=settings, inputs=inputs, on_device=True)

    def seen_model(self, name: str, model: Model, base: dict[str, str], seed: int) -> str:
        if name in ("white-box", "other-seed"):
            return self.train(model, base, seed, twin=name == "other-seed")
        return self.train(next(other for other in self.scenario.models if other.name == name), base, seed)

    def cell(
        self, place: dict[str, Any], steps: dict[str, str], attacker: Use, baseline: Mapping[str, str] | None = None
    ) -> Cell:
        """The last steps of a cell: rank and measure, the latter also against the rank without a defender."""
        seed = place["seed"]
        inputs: dict[str, str] = {
            name: steps[name] for name in ("genomes", "cohort", "predict", "calibrate") if name in steps
        }
        measure = self.scenario.measure
        settings = {"sizes": measure.model_dump(by_alias=True)["sizes"], "top_k": measure.top_k}
        rank = self.add(
            "rank", "linkbench.stages.link:rank", seed, uses={"attacker": attacker}, settings=settings, inputs=inputs
        )
        rows = self.add(
            "measure",
            "linkbench.stages.link:measure",
            seed,
            settings=measure.model_dump(by_alias=True),
            inputs={
                "rank": rank,
                **{name: steps[name] for name in MEASURED if name in steps},
                **({"baseline": baseline[attacker.label]} if baseline and attacker.label in baseline else {}),
            },
        )
        return self.place({**place, "attacker": attacker.label}, {**steps, "rank": rank, "measure": rows})

    def place(self, coordinates: dict[str, Any], steps: dict[str, str]) -> Cell:
        """The cell at a place of the grid, with the steps behind it."""
        cell = Cell(id=digest_of(coordinates)[:10], steps=steps, **coordinates)
        self.cells.append(cell)
        return cell


def make_plan(scenario: Scenario) -> Plan:
    """The stages and cells of a scenario."""
    return Builder(scenario).build()
