"""Defences by budget, against likeness to the original, and by the model behind the attacker."""

from __future__ import annotations

from linkbench.api.rounding import HALF_STEP
from linkbench.metrics.pareto import front
from linkbench.report import names, numbers
from linkbench.report.figures.base import (
    CHANCE,
    GUESSING,
    SETTING_AXES,
    Panel,
    Section,
    colours,
    guesses,
    keys_of,
    panels_of,
    strongest,
    successes,
    switched_sizes,
)
from linkbench.report.figures.vega import Axis, Record, limited, lines, record, rows, scatter, short, wide
from linkbench.results.cells import MeasuredCell, Roles, chance, coordinates, grouped, main_attacker

BUDGET = "budget ε (largest change of a pixel)"


def by_epsilon(cells: list[MeasuredCell], parts: Roles) -> Section | None:
    """Success against the budget, one line per defender."""
    own = strongest(cells, parts)
    budgets = sorted({cell.epsilon for cell in own if cell.epsilon is not None})
    sizes = switched_sizes(own)
    if len(budgets) < 2 or not sizes:
        return None
    low, high = budgets[0], budgets[-1]
    plain = {cell.defender: "truth" for cell in own if cell.facts.undefended}
    drawn_ones = dict.fromkeys(cell.defender for cell in own if cell.epsilon is not None or cell.facts.undefended)
    looks = {**colours(drawn_ones, plain), GUESSING: CHANCE}
    panels, note = panels_of(own, SETTING_AXES)
    x = Axis(BUDGET, "plain", budgets, wide(budgets))
    drawn = []
    for title, group in panels:
        found = guesses(group, sizes, (low, high))
        for cell in sorted(group, key=lambda cell: cell.epsilon or 0.0):
            places = [low, high] if cell.facts.undefended else [cell.epsilon] if cell.epsilon is not None else []
            for at in places:
                found += successes(cell, sizes, cell.defender, at, attacker=cell.attacker)
        view = lines(looks, x, Axis("success@k"), extra=("attacker",))
        posted = sorted({cell.channel for cell in group if cell.facts.eight_bit})
        if posted and low < HALF_STEP < high:
            view = limited(view)
            found += [{"name": "", "limit": HALF_STEP, "words": "half an 8-bit step", "channel": one} for one in posted]
        drawn.append(Panel(title, view, found))
    free = dict.fromkeys(cell.defender for cell in own if cell.epsilon is None and not cell.facts.undefended)
    absent = f" Without a budget of this kind, so not here: {numbers.and_list(list(free))}." if free else ""
    return Section(
        "budget",
        "What a budget buys",
        "Success of the strongest attacker that each defence met, against the largest change that it may make to a "
        "pixel (1 is the range from black to white). Below chance is signal to an attacker who adapts, not safety."
        f"{absent}",
        keys_of(looks, looks),
        drawn,
        note=note,
        folded=True,
    )


def visibility(cells: list[MeasuredCell], parts: Roles) -> Section | None:
    """Privacy against likeness to the original photo, with the Pareto front."""
    own = [cell for cell in strongest(cells, parts) if "ssim" in cell.metrics]
    sizes = switched_sizes(own)
    if len({names.of_cell(cell) for cell in own}) < 2 or not sizes:
        return None
    looks = colours(
        dict.fromkeys(cell.defender for cell in own), {cell.defender: "truth" for cell in own if cell.facts.undefended}
    )
    panels, note = panels_of(own, SETTING_AXES)
    drawn = []
    for title, group in panels:
        found: list[Record] = []
        for cell in sorted(group, key=lambda cell: cell.epsilon or 0.0):
            seen = cell.metrics["ssim"].value
            more = {"turn": cell.epsilon or 0.0, "defence": names.of_cell(cell), "attacker": cell.attacker}
            found += successes(cell, sizes, cell.defender, seen, **more)
        for same in grouped(found, lambda row: (row["channel"], row["k"], row["n"])):
            for place in front([(row["x"], row["value"]) for row in same]):
                same[place]["front"] = True
        view = scatter(
            looks, Axis("similarity to the original (SSIM)", "plain"), Axis("success@k"), ("defence", "attacker")
        )
        drawn.append(Panel(title, view, found))
    return Section(
        "visibility",
        "What privacy costs the photo",
        "Success of the strongest attacker that each defence met against the likeness of the published photo. The "
        "lower right is best; the broad grey line joins the defences that no other beats in both.",
        keys_of(looks, looks),
        drawn,
        note=note,
    )


def robust(cells: list[MeasuredCell], parts: Roles) -> list[Section]:
    """Several models: how well each links clean photos, and what each loses under attack."""
    main = main_attacker(cells, parts)
    own = [cell for cell in cells if cell.attacker == main and cell.success]
    models = list(dict.fromkeys(cell.model for cell in own))
    if len(models) < 2 or not switched_sizes(own):
        return []
    looks = colours(models)
    found = [_clean_models(own, looks, str(main)), _bent_models(own, looks)]
    return [section for section in found if section]


def _clean_models(cells: list[MeasuredCell], looks: dict[str, str], attacker: str) -> Section | None:
    """What every model links of unchanged photos."""
    clean = [cell for cell in cells if cell.facts.undefended]
    if not clean:
        return None
    panels, note = panels_of(clean, ("cohort", "genomes", "poison"))
    sizes = switched_sizes(clean)
    drawn = []
    for title, group in panels:
        found = [
            {**record("", 0.0, value, channel=cell.channel, k=k, n=n), "row": cell.model, "guess": short(chance(k, n))}
            for cell in group for k in cell.success for n in sizes if (value := cell.at(k, n))
        ]  # fmt: skip
        drawn.append(Panel(title, rows(list(looks), {"": "s1"}, Axis("success@k"), chance=True), found))
    text = f"Success of the attacker {attacker}, by the model behind it, on unchanged photos."
    return Section(
        "models", "What robustness costs the attacker", text, [], drawn, note=note, folded=True, shared=False
    )


def _bent_models(cells: list[MeasuredCell], looks: dict[str, str]) -> Section | None:
    """What every model links of defended photos, where a defence has several budgets."""
    axes = ("cohort", "genomes", "poison", "defender")
    bent = [
        cell
        for group in grouped([cell for cell in cells if cell.epsilon is not None], lambda c: coordinates(c, axes))
        if len({cell.epsilon for cell in group}) > 1
        for cell in group
    ]
    if not bent:
        return None
    looks = {**looks, GUESSING: CHANCE}
    panels, note = panels_of(bent, axes)
    sizes = switched_sizes(bent)
    drawn = []
    for title, group in panels:
        budgets = sorted({cell.epsilon or 0.0 for cell in group})
        found = guesses(group, sizes, (budgets[0], budgets[-1]))
        for cell in sorted(group, key=lambda cell: cell.epsilon or 0.0):
            found += successes(cell, sizes, cell.model, cell.epsilon or 0.0)
        drawn.append(
            Panel(title, lines(looks, Axis(BUDGET, "plain", budgets, wide(budgets)), Axis("success@k")), found)
        )
    text = "The same attacker on defended photos. A model that holds its line is robust against that defender."
    return Section(
        "robustness", "What robustness wins the attacker", text, keys_of(looks, looks), drawn, note=note, folded=True
    )
