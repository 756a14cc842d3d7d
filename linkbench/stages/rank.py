"""The stage `rank`: where each photo's true genome stands in an attacker's order of all genomes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from linkbench.api import seeds
from linkbench.api.base import Attacker
from linkbench.api.data import Array, Artefact, Cohort, Genomes
from linkbench.errors import PluginError
from linkbench.harness.proposals import Proposer, proposing
from linkbench.metrics import ranking
from linkbench.metrics.rounds import Claims, Found, Rounds, thinned
from linkbench.metrics.scores import Scores, UnsteadyScoresError
from linkbench.metrics.settings import Measure
from linkbench.plan.task import Task
from linkbench.registry.foreign import foreign
from linkbench.stages.alike import ranks_among_alike
from linkbench.stages.evidence import Question, Target, gather, question, ranked_scores
from linkbench.stages.matching import Match, check_size, matched


def rank(task: Task) -> Artefact:
    """Where each photo's true genome stands, and what of all scores lies above the true ones.

    Photos that are scored together share a rank. part: of the rows of scores, then what one round finds in them.
    """
    asking = _Asking.of(task)
    with asking.attacker_at_work(task) as there:
        if asking.attacker.joint:
            match = Match(asking.attacker, there, asking.question)
            seed = seeds.derive(task.seed, "matching")
            scores, sampled = matched(match, len(asking.genomes), asking.target, asking.settings, seed)
            return asking.artefact(task, {**Rounds(scores, Claims(len(asking.genomes))).all(), **sampled})
        if not asking.attacker.sees:
            return asking.artefact(task, asking.blind())
        if task.part is None:
            return asking.artefact(task, asking.rounds(there).all())
        rounds = asking.rounds(there, *task.part)
        return Artefact(dict(rounds.look(task.round, _known(task), *task.part)), {})


def join(task: Task, parts: Sequence[Artefact]) -> Artefact:
    """What is known after a round, from its parts; after the last one what `rank` gives."""
    filled = [part for part in parts if len(part.array("place"))]
    found = {name: np.concatenate([part.array(name) for part in filled]) for name in filled[0].arrays}
    asking = _Asking.of(task)
    claims = asking.claims()
    known = claims.settled(task.round, found, _known(task))
    return asking.artefact(task, known) if task.round == claims.rounds - 1 else Artefact(dict(known), {})


def rounds_of(settings: Mapping[str, Any], population: int) -> int:
    """How many rounds a ranking takes that is cut in parts."""
    return _claims(Measure.model_validate(settings), population).rounds


def _known(task: Task) -> Found:
    """What is known from the rounds before."""
    if "known" not in task.inputs:
        return {}
    return {name: np.asarray(task.inputs["known"].array(name)) for name in task.inputs["known"].arrays}


def _claims(settings: Measure, population: int) -> Claims:
    return Claims(population, settings.open_sizes(population), settings.fpir)


class _Asking(NamedTuple):
    """What an attacker is asked, and what is wanted of the answer."""

    attacker: Attacker
    who: str
    genomes: Genomes
    target: Target
    question: Question
    settings: Measure

    @classmethod
    def of(cls, task: Task) -> _Asking:
        spec = task.specs["attacker"]
        attacker: Attacker = spec.plugin()
        table, people = Genomes.of(task.inputs["genomes"]), Cohort.of(task.inputs["cohort"])
        held_out = {kind: task.inputs[kind] for kind in attacker.learns_from() if kind in task.inputs}
        unprotected = task.inputs.get("unprotected")
        target = gather(attacker, people, task.inputs["predict"], held_out, task.seed, unprotected, table.ancestry)
        if attacker.joint:
            check_size(len(target.photo), len(table))
        asked = question(table, target, group=not attacker.joint, hidden=bool(foreign([spec])))
        return cls(attacker, f"attacker {spec.label}", table, target, asked, Measure.model_validate(task.settings))

    @contextlib.contextmanager
    def attacker_at_work(self, task: Task) -> Iterator[Proposer]:
        """The attacker, wherever its code is. Raises PluginError where its scores are not always the same."""
        told = {"question": self.question.shown, "genomes": self.question.genomes()}
        given = Task(told, task.specs, {}, 0, task.device, whole=task.whole)
        with proposing(given, "linkbench.stages.evidence:Scoring", self.who) as there:
            try:
                yield there
            except UnsteadyScoresError as error:
                raise PluginError(
                    f"{self.who} {error}; a score may depend on nothing but its photo and genome"
                ) from None

    def claims(self) -> Claims:
        return _claims(self.settings, len(self.genomes))

    def rounds(self, there: Proposer, start: int = 0, stop: int | None = None) -> Rounds:
        """The rounds over the rows from start to stop."""
        scores = ranked_scores(there, self.question, self.attacker, start, stop)
        return Rounds(scores, self.claims(), self._among_alike)

    def _among_alike(self, photos: Array, band: Scores) -> Found:
        alike, truth = self.settings.alike, self.target.truth[photos]
        if not alike:
            return {}
        found = ranks_among_alike(band, self.question.place, self.genomes, truth, alike)
        return {name: array.T for name, array in found.items()}

    def blind(self) -> Found:
        """Of an attacker who sees nothing: every genome ties with every other."""
        photos, ends = len(self.target.photo), np.array([0.0, 1.0])
        return {
            "better": np.zeros(photos, np.int64),
            "tied": np.full(photos, len(self.genomes) - 1),
            "auc": np.array([0.5]),
            "auc_parts": np.full(photos, 0.5),
            "roc_score_false": ends,
            "roc_score_true": ends,
        }

    def artefact(self, task: Task, found: Found) -> Artefact:
        """What is kept of a ranking."""
        more = {name: array for name, array in found.items() if name not in ("auc", "score")}
        if "open_threshold" in found:
            claims = self.claims()
            more |= {"score": found["score"], "open_sizes": np.array(claims.sizes), "open_fpir": np.array(claims.rates)}
        for name in [name for name in more if name.startswith("alike_")]:
            more[name] = np.ascontiguousarray(more[name].T)
        by_k = ranking.roc_by_k(ranking.Ranks(found["better"], found["tied"]), len(self.genomes))
        photo, genomes = self.target.photo, task.inputs["genomes"]
        return Artefact(
            {"photo": photo, "identity": task.inputs["cohort"].array("identity")[photo], **more, **thinned("k", by_k)},
            {"population": len(self.genomes), "auc": float(found["auc"][0]), "genomes": genomes.meta["content"]},
        )
