"""From entries to tables: rows of one protocol and one channel, every defender against everybody it met."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from linkbench.api.budget import Budget
from linkbench.errors import InputError
from linkbench.leaderboard.entry import ChangeRecord, Entry, Interval, Rerun, is_rerun, read, read_reruns
from linkbench.leaderboard.facts import CellFacts, Plugins
from linkbench.leaderboard.keeping import Register, owned_key, read_register, register_file
from linkbench.leaderboard.photos import CellPhotos
from linkbench.leaderboard.protocol import Protocol, codes_of, model_keys, use_key, who_links
from linkbench.leaderboard.signing import why_not
from linkbench.leaderboard.verify import check, stored_photos
from linkbench.results.cells import cleaned
from linkbench.store.store import digest_of

Badge = Literal["claimed", "recomputed", "rerun", "fresh"]
BADGES: tuple[Badge, ...] = ("claimed", "recomputed", "rerun", "fresh")
"""What is known of an entry's numbers, in rising order of trust."""


class Listed(NamedTuple):
    """An entry of the board and what is known of it.

    rows: those that are its own, see `linkbench.leaderboard.keeping`; reruns: those that count; remarks: why others do
    not.
    """

    entry: Entry
    badge: Badge
    rows: frozenset[str]
    reruns: tuple[Rerun, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def mark(self) -> str:
        """The badge, with the tolerance of the rerun behind it."""
        same = [one.tolerance for one in self.reruns if (one.seed is not None) == (self.badge == "fresh")]
        return f"{self.badge} ±{same[0]:g}" if self.badge in ("rerun", "fresh") and same else self.badge


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
    leave photos as they are; budget: of the defender; mark: the badge with its tolerance; tailored: whether it made
    other photos for every model that it met, having seen it.
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
    mark: str
    tailored: bool = False

    @property
    def control(self) -> bool:
        """Whether it is a yardstick, no defence."""
        return bool(self.yardstick)


class Standings(NamedTuple):
    """All rows of one protocol through one channel.

    panel: the opponents of the protocol, whom every ranked row must have met and who alone count; oracles: those that
    are told something true; opponents: everybody whom a row met.
    """

    protocol: Protocol
    digest: str
    channel: str
    population: int
    photos: int
    people: int
    panel: list[Opponent]
    oracles: list[Opponent]
    opponents: list[Opponent]
    rows: list[Standing]
    entries: list[str]

    def complete(self, row: Standing) -> bool:
        """Whether the row met the whole panel."""
        return all(opponent in row.played for opponent in self.panel)

    def why_unranked(self, row: Standing) -> str:
        """Why a row gets no rank, in words; empty where it does."""
        if not self.complete(row):
            return "did not meet all opponents"
        if row.ssim is not None and row.ssim < self.protocol.rules.least_ssim:
            return f"photos less like the originals than SSIM {self.protocol.rules.least_ssim:g}"
        if row.badge == "claimed":
            return "claimed, not recomputed"
        return ""

    def budget_class(self, row: Standing) -> float | None:
        """The smallest bound of the protocol that holds what the row changes; None where none does."""
        if row.size is None:
            return None
        return next((bound for bound in sorted(self.protocol.rules.budgets) if row.size <= bound + NEAR), None)


NEAR = 1e-4
"""Changes are measured in steps of 1/65,535."""


def entries_folder(board: Path) -> Path:
    """Where a leaderboard keeps its entries."""
    return board / "entries"


def load(board: Path) -> list[Listed]:
    """All entries of a leaderboard in order of their names, checked. Raises InputError where one does not hold."""
    register = read_register(board)
    out = []
    for path in sorted(entries_folder(board).glob("*.json")):
        if is_rerun(path):
            continue
        entry = read(path)
        if path.stem != entry.name:
            raise InputError(f"{path} holds the entry {entry.name!r}; name the file {entry.name}.json")
        check_whole(path, entry)
        owned = register.entries.get(entry.name)
        if owned is None or owned.digest != entry.digest:
            what = "is not the entry that" if owned else "is no entry that"
            raise InputError(
                f"{path} {what} {register_file(board)} lists. Take it in with: linkbench leaderboard take-in {path}"
            )
        out.append(_listed(path, entry, register))
    missing = sorted(set(register.entries) - {one.entry.name for one in out})
    if missing:
        raise InputError(f"{register_file(board)} lists {', '.join(missing)}, but {entries_folder(board)} lacks it")
    return out


def check_whole(where: Path, entry: Entry) -> None:
    """Raises InputError where an entry does not hold together."""
    found = check(entry)
    if found.problems:
        more = f" and {len(found.problems) - 3} more" if len(found.problems) > 3 else ""
        first = cleaned("; ".join(found.problems[:3]))
        raise InputError(
            f"{where} does not hold together: {first}{more}. Restore the file, or see "
            f"everything with: linkbench leaderboard verify {where}"
        )


def _listed(path: Path, entry: Entry, register: Register) -> Listed:
    counted, remarks = [], []
    for record in read_reruns(path, entry):
        why = why_not(record, entry, register)
        if why:
            remarks.append(f"a rerun does not count: {why}")
        else:
            counted.append(record)
    badge: Badge = "recomputed" if entry.ranks is not None else "claimed"
    if counted:
        badge = "fresh" if any(record.seed is not None for record in counted) else "rerun"
    rows = frozenset(register.entries[entry.name].rows)
    return Listed(entry, badge, rows, tuple(counted), tuple(remarks))


def tables(listed: list[Listed]) -> list[Standings]:
    """One table per protocol and channel; those of the protocol with most rows first."""
    groups: dict[tuple[str, str], list[Listed]] = defaultdict(list)
    for one in listed:
        for channel in one.entry.scenario["channels"]:
            groups[one.entry.protocol_digest, _channel_key(one.entry, channel)].append(one)
    out = [_table(key, group) for (_, key), group in groups.items()]
    most: dict[str, int] = defaultdict(int)
    for table in out:
        most[table.digest] = max(most[table.digest], len(table.rows))
    return sorted(out, key=lambda table: (-most[table.digest], table.digest))


def _channel_key(entry: Entry, spec: dict[str, Any]) -> str:
    """Digest of a channel with its parameters and code."""
    return digest_of([use_key(spec), codes_of([spec], entry.codes())])[:16]


class _Part(NamedTuple):
    """The cells of one entry that belong to one row."""

    listed: Listed
    poison: dict[str, Any]
    defender: dict[str, Any]
    cells: list[Any]
    facts: CellFacts


def _table(channel_key: str, group: list[Listed]) -> Standings:
    names = _opponents(group)
    rows = [
        _row(part, names, stored_cells(listed.entry))
        for listed in group
        for part in _parts(listed, channel_key).values()
        if owned_key(listed.entry, part.facts.key) in listed.rows
    ]
    first = group[0].entry
    met = {opponent for row in rows for opponent in row.played}
    sample = next((photos for row in rows for played in row.played.values() for photos in played.photos.values()), None)
    rules = first.protocol.opponents
    return Standings(
        protocol=first.protocol,
        digest=first.protocol_digest,
        channel=cleaned(
            next(spec["label"] for spec in first.scenario["channels"] if _channel_key(first, spec) == channel_key)
        ),
        population=first.population,
        photos=first.changes[0].photos if sample is None else len(sample.people),
        people=0 if sample is None else int(sample.people.max()) + 1,
        panel=_among(names, rules.models, rules.attackers),
        oracles=_among(names, rules.models, rules.oracles),
        opponents=[opponent for opponent in names.values() if opponent in met],
        rows=_distinct(rows),
        entries=[one.entry.name for one in group],
    )


def stored_cells(entry: Entry) -> dict[str, CellPhotos]:
    """What an entry keeps of every photo, by cell; empty where that was kept back."""
    stored = stored_photos(entry)
    return stored.cells if stored else {}


def _parts(listed: Listed, channel_key: str) -> dict[str, _Part]:
    """The cells of an entry through one channel, by the key of the row."""
    entry = listed.entry
    channels = {spec["label"] for spec in entry.scenario["channels"] if _channel_key(entry, spec) == channel_key}
    played = Plugins(entry)
    out: dict[str, _Part] = {}
    for cell in entry.cells:
        if cell.channel in channels:
            known = played.of(cell)
            out.setdefault(known.key, _Part(listed, known.poison, known.defender, [], known)).cells.append(cell)
    return out


def _among(
    names: dict[tuple[str, str], Opponent], models: Mapping[str, str], attackers: Mapping[str, str]
) -> list[Opponent]:
    """The opponents with one of these models and attackers."""
    known = set(models.values()), set(attackers.values())
    return [one for one in names.values() if one.model_key in known[0] and one.attacker_key in known[1]]


def _opponents(group: list[Listed]) -> dict[tuple[str, str], Opponent]:
    """Everybody whom somebody met, under the names that the first entry gave them."""
    out: dict[tuple[str, str], Opponent] = {}
    models: dict[str, str] = {}
    attackers: dict[str, str] = {}
    for listed in group:
        scenario = listed.entry.scenario
        for name, key in model_keys(scenario["models"]).items():
            models.setdefault(key, cleaned(name))
        for spec in who_links(scenario):
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


def _row(part: _Part, names: dict[tuple[str, str], Opponent], photos: Mapping[str, CellPhotos]) -> Standing:
    """One row, as the entry that owns it played it; an opponent that it did not meet with all seeds was not met."""
    entry = part.listed.entry
    models = model_keys(entry.scenario["models"])
    attackers = {spec["label"]: use_key(spec) for spec in who_links(entry.scenario)}
    own: dict[Opponent, Played] = {}
    for cell in part.cells:
        opponent = names[models[cell.model], attackers[cell.attacker]]
        here = own.setdefault(opponent, Played({}, {}, {}))
        here.success[cell.seed], here.auc[cell.seed] = cell.success, cell.auc
        if cell.id in photos:
            here.photos[cell.seed] = photos[cell.id]
    seeds = len(entry.protocol.data.people)
    changes = {change.id: change for change in entry.changes}
    measured = _measured(part, changes)
    return Standing(
        key=part.facts.key,
        label="",
        poison=cleaned(part.poison["label"]),
        defender=cleaned(part.defender["label"]),
        epsilon=_epsilon(part),
        size=_size(part, measured),
        played={opponent: found for opponent, found in own.items() if len(found.success) == seeds},
        ssim=_mean([change.ssim[0] for change in measured]),
        linf=max((change.linf for change in measured), default=None),
        milliseconds=_mean([1000.0 * change.seconds / change.photos for change in measured]),
        flags=tuple(dict.fromkeys(cleaned(flag) for cell in part.cells for flag in cell.flags)),
        entry=entry.name,
        badge=part.listed.badge,
        yardstick=part.facts.yardstick,
        unpoisoned=part.facts.unpoisoned,
        undefended=part.facts.undefended,
        budget=part.facts.budget,
        mark=part.listed.mark,
        tailored=_tailored(part),
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
