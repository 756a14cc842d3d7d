"""Photos drawn again with other phenotypes: who can do it goes with the cohort, from stage to stage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from linkbench.api.base import CohortSource
from linkbench.api.data import Array, Artefact
from linkbench.errors import PluginError
from linkbench.registry.spec import Spec

NAME = "redraw"
"""Under which an artefact's metadata says what drew the photos."""


def offered(spec: Spec, seed: int) -> dict[str, Any]:
    """What the metadata of a cohort says of its source, built with this seed; nothing where it draws nobody again."""
    source: CohortSource = spec.plugin()
    return {NAME: {"spec": list(spec), "seed": seed}} if source.redraws else {}


def passed_on(cohort: Artefact) -> dict[str, Any]:
    """What an artefact made from a cohort says of it."""
    return {NAME: cohort.meta[NAME]} if NAME in cohort.meta else {}


def source_of(artefact: Artefact) -> Spec | None:
    """The plugin that an artefact names to draw its photos again; None where it names none."""
    return Spec(*artefact.meta[NAME]["spec"]) if NAME in artefact.meta else None


def drawing(artefact: Artefact) -> Callable[[Array, Array], Array] | None:
    """From rows of the cohort int64 [n] and variants int64 [n, P] to photos uint8 [n, 3, h, w]; None: nobody can.

    The call raises PluginError for what are no photos.
    """
    spec = source_of(artefact)
    if spec is None:
        return None
    source: CohortSource = spec.plugin()
    seed, label = int(artefact.meta[NAME]["seed"]), spec.label

    def draw(rows: Array, variants: Array) -> Array:
        photos = source.redraw(rows, variants, seed)
        if str(photos.dtype) != "uint8" or photos.shape[:2] != (len(rows), 3):
            raise PluginError(
                f"cohort {label} must draw photos uint8 [{len(rows)}, 3, h, w], it gave {photos.dtype} "
                f"{list(photos.shape)}"
            )
        return photos

    return draw
