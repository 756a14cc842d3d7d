"""The picture that opens README.md: python docs/before_after.py

A rendered person as a JPEG photo, protected as `linkbench protect --epsilon 8/255 --secret 0` does it, and beside both
their difference, eight times enlarged. Prints what the caption says of them.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from linkbench.app import pictures
from linkbench.cli.protect import background_of
from linkbench.cohorts.faces import render
from linkbench.faces import read
from linkbench.protection import files, text
from linkbench.protection.judge import judge_of
from linkbench.protection.strength import Target

PICTURE = Path(__file__).parent / "before-after.jpg"
LOOKS, IDENTITY = (0, 2, 0, 0), 29
"""Variants of sex, hair, eyes and skin: a woman with brown hair, blue eyes and pale skin. Chosen because all
networks read these rightly: where nothing is read, nothing can be hidden."""

SIZE = 256


def main() -> None:
    person = render(torch.tensor([LOOKS]), torch.tensor([IDENTITY]), torch.tensor([0]), seed=3, size=SIZE)
    background = background_of(None, None)
    judge = judge_of(background, genotype=None, phenotypes={"sex": "female"}, ancestry="ALL", people=10_000)
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder) / "me.jpg", Path(folder) / "protected.jpg"
        Image.fromarray(person[0].permute(1, 2, 0).numpy()).save(before, quality=95)
        wish = files.Wish(Target(epsilon=8 / 255), "largest", None, False, 0)
        record = files.protect_file(before, after, background, judge, wish)
        photos = [read(path) for path in (before, after)]
    shown = [np.asarray(photo.seen()) for photo in photos]
    shown.append(0.5 + pictures.STRONGER * (shown[1] - shown[0]))
    gap = np.ones((SIZE, 12, 3), np.float32)
    strip = np.concatenate([part for each in shown for part in (gap, each)][1:], axis=1)
    image = Image.fromarray((strip.clip(0, 1) * 255).round().astype(np.uint8))
    image.save(PICTURE, quality=90)
    print("\n".join([f"{PICTURE}: {PICTURE.stat().st_size:,} bytes", *text.of_photo(record)]))


if __name__ == "__main__":
    main()
