"""What a run shows, in words. Whatever compares comes from the paired tests of `linkbench.results.verdicts`."""

from __future__ import annotations

from linkbench.report import names, numbers
from linkbench.results.cells import MeasuredCell, Roles, cleaned, undefended
from linkbench.results.conclusions import ANY
from linkbench.results.verdicts import Finding, Setting

MANY = 1_000_000
"""More people than this are not counted out."""

NAMED = 4
"""Defences that a sentence names."""


def headline(settings: list[Setting]) -> list[Setting]:
    """The settings that count: for each way of posting, the strongest of all models."""
    out: dict[tuple[str, ...], Setting] = {}
    for setting in settings:
        key = tuple(setting.place[name] for name in ("cohort", "genomes", "channel"))
        if key not in out or setting.place["model"] == ANY:
            out[key] = setting
    return list(out.values())


def sentences(settings: list[Setting], cells: list[MeasuredCell], parts: Roles) -> list[str]:
    """What the reader should know before any figure: for each way of posting the attack, and what defences do."""
    chosen = headline(settings)
    if len(chosen) == 1:
        only = chosen[0]
        return [attack(only), *defences(only), *resolution([only]), *_bounds(only, cells, parts)]
    out = []
    for at, setting in enumerate(chosen):
        told = " ".join([_briefly(setting) if at else attack(setting), *defences(setting)])
        out.append(f"{_where(setting, chosen)}{told}")
    bounds = [(_where(setting, chosen), text) for setting in chosen for text in _bounds(setting, cells, parts)]
    alike = len({text for _, text in bounds}) == 1
    return [*out, *resolution(chosen), *([bounds[0][1]] if alike else [f"{where}{text}" for where, text in bounds])]


def comparisons(settings: list[Setting]) -> list[str]:
    """What defences do, for each way of posting, where something else says what the attack is."""
    chosen = headline(settings)
    told = [(setting, defences(setting)) for setting in chosen]
    return [f"{_where(setting, chosen)}{' '.join(said)}" for setting, said in told if said]


def lines(settings: list[Setting], most: int = 3) -> list[str]:
    """The conclusion in a few lines, for the end of a terminal's output: the attack, and what defences do about it."""
    chosen = headline(settings)
    if len(chosen) == 1:
        return [attack(chosen[0]), *defences(chosen[0])][:most]
    told = []
    for setting in chosen[:most]:
        said = " ".join([_briefly(setting), *defences(setting)[:1]])
        told.append(f"{_where(setting, chosen)}{said}")
    more = len(chosen) - most
    return told if more <= 0 else [*told[:-1], f"{told[-1]} {more} more in report.html."]


def _briefly(setting: Setting) -> str:
    """The attack in one line."""
    if setting.plain is None:
        return attack(setting)
    value = setting.findings[setting.plain].success
    told = "" if setting.above else ", which cannot be told apart"
    return (
        f"{numbers.percent(value.value)} ({numbers.percent_range(value.low, value.high)}) linked without a defence, "
        f"{numbers.percent(setting.guess)} by guessing{told}."
    )


def _where(setting: Setting, among: list[Setting]) -> str:
    """How photos were posted, and of whom, where that differs."""
    differing = [name for name in ("cohort", "genomes", "channel") if len({one.place[name] for one in among}) > 1]
    told = [f"{'posted as' if name == 'channel' else name} {cleaned(setting.place[name])}" for name in differing]
    text = ", ".join(told)
    return f"{text[0].upper()}{text[1:]}: " if text else ""


def _name(finding: Finding) -> str:
    """A protection with its budget."""
    return names.of(finding.protection)


def attack(setting: Setting) -> str:
    """What the strongest attacker reaches where nothing is defended, and whether that is more than guessing."""
    k, n = setting.question.k, setting.question.n
    guess = f"guessing {numbers.percent(setting.guess)}"
    if setting.plain is None:
        return f"Nothing was measured without a defence (success@{k} of {n}, {guess})."
    plain = setting.findings[setting.plain]
    what = "names the right one" if k == 1 else f"has the right one among its {k} best"
    value = plain.success
    text = (
        f"Of {n} candidates, without a defence, the strongest attacker, {cleaned(plain.attacker)}, {what} for "
        f"{numbers.percent(value.value)} of the photos ({100 * setting.question.level:g}% interval "
        f"{numbers.percent_range(value.low, value.high)}); {guess}."
    )
    if setting.above:
        return text
    nothing = "That cannot be told from guessing, so nothing shows what defences are worth"
    return f"{text} {nothing}{_people(setting, setting.needed)}."


