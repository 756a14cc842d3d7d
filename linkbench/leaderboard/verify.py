"""Does an entry hold together? Every number is recomputed from what is stored of every photo; no plugin is needed."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from linkbench.api.rounding import HALF_STEP
from linkbench.leaderboard import named, packed_arrays, photos
from linkbench.leaderboard.entry import CellRecord, ChangeRecord, Entry, Interval
from linkbench.leaderboard.facts import CONTROLS, OURS, Plugins, poisons_of
from linkbench.leaderboard.origin import people_digest
from linkbench.leaderboard.protocol import Protocol, Source, protocol, who_links
from linkbench.store.store import digest_of

SAME = 2e-6
"""Numbers recomputed on another machine may differ in the last of their six decimals."""

DAMAGED = (KeyError, TypeError, IndexError, AttributeError, ValueError)
"""What reading a scenario raises that is none."""


class Check(NamedTuple):
    """What was found: how many numbers were recomputed, and everything that is wrong, in words."""

    recomputed: int
    problems: list[str]


class Photos(NamedTuple):
    """What is stored of every photo, cell by cell and change by change, by their ids."""

    cells: dict[str, photos.CellPhotos]
    changes: dict[str, photos.ChangePhotos]


def stored_photos(entry: Entry) -> Photos | None:
    """What an entry keeps of every photo; None where that was kept back. Raises ValueError where it is damaged."""
    if entry.ranks is None:
        return None
    arrays = packed_arrays.unpack(entry.ranks)
    cells: dict[str, photos.CellPhotos] = {}
    changes: dict[str, photos.ChangePhotos] = {}
    for seed in dict.fromkeys(cell.seed for cell in entry.cells):
        own = [cell.id for cell in entry.cells if cell.seed == seed]
        cells |= zip(own, photos.cells_of(arrays, seed), strict=True)
        for part, changed in _changes(entry, seed):
            ids = [change.id for change in changed]
            changes |= zip(ids, photos.changes_of(arrays, seed, part), strict=True)
    return Photos(cells, changes)


def _changes(entry: Entry, seed: int) -> Iterator[tuple[str, list[ChangeRecord]]]:
    """The changes of one seed by which photos were changed."""
    for part in photos.PARTS:
        changed = [change for change in entry.changes if (change.seed, change.part) == (seed, part)]
        if changed:
            yield part, changed


def check(entry: Entry) -> Check:
    """Everything that is wrong with an entry. Its own digest comes last: it only says that something was changed."""
    problems: list[str] = []
    recomputed = 0
    try:
        problems += _scenario(entry)
    except DAMAGED as error:
        problems.append(f"the resolved scenario is damaged ({type(error).__name__}: {error})")
    try:
        stored = stored_photos(entry)
    except ValueError as error:
        stored = None
        problems.append(f"the numbers of every photo are damaged: {error}")
    if stored is not None:
        sound = [*_people(entry, stored), *_ranges(entry, stored)]
        problems += sound
        if not sound:
            for wrong in _numbers(entry, stored):
                recomputed += 1
                problems += [wrong] if wrong else []
            try:
                problems += _budgets(entry)
            except DAMAGED as error:
                problems.append(f"the budgets of the scenario are damaged ({type(error).__name__}: {error})")
    if entry.content() != entry.digest:
        problems.append(f"the content has the digest {entry.content()[:16]}, the entry says {entry.digest[:16]}")
    return Check(recomputed, problems)


def _place(cell: CellRecord) -> str:
    parts = [cell.model, cell.poison, cell.defender, "" if cell.epsilon is None else f"{cell.epsilon:g}", cell.channel]
    return f"cell {cell.id} ({', '.join(part for part in (*parts, cell.attacker) if part)})"


def _scenario(entry: Entry) -> Iterator[str]:
    """The protocol and the cells against the scenario that is said to have been run."""
    yield from _protocol(entry)
    scenario = entry.scenario
    sections = {"poisons": poisons_of(scenario), "channels": scenario["channels"], "attackers": who_links(scenario)}
    labels = {name: {spec["label"]: spec for spec in specs} for name, specs in sections.items()}
    parts = [spec for name in ("cohort", "genomes", "defenders") for spec in scenario[name]]
    parts += [model[part] for model in scenario["models"] for part in ("architecture", "recipe")]
    parts += [spec for specs in labels.values() for spec in specs.values()]
    named = {(plugin.kind, plugin.use) for plugin in entry.plugins}
    for kind, name in dict.fromkeys((spec["kind"], spec["name"]) for spec in parts):
        if (kind, name) not in named:
            yield f"no code is recorded for {kind} {name!r}"
    yield from _labels(entry, parts)
    yield from _grid(entry, {name: set(specs) for name, specs in labels.items()})


def _labels(entry: Entry, parts: list[dict[str, Any]]) -> Iterator[str]:
    """Labels under which a plugin would pass for another one, for a control above all."""
    taken = {(plugin.kind, _skeleton(plugin.use)) for plugin in entry.plugins}
    taken |= {("defender", name) for name in CONTROLS}
    for spec in parts:
        said = _skeleton(spec["label"])
        if (spec["kind"], said) in taken and said != _skeleton(spec["name"]):
            yield f"{spec['kind']} {spec['name']!r} is labelled {spec['label']!r}, which is the name of another plugin"
    for plugin in entry.plugins:
        if plugin.kind == "defender" and _skeleton(plugin.use) in CONTROLS and plugin.distribution != OURS:
            yield f"defender {plugin.use!r} of {plugin.distribution} has the name of a control"


def _skeleton(label: str) -> str:
    """What an eye sees of a label: letters and digits alone, those of one shape the same."""
    return "".join(letter for letter in unicodedata.normalize("NFKC", label).casefold() if letter.isalnum())


def _protocol(entry: Entry) -> Iterator[str]:
    """The protocol against its digest and the scenario."""
    scenario, rules = entry.scenario, entry.protocol
    if rules.digest() != entry.protocol_digest:
        yield f"the protocol has the digest {rules.digest()[:16]}, the entry says {entry.protocol_digest[:16]}"
    own = rules.data.model_copy(update={"look": entry.look, "population": entry.population})
    why = rules.differences(protocol(scenario, entry.sees, own, entry.codes(), rules.rules))
    if why:
        yield f"the scenario does not follow the protocol: {'; '.join(why)}"
    name = rules.rules.name
    if name and not (name in named.names() and named.fits(scenario, name, entry.sees)):
        yield f"the scenario does not play the protocol {name!r} of the toolkit"
    elif name and (rules.rules != named.named(name).rules or _asks_for(rules) != named.opponents_of(name)):
        yield f"the rules or opponents are not those of the protocol {name!r}"
    if len(scenario["cohort"]) != 1 or not _made_by(scenario["cohort"][0], rules.data.cohort):
        yield "the scenario has another cohort than the protocol"
    seeds = {int(seed) for seed in rules.data.people}
    if seeds != set(scenario["seeds"]) or seeds != {cell.seed for cell in entry.cells}:
        yield "the seeds of the protocol are not those of the scenario and of the cells"


def _asks_for(rules: Protocol) -> tuple[set[str], set[str]]:
    who = rules.opponents
    return set(who.models.values()), {*who.attackers.values(), *who.oracles.values()}


def _made_by(spec: dict[str, Any], source: Source) -> bool:
    """Whether a cohort of a resolved scenario has the parameters of the protocol; paths stand for files."""
    same = all(spec["params"].get(name) == value for name, value in source.params.items())
    further = set(spec["params"]) - set(source.params)
    return (
        spec["name"] == source.use
        and same
        and set(source.params) <= set(spec["params"])
        and (not further or bool(source.files))
    )


def _people(entry: Entry, stored: Photos) -> Iterator[str]:
    """The people behind the photos against those of the protocol."""
    for seed, digest in entry.protocol.data.people.items():
        first = next((stored.cells[cell.id] for cell in entry.cells if str(cell.seed) == seed), None)
        if first is not None and people_digest(first.people) != digest:
            yield (
                f"seed {seed}: {len(first.people)} photos of {len(set(first.people.tolist()))} people are not those of "
                f"the protocol; all linked people belong into an entry, with all their photos"
            )


def _grid(entry: Entry, labels: dict[str, set[str]]) -> Iterator[str]:
    """Every cell against the grid of the scenario; labels: those of poisons, channels and attackers."""
    scenario = entry.scenario
    budgets = {(spec["label"], spec["params"].get("epsilon")) for spec in scenario["defenders"]}
    models = {model["name"] for model in scenario["models"]}
    changes = {change.id: change for change in entry.changes}
    protected = "gallery" if scenario["identifiers"] else "linked"
    seen = set()
    for cell in entry.cells:
        places = all(getattr(cell, part) in labels[f"{part}s"] for part in ("poison", "channel", "attacker"))
        if (cell.defender, cell.epsilon) not in budgets:
            yield f"{_place(cell)}: the scenario plays no such defender with this epsilon"
        elif cell.model not in models or not places:
            yield f"{_place(cell)}: the scenario has no such cell"
        if cell.id != digest_of(_coordinates(cell, scenario))[:10] or cell.id in seen:
            yield f"{_place(cell)}: the id does not belong to this place of the grid"
        for id_, part in ((cell.change, protected), (cell.poison_change, "poison")):
            found = changes.get(id_ or "")
            if id_ is not None and (found is None or (found.seed, found.part) != (cell.seed, part)):
                yield f"{_place(cell)}: what was changed is not recorded"
        seen.add(cell.id)


def _coordinates(cell: CellRecord, scenario: dict[str, Any]) -> dict[str, Any]:
    place = {part: getattr(cell, part) for part in
             ("model", "poison", "defender", "epsilon", "channel", "attacker", "seed")}  # fmt: skip
    labels = {name: [spec["label"] for spec in scenario[name]] or ["none"] for name in ("cohort", "genomes")}
    return {**place, **{name: found[0] for name, found in labels.items()}}


def _ranges(entry: Entry, stored: Photos) -> Iterator[str]:
    """Ranks that no photo can have."""
    for cell in entry.cells:
        seen = stored.cells[cell.id]
        if not len(seen.people) or int((seen.better + seen.tied).max()) >= entry.population:
            yield f"{_place(cell)}: a photo ranks behind more genomes than there are"
        if seen.hits is not None and seen.draws is not None and (seen.hits > photos.HIT * seen.draws).any():
            yield f"{_place(cell)}: a photo was linked more often than it was drawn"


def _numbers(entry: Entry, stored: Photos) -> Iterator[str]:
    """One text per number: empty where it follows from the photos, else what is wrong."""
    rules = entry.protocol.metrics
    for seed in dict.fromkeys(cell.seed for cell in entry.cells):
        cells = [cell for cell in entry.cells if cell.seed == seed]
        found = photos.numbers_of([stored.cells[cell.id] for cell in cells], rules, entry.population, seed)
        for cell, (success, auc) in zip(cells, found, strict=True):
            yield _differs(f"{_place(cell)}: success@{rules.k} at n={rules.n}", cell.success, success)
            yield _differs(f"{_place(cell)}: the area under the ROC curve", cell.auc, auc)
        for _, changes in _changes(entry, seed):
            likeness = photos.likeness_of([stored.changes[change.id] for change in changes], rules, seed)
            for change, ssim in zip(changes, likeness, strict=True):
                yield _differs(f"change {change.id}: SSIM", change.ssim, ssim)
                largest = float(stored.changes[change.id].moved.max() / photos.FINE)
                yield _differs(f"change {change.id}: the largest change", (change.linf,) * 3, (largest,) * 3)


def _differs(what: str, written: Interval, found: Interval) -> str:
    if np.allclose(written, found, rtol=0.0, atol=SAME):
        return ""
    shown = (f"{number[0]:.6f} [{number[1]:.6f}, {number[2]:.6f}]" for number in (written, found))
    return f"{what} is written as {next(shown)}; the photos give {next(shown)}"


def _budgets(entry: Entry) -> Iterator[str]:
    """Recorded budgets against parameters, measured changes against budgets, and the flags that follow from both."""
    played = Plugins(entry)
    behind: dict[str, list[CellRecord]] = defaultdict(list)
    for cell in filter(played.know, entry.cells):  # of others it is said elsewhere that the scenario has no such cell
        known = played.of(cell)
        for spec, budget in ((known.defender, known.budget), (known.poison, known.poison_budget)):
            epsilon = spec["params"].get("epsilon")
            if epsilon is not None and epsilon not in (budget.radius, budget.ceiling):
                yield f"{_place(cell)}: the recorded budget of {spec['name']} is not that of its epsilon {epsilon:g}"
        for id_ in {cell.change, cell.poison_change} - {None}:
            behind[str(id_)].append(cell)
    for change in entry.changes:
        for cell in behind[change.id][:1]:
            pixel = (played.of(cell).poison_budget if change.poison else played.of(cell).budget).pixel
            if pixel is not None and change.linf > pixel + 1.0 / photos.FINE:
                yield (
                    f"{_place(cell)}: a pixel may change by {pixel:g}, but was changed by up to {change.linf:.6f}; "
                    f"the harness lets nothing leave its budget"
                )
        for cell in [] if change.poison else behind[change.id]:
            budget = played.of(cell).budget
            if budget.norm == "l2":  # how much that is of each pixel depends on the size of photos
                continue
            bound = budget.rms(1)
            lost = bound is not None and 0 < bound < HALF_STEP and entry.eight_bit.get(cell.channel, True)
            if lost != ("below-quantisation" in cell.flags):
                yield f"{_place(cell)}: the flag below-quantisation does not fit budget and channel"
