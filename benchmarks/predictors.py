"""How predictors read real photos: python benchmarks/predictors.py PREDICTOR... --paper-release FOLDER --london FOLDER

The largest face of each photo is found and cut out as `linkbench risk` does it. paper-release: Venkatesaramani et al.
2021 (Zenodo 10.5281/zenodo.5522953), 456 photos of 425 people; london: the Face Research Lab London Set (figshare
10.6084/m9.figshare.5047666), sex alone. Accuracies with intervals of 95 % over people.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import linkbench
from linkbench import faces
from linkbench.api.data import MISSING, Array, most_likely
from linkbench.api.schema import PAPER
from linkbench.cohorts.paper_release import FOLDER
from linkbench.cohorts.paper_tables import published_labels
from linkbench.genomes import shipped
from linkbench.metrics.rows import prediction_rows
from linkbench.metrics.settings import Measure
from linkbench.models import predictor_files
from linkbench.models.predictor import predict


def cut(paths: Sequence[Path], size: int) -> tuple[Array, Array]:
    """The faces uint8 [n, 3, size, size], and the rows int64 [n] of the photos in which one is found."""
    found, rows = [], []
    for row, path in enumerate(paths):
        photo = faces.read(path)
        for face in faces.find(photo)[:1]:
            pixels = faces.cut(photo, face.square, size)[0]
            found.append(pixels.mul(255).round().clamp(0, 255).byte().numpy())
            rows.append(row)
    return np.stack(found), np.array(rows)


def paper_release(folder: Path) -> tuple[list[Path], Array, Array]:
    """Photos, labels int64 [n, 4] and identities int64 [n]."""
    people = shipped.rows("paper_labels.csv")
    photos = [folder / FOLDER / f"{int(row['id']):06d}.jpg" for row in people]
    return photos, published_labels()[0], np.array([int(row["identity"]) for row in people])


def london(folder: Path, which: str) -> tuple[list[Path], Array, Array]:
    """The same; the photos of people whose sex is stated."""
    with (folder / "london_info.csv").open(encoding="utf-8") as file:
        sexes = {row["face_id"].lstrip("Xx0"): row["face_gender"] for row in csv.DictReader(file)}
    told = {
        photo: sexes.get(photo.stem.split("_")[0].lstrip("Xx0")) for photo in sorted((folder / which).glob("*.jpg"))
    }
    photos = [photo for photo, sex in told.items() if sex in PAPER["sex"]]
    labels = np.full((len(photos), len(PAPER)), MISSING)
    labels[:, 0] = [PAPER["sex"].index(str(told[photo])) for photo in photos]
    return photos, labels, np.arange(len(photos))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("predictors", nargs="+")
    parser.add_argument("--paper-release", type=Path)
    parser.add_argument("--london", type=Path)
    asked = parser.parse_args()
    sets = {}
    if asked.paper_release:
        sets["paper-release"] = paper_release(asked.paper_release)
    if asked.london:
        sets |= {f"london {which}": london(asked.london, which) for which in ("neutral_front", "smiling_front")}
    shown: dict[tuple[str, int], tuple[Array, Array]] = {}
    for name in asked.predictors:
        predictor = linkbench.load_predictor(name)
        size = int(predictor_files.read(predictor_files.locate(Path(name))).meta["size"])
        for title, (photos, labels, identity) in sets.items():
            if (title, size) not in shown:
                shown[title, size] = cut(photos, size)
            seen, rows = shown[title, size]
            variants = most_likely(predict(predictor, seen), PAPER)
            print(f"\n{name} on {title}: a face in {len(rows)} of {len(photos)}")
            for row in prediction_rows(variants, labels[rows], identity[rows], PAPER, Measure(), 0):
                print(f"  {row['metric']:<24} {row['value']:.3f} [{row['ci_low']:.3f}, {row['ci_high']:.3f}]")


if __name__ == "__main__":
    main()
