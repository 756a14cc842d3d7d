"""What a protection is made and judged with: the people, predictors and attackers of a scenario, through the store."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from linkbench.api import seeds
from linkbench.api.data import TRAIN, Array, Artefact, Cohort, Evidence, Stream, most_likely, strings
from linkbench.api.schema import PAPER, Schema
from linkbench.errors import InputError
from linkbench.execution.records import Watcher
from linkbench.execution.run import Run
from linkbench.models import predictor_files
from linkbench.plan.builder import Plan
from linkbench.plan.make import make_plan
from linkbench.registry.spec import Spec
from linkbench.scenario.file import Scenario
from linkbench.scenario.load import load_scenario, parse_scenario
from linkbench.scenario.yaml import read_yaml
from linkbench.stages.protect import pixels
from linkbench.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from linkbench.api.base import Attacker, Defender
    from linkbench.harness.defend import Defence
    from linkbench.models.predictor import Predictor

SHIPPED = "background.yaml"
"""The scenario that is used unless another is given; what it leads to lies beside it, see `shipped`."""

STUDIED = 256
"""People who may become decoys, at most: each protected person looks like one of them."""

HALF_A_STEP = 1 / 510
"""Strengths that differ by less are the same in a photo of 8 bits."""


class Opponent(NamedTuple):
    """One predictor, and whether the protection is made with it or has never seen it."""

    name: str
    predictor: Predictor
    seen: bool


@dataclass(frozen=True, eq=False)
class Background:
    """Everything that protecting one photo needs.

    people: who attackers know, without their photos; studied, photos: rows of people who may be decoys, int64 [m], and
    a photo of each, uint8 [m, 3, s, s]; defenders: one for each epsilon, the smallest first; lessons: by epsilon and
    opponent, what an attacker who ran the tool on his own people was taught; clean: by opponent, of unprotected photos;
    learned: what attackers made of lessons so far.
    """

    people: Cohort
    studied: Array
    photos: Array
    opponents: list[Opponent]
    defenders: dict[float, Spec]
    attacker: Attacker
    lessons: dict[tuple[float, str], tuple[Evidence, Array]]
    clean: dict[str, tuple[Evidence, Array]]
    learned: dict[tuple[float | None, str], object] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Edge of the aligned faces, pixels."""
        return int(self.photos.shape[-1])

    def strengths(self) -> list[float]:
        """The epsilons about which attackers were taught, ascending."""
        return sorted(self.defenders)

    def taught_at(self, epsilon: float) -> float:
        """The strength that attackers know who look for one of epsilon: the same, or the next that is stronger.

        Raises InputError above the strongest.
        """
        strengths = self.strengths()
        if epsilon > strengths[-1] + HALF_A_STEP:
            raise InputError(
                f"attackers were taught about changes of up to {255 * strengths[-1]:.3g}/255, not of "
                f"{255 * epsilon:.3g}/255; ask for less, or bring a scenario whose defenders go as far (--scenario)"
            )
        return next((each for each in strengths if each >= epsilon - HALF_A_STEP), strengths[-1])

    def defence(self, epsilon: float, secret: int, count: int) -> Defence:
        """The defender at work for so many faces, with decoys drawn by a secret."""
        spec = self.defenders[self.taught_at(epsilon)]
        return self.at_work(spec.plugin().model_copy(update={"epsilon": epsilon}), spec.label, secret, count)

    def at_work(self, defender: Defender, label: str, secret: int, count: int) -> Defence:
        """Any defender that asks for no more than a predictor, with the networks that the protection is made with."""
        from linkbench.harness.defend import Defence
        from linkbench.harness.knowledge import Known, study_set
        from linkbench.models.predictor import ensemble

        surrogates = [each.predictor for each in self.opponents if each.seen]
        # whose photos are studied carries on where the photos to be protected end: everybody has a number of his own
        rows = self.studied
        everybody = np.concatenate([np.arange(count), self.people.identity[rows] + count])
        known = Known(
            schema=self.people.schema,
            seed=seeds.derive(secret, "protect"),
            predictor=ensemble(surrogates),
            identity=everybody,
        )
        out = Defence(defender, known, f"defender {label}")
        out.learn(
            study_set(
                defender,
                known,
                lambda index: pixels(self.photos[index], "cpu"),
                np.arange(count, len(everybody)),
                keys=rows,
                size=self.size,
                device="cpu",
                seed=seeds.derive(secret, "learn"),
            )
        )
        return out

    def taught(self, opponent: str, epsilon: float | None) -> object:
        """What the attacker with one predictor learned from photos that he protected with epsilon, None: from plain
        ones. Once, and for whomever he looks."""
        at = None if epsilon is None else self.taught_at(epsilon)
        if (at, opponent) not in self.learned:
            lesson = self.clean[opponent] if at is None else self.lessons[at, opponent]
            self.learned[at, opponent] = self.attacker.learn(*lesson)
        return self.learned[at, opponent]


