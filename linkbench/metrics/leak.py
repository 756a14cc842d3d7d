"""What success an attacker can have at most, given how much his observations tell of the true phenotypes."""

from __future__ import annotations

import math

HALVINGS = 60
"""Steps of the bisection: enough for every digit of a float64 in [0, 1]."""


def success_bound(bits: float, k: int, n: int) -> float:
    """The largest success@k in a population of n of any attacker whose observations tell `bits` of the true variants.

    The s >= k/n with d(s || k/n) = bits, d the divergence of two coins in bits: Fano's inequality for lists, from data
    processing (Cover & Thomas 2006, 2.8 and 2.10); see docs/mathematics.md for what is assumed. 1 where the bits
    suffice to be certain; k/n at 0 bits or below, which estimates of mutual information may be.
    Raises ValueError unless 1 <= k <= n.
    """
    if not 1 <= k <= n:
        raise ValueError(f"a list has 1 to n = {n} genomes, not {k}")
    chance = k / n
    if bits <= 0:
        return chance
    if chance == 1 or bits >= -math.log2(chance):
        return 1.0
    low, high = chance, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if divergence(middle, chance) <= bits else (low, middle)
    return high


def divergence(s: float, chance: float) -> float:
    """d(s || chance) = s log2(s / chance) + (1 - s) log2((1 - s) / (1 - chance)), bits; chance in (0, 1)."""
    out = s * math.log2(s / chance) if s > 0 else 0.0
    return out + ((1 - s) * math.log2((1 - s) / (1 - chance)) if s < 1 else 0.0)
