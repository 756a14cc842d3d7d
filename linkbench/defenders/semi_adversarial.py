"""A network that says where other people are mixed into photos, and the opponents against whom it is trained.

Semi-adversarial networks (Mirjalili, Raschka & Ross 2018, 2020) change a photo against classifiers that stand still.
Here the classifiers go on learning on what the network puts out, as whoever has the tool can, and each begins anew from
time to time, so that it is not enough to hide from the opponents of the moment.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from linkbench.api import seeds
from linkbench.api.data import Array
from linkbench.api.knowledge import StudySet
from linkbench.api.progress import advance
from linkbench.metrics.image_quality import ssim
from linkbench.models.losses import Losses
from linkbench.models.networks import SmallNetwork
from linkbench.models.seeding import seeded
from linkbench.models.unet import CONTRAST, UNet

COARSE, MIDDLE = 16, 4
"""Of the three bands into which the difference between two photos is cut, the coarsest keeps what squares of this many
parts of 64 of the photo's width are like, the middle one what finer squares are like, the finest the rest."""

START = (-1.0, 0.0, 1.0)
"""Logits of the other person's part of the finest, the middle and the coarsest band before training: SSIM forgives what
is coarse."""

BATCH = 16
HALVINGS = 6
"""How precisely a change is shortened into its budget in training: to 2 ** -HALVINGS of itself."""

DEEPEST = 4
"""How often opponents halve the photo's size."""

OVERDRAWN = 20.0
"""What the square of the SSIM that a change lacks costs beside the opponents' summed cross-entropy, nats."""


class Plan(NamedTuple):
    """How to train. ssim: the least; steps: of the network; width: its channels; opponents: how many; restarts: how
    often each begins anew; learning_rate: of Adam, at first; it falls along a cosine."""

    ssim: float
    steps: int
    width: int
    opponents: int
    restarts: int
    learning_rate: float


class Mixer(UNet):
    """Photos and other people's photos, float [n, 3, h, w] in [0, 1], to a mixture that may leave [0, 1].

    At every place it says how much of the difference between the two it takes, band by band, and adds a change of its
    own. Shrinking to 1/8 of the range keeps that small at first.
    """

    def __init__(self, width: int) -> None:
        super().__init__(width, inputs=6, outputs=6)
        with torch.no_grad():
            self.last.bias[:3] = torch.tensor(START)  # type: ignore[index]

    def mix(self, photos: Tensor, others: Tensor) -> Tensor:
        out = self.planes((torch.cat([photos, others], dim=1) - 0.5) * CONTRAST)
        part = out[:, :3].sigmoid()
        rest = others - photos
        coarse, middle = (_squares(rest, round(photos.shape[-1] * width / 64)) for width in (COARSE, MIDDLE))
        mixed: Tensor = photos + out[:, 3:] / 8
        for at, band in enumerate((rest - middle, middle - coarse, coarse)):
            mixed = mixed + part[:, at : at + 1] * band
        return mixed


