"""The stages that ask whether protected photos can be told from others, and tools from each other."""

from __future__ import annotations

from typing import Any

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
    tool; clean, protected: those of linked people; tools: see there, with the setting `number`, which of them this is,
    where there are several. Arrays identity int64 [n]; clean, protected: float64 [n]; parts: float64 [n], terms whose
    mean is the area under the ROC curve; right: float64 [n], 1 where the tool was named. meta: auc; false, true: the
    curve; names, named: all tools, and the part of the photos for which each was named; named_clean: of clean ones.
    Raises InputError where he has nobody to learn from.
    """
    people = Cohort.of(task.inputs["cohort"])
    photos = {name: task.inputs[name].array("photos") for name in ("own_clean", "own_protected", "clean", "protected")}
    own = _own(people, task.inputs["own_clean"])
    detector = learn([np.asarray(photos["own_clean"]), np.asarray(photos["own_protected"])], own)
    told = (detector.told(np.asarray(photos[name])) for name in ("clean", "protected"))
    plain, changed = (each[:, 1] - each[:, 0] for each in told)
    false, true = curve(plain, changed)
    beaten = (changed[:, None] > plain[None, :]) + 0.5 * (changed[:, None] == plain[None, :])
    parts = beaten.mean(axis=1) + beaten.mean(axis=0) - beaten.mean()
    identity = people.identity[task.inputs["protected"].array("photo")]
    meta: dict[str, Any] = {"auc": float(beaten.mean()), "false": false.tolist(), "true": true.tolist()}
    arrays = {"identity": identity, "clean": plain, "protected": changed, "parts": parts}
    if "tools" in task.inputs:
        named, number = task.inputs["tools"].array("named"), int(task.settings["number"])
        shares = [np.bincount(named[kind], minlength=len(named)) / named.shape[1] for kind in (number, 0)]
        arrays["right"] = (named[number] == number).astype(np.float64)
        meta |= {"names": task.inputs["tools"].meta["names"], "number": number}
        meta |= {"named": shares[0].tolist(), "named_clean": shares[1].tolist()}
    return Artefact({**arrays}, meta)


def tools(task: Task) -> Artefact:
    """Which tool protected the linked photos, by what the attacker's own people teach: named int64 [T, n], a row for
    the photos after each tool, the first as they are.

    inputs: cohort; own0, own1, ..: his people's photos as posted after each tool; met0, met1, ..: those of linked
    people. settings: names, of the tools. Raises InputError where he has nobody to learn from.
    """
    people, names = Cohort.of(task.inputs["cohort"]), list(task.settings["names"])
    own, met = ([task.inputs[f"{whose}{at}"] for at in range(len(names))] for whose in ("own", "met"))
    detector = learn([np.asarray(each.array("photos")) for each in own], _own(people, own[0]))
    named = [detector.told(np.asarray(each.array("photos"))).argmax(axis=1) for each in met]
    return Artefact({"named": np.stack(named)}, {"names": names})


def _own(people: Cohort, posted: Artefact) -> Array:
    """Who is in the attacker's own photos, int64 [n]."""
    own = people.identity[posted.array("photo")]
    if len(np.unique(own)) < 2:
        raise InputError(
            "the detector learns from people who are not linked, and there are fewer than two; raise "
            "'split.validation', or leave 'measure.detect' out"
        )
    return own


def curve(plain: Array, changed: Array) -> tuple[Array, Array]:
    """Rates of false and true alarms at falling thresholds, float64 [T] each, thinned; from 0 to 1."""
    thresholds = np.unique(np.concatenate([plain, changed]))[::-1]
    false = np.concatenate([[0.0], [(plain >= at).mean() for at in thresholds]])
    true = np.concatenate([[0.0], [(changed >= at).mean() for at in thresholds]])
    kept = np.unique(np.linspace(0, len(false) - 1, POINTS).round().astype(np.int64))
    return false[kept], true[kept]
