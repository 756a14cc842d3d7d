"""A risk for people, on a terminal."""

from __future__ import annotations

from linkbench.report import numbers
from linkbench.risk.assess import Risk
from linkbench.risk.curves import SPREAD, Curve, Spread
from linkbench.risk.reading import Reading

CAREFUL = "Only the networks named here looked, at the photos given. Others may read more; a low number is no promise."


def as_text(risk: Risk) -> str:
    """Readings, then tables of the risk."""
    count = len(risk.photos)
    lines = [f"{count} photo{'s' * (count > 1)}: {', '.join(photo.name for photo in risk.photos)}"]
    for reading, found in zip(risk.readings, risk.found, strict=True):
        lines += ["", f"{reading.name}: {reading.title}", *_read(reading)]
        for curve in found:
            lines += ["", f"  {HEADINGS[curve.attacker]}", *_table(curve)]
    if risk.demographics is not None:
        lines += ["", HEADINGS["demographics"], *_table(risk.demographics)]
    lines += ["", *about(risk), CAREFUL]
    return "\n".join(lines)


HEADINGS = {
    "predicted": "attacker predicted, who takes what is read as it is",
    "likelihood": "attacker likelihood, who knows how the predictor errs",
    "demographics": "attacker demographics, who knows the sex and looks at no photo",
}


def about(risk: Risk) -> list[str]:
    """What the numbers are of."""
    percent = round(100 * (SPREAD[1] - SPREAD[0]))
    return [
        f"Whose genome: {risk.how}. Pile: {risk.people:,} simulated people, ancestry {risk.ancestry}, "
        f"seed {risk.seed}.",
        f"Chances are exact for random piles of each size; a range holds {percent} % of mild changes of the photos and "
        "of the genomes.",
    ]


def _read(reading: Reading) -> list[str]:
    out = []
    for name, span in reading.schema.slices.items():
        values, views = reading.pooled[span], reading.views[:, span]
        said = ", ".join(
            f"{variant} {numbers.percent(float(value))}"
            for variant, value in sorted(zip(reading.schema[name], values, strict=True), key=lambda pair: -pair[1])
        )
        same = float((views.argmax(axis=1) == values.argmax()).mean())
        out.append(f"  {name:<6} {said}  (the same in {numbers.percent(same)} of mild changes)")
    return out


def _table(curve: Curve) -> list[str]:
    ks = list(curve.points[0].success)
    lines = [f"  {'pile':>10}  {'expected rank':>26}" + "".join(f"  {f'among the best {k}':>26}" for k in ks)]
    for point in curve.points:
        rank = f"{point.rank.value:,.1f} ({point.rank.low:,.1f}–{point.rank.high:,.1f})"
        cells = "".join(f"  {chance(spread):>26}" for spread in point.success.values())
        lines.append(f"  {point.size:>10,}  {rank:>26}{cells}")
    return lines


SMALLEST = 0.0001
"""Chances below are only said to be so: fewer genomes were tried than would tell them."""


def chance(spread: Spread) -> str:
    """A chance with its range."""
    if spread.value < SMALLEST:
        return f"below 0.01% (up to {numbers.percent(spread.high)})" if spread.high >= SMALLEST else "below 0.01%"
    return f"{numbers.percent(spread.value)} ({numbers.percent_range(spread.low, spread.high)})"
