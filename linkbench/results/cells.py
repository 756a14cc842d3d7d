"""The rows of a run grouped into cells, and the questions that tables and figures ask about them."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

from linkbench.errors import InputError
from linkbench.plan.coordinates import COORDINATES
from linkbench.plan.facts import CellFacts
from linkbench.results.table import Row

T = TypeVar("T")


class Value(NamedTuple):
    """A measured number with its interval."""

    value: float
    low: float
    high: float


class MeasuredCell(NamedTuple):
    """One cell: where it stands in the grid, what it is (names in the grid are for people), and everything measured.

    success: k -> population size -> Value; metrics: the others by name, those of one k
    and population size as `success_change@1,100`; ids: the cells behind it, several
    once seeds are pooled.
    """

    place: dict[str, Any]
    ids: tuple[str, ...]
    flags: tuple[str, ...]
    success: dict[int, dict[int, Value]]
    metrics: dict[str, Value]
    facts: CellFacts

    @property
    def cohort(self) -> str:
        return str(self.place["cohort"] or "")

    @property
    def genomes(self) -> str:
        return str(self.place["genomes"] or "")

    @property
    def model(self) -> str:
        return str(self.place["model"] or "")

    @property
    def poison(self) -> str:
        return str(self.place["poison"] or "")

    @property
    def defender(self) -> str:
        return str(self.place["defender"] or "")

    @property
    def epsilon(self) -> float | None:
        """The budget; None where the defender has no such parameter."""
        return None if self.place["epsilon"] is None else float(self.place["epsilon"])

    @property
    def channel(self) -> str:
        return str(self.place["channel"] or "")

    @property
    def attacker(self) -> str:
        return str(self.place["attacker"] or "")

    @property
    def seed(self) -> int:
        return int(self.place["seed"])

    def at(self, k: int, n: int | None) -> Value | None:
        """success@k in a population of n, if measured."""
        return self.success.get(k, {}).get(n) if n is not None else None


class Failed(NamedTuple):
    """A cell without numbers: where it stands, and why."""

    place: dict[str, Any]
    stage: str
    reason: str


def cleaned(text: object) -> str:
    """A name from a file with nothing in it that steers a terminal or turns the direction of writing."""
    words = str(text)
    if words.isprintable():
        return words
    return "".join(letter if letter.isprintable() else " " if letter in "\n\t" else "\ufffd" for letter in words)


def _clean_place(place: dict[str, Any]) -> dict[str, Any]:
    return {name: cleaned(value) if isinstance(value, str) else value for name, value in place.items()}


def facts_of(run: dict[str, Any]) -> dict[str, CellFacts]:
    """What the cells of a run are, by id; nothing where an earlier linkbench did not record it.

    Raises InputError where run.json is damaged.
    """
    try:
        return {cell["id"]: CellFacts.from_json(cell["facts"]) for cell in run.get("cells", []) if "facts" in cell}
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"the facts about cells in run.json are damaged ({error!r}); run the scenario again") from None


def left_by(run: dict[str, Any], stage: str, recorded: Mapping[str, T]) -> dict[str, T]:
    """What a run recorded of a stage, by the cell's id; nothing of cells without.

    recorded: by the id of the step.
    """
    steps = {cell["id"]: cell.get("steps", {}).get(stage) for cell in run.get("cells", []) if "id" in cell}
    return {id_: recorded[step] for id_, step in steps.items() if step in recorded}


def read_cells(rows: Iterable[Row], facts: Mapping[str, CellFacts]) -> list[MeasuredCell]:
    """The cells behind the rows, in the order of the rows; what is no number counts as not measured.

    facts: what the cells are, by id; of cells that are not in it the names in the grid say so.
    """
    cells: dict[str, MeasuredCell] = {}
    flags: dict[str, dict[str, None]] = {}
    for row in rows:
        if row.cell not in cells:
            place = _clean_place({name: getattr(row, name) for name in COORDINATES})
            if place["epsilon"] is not None and not math.isfinite(place["epsilon"]):
                place["epsilon"] = None
            known = facts.get(row.cell) or CellFacts.by_name(place)
            cells[row.cell] = MeasuredCell(place, (row.cell,), (), {}, {}, known)
            flags[row.cell] = {}
        if row.flags:
            flags[row.cell].update(dict.fromkeys(filter(None, map(str.strip, cleaned(row.flags).split(";")))))
        if not math.isfinite(row.value):
            continue
        low = row.ci_low if math.isfinite(row.ci_low) else row.value
        high = row.ci_high if math.isfinite(row.ci_high) else row.value
        value = Value(row.value, low, high)
        if row.metric == "success" and row.k is not None and row.n is not None:
            cells[row.cell].success.setdefault(row.k, {})[row.n] = value
        else:
            where = "" if row.n is None else f"@{row.k},{row.n}"
            cells[row.cell].metrics[cleaned(row.metric) + where] = value
    return [cell._replace(flags=tuple(flags[id_])) for id_, cell in cells.items()]


def in_populations(cell: MeasuredCell, prefix: str) -> list[tuple[str, int, int, Value]]:
    """The metrics that begin so and were measured at k in populations of n: the rest of the name, k, n, value."""
    out = []
    for name, value in cell.metrics.items():
        metric, _, place = name.partition("@")
        if metric.startswith(prefix) and place:
            k, n = map(int, place.split(","))
            out.append((metric.removeprefix(prefix), k, n, value))
    return out


def failed_cells(run: dict[str, Any]) -> list[Failed]:
    """The cells that failed, as run.json tells them."""
    return [
        Failed(
            _clean_place({name: cell.get(name) for name in COORDINATES}),
            cleaned(why.get("stage", "")),
            cleaned(why.get("reason", "")),
        )
        for cell in run.get("cells", [])
        if (why := cell.get("failed"))
    ]


def grouped(items: Iterable[T], key: Callable[[T], Hashable]) -> list[list[T]]:
    """Items with equal keys together, in the order in which the keys first appear."""
    out: dict[Hashable, list[T]] = {}
    for item in items:
        out.setdefault(key(item), []).append(item)
    return list(out.values())


def coordinates(cell: MeasuredCell, names: Iterable[str]) -> tuple[Any, ...]:
    """The cell's place along some axes of the grid."""
    return tuple(cell.place[name] for name in names)


