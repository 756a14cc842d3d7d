"""A leaderboard as plain text: README.md for people, leaderboard.csv for programs."""

from __future__ import annotations

import csv
import html
import io
import re
from typing import TYPE_CHECKING, Any

from linkbench.leaderboard import text
from linkbench.leaderboard.keeping import rows_of
from linkbench.report import numbers
from linkbench.results.cells import cleaned
from linkbench.results.table import escaped

if TYPE_CHECKING:
    from linkbench.leaderboard.assembly import Board, Sheet
    from linkbench.leaderboard.board import Opponent
    from linkbench.leaderboard.entry import Entry
    from linkbench.leaderboard.ranking import Place

COLUMNS = (
    "protocol", "channel", "budget_class", "rank", "last_rank", "defence", "poison", "defender", "epsilon", "control",
    "worst_success", "ci_low", "ci_high", "lift", "worst_model", "worst_attacker", "apart_from_next", "auc", "ssim",
    "linf", "ms_per_photo", "pareto", "badge", "entry", "flags", "unranked", "model", "attacker", "role", "success",
    "success_low", "success_high", "cell_auc",
)  # fmt: skip


def to_csv(board: Board) -> str:
    """One line per defence and opponent; the columns up to `unranked` speak of the defence."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for sheet in (sheet for sheets in board.protocols for sheet in sheets):
        places = sheet.ranking.places
        for at, place in enumerate(places):
            own = _line(sheet, place, sheet.ranking.apart[at][at + 1] if at + 1 < len(places) else None)
            for opponent in sorted(place.row.played):
                played = place.row.played[opponent]
                low, high = (_mean(end[part] for end in played.success.values()) for part in (1, 2))
                place_of = [opponent.model, opponent.attacker, _role(sheet, opponent)]
                mine = [*place_of, played.value(), low, high, played.value("auc")]
                writer.writerow([_plain(value) for value in [*own, *mine]])
    return text.getvalue()


def _role(sheet: Sheet, who: Opponent) -> str:
    """What an opponent is to a row."""
    if who in sheet.table.oracles:
        return "oracle"
    if who in sheet.ranking.judging:
        return "counts"
    return "weak" if who in sheet.ranking.weak else "extra"


def _mean(values: Any) -> float:
    found = list(values)
    return float(sum(found) / len(found))


def _line(sheet: Sheet, place: Place, apart: bool | None) -> list[Any]:
    row, worst = place.row, place.worst
    return [
        sheet.table.digest[:12], sheet.table.channel, text.budget_class(place), place.rank, place.last, row.label,
        row.poison, row.defender, row.epsilon, row.control, worst.value, worst.low, worst.high, place.lift,
        worst.opponent.model, worst.opponent.attacker, apart, place.auc, row.ssim, row.linf, row.milliseconds,
        place.front, row.mark, row.entry, ";".join(row.flags), sheet.table.why_unranked(row),
    ]  # fmt: skip


def _plain(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else str(escaped(value))


def markdown(text: object) -> str:
    """A name as text of a table cell, whatever it holds."""
    plain = html.escape(cleaned(text), quote=False)
    return re.sub(r"([\\`*_\[\]|~#!])", r"\\\1", plain).replace("@", "&#64;").replace("://", ":&#47;/")


def readme(board: Board) -> str:
    """The page that a code host shows."""
    parts = ["# Leaderboard\n", text.INTRODUCTION + "\n"]
    if not board.protocols:
        parts.append("There is no entry yet.\n")
    for sheets in board.protocols:
        parts += _protocol(sheets)
    parts.append(text.ADD)
    if board.listed:
        parts.append("## Entries\n")
        head = ["entry", "authors", "date", "badge", "rows", "cells", "linkbench", "machine", "protocol"]
        lines = [
            [_linked(one.entry), markdown(", ".join(one.entry.authors)), one.entry.date, one.mark,
             f"{len(one.rows)} of {len(rows_of(one.entry))}", str(len(one.entry.cells)),
             markdown(one.entry.versions.get("linkbench", "")), markdown(f"{one.entry.machine}, {one.entry.device}"),
             f"`{one.entry.protocol_digest[:12]}`"]
            for one in board.listed
        ]  # fmt: skip
        parts.append(_table(head, lines, "llllrrllr"))
        parts.append("A row belongs to the entry that played it first; what others played again is not shown twice.\n")
        parts.append("".join(f"- **{name}**: {text.BADGES[name]}\n" for name in text.BADGES))
    return "\n".join(parts)


def _linked(entry: Entry) -> str:
    """The name of an entry with its paper and code."""
    links = [f"[{word}]({url})" for word, url in (("paper", entry.paper), ("code", entry.source)) if url]
    safe = [link for link in links if not set("()<>") & set(link[link.index("](") + 2 : -1])]
    return " ".join([markdown(entry.name), *safe])


def _protocol(sheets: list[Sheet]) -> list[str]:
    table = sheets[0].table
    rules = table.protocol.metrics
    parts = [
        f"## Protocol {markdown(table.protocol.rules.name)} `{table.digest[:12]}`\n".replace("  ", " "),
        f"{table.photos} photos against {text.among(table)}. Numbers are success@{rules.k} in a population of "
        f"{rules.n}, where chance is {numbers.percent(rules.k / rules.n)}, with {100 * rules.level:g} % intervals over "
        f"people. Less alike than SSIM {table.protocol.rules.least_ssim:g}: no rank.\n",
    ]
    for sheet in sheets:
        parts.append(f"### Defences, photos published as {markdown(sheet.table.channel)}\n")
        said = [*text.opponents_of(sheet.ranking.weak, sheet.ranking.judging), *text.conclusion(sheet.ranking)]
        parts.append(f"{markdown(' '.join(said))}\n")
        head = ["class", "rank", "defence", "ε", "at worst", "interval", "against", "× chance", "AUC", "SSIM",
                "ms/photo", "badge", "flags"]  # fmt: skip
        lines = [_markdown_row(sheet, at) for at in range(len(sheet.ranking.places))]
        parts.append(_table(head, lines, "lllrrrlrrrrll"))
        told = [place for place in sheet.ranking.places if place.oracle is not None]
        if told:
            parts.append(f"### Attackers who are told something, photos published as {markdown(sheet.table.channel)}\n")
            lines = [
                [markdown(text.row_name(place.row)), numbers.percent(place.oracle[0]),
                 markdown(text.opponent(place.oracle[1]))]
                for place in told if place.oracle is not None
            ]  # fmt: skip
            parts.append(_table(["defence", "at most", "by"], lines, "lrl"))
        parts.append(f"### Attackers, photos published as {markdown(sheet.table.channel)}\n")
        head = ["attacker", "mean over defences", "mean, models too", "best", "against", "no defence", "leads"]
        lines = [
            [markdown(one.attacker), numbers.percent(one.mean), numbers.percent(one.mean_models),
             numbers.percent(one.best), markdown(text.row_name(one.best_row)),
             numbers.NOTHING if one.plain is None else numbers.percent(one.plain), f"{one.leads} of {one.defences}"]
            for one in sheet.attackers
        ]  # fmt: skip
        parts.append(_table(head, lines, "lrrrlrr"))
        if sheet.games or sheet.tailored:
            parts.append(f"### The game, photos published as {markdown(sheet.table.channel)}\n")
            parts.append(f"{text.game(bool(sheet.games), sheet.tailored)}\n")
        if sheet.games:
            lines = [
                [text.budget(game.budget), numbers.percent(game.value), numbers.percent(game.pure),
                 markdown(text.mixture([(text.row_name(row), share) for row, share in game.defenders])),
                 markdown(text.mixture([(text.opponent(who), share) for who, share in game.attackers]))]
                for game in sheet.games
            ]  # fmt: skip
            parts.append(_table(["change", "value", "best alone", "defenders", "attackers"], lines, "lrrll"))
    return parts


def _markdown_row(sheet: Sheet, at: int) -> list[str]:
    place = sheet.ranking.places[at]
    row, worst = place.row, place.worst
    name = markdown(row.label)
    why = sheet.table.why_unranked(row)
    return [
        text.budget_class(place),
        text.ranks(place),
        f"*{name}*" if row.control else f"**{name}**" if place.front else name,
        numbers.epsilon(row.epsilon),
        numbers.percent(worst.value),
        numbers.percent_range(worst.low, worst.high),
        markdown(text.opponent(worst.opponent)),
        numbers.times(place.lift),
        f"{place.auc:.3f}",
        numbers.NOTHING if row.ssim is None else f"{row.ssim:.3f}",
        numbers.NOTHING if row.milliseconds is None else numbers.plain(row.milliseconds),
        row.mark,
        markdown(", ".join([*(text.flag(flag) for flag in row.flags), *([why] if why else [])])),
    ]


def _table(head: list[str], lines: list[list[str]], sides: str) -> str:
    rule = "|".join("---:" if side == "r" else "---" for side in sides)
    rows = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return f"| {' | '.join(head)} |\n|{rule}|\n{rows}"
