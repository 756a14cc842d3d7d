"""The phenotype schema: an ordered mapping of visible traits to their variants. Data, not code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from math import prod


class Schema:
    """Phenotypes in order, each with its variants in order; also the layout of every [.., V] table.

    V is the number of variants of all phenotypes together; the variants of one phenotype are the
    columns `schema.slices[phenotype]` of such a table.
    """

    def __init__(self, phenotypes: Mapping[str, tuple[str, ...] | list[str]]) -> None:
        if not phenotypes:
            raise ValueError("a schema needs at least one phenotype")
        for name, variants in phenotypes.items():
            if len(variants) < 2 or len(set(variants)) != len(variants):
                raise ValueError(f"phenotype {name!r} needs two or more different variants, got {list(variants)}")
        self._phenotypes = {name: tuple(variants) for name, variants in phenotypes.items()}

    def __getitem__(self, phenotype: str) -> tuple[str, ...]:
        return self._phenotypes[phenotype]

    def __iter__(self) -> Iterator[str]:
        return iter(self._phenotypes)

    def __len__(self) -> int:
        return len(self._phenotypes)

    def __contains__(self, phenotype: object) -> bool:
        return phenotype in self._phenotypes

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Schema) and self.to_json() == other.to_json()

    def __hash__(self) -> int:
        return hash(tuple(self._phenotypes.items()))

    def __repr__(self) -> str:
        return f"Schema({self._phenotypes})"

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._phenotypes)

    @cached_property
    def slices(self) -> dict[str, slice]:
        """Columns of each phenotype in a [.., V] table."""
        out, start = {}, 0
        for name, variants in self._phenotypes.items():
            out[name] = slice(start, start + len(variants))
            start += len(variants)
        return out

    @property
    def width(self) -> int:
        """V, the number of variants of all phenotypes."""
        return sum(len(variants) for variants in self._phenotypes.values())

    @property
    def combinations(self) -> int:
        """How many different people the schema can tell apart: the product of the variant counts."""
        return prod(len(variants) for variants in self._phenotypes.values())

    @property
    def columns(self) -> tuple[str, ...]:
        """Column names `phenotype:variant` of a [.., V] table, as used in files."""
        return tuple(f"{name}:{variant}" for name, variants in self._phenotypes.items() for variant in variants)

    @classmethod
    def from_columns(cls, columns: list[str]) -> Schema:
        """The schema behind `phenotype:variant` columns; columns of one phenotype must stand together."""
        phenotypes: dict[str, list[str]] = {}
        last = None
        for column in columns:
            name, _, variant = column.partition(":")
            if name in phenotypes and name != last:
                raise ValueError(f"the columns of phenotype {name!r} do not stand together")
            phenotypes.setdefault(name, []).append(variant)
            last = name
        return cls(phenotypes)

    def to_json(self) -> list[list[object]]:
        return [[name, list(variants)] for name, variants in self._phenotypes.items()]

    @classmethod
    def from_json(cls, data: list[list[object]]) -> Schema:
        return cls({str(name): [str(v) for v in variants] for name, variants in data})  # type: ignore[attr-defined]


PAPER = Schema(
    {
        "sex": ("female", "male"),
        "hair": ("black", "blonde", "brown"),
        "eye": ("blue", "intermediate", "brown"),
        "skin": ("pale", "intermediate", "dark"),
    }
)
"""Venkatesaramani et al. 2021: the default schema."""

HIRISPLEX = Schema(
    {
        "sex": ("female", "male"),
        "hair": ("blond", "brown", "red", "black"),
        "eye": ("blue", "intermediate", "brown"),
        "skin": ("very-pale", "pale", "intermediate", "dark", "dark-to-black"),
    }
)
"""The classes of the HIrisPlex-S web tool (Chaitanya et al. 2018), with sex."""

SCHEMAS = {"paper": PAPER, "hirisplex": HIRISPLEX}
