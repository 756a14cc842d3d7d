"""What a run shows on one screen of 80 columns: a line for each defence, and the conclusion in three lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from linkbench.report import flags_text, names, numbers
from linkbench.report.ladder import falls_at
from linkbench.results.cells import cleaned, grouped
from linkbench.results.ladders import STEPS, Ladder
from linkbench.results.verdicts import Finding, Protection, Setting

if TYPE_CHECKING:
    from linkbench.results.results import Results

ROWS = 10
"""Lines of defences on a screen."""

NAME = 28
"""Letters that a name may take there."""

COLUMNS = 3
"""Ways of posting beside each other."""

MARKS = {"less": " ↓", "more": " ↑", "open": " ="}


class Lines(NamedTuple):
    """A table for one screen: its headings, rows, how many rows were left out, and what stands below."""

    headings: list[str]
    rows: list[list[str]]
    left_out: int
    legend: str


def table(settings: Sequence[Setting], intervals: bool, ladders: Sequence[Ladder] = ()) -> Lines:
    """Of every protection what the strongest attacker reaches, by way of posting, those that leave least first; and the
    first step of the ladder that it is not shown to hold in any of them.

    settings: those that count, see `summary.headline`; only those of the first cohort and genomes are shown.
    """
    same = grouped(settings, lambda one: (one.place["cohort"], one.place["genomes"]))[0]
    shown = same[:COLUMNS]
    found = [{finding.protection: finding for finding in one.findings} for one in shown]
    order = sorted({key: None for one in found for key in one}, key=lambda key: _order(key, found))
    rows = [
        [numbers.brief(names.of(key), NAME)] + [_value(one.get(key), intervals) for one in found]
        for key in order[:ROWS]
    ]
    question = shown[0].question
    interval = f" [{100 * question.level:g}% interval]" if intervals else ""
    legend = (
        f"success@{question.k} of {question.n} in %{interval}, guessing {numbers.percent(shown[0].guess, '')}; "
        f"↓ ↑ surely less, more than none, = cannot be told"
    )
    heads = ["defence", *(cleaned(one.place["channel"]) for one in shown)]
    falls = _falls([one.place for one in shown], ladders)
    if falls:
        heads.append("falls at")
        for key, row in zip(order, rows, strict=False):
            row.append(falls.get(key, ""))
        legend += "; falls at: first step of attackers not shown to be held"
    hidden = len(settings) - len(shown)
    more = f"; {hidden} more settings: --full" if hidden else ""
    return Lines(heads, rows, len(order) - len(rows), legend + more)


def _falls(places: Sequence[Mapping[str, str]], ladders: Sequence[Ladder]) -> dict[Protection, str]:
    """By protection the first step that it falls at in any of these places."""
    steps: dict[Protection, list[str]] = {}
    for ladder in ladders:
        if ladder.plain is not None and any(ladder.place.items() <= place.items() for place in places):
            for climb in ladder.climbs:
                steps.setdefault(climb.protection, []).append(falls_at(climb))
    order = [*STEPS, numbers.NOTHING]
    return {protection: min(met, key=order.index) for protection, met in steps.items()}


def _order(key: Protection, found: Sequence[dict[Protection, Finding]]) -> tuple[int, float]:
    own = [one[key] for one in found if key in one]
    return {"none": 0, "noise": 1}.get(own[0].yardstick, 2), max(finding.success.value for finding in own)


def _value(finding: Finding | None, intervals: bool) -> str:
    if finding is None:
        return numbers.NOTHING
    value = finding.success
    ends = f" [{numbers.percent_range(value.low, value.high, '')}]" if intervals else ""
    return f"{numbers.percent(value.value, '')}{MARKS.get(finding.against_none or '', '  ')}{ends}"


def conclusion(settings: Sequence[Setting], most: int = 3) -> list[str]:
    """Three lines at most: what is linked without a defence, what defences do about it, and what could be told."""
    if len(settings) == 1:
        only = settings[0]
        return list(filter(None, [f"{_attack(only)}.", _defences(only), _resolution(only)]))[:most]
    out = []
    for setting in settings[:most]:
        where = cleaned(setting.place["channel"])
        out.append(f"{where}: {_attack(setting, short=True)}. {_defences(setting)}".strip())
    hidden = len(settings) - most
    return [*out[:-1], f"{out[-1]} {hidden} more: --full."] if hidden > 0 else out


def _attack(setting: Setting, short: bool = False) -> str:
    if setting.plain is None:
        return "Nothing was measured without a defence"
    plain = setting.findings[setting.plain]
    value = plain.success
    told = "" if setting.above else ", not told from guessing"
    if short:
        return f"undefended {numbers.percent(value.value)}{told}"
    return (
        f"Undefended, {numbers.percent(value.value)} ({numbers.percent_range(value.low, value.high)}) found by "
        f"{numbers.brief(cleaned(plain.attacker), NAME)}{told}"
    )


def _defences(setting: Setting) -> str:
    own = setting.defences
    if not own or setting.plain is None or not setting.above:
        return ""
    leaders = setting.leaders()
    if not leaders:
        best = own[0]
        few = "No defence" if len(own) == 1 else f"None of {len(own)}"
        return f"{few} told apart; lowest {_named(best)} {numbers.percent(best.success.value)}."
    best = leaders[0]
    less = "" if best.change is None else f", {-100 * best.change.value:.1f} points less"
    left = f"{_named(best)} leaves {numbers.percent(best.success.value)}{less}"
    if setting.safest() is not None:
        return f"Safest: {left}." if len(own) > 1 else f"{left}."
    equal = [f"{len(best.equals)} not told from it"] if best.equals else []
    noise = ["noise of its budget may do as much"] if best.against_noise in ("open", "more") else []
    return f"{'; '.join([left, *equal, *noise])}."


def _named(finding: Finding) -> str:
    return numbers.brief(names.of(finding.protection), NAME)


def _resolution(setting: Setting) -> str:
    if setting.smallest is None or not setting.above:
        return ""
    return f"{setting.people:,} people tell {100 * setting.smallest:.1f} points or more apart from none."


def flags(results: Results) -> str:
    """The flags of all cells in a line, each with how often it stands there."""
    count: dict[str, int] = {}
    for cell in results.cells:
        for flag in cell.flags:
            count[flag] = count.get(flag, 0) + 1
    return ", ".join(f"{flags_text.words(flag)} ({number})" for flag, number in count.items())