def defences(setting: Setting) -> list[str]:
    """What defences do, each against none, noise and the others; nothing where none was played or nothing to defend."""
    own = setting.defences
    if not own or setting.plain is None or not setting.above:
        return []
    out = [_leaders(setting, own)] if setting.leaders() else [_nobody(setting, own)]
    noisy = [one for one in own if one.against_none == "less" and one.against_noise in ("open", "more")]
    if noisy:
        out.append(f"Noise of the same budget may do as much as {_listed(noisy)}.")
    less = [one for one in own if one.against_none == "less" and one not in setting.leaders()]
    if less:
        out.append(f"Also less than without a defence: {_listed(less, values=True)}.")
    still = [one for one in own if one.against_none == "open"]
    if still and setting.leaders():
        out.append(f"Cannot be told from no defence: {_listed(still)}{_people(setting, _fewest(still))}.")
    worse = [one for one in own if one.against_none == "more"]
    if worse:
        out.append(f"More photos are linked than without a defence with {_listed(worse, values=True)}.")
    return out


def resolution(settings: list[Setting]) -> list[str]:
    """The smallest difference that so many people can tell; nothing where there is no defence to tell."""
    out = []
    for people in dict.fromkeys(setting.people for setting in settings):
        same = [one for one in settings if one.people == people and one.above]
        told = sorted({f"{100 * one.smallest:.1f}" for one in same if one.smallest is not None}, key=float)
        if told:
            points = told[0] if len(told) == 1 else f"{told[0]} to {told[-1]}"
            out.append(
                f"{people:,} people tell a defence from none, in four of five cases, where it leaves {points} points "
                f"less or more."
            )
    return out


def _leaders(setting: Setting, own: list[Finding]) -> str:
    safest, leaders = setting.safest(), setting.leaders()
    best = leaders[0]
    if safest is not None:
        first = f"The safest of {len(own)} defences is {_name(best)}" if len(own) > 1 else f"{_name(best)} protects"
        return f"{first}: {_left(best)}."
    others = [setting.findings[at] for at in best.equals]
    equal = f" It cannot be told from {_listed(others)}." if others else ""
    return f"{_name(best)} leaves {_left(best)}.{equal}"


def _left(finding: Finding) -> str:
    """`1.0% (0.4–3.4%), 4.5 points less (1.6 to 7.9) than without a defence`."""
    change = finding.change
    assert change is not None
    value = finding.success
    return (
        f"{numbers.percent(value.value)} ({numbers.percent_range(value.low, value.high)}) linked by "
        f"{cleaned(finding.attacker)}, {-100 * change.value:.1f} points less "
        f"({-100 * change.high:.1f} to {-100 * change.low:.1f}) than without a defence"
    )


def _nobody(setting: Setting, own: list[Finding]) -> str:
    """No defence is told from none."""
    best = min((one for one in own if one.against_none == "open"), key=lambda one: one.success.value, default=None)
    if best is None:
        return "No defence leaves less than no defence."
    value = best.success
    left = f"{numbers.percent(value.value)} ({numbers.percent_range(value.low, value.high)})"
    if len(own) == 1:
        said = f"{_name(best)} cannot be told from no defence: it leaves {left}"
    else:
        said = f"None of {len(own)} defences can be told from no defence: the lowest, {_name(best)}, leaves {left}"
    return f"{said}{_people(setting, best.needed)}."


def _people(setting: Setting, needed: int | None) -> str:
    """How many people would tell, next to how many there are."""
    if needed is None:
        return ""
    digits = 10 ** max(len(str(needed)) - 2, 0)
    number = "more than a million" if needed > MANY else f"about {-(-needed // digits) * digits:,}"
    return f"; to tell would take {number} people, here are {setting.people:,}"


def _fewest(findings: list[Finding]) -> int | None:
    return min((one.needed for one in findings if one.needed is not None), default=None)


def _listed(findings: list[Finding], values: bool = False) -> str:
    words = [f"{_name(one)} ({numbers.percent(one.success.value)})" if values else _name(one) for one in findings]
    more = len(words) - NAMED
    return "; ".join(words[:NAMED]) + (f" and {more} more" if more > 0 else "") if len(words) > 1 else words[0]


def _bounds(setting: Setting, cells: list[MeasuredCell], parts: Roles) -> list[str]:
    """What the true phenotypes would allow where nothing is defended."""
    k, n = setting.question.k, setting.question.n
    place = {name: value for name, value in setting.place.items() if value != ANY}
    same = [cell for cell in undefended(cells) if all(cell.place[name] == value for name, value in place.items())]
    reached = [(value.value, cell.attacker) for cell in same if (value := cell.at(k, n))]
    truth = [pair for pair in reached if pair[1] in parts.truth]
    known = [pair for pair in reached if pair[1] in parts.informed]
    words = []
    if known:
        share, attacker = max(known)
        words.append(f"told some true phenotypes ({attacker}) an attacker reaches {numbers.percent(share)}")
    if truth:
        words.append(f"with every phenotype known it would be {numbers.percent(max(truth)[0])}")
    text = "; ".join(words)
    return [f"{text[0].upper()}{text[1:]}."] if text else []
