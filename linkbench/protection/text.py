"""What was done to photos, in words for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from linkbench.protection.background import HALF_A_STEP

CAREFUL = """\
Checked: the networks named above, on the written file and the postings listed. Not checked: any other network, people
who know you, other photos of you, what is written beside them. Against an attacker who trains a network on other
people's photos that he protected himself, no use of such a change was seen: success@1 among 10 of .235 [.191, .277]
with it and .235 [.196, .281] without, chance .100 (456 photos of celebrities, changes of .025, one seed). These are
measurements, no promise of safety.
"""


POISONED = """\
Measured on rendered faces, one seed, intervals of about .05 to each side; not on photos of real people:
- a network trained from nothing, to the last epoch, on photos that all carry a pattern for their sex, at 8/255.
  Balanced accuracy for sex on clean photos, chance .50: .82 without poison, .54 with rademacher, .51 with lsp (.51 to
  .57 over three seeds), .54 with autoregressive;
- the same, but the attacker chooses among usual ways to train (early stopping, JPEG, a projection): .77 without poison,
  and .75, .69 and .73 with these three;
- a network that already knows faces and learns names from albums, each with a pattern of its own, at 16/255. Its first
  name was wrong for .28 (a linear layer) and .21 (trained further) of the photos without poison, for .26 and .20 with
  rademacher, .37 and .26 with lsp: none can be told from no defence.
Not measured: one poisoned album among other people's clean photos, and networks that look at your photos without
training on them; a poison is not made to change what those see. The pattern is the same in all your photos, so it also
tells that they are one person's. No promise of safety.
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
        if (taught := record["attackers_taught_at"]) - record["epsilon"] > HALF_A_STEP:
            yield f"  attackers were taught about changes of up to {255 * taught:.3g}/255"
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
