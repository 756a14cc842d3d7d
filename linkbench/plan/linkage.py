"""The plan of a linkage: photos, protected or not, and the genomes that attackers find for them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from linkbench.api.base import Attacker
from linkbench.api.countermeasure import Countermeasure, Smoothing
from linkbench.api.data import VALIDATION
from linkbench.plan.builder import MEASURED, Builder, Cell
from linkbench.plan.facts import NOTHING
from linkbench.registry.foreign import foreign
from linkbench.registry.registry import registry
from linkbench.registry.spec import Spec, every, parse_spec
from linkbench.scenario.file import Model
from linkbench.scenario.met import facing


def add_cells(builder: Builder) -> None:
    """All cells of a linkage scenario."""
    scenario = builder.scenario
    for seed, genomes, cohort in itertools.product(scenario.seeds, scenario.specs["genomes"], scenario.specs["cohort"]):
        base = builder.people(genomes, cohort, seed)
        place = {"seed": seed, "genomes": genomes.label, "cohort": cohort.label}
        given = {"genomes": genomes, "cohort": cohort}
        if scenario.models:
            _photo_cells(builder, place, base, given)
        else:
            predict = builder.add(
                "predict", "linkbench.stages.link:published", seed, inputs={"cohort": base["cohort"]}, light=True
            )
            nothing = {
                "model": "published",
                "poison": "none",
                "defender": "none",
                "epsilon": None,
                "channel": "float",
            }
            for attacker in scenario.specs["attackers"]:
                _cell(builder, {**place, **nothing}, {**base, "predict": predict}, {**given, "attacker": attacker})


def _photo_cells(builder: Builder, place: dict[str, Any], base: dict[str, str], given: dict[str, Spec]) -> None:
    """Train every model, protect and publish the photos for each defender and channel, predict and link."""
    seed, scenario = place["seed"], builder.scenario
    imaginary = registry().load("cohort", given["cohort"].name).imaginary
    leaked = any(attacker.plugin().leaks() for attacker in scenario.specs["attackers"])
    asked = frozenset().union(*(attacker.plugin().learns_from() for attacker in scenario.specs["attackers"]))
    for opponent, poison, channel in itertools.product(
        scenario.opponents, scenario.specs["poisons"], scenario.specs["channels"]
    ):
        poisoned = builder.poison(poison, channel, facing(opponent, _nobody()), base, seed, imaginary)
        network: dict[str, str] = {}
        baseline: dict[str, str] = {}
        for defender in sorted(scenario.specs["defenders"], key=lambda spec: spec.name != NOTHING):
            model = facing(opponent, poison if defender.name == NOTHING else defender)
            if not network or model is not opponent:
                network = _network(builder, model, {**base, **poisoned}, seed, clean="clean" in asked)
            train = network["train"]
            protect = builder.protect(defender, channel, model, base, seed)
            publish, quality = builder.publish(protect, channel, base, seed, imaginary)
            predict = builder.predict(train, seed, published=publish)
            held_out: dict[str, str] = {}
            if "protected" in asked:
                own = builder.protect(defender, channel, model, base, seed, split=VALIDATION, own=True)
                held_out = {"protected": builder.predict(train, seed, published=builder.post(own, channel, seed))}
            epsilon = defender.params.get("epsilon")
            here = {"model": model.name, "poison": poison.label, "defender": defender.label, "epsilon": epsilon}
            steps = {
                **base, **poisoned, **network, **held_out, "protect": protect, "publish": publish, "quality": quality,
                "predict": predict,
            }  # fmt: skip
            played = {
                **given, "model": model.architecture, "poison": poison, "defender": defender, "channel": channel
            }  # fmt: skip
            votes = _smoothing(model, scenario.models) if scenario.measure.radii else None
            if leaked or votes:
                plain = builder.protect(_nobody(), channel, model, base, seed)
                steps["unprotected"] = builder.predict(train, seed, published=builder.post(plain, channel, seed))
            if scenario.measure.detect and defender.name != NOTHING:
                steps["detect"] = _Detection(builder, channel, model, base, seed).of(defender)
            if scenario.measure.sanity:
                steps |= builder.sanity(defender, channel, model, base, seed)
            seen = builder.seen(model, poison, defender)
            for attacker in scenario.specs["attackers"]:
                everybody = {**played, "attacker": attacker}
                where = {**place, **here, "channel": channel.label}
                certified = _certificate(builder, attacker, votes, steps, seed)
                cell = _cell(builder, where, {**steps, **certified}, everybody, baseline, seen)
                if defender.name == NOTHING:
                    baseline[attacker.label] = cell.steps["rank"]


def _network(builder: Builder, model: Model, base: dict[str, str], seed: int, *, clean: bool) -> dict[str, str]:
    """A trained network, its curves, and where that is asked for what it says of clean validation photos."""
    train = builder.train(model, base, seed)
    inputs = {"train": train, "cohort": base["cohort"]}
    out = {"train": train, "curves": builder.add(
        "curves", "linkbench.stages.train:curves", seed, inputs=inputs, light=True
    )}  # fmt: skip
    if clean:
        out["clean"] = builder.predict(train, seed, split=VALIDATION, cohort=base["cohort"])
    return out


def _nobody() -> Spec:
    """The defender that leaves photos as they are."""
    (spec,), _ = parse_spec("defender", NOTHING, ())
    return spec


def _smoothing(model: Model, models: list[Model]) -> Smoothing | None:
    """How the predictor's votes on photos as they are posted are taken; None where it does not vote, where a filter may
    stand before the votes, or where only foreign code says how."""
    recipe = model.recipe.plugin()
    if foreign([model.recipe]):
        return None
    if isinstance(recipe, Countermeasure):
        return recipe.smoothing()
    if any(isinstance(spec.plugin(), Countermeasure) for spec in every([model.recipe]) if spec.kind == "recipe"):
        return None
    started = next((other for other in models if other.name == model.start), None)
    return None if started is None else _smoothing(started, models)


def _certificate(
    builder: Builder, attacker: Spec, votes: Smoothing | None, steps: dict[str, str], seed: int
) -> dict[str, str]:
    """What no change of a photo can take from an attacker to whom nothing counts but the outcome of votes."""
    plugin: Attacker = attacker.plugin()
    decided = plugin.decided and not foreign([attacker])  # what he is not shown needs no word of his
    told = plugin.sees == {"variants"} or (decided and plugin.sees <= {"variants", "probabilities"})
    if votes is None or not told or plugin.joint or plugin.pools() > 1 or plugin.leaks():
        return {}
    inputs = _read_by(plugin, steps) | {"predict": steps["unprotected"]}
    run = "linkbench.stages.certify:certify"
    return {
        "certify": builder.add(
            "certify", run, seed, specs={"attacker": attacker}, settings=votes._asdict(), inputs=inputs, light=True
        )
    }


def _read_by(attacker: Attacker, steps: Mapping[str, str]) -> dict[str, str]:
    """The steps that an attacker's scores come from."""
    read = [
        "genomes", "cohort", "predict", *sorted(attacker.learns_from()), *(["unprotected"] if attacker.leaks() else [])
    ]  # fmt: skip
    inputs = {name: steps[name] for name in read if name in steps}
    return inputs | {"genomes": steps.get("believed", inputs["genomes"])}


