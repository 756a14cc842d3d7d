"""From entries to tables: rows of one protocol and one channel, every defender against everybody it met."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from linkbench.api.budget import Budget
from linkbench.errors import InputError
from linkbench.leaderboard.entry import ChangeRecord, Entry, Interval, read, read_rerun
from linkbench.leaderboard.facts import CellFacts, Plugins
from linkbench.leaderboard.photos import CellPhotos
from linkbench.leaderboard.protocol import Protocol, model_keys, use_key
from linkbench.leaderboard.verify import check, stored_photos
from linkbench.results.cells import cleaned
from linkbench.store.store import digest_of

Badge = Literal["claimed", "recomputed", "rerun"]
BADGES: tuple[Badge, ...] = ("claimed", "recomputed", "rerun")
"""What is known of an entry's numbers, in rising order of trust."""


class Listed(NamedTuple):
    """An entry of the board and what is known of it."""

    entry: Entry
    badge: Badge
    tolerance: float | None


class Opponent(NamedTuple):
    """An attacker with the model behind it; keys are digests, names are for people."""

    model_key: str
    attacker_key: str
    model: str
    attacker: str


class Played(NamedTuple):
    """One defender against one opponent: numbers by seed, photos where they were kept."""

    success: dict[int, Interval]
    auc: dict[int, Interval]
    photos: dict[int, CellPhotos]

    def value(self, which: str = "success") -> float:
        """The number, mean over the seeds."""
        numbers: list[float] = [part[0] for part in getattr(self, which).values()]
        return sum(numbers) / len(numbers)


class Standing(NamedTuple):
    """One defence in one table.

    poison, defender: labels; epsilon: its budget, None where it has none; size: what it counts as where budgets are
    compared, the measured change where it has no epsilon and None where nothing was measured; ssim, linf: of the
    published photo and before publication, for a poison of those that it changed; milliseconds: per photo;
    yardstick: `none` or `noise` where the row is one, else empty; unpoisoned, undefended: whether poison or defender
    leave photos as they are; budget: of the defender; tailored: whether it made other photos for every model that it
    met, having seen it.
    """

    key: str
    label: str
    poison: str
    defender: str
    epsilon: float | None
    size: float | None
    played: dict[Opponent, Played]
    ssim: float | None
    linf: float | None
    milliseconds: float | None
    flags: tuple[str, ...]
    entry: str
    badge: Badge
    yardstick: str
    unpoisoned: bool
    undefended: bool
    budget: Budget
    tailored: bool = False

    @property
    def control(self) -> bool:
        """Whether it is a yardstick, no defence."""
        return bool(self.yardstick)


class Standings(NamedTuple):
    """All rows of one protocol through one channel. panel: whom every ranked row must have met."""

    protocol: Protocol
    digest: str
    channel: str
    population: int
    photos: int
    people: int
    panel: list[Opponent]
    opponents: list[Opponent]
    rows: list[Standing]
    entries: list[str]

    def complete(self, row: Standing) -> bool:
        """Whether the row met the whole panel."""
        return all(opponent in row.played for opponent in self.panel)


def entries_folder(board: Path) -> Path:
    """Where a leaderboard keeps its entries."""
    return board / "entries"


def load(board: Path) -> list[Listed]:
    """All entries of a leaderboard in order of their names, checked. Raises InputError where one does not hold."""
    out = []
    for path in sorted(entries_folder(board).glob("*.json")):
        if path.name.endswith(".rerun.json"):
            continue
        entry = read(path)
        if path.stem != entry.name:
            raise InputError(f"{path} holds the entry {entry.name!r}; name the file {entry.name}.json")
        found = check(entry)
        if found.problems:
            more = f" and {len(found.problems) - 3} more" if len(found.problems) > 3 else ""
            first = cleaned("; ".join(found.problems[:3]))
            raise InputError(
                f"{path} does not hold together: {first}{more}. Restore the file, or see "
                f"everything with: linkbench leaderboard verify {path}"
            )
        again = read_rerun(path, entry)
        badge: Badge = "rerun" if again else "recomputed" if entry.ranks is not None else "claimed"
        out.append(Listed(entry, badge, again.tolerance if again else None))
    return out