def _squares(values: Tensor, width: int) -> Tensor:
    """The means of squares, joined smoothly."""
    high, wide = (max(1, extent // max(width, 1)) for extent in values.shape[-2:])
    means = F.adaptive_avg_pool2d(values, (high, wide))
    return F.interpolate(means, size=values.shape[-2:], mode="bilinear", align_corners=False)


def shortened(photos: Tensor, changed: Tensor, least: float) -> Tensor:
    """Changed photos as near to the photos as the SSIM asks for, in [0, 1]; gradients go along the change alone."""
    with torch.no_grad():
        part = torch.zeros(len(photos), 1, 1, 1, device=photos.device)
        for step in [1.0, *(0.5**halving for halving in range(1, HALVINGS + 1))]:
            more = part + step
            near = (photos + more * (changed - photos)).clamp(0, 1)
            part = torch.where((ssim(photos, near) >= least).view(-1, 1, 1, 1) & (more <= 1), more, part)
    return (photos + part * (changed - photos)).clamp(0, 1)


def trained(studied: StudySet, plan: Plan) -> Mixer:
    """The network for these photos and this plan: always the same, since the tool has no secret but whom it mixes in.

    Whoever runs it on the same photos, the attacker among them, has the same network; it is trained once a process.
    """
    assert studied.labels is not None
    digest = hashlib.sha256(repr((plan, studied.device, torch.get_num_threads())).encode())
    digest.update(np.ascontiguousarray(studied.labels).tobytes())
    for start in range(0, len(studied), 64):
        digest.update(studied.pixels(np.arange(start, min(start + 64, len(studied)))).cpu().numpy().tobytes())
    key = digest.hexdigest()
    if key not in _TRAINED:
        with seeded(studied.device, seeds.derive(0, "suppress")):
            made = _train(studied, studied.labels, plan)
        while len(_TRAINED) >= MOST_KEPT:
            _TRAINED.pop(next(iter(_TRAINED)))
        _TRAINED[key] = made
    return _TRAINED[key]


MOST_KEPT = 4
"""Networks that a process remembers; the oldest one goes first."""

_TRAINED: dict[str, Mixer] = {}
"""The latest networks, by what they were made from."""


class _Opponent:
    """A network that learns to read phenotypes on whatever the tool puts out just now."""

    def __init__(self, studied: StudySet, losses: Losses) -> None:
        self.losses = losses
        self.network = SmallNetwork(studied.schema.width, studied.size, 12, DEEPEST, 0.0).to(studied.device)
        self.optimiser = torch.optim.AdamW(self.network.parameters(), lr=0.003, weight_decay=0.01)

    def loss(self, photos: Tensor, labels: Tensor) -> Tensor:
        """The cross-entropy of all phenotypes, nats."""
        return self.losses.total(self.network(photos), labels)

    def study(self, photos: Tensor, labels: Tensor) -> None:
        self.network.train()
        self.optimiser.zero_grad(set_to_none=True)
        self.loss(photos, labels).backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()

    def judge(self, photos: Tensor, labels: Tensor) -> Tensor:
        """The loss with a gradient to the photos alone."""
        self.network.eval().requires_grad_(False)
        value = self.loss(photos, labels)
        self.network.requires_grad_(True)
        return value


def _train(studied: StudySet, labels: Array, plan: Plan) -> Mixer:
    """Every step the opponents learn once on photos as they are and as they are changed, with their true labels; then
    the network learns to make them all see the labels of whoever was mixed in, drawn without looking at the photo."""
    random, device = seeds.generator(0, "suppress"), studied.device
    losses = Losses(studied.schema, labels, 0.5, device)
    mixer = Mixer(plan.width).to(device)
    optimiser = torch.optim.Adam(mixer.parameters(), lr=plan.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, plan.steps)
    opponents = [_Opponent(studied, losses) for _ in range(plan.opponents)]
    renewals = plan.opponents * plan.restarts
    due = {round(plan.steps * (at + 1) / (renewals + 1)): at % plan.opponents for at in range(renewals)}
    for step in range(plan.steps):
        if step in due:
            opponents[due[step]] = _Opponent(studied, losses)
        rows = random.choice(len(studied), min(BATCH, len(studied)), replace=False)
        theirs = random.integers(0, len(studied), len(rows))
        photos, others = (_mirrored(studied.pixels(index), random) for index in (rows, theirs))
        true, lent = (torch.from_numpy(labels[index]).to(device) for index in (rows, theirs))
        mixed = mixer.mix(photos, others)
        out = shortened(photos, mixed, plan.ssim)
        for opponent in opponents:
            opponent.study(torch.cat([out.detach(), photos]), torch.cat([true, true]))
        seen = torch.stack([opponent.judge(out, lent) for opponent in opponents]).mean()
        lacking = (plan.ssim - ssim(photos, mixed.clamp(0, 1))).clamp_min(0)
        optimiser.zero_grad(set_to_none=True)
        (seen + OVERDRAWN * lacking.square().mean()).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        advance(step + 1, plan.steps, "training")
    return mixer.eval().requires_grad_(False)


def _mirrored(photos: Tensor, random: np.random.Generator) -> Tensor:
    """Photos, each turned round by chance."""
    turned = torch.from_numpy(random.random(len(photos)) < 0.5).to(photos.device)
    return torch.where(turned[:, None, None, None], photos.flip(-1), photos)
