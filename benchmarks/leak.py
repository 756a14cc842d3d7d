"""How many bits the predictors' outputs for the linked photos tell of the true phenotypes, from a finished run.

    python benchmarks/leak.py results/linkage-arms-race [--store STORE]

For every model, defender and channel, learned from photos that the attacker protected himself as `likelihood` does:
bits = entropy of the variants among the linked people + mean log2 P(variant | outputs). That is a lower bound on the
mutual information (Barber & Agakov 2003), below zero where the attacker's model misleads him. Intervals are over
people. Prints markdown.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from linkbench.api.data import MISSING, Artefact, Cohort, Evidence, most_likely
from linkbench.attackers.likelihood import Likelihood
from linkbench.metrics.intervals import interval
from linkbench.metrics.leak import success_bound
from linkbench.store.location import default_address
from linkbench.store.store import Store

Array = npt.NDArray[Any]


def bits(people: Cohort, linked: Artefact, own: Artefact) -> tuple[Array, Array]:
    """float64 [n, P + 1], bits by photo and phenotype and all together, NaN where unknown; identity int64 [n]."""
    taught, photo = own.array("photo"), linked.array("photo")
    training, shown = (
        Evidence(people.schema, len(table), most_likely(table, people.schema), table)
        for table in (np.asarray(each.array("probabilities")) for each in (own, linked))
    )
    learned = Likelihood(learns="protected").learn(
        replace(training, person=people.identity[taught]), people.labels[taught]
    )
    features = learned.met.features(shown)
    told = []
    for column, model in zip(people.labels[photo].T, learned.met.models, strict=True):
        known = column != MISSING
        common = np.log(np.bincount(column[known], minlength=len(model.prior)) / known.sum())
        told.append(model.posterior(features)[np.arange(len(photo)), column])
        told[-1] = np.where(known, told[-1] - common[column], np.nan) / np.log(2)
    return np.stack([*told, np.sum(told, axis=0)], axis=1), people.identity[photo]


def read(store: Store, run: dict[str, Any], cell: dict[str, Any], stage: str) -> Artefact:
    """What a stage behind a cell left in the store."""
    found = store.read(run["steps"][cell["steps"][stage]]["digest"])
    if found is None:
        raise SystemExit(f"the store does not hold {stage} of cell {cell['id']}; name the one of the run with --store")
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("--store", default=default_address())
    options = parser.parse_args()
    store = Store(options.store)
    for folder in options.results:
        run = json.loads((folder / "run.json").read_text())

        done = set()
        print(f"\n{run['scenario']['name']}\n")
        for cell in run["cells"]:
            place = tuple(str(cell[name]) for name in ("model", "defender", "epsilon", "channel", "seed"))
            if "protected" not in cell["steps"] or place in done:
                continue
            people = Cohort.of(read(store, run, cell, "cohort"))
            if not done:
                print("| model | defender | epsilon | channel | seed |", *people.schema, "all", "permits |", sep=" | ")
                print("|" + "---|" * (7 + len(people.schema)))
            done.add(place)
            values, identity = bits(people, read(store, run, cell, "predict"), read(store, run, cell, "protected"))
            cells = []
            for column in values.T:
                known = ~np.isnan(column)
                low, high = interval(column[known, None], identity[known])[:, 0]
                cells.append(f"{column[known].mean():.2f} [{low:.2f}, {high:.2f}]")
            permits = success_bound(float(np.nanmean(values[:, -1])), 1, 10)
            print("|", " | ".join([*place, *cells, f"{permits:.3f}"]), "|")


if __name__ == "__main__":
    main()