def tables(listed: list[Listed]) -> list[Standings]:
    """One table per protocol and channel; those of the protocol with most rows first."""
    groups: dict[tuple[str, str], list[Listed]] = defaultdict(list)
    for one in listed:
        for channel in one.entry.scenario["channels"]:
            groups[one.entry.protocol_digest, use_key(channel)].append(one)
    out = [_table(key, group) for (_, key), group in groups.items()]
    most: dict[str, int] = defaultdict(int)
    for table in out:
        most[table.digest] = max(most[table.digest], len(table.rows))
    return sorted(out, key=lambda table: (-most[table.digest], table.digest))


class _Part(NamedTuple):
    """The cells of one entry that belong to one row."""

    listed: Listed
    poison: dict[str, Any]
    defender: dict[str, Any]
    cells: list[Any]
    facts: CellFacts


def _table(channel_key: str, group: list[Listed]) -> Standings:
    names = _opponents(group)
    photos: dict[str, CellPhotos] = {}
    parts: dict[str, list[_Part]] = defaultdict(list)
    for listed in group:
        stored = stored_photos(listed.entry)
        photos |= {f"{listed.entry.name}/{id_}": seen for id_, seen in (stored.cells if stored else {}).items()}
        for key, part in _parts(listed, channel_key).items():
            parts[key].append(part)
    rows = [_row(key, found, names, photos) for key, found in parts.items()]
    first = group[0].entry
    met = {opponent for row in rows for opponent in row.played}
    sample = next(iter(photos.values()), None)
    return Standings(
        protocol=first.protocol,
        digest=first.protocol_digest,
        channel=cleaned(next(spec["label"] for spec in first.scenario["channels"] if use_key(spec) == channel_key)),
        population=first.population,
        photos=first.changes[0].photos,
        people=0 if sample is None else int(sample.people.max()) + 1,
        panel=_panel(first, names),
        opponents=[opponent for opponent in names.values() if opponent in met],
        rows=_distinct(rows),
        entries=[one.entry.name for one in group],
    )


def _parts(listed: Listed, channel_key: str) -> dict[str, _Part]:
    """The cells of an entry through one channel, by the key of poison and defender."""
    scenario = listed.entry.scenario
    channels = {spec["label"] for spec in scenario["channels"] if use_key(spec) == channel_key}
    played = Plugins(listed.entry)
    out: dict[str, _Part] = {}
    for cell in listed.entry.cells:
        if cell.channel in channels:
            known = played.of(cell)
            key = digest_of([use_key(known.poison), use_key(known.defender)])[:16]
            out.setdefault(key, _Part(listed, known.poison, known.defender, [], known)).cells.append(cell)
    return out


def _panel(first: Entry, names: dict[tuple[str, str], Opponent]) -> list[Opponent]:
    """Whom every ranked row must have met: the opponents of the protocol."""
    opponents = first.protocol.opponents
    models, attackers = set(opponents.models.values()), set(opponents.attackers.values())
    return [one for one in names.values() if one.model_key in models and one.attacker_key in attackers]


def _opponents(group: list[Listed]) -> dict[tuple[str, str], Opponent]:
    """Everybody whom somebody met, under the names that the first entry gave them."""
    out: dict[tuple[str, str], Opponent] = {}
    models: dict[str, str] = {}
    attackers: dict[str, str] = {}
    for listed in group:
        scenario = listed.entry.scenario
        for name, key in model_keys(scenario["models"]).items():
            models.setdefault(key, cleaned(name))
        for spec in scenario["attackers"]:
            if any(cell.attacker == spec["label"] for cell in listed.entry.cells):
                attackers.setdefault(use_key(spec), cleaned(spec["label"]))
    models, attackers = _unlike(models), _unlike(attackers)
    for model_key, model in models.items():
        for attacker_key, attacker in attackers.items():
            out[model_key, attacker_key] = Opponent(model_key, attacker_key, model, attacker)
    return out


def _unlike(names: dict[str, str]) -> dict[str, str]:
    """Names by key; those that several keys share get the beginning of the key."""
    taken = list(names.values())
    return {key: name if taken.count(name) == 1 else f"{name} ({key[:6]})" for key, name in names.items()}


