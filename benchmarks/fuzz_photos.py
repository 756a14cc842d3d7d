"""Ten thousand broken photo files: each is read or refused, soon, in bounded memory, and nothing else is written.

    python benchmarks/fuzz_photos.py [--files 10000] [--seed 0]

Files are mutated copies of a rendered person's photo in every format. Ends with status 1 at the first traceback, at a
file that takes more than 5 s, or where memory passes 2 GB.
"""

from __future__ import annotations

import argparse
import io
import random
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from linkbench.cohorts.faces import render
from linkbench.errors import LinkbenchError
from linkbench.faces import read, write

LONGEST, MOST = 5.0, 2_000_000
"""Seconds for one file; kilobytes of the process."""


def originals() -> dict[str, bytes]:
    """Whole files by ending."""
    person = render(torch.tensor([[0, 1, 0, 0]]), torch.tensor([1]), torch.tensor([0]), seed=1, size=96)[0]
    image = Image.fromarray(person.permute(1, 2, 0).numpy())
    tag = Image.Exif()
    tag[0x0112], tag[0x010F] = 6, "Camera"
    out = {}
    for name, how in (
        ("base.jpg", {"quality": 85, "exif": tag}),
        ("progressive.jpg", {"quality": 85, "progressive": True}),
        ("rgb.png", {}),
        ("lossy.webp", {"quality": 80}),
        ("lossless.webp", {"lossless": True}),
    ):
        file = io.BytesIO()
        image.save(file, {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}[name.partition(".")[2]], **how)
        out[name] = file.getvalue()
    import cv2
    from pillow_heif import from_pillow

    deep = np.asarray(image).astype(np.uint16) * 257
    out["deep.png"] = cv2.imencode(".png", deep)[1].tobytes()
    file = io.BytesIO()
    from_pillow(image).save(file)
    out["photo.heic"] = file.getvalue()
    return out


def mutated(whole: bytes, chance: random.Random) -> bytes:
    """Some bytes changed, many of them near the start, where headers are; parts cut out, doubled or cut off."""
    data = bytearray(whole)
    for _ in range(chance.choice((1, 2, 4, 16))):
        reach = chance.choice((64, 400, len(data)))
        data[chance.randrange(min(reach, len(data)))] = chance.choice((0, 255, chance.randrange(256)))
    if chance.random() < 0.2:
        start = chance.randrange(len(data))
        del data[start : start + chance.randrange(64)]
    if chance.random() < 0.1:
        start = chance.randrange(len(data))
        data[start:start] = data[start : start + 200]
    if chance.random() < 0.2:
        del data[chance.randrange(len(data)) :]
    return bytes(data)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    chance, whole = random.Random(given.seed), originals()
    names, fine, slowest = sorted(whole), 0, 0.0
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "out").mkdir()
        for number in range(given.files):
            name = names[number % len(names)]
            path = Path(folder) / name
            path.write_bytes(mutated(whole[name], chance))
            began = time.perf_counter()
            try:
                write(read(path), Path(folder) / "out" / name)
                fine += 1
            except LinkbenchError:
                pass
            took = time.perf_counter() - began
            slowest = max(slowest, took)
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            left = {each.name for each in Path(folder).iterdir()} - {*names, "out"}
            if took > LONGEST or memory > MOST or left:
                sys.exit(f"file {number} ({name}): {took:.1f} s, {memory / 1e6:.2f} GB, also wrote {sorted(left)}")
    print(f"{given.files} files: {fine} read and written, the others refused; slowest {slowest:.2f} s, "
          f"memory {memory / 1e6:.2f} GB")  # fmt: skip


if __name__ == "__main__":
    main()
