"""What networks that know faces read: python benchmarks/backbones.py FACE_API --paper-release FOLDER --london FOLDER

FACE_API: the npm package @vladmandic/face-api. Its networks get last layers for the paper's phenotypes (`linear-probe`)
and are then trained on as a whole. Balanced accuracy with intervals of 95 % over people. Paper's release: five-fold by
identity, each fold read by networks that learned from the others (Venkatesaramani et al. 2021). London (Face Research
Lab London Set): sex, read by networks that learned from all of the release; faces are found as by `linkbench risk`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from predictors import cut, london, paper_release

from linkbench.api import seeds
from linkbench.api.data import Array, most_likely
from linkbench.api.schema import PAPER
from linkbench.api.training_data import Examples, Photos, TrainingData
from linkbench.metrics.rows import prediction_rows
from linkbench.metrics.settings import Measure
from linkbench.models.age_gender import AgeGender
from linkbench.models.dlib_resnet import DlibResNet
from linkbench.models.predictor import Predictor, predict
from linkbench.models.weights import write_safetensors
from linkbench.recipes.linear_probe import LinearProbe
from linkbench.recipes.standard import Standard
from linkbench.risk.reading import pool

SIZE, FOLDS = 200, 5
"""Edge of the faces in pixels, and parts of the people."""

FRAME: dict[str, Any] = {"eye_span": 0.22, "eye_height": 0.48, "shared": True}
"""Where `linkbench.faces` has the eyes."""

BACKBONES = {"age-gender": AgeGender, "dlib-resnet": DlibResNet}


class People(NamedTuple):
    """Faces uint8 [n, 3, s, s], labels int64 [n, 4] and identities int64 [n]."""

    photos: Array
    labels: Array
    identity: Array


def celeba(photos: list[Path], labels: Array, identity: Array) -> People:
    """CelebA has the eyes of everybody at the same place, near (69, 111) and (109, 111) of 178 x 218 pixels."""
    frame, top = (SIZE, SIZE), round(111 - float(FRAME["eye_height"]) * 178)
    shown = [Image.open(photo).convert("RGB").crop((0, top, 178, top + 178)).resize(frame) for photo in photos]
    return People(np.stack([np.asarray(each).transpose(2, 0, 1) for each in shown]), labels, identity)


def found_faces(photos: list[Path], labels: Array, identity: Array) -> People:
    found, rows = cut(photos, SIZE)
    return People(found, labels[rows], identity[rows])


def learned(architecture: Any, people: People, rows: Array, seed: int, tuned: int) -> Iterator[tuple[str, Predictor]]:
    """Predictors that learned from those rows: the probe, and the same trained on for so many epochs."""
    part = (people.labels[rows], np.zeros((len(rows), PAPER.width)), people.identity[rows])
    nobody = Examples(Photos(people.photos, rows[:0]), *(each[:0] for each in part))
    examples = Examples(Photos(people.photos, rows), *part)
    data = TrainingData(PAPER, examples, nobody, np.zeros((1, PAPER.width)), "cpu", seed)
    torch.manual_seed(seed)
    network = architecture.build(PAPER, SIZE)
    LinearProbe().train(network, data)
    yield "probe", Predictor(network, PAPER)
    if tuned:
        Standard(epochs=tuned, patience=None).train(network, data)
        yield "fine-tuned", Predictor(network, PAPER)


def told(title: str, name: str, probabilities: Array, people: People) -> None:
    variants = most_likely(probabilities, PAPER)
    rows = prediction_rows(variants, people.labels, people.identity, PAPER, Measure(), 0)
    each = [f"{row['metric'].split(':')[1]} {row['value']:.3f} [{row['ci_low']:.3f}, {row['ci_high']:.3f}]"
            for row in rows if row["metric"].startswith("balanced")]  # fmt: skip
    print(f"{title}, {name}: {', '.join(each)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=Path)
    parser.add_argument("--paper-release", type=Path, required=True)
    parser.add_argument("--london", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tuned", type=int, default=6, help="epochs in which all layers are trained on; 0: none")
    asked = parser.parse_args()
    people = celeba(*paper_release(asked.paper_release))
    who, row = np.unique(people.identity, return_inverse=True)
    fold = (seeds.generator(asked.seed, "folds").permutation(len(who)) % FOLDS)[row]
    everybody = np.arange(len(people.photos))
    with TemporaryDirectory() as folder:
        architectures = {}
        for name, plugin in BACKBONES.items():
            file = Path(folder, f"{name}.safetensors")
            write_safetensors(plugin().import_weights(plugin().read_weights(asked.package)), file)
            architectures[name] = plugin(weights=file, **FRAME)
        said: dict[str, Array] = {}
        for held in range(FOLDS):
            train, test = np.flatnonzero(fold != held), np.flatnonzero(fold == held)
            for name, architecture in architectures.items():
                for kind, predictor in learned(architecture, people, train, asked.seed, asked.tuned):
                    found = said.setdefault(f"{name} {kind}", np.empty((len(people.photos), PAPER.width)))
                    found[test] = predict(predictor, people.photos, rows=test)
        said["both probes"] = pool(np.stack([said[f"{name} probe"] for name in architectures]), PAPER)
        for name, probabilities in said.items():
            told("paper-release", name, probabilities, people)
        if not asked.london:
            return
        others = {which: found_faces(*london(asked.london, which)) for which in ("neutral_front", "smiling_front")}
        for name, architecture in architectures.items():
            for kind, predictor in learned(architecture, people, everybody, asked.seed, asked.tuned):
                for title, shown in others.items():
                    told(f"london {title}", f"{name} {kind}", predict(predictor, shown.photos), shown)


if __name__ == "__main__":
    main()
