"""What linkbench expects of a recipe."""

from __future__ import annotations

import json
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from linkbench.api.schema import Schema
from linkbench.api.training_data import Examples, Photos, Report, TrainingData
from linkbench.execution.stdout import captured
from linkbench.harness.filtered_training import train
from linkbench.models.networks import PerPhenotype
from linkbench.models.predictor import place
from linkbench.testing import fixtures
from linkbench.testing.check import Skip, Subject
from linkbench.testing.common import silent
from linkbench.testing.tables import PEOPLE, SCHEMA, probabilities, variants

LEARNERS, HELD, SIZE = 16, 6, 32
"""Photos that a recipe is tried on, for training and for validation, and their edge in pixels."""


class Trained(NamedTuple):
    """A network before and after training, what the recipe reports and printed, and what it wrote to."""

    before: dict[str, Tensor]
    network: nn.Module
    report: Report
    said: str
    touched: list[str]


def _lesson(count: int, seed: int, schema: Schema) -> Examples:
    pixels = fixtures.steps_of_8_bits(fixtures.photos(count, SIZE, seed)).to(torch.uint8).contiguous().numpy()
    return Examples(
        photos=Photos(pixels),
        labels=variants(count, seed, schema),
        log_p=np.log(probabilities(count, seed, schema)),
        identity=np.arange(count) + 1000 * seed,
    )


def _train(subject: Subject, others: int = 0) -> Trained:
    schema = PEOPLE if subject.cls.people else SCHEMA

    def fresh() -> nn.Module:
        network = PerPhenotype(schema, fixtures.Smooth)
        place(network, "cpu")
        return network

    training, held = _lesson(LEARNERS, 1, schema), _lesson(HELD, 2, schema)
    data = TrainingData(
        schema=schema,
        training=training,
        validation=held,
        reference=np.log(probabilities(20, 3, schema)),
        device="cpu",
        seed=5,
        untrained=fresh,
        started=True,
    )
    with fixtures.chance(6):
        network = fresh()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    inputs = [
        (what, array, array.copy())
        for examples in (training, held)
        for what, array in (("photos", examples.photos.array), ("labels", examples.labels), ("genomes", examples.log_p))
    ]
    with captured() as printed, fixtures.chance(7, others):
        report = train(subject.plugin(), network, data)
    touched = sorted({what for what, array, copy in inputs if not np.array_equal(array, copy)})
    return Trained(before, network, report, printed.text, touched)


def _first_training(subject: Subject) -> Trained:
    return _train(subject)


def _trained(subject: Subject) -> Trained:
    trained: Trained = subject.once(_first_training)
    return trained


def _trains(subject: Subject) -> None:
    if not subject.cls.trains:
        raise Skip("it trains nothing: the network stays as it comes")


def the_network_learns(subject: Subject) -> None:
    """Weights change, in place, and stay finite."""
    _trains(subject)
    before, network, *_ = _trained(subject)
    after = network.state_dict()
    assert list(after) == list(before), "the network has other weights after training; it must be trained in place"
    wrong = [name for name, value in after.items() if not torch.isfinite(value).all()]
    assert not wrong, f"weights {wrong[0]!r} are NaN or infinite after training" if wrong else ""
    changed = [name for name, _ in network.named_parameters() if not torch.equal(after[name], before[name])]
    assert changed, "no weight changed"


def it_reports_its_curves(subject: Subject) -> None:
    """A `Report` with an epoch at least, every loss finite."""
    _trains(subject)
    report = _trained(subject).report
    assert isinstance(report, Report), f"train must return a Report, it returned {type(report).__name__}"
    assert report.history, "the report has no epoch"
    try:
        json.dumps(report.to_json(), allow_nan=False)
    except ValueError as error:
        raise AssertionError(f"the report cannot be stored: {error}") from None


def same_seed_same_weights(subject: Subject) -> None:
    """Trained twice: randomness comes from the data's seed, or torch's generator, which the harness seeds."""
    one, two = _trained(subject).network.state_dict(), _train(subject, others=1).network.state_dict()
    differ = [name for name in one if not torch.equal(one[name], two[name])]
    assert not differ, f"weights {differ[0]!r} differ between two trainings with the same seed" if differ else ""


def what_it_learns_from_stays_as_it_was(subject: Subject) -> None:
    """Photos, labels and genomes of the data are not written to."""
    touched = _trained(subject).touched
    assert not touched, f"it wrote to {', '.join(touched)}; work on a copy"


CHECKS = (
    the_network_learns,
    it_reports_its_curves,
    same_seed_same_weights,
    what_it_learns_from_stays_as_it_was,
    silent(_trained),
)
