"""The stages that need no photos: genomes, cohort, published predictions, rank and measure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from linkbench.api import seeds
from linkbench.api.base import Attacker
from linkbench.api.data import (
    TEST,
    TRAIN,
    VALIDATION,
    Artefact,
    Cohort,
    Genomes,
    check_cohort,
    most_likely,
)
from linkbench.errors import InputError, PluginError
from linkbench.harness import redraw
from linkbench.harness.proposals import proposing
from linkbench.metrics import open_set, ranking
from linkbench.metrics.settings import Measure
from linkbench.plan.task import Task
from linkbench.registry.foreign import foreign
from linkbench.stages.alike import ranks_among_alike
from linkbench.stages.build import built_cohort, built_genomes
from linkbench.stages.evidence import gather, question, ranked_scores
from linkbench.stages.matching import Match, check_size, matched


def genomes(task: Task) -> Artefact:
    """The table of log P(variant | genome), checked."""
    return built_genomes(task.specs["genomes"], seeds.derive(task.seed, "genomes")).artefact()


def cohort(task: Task) -> Artefact:
    """The cohort, checked, its people split into training, validation and test."""
    spec = task.specs["cohort"]
    table = Genomes.of(task.inputs["genomes"])
    seed = seeds.derive(task.seed, "cohort")
    built = built_cohort(spec, task.inputs["genomes"], seed)
    check_cohort(built, table, f"cohort {spec.label}")
    if not len(built):
        raise InputError(f"cohort {spec.label} has no photos")
    if (built.split == TRAIN).all() and built.photos is not None:
        built = replace(built, split=split_people(built.identity, task.settings["split"], task.seed))
    artefact = built.artefact()
    return artefact._replace(meta={**artefact.meta, **redraw.offered(spec, seed)})


def split_people(
    identity: np.ndarray[Any, Any], parts: dict[str, float], seed: int, *, alone: bool = False
) -> np.ndarray[Any, Any]:
    """int64 [N] of TRAIN, VALIDATION, TEST: every photo of a person falls into the same part.

    alone: whether the test may be all there is. Raises InputError where a part that is needed stays empty.
    """
    people, who = np.unique(identity, return_inverse=True)
    order = seeds.generator(seed, "split").permutation(len(people))
    tested, checked = round(len(people) * parts["test"]), round(len(people) * parts["validation"])
    if not tested or (not alone and (not checked or tested + checked >= len(people))):
        raise InputError(
            f"{len(people)} people cannot be split into {tested} for the test, {checked} for validation and the rest "
            f"for training; bring more people or change 'split'"
        )
    part = np.full(len(people), TRAIN)
    part[order[:tested]] = TEST
    part[order[tested : tested + checked]] = VALIDATION
    return part[who]


def published(task: Task) -> Artefact:
    """The predictions that a cohort brings, for the photos to be linked and for those that attackers learn from."""
    people = Cohort.of(task.inputs["cohort"])
    assert people.predictions is not None
    everybody = np.arange(len(people))
    probabilities = np.asarray(people.predictions)
    return Artefact({"photo": everybody, "probabilities": probabilities}, {})


def rank(task: Task) -> Artefact:
    """Where each photo's true genome stands in the attacker's order of all genomes.

    Photos that are scored together share a rank.
    """
    spec = task.specs["attacker"]
    attacker: Attacker = spec.plugin()
    table = Genomes.of(task.inputs["genomes"])
    people = Cohort.of(task.inputs["cohort"])
    held_out = {kind: task.inputs[kind] for kind in attacker.learns_from() if kind in task.inputs}
    unprotected = task.inputs.get("unprotected")
    target = gather(attacker, people, task.inputs["predict"], held_out, task.seed, unprotected, table.ancestry)
    if attacker.joint:
        check_size(len(target.photo), len(table))
    asked = question(table, target, group=not attacker.joint, hidden=bool(foreign([spec])))
    told = {"question": asked.shown, "genomes": asked.genomes()}
    more: dict[str, Any] = {}
    settings = Measure.model_validate(task.settings)
    who = f"attacker {spec.label}"
    with proposing(Task(told, task.specs, {}, 0, task.device), "linkbench.stages.evidence:Scoring", who) as there:
        try:
            if attacker.joint:
                match = Match(attacker, there, asked)
                scores, more = matched(match, len(table), target, settings, seeds.derive(task.seed, "matching"))
            else:
                scores = ranked_scores(there, asked, attacker)
            ranks, roc, counted = _places(attacker, scores, len(target.photo), len(table))
            if settings.alike and not attacker.joint:  # whose scores among a few are not those among all genomes
                more = ranks_among_alike(scores, asked.place, table, target.truth, settings.alike)
        except ranking.UnsteadyScoresError as error:
            raise PluginError(f"{who} {error}; a score may depend on nothing but its photo and genome") from None
    if counted is not None and not attacker.joint:
        more |= _open_set(counted, settings)
    return Artefact(
        {
            "photo": target.photo,
            "identity": people.identity[target.photo],
            "better": ranks.better,
            "tied": ranks.tied,
            "auc_parts": roc.parts,
            **curve("score", roc),
            **curve("k", ranking.roc_by_k(ranks, len(table))),
            **more,
        },
        {"population": len(table), "auc": roc.auc, "genomes": task.inputs["genomes"].meta["content"]},
    )


def _open_set(counted: ranking.Tally, settings: Measure) -> dict[str, Any]:
    """At which scores an attacker would claim, and how often falsely, photo by photo."""
    sizes, rates = settings.open_sizes(counted.population), settings.fpir
    if not sizes:
        return {}
    found = open_set.thresholds(counted, sizes, rates)
    return {
        "score": counted.truth,
        "open_sizes": np.array(sizes),
        "open_fpir": np.array(rates),
        "open_threshold": found.threshold,
        "open_others": found.others,
    }


def _places(
    attacker: Attacker, scores: ranking.Scores, photos: int, genomes: int
) -> tuple[ranking.Ranks, ranking.Roc, ranking.Tally | None]:
    """Ranks, the curve over thresholds, and what it was counted from."""
    if attacker.sees:
        ranks = ranking.count_ranks(scores)
        counted = ranking.tally(scores)
        return ranks, ranking.roc_of(counted), counted
    # every genome ties with every other: nothing to count
    ranks = ranking.Ranks(np.zeros(photos, np.int64), np.full(photos, genomes - 1))
    return ranks, ranking.Roc(np.array([0.0, 1.0]), np.array([0.0, 1.0]), 0.5, np.full(photos, 0.5)), None


def curve(name: str, roc: ranking.Roc) -> dict[str, Any]:
    """A ROC curve thinned to at most 400 points, as two arrays."""
    keep = np.unique(np.linspace(0, len(roc.false) - 1, 400).round().astype(np.int64))
    return {f"roc_{name}_false": roc.false[keep], f"roc_{name}_true": roc.true[keep]}


def measure(task: Task) -> Artefact:
    """The rows of one cell: every metric with its interval."""
    from linkbench.metrics import rows as metrics

    settings = Measure.model_validate(task.settings)
    seed = seeds.derive(task.seed, "bootstrap")
    rows = metrics.linkage_rows(task.inputs["rank"], settings, seed)
    rows += metrics.open_set_rows(task.inputs["rank"], settings, seed)
    rows += metrics.alike_rows(task.inputs["rank"], settings, seed)
    people = Cohort.of(task.inputs["cohort"])
    predicted = task.inputs["predict"]
    photo = predicted.array("photo")
    probabilities = np.asarray(predicted.array("probabilities"))
    variants = most_likely(probabilities, people.schema)
    about = (people.labels[photo], people.identity[photo], people.schema, settings, seed)
    rows += metrics.prediction_rows(variants, *about)
    rows += metrics.calibration_rows(probabilities, *about)
    if "curves" in task.inputs and "watched" in task.inputs["curves"].arrays:
        rows += metrics.curve_rows(task.inputs["curves"], people, settings, seed)
    if "baseline" in task.inputs:
        rows += metrics.change_rows(task.inputs["rank"], task.inputs["baseline"], settings, seed)
    if "certify" in task.inputs:
        rows += metrics.certificate_rows(task.inputs["certify"], task.inputs.get("quality"), settings, seed)
    if "detect" in task.inputs:
        rows += metrics.detection_rows(task.inputs["detect"], settings, seed)
    if "quality" in task.inputs:
        rows += metrics.quality_rows(task.inputs["quality"], settings, seed)
    if "poison_quality" in task.inputs:
        rows += metrics.quality_rows(task.inputs["poison_quality"], settings, seed, "poison_")
    if "rule" in task.inputs:
        rows += metrics.rule_rows(task.inputs["rule"], settings, seed)
    return Artefact({}, {"rows": rows})
