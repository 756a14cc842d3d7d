"""The stage that asks whether protected photos can be told from others."""

from __future__ import annotations

import numpy as np

from linkbench.api.data import Array, Artefact, Cohort
from linkbench.attackers.detector import learn
from linkbench.errors import InputError
from linkbench.plan.task import Task

POINTS = 100
"""Points of the curve that are kept."""


def detect(task: Task) -> Artefact:
    """Log-odds of protection for the linked photos without and with it, by what the attacker's own people teach.

    inputs: cohort; own_clean, own_protected: his people's photos as posted, without and with protection by the very
    tool; clean, protected: those of linked people. Arrays identity int64 [n]; clean, protected: float64 [n]; parts:
    float64 [n], terms whose mean is the area under the ROC curve. meta: auc; false, true: the curve.
    Raises InputError where he has nobody to learn from.
    """
    people = Cohort.of(task.inputs["cohort"])
    photos = {name: task.inputs[name].array("photos") for name in ("own_clean", "own_protected", "clean", "protected")}
    own = people.identity[task.inputs["own_clean"].array("photo")]
    if len(np.unique(own)) < 2:
        raise InputError(
            "the detector learns from people who are not linked, and there are fewer than two; raise "
            "'split.validation', or leave 'measure.detect' out"
        )
    detector = learn(np.asarray(photos["own_clean"]), np.asarray(photos["own_protected"]), own)
    plain, changed = (detector.score(np.asarray(photos[name])) for name in ("clean", "protected"))
    false, true = curve(plain, changed)
    beaten = (changed[:, None] > plain[None, :]) + 0.5 * (changed[:, None] == plain[None, :])
    parts = beaten.mean(axis=1) + beaten.mean(axis=0) - beaten.mean()
    identity = people.identity[task.inputs["protected"].array("photo")]
    meta = {"auc": float(beaten.mean()), "false": false.tolist(), "true": true.tolist()}
    return Artefact({"identity": identity, "clean": plain, "protected": changed, "parts": parts}, meta)


def curve(plain: Array, changed: Array) -> tuple[Array, Array]:
    """Rates of false and true alarms at falling thresholds, float64 [T] each, thinned; from 0 to 1."""
    thresholds = np.unique(np.concatenate([plain, changed]))[::-1]
    false = np.concatenate([[0.0], [(plain >= at).mean() for at in thresholds]])
    true = np.concatenate([[0.0], [(changed >= at).mean() for at in thresholds]])
    kept = np.unique(np.linspace(0, len(false) - 1, POINTS).round().astype(np.int64))
    return false[kept], true[kept]
