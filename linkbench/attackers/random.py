"""The lower bound: an attacker that knows nothing."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from linkbench.api.base import Attacker
from linkbench.api.data import Array, Evidence, Genomes


class Random(Attacker):
    """Every genome fits every photo equally well; ties are broken at random in expectation, so success@k = k/n."""

    sees: ClassVar[frozenset[str]] = frozenset()

    def score(self, evidence: Evidence, genomes: Genomes, learned: Any) -> Array:
        return np.zeros((len(evidence), len(genomes)))
