"""The leaderboard as one HTML page: no network, readable without a script, its numbers also as embedded JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from markupsafe import Markup

from linkbench.leaderboard import packed_arrays, text
from linkbench.leaderboard.board import Listed, Opponent
from linkbench.metrics.pareto import front
from linkbench.report import document, flags_text, numbers, png
from linkbench.report.document import embedded
from linkbench.report.drawings import Drawing, Drawings
from linkbench.report.figures.base import Key, Panel, Section, colours, keys_of
from linkbench.report.figures.vega import Axis, record, scatter, short
from linkbench.results.cells import Value, cleaned

if TYPE_CHECKING:
    from linkbench.leaderboard.assembly import Board, Sheet
    from linkbench.leaderboard.ranking import Place, Ranking

SHADES = 10
CONTROLS = "controls"


class Line(NamedTuple):
    """One row of the ranking as it is shown."""

    key: str
    place: Place
    ranks: str
    group: str
    bar: dict[str, float]
    worst: str
    interval: str
    opponent: str
    cost: str
    same_as_next: bool
    flags: str


class Square(NamedTuple):
    """One cell of the matrix; shade 0..SHADES, worst: whether it is the row's worst case."""

    text: str
    shade: int
    worst: bool


class Picture(NamedTuple):
    """The chart of a channel: its legend and its drawing."""

    keys: list[Key]
    drawing: Drawing


class Channel(NamedTuple):
    """Everything about one channel."""

    id: str
    label: str
    sheet: Sheet
    lines: list[Line]
    told: list[tuple[str, str, str]]
    chart: Picture | None
    models: list[tuple[str, int]]
    columns: list[Opponent]
    matrix: list[tuple[str, bool, list[Square | None]]]
    budgets: list[tuple[str, str]]


class Face(NamedTuple):
    """One example: a rendered face after a defence, and its amplified change."""

    label: str
    after: str
    change: str


class Faces(NamedTuple):
    """The examples of one entry."""

    before: str
    gain: int
    faces: list[Face]


def render(board: Board) -> str:
    """The page. The same board gives the same bytes."""
    package = "linkbench.leaderboard"
    css = document.source("page.css") + document.source("page.css", package)
    drawings = Drawings()
    protocols = [
        [channel(sheet, f"p{at}c{index}", drawings) for index, sheet in enumerate(sheets)]
        for at, sheets in enumerate(board.protocols)
    ]
    flags = sorted({flag for sheets in board.protocols for sheet in sheets for place in sheet.ranking.places
                    for flag in place.row.flags})  # fmt: skip
    return document.render(
        package,
        css,
        drawings,
        data=Markup(embedded([data(one) for channels in protocols for one in channels])),
        protocols=protocols,
        summary=[summary(one) for channels in protocols[:1] for one in channels],
        listed=board.listed,
        faces=[found for one in board.listed if (found := faces(one))],
        flags=flags_text.explain(flags),
        text=text,
        numbers=numbers,
        cleaned=cleaned,
        level=_level(board),
        choices=range(1, 1 + max((len(channels) for channels in protocols), default=0)),
    )


def _level(board: Board) -> str:
    return f"{100 * board.protocols[0][0].table.protocol.metrics.level:g}%" if board.protocols else "95%"


def summary(one: Channel) -> list[str]:
    """A channel in a few sentences: what attackers reach, and which defences paired tests tell from none and others."""
    ranking = one.sheet.ranking
    who = text.blind(ranking.weak) if ranking.judging else text.opponents_of(ranking.weak, ranking.judging)
    said = [*who, *text.conclusion(ranking)]
    return [f"Published as {one.label}: {' '.join(said)}"] if said else []


def channel(sheet: Sheet, id_: str, drawings: Drawings) -> Channel:
    """Everything about one channel, ready to be written."""
    columns = sorted(sheet.table.opponents, key=lambda who: _order(sheet, who))
    models = [(name, sum(who.model == name for who in columns)) for name in dict.fromkeys(w.model for w in columns)]
    top = max(place.worst.high for place in sheet.ranking.places)
    budgets = sorted({place.row.epsilon for place in sheet.ranking.places if place.row.epsilon is not None})
    return Channel(
        id=id_,
        label=sheet.table.channel,
        sheet=sheet,
        lines=[_line(sheet, at, top) for at in range(len(sheet.ranking.places))],
        told=[
            (text.row_name(place.row), numbers.percent(place.oracle[0]), text.opponent(place.oracle[1]))
            for place in sheet.ranking.places
            if place.oracle is not None
        ],
        chart=_chart(sheet, drawings),
        models=models,
        columns=columns,
        matrix=_matrix(sheet, columns),
        budgets=[(f"{budget!r}", numbers.epsilon(budget)) for budget in budgets],
    )


def _order(sheet: Sheet, who: Opponent) -> tuple[int, int]:
    """Columns by model, then by attacker, in the order in which the scenario named them."""
    opponents = sheet.table.opponents
    models = list(dict.fromkeys(other.model for other in opponents))
    attackers = list(dict.fromkeys(other.attacker for other in opponents))
    return models.index(who.model), attackers.index(who.attacker)


