"""The stages around predictors: train one, and let it judge photos."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from linkbench.api import checkpoints, seeds
from linkbench.api.base import Architecture, Recipe
from linkbench.api.data import MISSING, TEST, TRAIN, VALIDATION, Array, Artefact, Cohort, Genomes, most_likely
from linkbench.api.progress import listening
from linkbench.api.schema import Schema
from linkbench.boundary.messages import Parcel, checked
from linkbench.errors import InputError, PluginError
from linkbench.harness import redraw
from linkbench.harness.proposals import Proposer, Shown, network_only, network_specs, proposing
from linkbench.plan.task import Part, Task
from linkbench.registry.spec import Spec
from linkbench.scenario.checks import starting_predictor
from linkbench.store.store import digest_of

if TYPE_CHECKING:
    from torch import nn

    from linkbench.api.training_data import Examples, TrainingData


REFERENCE = 1024
"""Genomes of training people that a defender may rank in, at most."""

WATCHED = 1024
"""Test photos that are looked at after every epoch, at most."""


class Training:
    """The proposer of weights: a recipe trains an architecture. Made from `_training_data`."""

    def __init__(self, task: Task, ask: Callable[[str, Parcel], Parcel]) -> None:
        self.task, self.ask, self.data = task, ask, task.inputs["data"]
        self.architecture: Architecture = task.specs["architecture"].plugin()
        self.recipe: Recipe = task.specs["recipe"].plugin()
        self.schema, self.size = Schema.from_json(self.data.meta["schema"]), int(self.data.meta["size"])
        self.label = f"architecture {task.specs['architecture'].label}"

    def train(self, given: Parcel) -> Parcel:
        """weights/.. and filter/..; meta: report, filters."""
        from linkbench.harness.filtered_training import train
        from linkbench.models.filters import look_through, unpack
        from linkbench.models.predictor import load_weights, place, probe
        from linkbench.models.seeding import seeded

        device, start = self.task.device, self.task.inputs.get("start")
        data = self._data()
        with seeded(device, seeds.derive(data.seed, "weights")):
            network: nn.Module = self.architecture.build(self.schema, self.size)
            probe(network, self.schema, self.size, self.label)
        if start is not None:
            load_weights(network, start, f"start of {self.label}")
        filters = unpack(start) if start is not None else []
        seen = look_through(filters, network)
        place(seen, device)
        with seeded(device, seeds.derive(data.seed, "recipe")):
            report = train(self.recipe, seen, data)
        arrays, filtered = _packed([*report.filters, *filters], network)
        return Parcel(arrays, {"report": report.to_json(), "filters": filtered})

    def _data(self) -> TrainingData:
        from linkbench.api.training_data import TrainingData

        return TrainingData(
            schema=self.schema,
            training=self._examples("training"),
            validation=self._examples("validation"),
            reference=np.array(self.data.array("reference")),
            device=self.task.device,
            seed=int(self.data.meta["seed"]),
            started="start" in self.task.inputs,
            untrained=self._fresh,
            watch=self._watch if self.data.meta["watched"] else None,
            redraw=redraw.drawing(self.data),
        )

    def _examples(self, part: str) -> Examples:
        from linkbench.api.training_data import Examples, Photos

        instead = None
        if part == "training" and "instead" in self.data.arrays:
            instead = (np.array(self.data.array("instead")), self.data.array("instead_photos"))
        rows = np.array(self.data.array(f"{part}/rows"))
        held = (np.array(self.data.array(f"{part}/{name}")) for name in ("labels", "log_p", "identity"))
        return Examples(Photos(self.data.array("photos"), rows, instead), *held)

    def _fresh(self) -> nn.Module:
        from linkbench.models.predictor import place

        network = self.architecture.build(self.schema, self.size)
        place(network, self.task.device)
        return network

    def _watch(self, network: nn.Module) -> int:
        from linkbench.models.filters import Filter, bare

        front, behind = bare(network)
        arrays, filtered = _packed([each for each in front.modules() if isinstance(each, Filter)], behind)
        return int(self.ask("look", Parcel(arrays, {"filters": filtered})).meta["look"])


def _packed(filters: Sequence[nn.Module], network: nn.Module) -> tuple[dict[str, Array], list[dict[str, Any]]]:
    """Weights and filters as arrays of a train stage, and what its `filters` say."""
    from linkbench.models.filters import pack
    from linkbench.models.predictor import WEIGHTS
    from linkbench.models.resume import packed

    arrays, filtered = pack(filters)
    for name, tensor in network.state_dict().items():
        arrays[WEIGHTS + name] = packed(tensor)
    return arrays, filtered


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
    recipe: Recipe = task.specs["recipe"].plugin()
    seed = seeds.derive(task.seed, "train", *(["other_seed"] if task.settings.get("other_seed") else []))
    start = _start(task)
    data = _training_data(task, seed, recipe.trains)
    built = {
        "architecture": _built(task.specs["architecture"]),
        "size": data.meta["size"],
        "schema": data.meta["schema"],
    }
    labels = [task.specs[role].label for role in ("architecture", "recipe")]
    with contextlib.ExitStack() as stack:
        watcher = _Watcher(task, seed, built, stack)
        if (kept := checkpoints.current()) is not None:  # of a training in this process
            kept.companion = watcher
        data.meta["watched"] = bool(len(watcher.rows))
        told = {"data": data, **({} if start is None else {"start": network_only(start)})}
        given = Task(told, dict(task.specs), {}, 0, task.device)
        who, answers = f"architecture {labels[0]} with recipe {labels[1]}", {"look": watcher.look}
        there = stack.enter_context(proposing(given, f"{__name__}:Training", who, answers))
        trained = there.call("train", Parcel({}, {}))
    arrays, report = _weights(trained, labels[1]), _report(trained, who)
    return Artefact(
        {**arrays, **watcher.arrays(report)},
        {**built, "code": _code(task, start), "filters": trained.meta["filters"], "report": report},
    )


def _weights(trained: Parcel, label: str) -> dict[str, Array]:
    """The arrays of a trained predictor, checked. Raises InputError where a training has led nowhere."""
    arrays = {name: array for name, array in trained.arrays.items() if name.startswith(("weights/", "filter/"))}
    broken = next((name for name, array in arrays.items() if not np.isfinite(array).all()), None)
    if broken is not None:
        raise InputError(f"recipe {label}: {broken} is not finite after training; lower its rate")
    return arrays


def _report(trained: Parcel, who: str) -> dict[str, Any]:
    """The training curves. Raises PluginError for what are none."""
    report: Any = trained.meta.get("report")
    filters = trained.meta.get("filters")
    sound = (
        isinstance(report, dict)
        and set(report) == {"history", "best", "candidates"}
        and isinstance(report["best"], dict)
        and all(
            isinstance(rows, list) and all(isinstance(row, dict) for row in rows)
            for rows in (report["history"], report["candidates"], filters)
        )
    )
    if not sound:
        raise PluginError(f"{who} must return a Report with training curves")
    found: dict[str, Any] = report
    return found


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

    def __init__(self, task: Task, seed: int, built: dict[str, Any], stack: contextlib.ExitStack) -> None:
        people = Cohort.of(task.inputs["cohort"])
        tested = np.flatnonzero((people.split == TEST) & (people.labels != MISSING).any(axis=1))
        self.rows = np.sort(seeds.generator(seed, "watch").permutation(tested)[:WATCHED])
        self.photos, self.schema, self.device = _photos(task.inputs["cohort"]), people.schema, task.device
        self.built, self.stack = built, stack
        self.judge: Judge | None = None
        self.seen: list[Array] = []

    def look(self, trained: Parcel) -> Parcel:
        """Keep the variants that a network predicts; the number of the look."""
        network = Artefact(dict(trained.arrays), {**self.built, "filters": trained.meta["filters"]})
        with listening(None):
            if self.judge is None:
                self.judge = self.stack.enter_context(judging(network, self.photos, self.rows, self.device))
            probabilities = self.judge.predict(network, ready=False)
        self.seen.append(most_likely(probabilities, self.schema).astype(np.int8))
        return Parcel({}, {"look": len(self.seen) - 1})

    def state(self) -> dict[str, Array]:
        """What was seen so far, for a checkpoint."""
        return {f"look {number}": variants for number, variants in enumerate(self.seen)}

    def bring_back(self, arrays: Mapping[str, Array]) -> None:
        """Have seen what a checkpoint says."""
        self.seen = [arrays[f"look {number}"] for number in range(len(arrays))]

    def arrays(self, report: dict[str, Any]) -> dict[str, Array]:
        """What was seen in the epochs that the report keeps, in its order; the numbers are taken out of it."""
        history = report["history"]
        looks = [row.pop("watched") for row in history if "watched" in row]
        if not looks or len(looks) < len(history) or any(look not in range(len(self.seen)) for look in looks):
            return {}
        return {"watched": np.stack([self.seen[look] for look in looks]), "watched_photo": self.rows}


def _training_data(task: Task, seed: int, trains: bool) -> Artefact:
    """The parts of the cohort that a recipe may see; without genomes, log_p and reference have no columns."""
    people = Cohort.of(task.inputs["cohort"])
    log_p = Genomes.of(task.inputs["genomes"]).log_p if "genomes" in task.inputs else np.zeros((1, 0))
    photos = _photos(task.inputs["cohort"])
    if photos.shape[-1] != photos.shape[-2]:
        raise InputError(f"photos must be square to train on, these are {photos.shape[-1]} x {photos.shape[-2]} px")
    poisoned = task.inputs.get("poisoned")
    arrays: dict[str, Any] = {}
    if poisoned is not None:
        shown = poisoned.array("photos")
        arrays |= {"instead": np.asarray(poisoned.array("photo")), "instead_photos": shown}
        if shown.shape[1:] != photos.shape[1:]:
            raise InputError(f"poisoned photos are {shown.shape[1:]}, the cohort's {photos.shape[1:]}")
    for part, split in (("training", TRAIN), ("validation", VALIDATION)):
        rows = np.flatnonzero(people.split == split)
        arrays |= {
            f"{part}/rows": rows,
            f"{part}/labels": np.ascontiguousarray(people.labels[rows]),
            f"{part}/log_p": np.ascontiguousarray(log_p[people.truth[rows]]),
            f"{part}/identity": np.ascontiguousarray(people.identity[rows]),
        }
    if trains and not len(arrays["training/rows"]):
        raise InputError(
            "nobody is left to train on: all people of the cohort are tested. Lower split.test, give some people to "
            "training, or use recipe 'pretrained' with weights"
        )
    for phenotype, column in zip(people.schema, arrays["training/labels"].T, strict=True) if trains else ():
        _check_labels(phenotype, people.schema[phenotype], column)
    known = np.unique(people.truth[people.split == TRAIN])
    known = np.sort(seeds.generator(seed, "reference").permutation(known)[:REFERENCE])
    arrays["reference"] = np.ascontiguousarray(log_p[known])
    arrays["photos"] = Shown(photos, np.concatenate([arrays["training/rows"], arrays["validation/rows"]]))
    meta = {"schema": people.schema.to_json(), "size": int(photos.shape[-1]), "seed": seed}
    return Artefact(arrays, {**meta, **redraw.passed_on(task.inputs["cohort"])})


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


class Judging:
    """The proposer of what networks make of photos. inputs: photos, with rows int64 [n], those that are judged."""

    def __init__(self, task: Task, ask: Any) -> None:
        self.photos, self.rows = task.inputs["photos"].array("photos"), np.array(task.inputs["photos"].array("rows"))
        self.device = task.device

    def predict(self, given: Parcel) -> Parcel:
        """probabilities float64 [n, V]; given: a train stage. meta ready: whether layers may be merged first; secret:
        see `Judge.predict`."""
        from linkbench.models.filters import judge_with
        from linkbench.models.predictor import load_predictor, predict

        network = load_predictor(Artefact(given.arrays, given.meta), self.device, merged=bool(given.meta["ready"]))
        if given.meta["secret"] is not None:
            judge_with(network, int(given.meta["secret"]))
        return Parcel({"probabilities": predict(network, self.photos, device=self.device, rows=self.rows)}, {})

    def embed(self, given: Parcel) -> Parcel:
        """embeddings float32 [n, D]; given: a train stage."""
        from linkbench.models.features import deep_features, embed
        from linkbench.models.predictor import load_predictor

        network = load_predictor(Artefact(given.arrays, given.meta), self.device)
        found = embed(network, deep_features(network), self.photos, device=self.device, rows=self.rows)
        return Parcel({"embeddings": found}, {})


class Judge(NamedTuple):
    """Photos that networks of one architecture look at, wherever its code is; photos: how many there are."""

    there: Proposer
    photos: int

    def predict(self, trained: Artefact, *, ready: bool = True, secret: int | None = None) -> Array:
        """float64 [n, V], the probabilities of the variants. Raises PluginError for what are none.

        ready=False: as a network predicts while it is in training; secret: seeds random numbers of networks that look
        several times at a photo, as no defender has seen them.
        """
        schema, name = Schema.from_json(trained.meta["schema"]), trained.meta["architecture"]["name"]
        given = network_only(trained)
        meta = {**given.meta, "ready": ready, "secret": secret}
        answer = self.there.call("predict", Parcel(dict(given.arrays), meta), most=8 * self.photos * schema.width)
        found = checked(answer.arrays, "probabilities", "float64", (self.photos, schema.width), finite=False)
        if not np.isfinite(found).all():
            raise PluginError(f"architecture {name} predicts probabilities that are NaN or infinite")
        for span in schema.slices.values():
            if (found[:, span] < 0).any() or (np.abs(found[:, span].sum(axis=1) - 1) > SUM).any():
                raise PluginError(f"architecture {name} predicts what are no probabilities: they must sum to 1")
        return found

    def embed(self, trained: Artefact) -> Array:
        """float32 [n, D], the features of the network. Raises InputError for numbers that are not finite."""
        given = network_only(trained)
        answer = self.there.call("embed", Parcel(dict(given.arrays), given.meta))
        found = checked(answer.arrays, "embeddings", "float32", (self.photos, None), finite=False)
        if not np.isfinite(found).all():
            raise InputError("the embedding holds numbers that are not finite; check the weights of the model")
        return found


SUM = 1e-6
"""By how much the probabilities of a phenotype may miss 1."""


@contextlib.contextmanager
def judging(trained: Artefact, photos: Array, rows: Array | None, device: str) -> Iterator[Judge]:
    """Photos (the rows of them, all by default) ready for networks like this one."""
    rows = np.arange(len(photos)) if rows is None else rows
    specs = {f"network{number}": spec for number, spec in enumerate(network_specs(trained))}
    shown: dict[str, Any] = {"photos": Shown(photos, rows), "rows": rows}
    told = Task({"photos": Artefact(shown, {})}, specs, {}, 0, device)
    who = f"architecture {trained.meta['architecture']['name']}"
    with proposing(told, f"{__name__}:Judging", who) as there:
        yield Judge(there, len(rows))


def predict(task: Task) -> Artefact:
    """What a predictor says about photos: photo int64 [n], rows of the cohort; probabilities float64 [n, V].

    inputs: train; published (the photos that the world sees), or cohort with the setting `split` (the photos of that
    part as they are).
    """
    trained = task.inputs["train"]
    if "published" in task.inputs:
        published = task.inputs["published"]
        photos = published.array("photos")
        rows = np.arange(*Part.of(task.part, len(photos)))
        photo = np.asarray(published.array("photo"))[rows]
    else:
        people = Cohort.of(task.inputs["cohort"])
        rows = np.flatnonzero(people.split == task.settings["split"])
        photo = rows = rows[slice(*Part.of(task.part, len(rows)))]
        photos = _photos(task.inputs["cohort"])
    with judging(trained, photos, rows, task.device) as judge:
        return Artefact(
            {"photo": photo, "probabilities": judge.predict(trained, secret=seeds.derive(task.seed, "looks"))}, {}
        )
