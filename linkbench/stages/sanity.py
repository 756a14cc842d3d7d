"""The stage that asks whether a defender who follows gradients does what it could: more effort must not lead less far.

Carlini et al. 2019, On evaluating adversarial robustness: signs of an attack that is stuck.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from linkbench.api import seeds
from linkbench.api.base import Defender
from linkbench.api.data import Array, Artefact
from linkbench.boundary.messages import Parcel, checked
from linkbench.errors import PluginError
from linkbench.harness.knowledge import learns
from linkbench.harness.proposals import proposing
from linkbench.plan.task import Task
from linkbench.stages.protect import Perturbing, known_to, on_device, photos_of, pixels

PHOTOS = 24
"""Photos that are tried, at most."""

STEPS, RESTARTS, BUDGET = 4, 4, 8
"""How many times as many steps, as many tries, as large a budget."""

LARGEST = 0.5
"""The largest budget that is tried."""

POINTS = 20
"""Random points of the budget that are tried, as many as attacks usually take steps."""


def efforts(defender: Defender) -> dict[str, Defender]:
    """The defender (`itself`), and the same with more effort, by the parameter that is larger; those that it has."""
    given: dict[str, Any] = dict(defender)
    factors = {"steps": STEPS, "restarts": RESTARTS, "epsilon": BUDGET}
    more = {name: factor * given[name] for name, factor in factors.items() if name in given}
    if "epsilon" in more:
        more["epsilon"] = max(given["epsilon"], min(LARGEST, more["epsilon"]))
    return {"itself": defender} | {name: defender.model_copy(update={name: value}) for name, value in more.items()}


def tries(defender: Defender) -> list[str]:
    """What is compared: the photos as they are, all efforts, and the best of POINTS random points of the budget."""
    return ["clean", *efforts(defender), "random"]


class Trying(Perturbing):
    """The proposer of how far a defender gets with some photos, by its own measure."""

    def reached(self, given: Parcel) -> Parcel:
        """photos float32 [b, 3, h, w] of the rows int64 [b]; gives float64 [b] for each of `tries`."""
        from linkbench.harness.defend import Defence
        from linkbench.harness.knowledge import tell

        photos, rows = on_device(given.arrays["photos"], self.device), given.arrays["rows"]
        learned = self.learned.get(0)
        told = tell(self.defender, self.known, rows, photos.device, learned=learned)

        def measured(changed: Any) -> Array:
            value = self.defender.reached(photos, changed, told)
            if value is None:
                raise PluginError(f"{self.who} says in `reached` how far it gets, but gave None; then leave that out")
            out: Array = value.double().cpu().numpy()
            return out

        found = {"clean": measured(photos)}
        for name, trying in efforts(self.defender).items():
            defence = Defence(trying, self.known, self.who, learned)
            found[name] = measured(defence.perturb(photos, rows).photos)
        found["random"] = np.max([measured(point) for point in self._random(photos, told)], axis=0)
        return Parcel(found, {})

    def _random(self, photos: Any, told: Any) -> Any:
        """Random corners of the budget."""
        from linkbench.harness.budget import project

        budget = self.defender.budget()
        for number in range(POINTS):
            way = told.uniform(f"random {number}", tuple(photos.shape[1:]), photos)
            yield project(photos, photos + (budget.radius or 0.0) * way.sign(), budget)


def sanity(task: Task) -> Artefact:
    """How far the defender gets with a few photos, and with more effort: float64 [n] for each of `tries`, larger is
    better, by its own measure. inputs, specs: as of `linkbench.stages.protect.protect`.
    """
    spec = task.specs["defender"]
    defender: Defender = spec.plugin()
    people, photo, clean = photos_of(task.inputs["cohort"])
    seed = seeds.derive(task.seed, "protect")
    chosen = np.sort(seeds.generator(seed, "sanity").permutation(photo)[:PHOTOS])
    told = known_to(task, defender, people, chosen, clean, seed)
    shown = pixels(clean[chosen], task.device)
    with proposing(told, f"{__name__}:Trying", f"defender {spec.label}") as there:
        if learns(defender):
            there.call("learn", Parcel({}, {"seed": seeds.derive(seed, "learn")}), most=0)
        answer = there.call("reached", Parcel({"photos": shown, "rows": chosen}, {}))
    found = {name: checked(answer.arrays, name, "float64", (len(chosen),)) for name in tries(defender)}
    return Artefact({"photo": chosen, **found}, {})
