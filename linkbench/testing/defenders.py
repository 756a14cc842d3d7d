"""What linkbench expects of a defender."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from linkbench.api.base import Defender
from linkbench.api.budget import Budget
from linkbench.api.rounding import HALF_STEP, ROUNDING
from linkbench.execution.stdout import captured
from linkbench.harness import budget as kept
from linkbench.harness.checks import Guard, check_photos
from linkbench.testing import fixtures
from linkbench.testing.check import Skip, Subject
from linkbench.testing.common import silent

FEW = 0.001
"""Part of the pixels that may come out otherwise in another batch, once rounded to 8 bits."""

NEEDS = {"predictor", "genome", "reference", "labels", "redraw"}


class Trial(NamedTuple):
    """One use of the defender. before, after: float32 [n, 3, h, w]; said: what it printed; complaint: of the guard."""

    before: Tensor
    after: Any
    said: str
    complaint: str
    touched: list[str]


def _use(defender: Defender, others: int = 0, *, singly: bool = False) -> Trial:
    """Let the defender learn and change all photos, at once or one by one, as the harness would."""
    network, photos = fixtures.predictor(), fixtures.photos()
    guard = Guard(network, "it")
    with captured() as printed:
        learned = None
        with fixtures.chance(3, others):
            if type(defender).learn is not Defender.learn:
                learned = defender.learn(fixtures.study_set(defender, network, photos.clone()))
        known = fixtures.knowledge(defender, network, learned)
        inputs = {
            name: value.clone()
            for name in ("log_p", "reference", "labels")
            if (value := getattr(known, name)) is not None
        }
        parts = [[row] for row in range(len(photos))] if singly else [list(range(len(photos)))]
        out = []
        touched = []
        for rows in parts:
            given = photos[rows].clone(memory_format=torch.preserve_format)
            with fixtures.chance(4 + rows[0], others):
                out.append(defender.perturb(given, known if not singly else known.rows(torch.tensor(rows))))
            if not torch.equal(given, photos[rows]):
                touched.append("photos")
    touched += [name for name, value in inputs.items() if not torch.equal(value, getattr(known, name))]
    try:
        guard.check()
        complaint = ""
    except Exception as error:
        complaint = str(error)
    after = torch.cat(out) if all(isinstance(part, torch.Tensor) for part in out) else out[0]
    return Trial(photos, after, printed.text, complaint, touched)


def _whole(subject: Subject) -> Trial:
    return _use(subject.plugin())


def _moved(subject: Subject) -> Trial:
    trial: Trial = subject.once(_whole)
    return trial._replace(after=check_photos(trial.after, trial.before, "perturb"))


def it_says_what_it_must_know(subject: Subject) -> None:
    """`needs` holds known words, and the defender works with what it asked for alone."""
    wrong = set(subject.cls.needs) - NEEDS
    assert not wrong, f"needs holds {sorted(wrong)}; known: {', '.join(sorted(NEEDS))}"
    subject.once(_whole)


def photos_come_back(subject: Subject) -> None:
    """The shape, type and device that it was given, finite, in [0, 1]."""
    after = _moved(subject).after
    low, high = float(after.min()), float(after.max())
    assert low >= -ROUNDING, f"a pixel is {low:.4g}, below 0"
    assert high <= 1 + ROUNDING, f"a pixel is {high:.4g}, above 1"


def the_budget_is_stated(subject: Subject) -> None:
    """A possible `Budget`, and `optimises_through` says what a parameter `through` says."""
    plugin = subject.plugin()
    budget = plugin.budget()
    assert isinstance(budget, Budget), f"budget must return a Budget, it returned {type(budget).__name__}"
    assert not budget.problem(), f"the budget is impossible: {budget.problem()}"
    if "through" in subject.cls.model_fields:
        says = [subject.plugin(through=through).optimises_through() for through in (False, True)]
        assert says == [False, True], "with through true or false, optimises_through must return the same"


def the_budget_is_kept(subject: Subject) -> None:
    """By what the plugin itself puts out, before the harness takes it back; and after rounding to 8 bits."""
    trial, budget = _moved(subject), subject.plugin().budget()
    if budget == Budget():
        raise Skip("its budget has the norm none, so there is nothing to keep")
    unit = "" if budget.norm == "ssim" else " in pixel units"
    far = float(kept.excess(trial.before, trial.after, budget).max())
    assert not far, f"before rounding to 8 bits a photo lay {far:.6g}{unit} beyond {_words(budget)}"
    rounded = fixtures.steps_of_8_bits(trial.after).to(trial.before) / 255
    change = rounded - trial.before
    numbers = change[0].numel()
    for bound, worst in (
        (budget.pixel, change.abs().max()),
        (budget.rms(numbers), change.square().mean(dim=(1, 2, 3)).sqrt().max()),
    ):
        assert bound is None or float(worst) <= bound + HALF_STEP + 10 * ROUNDING, (
            f"after rounding to 8 bits a photo moved {float(worst):.6g}, more than {_words(budget)} and half a step"
        )


def _words(budget: Budget) -> str:
    return ", ".join(f"{name} {value:g}" if name != "norm" else str(value) for name, value in budget._asdict().items()
                     if value is not None)  # fmt: skip


def no_budget_changes_nothing(subject: Subject) -> None:
    """With a budget of 0 photos come back as they were, to the bit."""
    name = next((name for name in ("rms", "epsilon") if name in subject.cls.model_fields), None)
    if name is None:
        raise Skip("it has no parameter 'epsilon' or 'rms', so there is no budget to set to 0")
    trial = _use(subject.plugin(**{name: 0.0}))
    assert torch.equal(check_photos(trial.after, trial.before, "perturb"), trial.before), (
        f"with {name} 0 photos changed"
    )


def same_seed_same_bytes(subject: Subject) -> None:
    """Used twice: random numbers come from `knowledge`, or from torch's generator, which the harness seeds."""
    one, two = _moved(subject).after, _use(subject.plugin(), others=1).after
    differ = int((one != two).sum())
    assert torch.equal(one, two), f"{differ} of {one.numel()} pixels differ between two uses with the same seed"


def a_photo_is_alone(subject: Subject) -> None:
    """What becomes of a photo does not depend on its batch, up to rounding."""
    one, singly = _moved(subject).after, _use(subject.plugin(), singly=True).after
    differ = float((fixtures.steps_of_8_bits(one) != fixtures.steps_of_8_bits(singly)).float().mean())
    assert differ <= FEW, (
        f"{differ:.2%} of the pixels differ after 8 bits if photos come one by one, at most {FEW:.1%} may"
    )


def inputs_stay_as_they_were(subject: Subject) -> None:
    """Photos, labels and genomes are not written to."""
    touched = subject.once(_whole).touched
    assert not touched, f"it wrote to {', '.join(touched)}; work on a copy"


def the_predictor_stays_as_it_was(subject: Subject) -> None:
    """Weights, buffers and mode of every module of the predictor that it was shown."""
    if "predictor" not in subject.cls.needs:
        subject.once(_whole)
        raise Skip("it does not ask for a predictor, so it was shown none")
    assert not subject.once(_whole).complaint, subject.once(_whole).complaint


CHECKS = (
    it_says_what_it_must_know,
    photos_come_back,
    the_budget_is_stated,
    the_budget_is_kept,
    no_budget_changes_nothing,
    same_seed_same_bytes,
    a_photo_is_alone,
    inputs_stay_as_they_were,
    the_predictor_stays_as_it_was,
    silent(_whole),
)
