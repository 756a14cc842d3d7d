"""What a predictor reads from photos of one person: probabilities, where it looks, and what another shot might give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from linkbench.api.data import Array, Evidence
from linkbench.api.schema import Schema
from linkbench.api.seeds import derive

if TYPE_CHECKING:
    from linkbench.models.predictor import Predictor

VIEWS = 32
"""Photos that each photo stands for: itself, and mild changes such as another shot would bring."""

GLANCES, BLUR = 16, 0.05
"""Noisy copies of a photo over which its saliency is averaged, and their noise in pixel units (Smilkov et al. 2017)."""


class Reading(NamedTuple):
    """What one predictor reads.

    photos: uint8 [n, 3, s, s], as it saw them; each: float64 [n, V], probabilities photo by photo; pooled: [V], of all
    photos together; views: [VIEWS, V], of all photos together, each mildly changed; heat: float32 [n, P, s, s] in
    [0, 1], how much each pixel counts for the variant that is read; learned_from: what the predictor says of labelled
    people, and their labels int64 [m, P], for attackers who calibrate, or None.
    """

    name: str
    title: str
    schema: Schema
    photos: Array
    each: Array
    pooled: Array
    views: Array
    heat: Array
    learned_from: tuple[Evidence, Array] | None


def pool(probabilities: Array, schema: Schema) -> Array:
    """[.., V] from [n, .., V]: the mean of the log-probabilities of n photos, normalised again per phenotype."""
    if len(probabilities) == 1:
        single: Array = probabilities[0]
        return single
    mean = np.exp(np.log(np.maximum(probabilities, 1e-12)).mean(axis=0))
    for span in schema.slices.values():
        mean[..., span] /= mean[..., span].sum(axis=-1, keepdims=True)
    pooled: Array = mean
    return pooled


def read(
    name: str,
    title: str,
    predictor: Predictor,
    photos: Array,
    learned_from: tuple[Evidence, Array] | None,
    *,
    device: str = "cpu",
    seed: int = 0,
) -> Reading:
    """Let a predictor look at the aligned faces of one person, uint8 [n, 3, s, s]."""
    import torch

    from linkbench.api.training_data import to_unit
    from linkbench.models.augment import augment
    from linkbench.models.predictor import predict

    schema = predictor.schema
    each = predict(predictor, photos, device=device)
    changed = []
    for number, photo in enumerate(photos):
        random = torch.Generator().manual_seed(derive(seed, "views", number))
        copies = to_unit(np.repeat(photo[None], VIEWS - 1, axis=0))
        shown = torch.cat([to_unit(photo[None]), augment(copies, 1.0, random)])
        changed.append(predict(predictor, shown.numpy(), device=device))
    heat = np.stack([_saliency(predictor, photo, derive(seed, "saliency", number), device) for number, photo in
                     enumerate(photos)])  # fmt: skip
    views = pool(np.stack(changed), schema)
    return Reading(name, title, schema, photos, each, pool(each, schema), views, heat, learned_from)


def _saliency(predictor: Predictor, photo: Array, seed: int, device: str) -> Array:
    """float32 [P, s, s]: for each phenotype the mean size of the gradient of log P(the variant that is read)."""
    import torch

    from linkbench.api.training_data import to_unit

    random = torch.Generator().manual_seed(seed)
    clean = to_unit(photo[None]).to(device)
    noise = BLUR * torch.randn((GLANCES, *clean.shape[1:]), generator=random)
    out = []
    with torch.no_grad():
        said = predictor(clean)[0]
    for span in predictor.schema.slices.values():
        shown = (clean + noise.to(device)).clamp(0, 1).requires_grad_()
        variant = span.start + int(said[span].argmax())
        (gradient,) = torch.autograd.grad(predictor(shown)[:, variant].sum(), shown)
        size = gradient.abs().sum(dim=1).mean(dim=0)
        out.append((size / size.max().clamp_min(1e-12)).cpu().numpy().astype(np.float32))
    return np.stack(out)


SHOWN = 192
"""Edge in pixels of each part of the saliency picture, about."""


def picture(readings: Sequence[Reading]) -> Array:
    """uint8 [3, H, W]: a row for each predictor and photo; the photo, then what counts for each phenotype in red."""
    rows = []
    for reading in readings:
        for photo, heat in zip(reading.photos, reading.heat, strict=True):
            grey = photo.astype(np.float32).mean(axis=0)
            parts = [photo.astype(np.float32)]
            for plane in heat:
                strength = plane**0.5
                red = grey * (1 - 0.8 * strength)
                parts.append(np.stack([np.maximum(grey, 255 * strength), red, red]))
            scale = max(1, round(SHOWN / photo.shape[-1]))
            row = np.concatenate(parts, axis=2).repeat(scale, axis=1).repeat(scale, axis=2)
            rows.append(row.clip(0, 255).round().astype(np.uint8))
    width = max(row.shape[2] for row in rows)
    return np.concatenate([np.pad(row, ((0, 0), (0, 0), (0, width - row.shape[2]))) for row in rows], axis=1)
