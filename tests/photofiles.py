"""Photo files of a rendered person, as cameras and phones write them; no real face."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from linkbench.cohorts.faces import render


@functools.cache
def person(number: int = 1, size: int = 256) -> np.ndarray[Any, Any]:
    """uint8 [size, size, 3], a rendered face."""
    looks = torch.tensor([[1, 2, 2, 0]])
    shown = render(looks, torch.tensor([number]), torch.tensor([0]), seed=3, size=size)
    return shown[0].permute(1, 2, 0).numpy()


def scene(width: int = 500, height: int = 400, left: int = 150, top: int = 80, number: int = 1) -> np.ndarray[Any, Any]:
    """uint8 [height, width, 3]: the person before a wall that is lit from one side."""
    y, x = np.mgrid[:height, :width]
    wall = np.stack([90 + 60 * x / width, 110 + 40 * y / height, 120 + 0 * x], axis=-1).astype(np.uint8)
    face = person(number)
    wall[top : top + 256, left : left + 256] = face
    return wall


def saved(pixels: np.ndarray[Any, Any], path: Path, **options: Any) -> Path:
    """The pixels as a file, its format by its name."""
    Image.fromarray(pixels).save(path, **options)
    return path


TINY = """
linkbench: 1
name: tiny
genomes: {use: simulated, count: 200}
cohort: {use: rendered, count: 120, size: 32}
split: {test: 0.1, validation: 0.4}
models:
  - name: seen
    architecture: {use: small-cnn, width: 4, shared: true}
    recipe: {use: standard, epochs: 3}
  - name: unseen
    architecture: {use: small-cnn, width: 6, shared: true}
    recipe: {use: standard, epochs: 3}
    sealed: true
defenders:
  {use: decoy-pgd, knowledge: seen, epsilon: [4/255, 16/255], steps: 4, over: [png, {use: resize, factor: 0.7}]}
channels: png
attackers: likelihood
"""
"""A scenario that photos can be protected with after seconds of training."""
