"""Steps, cells and plans, and what the planners of all tasks share: models, protection, publication."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from linkbench.api.base import Defender, GenomeSource
from linkbench.api.data import TEST, TRAIN
from linkbench.api.resources import Resources
from linkbench.plan.coordinates import COORDINATES
from linkbench.plan.facts import NOTHING, CellFacts
from linkbench.registry.registry import registry
from linkbench.registry.spec import Spec
from linkbench.scenario.file import Model, Scenario
from linkbench.store.store import digest_of


class Step(NamedTuple):
    """One stage with everything that decides its result: plugins, settings, inputs and seed.

    `run` names the pure function as "module:function", so that a step can be carried out anywhere. light: it takes no
    time worth sending it away for. Neither that nor `on_device` is part of its id.
    """

    stage: str
    run: str
    specs: dict[str, Spec]
    settings: dict[str, Any]
    inputs: dict[str, str]
    seed: int
    on_device: bool = False
    light: bool = False

    def resources(self, device: str) -> Resources:
        """What it needs: the most that one of its plugins asks for, else a core and, on a GPU, all of that."""
        asked = [registry().load(spec.kind, spec.name).resources for spec in self.specs.values()]
        accelerated = self.on_device and device.startswith("cuda")
        return Resources(
            cores=max([0 if self.light else 1, *(each.cores for each in asked)]),
            gpu=(max((each.gpu for each in asked), default=0.0) or 1.0) if accelerated else 0.0,
            memory=max((each.memory for each in asked), default=0),
        )

    @property
    def id(self) -> str:
        """Equal steps of a plan have equal ids; cells share them."""
        return digest_of([self.stage, self.run, self.specs, self.settings, self.inputs, self.seed])[:16]


class Cell(NamedTuple):
    """One point of the grid: where it stands, what it is, and the steps behind it by stage."""

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
    facts: CellFacts

    def coordinates(self) -> dict[str, Any]:
        """The cell's place in the grid, as columns of the results."""
        return {name: getattr(self, name) for name in COORDINATES}


