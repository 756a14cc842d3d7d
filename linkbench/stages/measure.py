"""The last stage of a cell of a linkage: what is known of it as rows of the table."""

from __future__ import annotations

import numpy as np

from linkbench.api import seeds
from linkbench.api.data import Artefact, Cohort, most_likely
from linkbench.metrics import rows as metrics
from linkbench.metrics.settings import Measure
from linkbench.plan.task import Task


def measure(task: Task) -> Artefact:
    """The rows of one cell: every metric with its interval."""
    settings = Measure.model_validate(task.settings)
    seed = seeds.derive(task.seed, "bootstrap")
    rows = metrics.linkage_rows(task.inputs["rank"], settings, seed)
    rows += metrics.open_set_rows(task.inputs["rank"], settings, seed)
    rows += metrics.alike_rows(task.inputs["rank"], settings, seed)
    people = Cohort.of(task.inputs["cohort"])
    predicted = task.inputs["predict"]
    photo = predicted.array("photo")
    probabilities = np.asarray(predicted.array("probabilities"))
    variants = most_likely(probabilities, people.schema)
    about = (people.labels[photo], people.identity[photo], people.schema, settings, seed)
    rows += metrics.prediction_rows(variants, *about)
    rows += metrics.calibration_rows(probabilities, *about)
    if "curves" in task.inputs and "watched" in task.inputs["curves"].arrays:
        rows += metrics.curve_rows(task.inputs["curves"], people, settings, seed)
    if "baseline" in task.inputs:
        rows += metrics.change_rows(task.inputs["rank"], task.inputs["baseline"], settings, seed)
    if "certify" in task.inputs:
        rows += metrics.certificate_rows(task.inputs["certify"], task.inputs.get("quality"), settings, seed)
    if "detect" in task.inputs:
        rows += metrics.detection_rows(task.inputs["detect"], settings, seed)
    if "quality" in task.inputs:
        rows += metrics.quality_rows(task.inputs["quality"], settings, seed)
    if "poison_quality" in task.inputs:
        rows += metrics.quality_rows(task.inputs["poison_quality"], settings, seed, "poison_")
    if "rule" in task.inputs:
        rows += metrics.rule_rows(task.inputs["rule"], settings, seed)
    return Artefact({}, {"rows": rows})
