"""The stage that says what no small change of a photo can take from an attacker whose predictor votes."""

from __future__ import annotations

import math

import numpy as np

from linkbench.api.base import Attacker
from linkbench.api.data import Array, Artefact, Cohort, Evidence, Genomes, one_hot
from linkbench.api.schema import Schema
from linkbench.errors import InputError
from linkbench.harness.proposals import proposing
from linkbench.metrics import certificates
from linkbench.metrics.counting import count_ranks
from linkbench.plan.task import Task
from linkbench.registry.foreign import foreign
from linkbench.stages.evidence import Lesson, Target, gather, question, ranked_scores

MOST = 4096
"""Outcomes of votes whose ranks are looked at."""


def certify(task: Task) -> Artefact:
    """Which combinations of variants a change of some 2-norm may have predicted, and where each puts the true genome.

    inputs: genomes, cohort, predict (the parts of votes for the photos as they are posted without a defence), clean and
    protected as in `linkbench.stages.link.rank`; settings: sigma, draws. Arrays photo, identity int64 [n]; reach
    float64 [n, C], below which no change brings about a combination; better, tied int64 [n, C]; radius float64 [n, P],
    within which the vote on a phenotype cannot change, 0 where it is not clear (abstention). meta: population,
    phenotypes.
    """
    spec = task.specs["attacker"]
    attacker: Attacker = spec.plugin()
    table, people, voted = Genomes.of(task.inputs["genomes"]), Cohort.of(task.inputs["cohort"]), task.inputs["predict"]
    schema, sigma, draws = people.schema, float(task.settings["sigma"]), int(task.settings["draws"])
    outcomes = math.prod(len(schema[phenotype]) + 1 for phenotype in schema)
    if outcomes > MOST:
        raise InputError(
            f"certificates look at every outcome of the votes on all phenotypes; there are {outcomes:,}, at most "
            f"{MOST:,} are looked at. Use fewer phenotypes, or 'measure.radii: []'"
        )
    held_out = {kind: task.inputs[kind] for kind in attacker.learns_from() if kind in task.inputs}
    target = gather(attacker, people, voted, held_out, task.seed, None, table.ancestry)
    counts = np.rint(np.asarray(voted.array("probabilities")) * draws)
    radius = certificates.radii(counts, draws, sigma, schema)
    better, tied = _ranks(task, attacker, table, target)
    return Artefact(
        {
            "photo": target.photo,
            "identity": people.identity[target.photo],
            "reach": certificates.reach(radius, schema),
            "better": better,
            "tied": tied,
            "radius": np.stack([_second(radius[:, span]) for span in schema.slices.values()], axis=1),
        },
        {"population": len(table), "phenotypes": list(schema)},
    )


def _second(radius: Array) -> Array:
    """float64 [n], the least distance of a variant that could win besides the one that is excluded nowhere, [n, K]."""
    return np.sort(radius, axis=1)[:, 1]


def _ranks(task: Task, attacker: Attacker, table: Genomes, target: Target) -> tuple[Array, Array]:
    """int64 [n, C] each, genomes that score better than, or as, the true one where each combination is predicted."""
    spec, every = task.specs["attacker"], certificates.combinations(table.schema)
    (lesson,) = target.lessons  # people who are not linked were held out to learn from
    everybody = np.arange(len(every))
    imagined = Target(
        everybody,
        _imagined(attacker, every, table.schema),
        np.zeros(len(every), np.int64),
        [Lesson(everybody, lesson.training, lesson.labels)],
    )
    asked = question(table, imagined, hidden=bool(foreign([spec])))
    told = {"question": asked.shown, "genomes": asked.genomes()}
    who = f"attacker {spec.label}"
    with proposing(Task(told, task.specs, {}, 0, task.device), "linkbench.stages.evidence:Scoring", who) as there:
        scores = ranked_scores(there, asked, attacker)
        column = target.truth if asked.place is None else asked.place[target.truth]
        distinct, of_photo = np.unique(column, return_inverse=True)
        ranks = count_ranks(
            scores._replace(row=np.repeat(asked.row, len(distinct)), column=np.tile(distinct, len(every)))
        )
    better, tied = (part.reshape(len(every), len(distinct)).T[of_photo] for part in ranks)
    return better, tied


def _imagined(attacker: Attacker, outcomes: Array, schema: Schema) -> Evidence:
    """The votes as the attacker is shown them, for outcomes int64 [C, P] of `linkbench.metrics.certificates`."""
    sizes = np.array([len(schema[phenotype]) for phenotype in schema])
    variants = np.where(outcomes == sizes, 0, outcomes)  # the first of equals
    probabilities = one_hot(variants, schema)
    for column, span in enumerate(schema.slices.values()):
        probabilities[outcomes[:, column] == sizes[column], span] = 1 / sizes[column]
    sees = attacker.sees
    return Evidence(
        schema,
        len(outcomes),
        variants=variants if "variants" in sees else None,
        probabilities=probabilities if "probabilities" in sees else None,
    )
