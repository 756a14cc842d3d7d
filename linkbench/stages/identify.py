"""The stages of identification: who is in the gallery, embeddings, the identifier's verdict, and its measurement."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from linkbench.api import seeds
from linkbench.api.base import CohortSource, Identifier
from linkbench.api.data import GALLERY, MISSING, TEST, TRAIN, VALIDATION, Array, Artefact, Cohort
from linkbench.api.gallery import Faces, Gallery
from linkbench.api.schema import Schema
from linkbench.errors import InputError
from linkbench.metrics import ranking
from linkbench.metrics.settings import Measure
from linkbench.plan.task import Task
from linkbench.stages.link import curve, split_people

if TYPE_CHECKING:
    from torch import nn


SIMULATED = 20_000
"""Genomes behind the faces of a cohort that is used without any: no cohort shows more people."""


def people_of(source: CohortSource, seed: int) -> Cohort:
    """Photos and who is in them, with simulated genomes behind the faces where the source needs some."""
    from linkbench.genomes.simulated import Simulated

    people = source.people(seed)
    if people is not None:
        return people
    return source.build(Simulated(count=SIMULATED).build(seeds.derive(seed, "genomes")), seed)


def cohort(task: Task) -> Artefact:
    """People and photos: TRAIN and VALIDATION photos of training people, GALLERY and TEST (probes) of all others.

    The schema has one phenotype, `identity`, whose variants are the training people; the others' label is MISSING.
    Raises InputError naming a photo of whoever has too few.
    """
    spec = task.specs["cohort"]
    built = people_of(spec.plugin(), seeds.derive(task.seed, "cohort"))
    where = f"cohort {spec.label}"
    if built.photos is None or not len(built):
        raise InputError(f"{where} has no photos, so nobody can be identified")
    split = np.array(built.split)
    if (split == TRAIN).all():
        split = split_people(built.identity, {**task.settings["split"], "validation": 0}, task.seed, alone=True)
    if not (split == VALIDATION).any():
        split = _held_out(built.identity, split, float(task.settings["split"]["validation"]), task.seed)
    if not (split == GALLERY).any():
        split = _gallery(built, split, task.settings["gallery"], task.seed, where)
    _check_parts(built, split, where)
    teaching = np.unique(built.identity[split == TRAIN])
    labels = np.full((len(built), 1), MISSING, dtype=np.int64)
    taught = np.isin(built.identity, teaching) & (split <= VALIDATION)
    labels[taught, 0] = np.searchsorted(teaching, built.identity[taught])
    # a network has a last layer even where it is trained on nobody: for two people who are not there
    names = [str(person) for person in teaching] + ["nobody", "nobody else"][: max(0, 2 - len(teaching))]
    return replace(built, schema=Schema({"identity": names}), labels=labels, split=split,
                   truth=np.zeros(len(built), dtype=np.int64)).artefact()  # fmt: skip


def _held_out(identity: Array, split: Array, part: float, seed: int) -> Array:
    """Some photos of the training people become VALIDATION; the first in a random order of each person never does."""
    order = np.flatnonzero(split == TRAIN)
    order = order[seeds.generator(seed, "held-out").permutation(len(order))]
    _, first = np.unique(identity[order], return_index=True)
    others = np.delete(order, first)
    out = split.copy()
    out[others[: round(part * len(order))]] = VALIDATION
    return out


def _gallery(people: Cohort, split: Array, wanted: int | None, seed: int, where: str) -> Array:
    """Of each tested person, `wanted` photos drawn at random (None: half of them) become GALLERY."""
    order = np.flatnonzero(split == TEST)
    order = order[seeds.generator(seed, "gallery").permutation(len(order))]
    order = order[np.argsort(people.identity[order], kind="stable")]
    _, start, count = np.unique(people.identity[order], return_index=True, return_counts=True)
    for first, photos in zip(order[start], count, strict=True):
        needed = 2 if wanted is None else wanted + 1
        if photos < needed:
            name = people.ids[first].decode(errors="replace")
            raise InputError(
                f"{where}: the person in photo {name!r} has {photos} photo{'s' if photos > 1 else ''}, identification "
                f"needs {needed} of everybody: {needed - 1} for the gallery and another to be identified. Add photos, "
                f"leave the person out" + ("" if wanted is None else ", or lower gallery.photos")
            )
    chosen = count // 2 if wanted is None else np.full(len(count), wanted)
    place = np.arange(len(order)) - np.repeat(start, count)
    out = split.copy()
    out[order[place < np.repeat(chosen, count)]] = GALLERY
    return out


def _check_parts(people: Cohort, split: Array, where: str) -> None:
    """Everybody with probes has gallery photos and the other way round, teaches nobody, and is not alone."""
    inside = {part: set(people.identity[split == part].tolist()) for part in (TRAIN, VALIDATION, TEST, GALLERY)}
    teaching = inside[TRAIN] | inside[VALIDATION]
    for group, what in (
        (inside[TEST] - inside[GALLERY], "is to be identified but has no photo in the gallery; give one"),
        (inside[GALLERY] - inside[TEST], "is in the gallery but has no other photo to be identified in; give one"),
        ((inside[GALLERY] | inside[TEST]) & teaching, "is both identified and trained on; choose one part"),
        (inside[VALIDATION] - inside[TRAIN], "has validation photos but none to train on; give one"),
    ):
        if group:
            photo = people.ids[int(np.flatnonzero(people.identity == min(group))[0])].decode(errors="replace")
            raise InputError(f"{where}: the person in photo {photo!r} {what}, or leave the person out")
    if len(inside[GALLERY]) < 2:
        raise InputError(
            f"{where}: {len(inside[GALLERY])} people are to be identified, at least two are needed to tell apart; "
            f"bring more people, or raise split.test"
        )


def embed(task: Task) -> Artefact:
    """What a network makes of photos: photo int64 [n], rows of the cohort; embeddings float32 [n, D], its features.

    inputs: train; published (the photos that the world sees), or cohort with the setting `split`.
    """
    from linkbench.models.features import deep_features
    from linkbench.models.features import embed as features_of
    from linkbench.models.predictor import load_predictor

    features = deep_features(predictor := load_predictor(task.inputs["train"], task.device))
    rows = None
    if "published" in task.inputs:
        photos, photo = task.inputs["published"].array("photos"), task.inputs["published"].array("photo")
    else:
        split = task.inputs["cohort"].array("split")
        photos, photo = task.inputs["cohort"].array("photos"), np.flatnonzero(split == task.settings["split"])
        rows = photo
    embeddings = features_of(predictor, features, photos, device=task.device, rows=rows)
    if not np.isfinite(embeddings).all():
        raise InputError("the embedding holds numbers that are not finite; check the weights of the model")
    return Artefact({"photo": np.asarray(photo), "embeddings": embeddings}, {})


def rank(task: Task) -> Artefact:
    """Where the right person stands in the identifier's order of everybody in the gallery, for each probe.

    Arrays as of linkbench.stages.link.rank, and cmc float64 [people]: how often the right person is among the k first.
    """
    spec = task.specs["identifier"]
    identifier: Identifier = spec.plugin()
    people = Cohort.of(task.inputs["cohort"])
    known = np.flatnonzero(people.split == GALLERY)
    asked = np.flatnonzero(people.split == TEST)
    names, who = np.unique(people.identity[known], return_inverse=True)
    seed = seeds.derive(task.seed, "identifier")
    gallery = Gallery(
        _faces(task, identifier, "gallery", known, task.inputs.get("published")),
        who,
        len(names),
        (lambda: _network(task)) if "photos" in identifier.sees else None,
        task.device,
        seed,
    )
    table = identifier.score(_faces(task, identifier, "probes", asked, None), identifier.learn(gallery))
    table = np.asarray(table, dtype=np.float64)
    if table.shape != (len(asked), len(names)) or not np.isfinite(table).all():
        raise InputError(
            f"identifier {spec.label} gave scores of shape {list(table.shape)}, expected finite numbers of shape "
            f"[{len(asked)}, {len(names)}]; mend the plugin"
        )
    scores = ranking.Scores.dense(table, np.searchsorted(names, people.identity[asked]))
    ranks, roc = ranking.count_ranks(scores), ranking.roc_by_score(scores)
    by_k = ranking.roc_by_k(ranks, len(names))
    return Artefact(
        {
            "photo": asked,
            "identity": people.identity[asked],
            "better": ranks.better,
            "tied": ranks.tied,
            "auc_parts": roc.parts,
            **curve("score", roc),
            **curve("k", by_k),
            "cmc": by_k.true[1:],
        },
        {"population": len(names), "auc": roc.auc},
    )


def _faces(task: Task, identifier: Identifier, name: str, rows: Array, published: Artefact | None) -> Faces:
    """The photos of one part, in the order of `rows`, as far as the identifier sees them."""
    embeddings = photos = None
    if "embeddings" in identifier.sees:
        embeddings = np.asarray(task.inputs[name].array("embeddings"), dtype=np.float64)
    if "photos" in identifier.sees:
        from linkbench.api.training_data import Photos

        if published is not None:
            photos = Photos(published.array("photos"))
        else:
            photos = Photos(task.inputs["cohort"].array("photos"), rows)
    return Faces(embeddings, photos)


def _network(task: Task) -> nn.Module:
    from linkbench.models.predictor import load_weights, untrained

    network = untrained(task.inputs["train"], task.device)
    load_weights(network, task.inputs["train"], "the attacker's network")
    return network


def measure(task: Task) -> Artefact:
    """The rows of one cell. protection_rate: how often the first name is wrong, for the probes of those who use the
    tool, ties broken at random; unprotected_error: the same for the others, where `rate` or `identities` leave some."""
    from linkbench.harness.adoption import adopters
    from linkbench.metrics.rows import change_rows, linkage_rows, protection_rows, quality_rows

    settings = Measure.model_validate(task.settings)
    seed = seeds.derive(task.seed, "bootstrap")
    identity = task.inputs["cohort"].array("identity")
    using = adopters(identity, task.specs["defender"].plugin(), seeds.derive(task.seed, "protect"))
    rows: list[dict[str, Any]] = linkage_rows(task.inputs["rank"], settings, seed)
    rows += protection_rows(task.inputs["rank"], using[task.inputs["rank"].array("photo")], settings, seed)
    if "baseline" in task.inputs:
        rows += change_rows(task.inputs["rank"], task.inputs["baseline"], settings, seed)
    rows += quality_rows(task.inputs["quality"], settings, seed)
    return Artefact({}, {"rows": rows})
