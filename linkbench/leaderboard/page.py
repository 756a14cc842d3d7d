"""The leaderboard as one HTML page: no network, readable without a script, its numbers also as embedded JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from linkbench.leaderboard import packed_arrays, text
from linkbench.leaderboard.board import Listed, Opponent
from linkbench.report import document, dot_plot, flags_text, numbers, png, scale, svg
from linkbench.report.svg import Ids, Markup
from linkbench.results.cells import Value, cleaned

if TYPE_CHECKING:
    from linkbench.leaderboard.assembly import Board, Sheet
    from linkbench.leaderboard.ranking import Place, Ranking

SHADES = 10
BAR, TALL = 132, 16


class Line(NamedTuple):
    """One row of the ranking as it is shown."""

    key: str
    place: Place
    ranks: str
    group: str
    bar: Markup
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


class Channel(NamedTuple):
    """Everything about one channel."""

    id: str
    label: str
    sheet: Sheet
    lines: list[Line]
    told: list[tuple[str, str, str]]
    chart: Markup | None
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
    css = document.source("page.css").replace("/*choices*/", "") + document.source("page.css", package)
    protocols = [
        [channel(sheet, f"p{at}c{index}") for index, sheet in enumerate(sheets)]
        for at, sheets in enumerate(board.protocols)
    ]
    flags = sorted({flag for sheets in board.protocols for sheet in sheets for place in sheet.ranking.places
                    for flag in place.row.flags})  # fmt: skip
    return document.render(
        package,
        css,
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


def embedded(value: Any) -> str:
    """JSON that stays inside its script element, whatever names it holds."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), sort_keys=True, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def summary(one: Channel) -> list[str]:
    """A channel in a few sentences: what attackers reach, and which defences paired tests tell from none and others."""
    ranking = one.sheet.ranking
    who = text.blind(ranking.weak) if ranking.judging else text.opponents_of(ranking.weak, ranking.judging)
    said = [*who, *text.conclusion(ranking)]
    return [f"Published as {one.label}: {' '.join(said)}"] if said else []


def channel(sheet: Sheet, id_: str) -> Channel:
    """Everything about one channel, ready to be written."""
    columns = sorted(sheet.table.opponents, key=lambda who: _order(sheet, who))
    models = [(name, sum(who.model == name for who in columns)) for name in dict.fromkeys(w.model for w in columns)]
    top = max(place.worst.high for place in sheet.ranking.places)
    budgets = sorted({place.row.epsilon for place in sheet.ranking.places if place.row.epsilon is not None})
    return Channel(
        id=id_,
        label=sheet.table.channel,
        sheet=sheet,
        lines=[_line(sheet, at, scale.nice_top(top)) for at in range(len(sheet.ranking.places))],
        told=[
            (text.row_name(place.row), numbers.percent(place.oracle[0]), text.opponent(place.oracle[1]))
            for place in sheet.ranking.places
            if place.oracle is not None
        ],
        chart=_chart(sheet, id_),
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
        bar=_bar(worst.value, worst.low, worst.high, chance, top, row.control),
        worst=numbers.percent(worst.value),
        interval=numbers.percent_range(worst.low, worst.high, ""),
        opponent=text.opponent(worst.opponent),
        cost=numbers.NOTHING if row.milliseconds is None else numbers.plain(row.milliseconds),
        same_as_next=following and not ranking.apart[at][at + 1],
        flags=", ".join([*(text.flag(flag) for flag in row.flags), *([why] if why else [])]),
    )


def _bar(value: float, low: float, high: float, chance: float, top: float, control: bool) -> Markup:
    """A bar with its interval and a mark at chance."""
    across = scale.linear(0.0, top, 0, BAR - 2)
    parts = [
        svg.element("rect", {"class": "bar", "x": 0, "y": 3, "width": max(across(value), 1.5), "height": TALL - 6}),
        svg.line(across(low), TALL / 2, across(high), TALL / 2, "span"),
        svg.line(across(chance), 0, across(chance), TALL, "chance-tick"),
    ]
    css = "bars control" if control else "bars"
    return svg.element("svg", {"class": css, "viewBox": f"0 0 {BAR} {TALL}", "aria-hidden": "true"}, *parts)


def _chart(sheet: Sheet, id_: str) -> Markup | None:
    """Worst-case success against likeness, colours by family of defences."""
    places = [place for place in sheet.ranking.places if place.row.ssim is not None and place.judged]
    families = list(dict.fromkeys(_family(place) for place in places if not place.row.control))
    if len(places) < 2:
        return None
    spots = [
        dot_plot.Spot(
            place.row.label,
            f"ε {numbers.epsilon(place.row.epsilon)}" if place.row.epsilon is not None else "",
            "truth" if place.row.control else f"s{families.index(_family(place)) % 8 + 1}",
            float(place.row.ssim or 0.0),
            Value(place.worst.value, place.worst.low, place.worst.high),
        )
        for place in sorted(places, key=lambda place: (place.row.label, place.row.epsilon or 0.0))
    ]
    rules = sheet.table.protocol.metrics
    label = f"success@{rules.k} at worst, n = {rules.n}"
    top = scale.nice_top(max(spot.y.value for spot in spots), 6)
    title = f"privacy against similarity, {sheet.table.channel}"
    return dot_plot.scatter(Ids(id_), title, spots, "similarity to the original (SSIM)", label, top=min(1.0, top))


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
    return None if value is None else float(f"{value:.6g}")


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
