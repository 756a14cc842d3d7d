"""Real photos protected: how much is changed, and what networks still read, beside noise of the same size.

    python benchmarks/photos.py FOLDER [--epsilon 8/255] [--delta-e 6] [--photos 10] [--judge NAME]... [--sheet PNG]

FOLDER holds photos of faces; nothing of them is kept but the sheet that is asked for, to be kept out of the repository.
Each face is protected as `linkbench protect` does it, recoloured by Delta E, both one after the other, and changed by
noise. Prints for each network, those of the protection and every predictor that is to judge besides, the part of the
photos in which each phenotype is read as before: from the file itself, and posted at half size as JPEG 80.
"""

from __future__ import annotations

import argparse
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from linkbench.api.data import Array, most_likely
from linkbench.attackers.predicted import OPEN
from linkbench.cli.protect import background_of
from linkbench.defenders.recolour import Recolour
from linkbench.faces import Photo, Square, cut, find, paste, read
from linkbench.models.predictor import Predictor, check_predictor, predict
from linkbench.models.predictor_files import locate
from linkbench.models.predictor_files import read as read_predictor
from linkbench.protection.album import photos_in
from linkbench.protection.background import Background
from linkbench.protection.postings import postings, views
from linkbench.protection.strength import apply, measure

SHOWN = 256


def noisy(photo: Photo, square: Square, epsilon: float, size: int, seed: int) -> Photo:
    """The face changed by random signs of the same size, in the same square."""
    sign = torch.randint(0, 2, (3, size, size), generator=torch.Generator().manual_seed(seed)).float() * 2 - 1
    return paste(photo, square, sign * epsilon)


def versions(
    photo: Photo, square: Square, background: Background, epsilon: float, delta_e: float, secret: int
) -> dict[str, Photo]:
    """The photo by what was done to it."""
    size, squares = background.size, [square]
    decoy = background.defence(epsilon, secret, 1)
    colour = background.at_work(Recolour(delta_e=delta_e), "recolour", secret, 1)
    recoloured = apply(photo, squares, colour, size)
    return {
        "nothing": photo,
        "noise": noisy(photo, square, epsilon, size, secret),
        "protected": apply(photo, squares, decoy, size),
        "recoloured": recoloured,
        "recoloured, protected": apply(recoloured, squares, decoy, size),
    }


def tile(photo: Photo, square: Square) -> Array:
    return (cut(photo, square, SHOWN)[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)


def judges_of(background: Background, names: list[str]) -> dict[str, tuple[Predictor, int]]:
    """Networks and the size of the photos that they read."""
    out = {
        f"{each.name} ({'seen' if each.seen else 'never seen'})": (each.predictor, background.size)
        for each in background.opponents
    }
    for name in names:
        artefact = read_predictor(locate(Path(name)))
        out[f"{Path(name).stem} (never seen)"] = (check_predictor(artefact, name), int(artefact.meta["size"]))
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epsilon", default="8/255")
    parser.add_argument("--delta-e", type=float, default=6.0)
    parser.add_argument("--photos", type=int, default=10)
    parser.add_argument("--judge", action="append", default=[])
    parser.add_argument("--scenario", type=Path)
    parser.add_argument("--store")
    parser.add_argument("--sheet", type=Path)
    given = parser.parse_args()
    background = background_of(given.scenario, given.store)
    judges = judges_of(background, given.judge)
    posted = [each for each in postings() if each.name.startswith("half size")]
    said: dict[tuple[str, str], list[Array]] = {}
    changes: dict[str, list[Array]] = {}
    rows = []
    for number, path in enumerate(photos_in([given.folder])[: given.photos]):
        began, photo = time.perf_counter(), read(path)
        faces = find(photo)
        if not faces:
            print(f"{path.name}: no face")
            continue
        square = faces[0].square
        made = versions(photo, square, background, float(Fraction(given.epsilon)), given.delta_e, number)
        for what, other in made.items():
            changes.setdefault(what, []).append(np.array(measure(photo, other, square)))
            for name, (predictor, size) in judges.items():
                seen = views(other, [square], size, posted)[:, 0].numpy()
                said.setdefault((name, what), []).append(predict(predictor, seen))
        rows.append(np.concatenate([tile(each, square) for each in made.values()], axis=1))
        print(f"{path.name}: {time.perf_counter() - began:.1f} s", flush=True)
    for what, each in changes.items():
        linf, ssim, mean, high = np.mean(each, axis=0)
        print(f"{what}: at most {255 * linf:.1f}/255, SSIM {ssim:.3f}, Delta E {mean:.1f}, 95th percentile {high:.1f}")
    for (name, what), probabilities in said.items():
        schema, now, before = judges[name][0].schema, np.stack(probabilities), np.stack(said[name, "nothing"])
        parts = []
        for column, (phenotype, span) in enumerate(schema.slices.items()):
            if np.ptp(before[:, 0, span], axis=1).max() < OPEN:
                continue  # left open
            first = most_likely(before[:, 0], schema)[:, column, None]
            same = np.stack([most_likely(now[:, view], schema)[:, column] for view in (0, 1)], axis=1) == first
            parts.append(f"{phenotype} {same[:, 0].mean():.2f} {same[:, 1].mean():.2f}")
        print(f"{name}, {what}: {'; '.join(parts)}")
    if given.sheet is not None:
        from PIL import Image

        Image.fromarray(np.concatenate(rows)).save(given.sheet)


if __name__ == "__main__":
    main()
