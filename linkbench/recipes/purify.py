"""An attacker who cleans what he scraped, with a network that has learned what protection looks like."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from linkbench.api.countermeasure import Countermeasure
from linkbench.api.fields import Count, DefenderSpecs, nested

if TYPE_CHECKING:
    from torch import Tensor

    from linkbench.api.training_data import TrainingData

TOOLS = [
    "none",
    {"use": "noise", "epsilon": 8 / 255},
    {"use": "joint-pgd", "epsilon": 8 / 255, "steps": 5},
]
"""Photos as they are, with noise, and as his own network is attacked."""

UNetWidth = Annotated[int, Field(ge=2, le=64, description="channels of the U-Net at full resolution")]
UNetSteps = Annotated[Count, Field(description="of training, on 24 photos each")]
LearningRate = Annotated[float, Field(gt=0, le=1, description="of Adam, at first; it falls along a cosine")]


class Purify(Countermeasure):
    """The predictor sees photos through a small U-Net that was trained to undo protection.

    The attacker runs every tool of `defenders` on his training photos, with random numbers of his own, and the U-Net
    learns to give the photos back as they were: the least mean square error, each photo of a batch protected by one of
    the tools, drawn at random, and mirrored by chance. Purifiers trained on protected photos are PuFace's idea
    (arXiv:2406.02253). A tool that must see a predictor sees the network as it starts. Photos as they are belong to the
    list, or clean photos suffer.
    """

    defenders: DefenderSpecs = nested("defender", TOOLS, "the tools that he can run")
    width: UNetWidth = 12
    steps: UNetSteps = 1000
    learning_rate: LearningRate = 0.005

    @classmethod
    def trial(cls, folder: Path) -> dict[str, Any]:
        tools = ["none", {"use": "noise", "epsilon": 8 / 255}]
        return {"recipe": {"use": "standard", "epochs": 1}, "defenders": tools, "width": 2, "steps": 2}

    def learn(self, data: TrainingData) -> dict[str, Tensor]:
        """The weights of the U-Net. Raises InputError where a tool must see a network and none is trained yet."""
        from linkbench.harness.protected_examples import protected_by
        from linkbench.models.restoration import RestorationPlan, learn_to_restore

        with TemporaryDirectory(prefix="linkbench-") as folder:
            seen = [
                protected_by(data, data.training, data.network, item, Path(folder, str(at)), "purify")
                for at, item in enumerate(self.defenders)
            ]
            weights = learn_to_restore(
                data, seen, "purify", RestorationPlan(self.width, self.steps, self.learning_rate)
            )
            del seen  # maps must be closed before the folder goes
        return weights

    def see(self, photos: Tensor, learned: Mapping[str, Tensor]) -> Tensor:
        from linkbench.models.unet import cleaned

        return cleaned(photos, learned, self.width)