def scenario_of(path: Path | None) -> Scenario:
    """The scenario that a protection is measured with: a file, or the shipped one with the user's predictors as judges.

    Raises ScenarioError, and InputError for a scenario that leaves something open.
    """
    if path is not None:
        scenario = load_scenario(path)
    else:
        with resources.as_file(resources.files("linkbench.protection") / SHIPPED) as shipped:
            written = read_yaml(shipped)
        written.data["models"] += _judges(written.data["cohort"]["size"])
        scenario = parse_scenario(written)
    _fitting(scenario)
    return scenario


def _judges(size: int) -> list[dict[str, Any]]:
    """Models of a scenario that judge and are never seen: every predictor of the user that reads such photos and the
    paper's phenotypes. Raises WeightsError for a file that cannot be used."""
    out: list[dict[str, Any]] = []
    for name, path in predictor_files.own().items():
        meta = predictor_files.read(path).meta
        if meta["size"] == size and Schema.from_json(meta["schema"]) == PAPER:
            recipe = {"use": "pretrained", "predictor": str(path)}
            out.append({"name": f"yours-{name}", "recipe": recipe, "sealed": True})
    return out


def prepare(
    scenario: Scenario,
    store: Store,
    watching: Callable[[int], AbstractContextManager[Watcher | None]],
    device: str = "cpu",
) -> Background:
    """Carry out what is not in the store yet: minutes at the first time, seconds later.

    Raises InputError for a scenario that leaves something open, or a stage that fails.
    """
    return background_of(carry_out(scenario, store, watching, device), scenario)


def carry_out(
    scenario: Scenario,
    store: Store,
    watching: Callable[[int], AbstractContextManager[Watcher | None]],
    device: str = "cpu",
) -> Artefact:
    """What `background_of` needs of a scenario's stages: people, decoys' photos, networks, and what attackers learn
    from. Raises as `prepare` does."""
    defenders = _fitting(scenario)
    plan = make_plan(scenario)
    wanted = {"cohort", "train", "clean", "protected"}
    needed = {id_ for cell in plan.cells for stage, id_ in cell.steps.items() if stage in wanted}
    run = Run(_only(plan, needed), store, device)
    with watching(len(run.plan.steps)) as watcher:
        run.execute(watcher)
    if run.failures:
        failure = next(iter(run.failures.values()))
        raise InputError(f"{failure.stage}: {failure.reason}")
    return _collect(scenario, plan, run, defenders)


def _fitting(scenario: Scenario) -> dict[float, Spec]:
    """The defenders by epsilon. Raises InputError where the scenario is not one that a protection can be made with."""
    specs = scenario.specs
    for section in ("cohort", "genomes", "channels", "attackers"):
        if len(specs[section]) != 1:
            raise InputError(
                f"a protection needs one entry in {section!r} of its scenario; it has {len(specs[section])}"
            )
    if len(scenario.seeds) != 1 or not scenario.models:
        raise InputError("a protection needs a scenario with one seed and with models")
    defenders = {float(spec.params["epsilon"]): spec for spec in specs["defenders"] if spec.params.get("epsilon")}
    if len(defenders) != len(specs["defenders"]):
        raise InputError("a protection needs a scenario whose defenders differ in their epsilon, each above 0")
    needs = next(iter(defenders.values())).plugin().needs
    if not needs <= {"predictor"}:
        raise InputError(f"a protection can be made with defenders that need a predictor alone, not {sorted(needs)}")
    asked = specs["attackers"][0].plugin().learns_from()
    if asked != {"clean", "protected"}:
        raise InputError(
            "a protection is judged by an attacker who learns from clean and protected photos: learns: best"
        )
    return defenders


def _only(plan: Plan, needed: set[str]) -> Plan:
    """The steps that these need, and no others; nobody is linked."""
    kept: set[str] = set()
    waiting = [*needed]
    while waiting:
        id_ = waiting.pop()
        if id_ not in kept:
            kept.add(id_)
            waiting += plan.steps[id_].inputs.values()
    return Plan({id_: step for id_, step in plan.steps.items() if id_ in kept}, [])


