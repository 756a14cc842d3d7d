"""Genomes from a user's table: probabilities, or SNP dosages for HIrisPlex-S."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import ConfigDict, Field

from linkbench.api.base import GenomeSource
from linkbench.api.data import Array, Genomes, check_genomes, strings
from linkbench.api.fields import InputPath
from linkbench.api.schema import SCHEMAS, Schema
from linkbench.errors import InputError
from linkbench.genomes import hirisplex
from linkbench.genomes.genotype_files.formats import recognise
from linkbench.genomes.table_files import Rows, fault, nearest, open_rows

_DOSAGES = {"0": 0.0, "1": 1.0, "2": 2.0, "0.0": 0.0, "1.0": 1.0, "2.0": 2.0, "": np.nan, "NA": np.nan}


class _Layout(NamedTuple):
    """What the header says: the kind of table, its schema, and where in a row each thing stands."""

    kind: Literal["probabilities", "dosages"]
    schema: Schema
    identifier: int
    sex: int | None
    values: list[int]


class GenomeTable(GenomeSource):
    """A CSV or Parquet file, one genome a row, in one of two forms.

    probabilities: columns `id` and `phenotype:variant`, such as eye:blue; P(variant | genome), above 0, at most 1.
    dosages: columns `id`, `sex` (female or male), and each SNP of HIrisPlex-S, such as rs12913832 or the web
    tool's rs12913832_T: copies (0, 1, 2) of the web tool's allele, an empty cell (or NA) where unknown; rs6119471
    may be left out, and is not read.
    """

    model_config = ConfigDict(serialize_by_alias=True)

    path: InputPath = Field(description="the file; .parquet is Parquet, everything else is read as CSV")
    kind: Literal["auto", "probabilities", "dosages"] = Field(
        default="auto", description="what the numbers are; auto: as the column names say"
    )
    schema_: hirisplex.SchemaName = Field(
        default="paper",
        alias="schema",
        description="phenotypes computed from dosages; a table of probabilities names its own in its header",
    )

    @classmethod
    def trial(cls, folder: Path) -> dict[str, Any]:
        path = folder / "genomes.csv"
        table = (
            "id,sex:female,sex:male,eye:blue,eye:intermediate,eye:brown",
            "g0,0.99,0.01,0.7,0.2,0.1",
            "g1,0.02,0.98,0.1,0.2,0.7",
            "g2,0.97,0.03,0.25,0.5,0.25",
            "g3,0.05,0.95,0.3,0.1,0.6",
        )
        path.write_text("\n".join(table) + "\n", encoding="utf-8")
        return {"path": path}

    def input_files(self) -> list[Path]:
        return [self.path]

    def phenotypes(self) -> Schema:
        """The schema, from the header alone. Raises InputError."""
        with self._open() as (_, layout):
            return layout.schema

    def build(self, seed: int) -> Genomes:
        """[M, V] in the order of the file. Raises InputError that names file, line and column."""
        seen: dict[str, int] = {}
        parts: list[Array] = []
        with self._open() as (table, layout):
            while rows := list(islice(table.rows, hirisplex.BLOCK)):
                for line, cells in rows:
                    self._new_id(seen, line, layout.identifier, cells)
                parts.append(self._log_p(layout, table.names, rows))
        if not parts:
            raise fault(self.path, "there are no genomes below the header. Add one row per genome")
        genomes = Genomes(layout.schema, strings(list(seen)), np.concatenate(parts))
        return check_genomes(genomes, str(self.path))

    @contextmanager
    def _open(self) -> Iterator[tuple[Rows, _Layout]]:
        """The table and its layout. Raises InputError, also for a genotype file, and says how to read it."""
        try:
            with open_rows(self.path) as table:
                yield table, self._layout(table.names)
        except InputError:
            if (form := recognise(self.path)) is None:
                raise
            what = f"this is a genotype file ({form}), not a table of genomes. Read it with genomes: {{use: "
            raise fault(
                self.path, f"{what}genotype-files, path: ...}}; 'linkbench genotype read' shows what it holds"
            ) from None

    def _new_id(self, seen: dict[str, int], line: int, column: int, cells: list[str]) -> None:
        name = cells[column].strip()
        if not name or "\0" in name:
            what = f"found {name!r}. Give every genome an id of its own"
        elif name in seen:
            what = f"id {name!r} stands in line {seen[name]} already. Ids must be unique: rename or remove one"
        else:
            seen[name] = line
            return
        raise fault(self.path, what, line, column + 1, "id")

    def _log_p(self, layout: _Layout, names: list[str], rows: list[tuple[int, list[str]]]) -> Array:
        def read(columns: list[int], convert: Callable[[str], float]) -> Array:
            out = np.empty((len(rows), len(columns)))
            for number, (line, cells) in enumerate(rows):
                try:
                    out[number] = [convert(cells[column]) for column in columns]
                except ValueError:
                    self._explain(names, line, cells, columns, convert)
            return out

        if layout.sex is None:
            return np.log(read(layout.values, _probability))
        male = read([layout.sex], _male)[:, 0] == 1
        return hirisplex.log_p(read(layout.values, _dosage), male, self.schema_)

    def _explain(
        self,
        names: list[str],
        line: int,
        cells: list[str],
        columns: list[int],
        convert: Callable[[str], float],
    ) -> None:
        """Raise the error of the first bad cell, in the order of the file."""
        for column in sorted(columns):
            try:
                convert(cells[column])
            except ValueError as error:
                raise fault(self.path, f"found {cells[column]!r}. {error}", line, column + 1, names[column]) from None

    def _layout(self, names: list[str]) -> _Layout:
        if "id" not in names:
            hint = nearest("id", names) or (" (rename 'sampleid' to 'id')" if "sampleid" in names else "")
            raise fault(self.path, f"column 'id' is missing{hint}. It names each genome; add it to the header", 1)
        kind = self.kind
        if kind == "auto":
            if any(":" in name for name in names):
                kind = "probabilities"
            elif any(_SNP.fullmatch(name) for name in names):
                kind = "dosages"
            else:
                what = "no column looks like a probability (such as eye:blue) or like a SNP (such as rs12913832)"
                raise fault(self.path, f"{what}; found: {', '.join(names)}. Name the columns so", 1)
        return self._probabilities(names) if kind == "probabilities" else self._dosages(names)

    def _probabilities(self, names: list[str]) -> _Layout:
        columns = [name for name in names if name != "id"]
        for name in columns:
            phenotype, _, variant = name.partition(":")
            if not phenotype or not variant:
                hint = nearest(name, (column for schema in SCHEMAS.values() for column in schema.columns))
                what = f"expected a name of the form phenotype:variant, such as eye:blue{hint}. Rename or remove it"
                raise fault(self.path, what, 1, names.index(name) + 1, name)
        try:
            schema = Schema.from_columns(columns)
        except ValueError as error:
            what = f"{error}. Each phenotype needs two or more columns phenotype:variant, side by side"
            raise fault(self.path, what, 1) from None
        # The order of columns in a file means nothing; a known schema keeps its own, so that cohorts fit.
        known = [other for other in SCHEMAS.values() if set(other.columns) == set(columns)]
        schema = known[0] if known else schema
        return _Layout("probabilities", schema, names.index("id"), None, [names.index(c) for c in schema.columns])

    def _dosages(self, names: list[str]) -> _Layout:
        model = hirisplex.model()
        if "sex" not in names:
            hint = nearest("sex", names)
            raise fault(self.path, f"column 'sex' is missing{hint}. Add it, each cell female or male", 1)
        where: dict[str, int] = {}
        for column, name in enumerate(names):
            if name in ("id", "sex"):
                continue
            match = _SNP.fullmatch(name)
            snp, allele = match.groups() if match else (name, None)
            if snp == hirisplex.UNUSED:
                continue
            error = ""
            if snp not in model.snps:
                error = f"unknown SNP{nearest(snp, model.snps)}. Allowed: id, sex, and the SNPs of HIrisPlex-S "
                error += f"({', '.join(model.snps)}). Rename or remove this column"
            elif snp in where:
                error = f"{snp} stands in column {where[snp] + 1} already. Remove one of the two"
            elif allele is not None and allele != model.alleles[model.snps.index(snp)]:
                right = model.alleles[model.snps.index(snp)]
                error = f"the dosages count allele {allele}, the model counts {right}. If {allele} is the other "
                error += "allele, flip: replace each dosage d by 2 - d; if it is the same allele read on the other "
                error += f"strand, leave the dosages. Then name the column {snp}_{right}"
            if error:
                raise fault(self.path, error, 1, column + 1, name)
            where[snp] = column
        if missing := [snp for snp in model.snps if snp not in where]:
            what = f"{len(missing)} SNPs have no column: {', '.join(missing)}"
            raise fault(self.path, f"{what}. Add the columns; leave cells of unknown genotypes empty", 1)
        order = [where[snp] for snp in model.snps]
        return _Layout("dosages", SCHEMAS[self.schema_], names.index("id"), names.index("sex"), order)


_SNP = re.compile(r"(rs[0-9]+)(?:_([A-Za-z]+))?")


def _probability(cell: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        raise ValueError("Expected a number above 0 and at most 1, such as 0.25") from None
    if value <= 0:
        raise ValueError("A probability must be above 0; floor zeros at a small value such as 1e-7")
    if not value <= 1:
        raise ValueError("A probability must be a number above 0 and at most 1; percentages are divided by 100")
    return value


def _dosage(cell: str) -> float:
    try:
        return _DOSAGES[cell.strip()]
    except KeyError:
        raise ValueError("A dosage must be 0, 1 or 2; leave the cell empty where the genotype is unknown") from None


def _male(cell: str) -> float:
    try:
        return {"female": 0.0, "male": 1.0}[cell.strip()]
    except KeyError:
        raise ValueError("Allowed: female, male") from None
