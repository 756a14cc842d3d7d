"""A defender at work, the same at release time, as a poison, in training and in a theorem's check.

Photos pass three rooms: what the defender may know (knowledge), `perturb` with seeded generators and guarded networks,
and the checks, after which they are measured and taken back to the budget.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from linkbench.api import seeds
from linkbench.api.base import Defender
from linkbench.api.budget import Budget
from linkbench.api.data import Array
from linkbench.api.knowledge import StudySet
from linkbench.api.training_data import Examples, TrainingData
from linkbench.errors import PluginError
from linkbench.harness.adoption import adopters
from linkbench.harness.budget import excess, project
from linkbench.harness.checks import Guard, check_photos
from linkbench.harness.knowledge import Known, check_known, learns, study_set, tell
from linkbench.models.predictor import Predictor, frozen
from linkbench.models.seeding import seeded


class Defended(NamedTuple):
    """Photos float [b, 3, h, w] within the budget and [0, 1], and float32 [b], how far the plugin had gone beyond."""

    photos: Tensor
    excess: Tensor


class Defence:
    """One defender and what it may know. Raises PluginError where that is not what it needs, or its budget is none."""

    def __init__(self, defender: Defender, known: Known, who: str, learned: Any = None) -> None:
        check_known(defender, known, who)
        self.defender, self.known, self.who, self.learned = defender, known, who, learned
        self.budget = stated_budget(defender, who)
        self.guard = Guard(known.predictor if "predictor" in defender.needs else None, who)

    def learn(self, study: StudySet) -> Any:
        """What the defender works out before it changes any photo; None if it does not learn."""
        if learns(self.defender):
            with seeded(study.device, seeds.derive(study.seed, "torch")):
                self.learned = self.defender.learn(study)
            self.guard.check()
        return self.learned

    def perturb(
        self, photos: Tensor, index: Array, *, keys: Array | None = None, using: Array | None = None
    ) -> Defended:
        """A batch [b, 3, h, w] in [0, 1] changed, checked, measured and taken back; the input stays as it is.

        index: int64 [b], which photos these are of those in `known`; keys: int64 [b], for their random numbers, the
        index by default; using: bool [b], whose photos are changed at all. Raises PluginError for what is no photo,
        and for a network that was changed.
        """
        out = self.propose(photos, index, keys=keys)
        return settle(photos, out, self.budget, self.who, using)

    def propose(self, photos: Tensor, index: Array, *, keys: Array | None = None) -> Any:
        """What the defender itself makes of a batch, whatever that is; see `perturb`."""
        told = tell(self.defender, self.known, index, photos.device, keys=keys, learned=self.learned)
        # a plugin should draw from its knowledge; one that draws from torch is at least repeatable
        with seeded(str(photos.device), seeds.derive(self.known.seed, "torch", told.keys[0])):
            out = self.defender.perturb(photos.clone(), told)
        self.guard.check()
        return out


def stated_budget(defender: Defender, who: str) -> Budget:
    """The budget of a defender. Raises PluginError for an impossible one."""
    budget = defender.budget()
    if problem := budget.problem():
        raise PluginError(f"{who} states an impossible budget: {problem}")
    return budget


def settle(photos: Tensor, proposed: Any, budget: Budget, who: str, using: Array | None = None) -> Defended:
    """What a defender made of a batch, checked, measured and taken back to the budget: the harness's part.

    using: bool [b], whose photos are changed at all. Raises PluginError for what is no photo.
    """
    out = check_photos(proposed, photos, who)
    beyond = excess(photos, out, budget)
    out = project(photos, out, budget)
    if using is not None and not using.all():
        chosen = torch.from_numpy(np.ascontiguousarray(using)).to(photos.device)
        out = torch.where(chosen[:, None, None, None], out, photos)
        beyond = beyond.where(chosen, 0.0)
    return Defended(out, beyond)


def learn(data: TrainingData, defender: Defender, network: nn.Module, purpose: str) -> Any:
    """What the defender works out from the training photos before it changes any, None if it does not learn."""
    examples = data.training
    with frozen(network):
        known = _known(data, examples, network, purpose)
        study = study_set(
            defender,
            known,
            lambda index: examples.photos.batch(index).to(data.device),
            np.arange(len(examples)),
            keys=examples.photos.rows,
            size=examples.photos.size,
            device=data.device,
            seed=seeds.derive(data.seed, purpose, "learn"),
            untrained=data.untrained,
        )
        return Defence(defender, known, _who(defender, purpose)).learn(study)


def defend(
    data: TrainingData,
    defender: Defender,
    photos: Tensor,
    index: Array,
    network: nn.Module,
    purpose: str,
    *,
    keys: Array | None = None,
    examples: Examples | None = None,
    learned: Any = None,
) -> Tensor:
    """What the defender makes of a batch in training, within its budget: float [b, 3, h, w] on the photos' device.

    index: int64 [b], which photos of the examples (the training one by default); network: the predictor it sees,
    whatever the defender's own `knowledge` says; purpose and keys, int64 [b] (by default the photos' rows in the
    cohort), name the random numbers; learned: what `learn` gave. Photos of people who, by the defender's rate, do
    not use it stay as they are. Raises PluginError as `Defence.perturb` does.
    """
    examples = examples or data.training
    using = None
    if defender.rate < 1 or defender.identities is not None:
        using = adopters(examples.identity, defender, seeds.derive(data.seed, "users"))[index]
    keys = examples.photos.rows[index] if keys is None else keys
    with frozen(network):
        defence = Defence(defender, _known(data, examples, network, purpose), _who(defender, purpose), learned)
        return defence.perturb(photos, index, keys=keys, using=using).photos


def _known(data: TrainingData, examples: Examples, network: nn.Module, purpose: str) -> Known:
    """What is known about examples in training; the predictor is the network as it is now, fast where it can be."""
    genomes = bool(examples.log_p.shape[1])  # without genomes the table has no columns
    redraw = data.redraw
    return Known(
        schema=data.schema,
        seed=seeds.derive(data.seed, purpose),
        predictor=Predictor(network, data.schema, mixed=True).eval(),
        log_p=examples.log_p if genomes else None,
        reference=data.reference if genomes else None,
        labels=examples.labels,
        identity=examples.identity,
        redraw=None if redraw is None else lambda index, variants: redraw(examples.photos.rows[index], variants),
    )


def _who(defender: Defender, purpose: str) -> str:
    return f"defender {type(defender).__name__} in {purpose.partition(' ')[0]} training"
