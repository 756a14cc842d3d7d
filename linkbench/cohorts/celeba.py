"""CelebA (Liu et al. 2015): photos with attributes, identities, and the paper's own labels of eyes and skin."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from linkbench.api.base import CohortSource
from linkbench.api.data import MISSING, TRAIN, Array, Cohort, Genomes, check_cohort, strings
from linkbench.api.fields import InputPath
from linkbench.api.schema import PAPER
from linkbench.cohorts.celeba_files import Lines, find, label_file, lines_of
from linkbench.cohorts.images import check_photo, photo_stream
from linkbench.cohorts.pairing import draw_genomes, labels_of_people, need_genomes, need_paper_schema
from linkbench.cohorts.paper_tables import published_labels
from linkbench.errors import InputError
from linkbench.genomes import shipped

ATTRIBUTES = "list_attr_celeba.txt"
IDENTITIES = "identity_CelebA.txt"
PHOTOS = ("img_align_celeba", "Img/img_align_celeba", "img_align_celeba/img_align_celeba")
"""Where unpacking leaves the photos, tried in this order."""
TEXTS = ("", "Anno")
"""Folders of the text files, tried in this order."""
HAIR = ("Black_Hair", "Blond_Hair", "Brown_Hair")
"""In the order of the variants of PAPER['hair']."""
EYES = {"BLUE": 0, "INT": 1, "BROWN": 2}
SKINS = {"PALE": 0, "INTSKIN": 1, "DARKSKIN": 2}
"""Words of the release's label files, and the variants of PAPER they stand for."""
SEX_COLUMN, HAIR_COLUMN, EYE_COLUMN, SKIN_COLUMN = (PAPER.names.index(name) for name in ("sex", "hair", "eye", "skin"))
MANY = 20_000
"""Up to this many photos every header is looked at before work starts."""


