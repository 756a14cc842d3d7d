"""From a results folder to a leaderboard entry."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import ValidationError

from linkbench.api.data import Array, Artefact
from linkbench.errors import InputError, TensorFileError
from linkbench.leaderboard import named, packed_arrays, photos
from linkbench.leaderboard.entry import (
    DIGITS,
    VERSION,
    CellRecord,
    ChangeRecord,
    Entry,
    PluginRecord,
)
from linkbench.leaderboard.origin import cohort_source, is_imaginary, look_of, people_digest, requirements
from linkbench.leaderboard.protocol import NAMED, Data, Protocol, Source, protocol
from linkbench.leaderboard.protocol import looks as looks_at
from linkbench.plan.facts import NOTHING
from linkbench.results import folder as files
from linkbench.results.cells import cleaned
from linkbench.results.results import Results
from linkbench.results.table import Row
from linkbench.scenario.file import NAME
from linkbench.store import tensorfile
from linkbench.store.store import Store

CELL = ("id", "seed", "model", "poison", "defender", "epsilon", "channel", "attacker")
"""What an entry takes over from the cells of run.json."""

AGREE = 1.5e-6
"""The table of a run and its ranks may differ by so much: the table is written in full, entries in six decimals."""


class About(NamedTuple):
    """Who stands behind an entry: names, links to paper and code, date as YYYY-MM-DD."""

    authors: tuple[str, ...] = ()
    paper: str = ""
    source: str = ""
    date: str = ""


NOBODY = About()
"""Nothing is said of who made an entry."""


def make(
    folder: Path,
    known: Iterable[Entry] = (),
    *,
    name: str | None = None,
    about: About = NOBODY,
    keep_photos: bool | None = None,
    store: Store | None = None,
) -> Entry:
    """The entry of a finished run; it joins the largest protocol of the known entries that it meets.

    known: entries of the leaderboard; one of the same name does not count. keep_photos: whether all that is known of
    single photos is kept; by default only where they show nobody real. Without it the entry stays a claim. store: where
    the cohort's photos are, so that their look can be compared with that of others.
    Raises InputError where the run cannot be on a leaderboard, or its table does not follow from its ranks.
    """
    results = files.read(folder)
    run, scenario = results.run, results.run["scenario"]
    _check(folder, results)
    population, genomes, cells = _cells(folder, results)
    changes = _changes(folder, results, cells)
    by_seed = defaultdict(list)
    for record, seen in cells:
        by_seed[record.seed].append(seen)
    look = look_of(run, _linked(folder, cells), store)
    data = Data(
        cohort=cohort_source(run),
        genomes=genomes,
        population=population,
        people={str(seed): people_digest(seen[0].people) for seed, seen in by_seed.items()},
        look=look,
    )
    codes = {(one["kind"], one["use"]): one["code"] for one in run["plugins"]}
    own = protocol(scenario, run["sees"], data, codes)
    if (known_as := named.played(scenario, run["sees"])) is not None:
        wanted = named.opponents_of(known_as.rules.name)
        own = protocol(scenario, run["sees"], data, codes, known_as.rules, wanted)
    title = name or scenario["name"]
    if not re.fullmatch(NAME, title):
        raise InputError(f"{title!r} cannot name an entry: use up to 64 letters, digits, '.', '_' and '-'")
    joined = [other.protocol for other in known if other.name != title and other.protocol.admits(own)]
    rules = max(joined, key=lambda other: (_size(other), other.digest()), default=own)
    examples, labels = _examples(folder)
    changed = defaultdict(list)
    for change, measured in changes:
        changed[change.seed, change.part].append(measured)
    keep = is_imaginary(scenario) if keep_photos is None else keep_photos
    entry: dict[str, Any] = {
        "leaderboard": VERSION,
        "name": title,
        **about._asdict(),
        "authors": list(about.authors),
        "protocol": rules.model_dump(mode="json"),
        "protocol_digest": rules.digest(),
        "population": population,
        "versions": run["versions"],
        "requirements": requirements(run),
        "device": run["device"],
        "machine": run["machine"],
        "plugins": [PluginRecord.model_validate(plugin).model_dump() for plugin in run["plugins"]],
        "sees": run["sees"],
        "eight_bit": {cell["channel"]: cell["facts"]["eight_bit"] for cell in run["cells"]},
        "look": look,
        "scenario": scenario,
        "failed": [_failure(cell) for cell in run["cells"] if cell["failed"]],
        "changes": [change.record() for change, _ in changes],
        "cells": [cell.record() for cell, _ in cells],
        "ranks": packed_arrays.pack(photos.arrays(by_seed, changed)) if keep else None,
        "examples": examples,
        "example_labels": labels,
    }
    try:
        made = Entry.model_validate({**entry, "digest": "0" * 64})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InputError(f"{folder} makes no entry: {place}: {first['msg'].lower()}") from None
    return made.model_copy(update={"digest": made.content()})


def _size(rules: Protocol) -> int:
    return len(rules.opponents.models) * len(rules.opponents.attackers)


def _check(folder: Path, results: Results) -> None:
    """Refuse runs that leaderboards do not cover."""
    scenario = results.run["scenario"]
    if "plugins" not in results.run:
        raise InputError(f"{folder} was made by an earlier linkbench that did not record its plugins; run it again")
    if not scenario["models"]:
        raise InputError(f"{folder} links published predictions; a leaderboard ranks defenders, which need photos")
    for section in ("cohort", "genomes"):
        if len(scenario[section]) > 1:
            raise InputError(
                f"{folder} has {len(scenario[section])} entries under {section!r}; rows of different data never share "
                f"a table. Run one scenario for each"
            )
    if not all("facts" in cell for cell in results.run["cells"]):
        raise InputError(f"{folder} was made by an earlier linkbench that did not record its budgets; run it again")
    if not any(spec["name"] == NOTHING for spec in scenario["defenders"]):
        raise InputError(
            f"{folder} has no defender 'none'; the control must always be in the table. Add it and run again"
        )
    if not any(looks_at(sees) for sees in results.run["sees"].values()):
        raise InputError(f"{folder} has no attacker that looks at photos; add 'predicted' or another one")


def _cells(folder: Path, results: Results) -> tuple[int, str, list[tuple[CellRecord, photos.CellPhotos]]]:
    """Population, digest of the genomes, and every cell of an attacker that looks at photos, in order."""
    rows: dict[str, list[Row]] = defaultdict(list)
    for row in results.rows:
        rows[row.cell].append(row)
    wanted, found = _metrics(results), set()
    seen: dict[int, list[tuple[dict[str, Any], photos.CellPhotos]]] = defaultdict(list)
    for cell in results.run["cells"]:
        if not cell["failed"] and looks_at(results.run["sees"][cell["attacker"]]):
            rank = files.read_ranks(folder, cell["id"])
            population = int(rank.meta["population"])
            found.add(
                (population, NAMED if results.run["scenario"]["identifiers"] else str(rank.meta.get("genomes", "")))
            )
            seen[cell["seed"]].append((cell, _photos(rank, folder, wanted.k, wanted.n, population)))
    if not seen:
        raise InputError(f"{folder} has no finished cell")
    if len(found) > 1:
        raise InputError(f"{folder} ranks among {len(found)} different tables of genomes; use one for all seeds")
    population, genomes = found.pop()
    if not genomes:
        raise InputError(f"{folder} was made by an earlier linkbench that did not record its genomes; run it again")
    out = []
    for seed, group in seen.items():
        measured = photos.numbers_of([own for _, own in group], wanted, population, seed)
        for (cell, own), (success, auc) in zip(group, measured, strict=True):
            for metric, number, k, n in (("success", success, wanted.k, wanted.n), ("auc_k", auc, None, None)):
                _agree(folder, cell["id"], metric, number, rows[cell["id"]], k, n)
            record = CellRecord(
                **{part: cell[part] for part in CELL},
                success=success,
                auc=auc,
                flags=list(dict.fromkeys(flag for row in rows[cell["id"]] for flag in row.flags.split(";") if flag)),
                change=cell["steps"]["quality"],
                poison_change=cell["steps"].get("poison_quality"),
                budget=cell["facts"]["budget"],
                poison_budget=cell["facts"]["poison_budget"],
            )
            out.append((record, own))
    return population, genomes, out


def _metrics(results: Results) -> Any:
    scenario = results.run["scenario"]
    placeholder = Data(cohort=Source(use="", params={}), genomes="0" * 8, population=1, people={})
    return protocol(scenario, results.run["sees"], placeholder, {}).metrics


def _linked(folder: Path, cells: list[tuple[CellRecord, photos.CellPhotos]]) -> dict[int, Array]:
    """By seed the rows of the cohort that are linked."""
    first = {record.seed: record.id for record, _ in reversed(cells)}
    return {seed: np.asarray(files.read_ranks(folder, id_).array("photo")) for seed, id_ in first.items()}


def _photos(rank: Artefact, folder: Path, k: int, n: int, population: int) -> photos.CellPhotos:
    if population < n:
        raise InputError(
            f"{folder} ranks among {population} genomes or people; leaderboards measure success@{k} in a population "
            f"of {n}. Use a larger table of genomes, or a gallery of more people"
        )
    _, people = np.unique(rank.array("identity"), return_inverse=True)
    cell = photos.CellPhotos(people.astype(np.int64), np.array(rank.array("better")), np.array(rank.array("tied")))
    if "sampled_success" not in rank.arrays:
        return cell
    sizes, ks = rank.array("sampled_sizes").tolist(), rank.array("sampled_top_k").tolist()
    if n not in sizes or k not in ks:
        raise InputError(
            f"{folder} did not measure success@{k} in a population of {n}. Add {n} to 'measure.sizes' and {k} to "
            f"'measure.top_k', and run again"
        )
    draws: Array = np.rint(rank.array("sampled_draws")[sizes.index(n)]).astype(np.int64)
    share = np.asarray(rank.array("sampled_success")[sizes.index(n), ks.index(k)])
    return cell._replace(hits=np.rint(share * draws * photos.HIT).astype(np.int64), draws=draws)


def _agree(
    folder: Path, cell: str, metric: str, number: tuple[float, ...], rows: list[Row], k: int | None, n: int | None
) -> None:
    """The table of the run must say the same as its ranks, where it has that row."""
    for row in rows:
        if row.metric == metric and (row.k, row.n) == (k, n) and abs(row.value - number[0]) > AGREE:
            raise InputError(
                f"{folder}/results.csv gives {metric} of cell {cell} as {row.value:.6f}; its ranks give "
                f"{number[0]:.6f}. One of the files was changed after the run; run the scenario again"
            )


def _changes(
    folder: Path, results: Results, cells: list[tuple[CellRecord, photos.CellPhotos]]
) -> list[tuple[ChangeRecord, photos.ChangePhotos]]:
    """What was measured of the photos behind the cells, once for every different step."""
    try:
        measured = tensorfile.read(folder / "changes.safetensors")
    except (OSError, TensorFileError) as error:
        raise InputError(f"{folder}/changes.safetensors cannot be read ({error}); run the scenario again") from None
    steps = {cell["id"]: cell["steps"] for cell in results.run["cells"]}
    metrics = _metrics(results)
    out: dict[str, tuple[ChangeRecord, photos.ChangePhotos]] = {}
    for record, _ in cells:
        for id_, stage in ((record.change, "protect"), (record.poison_change, "poison")):
            if id_ is None or id_ in out:
                continue
            if f"{id_}.identity" not in measured.arrays:
                raise InputError(f"{folder} was made by an earlier linkbench that did not record this; run it again")
            ssim, moved = (photos.fine(measured.array(f"{id_}.{name}")) for name in ("ssim", "moved"))
            _, people = np.unique(measured.array(f"{id_}.identity"), return_inverse=True)
            found = photos.ChangePhotos(people.astype(np.int64), ssim, moved)
            change = ChangeRecord(
                id=id_,
                seed=record.seed,
                ssim=photos.likeness_of([found], metrics, record.seed)[0],
                linf=round(float(moved.max() / photos.FINE), DIGITS),
                seconds=round(float(results.run["steps"][steps[record.id][stage]]["seconds"]), 3),
                photos=len(ssim),
                poison=stage == "poison",
                gallery=stage == "protect" and bool(results.run["scenario"]["identifiers"]),
            )
            out[id_] = (change, found)
    return list(out.values())


def _failure(cell: dict[str, Any]) -> str:
    place = ", ".join(str(cell[part]) for part in ("model", "poison", "defender", "channel", "attacker"))
    return cleaned(f"{place}: {cell['failed']['reason']}")[:200]


def _examples(folder: Path) -> tuple[str | None, list[str]]:
    """One face before, and after every defence as a difference, which packs well; poisons change other faces."""
    try:
        artefact = tensorfile.read(folder / "examples.safetensors")
    except (OSError, TensorFileError):
        return None, []
    before, after = (np.asarray(artefact.array(name))[:, 0] for name in ("before", "after"))
    same = [at for at in range(len(before)) if np.array_equal(before[at], before[0])]
    labels = [str(artefact.meta["labels"][at]) for at in same]
    return packed_arrays.pack({"before": before[:1], "change": after[same] - before[:1]}), labels
