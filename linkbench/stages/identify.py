"""The stages of identification: who is in the gallery, embeddings, the identifier's verdict, and its measurement."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from linkbench.api import seeds
from linkbench.api.base import Identifier
from linkbench.api.data import GALLERY, MISSING, TEST, TRAIN, VALIDATION, Array, Artefact, Cohort
from linkbench.api.gallery import Faces, Gallery
from linkbench.api.schema import Schema
from linkbench.boundary.messages import Parcel
from linkbench.errors import InputError
from linkbench.harness.proposals import Shown, network_only, proposing
from linkbench.metrics import ranking
from linkbench.metrics.counting import count_ranks, roc_by_score
from linkbench.metrics.rounds import thinned
from linkbench.metrics.scores import Scores
from linkbench.metrics.settings import Measure
from linkbench.plan.task import Task
from linkbench.registry.spec import Spec
from linkbench.stages.build import BuildingCohort, built_cohort
from linkbench.stages.link import split_people
from linkbench.stages.train import judging

if TYPE_CHECKING:
    from torch import nn


SIMULATED = 20_000
"""Genomes behind the faces of a cohort that is used without any: no cohort shows more people."""


class GatheringPeople(BuildingCohort):
    """The proposer of people and photos, with simulated genomes behind the faces where the source needs some."""

    def made(self, seed: int) -> Cohort:
        from linkbench.genomes.simulated import Simulated

        people = self.source.people(seed)
        if people is not None:
            return people
        return self.source.build(Simulated(count=SIMULATED).build(seeds.derive(seed, "genomes")), seed)


def people_of(spec: Spec, seed: int) -> Cohort:
    """Photos and who is in them."""
    return built_cohort(spec, None, seed, f"{__name__}:GatheringPeople")


def cohort(task: Task) -> Artefact:
    """People and photos: TRAIN and VALIDATION photos of training people, GALLERY and TEST (probes) of all others.

    The schema has one phenotype, `identity`, whose variants are the training people; the others' label is MISSING.
    Raises InputError naming a photo of whoever has too few.
    """
    spec = task.specs["cohort"]
    built = people_of(spec, seeds.derive(task.seed, "cohort"))
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
    rows = None
    if "published" in task.inputs:
        photos, photo = task.inputs["published"].array("photos"), task.inputs["published"].array("photo")
    else:
        split = task.inputs["cohort"].array("split")
        photos, photo = task.inputs["cohort"].array("photos"), np.flatnonzero(split == task.settings["split"])
        rows = photo
    trained = task.inputs["train"]
    with judging(trained, photos, rows, task.device) as judge:
        return Artefact({"photo": np.asarray(photo), "embeddings": judge.embed(trained)}, {})


class Naming:
    """The proposer of an identifier's verdict.

    inputs: people, with who int64 [g] of the gallery's photos and, as far as the identifier sees them, embeddings of
    `gallery` and `probes`; gallery, probes: photos with their rows; train: the attacker's network.
    """

    def __init__(self, task: Task, ask: Any) -> None:
        self.task, self.people = task, task.inputs["people"]
        self.identifier: Identifier = task.specs["identifier"].plugin()

    def score(self, given: Parcel) -> Parcel:
        """scores float64 [n, people] of all probes."""
        people = self.people
        gallery = Gallery(
            self._faces("gallery"),
            np.array(people.array("who")),
            int(people.meta["people"]),
            self._network if "train" in self.task.inputs else None,
            self.task.device,
            int(people.meta["seed"]),
        )
        table = self.identifier.score(self._faces("probes"), self.identifier.learn(gallery))
        return Parcel({"scores": np.asarray(table, dtype=np.float64)}, {})

    def _faces(self, part: str) -> Faces:
        embeddings = self.people.array(part) if part in self.people.arrays else None
        photos = None
        if part in self.task.inputs:
            from linkbench.api.training_data import Photos

            given = self.task.inputs[part]
            photos = Photos(given.array("photos"), np.array(given.array("rows")))
        return Faces(None if embeddings is None else np.array(embeddings), photos)

    def _network(self) -> nn.Module:
        from linkbench.models.predictor import load_weights, untrained

        network = untrained(self.task.inputs["train"], self.task.device)
        load_weights(network, self.task.inputs["train"], "the attacker's network")
        return network


def rank(task: Task) -> Artefact:
    """Where the right person stands in the identifier's order of everybody in the gallery, for each probe.

    Arrays as of linkbench.stages.rank.rank, and cmc float64 [people]: how often the right person is among the k first.
    """
    spec = task.specs["identifier"]
    identifier: Identifier = spec.plugin()
    people = Cohort.of(task.inputs["cohort"])
    known = np.flatnonzero(people.split == GALLERY)
    asked = np.flatnonzero(people.split == TEST)
    names, who = np.unique(people.identity[known], return_inverse=True)
    seed = seeds.derive(task.seed, "identifier")
    told = {"people": Artefact({"who": who}, {"people": len(names), "seed": seed})}
    if "embeddings" in identifier.sees:
        for part in ("gallery", "probes"):
            told["people"].arrays[part] = np.asarray(task.inputs[part].array("embeddings"), dtype=np.float64)
    if "photos" in identifier.sees:
        published, clean = task.inputs["published"].array("photos"), task.inputs["cohort"].array("photos")
        for part, photos, rows in (("gallery", published, np.arange(len(published))), ("probes", clean, asked)):
            told[part] = Artefact({"photos": Shown(photos, rows), "rows": rows}, {})  # type: ignore[dict-item]
        told["train"] = network_only(task.inputs["train"])
    shape, where = (len(asked), len(names)), f"identifier {spec.label}"
    with proposing(Task(told, task.specs, {}, 0, task.device), f"{__name__}:Naming", where) as there:
        table = there.call("score", Parcel({}, {}), most=8 * shape[0] * shape[1]).arrays.get("scores")
    if type(table) is not np.ndarray or table.shape != shape or not np.isfinite(table).all():
        found = list(table.shape) if isinstance(table, np.ndarray) else type(table).__name__
        raise InputError(
            f"{where} gave scores of shape {found}, expected finite numbers of shape {list(shape)}; mend the plugin"
        )
    scores = Scores.dense(table, np.searchsorted(names, people.identity[asked]))
    ranks, roc = count_ranks(scores), roc_by_score(scores)
    by_k = ranking.roc_by_k(ranks, len(names))
    return Artefact(
        {
            "photo": asked,
            "identity": people.identity[asked],
            "better": ranks.better,
            "tied": ranks.tied,
            "auc_parts": roc.parts,
            **thinned("score", roc),
            **thinned("k", by_k),
            "cmc": by_k.true[1:],
        },
        {"population": len(names), "auc": roc.auc},
    )


def measure(task: Task) -> Artefact:
    """The rows of one cell. protection_rate: how often the first name is wrong, for the probes of those who use the
    tool, ties broken at random; unprotected_error: the same for the others, where `rate` or `identities` leave some;
    gallery_match: how often protected photos of a person find each other in the gallery."""
    from linkbench.harness.adoption import adopters
    from linkbench.metrics.rows import change_rows, gallery_rows, linkage_rows, protection_rows, quality_rows

    settings = Measure.model_validate(task.settings)
    seed = seeds.derive(task.seed, "bootstrap")
    identity = task.inputs["cohort"].array("identity")
    using = adopters(identity, task.specs["defender"].plugin(), seeds.derive(task.seed, "protect"))
    rows: list[dict[str, Any]] = linkage_rows(task.inputs["rank"], settings, seed)
    rows += protection_rows(task.inputs["rank"], using[task.inputs["rank"].array("photo")], settings, seed)
    gallery = task.inputs["gallery"]
    photo = gallery.array("photo")
    rows += gallery_rows(np.asarray(gallery.array("embeddings")), identity[photo], using[photo], settings, seed)
    if "baseline" in task.inputs:
        rows += change_rows(task.inputs["rank"], task.inputs["baseline"], settings, seed)
    rows += quality_rows(task.inputs["quality"], settings, seed)
    return Artefact({}, {"rows": rows})