def pooled(cells: list[MeasuredCell]) -> list[MeasuredCell]:
    """Cells that differ in nothing but the seed, as one: mean of the values, the intervals' outer ends.

    The outer ends are never narrower than an interval over seeds and people together would be.
    """
    axes = [name for name in COORDINATES if name != "seed"]
    return [_pool(same) for same in grouped(cells, lambda cell: coordinates(cell, axes))]


def _pool(cells: list[MeasuredCell]) -> MeasuredCell:
    if len(cells) == 1:
        return cells[0]
    success: dict[int, dict[int, Value]] = {}
    for k in dict.fromkeys(k for cell in cells for k in cell.success):
        sizes = dict.fromkeys(n for cell in cells for n in cell.success.get(k, {}))
        success[k] = {n: _mean([value for cell in cells if (value := cell.at(k, n))]) for n in sizes}
    names = dict.fromkeys(name for cell in cells for name in cell.metrics)
    return MeasuredCell(
        cells[0].place,
        tuple(id_ for cell in cells for id_ in cell.ids),
        tuple(dict.fromkeys(flag for cell in cells for flag in cell.flags)),
        success,
        {name: _mean([cell.metrics[name] for cell in cells if name in cell.metrics]) for name in names},
        cells[0].facts,
    )


def _mean(values: list[Value]) -> Value:
    return Value(
        sum(value.value for value in values) / len(values),
        min(value.low for value in values),
        max(value.high for value in values),
    )


def varying(places: list[dict[str, Any]]) -> list[str]:
    """The coordinates in which some cells differ."""
    return [name for name in COORDINATES if len({place[name] for place in places}) > 1]


def top_k(cells: list[MeasuredCell]) -> list[int]:
    """Every k that was measured, in order."""
    return sorted({k for cell in cells for k in cell.success})


def sizes(cells: list[MeasuredCell]) -> list[int]:
    """Every population size that was measured, in order."""
    return sorted({n for cell in cells for measured in cell.success.values() for n in measured})


def nearest(measured: list[int], wanted: int) -> int | None:
    """The measured size nearest to the wanted one by ratio; the smaller of two equally near."""
    return min(measured, key=lambda n: (abs(math.log(n / wanted)), n)) if measured else None


def shown_sizes(cells: list[MeasuredCell]) -> list[int]:
    """The population sizes that tables show: those nearest to 10 and 100."""
    measured = sizes(cells)
    return sorted({n for wanted in (10, 100) if (n := nearest(measured, wanted)) is not None})


def chance(k: int, n: int) -> float:
    """success@k of an attacker that guesses."""
    return min(1.0, k / n)


class Roles(NamedTuple):
    """Which attackers are bounds rather than attacks, by label."""

    random: frozenset[str]
    truth: frozenset[str]
    informed: frozenset[str]

    def is_attack(self, label: str) -> bool:
        """Whether this attacker knows nothing but photos and genomes, and does not merely guess."""
        return label not in self.random | self.truth | self.informed


def roles(run: dict[str, Any]) -> Roles:
    """The attackers' parts, by what each is shown; without that record the built-in names speak for themselves."""
    sees = {cleaned(label): set(parts) for label, parts in run.get("sees", {}).items()}
    sees = sees or {"random": set(), "ground-truth": {"truth"}, "known": {"truth", "variants"}}
    return Roles(
        random=frozenset(label for label, parts in sees.items() if not parts),
        truth=frozenset(label for label, parts in sees.items() if parts == {"truth"}),
        informed=frozenset(label for label, parts in sees.items() if "truth" in parts and len(parts) > 1),
    )


def undefended(cells: list[MeasuredCell]) -> list[MeasuredCell]:
    """The cells without a defence and without poison; all of them where every cell has one."""
    plain = [cell for cell in cells if cell.facts.undefended and cell.facts.unpoisoned]
    return plain or cells


def main_attacker(cells: list[MeasuredCell], parts: Roles) -> str | None:
    """The attacker that figures about defences follow: the one that links most over all cells, else any."""
    labels = list(dict.fromkeys(cell.attacker for cell in cells))
    ks, n = top_k(cells), nearest(sizes(cells), 100)
    reached: dict[str, list[float]] = {}
    for cell in cells:
        if ks and parts.is_attack(cell.attacker) and (value := cell.at(ks[0], n)):
            reached.setdefault(cell.attacker, []).append(value.value)
    if reached:
        return max(reached, key=lambda label: sum(reached[label]) / len(reached[label]))
    return next((label for label in labels if label not in parts.random), None)


def short(labels: list[str]) -> dict[str, str]:
    """Labels without the plugin name that all of them share: `table(setting=a)` among such becomes `setting=a`."""
    bases = {label.partition("(")[0] for label in labels}
    whole = all("(" in label and label.endswith(")") for label in labels)
    if len(labels) > 1 and len(bases) == 1 and whole:
        return {label: label.partition("(")[2][:-1] for label in labels}
    return {label: label for label in labels}
