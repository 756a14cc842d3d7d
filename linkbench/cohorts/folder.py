"""A folder of the user's photos with a table of who and what they show."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from pydantic import Field

from linkbench.api.base import CohortSource
from linkbench.api.data import (
    GALLERY,
    MISSING,
    TEST,
    TRAIN,
    VALIDATION,
    Array,
    Cohort,
    Genomes,
    check_cohort,
    strings,
)
from linkbench.api.fields import Fraction01, InputPath
from linkbench.api.schema import HIRISPLEX, PAPER
from linkbench.cohorts.images import check_photo, photo_stream
from linkbench.cohorts.pairing import draw_genomes, labels_of_people, need_genomes
from linkbench.errors import InputError
from linkbench.genomes.table_files import fault, nearest, open_rows

SPLITS = {"train": TRAIN, "validation": VALIDATION, "test": TEST}
"""The column `split` where photos are linked to genomes."""

IDENTIFIED = {"train": TRAIN, "validation": VALIDATION, "gallery": GALLERY, "probe": TEST}
"""The column `split` in identification."""


class Folder(CohortSource):
    """Photos and a CSV table, one row a photo.

    Columns: `file` (relative to the folder), `identity` (who it is, any text), one column per phenotype of the
    genomes (a variant, empty where unknown), and if wanted `genome` (an id of the genomes; without this column each
    person is given a genome that fits) and `split` (train, validation or test; without it the scenario splits).
    In identification neither phenotypes nor genomes are needed, and `split` is train, validation, gallery or probe.
    """

    libraries: ClassVar[tuple[str, ...]] = ("pillow",)

    path: InputPath = Field(description="the folder of photos")
    labels: InputPath | None = Field(default=None, description="the table; default: labels.csv in the folder")
    size: int = Field(default=64, ge=16, le=512, description="width and height of the photos, pixels")
    crop: float = Field(default=1.0, gt=0.1, le=1, description="edge of the square kept, part of the shorter side")
    across: Fraction01 = Field(
        default=0.5, description="where its middle lies, part of the photo's width from the left"
    )
    down: Fraction01 = Field(default=0.5, description="where its middle lies, part of the photo's height from the top")

    @classmethod
    def trial(cls, folder: Path) -> dict[str, Any]:
        from linkbench.cohorts.samples import photo_folder

        return {"path": photo_folder(folder), "size": 16}

    @property
    def table(self) -> Path:
        return self.labels if self.labels is not None else self.path / "labels.csv"

    def input_files(self) -> list[Path]:
        return [self.path, self.table]

    def build(self, genomes: Genomes, seed: int) -> Cohort:
        """Photos a stream; ids are the file names; pairing as in linkbench.cohorts.pairing.draw_genomes.

        Raises InputError that names file, line and column.
        """
        rows, who = self._rows(genomes)
        persons = np.unique(who)
        labels = np.array([row.labels for row in rows], dtype=np.int64)
        truth = np.array([row.genome for row in rows], dtype=np.int64)
        if (truth < 0).all():
            need_genomes(len(persons), genomes, "folder", "Name them in a column 'genome'")
            truth = draw_genomes(labels_of_people(labels, who, len(persons)), genomes, seed)[who]
        cohort = Cohort(
            schema=genomes.schema,
            ids=strings([row.file for row in rows]),
            identity=who,
            labels=labels,
            truth=truth,
            split=np.array([row.split for row in rows], dtype=np.int64),
            photos=photo_stream([row.photo for row in rows], self.size, self.crop, (self.across, self.down)),
        )
        return check_cohort(cohort, genomes, "cohort 'folder'")

    def people(self, seed: int) -> Cohort:
        """Photos and who is in them, without genomes. Raises InputError that names file, line and column."""
        rows, who = self._rows(None)
        return Cohort(
            schema=PAPER,
            ids=strings([row.file for row in rows]),
            identity=who,
            labels=np.full((len(rows), len(PAPER)), MISSING),
            truth=np.zeros(len(rows), dtype=np.int64),
            split=np.array([row.split for row in rows], dtype=np.int64),
            photos=photo_stream([row.photo for row in rows], self.size, self.crop, (self.across, self.down)),
        )

    def _rows(self, genomes: Genomes | None) -> tuple[list[_Row], Array]:
        """The table's rows, every photo's header looked at, and int64 [N], the person in each, from 0."""
        if not self.path.is_dir():
            raise InputError(f"cohort 'folder': there is no folder {self.path}. Check 'path'")
        rows = _Reader(self.path, self.table, genomes).read()
        for row in rows:
            try:
                check_photo(row.photo)
            except InputError as error:
                raise fault(self.table, str(error), row.line) from None
        persons = {name: number for number, name in enumerate(dict.fromkeys(row.identity for row in rows))}
        return rows, np.array([persons[row.identity] for row in rows], dtype=np.int64)


class _Row(NamedTuple):
    line: int
    file: str
    photo: Path
    identity: str
    labels: list[int]
    genome: int
    split: int


class _Reader:
    """One reading of the table: every row is checked against the folder, the genomes and the rows before it.

    Without genomes the table is read for identification: phenotypes and genomes may stand there, unread.
    """

    def __init__(self, folder: Path, path: Path, genomes: Genomes | None) -> None:
        self.folder = folder
        self.root = folder.resolve()
        self.path = path
        self.schema = {} if genomes is None else {name: genomes.schema[name] for name in genomes.schema}
        self.genome_rows = {
            name.decode(): row for row, name in enumerate(() if genomes is None else genomes.ids.tolist())
        }
        self.splits = IDENTIFIED if genomes is None else SPLITS
        self.unread = {*PAPER, *HIRISPLEX, "genome"} if genomes is None else set()
        self.names: list[str] = []
        self.files: dict[Path, int] = {}
        self.people: dict[str, _Row] = {}

    def read(self) -> list[_Row]:
        with open_rows(self.path) as table:
            self.names = table.names
            self._check_columns()
            rows = [self._row(line, [cell.strip() for cell in cells]) for line, cells in table.rows]
        if not rows:
            raise fault(self.path, "there are no photos below the header. Add one row per photo")
        if "split" in self.names:
            needed = SPLITS if self.splits is SPLITS else ("gallery", "probe")
            for name in needed:
                if all(row.split != self.splits[name] for row in rows):
                    what = f"no photo is in {name!r}. Give each of {', '.join(needed)} some people, or drop the column"
                    raise fault(self.path, what, 1, self.names.index("split") + 1, "split")
        if self.splits is IDENTIFIED:
            self._check_counts(rows)
        return rows

    def _check_counts(self, rows: list[_Row]) -> None:
        """Whoever is to be identified needs a photo in the gallery and another."""
        parts: dict[str, list[int]] = {}
        for row in rows:
            parts.setdefault(row.identity, []).append(row.split)
        for name, found in parts.items():
            if "split" not in self.names:
                lacking = "another photo: one for the gallery, one to be identified" if len(found) == 1 else ""
            else:
                here = GALLERY in found or TEST in found
                lacking = next(
                    (f"a photo in {part!r}" for part in ("gallery", "probe") if here and IDENTIFIED[part] not in found),
                    "",
                )
            if lacking:
                what = f"{name!r} needs {lacking}. Add a photo, or remove the person"
                raise self._wrong(self.people[name].line, "identity", what)

    def _check_columns(self) -> None:
        needed = ["file", "identity", *self.schema]
        known = [*needed, *(["genome"] if self.schema else []), "split"]
        for name in needed:
            if name not in self.names:
                hint = nearest(name, [other for other in self.names if other not in known])
                what = f"column {name!r} is missing{hint.replace('did you mean', 'is it')}. Needed: {', '.join(needed)}"
                empty = "; leave the cells of unknown phenotypes empty" if self.schema else ""
                raise fault(self.path, f"{what}{empty}", 1)
        for number, name in enumerate(self.names, start=1):
            if name not in known and name not in self.unread:
                what = f"unknown column{nearest(name, known)}. Allowed: {', '.join(known)}. Rename or remove it"
                raise fault(self.path, what, 1, number, name)

    def _wrong(self, line: int, name: str, what: str) -> InputError:
        return fault(self.path, what, line, self.names.index(name) + 1, name)

    def _row(self, line: int, cells: list[str]) -> _Row:
        cell = dict(zip(self.names, cells, strict=True))
        photo = self._photo(line, cell["file"])
        if not cell["identity"]:
            raise self._wrong(line, "identity", "found nothing. Say who is in the photo: a name or a number")
        labels = [self._variant(line, name, cell[name]) for name in self.schema]
        genome = self._genome(line, cell["genome"]) if "genome" in cell and self.schema else -1
        split = self._split(line, cell["split"]) if "split" in cell else TRAIN
        row = _Row(line, cell["file"], photo, cell["identity"], labels, genome, split)
        first = self.people.setdefault(row.identity, row)
        if first.split != split and (self.splits is SPLITS or (first.split < TEST) != (split < TEST)):
            what = f"{row.identity!r} is in {cell['split']!r} here, in another part in line {first.line}"
            all_of_one = "one part" if self.splits is SPLITS else "training (train, validation) or to gallery and probe"
            raise self._wrong(line, "split", f"{what}. All photos of a person belong to {all_of_one}")
        if first.genome != genome:
            what = f"{row.identity!r} has genome {cell['genome']!r} here, another in line {first.line}"
            raise self._wrong(line, "genome", f"{what}. A person has one genome")
        return row

    def _photo(self, line: int, name: str) -> Path:
        if not name or "\0" in name:
            raise self._wrong(line, "file", f"found {name!r}. Name a file in {self.folder}")
        photo = self.folder / name
        real = photo.resolve()
        if Path(name).is_absolute() or ".." in Path(name).parts or not real.is_relative_to(self.root):
            what = f"{name!r} leads out of the folder {self.folder}. Copy the photo into the folder and name it there"
            raise self._wrong(line, "file", what)
        if not photo.exists():
            siblings = [entry.name for entry in photo.parent.iterdir()] if photo.parent.is_dir() else []
            hint = nearest(photo.name, siblings)
            what = f"there is no {name!r} in {self.folder}{hint}. Mend the name, or remove the row"
            raise self._wrong(line, "file", what)
        if real in self.files:
            what = f"{name!r} is the same photo as in line {self.files[real]}. Remove one of the rows"
            raise self._wrong(line, "file", what)
        self.files[real] = line
        return photo

    def _variant(self, line: int, phenotype: str, found: str) -> int:
        variants = self.schema[phenotype]
        if not found:
            return MISSING
        if found not in variants:
            allowed = ", ".join(variants)
            what = f"unknown variant {found!r}{nearest(found, variants)}. Allowed: {allowed}; empty where unknown"
            raise self._wrong(line, phenotype, what)
        return variants.index(found)

    def _genome(self, line: int, found: str) -> int:
        if found not in self.genome_rows:
            hint = nearest(found, self.genome_rows) if len(self.genome_rows) <= 10_000 else ""
            what = f"there is no genome {found!r}{hint} among the {len(self.genome_rows)} genomes. Mend the id"
            raise self._wrong(line, "genome", f"{what}, or remove the column to have genomes drawn that fit")
        return self.genome_rows[found]

    def _split(self, line: int, found: str) -> int:
        if found not in self.splits:
            what = f"found {found!r}{nearest(found, self.splits)}. Allowed: {', '.join(self.splits)}"
            raise self._wrong(line, "split", f"{what}; without the column the scenario splits")
        return self.splits[found]