def _row(
    key: str, parts: list[_Part], names: dict[tuple[str, str], Opponent], photos: dict[str, CellPhotos]
) -> Standing:
    """One row; where several entries played it, the best verified one speaks, of equals the first by name."""
    parts = sorted(parts, key=lambda part: (-BADGES.index(part.listed.badge), part.listed.entry.name))
    played: dict[Opponent, Played] = {}
    for part in parts:
        entry = part.listed.entry
        models = model_keys(entry.scenario["models"])
        attackers = {spec["label"]: use_key(spec) for spec in entry.scenario["attackers"]}
        own: dict[Opponent, Played] = {}
        for cell in part.cells:
            opponent = names[models[cell.model], attackers[cell.attacker]]
            here = own.setdefault(opponent, Played({}, {}, {}))
            here.success[cell.seed], here.auc[cell.seed] = cell.success, cell.auc
            if f"{entry.name}/{cell.id}" in photos:
                here.photos[cell.seed] = photos[f"{entry.name}/{cell.id}"]
        seeds = len(entry.protocol.data.cohorts)
        played = {**{opponent: found for opponent, found in own.items() if len(found.success) == seeds}, **played}
    best = parts[0]
    entry = best.listed.entry
    changes = {change.id: change for change in entry.changes}
    measured = _measured(best, changes)
    flags = tuple(dict.fromkeys(cleaned(flag) for part in parts for cell in part.cells for flag in cell.flags))
    return Standing(
        key=key,
        label="",
        poison=cleaned(best.poison["label"]),
        defender=cleaned(best.defender["label"]),
        epsilon=_epsilon(best),
        size=_size(best, measured),
        played=played,
        ssim=_mean([change.ssim[0] for change in measured]),
        linf=max((change.linf for change in measured), default=None),
        milliseconds=_mean([1000.0 * change.seconds / change.photos for change in measured]),
        flags=flags,
        entry=entry.name,
        badge=best.listed.badge,
        yardstick=best.facts.yardstick,
        unpoisoned=best.facts.unpoisoned,
        undefended=best.facts.undefended,
        budget=best.facts.budget,
        tailored=_tailored(best),
    )


def _tailored(part: _Part) -> bool:
    """Whether the photos that were linked, or trained on, differ between the models of one seed."""
    made: dict[int, set[tuple[str, str | None]]] = defaultdict(set)
    for cell in part.cells:
        made[cell.seed].add((cell.change, cell.poison_change))
    return any(len(changes) > 1 for changes in made.values())


def _measured(part: _Part, changes: Mapping[str, ChangeRecord]) -> list[ChangeRecord]:
    """What a row changed: photos that the attacker trains on, if they are poisoned, else those that he links."""
    if part.facts.unpoisoned:
        ids = {cell.change: None for cell in part.cells}
    else:
        ids = {cell.poison_change: None for cell in part.cells if cell.poison_change is not None}
    return [changes[id_] for id_ in ids]


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _epsilon(part: _Part) -> float | None:
    """The larger of the two budgets of poison and defender; None where neither has one."""
    given = [spec["params"].get("epsilon") for spec in (part.poison, part.defender)]
    return max((float(epsilon) for epsilon in given if epsilon is not None), default=None)


def _size(part: _Part, measured: Iterable[ChangeRecord]) -> float | None:
    if part.facts.unpoisoned or part.poison["params"].get("epsilon") is not None:
        epsilon = _epsilon(part)
        if epsilon is not None:
            return epsilon
    return max((change.linf for change in measured), default=None)


def _distinct(rows: list[Standing]) -> list[Standing]:
    """Rows with labels that tell them apart: budgets, poisons, and where that is not enough the entry's name."""
    first = [row._replace(label=row.defender if row.unpoisoned else _poisoned(row)) for row in rows]
    seen = [(row.label, row.epsilon) for row in first]
    return [
        row if seen.count((row.label, row.epsilon)) == 1 else row._replace(label=f"{row.label} [{row.entry}]")
        for row in first
    ]


def _poisoned(row: Standing) -> str:
    if not row.undefended:
        return f"{row.defender} + poison {row.poison}"
    budget = "" if row.epsilon is None else f" at {row.epsilon:.4g}"  # it has a column of its own
    return f"poison {row.poison.removesuffix(budget)}"
