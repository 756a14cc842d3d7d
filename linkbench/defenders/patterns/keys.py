"""From variants to the class that keys a poison."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from linkbench.api.schema import Schema
from linkbench.errors import InputError, PluginError

if TYPE_CHECKING:
    from torch import Tensor

    from linkbench.api.knowledge import Knowledge

MOST_CLASSES = 1024
"""Poisons with more classes are refused: each class has a pattern in memory, and too few photos to learn it from."""


def class_count(schema: Schema, phenotype: str | None) -> int:
    """How many classes key a poison: the variants of the phenotype, or (None) all combinations of variants.

    Raises InputError for a phenotype that the schema lacks and for more than MOST_CLASSES classes.
    """
    if phenotype is not None and phenotype not in schema:
        raise InputError(
            f"the poison is for phenotype {phenotype!r}, but the photos are labelled with {', '.join(schema)}. "
            f"Choose one of these, or leave 'phenotype' out for the combination of all"
        )
    count = schema.combinations if phenotype is None else len(schema[phenotype])
    if count > MOST_CLASSES:
        raise InputError(
            f"the schema has {count} combinations of variants; a poison can tell at most {MOST_CLASSES} classes "
            f"apart. Give it one 'phenotype'"
        )
    return count


def class_numbers(labels: Any, schema: Schema, phenotype: str | None) -> Any:
    """int64 [n] class of each photo from variants int64 [n, P] (numpy or torch); -1 where a variant is unknown.

    Combinations are numbered like digits: the last phenotype counts fastest.
    """
    if phenotype is not None:
        return labels[:, schema.names.index(phenotype)]
    sizes = [len(schema[name]) for name in schema]
    out = sum(labels[:, place] * math.prod(sizes[place + 1 :]) for place in range(len(sizes)))
    known = (labels >= 0).all(1)
    return out * known - ~known * 1


def need_two_classes(numbers: Any, who: str) -> None:
    """Raise InputError unless the photos, int64 [n] of classes or -1, show at least two classes."""
    seen = {int(number) for number in numbers} - {-1}
    if len(seen) < 2:
        found = "none of the photos has a known label" if not seen else "all photos with a known label are of one class"
        raise InputError(
            f"{who}: {found}. A poison ties each class to a pattern of its own and needs photos of two classes or "
            f"more; choose another phenotype or a larger cohort"
        )


def change_classes(
    photos: Tensor, knowledge: Knowledge, phenotype: str | None, change: Callable[[Tensor, Tensor, Knowledge], Tensor]
) -> Tensor:
    """Photos float [n, 3, h, w] in [0, 1], those of a known class changed, the others as they are.

    change: from the photos of known classes [m, 3, h, w], their classes int64 [m] and what is known about them to what
    they become, clipped to [0, 1] here. Raises PluginError where nothing was learned before.
    """
    assert knowledge.labels is not None
    if knowledge.learned is None:
        raise PluginError("a poison with a pattern for each class must draw them before it changes photos: call learn")
    numbers = class_numbers(knowledge.labels, knowledge.schema, phenotype).to(photos.device)
    known = (numbers >= 0).nonzero().flatten()
    out = photos.clone()
    if len(known):
        out[known] = change(photos[known], numbers[known], knowledge.rows(known)).clamp_(0, 1)
    return out
