"""A leaderboard as plain text: README.md for people, leaderboard.csv for programs."""

from __future__ import annotations

import csv
import html
import io
import re
from typing import TYPE_CHECKING, Any

from linkbench.leaderboard import text
from linkbench.report import numbers

if TYPE_CHECKING:
    from linkbench.leaderboard.assembly import Board, Sheet
    from linkbench.leaderboard.ranking import Place

COLUMNS = (
    "protocol", "channel", "rank", "rank_at_budget", "defence", "poison", "defender", "epsilon", "control",
    "worst_success", "ci_low", "ci_high", "lift", "worst_model", "worst_attacker", "apart_from_next", "auc", "ssim",
    "linf", "ms_per_photo", "pareto", "badge", "entry", "flags", "model", "attacker", "success", "success_low",
    "success_high", "cell_auc",
)  # fmt: skip


def to_csv(board: Board) -> str:
    """One line per defence and opponent; the columns up to `flags` speak of the defence."""
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
                mine = [opponent.model, opponent.attacker, played.value(), low, high, played.value("auc")]
                writer.writerow([_plain(value) for value in [*own, *mine]])
    return text.getvalue()


def _mean(values: Any) -> float:
    found = list(values)
    return float(sum(found) / len(found))


def _line(sheet: Sheet, place: Place, apart: bool | None) -> list[Any]:
    row, worst = place.row, place.worst
    return [
        sheet.table.digest[:12], sheet.table.channel, place.rank, place.rank_at, row.label, row.poison, row.defender,
        row.epsilon, row.control, worst.value, worst.low, worst.high, place.lift, worst.opponent.model,
        worst.opponent.attacker, apart, place.auc, row.ssim, row.linf, row.milliseconds, place.front, row.badge,
        row.entry, ";".join(row.flags),
    ]  # fmt: skip


def _plain(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def markdown(text: object) -> str:
    """A name as text of a table cell, whatever it holds."""
    return re.sub(r"([\\`*_\[\]|~#!])", r"\\\1", html.escape(str(text), quote=False)).replace("@", "&#64;")


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
        head = ["entry", "badge", "cells", "linkbench", "machine", "protocol"]
        lines = [
            [markdown(one.entry.name), one.badge, str(len(one.entry.cells)),
             markdown(one.entry.versions.get("linkbench", "")), markdown(f"{one.entry.machine}, {one.entry.device}"),
             f"`{one.entry.protocol_digest[:12]}`"]
            for one in board.listed
        ]  # fmt: skip
        parts.append(_table(head, lines, "lllllr"))
        parts.append("".join(f"- **{name}**: {text.BADGES[name]}\n" for name in text.BADGES))
    return "\n".join(parts)


def _protocol(sheets: list[Sheet]) -> list[str]:
    table = sheets[0].table
    rules = table.protocol.metrics
    parts = [
        f"## Protocol `{table.digest[:12]}`\n",
        f"{table.photos} photos against {table.population} genomes; opponents: "
        f"{numbers.and_list([markdown(f'{one.attacker} on {one.model}') for one in table.panel])}. "
        f"Numbers are success@{rules.k} in a population of {rules.n}, where chance is "
        f"{numbers.percent(rules.k / rules.n)}, with {100 * rules.level:g} % intervals over people.\n",
    ]
    for sheet in sheets:
        parts.append(f"### Defences, photos published as {markdown(sheet.table.channel)}\n")
        parts += [f"{markdown(' '.join(said))}\n" for said in [text.conclusion(sheet.ranking)] if said]
        head = ["rank", "may be", "defence", "ε", "at worst", "interval", "against", "× chance", "AUC", "SSIM",
                "ms/photo", "badge", "flags"]  # fmt: skip
        lines = [_markdown_row(sheet, at) for at in range(len(sheet.ranking.places))]
        parts.append(_table(head, lines, "rllrrrlrrrrll"))
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
    low, high = text.rank_range(sheet.ranking, at)
    name = markdown(row.label)
    return [
        "" if place.rank is None else str(place.rank),
        "" if place.rank is None else f"{low}{numbers.DASH}{high}" if low < high else str(low),
        f"*{name}*" if row.control else f"**{name}**" if place.front else name,
        numbers.epsilon(row.epsilon),
        numbers.percent(worst.value),
        numbers.percent_range(worst.low, worst.high),
        markdown(text.opponent(worst.opponent)),
        numbers.times(place.lift),
        f"{place.auc:.3f}",
        numbers.NOTHING if row.ssim is None else f"{row.ssim:.3f}",
        numbers.NOTHING if row.milliseconds is None else numbers.plain(row.milliseconds),
        row.badge,
        markdown(", ".join(text.flag(flag) for flag in row.flags)),
    ]


def _table(head: list[str], lines: list[list[str]], sides: str) -> str:
    rule = "|".join("---:" if side == "r" else "---" for side in sides)
    rows = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return f"| {' | '.join(head)} |\n|{rule}|\n{rows}"
