"""The stages from a photo to what the world sees of it: protect, publish, and the measurement of what was changed.

Photos are streamed in batches; how large they are follows from their size and the device alone, and a photo's result
depends on its batch only in the rounding of the networks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from linkbench.api import seeds
from linkbench.api.base import Channel, Defender
from linkbench.api.data import TEST, TRAIN, Array, Artefact, Cohort, Genomes, Stream
from linkbench.api.progress import track
from linkbench.errors import InputError
from linkbench.harness.adoption import adopters, check_listed
from linkbench.harness.checks import check_photos
from linkbench.harness.knowledge import Known, reference_population, study_set
from linkbench.plan.task import Task

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


def _predictor(task: Task) -> Any:
    """The predictor that the defender may see, or None; several are averaged."""
    from linkbench.models.predictor import ensemble, load_predictor

    artefacts = [
        task.inputs[name]
        for name in sorted(task.inputs, key=lambda name: (len(name), name))
        if name.startswith("model")
    ]
    models = [load_predictor(artefact, task.device) for artefact in artefacts]
    return ensemble(models) if models else None


def known_to(task: Task, defender: Defender, people: Cohort, seed: int) -> Known:
    """What there is to know about the photos of the cohort, by row, as far as the defender needs it."""
    genomes = Genomes.of(task.inputs["genomes"]) if "genomes" in task.inputs else None
    channel: Channel | None = task.specs["channel"].plugin() if "channel" in task.specs else None
    log_p = reference = None
    if genomes is not None and "genome" in defender.needs:
        log_p = genomes.log_p[people.truth]
    if genomes is not None and "reference" in defender.needs:
        reference = reference_population(people, genomes, seed)
    return Known(
        schema=people.schema,
        seed=seed,
        predictor=_predictor(task) if "predictor" in defender.needs else None,
        log_p=log_p,
        reference=reference,
        labels=people.labels,
        identity=people.identity,
        channel=channel.through if channel is not None and defender.optimises_through() else None,
    )


def studied(task: Task, defender: Defender, known: Known, people: Cohort, clean: Array) -> StudySet:
    """What a defender may study first: as a poison the photos that it will change, else those of the training split."""
    from linkbench.models.predictor import untrained

    rows = np.flatnonzero(people.split == TRAIN)
    first = next((task.inputs[name] for name in sorted(task.inputs) if name.startswith("model")), None)
    return study_set(
        defender,
        known,
        lambda index: pixels(clean[rows[index]], task.device),
        rows,
        keys=rows,
        size=int(clean.shape[-1]),
        device=task.device,
        seed=seeds.derive(known.seed, "learn"),
        untrained=None if first is None else lambda: untrained(first, task.device),
    )


def protect(task: Task) -> Artefact:
    """The photos to be linked (or trained on, for a poison), changed by the defender within its budget.

    photos: float32 [n, 3, h, w], streamed; photo: int64 [n], rows of the cohort; projected: float32 [n], how far
    beyond its budget the plugin went before the harness took it back, known once the photos have been consumed.
    Setting `own`: an attacker runs the tool on photos of his own people, with random numbers of his own.
    """
    from linkbench.harness.defend import Defence

    spec = task.specs["defender"]
    defender: Defender = spec.plugin()
    who = f"defender {spec.label}"
    people, photo, clean = photos_of(task.inputs["cohort"], int(task.settings.get("split", TEST)))
    seed = seeds.derive(task.seed, "protect")
    if task.settings.get("own"):
        seed = seeds.derive(seed, "own")
        defender = defender.model_copy(update={"identities": None})  # those are other people's
    known = known_to(task, defender, people, seed)
    defence = Defence(defender, known, who)
    defence.learn(studied(task, defender, known, people, clean))
    check_listed(people.identity, defender, who)
    using = adopters(people.identity, defender, seed)
    projected: list[Array] = []

    def blocks() -> Iterator[Array]:
        for part in track(batches(len(photo), clean.shape, task.device)):
            rows = photo[part]
            out = defence.perturb(pixels(clean[rows], task.device), rows, using=using[rows])
            projected.append(out.excess.cpu().numpy())
            yield out.photos.cpu().numpy()

    single = np.dtype(np.float32)
    return Artefact(
        {
            "photo": photo,
            "photos": Stream((len(photo), *clean.shape[1:]), single, blocks()),
            # generated when it is asked for, which is after the photos
            "projected": Stream((len(photo),), single, (part for part in projected), after="photos"),
        },
        {"budget": defence.budget.to_json()},
    )


def publish(task: Task) -> Artefact:
    """The photos as the world sees them, after the channel: uint8 [n, 3, h, w] if it has 8 bits, else float32."""
    spec = task.specs["channel"]
    channel: Channel = spec.plugin()
    source = task.inputs["protect"]
    photos = source.array("photos")
    kind = np.dtype(np.uint8 if channel.eight_bit else np.float32)

    def blocks() -> Iterator[Array]:
        for part in track(batches(len(photos), photos.shape, task.device)):
            out = published(channel, pixels(photos[part], task.device), f"channel {spec.label}")
            yield (out.mul(255) if channel.eight_bit else out).cpu().numpy().astype(kind)

    return Artefact({"photo": source.array("photo"), "photos": Stream(photos.shape, kind, blocks())}, {})


def published(channel: Channel, photos: Tensor, who: str = "the channel") -> Tensor:
    """Photos after the channel, in [0, 1], exact multiples of 1/255 up to rounding where it has 8 bits."""
    import torch

    with torch.no_grad():
        out = check_photos(channel.publish(photos.clone()), photos, who).clamp(0, 1)
        return out.mul(255).round_().div_(255) if channel.eight_bit else out


def quality(task: Task) -> Artefact:
    """What was really changed, photo by photo, float64 [n] each, in [0, 1] pixel units where not said otherwise.

    linf, l2, psnr (dB), ssim: clean photo against published one. moved: L-infinity before publication; projected: how
    far the plugin had gone beyond its budget. channel: what publication alone does to the clean photo (L-infinity);
    change_linf, change_rms: the published photo against the published clean one, which is what the defender did.
    meta: numbers, how many a photo has. The setting `split` says which photos; for a poison those trained on.
    """
    people, photo, clean = photos_of(task.inputs["cohort"], int(task.settings.get("split", TEST)))
    protected, shown = task.inputs["protect"].array("photos"), task.inputs["publish"].array("photos")
    channel: Channel | None = task.specs["channel"].plugin() if "channel" in task.specs else None
    columns: dict[str, Array] = {}
    for part in track(batches(len(photo), clean.shape, task.device)):
        before = pixels(clean[photo[part]], task.device)
        middle, after = (pixels(photos[part], task.device) for photos in (protected, shown))
        unprotected = before if channel is None else published(channel, before)
        for name, values in _changes(before, middle, after, unprotected):
            # into place: small results kept between large temporaries would stop the heap from being used again
            columns.setdefault(name, np.empty(len(photo)))[part] = values.double().cpu().numpy()
    arrays: dict[str, Array | Stream] = dict(columns)
    if task.settings.get("examples"):
        shown_first = slice(0, EXAMPLES)
        arrays["example_before"] = np.array(clean[photo[shown_first]])
        arrays["example_after"] = np.rint(pixels(shown[shown_first], "cpu").numpy() * 255).astype(np.uint8)
    arrays["projected"] = np.asarray(task.inputs["protect"].array("projected"), dtype=np.float64)
    numbers = int(np.prod(clean.shape[1:]))
    return Artefact({"photo": photo, "identity": people.identity[photo], **arrays}, {"numbers": numbers})


def _changes(before: Tensor, middle: Tensor, after: Tensor, unprotected: Tensor) -> Iterator[tuple[str, Tensor]]:
    """The columns of `quality` that are measured, [n] each, one after the other."""
    from linkbench.metrics import image_quality as measures

    for name in ("linf", "l2", "psnr", "ssim"):
        yield name, getattr(measures, name)(before, after)
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
    import torch

    from linkbench.api.training_data import to_unit

    return to_unit(photos).to(device=device, memory_format=torch.channels_last)
