"""The baseline of all faces: an attacker who knows of a person what everybody sees, and looks at no photo."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from linkbench.api.base import Attacker
from linkbench.api.data import MISSING, Array, Evidence, Genomes
from linkbench.api.fields import PhenotypeNames
from linkbench.attackers.bayes import normalised
from linkbench.errors import InputError

ELSEWHERE = 50.0
"""How much less a genome of another ancestry scores: more than all phenotypes together may make up for."""


class Demographics(Attacker):
    """Sum of log P(true variant | genome) over the phenotypes that are known, P normalised over variants; of these
    genomes first those of the person's ancestry.

    What is found beyond this is what the face tells: most of what matches faces and genomes is sex and ancestry (Sero
    et al. 2019; Mahdi et al. 2022).
    """

    sees: ClassVar[frozenset[str]] = frozenset({"truth", "ancestry"})

    phenotypes: PhenotypeNames = Field(("sex",), description="those known of everybody")
    ancestry: bool = Field(
        False, description="whether the super-population is known, too, of the person and of the genomes"
    )

    def score(self, evidence: Evidence, genomes: Genomes, learned: Any) -> Array:
        """Raises InputError where ancestry is to be known and the genomes come without it."""
        assert evidence.truth is not None
        log_p = np.log(np.maximum(normalised(genomes), 1e-12))
        scores = np.zeros((len(evidence), len(genomes)))
        for column, (phenotype, span) in enumerate(genomes.schema.slices.items()):
            if phenotype in self.phenotypes:
                known = np.flatnonzero(evidence.truth[:, column] != MISSING)
                scores[known] += log_p[:, span][:, evidence.truth[known, column]].T
        if self.ancestry:
            if evidence.ancestry is None or genomes.ancestry is None:
                raise InputError(
                    "the attacker 'demographics' is to know ancestry, but these genomes come without it; use the "
                    "genomes 'thousand-genomes', or leave 'ancestry' out"
                )
            scores -= ELSEWHERE * (evidence.ancestry[:, None] != genomes.ancestry[None, :])
        return scores
