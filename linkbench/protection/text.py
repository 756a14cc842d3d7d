"""What was protected, in words for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

CAREFUL = """\
Checked: the networks named above, on the written file and the postings listed. Not checked: any other network, people
who know you, other photos of you, what is written beside them. An attacker who trains a network on photos that this
tool protected reads most of them again: the photo still shows your face. These are measurements, no promise of safety.
"""


def of_photo(record: dict[str, Any]) -> Iterator[str]:
    """Lines on one photo of a manifest, or of a comparison."""
    if "met" in record:
        word = "met" if record["met"] else "NOT met, this is the strongest change there is"
        yield f"  change of at most {255 * record['epsilon']:.3g}/255, target {word}"
    yield from (f"  lost: {what}" for what in record.get("lost", ()))
    for number, face in enumerate(record["faces"], 1):
        place, changed = face["place"], face["changed"]
        apart, most = changed["delta_e"], changed["delta_e_95"]
        yield (
            f"  face {number} at ({place['x']}, {place['y']}), {place['side']} px: changed by at most "
            f"{255 * changed['linf']:.0f}/255, SSIM {changed['ssim']:.3f}, Delta E {apart:.1f} in the mean, "
            f"{most:.1f} at the 95th percentile"
        )
        yield from _table(face)


def _table(face: dict[str, Any]) -> Iterator[str]:
    k, size = face["success"]["k"], face["success"]["size"]
    yield (
        f"    attacker who knows the tool: rank among {face['pile']:,} genomes (1: found), success@{k} of {size} in %"
        f" (chance: {(face['pile'] + 1) / 2:.0f} and {100 * k / size:.1f})"
    )
    yield f"    {'network':<22} {'seen as':<20} {'before':>16} {'after':>16}"
    for opponent in face["opponents"]:
        name = opponent["predictor"] + ("" if opponent["seen_by_the_defence"] else " (never seen)")
        for posting, before in opponent["before"].items():
            if posting == "reads":
                continue
            after = opponent["after"][posting]
            cells = [f"{each['rank']:>8.0f} {100 * each['success']:>6.1f}" for each in (before, after)]
            yield f"    {name:<22} {posting:<20} {cells[0]:>16} {cells[1]:>16}"
            name = ""
        reads = "; ".join(
            f"{phenotype} {_most(opponent['before'], phenotype)} -> {_most(opponent['after'], phenotype)}"
            for phenotype in opponent["before"]["reads"]
        )
        yield f"    {'':<22} reads: {reads}"


def _most(seen: dict[str, Any], phenotype: str) -> str:
    """The most likely variant."""
    variants: dict[str, float] = seen["reads"][phenotype]
    best = max(variants, key=lambda name: variants[name])
    return f"{best} {variants[best]:.2f}"
