"""The stages around predictors: train one, and let it judge photos."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from linkbench.api import checkpoints, seeds
from linkbench.api.base import Architecture, Recipe
from linkbench.api.data import MISSING, TEST, TRAIN, VALIDATION, Array, Artefact, Cohort, Genomes, most_likely
from linkbench.api.schema import Schema
from linkbench.errors import InputError, PluginError
from linkbench.plan.task import Task
from linkbench.registry.spec import Spec
from linkbench.scenario.checks import starting_predictor
from linkbench.store.store import digest_of

if TYPE_CHECKING:
    from torch import nn

    from linkbench.api.training_data import Report, TrainingData


REFERENCE = 1024
"""Genomes of training people that a defender may rank in, at most."""

WATCHED = 1024
"""Test photos that are looked at after every epoch, at most."""


def train(task: Task) -> Artefact:
    """A trained predictor: arrays `weights/<parameter>`, and what is needed to build it again.

    Beside them stand what its filters learned (`filter/<number>/<name>`) and how well it did on clean test photos after
    every epoch: watched_photo int64 [w], rows of the cohort; watched int8 [e, w, P], the predicted variants. The recipe
    never sees those.

    inputs: cohort, genomes; start: a train stage whose weights this one starts from, where the recipe brings no
    predictor; poisoned: arrays photo int64 [t]
    and photos [t, 3, h, w] that stand in for those training photos. Raises InputError for photos or labels that
    nothing can be learned from.
    """
    from linkbench.harness.filtered_training import train as train_by
    from linkbench.models.filters import look_through, pack, unpack
    from linkbench.models.predictor import WEIGHTS, load_weights, place, probe
    from linkbench.models.resume import packed
    from linkbench.models.seeding import seeded

    architecture: Architecture = task.specs["architecture"].plugin()
    recipe: Recipe = task.specs["recipe"].plugin()
    seed = seeds.derive(task.seed, "train", *(["other_seed"] if task.settings.get("other_seed") else []))
    start = _start(task)
    data = _training_data(task, seed, recipe.trains, started=start is not None)
    size, schema, label = data.training.photos.size, data.schema, task.specs["architecture"].label
    watcher = _Watcher(task, seed)
    if (kept := checkpoints.current()) is not None:
        kept.companion = watcher
    data = dataclasses.replace(
        data, untrained=lambda: _fresh(architecture, data), watch=watcher.look if len(watcher.rows) else None
    )
    with seeded(task.device, seeds.derive(seed, "weights")):
        network: nn.Module = architecture.build(schema, size)
        probe(network, schema, size, f"architecture {label}")
    if start is not None:
        load_weights(network, start, f"start of architecture {label}")
    filters = unpack(start) if start is not None else []
    seen = look_through(filters, network)
    place(seen, task.device)
    with seeded(task.device, seeds.derive(seed, "recipe")):
        report = train_by(recipe, seen, data)
    arrays, filtered = pack([*report.filters, *filters])
    for name, tensor in network.state_dict().items():
        arrays[WEIGHTS + name] = packed(tensor)
    broken = next((name for name, array in arrays.items() if not np.isfinite(array).all()), None)
    if broken is not None:
        raise InputError(f"recipe {task.specs['recipe'].label}: {broken} is not finite after training; lower its rate")
    arrays |= watcher.arrays(report)
    return Artefact(
        dict(arrays),
        {
            "architecture": _built(task.specs["architecture"]),
            "code": _code(task, start),
            "size": size,
            "schema": schema.to_json(),
            "filters": filtered,
            "report": report.to_json(),
        },
    )


def _built(spec: Spec) -> dict[str, Any]:
    """How to build the network again, without the file that its first weights came from: those are trained over."""
    plugin: Architecture = spec.plugin()
    return {"name": spec.name, "params": plugin.without_weights().model_dump(mode="json", by_alias=True)}


def _start(task: Task) -> Artefact | None:
    """The trained predictor that this one starts from. Raises InputError for one of other photos or phenotypes."""
    predictor = starting_predictor(task.specs["recipe"])
    if predictor is None:
        return task.inputs.get("start")
    people, size = Cohort.of(task.inputs["cohort"]), _photos(task.inputs["cohort"]).shape[-1]
    if predictor.meta["size"] != size:
        raise InputError(
            f"the predictor of recipe {task.specs['recipe'].label} reads photos of {predictor.meta['size']} px, these "
            f"have {size}; set the cohort's size to {predictor.meta['size']}"
        )
    if Schema.from_json(predictor.meta["schema"]) != people.schema:
        raise InputError(
            f"the predictor of recipe {task.specs['recipe'].label} predicts "
            f"{', '.join(Schema.from_json(predictor.meta['schema']).columns)}; the genomes have "
            f"{', '.join(people.schema.columns)}"
        )
    return predictor


def _code(task: Task, start: Artefact | None) -> str:
    """Digest of the code that the predictor, its filters among it, runs with wherever it is used."""
    earlier = [] if start is None else [start.meta["code"]]
    if start is not None and "start" not in task.inputs:  # a file's own digest is of its maker's code
        filters = [Spec("recipe", each["recipe"], each["params"], each["recipe"]) for each in start.meta["filters"]]
        earlier = [each.identity() for each in filters]
    return digest_of([*(task.specs[role].identity() for role in ("architecture", "recipe")), *earlier])


class _Watcher:
    """Looks at clean test photos after every epoch, which no recipe may see: the curves that papers on poisons show.

    rows: int64 [w], at most WATCHED photos of the test split with a label, as they are in the cohort.
    """

    def __init__(self, task: Task, seed: int) -> None:
        people = Cohort.of(task.inputs["cohort"])
        tested = np.flatnonzero((people.split == TEST) & (people.labels != MISSING).any(axis=1))
        self.rows = np.sort(seeds.generator(seed, "watch").permutation(tested)[:WATCHED])
        self.photos, self.schema, self.device = _photos(task.inputs["cohort"]), people.schema, task.device
        self.seen: list[Array] = []

    def look(self, network: nn.Module) -> int:
        """Keep the predicted variants of a network; the number of the look."""
        from linkbench.api.progress import listening
        from linkbench.models.predictor import Predictor
        from linkbench.models.predictor import predict as judge

        with listening(None):
            probabilities = judge(Predictor(network, self.schema), self.photos, device=self.device, rows=self.rows)
        self.seen.append(most_likely(probabilities, self.schema).astype(np.int8))
        return len(self.seen) - 1

    def state(self) -> dict[str, Array]:
        """What was seen so far, for a checkpoint."""
        return {f"look {number}": variants for number, variants in enumerate(self.seen)}

    def bring_back(self, arrays: Mapping[str, Array]) -> None:
        """Have seen what a checkpoint says."""
        self.seen = [arrays[f"look {number}"] for number in range(len(arrays))]

    def arrays(self, report: Report) -> dict[str, Array]:
        """What was seen in the epochs that the report keeps, in its order; the numbers are taken out of it."""
        looks = [row.pop("watched") for row in report.history if "watched" in row]
        if not looks or len(looks) < len(report.history):
            return {}
        return {"watched": np.stack([self.seen[look] for look in looks]), "watched_photo": self.rows}


def _fresh(architecture: Architecture, data: TrainingData) -> nn.Module:
    from linkbench.models.predictor import place

    network = architecture.build(data.schema, data.training.photos.size)
    place(network, data.device)
    return network


def _training_data(task: Task, seed: int, trains: bool, *, started: bool) -> TrainingData:
    """The parts of the cohort that a recipe may see; without genomes, log_p and reference have no columns."""
    from linkbench.api.training_data import Examples, Photos, TrainingData

    people = Cohort.of(task.inputs["cohort"])
    log_p = Genomes.of(task.inputs["genomes"]).log_p if "genomes" in task.inputs else np.zeros((1, 0))
    photos = _photos(task.inputs["cohort"])
    if photos.shape[-1] != photos.shape[-2]:
        raise InputError(f"photos must be square to train on, these are {photos.shape[-1]} x {photos.shape[-2]} px")
    poisoned = task.inputs.get("poisoned")
    instead = None
    if poisoned is not None:
        instead = (np.asarray(poisoned.array("photo")), poisoned.array("photos"))
        if instead[1].shape[1:] != photos.shape[1:]:
            raise InputError(f"poisoned photos are {instead[1].shape[1:]}, the cohort's {photos.shape[1:]}")

    def examples(split: int) -> Examples:
        rows = np.flatnonzero(people.split == split)
        return Examples(
            photos=Photos(photos, rows, instead if split == TRAIN else None),
            labels=np.ascontiguousarray(people.labels[rows]),
            log_p=np.ascontiguousarray(log_p[people.truth[rows]]),
            identity=np.ascontiguousarray(people.identity[rows]),
        )

    training = examples(TRAIN)
    if trains and not len(training):
        raise InputError(
            "nobody is left to train on: all people of the cohort are tested. Lower split.test, give some people to "
            "training, or use recipe 'pretrained' with weights"
        )
    for phenotype, column in zip(people.schema, training.labels.T, strict=True) if trains else ():
        _check_labels(phenotype, people.schema[phenotype], column)
    known = np.unique(people.truth[people.split == TRAIN])
    known = np.sort(seeds.generator(seed, "reference").permutation(known)[:REFERENCE])
    return TrainingData(
        schema=people.schema,
        training=training,
        validation=examples(VALIDATION),
        reference=np.ascontiguousarray(log_p[known]),
        device=task.device,
        seed=seed,
        started=started,
    )


def _photos(cohort: Artefact) -> Array:
    if "photos" not in cohort.arrays:
        raise InputError("the cohort has no photos, so no predictor can be trained on it; choose a cohort with photos")
    return cohort.array("photos")


def _check_labels(phenotype: str, variants: tuple[str, ...], labels: Array) -> None:
    present = np.unique(labels[labels != MISSING])
    if not len(present):
        raise InputError(
            f"none of the {len(labels)} training photos has a label for {phenotype}; label some, or use genomes and "
            f"labels without this phenotype"
        )
    if len(present) == 1:
        raise InputError(
            f"every labelled training photo has {phenotype} {variants[present[0]]!r}; a predictor needs photos of at "
            f"least two variants. Bring more people, or make the test and validation parts smaller"
        )


def curves(task: Task) -> Artefact:
    """The training curves of a predictor, without its weights.

    meta: history, best, candidates as in linkbench.models.training.Report, each epoch with `test`: {phenotype: accuracy
    on clean test photos whose label is known}. watched_photo, watched: as in `train`; none where no epoch was watched.
    """
    trained, people = task.inputs["train"], Cohort.of(task.inputs["cohort"])
    report: dict[str, Any] = trained.meta["report"]
    kept = [name for name in trained.arrays if name in ("watched", "watched_photo")]
    arrays = {name: np.array(trained.array(name)) for name in kept}
    history = [dict(row) for row in report["history"]]
    if arrays:
        truth = people.labels[arrays["watched_photo"]]
        for row, variants in zip(history, arrays["watched"], strict=True):
            row["test"] = {
                phenotype: float((variants[known, column] == truth[known, column]).mean()) if known.any() else None
                for column, phenotype in enumerate(people.schema)
                for known in [truth[:, column] != MISSING]
            }
    return Artefact(dict(arrays), {**report, "history": history})


def predict(task: Task) -> Artefact:
    """What a predictor says about photos: photo int64 [n], rows of the cohort; probabilities float64 [n, V].

    inputs: train; published (the photos that the world sees), or cohort with the setting `split` (the photos of that
    part as they are).
    """
    from linkbench.models.predictor import load_predictor
    from linkbench.models.predictor import predict as judge

    predictor = load_predictor(task.inputs["train"], task.device)
    if "published" in task.inputs:
        published = task.inputs["published"]
        photo = np.asarray(published.array("photo"))
        probabilities = judge(predictor, published.array("photos"), device=task.device)
    else:
        people = Cohort.of(task.inputs["cohort"])
        photo = np.flatnonzero(people.split == task.settings["split"])
        probabilities = judge(predictor, _photos(task.inputs["cohort"]), device=task.device, rows=photo)
    if not np.isfinite(probabilities).all():
        architecture = task.inputs["train"].meta["architecture"]["name"]
        raise PluginError(f"architecture {architecture} predicts probabilities that are NaN or infinite")
    return Artefact({"photo": photo, "probabilities": probabilities}, {})
