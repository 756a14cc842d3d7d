"""Who is in the photos, as far as it is told: a genotype, some phenotypes, or nothing; and the pile to be found in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from linkbench.api import seeds
from linkbench.api.data import MISSING, Array, Genomes, strings
from linkbench.api.schema import HIRISPLEX, PAPER, SCHEMAS, Schema
from linkbench.attackers.bayes import normalised
from linkbench.errors import InputError
from linkbench.genomes.hirisplex import log_p
from linkbench.genomes.simulated import Simulated

Ancestry = Literal["ALL", "AFR", "AMR", "EAS", "EUR", "SAS"]
"""Super-populations of the 1000 Genomes Project; ALL: all five, as large as there."""

FITTING = 500
"""Genomes that stand for a person whose own is not known."""


class Pile(NamedTuple):
    """Genomes to be found among. own: int64 [r], rows of the genomes that the person may have, all equally likely;
    known: int64 [P], true variants or MISSING; how: where own comes from, in words."""

    genomes: Genomes
    own: Array
    known: Array
    how: str


def known_phenotypes(told: Mapping[str, str], schema: Schema) -> Array:
    """int64 [P], the variants told, MISSING where nothing is. Raises InputError for a name or variant that is none."""
    out = np.full(len(schema), MISSING, dtype=np.int64)
    for name, variant in told.items():
        if name not in schema:
            raise InputError(f"there is no phenotype {name!r}; the predictors know: {', '.join(schema)}")
        if variant not in schema[name]:
            raise InputError(f"{name}: there is no variant {variant!r}; there are: {', '.join(schema[name])}")
        out[schema.names.index(name)] = schema[name].index(variant)
    return out


def population(schema: Schema, ancestry: Ancestry, people: int, seed: int) -> Genomes:
    """Simulated people of an ancestry. Raises InputError for phenotypes that no genome model of linkbench has."""
    name = next((name for name, known in SCHEMAS.items() if known == schema), None)
    if name is None:
        raise InputError(
            f"the predictor reads {', '.join(schema.columns)}; genomes are known for the phenotypes of the paper and "
            f"of HIrisPlex-S ({', '.join(PAPER.columns)}; {', '.join(HIRISPLEX.columns)})"
        )
    params: dict[str, Any] = {"count": people, "schema": name}
    if ancestry != "ALL":
        assert ancestry in get_args(Ancestry)
        params["mix"] = {ancestry: 1.0}
    return Simulated.model_validate(params).build(seeds.derive(seed, "genomes"))


def of_genotype(genomes: Genomes, dosages: Array, known: Array, sex: str | None, file: Path) -> Pile:
    """The genomes with one more, that of a genotype file. Raises InputError where its sex is not clear and not told."""
    schema = genomes.schema
    column = schema.names.index("sex")
    if known[column] != MISSING:
        sex = schema["sex"][known[column]]
    if sex is None:
        raise InputError(f"{file}: the sex is not clear from the file; say it: --phenotypes sex=female")
    name = next(name for name, each in SCHEMAS.items() if each == schema)
    own = log_p(dosages[None], np.array([sex == "male"]), name)  # type: ignore[arg-type]
    told = known.copy()
    told[column] = schema["sex"].index(sex)
    table = Genomes(schema, np.append(genomes.ids, strings(["own"])), np.concatenate([genomes.log_p, own]))
    return Pile(table, np.array([len(genomes)]), told, f"the genotype in {file.name}")


def fitting(genomes: Genomes, known: Array, read: Array, seed: int) -> Pile:
    """Genomes of the pile that fit a person, drawn as likely as they are.

    known: int64 [P], true variants or MISSING; read: float64 [V], probabilities, for phenotypes that are not known.
    """
    table, weight = normalised(genomes), np.ones(len(genomes))
    for column, span in enumerate(genomes.schema.slices.values()):
        if known[column] == MISSING:
            weight *= table[:, span] @ read[span]
        else:
            weight *= table[:, span.start + known[column]]
    edges = np.cumsum(weight) / weight.sum()
    start = seeds.generator(seed, "fitting").random()
    drawn = np.searchsorted(
        edges, (np.arange(FITTING) + start) / FITTING
    )  # evenly spaced: fewer repeats than by chance
    told = [name for name, variant in zip(genomes.schema, known, strict=True) if variant != MISSING]
    how = f"{FITTING} genomes that fit " + (f"the {', '.join(told)} told" if told else "what is read from the photos")
    if told and len(told) < len(known):
        how += " and, for the rest, what is read from the photos"
    return Pile(genomes, drawn, known, how)