class CelebA(CohortSource):
    """A CelebA folder; each person is given a genome that fits the known phenotypes.

    Labels: sex from Male; hair from Black_Hair, Blond_Hair, Brown_Hair, unknown where none or several are set; eye
    and skin from the files eye_color_labels and skin_color_labels (lines such as `000001.jpg, BROWN`) where they
    exist, the last line of a photo counting, else from the paper's published labels of 456 photos, else unknown.
    """

    libraries: ClassVar[tuple[str, ...]] = ("pillow",)

    path: InputPath = Field(description="folder with img_align_celeba/, list_attr_celeba.txt, identity_CelebA.txt")
    size: int = Field(default=64, ge=16, le=512, description="width and height of the photos, pixels")
    crop: float = Field(
        default=0.85, gt=0.1, le=1, description="middle part kept of the 178x178 square in the 178x218 photo"
    )
    limit: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="at most this many photos: those with most labels first, then as listed",
    )

    @classmethod
    def trial(cls, folder: Path) -> dict[str, Any]:
        from linkbench.cohorts.samples import celeba_folder

        return {"path": celeba_folder(folder), "size": 16}

    def input_files(self) -> list[Path]:
        return [self.path]

    def build(self, genomes: Genomes, seed: int) -> Cohort:
        """Photos a stream; identities are CelebA's numbers; pairing as in linkbench.cohorts.pairing.draw_genomes.

        A person's phenotypes, for the pairing, are the most frequent known labels of all chosen photos of the person.
        Raises InputError naming file and line.
        """
        need_paper_schema(genomes, "celeba")
        if not self.path.is_dir():
            raise InputError(f"cohort 'celeba': there is no folder {self.path}. Check 'path'")
        folder = find(self.path, PHOTOS, folder=True)
        names, labels = self._labels()
        if self.limit is not None and self.limit < len(names):
            order = np.argsort((labels == MISSING).sum(axis=1), kind="stable")
            chosen = np.sort(order[: self.limit])
            names, labels = [names[row] for row in chosen], labels[chosen]
        identity = self._identities(names)
        persons, who = np.unique(identity, return_inverse=True)
        need_genomes(len(persons), genomes, "celeba", "Set 'limit' lower")
        present = {entry.name for entry in folder.iterdir()}
        if missing := [name for name in names if name not in present]:
            raise InputError(
                f"cohort 'celeba': {len(missing)} of {len(names)} photos that {ATTRIBUTES} names are not in {folder}, "
                f"the first is {missing[0]}. Unpack the whole archive, or remove their lines from {ATTRIBUTES}"
            )
        photos = [folder / name for name in names]
        for photo in photos[:MANY]:
            check_photo(photo)
        of_people = draw_genomes(labels_of_people(labels, who, len(persons)), genomes, seed)
        cohort = Cohort(
            schema=PAPER,
            ids=strings(names),
            identity=identity,
            labels=labels,
            truth=of_people[who],
            split=np.full(len(names), TRAIN, dtype=np.int64),
            photos=photo_stream(photos, self.size, self.crop),
        )
        return check_cohort(cohort, genomes, "cohort 'celeba'")

    def _labels(self) -> tuple[list[str], Array]:
        """Names of the photos, in the order of the list, and their labels int64 [N, 4]."""
        path = find(self.path, [f"{folder}/{ATTRIBUTES}" if folder else ATTRIBUTES for folder in TEXTS])
        names, labels = _attributes(lines_of(path))
        row_of = {name: row for row, name in enumerate(names)}
        for person, known in zip(shipped.rows("paper_labels.csv"), published_labels()[0], strict=True):
            if (row := row_of.get(f"{int(person['id']):06d}.jpg")) is not None:
                labels[row, [EYE_COLUMN, SKIN_COLUMN]] = known[[EYE_COLUMN, SKIN_COLUMN]]
        for column, file, words in ((EYE_COLUMN, "eye_color_labels", EYES), (SKIN_COLUMN, "skin_color_labels", SKINS)):
            for row, variant in label_file(self.path, TEXTS, file, words, row_of):
                labels[row, column] = variant
        return names, labels

    def _identities(self, names: list[str]) -> Array:
        path = find(self.path, [f"{folder}/{IDENTITIES}" if folder else IDENTITIES for folder in TEXTS])
        table = lines_of(path)
        known: dict[str, int] = {}
        for line, words in table.rows:
            if len(words) != 2 or not re.fullmatch("[0-9]{1,18}", words[1]):
                raise table.fault(line, f"expected a photo and a number, such as '000001.jpg 2880', found {words}")
            known[words[0]] = int(words[1])
        if missing := [name for name in names if name not in known]:
            raise InputError(
                f"{path}: {len(missing)} photos of {ATTRIBUTES} have no identity here, the first is {missing[0]}. "
                f"Use both files of the same release of CelebA"
            )
        return np.array([known[name] for name in names], dtype=np.int64)


def _attributes(table: Lines) -> tuple[list[str], Array]:
    """Names, and labels int64 [N, 4] with sex and hair filled in."""
    heads = [next(table.rows, (0, [])) for _ in range(2)]
    columns = heads[1][1]
    for name in ("Male", *HAIR):
        if name not in columns:
            what = f"column {name!r} is missing. The second line of {ATTRIBUTES} names the 40 attributes"
            raise table.fault(2, f"{what}; fetch the file again")
    male, *hair = (columns.index(name) + 1 for name in ("Male", *HAIR))
    seen: dict[str, int] = {}
    rows = []
    for line, words in table.rows:
        if len(words) != len(columns) + 1 or not set(words[1:]) <= {"1", "-1"}:
            raise table.fault(line, f"expected a photo and {len(columns)} numbers 1 or -1. Fetch the file again")
        if words[0] in seen:
            raise table.fault(line, f"{words[0]} stands in line {seen[words[0]]} already. Remove one of the lines")
        if "/" in words[0] or words[0].startswith("."):
            raise table.fault(line, f"{words[0]!r} is no plain file name, such as 000001.jpg. Mend the line")
        seen[words[0]] = line
        shown = [variant for variant, column in enumerate(hair) if words[column] == "1"]
        label = [MISSING] * len(PAPER)
        label[SEX_COLUMN] = PAPER["sex"].index("male" if words[male] == "1" else "female")
        label[HAIR_COLUMN] = shown[0] if len(shown) == 1 else MISSING
        rows.append(label)
    if not rows:
        raise table.fault(3, "there are no photos below the two head lines. Fetch the file again")
    return list(seen), np.array(rows, dtype=np.int64)
