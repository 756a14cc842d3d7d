"""The paper's own photos, read in place from the authors' release."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from linkbench.api.base import CohortSource
from linkbench.api.data import TRAIN, Cohort, Genomes, check_cohort, strings
from linkbench.api.fields import InputPath
from linkbench.api.schema import PAPER
from linkbench.cohorts.images import check_photo, photo_stream
from linkbench.cohorts.pairing import rows_of
from linkbench.cohorts.paper_tables import published_labels
from linkbench.errors import InputError
from linkbench.genomes import shipped

FOLDER = "synthetic_images"


class PaperRelease(CohortSource):
    """The 456 CelebA photos of 425 people of Venkatesaramani et al. 2021 (Zenodo 10.5281/zenodo.5522953).

    Only the photos are read from the folder; labels and identities come with linkbench.
    """

    path: InputPath = Field(description=f"folder of the release, the one that holds {FOLDER}/")
    size: int = Field(default=64, ge=16, le=512, description="width and height of the photos, pixels")
    crop: float = Field(
        default=0.85, gt=0.1, le=1, description="middle part kept of the 178x178 square in the 178x218 photo"
    )

    @classmethod
    def trial(cls, folder: Path) -> dict[str, Any]:
        from linkbench.cohorts.samples import release_folder

        return {"path": release_folder(folder), "size": 16}

    def input_files(self) -> list[Path]:
        return [self.path / FOLDER]

    def build(self, genomes: Genomes, seed: int) -> Cohort:
        """All 456, photos a stream; a photo's true genome is the one with the same id.

        The release pairs photos, not people: two photos of one person have genomes of their own. Raises InputError
        for photos that are missing and for genomes without these ids.
        """
        people = shipped.rows("paper_labels.csv")
        photos = [self.path / FOLDER / f"{int(row['id']):06d}.jpg" for row in people]
        if missing := [photo for photo in photos if not photo.is_file()]:
            raise InputError(
                f"cohort 'paper-release': {len(missing)} of the {len(photos)} photos are missing, the first is "
                f"{missing[0]}. 'path' must be the folder of the release (Zenodo 10.5281/zenodo.5522953) that holds "
                f"{FOLDER}/000001.jpg"
            )
        for photo in photos:
            check_photo(photo)
        ids = strings([row["id"] for row in people])
        truth = rows_of(ids, genomes)
        if (truth < 0).any():
            lost = ids[truth < 0]
            raise InputError(
                f"cohort 'paper-release': {len(lost)} of its {len(ids)} photos have no genome, the first is "
                f"{lost[0].decode()!r}. Use the genomes 'paper-tables', or a table with the same ids"
            )
        cohort = Cohort(
            schema=PAPER,
            ids=ids,
            identity=np.array([int(row["identity"]) for row in people], dtype=np.int64),
            labels=published_labels()[0],
            truth=truth,
            split=np.full(len(ids), TRAIN, dtype=np.int64),
            photos=photo_stream(photos, self.size, self.crop),
        )
        return check_cohort(cohort, genomes, "cohort 'paper-release'")
