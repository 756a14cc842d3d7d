"""Training for photos of another kind: each batch as other cameras might have taken and posted it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from linkbench.api import seeds
from linkbench.recipes.standard import Standard, Strength

if TYPE_CHECKING:
    from torch import Tensor, nn

    from linkbench.api.training_data import Report, TrainingData
    from linkbench.models.training import Batch


class OtherCameras(Standard):
    """`standard` on photos with other exposure, colours, framing, blur, grain and things in front, drawn every time.

    For a predictor that is trained on one kind of photos, such as rendered ones, and must read another.
    """

    strength: Strength = Field(1.0, description="of exposure, white balance, saturation, contrast and light")
    closer: Annotated[float, Field(ge=0, le=2, description="how much nearer the camera may be: 0.4 is 1.4 times")] = 0.4

    @classmethod
    def trial(cls, folder: Path) -> dict[str, Any]:
        return {"epochs": 2}

    def train(self, network: nn.Module, data: TrainingData) -> Report:
        import torch

        from linkbench.models.cameras import other_cameras
        from linkbench.models.training import fit

        def transform(photos: Tensor, told: Batch) -> Tensor:
            seed = seeds.derive(data.seed, "cameras", told.epoch, int(told.keys[0]))
            return other_cameras(photos, self.strength, self.closer, torch.Generator().manual_seed(seed))

        return fit(network, data, self.plan(), transform)
