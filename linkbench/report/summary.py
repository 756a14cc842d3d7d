"""The findings of a run in plain words, computed from its numbers."""

from __future__ import annotations

from linkbench.report import numbers
from linkbench.report.cells import (
    MeasuredCell,
    Roles,
    Value,
    chance,
    coordinates,
    nearest,
    sizes,
    strongest,
    top_k,
    undefended,
)
from linkbench.report.defences import chosen_size
from linkbench.report.figures import panel_titles

SETTING = ("cohort", "genomes", "model", "poison", "channel")
"""What attackers in the same situation share."""


def sentences(cells: list[MeasuredCell], parts: Roles, level: str) -> list[str]:
    """What the reader should know before any figure; empty where nothing was measured."""
    plain = undefended(cells)
    ks, n = top_k(plain), nearest(sizes(plain), 100)
    if not ks or n is None:
        return []
    k = ks[0]
    attacks = [cell for cell in plain if parts.is_attack(cell.attacker) and cell.at(k, n)]
    best = strongest(attacks)
    out = []
    if best is not None:
        where = panel_titles(plain, SETTING)[coordinates(best, SETTING)]
        out.append(_attack(best, k, n, level, where, several=len(attacks) > 1))
    out += _bounds(plain, parts, k, n, best)
    out += _defence(cells, parts)
    return out


def _attack(best: MeasuredCell, k: int, n: int, level: str, where: str, several: bool) -> str:
    value = best.success[k][n]
    setting = f" ({where})" if where else ""
    who = f"the strongest attacker, {best.attacker}," if several else f"the attacker {best.attacker}"
    what = "names the right genome" if k == 1 else f"has the right genome among its {k} best"
    guess = chance(k, n)
    ratio = value.value / guess
    against = (
        f"{numbers.times(ratio)} what guessing would reach ({numbers.percent(guess)})"
        if not value.low <= guess <= value.high
        else f"not distinguishable from guessing ({numbers.percent(guess)})"
    )
    return (
        f"In a population of {n} genomes{setting}, {who} {what} for {numbers.percent(value.value)} of the photos "
        f"({level} interval {numbers.percent_range(value.low, value.high)}): {against}."
    )


def _bounds(plain: list[MeasuredCell], parts: Roles, k: int, n: int, best: MeasuredCell | None) -> list[str]:
    """What the true phenotypes would allow, in the same setting as the best attack."""
    same = plain
    if best is not None:
        same = [cell for cell in plain if coordinates(cell, SETTING) == coordinates(best, SETTING)]
    truth = [value for cell in same if cell.attacker in parts.truth and (value := cell.at(k, n))]
    known = [(cell, value) for cell in same if cell.attacker in parts.informed and (value := cell.at(k, n))]
    words = []
    if known:
        cell, value = max(known, key=lambda pair: pair[1].value)
        words.append(f"told some true phenotypes ({cell.attacker}) it reaches {numbers.percent(value.value)}")
    if truth:
        words.append(f"with every phenotype known it would reach {numbers.percent(max(truth)[0])}")
    text = "; ".join(words)
    return [f"{text[0].upper()}{text[1:]}."] if text else []


def _defence(cells: list[MeasuredCell], parts: Roles) -> list[str]:
    """The defence that leaves least to the strongest attacker of each setting."""
    n, ks = chosen_size(cells), top_k(cells)
    defended: dict[tuple[str, float | None], list[tuple[MeasuredCell, Value]]] = {}
    for cell in cells:
        if cell.defender != "none" and parts.is_attack(cell.attacker) and ks and (value := cell.at(ks[0], n)):
            defended.setdefault((cell.defender, cell.epsilon), []).append((cell, value))
    if not defended or n is None:
        return []
    # a defence is worth what it leaves to the worst attacker it met
    worst = {name: max(pairs, key=lambda pair: pair[1].value) for name, pairs in defended.items()}
    (name, budget), (cell, value) = min(worst.items(), key=lambda item: item[1][1].value)
    size = f" with ε {numbers.epsilon(budget)}" if budget is not None else ""
    return [
        f"Of {len(defended)} defences, {name}{size} protects best: the strongest attacker that it met "
        f"({cell.attacker}) reaches {numbers.percent(value.value)} at success@{ks[0]} in a population of {n}; guessing "
        f"reaches {numbers.percent(chance(ks[0], n))}."
        if len(defended) > 1
        else f"Against the defence {name}{size} the best attacker ({cell.attacker}) reaches "
        f"{numbers.percent(value.value)} at success@{ks[0]} in a population of {n}."
    ]