def _collect(scenario: Scenario, plan: Plan, run: Run, defenders: dict[float, Spec]) -> Artefact:
    """people/..: labels, identity, split; studied, photos; network/NAME/..: a train stage's arrays; plain/NAME/.. and
    changed/NAME/PLACE/..: photo and probabilities, PLACE among the strengths, ascending."""
    cohort = run.artefact(plan.cells[0].steps["cohort"])
    people = Cohort.of(cohort)
    _, first = np.unique(people.identity, return_index=True)
    rows = np.flatnonzero(people.split == TRAIN)
    rows = rows[np.isin(rows, first)][:STUDIED]
    arrays: dict[str, Array | Stream] = {
        "people/labels": people.labels.astype(np.int8),
        "people/identity": people.identity.astype(np.int32),
        "people/split": people.split.astype(np.int8),
        "studied": rows,
        "photos": cohort.array("photos")[rows],
    }
    networks, strengths = {}, sorted(defenders)
    for model in scenario.models:
        cells = [cell for cell in plan.cells if cell.model == model.name]
        if not cells:
            continue  # a surrogate: it is seen by the defender, and nobody judges with it
        trained = run.artefact(cells[0].steps["train"])
        networks[model.name] = {name: value for name, value in trained.meta.items() if name != "report"}
        said = {f"plain/{model.name}": run.artefact(cells[0].steps["clean"])}
        for cell in cells:
            assert cell.epsilon is not None
            said[f"changed/{model.name}/{strengths.index(cell.epsilon)}"] = run.artefact(cell.steps["protected"])
        arrays |= {f"network/{model.name}/{name}": trained.array(name) for name in trained.arrays}
        for where, each in said.items():
            arrays[f"{where}/photo"] = each.array("photo").astype(np.int32)
            arrays[f"{where}/probabilities"] = each.array("probabilities").astype(np.float32)
    return Artefact(arrays, {"schema": people.schema.to_json(), "networks": networks})


def background_of(parts: Artefact, scenario: Scenario) -> Background:
    """The background from what `carry_out` gave, and the scenario that it was carried out for."""
    from linkbench.models.predictor import load_predictor

    defenders = _fitting(scenario)
    strengths, seen = sorted(defenders), _seen(next(iter(defenders.values())))
    labels, identity, split = (
        parts.array(f"people/{name}").astype(np.int64) for name in ("labels", "identity", "split")
    )
    index = np.arange(len(labels))
    people = Cohort(
        Schema.from_json(parts.meta["schema"]), strings([str(each) for each in index]), identity, labels, index, split
    )
    lessons, clean, opponents = {}, {}, []
    for name, meta in parts.meta["networks"].items():
        start = f"network/{name}/"
        weights = {each.removeprefix(start): parts.array(each) for each in parts.arrays if each.startswith(start)}
        opponents.append(Opponent(name, load_predictor(Artefact({**weights}, meta)), name in seen))
        clean[name] = _lesson(people, parts, f"plain/{name}")
        for place, epsilon in enumerate(strengths):
            lessons[epsilon, name] = _lesson(people, parts, f"plain/{name}", f"changed/{name}/{place}")
    return Background(
        people, parts.array("studied"), parts.array("photos"), opponents, defenders,
        scenario.specs["attackers"][0].plugin(), lessons, clean,
    )  # fmt: skip


def _lesson(people: Cohort, parts: Artefact, *kinds: str) -> tuple[Evidence, Array]:
    """What an attacker is taught: what a predictor says of his own people's photos, plain ones first, and labels."""
    photo = np.concatenate([parts.array(f"{each}/photo") for each in kinds])
    probabilities = np.concatenate([parts.array(f"{each}/probabilities") for each in kinds]).astype(np.float64)
    evidence = Evidence(
        people.schema,
        len(photo),
        most_likely(probabilities, people.schema),
        probabilities,
        person=people.identity[photo],
        protected=np.arange(len(photo)) >= len(parts.array(f"{kinds[0]}/photo")),
    )
    return evidence, people.labels[photo]


def _seen(spec: Spec) -> tuple[str, ...]:
    """The models that the defender sees."""
    knowledge = spec.params["knowledge"]
    return (knowledge,) if isinstance(knowledge, str) else tuple(knowledge)
