"""The budget, kept by the harness and not by the plugin."""

from __future__ import annotations

import torch
from torch import Tensor

from linkbench.errors import PluginError


def project(photos: Tensor, perturbed: Tensor, epsilon: float | None) -> Tensor:
    """The photos nearest to `perturbed`, pixel by pixel, within epsilon of `photos` and in [0, 1].

    Both float [n, 3, h, w]; epsilon: L-infinity radius in pixel units, None for a defender without one.
    Raises PluginError for another shape, or for numbers that are not finite.
    """
    if perturbed.shape != photos.shape:
        raise PluginError(
            f"the defender returned photos of shape {list(perturbed.shape)}, it was given {list(photos.shape)}; "
            f"perturb must keep the shape"
        )
    perturbed = perturbed.to(photos)
    if not bool(torch.isfinite(perturbed).all()):
        raise PluginError("the defender returned pixels that are not finite (NaN or infinite)")
    if epsilon is not None:
        perturbed = torch.minimum(torch.maximum(perturbed, photos - epsilon), photos + epsilon)
    return perturbed.clamp(0.0, 1.0)
