"""What linkbench expects of an identifier."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from linkbench.api.base import Identifier
from linkbench.api.data import Array
from linkbench.api.gallery import Faces, Gallery
from linkbench.api.training_data import Photos
from linkbench.execution.stdout import captured
from linkbench.testing import fixtures
from linkbench.testing.check import Subject
from linkbench.testing.common import silent

PEOPLE, EACH, NUMBERS = 4, 2, 12
"""People in the gallery, photos of each, and numbers of an embedding."""

SEES = {"embeddings", "photos"}

SAME = 1e-4
"""Scores that differ by less, relative to the largest, are equal: networks round differently in other batches."""


class Trial(NamedTuple):
    """One use: scores [n, people] of all probes, those of the last probe alone, what was printed and written to."""

    scores: Array
    alone: Array
    said: str
    touched: list[str]


def _network() -> nn.Module:
    with fixtures.chance(4):
        return fixtures.Smooth(3)


def _faces(identifier: Identifier, who: Array, seed: int) -> Faces:
    """What the identifier sees of photos that show, each person the same, a pattern of their own and some noise."""
    noise = np.random.default_rng(seed)
    patterns = fixtures.photos(PEOPLE, fixtures.SIZE, 3).numpy()[who]
    pixels = (255 * (patterns + 0.02 * noise.standard_normal(patterns.shape)).clip(0, 1)).round().astype(np.uint8)
    places = np.random.default_rng(8).standard_normal((PEOPLE, NUMBERS))[who]
    embeddings = places + 0.1 * noise.standard_normal(places.shape)
    return Faces(
        embeddings if "embeddings" in identifier.sees else None, Photos(pixels) if "photos" in identifier.sees else None
    )


def _use(identifier: Identifier, others: int = 0) -> Trial:
    who = np.tile(np.arange(PEOPLE), EACH)
    seen = "photos" in identifier.sees
    known, probes = _faces(identifier, who, 1), _faces(identifier, np.arange(PEOPLE), 2)
    gallery = Gallery(known, who, PEOPLE, _network if seen else None, "cpu", 5)
    arrays = {
        f"{name} {what}": array
        for what, faces in (("of the gallery", known), ("of the probes", probes))
        for name, array in (("embeddings", faces.embeddings), ("photos", faces.photos.array if faces.photos else None))
        if array is not None
    } | {"the names": who}
    copies = {name: array.copy() for name, array in arrays.items()}
    last = Faces(
        None if probes.embeddings is None else probes.embeddings[-1:],
        None if probes.photos is None else Photos(probes.photos.array[-1:]),
    )
    with captured() as printed, fixtures.chance(others, others):
        learned = identifier.learn(gallery)
        scores, alone = identifier.score(probes, learned), identifier.score(last, learned)
    touched = [name for name, array in arrays.items() if not np.array_equal(array, copies[name])]
    return Trial(scores, alone, printed.text, touched)


def _once(subject: Subject) -> Trial:
    return _use(subject.plugin())


def _trial(subject: Subject) -> Trial:
    trial: Trial = subject.once(_once)
    return trial


def it_sees_what_there_is(subject: Subject) -> None:
    """`sees` names embeddings, photos, or both."""
    sees = subject.plugin().sees
    assert sees, "it sees nothing; name 'embeddings', 'photos' or both in `sees`"
    assert sees <= SEES, f"there is no {', '.join(sorted(sees - SEES))}; `sees` may name {', '.join(sorted(SEES))}"


def every_pair_has_a_score(subject: Subject) -> None:
    """float64 [n, people], finite."""
    scores = _trial(subject).scores
    assert isinstance(scores, np.ndarray), f"score must return an array, it returned {type(scores).__name__}"
    assert scores.shape == (PEOPLE, PEOPLE), f"scores have shape {scores.shape}, expected {(PEOPLE, PEOPLE)}"
    assert scores.dtype == np.float64, f"scores are {scores.dtype}, expected float64"
    assert np.isfinite(scores).all(), "some scores are NaN or infinite"


def plain_people_are_told_apart(subject: Subject) -> None:
    """Photos that differ from those of the gallery by little noise get the right name first; higher is better."""
    right = float(np.mean(_trial(subject).scores.argmax(axis=1) == np.arange(PEOPLE)))
    assert right > 1 / PEOPLE, f"{right:.0%} of plain probes are named right, guessing reaches {1 / PEOPLE:.0%}"


def a_probe_does_not_see_the_others(subject: Subject) -> None:
    """The scores of a probe are the same alone and among others."""
    trial = _trial(subject)
    apart = np.abs(trial.alone[0] - trial.scores[-1]).max()
    assert apart <= SAME * max(1.0, np.abs(trial.scores).max()), f"alone a probe's scores differ by {apart:g}"


def same_seed_same_scores(subject: Subject) -> None:
    """Randomness comes from the gallery's seed, or torch's generator, which the harness seeds."""
    again = _use(subject.plugin(), others=1).scores
    assert np.array_equal(_trial(subject).scores, again), "scores differ between two uses with the same seed"


def what_it_learns_from_stays_as_it_was(subject: Subject) -> None:
    """Photos, embeddings and names are not written to."""
    touched = _trial(subject).touched
    assert not touched, f"it wrote to the {', '.join(touched)}; work on a copy"


def it_leaves_torch_as_it_was(subject: Subject) -> None:
    """Gradients are on afterwards, and the number of threads is as before."""
    threads = torch.get_num_threads()
    _use(subject.plugin())
    assert torch.is_grad_enabled(), "it left gradients switched off"
    assert torch.get_num_threads() == threads, "it changed the number of threads"


CHECKS = (
    it_sees_what_there_is,
    every_pair_has_a_score,
    plain_people_are_told_apart,
    a_probe_does_not_see_the_others,
    same_seed_same_scores,
    what_it_learns_from_stays_as_it_was,
    it_leaves_torch_as_it_was,
    silent(_trial),
)
