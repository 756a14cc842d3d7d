"""The stages from a photo to what the world sees of it: protect, publish, and the measurement of what was changed.

Photos are streamed in batches; how large they are follows from their size and the device alone, and a photo's result
depends on its batch only in the rounding of the networks.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from linkbench.api import seeds
from linkbench.api.base import Channel, Defender
from linkbench.api.data import GALLERY, MISSING, TEST, TRAIN, Array, Artefact, Cohort, Genomes, Stream
from linkbench.api.progress import track
from linkbench.api.schema import Schema
from linkbench.boundary.messages import Parcel
from linkbench.errors import InputError
from linkbench.harness import redraw
from linkbench.harness.adoption import adopters, check_listed
from linkbench.harness.checks import check_photos
from linkbench.harness.knowledge import Known, check_known, learns, reference_population, study_set
from linkbench.harness.proposals import Proposer, Shown, network_only, proposing
from linkbench.plan.task import Part, Task
from linkbench.registry.spec import Spec

if TYPE_CHECKING:
    from torch import Tensor

    from linkbench.api.knowledge import StudySet

PIXELS = {"cpu": 1 << 18, "cuda": 1 << 21}
"""Pixels of one batch: what the activations of the predictors leave room for."""

EXAMPLES = 6
"""Photos that a report may show before and after, of cohorts without real people."""


def batches(count: int, shape: tuple[int, ...], device: str) -> list[slice]:
    """The batches of photos [.., 3, h, w]: at most 64 on a CPU, 256 on an accelerator, fewer of large photos."""
    kind = "cpu" if device.startswith("cpu") else "cuda"
    size = max(1, min(64 if kind == "cpu" else 256, PIXELS[kind] // (shape[-2] * shape[-1])))
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


class Perturbing:
    """The proposer of photos changed by a defender.

    inputs: known (see `known_to`); model0, model1, .. (trained predictors, averaged) where the defender sees any.
    """

    def __init__(self, task: Task, ask: Any) -> None:
        from linkbench.harness.defend import Defence

        spec = task.specs["defender"]
        defender: Defender = spec.plugin()
        self.device = task.device
        known, self.given = _known(task, defender), task.inputs["known"]
        self.known, self.defender, self.who = known, defender, f"defender {spec.label}"
        self.models = models_of(task)
        self.defence = Defence(defender, known, self.who)
        self.learned: dict[int, Any] = {}
        self.learned_with: dict[int, int] = {}

    def learn(self, given: Parcel) -> Parcel:
        """Work out what there is to work out. meta: seed; number, under which it is remembered, 0 if none is given."""
        number, seed = int(given.meta.get("number", 0)), int(given.meta["seed"])
        if self.learned_with.get(number) != seed:  # or it did so for another part
            self.learned[number], self.learned_with[number] = self.defence.learn(self._study_set(seed)), seed
        return Parcel({}, {})

    def _study_set(self, seed: int) -> StudySet:
        from linkbench.models.predictor import untrained

        rows, clean = np.array(self.given.array("studied")), self.given.array("photos")
        return study_set(
            self.defender,
            self.known,
            lambda index: pixels(clean[rows[index]], self.device),
            rows,
            keys=rows,
            size=int(clean.shape[-1]),
            device=self.device,
            seed=seed,
            untrained=(lambda: untrained(self.models[0], self.device)) if self.models else None,
        )

    def perturb(self, given: Parcel) -> Parcel:
        """photos: float32 [b, 3, h, w] in [0, 1], of the rows int64 [b] of the cohort; gives photos."""
        photos = on_device(given.arrays["photos"], self.device)
        out = self.defence.propose(photos, given.arrays["rows"])
        return Parcel({"photos": check_photos(out, photos, self.who)}, {})


def on_device(photos: Any, device: str) -> Any:
    """Photos as they crossed, a tensor or an array, as a tensor on the device; their order in memory stays."""
    import torch

    return torch.from_numpy(photos).to(device) if type(photos) is np.ndarray else photos


def bytes_of(photos: Array, parts: list[slice]) -> int:
    """Bytes of the largest batch of photos in single precision: no answer about one has more."""
    return 4 * int(np.prod(photos.shape[1:])) * max((part.stop - part.start for part in parts), default=0)


def models_of(task: Task) -> list[Artefact]:
    """The trained predictors that a defender may see, in their order."""
    names = sorted(task.inputs, key=lambda name: (len(name), name))
    return [task.inputs[name] for name in names if name.startswith("model")]


def _predictor(task: Task) -> Any:
    """The predictor that the defender may see, or None; several are averaged."""
    from linkbench.models.predictor import ensemble, load_predictor

    models = [load_predictor(artefact, task.device) for artefact in models_of(task)]
    return ensemble(models) if models else None


def _known(task: Task, defender: Defender) -> Known:
    """What the harness wrote down in `known_to`, with the networks that are seen."""
    given = task.inputs["known"]
    channel: Channel | None = task.specs["channel"].plugin() if "channel" in task.specs else None
    held = {name: given.array(name) for name in ("log_p", "reference", "labels", "identity") if name in given.arrays}
    return Known(
        schema=Schema.from_json(given.meta["schema"]),
        seed=int(given.meta["seed"]),
        predictor=_predictor(task) if "predictor" in defender.needs else None,
        channel=channel.through if channel is not None and defender.optimises_through() else None,
        redraw=redraw.drawing(given),
        **held,
    )


def known_to(task: Task, defender: Defender, people: Cohort, photo: Array, clean: Array, seed: int) -> Task:
    """All that the process of a defender is told: what it needs about photos that it changes or studies, by row of the
    cohort, and nothing about others; the predictors and the channel that it may see.

    photo: int64 [n], rows of the photos that it will change; seed: for its random numbers. Raises PluginError where it
    needs what there is not.
    """
    genomes = Genomes.of(task.inputs["genomes"]) if "genomes" in task.inputs else None
    studied = np.flatnonzero(people.split == TRAIN) if learns(defender) else photo[:0]
    if defender.studies_own:
        studied = np.union1d(studied, photo)
    if "labels" in defender.needs and int(task.settings.get("split", TEST)) == GALLERY:
        people, studied = named(people, photo), photo
    seen = np.union1d(photo, studied)
    arrays: dict[str, Any] = {
        "studied": studied,
        "photos": Shown(clean, studied),
        "identity": _only(people.identity, seen, MISSING),
    }
    if genomes is not None and "genome" in defender.needs:
        log_p = np.zeros((len(people), genomes.log_p.shape[1]))
        log_p[seen] = genomes.log_p[people.truth[seen]]
        arrays["log_p"] = log_p
    if genomes is not None and "reference" in defender.needs:
        arrays["reference"] = reference_population(people, genomes, seed)
    if "labels" in defender.needs:
        arrays["labels"] = _only(people.labels, seen, MISSING)
    drawn = redraw.passed_on(task.inputs["cohort"]) if "redraw" in defender.needs else {}
    known = Artefact(arrays, {"schema": people.schema.to_json(), "seed": seed, **drawn})
    models = {name: network_only(each) for name, each in task.inputs.items() if name.startswith("model")}
    there = Known(
        people.schema, seed, models or None, arrays.get("log_p"), arrays.get("reference"), people.labels,
        redraw=redraw.drawing(known),
    )  # fmt: skip
    check_known(defender, there, f"defender {task.specs['defender'].label}")
    specs = {role: spec for role, spec in task.specs.items() if role in ("defender", "channel")}
    return Task({"known": known, **models}, specs, {}, seed, task.device, whole=task.whole)


def named(people: Cohort, photo: Array) -> Cohort:
    """The cohort as those in a gallery know it: each of their photos, by row int64 [n], is labelled with who they are.

    A poison of a gallery is keyed by names: whoever learns them from these photos learns the poison.
    """
    names = np.unique(people.identity[photo])
    labels = np.full((len(people), 1), MISSING, dtype=np.int64)
    labels[photo, 0] = np.searchsorted(names, people.identity[photo])
    return replace(people, schema=Schema({"identity": [str(name) for name in names]}), labels=labels)


def _only(values: Array, rows: Array, other: int) -> Array:
    """The values of some rows, all others replaced."""
    out = np.full_like(values, other)
    out[rows] = values[rows]
    return out


def protect(task: Task) -> Artefact:
    """The photos to be linked (or trained on, for a poison), changed by the defender within its budget.

    photos: float32 [n, 3, h, w], streamed; photo: int64 [n], rows of the cohort; projected: float32 [n], how far
    beyond its budget the plugin went before the harness took it back, known once the photos have been consumed.
    Setting `own`: an attacker runs the tool on photos of his own people, with random numbers of his own.
    """
    from linkbench.harness.defend import settle, stated_budget

    spec = task.specs["defender"]
    defender: Defender = spec.plugin()
    who = f"defender {spec.label}"
    people, photo, clean = photos_of(task.inputs["cohort"], int(task.settings.get("split", TEST)))
    seed = seeds.derive(task.seed, "protect")
    if task.settings.get("own"):
        seed = seeds.derive(seed, "own")
        defender = defender.model_copy(update={"identities": None})  # those are other people's
    told = known_to(task, defender, people, photo, clean, seed)
    budget = stated_budget(defender, who)
    check_listed(people.identity, defender, who)
    using = adopters(people.identity, defender, seed)
    mine = Part.of(task.part, len(photo))
    parts = mine.of_batches(batches(len(photo), clean.shape, task.device))
    waiting: deque[Tensor] = deque()  # photos that are away to be changed
    projected: list[Array] = []

    def given() -> Iterator[Parcel]:
        for part in parts:
            waiting.append(pixels(clean[photo[part]], task.device))
            yield Parcel({"photos": waiting[-1], "rows": photo[part]}, {})

    def blocks() -> Iterator[Array]:
        with proposing(told, f"{__name__}:Perturbing", who) as there:
            if learns(defender):
                there.call("learn", Parcel({}, {"seed": seeds.derive(seed, "learn")}), most=0)
            for part, answer in zip(track(parts), there.each("perturb", given(), bytes_of(clean, parts)), strict=True):
                changed = on_device(answer.arrays.get("photos"), task.device)
                out = settle(waiting.popleft(), changed, budget, who, using[photo[part]])
                projected.append(out.excess.cpu().numpy())
                yield out.photos.cpu().numpy()

    single = np.dtype(np.float32)
    return Artefact(
        {
            "photo": photo[slice(*mine)],
            "photos": Stream((mine.stop - mine.start, *clean.shape[1:]), single, blocks()),
            # generated when it is asked for, which is after the photos
            "projected": Stream((mine.stop - mine.start,), single, (part for part in projected), after="photos"),
        },
        {"budget": budget.to_json()},
    )


class Publishing:
    """The proposer of photos after a channel; it is given nothing but photos."""

    def __init__(self, task: Task, ask: Any) -> None:
        spec = task.specs["channel"]
        self.channel: Channel = spec.plugin()
        self.device, self.who = task.device, f"channel {spec.label}"

    def publish(self, given: Parcel) -> Parcel:
        """photos: float32 [b, 3, h, w] in [0, 1]; gives photos."""
        import torch

        photos = on_device(given.arrays["photos"], self.device)
        with torch.no_grad():
            return Parcel({"photos": check_photos(self.channel.publish(photos.clone()), photos, self.who)}, {})


class Publisher:
    """A channel at work, wherever its code is, and what the harness does with what it puts out."""

    def __init__(self, spec: Spec, there: Proposer, device: str) -> None:
        self.eight_bit: bool = spec.plugin().eight_bit
        self.there, self.device, self.who = there, device, f"channel {spec.label}"

    def publish(self, photos: Iterable[Tensor]) -> Iterator[Tensor]:
        """Each batch of photos after the channel. Raises PluginError for what is no photo."""
        waiting: deque[Tensor] = deque()

        def given() -> Iterator[Parcel]:
            for batch in photos:
                waiting.append(batch)
                yield Parcel({"photos": batch}, {})

        for answer in self.there.each("publish", given()):
            out = on_device(answer.arrays.get("photos"), self.device)
            yield as_posted(out, waiting.popleft(), self.eight_bit, self.who)


def as_posted(out: Any, photos: Tensor, eight_bit: bool, who: str = "the channel") -> Tensor:
    """What a channel made of photos, checked: in [0, 1], multiples of 1/255 up to rounding where it has 8 bits."""
    inside: Tensor = check_photos(out, photos, who).clamp(0, 1)
    return inside.mul(255).round_().div_(255) if eight_bit else inside


@contextlib.contextmanager
def publisher(spec: Spec, device: str) -> Iterator[Publisher]:
    """A channel, ready to be used."""
    told = Task({}, {"channel": spec}, {}, 0, device)
    with proposing(told, f"{__name__}:Publishing", f"channel {spec.label}") as there:
        yield Publisher(spec, there, device)


def publish(task: Task) -> Artefact:
    """The photos as the world sees them, after the channel: uint8 [n, 3, h, w] if it has 8 bits, else float32."""
    spec = task.specs["channel"]
    eight_bit: bool = spec.plugin().eight_bit
    source = task.inputs["protect"]
    photos = source.array("photos")
    kind = np.dtype(np.uint8 if eight_bit else np.float32)
    mine = Part.of(task.part, len(photos))
    parts = mine.of_batches(batches(len(photos), photos.shape, task.device))
    shape = (mine.stop - mine.start, *photos.shape[1:])

    def blocks() -> Iterator[Array]:
        with publisher(spec, task.device) as channel:
            for out in track(channel.publish(pixels(photos[part], task.device) for part in parts), len(parts)):
                yield (out.mul(255) if eight_bit else out).cpu().numpy().astype(kind)

    return Artefact({"photo": source.array("photo")[slice(*mine)], "photos": Stream(shape, kind, blocks())}, {})


def quality(task: Task) -> Artefact:
    """What was really changed, photo by photo, float64 [n] each, in [0, 1] pixel units where not said otherwise.

    linf, l2, psnr (dB), ssim, delta_e, delta_e_max (mean over pixels and largest, 0 to about 260): clean photo against
    published one. moved: L-infinity before publication; projected: how
    far the plugin had gone beyond its budget. channel: what publication alone does to the clean photo (L-infinity);
    change_linf, change_rms: the published photo against the published clean one, which is what the defender did.
    meta: numbers, how many a photo has. The setting `split` says which photos; for a poison those trained on.
    """
    people, photo, clean = photos_of(task.inputs["cohort"], int(task.settings.get("split", TEST)))
    protected, shown = task.inputs["protect"].array("photos"), task.inputs["publish"].array("photos")
    mine = Part.of(task.part, len(photo))
    parts = mine.of_batches(batches(len(photo), clean.shape, task.device))
    columns: dict[str, Array] = {}
    with contextlib.ExitStack() as stack:
        unprotected: Iterable[Tensor] = (pixels(clean[photo[part]], task.device) for part in parts)
        if "channel" in task.specs:
            unprotected = stack.enter_context(publisher(task.specs["channel"], task.device)).publish(unprotected)
        for part, alone in zip(track(parts), unprotected, strict=True):
            before, middle, after = (
                pixels(photos, task.device) for photos in (clean[photo[part]], protected[part], shown[part])
            )
            for name, values in _changes(before, middle, after, alone):
                # into place: small results kept between large temporaries would stop the heap from being used again
                column = columns.setdefault(name, np.empty(mine.stop - mine.start))
                column[part.start - mine.start : part.stop - mine.start] = values.double().cpu().numpy()
    arrays: dict[str, Array | Stream] = dict(columns)
    if task.settings.get("examples"):
        shown_first = slice(mine.start, min(max(mine.start, EXAMPLES), mine.stop))
        arrays["example_before"] = np.array(clean[photo[shown_first]])
        arrays["example_after"] = np.rint(pixels(shown[shown_first], "cpu").numpy() * 255).astype(np.uint8)
    arrays["projected"] = np.asarray(task.inputs["protect"].array("projected")[slice(*mine)], dtype=np.float64)
    numbers = int(np.prod(clean.shape[1:]))
    photo = photo[slice(*mine)]
    return Artefact({"photo": photo, "identity": people.identity[photo], **arrays}, {"numbers": numbers})


def _changes(before: Tensor, middle: Tensor, after: Tensor, unprotected: Tensor) -> Iterator[tuple[str, Tensor]]:
    """The columns of `quality` that are measured, [n] each, one after the other."""
    from linkbench.metrics import image_quality as measures
    from linkbench.metrics.colour import delta_e

    for name in ("linf", "l2", "psnr", "ssim"):
        yield name, getattr(measures, name)(before, after)
    apart = delta_e(before, after).flatten(1)
    yield "delta_e", apart.mean(dim=1)
    yield "delta_e_max", apart.amax(dim=1)
    yield "moved", measures.linf(before, middle)
    yield "channel", measures.linf(before, unprotected)
    yield "change_linf", measures.linf(unprotected, after)
    yield "change_rms", measures.l2(unprotected, after) / before[0].numel() ** 0.5


def photos_of(cohort: Artefact, split: int = TEST) -> tuple[Cohort, Array, Array]:
    """The cohort, the rows of the photos of one split, and all photos uint8 [N, 3, h, w]."""
    people = Cohort.of(cohort)
    if people.photos is None:
        raise InputError("this cohort brings no photos; nothing can be protected or published")
    photos: Array = cohort.array("photos")
    return people, np.flatnonzero(people.split == split), photos


def pixels(photos: Array, device: str) -> Tensor:
    """float32 [n, 3, h, w] in [0, 1] on the device, from uint8 or float32; the same bits that predictors are shown."""
    from linkbench.api.training_data import to_unit
    from linkbench.models.predictor import upload

    return upload(to_unit(photos), device)
