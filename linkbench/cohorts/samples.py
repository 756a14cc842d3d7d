"""Small folders of photos in the forms that the cohorts here read, to try them on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from linkbench.genomes import shipped


def photo_folder(folder: Path) -> Path:
    """Photos of four people and labels.csv, for the cohort `folder`."""
    lines = ["file,identity,sex,hair,eye,skin"]
    for number in range(8):
        _photo(folder / f"{number}.png", number)
        lines.append(f"{number}.png,p{number // 2},{'female' if number % 4 < 2 else 'male'},brown,blue,")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def celeba_folder(folder: Path) -> Path:
    """Three photos in the form in which CelebA is unpacked."""
    attributes = ["Bald", "Black_Hair", "Blond_Hair", "Brown_Hair", "Male"]
    rows = ("-1 -1 -1 1 -1", "-1 -1 1 -1 -1", "1 -1 -1 -1 1")
    names = [f"{number:06d}.jpg" for number in range(1, 4)]
    for number, name in enumerate(names):
        _photo(folder / "img_align_celeba" / name, number)
    lines = [f"{name}  {row}" for name, row in zip(names, rows, strict=True)]
    (folder / "list_attr_celeba.txt").write_text("\n".join([str(len(names)), " ".join(attributes), *lines]) + "\n")
    (folder / "identity_CelebA.txt").write_text("".join(f"{name} {7 * i + 5}\n" for i, name in enumerate(names)))
    return folder


def release_folder(folder: Path) -> Path:
    """456 photos named like those of the paper's release."""
    for number, row in enumerate(shipped.rows("paper_labels.csv")):
        _photo(folder / "synthetic_images" / f"{int(row['id']):06d}.jpg", number)
    return folder


def _photo(path: Path, number: int) -> None:
    """A small photo of one colour with a brighter corner."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((22, 18, 3), (37 * number % 200, 90, 11 * number % 200), dtype=np.uint8)
    pixels[:6, :6] += 40
    Image.fromarray(pixels).save(path)
