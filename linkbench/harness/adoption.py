"""Which people use a defender or a poison; the photos of the others stay as they are."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from linkbench.api import seeds
from linkbench.api.base import Defender
from linkbench.api.data import Array
from linkbench.errors import InputError


def adopters(identity: Array, defender: Defender, seed: int) -> Array:
    """bool [N]: whether the person in each photo uses the defender: those it lists, else a random part `rate`."""
    if defender.identities is not None:
        return np.isin(identity, listed(defender.identities))
    people, who = np.unique(identity, return_inverse=True)
    order = seeds.generator(seed, "users").permutation(len(people))
    using: Array = order[who] < round(defender.rate * len(people))
    return using


def check_listed(identity: Array, defender: Defender, who: str) -> None:
    """Raise InputError if the defender lists people whom the cohort does not know."""
    if defender.identities is None:
        return
    unknown = np.setdiff1d(listed(defender.identities), identity)
    if len(unknown):
        raise InputError(
            f"{who}: {defender.identities} names {len(unknown)} identities that the cohort does not have, the first is "
            f"{unknown[0]}. Identities are numbers; in a cohort from a folder 0, 1, ... in the order of its table"
        )


def listed(path: Path) -> Array:
    """int64 [n], the column `identity` of a CSV file. Raises InputError naming the line."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            table = csv.DictReader(file)
            if "identity" not in (table.fieldnames or ()):
                raise InputError(f"{path}: the first line has no column 'identity'; write one identity number per line")
            cells = [(table.line_num, row["identity"]) for row in table]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read ({error}); give a CSV file with the column 'identity'") from None
    for line, cell in cells:
        if not (cell or "").strip().isdecimal() or len(cell) > 18:
            raise InputError(f"{path}, line {line}: {(cell or '')[:50]!r} is no identity; expected a whole number")
    return np.array([int(cell) for _, cell in cells], dtype=np.int64)