class _Detection:
    """What somebody who runs the tools of the scenario himself can tell of posted photos, for a model and a channel."""

    def __init__(self, builder: Builder, channel: Spec, model: Model, base: dict[str, str], seed: int) -> None:
        self.builder, self.channel, self.model, self.base, self.seed = builder, channel, model, base, seed
        protecting = [spec for spec in builder.scenario.specs["defenders"] if spec.name != NOTHING]
        self.kinds = [_nobody(), *protecting]

    def posted(self, spec: Spec, **whose: Any) -> str:
        """Photos after a tool, of linked people or of others."""
        protect = self.builder.protect(spec, self.channel, self.model, self.base, self.seed, **whose)
        return self.builder.post(protect, self.channel, self.seed)

    def own(self, spec: Spec) -> str:
        """The same of people whom the attacker knows."""
        return self.posted(spec, split=VALIDATION, own=True)

    def of(self, defender: Spec) -> str:
        """Whether photos after a tool can be told from the same without, and its name from those of the others."""
        inputs = {
            "cohort": self.base["cohort"], "own_clean": self.own(_nobody()), "own_protected": self.own(defender),
            "clean": self.posted(_nobody()), "protected": self.posted(defender),
        }  # fmt: skip
        settings = {}
        if len(self.kinds) > 2:
            inputs["tools"], settings = self._tools(), {"number": self.kinds.index(defender)}
        run = "linkbench.stages.detect:detect"
        return self.builder.add("detect", run, self.seed, settings=settings, inputs=inputs)

    def _tools(self) -> str:
        inputs = {"cohort": self.base["cohort"]}
        for at, spec in enumerate(self.kinds):
            inputs |= {f"own{at}": self.own(spec), f"met{at}": self.posted(spec)}
        budgets = [spec.params.get("epsilon") for spec in self.kinds]
        names = [
            spec.label if budget is None else f"{spec.label}, ε {budget:.4g}"
            for spec, budget in zip(self.kinds, budgets, strict=True)
        ]
        run = "linkbench.stages.detect:tools"
        return self.builder.add("tools", run, self.seed, settings={"names": names}, inputs=inputs)


def _cell(
    builder: Builder,
    place: dict[str, Any],
    steps: dict[str, str],
    played: dict[str, Spec],
    baseline: Mapping[str, str] | None = None,
    seen: tuple[str, ...] = (),
) -> Cell:
    """The last steps of a cell: rank and measure, the latter also against the rank without a defender."""
    seed, attacker = place["seed"], played["attacker"]
    measure = builder.scenario.measure
    settings = measure.model_dump(by_alias=True, include={"sizes", "top_k", "fpir", "alike"})
    rank = builder.add(
        "rank", "linkbench.stages.rank:rank", seed, specs={"attacker": attacker}, settings=settings,
        inputs=_read_by(attacker.plugin(), steps),
    )  # fmt: skip
    rows = builder.add(
        "measure",
        "linkbench.stages.measure:measure",
        seed,
        settings=measure.model_dump(by_alias=True),
        inputs={
            "rank": rank,
            **{name: steps[name] for name in MEASURED if name in steps},
            **({"baseline": baseline[attacker.label]} if baseline and attacker.label in baseline else {}),
        },
        light=True,
    )
    here = {**place, "attacker": attacker.label}
    return builder.place(here, played, {**steps, "rank": rank, "measure": rows}, seen)
