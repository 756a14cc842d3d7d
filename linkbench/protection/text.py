"""What was done to photos, in words for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

CAREFUL = """\
Checked: the networks named above, on the written file and the postings listed. Not checked: any other network, people
who know you, other photos of you, what is written beside them. An attacker who trains a network on photos that this
tool protected reads most of them again: the photo still shows your face. These are measurements, no promise of safety.
"""


POISONED = """\
Helps against: whoever trains a network from nothing, to the last epoch, on photos of which each carries a pattern for
its class. Measured on rendered faces, everybody's photos poisoned by sex at 8/255, one seed, intervals of about .05 to
each side; balanced accuracy for sex on clean photos, chance .50: .82 without poison, .54 with rademacher, .51 with lsp
(.51 to .57 over three seeds), .54 with autoregressive.
Does not help against:
- an attacker who chooses among usual ways to train (early stopping, JPEG, a projection): he gets .77 without poison,
  and .75, .69 and .73 with these three;
- a network that already knows faces and learns names from albums, each with a pattern of its own, at 16/255. Its first
  name was wrong for .28 (a linear layer) and .21 (trained further) of the photos without poison, for .26 and .20 with
  rademacher, .37 and .26 with lsp: none can be told from no defence;
- a network that does not train on your photos but only looks at them: a poison is not made to change what it sees.
Not measured: one poisoned album among other people's clean photos, and photos of real people.
The pattern is the same in all your photos, so it also tells that they are one person's. No promise of safety.
"""


def of_poisoned(record: dict[str, Any]) -> Iterator[str]:
    """Lines on one poisoned photo of a manifest."""
    place = record["place"]
    alone = record["faces_left_alone"]
    yield from (f"  lost: {what}" for what in record["lost"])
    yield f"  face at ({place['x']}, {place['y']}), {place['side']} px: {_change(record['changed'])}"
    if alone:
        yield f"  {alone} smaller {'face was' if alone == 1 else 'faces were'} left alone: the pattern is one person's"
    left = ", ".join(f"{name} {100 * part:.0f} %" for name, part in record["left"].items())
    yield f"  left of the pattern: {left}"


def of_photo(record: dict[str, Any]) -> Iterator[str]:
    """Lines on one photo of a manifest, or of a comparison."""
    if "met" in record:
        word = "met" if record["met"] else "NOT met, this is the strongest change there is"
        yield f"  change of at most {255 * record['epsilon']:.3g}/255, target {word}"
    yield from (f"  lost: {what}" for what in record.get("lost", ()))
    for number, face in enumerate(record["faces"], 1):
        place = face["place"]
        yield f"  face {number} at ({place['x']}, {place['y']}), {place['side']} px: {_change(face['changed'])}"
        yield from _table(face)


def _change(changed: dict[str, float]) -> str:
    return (
        f"changed by at most {255 * changed['linf']:.0f}/255, SSIM {changed['ssim']:.3f}, "
        f"Delta E {changed['delta_e']:.1f} in the mean, {changed['delta_e_95']:.1f} at the 95th percentile"
    )


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