def _line(sheet: Sheet, at: int, top: float) -> Line:
    ranking: Ranking = sheet.ranking
    place = ranking.places[at]
    worst, row = place.worst, place.row
    following = at + 1 < len(ranking.places) and ranking.places[at + 1].judged
    why = sheet.table.why_unranked(row)
    chance = sheet.table.protocol.metrics.k / sheet.table.protocol.metrics.n
    return Line(
        key=row.key,
        place=place,
        ranks=text.ranks(place),
        group=text.budget_class(place),
        bar=_bar(worst.value, worst.low, worst.high, chance, top),
        worst=numbers.percent(worst.value),
        interval=numbers.percent_range(worst.low, worst.high, ""),
        opponent=text.opponent(worst.opponent),
        cost=numbers.NOTHING if row.milliseconds is None else numbers.plain(row.milliseconds),
        same_as_next=following and not ranking.apart[at][at + 1],
        flags=", ".join([*(text.flag(flag) for flag in row.flags), *([why] if why else [])]),
    )


def _bar(value: float, low: float, high: float, chance: float, top: float) -> dict[str, float]:
    """Where a bar, its interval and the mark at chance end, in percent of the highest."""
    ends = {"value": value, "low": low, "high": high, "chance": chance}
    return {name: round(100 * min(part / (top or 1.0), 1.0), 2) for name, part in ends.items()}


def _chart(sheet: Sheet, drawings: Drawings) -> Picture | None:
    """Worst-case success against likeness, colours by family of defences."""
    places = [place for place in sheet.ranking.places if place.row.ssim is not None and place.judged]
    if len(places) < 2:
        return None
    families = dict.fromkeys(_family(place) for place in places if not place.row.control)
    looks = colours([*families, CONTROLS], {CONTROLS: "truth"})
    rows = [
        record(
            CONTROLS if place.row.control else _family(place),
            float(place.row.ssim or 0.0),
            Value(place.worst.value, place.worst.low, place.worst.high),
            defence=text.row_name(place.row),
            attacker=text.opponent(place.worst.opponent),
            turn=place.row.epsilon or 0.0,
        )
        for place in sorted(places, key=lambda place: (place.row.label, place.row.epsilon or 0.0))
    ]
    for at in front([(row["x"], row["value"]) for row in rows]):
        rows[at]["front"] = True
    rules = sheet.table.protocol.metrics
    y = Axis(f"success@{rules.k} at worst, n = {rules.n}")
    view = scatter(looks, Axis("similarity to the original (SSIM)", "plain"), y, ("defence", "attacker"))
    heading = f"Privacy against similarity, {sheet.table.channel}"
    keys = keys_of(looks, {row["name"] for row in rows})
    (drawing,) = drawings.add(Section("privacy", heading, "", keys, [Panel("", view, rows)]))
    return Picture(keys, drawing)


def _family(place: Place) -> str:
    return place.row.defender.partition("(")[0].partition("/")[0]


def _matrix(sheet: Sheet, columns: list[Opponent]) -> list[tuple[str, bool, list[Square | None]]]:
    places = sheet.ranking.places
    highest = max(played.value() for place in places for played in place.row.played.values()) or 1.0

    def square(place: Place, who: Opponent) -> Square | None:
        if who not in place.row.played:
            return None
        value = place.row.played[who].value()
        return Square(numbers.percent(value, ""), round(SHADES * value / highest), who == place.worst.opponent)

    return [(text.row_name(place.row), place.row.control, [square(place, who) for who in columns]) for place in places]


def data(one: Channel) -> dict[str, Any]:
    """What the script sorts and filters by."""
    ranking = one.sheet.ranking
    return {
        "id": one.id,
        "apart": [[None if cell is None else int(cell) for cell in row] for row in ranking.apart],
        "rows": [
            {
                "key": line.key, "label": line.place.row.label, "entry": line.place.row.entry,
                "flags": line.flags, "badge": line.place.row.badge, "control": line.place.row.control,
                "size": _short(line.place.row.size), "epsilon": _short(line.place.row.epsilon),
                "rank": line.place.rank, "class": line.group, "worst": _short(line.place.worst.value),
                "against": line.opponent, "lift": _short(line.place.lift), "auc": _short(line.place.auc),
                "ssim": _short(line.place.row.ssim), "cost": _short(line.place.row.milliseconds),
            }
            for line in one.lines
        ],
    }  # fmt: skip


def _short(value: float | None) -> float | None:
    return None if value is None else short(value)


def faces(listed: Listed) -> Faces | None:
    """The rendered faces that an entry brings."""
    entry = listed.entry
    if entry.examples is None:
        return None
    try:
        arrays = packed_arrays.unpack(entry.examples)
        before, after = arrays["before"], (arrays["before"] + arrays["change"]) % 256
    except (ValueError, KeyError):
        return None
    shape = before.shape
    if (
        len(shape) != 4
        or shape[:2] != (1, 3)
        or max(shape[2:]) > png.LARGEST
        or len(after) != len(entry.example_labels)
    ):
        return None
    change = after - before
    gain = next((gain for gain in (50, 20, 10, 5, 2) if gain * _typical(change) <= 100), 1)
    shown = np.clip(128 + gain * change, 0, 255).astype(np.uint8)
    found = [
        Face(cleaned(label), png.data_uri(photo.astype(np.uint8)), png.data_uri(difference))
        for label, photo, difference in zip(entry.example_labels, after, shown, strict=True)
        if (photo != before[0]).any()
    ]
    return Faces(png.data_uri(before[0].astype(np.uint8)), gain, found)


def _typical(change: Any) -> float:
    """The middle of the largest changes of the defences: one that changes everything must not hide the others."""
    largest = np.abs(change).max(axis=(1, 2, 3), initial=0)
    return float(np.median(largest[largest > 0])) if (largest > 0).any() else 1.0