MEASURED = ("cohort", "predict", "quality", "poison_quality", "rule", "curves", "detect", "certify")
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
        specs: Mapping[str, Spec] | None = None,
        settings: Mapping[str, Any] | None = None,
        inputs: Mapping[str, str] | None = None,
        on_device: bool = False,
        light: bool = False,
    ) -> str:
        step = Step(stage, run, dict(specs or {}), dict(settings or {}), dict(inputs or {}), seed, on_device, light)
        id_ = step.id  # a digest of all that is in it
        self.steps.setdefault(id_, step)
        return id_

    def people(self, genomes: Spec, cohort: Spec, seed: int) -> dict[str, str]:
        """The genomes as they are, where attackers believe something else of them also that, and who is drawn."""
        source: GenomeSource = genomes.plugin()
        inner = source.believed_of()
        run = "linkbench.stages.link:genomes"
        base = {"genomes": self.add("genomes", run, seed, specs={"genomes": genomes}, light=True)}
        if inner is not None:
            true = Spec("genomes", inner["use"], inner["params"], inner["use"])
            base = {
                "genomes": self.add("genomes", run, seed, specs={"genomes": true}, light=True),
                "believed": base["genomes"],
            }
        base["cohort"] = self.add(
            "cohort", "linkbench.stages.link:cohort", seed,
            specs={"cohort": cohort}, settings={"split": self.scenario.settings["split"]},
            inputs={"genomes": base["genomes"]},
        )  # fmt: skip
        return base

    def train(self, model: Model, base: dict[str, str], seed: int, other_seed: bool = False) -> str:
        """The training of a model, and of the model that it starts from; `other_seed` differs in its seed alone."""
        inputs: dict[str, str] = {name: base[name] for name in ("cohort", "genomes", "poisoned") if name in base}
        if model.start is not None:
            start = next(other for other in self.scenario.models if other.name == model.start)
            inputs["start"] = self.train(start, base, seed, other_seed)
        specs = {"architecture": model.architecture, "recipe": model.recipe}
        settings = {"other_seed": True} if other_seed else {}
        run = "linkbench.stages.train:train"
        return self.add("train", run, seed, specs=specs, settings=settings, inputs=inputs, on_device=True)

    def predict(self, train: str, seed: int, *, split: int | None = None, **photos: str) -> str:
        """What a trained model says: of the photos `published`, or of one split of the `cohort`."""
        settings = {} if split is None else {"split": split}
        run = "linkbench.stages.train:predict"
        return self.add("predict", run, seed, settings=settings, inputs={"train": train, **photos}, on_device=True)

    def post(self, protect: str, channel: Spec, seed: int) -> str:
        """Protected photos as posting leaves them."""
        run = "linkbench.stages.protect:publish"
        return self.add("publish", run, seed, specs={"channel": channel}, inputs={"protect": protect})

    def publish(
        self, protect: str, channel: Spec, base: dict[str, str], seed: int, imaginary: bool, **more: int
    ) -> tuple[str, str]:
        """Protected photos as posting leaves them, and the measurement of what was changed in them.

        Examples are kept of imaginary people only.
        """
        specs, inputs = {"channel": channel}, {"protect": protect}
        posted = self.post(protect, channel, seed)
        quality = self.add(
            "quality", "linkbench.stages.protect:quality", seed,
            specs=specs, settings={**more, **({"examples": True} if imaginary else {})},
            inputs={**inputs, "publish": posted, "cohort": base["cohort"]},
        )  # fmt: skip
        return posted, quality

    def poison(
        self, poison: Spec, channel: Spec, model: Model, base: dict[str, str], seed: int, imaginary: bool
    ) -> dict[str, str]:
        """The photos that the attacker trains on, poisoned, posted and measured; nothing where there is no poison.

        A poison that sees a white box sees the attacker's model as it would be without poison.
        """
        if poison.name == NOTHING:
            return {}
        changed = self.protect(poison, channel, model, base, seed, split=TRAIN)
        posted, quality = self.publish(changed, channel, base, seed, imaginary, split=TRAIN)
        out = {"poison": changed, "poisoned": posted, "poison_quality": quality}
        if poison.plugin().proves():
            specs, inputs = {"defender": poison, "channel": channel}, {"cohort": base["cohort"]}
            run = "linkbench.stages.theorem_check:rule"
            out["rule"] = self.add("rule", run, seed, specs=specs, inputs=inputs, on_device=True)
        return out

    def protect(
        self,
        defender: Spec,
        channel: Spec,
        model: Model,
        base: dict[str, str],
        seed: int,
        split: int = TEST,
        own: bool = False,
    ) -> str:
        """The photos of one split, changed by a defender that sees the models its knowledge names.

        own: by the attacker, who runs the public tool on photos of his own people.
        """
        specs, inputs = self._defence(defender, channel, model, base, seed)
        stage, settings = "poison" if split == TRAIN else "protect", {} if split == TEST else {"split": split}
        settings |= {"own": True} if own else {}
        run = "linkbench.stages.protect:protect"
        return self.add(stage, run, seed, specs=specs, settings=settings, inputs=inputs, on_device=True)

    def _defence(
        self, defender: Spec, channel: Spec, model: Model, base: dict[str, str], seed: int
    ) -> tuple[dict[str, Spec], dict[str, str]]:
        """Plugins and inputs of a step in which a defender is at work."""
        inputs: dict[str, str] = {name: base[name] for name in ("cohort", "genomes") if name in base}
        plugin: Defender = defender.plugin()
        if "predictor" in plugin.needs:
            names = plugin.knowledge
            for index, name in enumerate([names] if isinstance(names, str) else names):
                inputs[f"model{index}"] = self.seen_model(name, model, base, seed)
        specs = {"defender": defender}
        if plugin.optimises_through():
            specs["channel"] = channel
        return specs, inputs

    def sanity(self, defender: Spec, channel: Spec, model: Model, base: dict[str, str], seed: int) -> dict[str, str]:
        """Whether more effort leads a defender further; nothing where it does not measure that, or stops early."""
        plugin: Defender = defender.plugin()
        if type(plugin).reached is Defender.reached or plugin.spares() or not plugin.budget().moves:
            return {}
        specs, inputs = self._defence(defender, channel, model, base, seed)
        run = "linkbench.stages.sanity:sanity"
        return {"sanity": self.add("sanity", run, seed, specs=specs, inputs=inputs, on_device=True)}

    def seen(self, model: Model, *defenders: Spec) -> tuple[str, ...]:
        """The models that defenders see where the attacker has this one, as `CellFacts.seen` names them."""
        out: dict[str, None] = {}
        for spec in defenders:
            plugin: Defender = spec.plugin()
            knowledge = [plugin.knowledge] if isinstance(plugin.knowledge, str) else plugin.knowledge
            named = {"white-box": model.name, "other-seed": f"other seed of {model.name}"}
            if "predictor" in plugin.needs:
                out |= dict.fromkeys(named.get(name, name) for name in knowledge)
        return tuple(out)

    def seen_model(self, name: str, model: Model, base: dict[str, str], seed: int) -> str:
        if name in ("white-box", "other-seed"):
            return self.train(model, base, seed, other_seed=name == "other-seed")
        return self.train(next(other for other in self.scenario.models if other.name == name), base, seed)

    def place(
        self,
        coordinates: dict[str, Any],
        played: Mapping[str, Spec],
        steps: dict[str, str],
        seen: tuple[str, ...] = (),
    ) -> Cell:
        """The cell at a place of the grid: its plugins by coordinate, the steps behind it, models that were seen."""
        cell = Cell(id=digest_of(coordinates)[:10], steps=steps, facts=CellFacts.of(played, seen), **coordinates)
        self.cells.append(cell)
        return cell
