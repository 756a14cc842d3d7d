"""The ladder in the report: what every step of it leaves of each defence, and which is the first that breaks it."""

from __future__ import annotations

from linkbench.report import names, numbers
from linkbench.report.costs import MOST, Lines
from linkbench.report.matrices import Matrices, Matrix, Square, square
from linkbench.results.cells import cleaned
from linkbench.results.ladders import PLACE, STEPS, Climb, Ladder

NAMED = 4
"""Defences that a sentence names."""

HELD = Square("none played", "", 0)
"""What stands for the step that breaks a defence where none does."""


def tables(ladders: list[Ladder], level: str) -> Matrices | None:
    """A table for every place, a row for each defence; nothing where nothing was defended."""
    if not ladders:
        return None
    steps = played(ladders)
    columns = [*(STEPS[step] for step in steps), "headline", "first step not shown to be held"]
    found = []
    for ladder in ladders:
        values = [rung.success.value for climb in ladder.climbs for rung in climb.rungs]
        highest = max([*values, ladder.plain.success.value if ladder.plain else 0.0]) or 1.0
        judged = ladder.plain is not None
        rows = [(names.of(climb.protection), _row(climb, steps, highest, judged)) for climb in ladder.climbs]
        place = where(ladder.place, [each.place for each in ladders])
        found.append(Matrix(place, columns, rows, cleaned(ladder.place["channel"])))
    first = ladders[0]
    plain = "" if first.plain is None else (
        f" Without a defence the strongest attacker links {numbers.percent(first.plain.success.value)}"
        f"{'' if len(ladders) == 1 else ' in the first table'}; a step counts as held where a paired test, "
        "corrected over the table, shows that it links less than that; few people show little."
    )  # fmt: skip
    text = (
        f"success@{first.question.k} in a population of {first.question.n} of the strongest attacker of each step, "
        f"with {level} intervals{_not_played(steps)}. The headline is the strongest of all that were: a defence counts "
        f"for no more than that, and against no step that it did not meet.{plain}"
    )
    return Matrices("The ladder of attackers", text, found, "ladder")


def played(ladders: list[Ladder]) -> list[str]:
    """The steps that any defence met, in their order."""
    met = {rung.step for ladder in ladders for climb in ladder.climbs for rung in climb.rungs}
    return [step for step in STEPS if step in met]


def _not_played(steps: list[str]) -> str:
    missing = [name for step, name in STEPS.items() if step not in steps]
    return f"; not played: {', '.join(missing)}" if missing else ""


def _row(climb: Climb, steps: list[str], highest: float, judged: bool) -> list[Square | None]:
    """The squares of a defence; judged: whether there is something to compare it with."""
    by_step = {rung.step: square(rung.success, highest) for rung in climb.rungs}
    head = climb.headline
    broken = climb.broken_by
    fall = HELD if broken is None else Square(STEPS[broken.step], cleaned(broken.attacker), 0)
    best = square(head.success, highest)
    return [
        *(by_step.get(step) for step in steps),
        best._replace(interval=cleaned(head.attacker)),
        fall if judged else None,
    ]


def lines(ladders: list[Ladder]) -> Lines | None:
    """The tables as one, for a terminal, percentages without intervals; None where nothing was defended."""
    if not ladders:
        return None
    steps, places = played(ladders), [ladder.place for ladder in ladders]
    several = len(ladders) > 1
    headings = [("defence", False), *([("where", False)] if several else []), *((step, True) for step in steps)]
    rows = []
    for ladder in ladders:
        for climb in ladder.climbs:
            met = {rung.step: numbers.percent(rung.success.value, "") for rung in climb.rungs}
            rows.append(
                [names.of(climb.protection), *([where(ladder.place, places)] if several else [])]
                + [met.get(step, numbers.NOTHING) for step in steps]
                + [falls_at(climb) if ladder.plain else numbers.NOTHING]
            )
    return Lines([*headings, ("falls at", False)], rows[:MOST], len(rows[MOST:]))


def falls_at(climb: Climb) -> str:
    """The first step that a defence is not shown to hold, in a word."""
    return numbers.NOTHING if climb.broken_by is None else climb.broken_by.step


def where(place: dict[str, str], among: list[dict[str, str]]) -> str:
    """A place, as far as it differs from others."""
    differing = [name for name in PLACE if len({one[name] for one in among}) > 1]
    return " · ".join(f"{name} {cleaned(place[name])}" for name in differing)


def sentences(ladders: list[Ladder]) -> list[str]:
    """Which defences hold off all that they met, wherever they were played, and what nobody played."""
    judged = [ladder for ladder in ladders if ladder.plain is not None]
    if not judged:
        return []
    holding = [
        {names.of(climb.protection): None for climb in ladder.climbs if climb.broken_by is None} for ladder in judged
    ]
    held = [name for name in holding[0] if all(name in names for names in holding)]
    if held:
        more = f" and {len(held) - NAMED} more" if len(held) > NAMED else ""
        who = f"{numbers.and_list(held[:NAMED])}{more} {'hold' if len(held) > 1 else 'holds'}"
    else:
        who = "no defence is shown to hold"
    text = f"On the ladder of attackers (table below) {who} off every step that was played."
    missing = _not_played(played(judged)).removeprefix("; ").capitalize()
    return [f"{text} {missing}." if missing else text]
