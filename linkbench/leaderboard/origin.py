"""Where the data of a run come from: what makes its cohort, who is linked, how photos look, and what a rerun needs."""

from __future__ import annotations

from typing import Any

import numpy as np

from linkbench.api.data import Array, Cohort
from linkbench.errors import InputError, PluginError, StoreError
from linkbench.leaderboard.protocol import Source
from linkbench.registry.registry import registry
from linkbench.store.store import Store, digest_of

AREAS = 4
"""Photos are compared by the mean colours of so many areas along each side."""

BLOCK = 256
"""Photos that are looked at at a time."""


def cohort_source(run: dict[str, Any]) -> Source:
    """What made the cohort: plugin, parameters without paths, and the files behind those by content."""
    identity = _cohort_steps(run)[0]["key"]["plugins"]["cohort"]
    told = {*identity["params"], *(name for name, _ in identity.get("inside", []))}
    params = {name: value for name, value in run["scenario"]["cohort"][0]["params"].items() if name in told}
    return Source(use=identity["use"], params=params, files=identity.get("files", {}))


def _cohort_steps(run: dict[str, Any]) -> list[dict[str, Any]]:
    """The step `cohort` of every seed."""
    by_seed = {cell["seed"]: cell["steps"]["cohort"] for cell in run["cells"]}
    return [{"seed": seed, **run["steps"][id_]} for seed, id_ in by_seed.items()]


def is_imaginary(scenario: dict[str, Any]) -> bool:
    """Whether the photos show nobody real; a cohort that is not installed here may be anybody's."""
    try:
        return bool(registry().load("cohort", scenario["cohort"][0]["name"]).imaginary)
    except PluginError:
        return False


def people_digest(people: Array) -> str:
    """Who is in which photo, in order. people: int64 [n], numbered by `numpy.unique`."""
    return digest_of(np.asarray(people).tolist())[:32]


def look_of(run: dict[str, Any], linked: dict[int, Array], store: Store | None) -> dict[str, list[float]]:
    """By seed the mean colours of AREAS x AREAS areas over the linked photos, four decimals; empty without a store.

    linked: by seed the rows of the cohort. Raises InputError where the store no longer holds the photos.
    """
    if store is None:
        return {}
    out = {}
    for step in _cohort_steps(run):
        if step["seed"] in linked:
            try:
                artefact = store.read(step["digest"])
            except StoreError:
                artefact = None
            if artefact is None:
                raise InputError(
                    f"the store {store.address} no longer holds the photos of seed {step['seed']}, whose look entries "
                    f"record. Run the scenario again, or name the store of the run with --store"
                )
            out[str(step["seed"])] = mean_look(Cohort.of(artefact).photos, linked[step["seed"]])
    return out


def mean_look(photos: Any, rows: Array) -> list[float]:
    """Mean colours of areas over photos uint8 [N, 3, H, W], channel by channel, in [0, 1]."""
    total = np.zeros((3, AREAS, AREAS))
    for start in range(0, len(rows), BLOCK):
        block = np.asarray(photos[rows[start : start + BLOCK]], dtype=np.float64) / 255.0
        for down, part in enumerate(np.array_split(block, AREAS, axis=2)):
            for across, area in enumerate(np.array_split(part, AREAS, axis=3)):
                total[:, down, across] += area.mean(axis=(2, 3)).sum(axis=0)
    means: list[float] = np.round(total / max(len(rows), 1), 4).reshape(-1).tolist()
    return means


def requirements(run: dict[str, Any]) -> list[str]:
    """The distributions that a rerun needs, pinned: of every plugin, and every library that decides numbers."""
    found = {plugin["distribution"]: plugin["version"] for plugin in run["plugins"]}
    waiting: list[Any] = [step["key"] for step in run["steps"].values()]
    while waiting:  # plugins stand inside plugins
        part = waiting.pop()
        if isinstance(part, dict):
            found |= {name: version for name, version in part.get("libraries", {}).items() if version}
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part
    found["linkbench"] = run["versions"]["linkbench"]
    return sorted(f"{name}=={version.partition('+')[0]}" for name, version in found.items())
