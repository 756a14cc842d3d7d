"""What a protection is made and judged with: the people, predictors and attackers of a scenario, through the store."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from linkbench.api import seeds
from linkbench.api.data import TRAIN, Array, Artefact, Cohort, Evidence, most_likely
from linkbench.api.schema import PAPER, Schema
from linkbench.errors import InputError
from linkbench.execution.records import Watcher
from linkbench.execution.run import Run
from linkbench.models import predictor_files
from linkbench.plan.builder import Plan
from linkbench.plan.make import make_plan
from linkbench.registry.spec import Spec, parse_spec
from linkbench.scenario.file import Scenario
from linkbench.scenario.load import load_scenario, parse_scenario
from linkbench.scenario.yaml import read_yaml
from linkbench.stages.protect import pixels
from linkbench.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from linkbench.api.base import Attacker
    from linkbench.harness.defend import Defence
    from linkbench.models.predictor import Predictor

SHIPPED = "background.yaml"
"""The scenario that is used unless another is given."""


class Opponent(NamedTuple):
    """One predictor, and whether the protection is made with it or has never seen it."""

    name: str
    predictor: Predictor
    seen: bool


@dataclass(frozen=True, eq=False)
class Background:
    """Everything that protecting one photo needs.

    size: edge of the aligned faces in pixels; defenders: one for each epsilon, the smallest first; lessons: by epsilon
    and opponent, what an attacker who ran the tool on his own people was taught; clean: by opponent, of unprotected
    photos; learned: what attackers made of lessons so far.
    """

    people: Cohort
    photos: Array
    size: int
    opponents: list[Opponent]
    defenders: dict[float, Spec]
    attacker: Attacker
    lessons: dict[tuple[float, str], tuple[Evidence, Array]]
    clean: dict[str, tuple[Evidence, Array]]
    learned: dict[tuple[float | None, str], object] = field(default_factory=dict)

    def strengths(self) -> list[float]:
        """The epsilons for which attackers are calibrated, ascending."""
        return sorted(self.defenders)

    def defence(self, epsilon: float, secret: int, count: int) -> Defence:
        """The defender at work for so many faces, with decoys drawn by a secret."""
        return _defence(self, epsilon, secret, count)

    def taught(self, opponent: str, epsilon: float | None) -> object:
        """What the attacker with one predictor learned from photos that he protected with epsilon, None: from plain
        ones. Once, and for whomever he looks."""
        if (epsilon, opponent) not in self.learned:
            lesson = self.clean[opponent] if epsilon is None else self.lessons[epsilon, opponent]
            self.learned[epsilon, opponent] = self.attacker.learn(*lesson)
        return self.learned[epsilon, opponent]


def scenario_of(path: Path | None, epsilon: float | None = None) -> Scenario:
    """The scenario that a protection is measured with: a file, or the shipped one with the user's predictors as judges.

    epsilon: one that attackers shall be taught about; if the scenario has it not, then instead of its own. Raises
    ScenarioError, and InputError for a scenario that leaves something open.
    """
    if path is not None:
        scenario = load_scenario(path)
    else:
        with resources.as_file(resources.files("linkbench.protection") / SHIPPED) as shipped:
            written = read_yaml(shipped)
        written.data["models"] += _judges(written.data["cohort"]["size"])
        scenario = parse_scenario(written)
    defenders = _fitting(scenario)
    if epsilon is None or epsilon in defenders:
        return scenario
    first = next(iter(defenders.values()))
    specs, _ = parse_spec("defender", {"use": first.name, **_as_written(first), "epsilon": epsilon}, ())
    return scenario._replace(specs={**scenario.specs, "defenders": specs})


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


def _as_written(spec: Spec) -> dict[str, Any]:
    """The parameters of a defender as a scenario has them, where a list that is one value stands in another."""
    return {name: [value] if isinstance(value, list) else value for name, value in spec.params.items()}


def prepare(
    scenario: Scenario,
    store: Store,
    watching: Callable[[int], AbstractContextManager[Watcher | None]],
    device: str = "cpu",
) -> Background:
    """Carry out what is not in the store yet: minutes at the first time, seconds later.

    Raises InputError for a scenario that leaves something open, or a stage that fails.
    """
    spec = _fitting(scenario)
    plan = make_plan(scenario)
    wanted = {"cohort", "train", "clean", "protected"}
    needed = {id_ for cell in plan.cells for stage, id_ in cell.steps.items() if stage in wanted}
    run = Run(_only(plan, needed), store, device)
    with watching(len(run.plan.steps)) as watcher:
        run.execute(watcher)
    if run.failures:
        failure = next(iter(run.failures.values()))
        raise InputError(f"{failure.stage}: {failure.reason}")
    return _collect(scenario, plan, run, spec)


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


def _collect(scenario: Scenario, plan: Plan, run: Run, defenders: dict[float, Spec]) -> Background:
    from linkbench.models.predictor import load_predictor

    attacker: Attacker = scenario.specs["attackers"][0].plugin()
    first = plan.cells[0].steps
    cohort = run.artefact(first["cohort"])
    people = Cohort.of(cohort)
    lessons, clean, opponents = {}, {}, []
    seen = _seen(next(iter(defenders.values())))
    for model in scenario.models:
        cells = [cell for cell in plan.cells if cell.model == model.name]
        if not cells:
            continue  # a surrogate: it is seen by the defender, and nobody judges with it
        artefact = run.artefact(cells[0].steps["train"])
        opponents.append(Opponent(model.name, load_predictor(artefact, run.device), model.name in seen))
        plain = run.artefact(cells[0].steps["clean"])
        clean[model.name] = _lesson(people, plain)
        for cell in cells:
            assert cell.epsilon is not None
            lessons[cell.epsilon, model.name] = _lesson(people, plain, run.artefact(cell.steps["protected"]))
    photos = cohort.array("photos")
    return Background(people, photos, int(photos.shape[-1]), opponents, defenders, attacker, lessons, clean)


def _lesson(people: Cohort, clean: Artefact, protected: Artefact | None = None) -> tuple[Evidence, Array]:
    """What an attacker is taught: what a predictor says of his own people's photos, and their labels."""
    kinds = [clean] if protected is None else [clean, protected]
    photo = np.concatenate([each.array("photo") for each in kinds])
    probabilities = np.concatenate([np.asarray(each.array("probabilities"), dtype=np.float64) for each in kinds])
    evidence = Evidence(
        people.schema,
        len(photo),
        most_likely(probabilities, people.schema),
        probabilities,
        person=people.identity[photo],
        protected=np.arange(len(photo)) >= len(clean.array("photo")),
    )
    return evidence, people.labels[photo]


