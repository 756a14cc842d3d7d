"""What a poison does to networks, photo by photo: python benchmarks/poisoned_accuracy.py FOLDER [--store STORE]

FOLDER: a finished run with poisons, such as poison-backbone-photos. For every model and poison: balanced accuracy of
each phenotype on the linked photos; then, paired over people and corrected for all comparisons (Holm), by how much the
poison changes the accuracy for one phenotype, and by how much more it changes that of one model than that of another.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path
from typing import NamedTuple

import numpy as np

from linkbench.api.data import MISSING, Array, Cohort, most_likely
from linkbench.metrics.comparison import by_person, holm, p_values
from linkbench.results import folder
from linkbench.store.location import default_address
from linkbench.store.store import Store


class Read(NamedTuple):
    """right: float64 [people], what each person adds to the accuracy for the phenotype; balanced: of all phenotypes."""

    right: Array
    balanced: str


def read(run: dict[str, object], store: Store, steps: dict[str, str], phenotype: str) -> Read:
    predicted, kept = (store.read(run["steps"][steps[stage]]["digest"]) for stage in ("predict", "cohort"))  # type: ignore[index]
    if predicted is None or kept is None:
        raise SystemExit(f"the store {store.address} does not hold the run; name the one of the run with --store")
    people, photo = Cohort.of(kept), predicted.array("photo")
    variants, truth = most_likely(np.asarray(predicted.array("probabilities")), people.schema), people.labels[photo]
    said = []
    for column, name in enumerate(people.schema):
        found = [truth[:, column] == variant for variant in range(len(people.schema[name]))]
        shares = [(variants[rows, column] == truth[rows, column]).mean() for rows in found if rows.any()]
        said.append(f"{name} {np.mean(shares):.3f}")
    column = people.schema.names.index(phenotype)
    known = truth[:, column] != MISSING
    right = (variants[known, column] == truth[known, column]).astype(np.float64)
    return Read(by_person(right[:, None], people.identity[photo[known]])[:, 0], ", ".join(said))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--store", default=None)
    parser.add_argument("--phenotype", default="sex")
    asked = parser.parse_args()
    run, store = folder.read(asked.folder).run, Store(asked.store or default_address())
    found: dict[tuple[str, str], Read] = {}
    for cell in run["cells"]:
        place = (cell["model"], cell["poison"])
        if place not in found and not cell["failed"]:
            found[place] = read(run, store, cell["steps"], asked.phenotype)
            print(f"{place[0]}, {place[1]}: {found[place].balanced}")
    models = list(dict.fromkeys(model for model, _ in found))
    poisons = [poison for poison in dict.fromkeys(poison for _, poison in found) if poison != "none"]
    lost = {(m, p): found[m, p].right - found[m, "none"].right for m in models for p in poisons}
    tests = [(f"{m}, {p} against none", each, 1.0) for (m, p), each in lost.items()]
    tests += [
        (f"{one} against {other}, {p}: what the poison changed", lost[one, p] - lost[other, p], 2.0)
        for one, other in itertools.combinations(models, 2)
        for p in poisons
    ]
    adjusted = holm(np.array([float(p_values(each[:, None], (-end, end))[0]) for _, each, end in tests]))
    for (words, each, _), p in zip(tests, adjusted, strict=True):
        error = float(each.std(ddof=1) / len(each) ** 0.5)
        print(f"{words}: {each.mean():+.3f} (standard error {error:.3f}), p {p:.2g}, {len(each)} people")


if __name__ == "__main__":
    main()
