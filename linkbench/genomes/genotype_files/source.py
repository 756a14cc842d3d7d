"""Genomes of people whose genotype files lie in a folder."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import ConfigDict, Field, model_validator

from linkbench.api.base import GenomeSource
from linkbench.api.data import Genomes, check_genomes, strings
from linkbench.api.fields import InputPath
from linkbench.api.schema import SCHEMAS, Schema
from linkbench.errors import InputError
from linkbench.genomes import hirisplex
from linkbench.genomes.genotype_files.reader import Genotypes, read_all
from linkbench.genomes.genotype_files.resolve import Absent
from linkbench.genomes.genotype_files.sex import Name
from linkbench.genomes.table_files import fault, nearest, open_rows

_ENDING = re.compile(r"(\.(gz|bgz|zip|txt|csv|tsv|vcf|g))+$", re.IGNORECASE)
_BESIDE = (".tbi", ".csi", ".md5")  # indexes and checksums, which lie beside VCF files


class GenotypeFiles(GenomeSource):
    """Genotype files of 23andMe, AncestryDNA, MyHeritage, FamilyTreeDNA or VCF, phenotypes by HIrisPlex-S.

    A folder with one file a person, or one file. A person's id is the name of the file without its endings; people of
    a VCF file of several have the names that stand there. SNPs that are missing are averaged over the population.
    `linkbench genotype read` shows what each file holds.
    """

    model_config = ConfigDict(serialize_by_alias=True)

    path: InputPath = Field(description="the folder, or one file; each may be packed (gzip, BGZF, zip)")
    sex: Literal["from-file", "female", "male"] = Field(
        default="from-file", description="sex of the people: as their files show on X and Y, or the same for all"
    )
    sexes: InputPath | None = Field(
        default=None, description="CSV file with columns id and sex, for people whose files do not show it"
    )
    assembly: Literal[36, 37, 38] | None = Field(
        default=None, description="the build of all positions; null: found out for each file"
    )
    absent: Absent = Field(
        default="unknown",
        description="what SNPs are that a VCF file does not list; reference, where it lists every variant of a genome",
    )
    schema_: hirisplex.SchemaName = Field(
        default="paper", alias="schema", description="the paper's phenotypes, or those of HIrisPlex-S"
    )

    @model_validator(mode="after")
    def _one_way(self) -> GenotypeFiles:
        if self.sexes is not None and self.sex != "from-file":
            raise ValueError("'sexes' says each one's sex, so leave 'sex' out")
        return self

    @classmethod
    def trial(cls, folder: Path) -> dict[str, Any]:
        from linkbench.genomes.samples import genotype_folder

        return {"path": genotype_folder(folder)}

    def input_files(self) -> list[Path]:
        return [self.path] if self.sexes is None else [self.path, self.sexes]

    def phenotypes(self) -> Schema:
        return SCHEMAS[self.schema_]

    def build(self, seed: int) -> Genomes:
        """[M, V] in the order of file names. Raises InputError that names the file, and the line if it is one."""
        people: dict[str, Genotypes] = {}
        for file in self._files():
            for person in read_all(file, self.assembly, self.absent):
                name = person.sample if person.of_several else _ENDING.sub("", file.name)
                if not name.isprintable():
                    raise fault(file, f"{name!r} cannot be an id. Rename the file, with plain letters")
                if name in people:
                    what = (
                        f"{name!r} is also the name of somebody in {people[name].path}. Ids must be unique: rename one"
                    )
                    raise fault(file, what)
                people[name] = person
        sexes = self._given(people)
        male = [self._sex(name, person, sexes) == "male" for name, person in people.items()]
        dosages = np.stack([person.dosages for person in people.values()])
        log_p = hirisplex.log_p(dosages, np.array(male), self.schema_)
        return check_genomes(Genomes(self.phenotypes(), strings(list(people)), log_p), str(self.path))

    def _files(self) -> list[Path]:
        """The files to read, by name."""
        if not self.path.is_dir():
            return [self.path]
        found = sorted(file for file in self.path.iterdir() if file.is_file() and not file.name.startswith("."))
        found = [file for file in found if file.suffix.lower() not in _BESIDE and not self._is_table(file)]
        if not found:
            raise fault(self.path, "there are no files in this folder. Put one genotype file for each person into it")
        return found

    def _is_table(self, file: Path) -> bool:
        return self.sexes is not None and self.sexes.exists() and file.samefile(self.sexes)

    def _given(self, people: dict[str, Genotypes]) -> dict[str, Name]:
        """Sex by id, from the table."""
        out: dict[str, Name] = {}
        if self.sexes is None:
            return out
        with open_rows(self.sexes) as table:
            for needed in ("id", "sex"):
                if needed not in table.names:
                    what = f"column {needed!r} is missing{nearest(needed, table.names)}. The table must have id and sex"
                    raise fault(self.sexes, what, 1)
            at, of = table.names.index("id"), table.names.index("sex")
            for line, cells in table.rows:
                name, sex = cells[at].strip(), cells[of].strip()
                if name not in people:
                    what = f"nobody is called {name!r}{nearest(name, people)}. Ids are file names without their endings"
                    raise fault(self.sexes, what, line, at + 1, "id")
                if sex not in ("female", "male"):
                    raise fault(self.sexes, f"found {sex!r}. Allowed: female, male", line, of + 1, "sex")
                out[name] = "male" if sex == "male" else "female"
        return out

    def _sex(self, name: str, person: Genotypes, sexes: dict[str, Name]) -> Name:
        if self.sex != "from-file":
            return self.sex
        found = sexes.get(name, person.sex.sex)
        if found is None:
            who = f" of {name}" if person.of_several else ""
            raise InputError(
                f"{person.path}: the sex{who} is not clear ({person.sex.evidence}). Give it in a table with columns "
                "id and sex (parameter `sexes`), or for all (parameter `sex`)"
            )
        return found