def _seen(spec: Spec) -> tuple[str, ...]:
    """The models that the defender sees."""
    knowledge = spec.params["knowledge"]
    return (knowledge,) if isinstance(knowledge, str) else tuple(knowledge)


def _defence(background: Background, epsilon: float, secret: int, count: int) -> Defence:
    from linkbench.harness.defend import Defence
    from linkbench.harness.knowledge import Known, study_set
    from linkbench.models.predictor import ensemble

    defender: Any = background.defenders[epsilon].plugin()
    surrogates = [each.predictor for each in background.opponents if each.seen]
    # whose photos are studied carries on where the photos to be protected end: everybody has a number of his own
    rows = np.flatnonzero(background.people.split == TRAIN)
    everybody = np.concatenate([np.arange(count), background.people.identity[rows] + count])
    known = Known(
        schema=background.people.schema,
        seed=seeds.derive(secret, "protect"),
        predictor=ensemble(surrogates),
        identity=everybody,
    )
    out = Defence(defender, known, f"defender {background.defenders[epsilon].label}")
    out.learn(
        study_set(
            defender,
            known,
            lambda index: pixels(background.photos[rows[index]], "cpu"),
            np.arange(count, len(everybody)),
            keys=rows,
            size=background.size,
            device="cpu",
            seed=seeds.derive(secret, "learn"),
        )
    )
    return out
