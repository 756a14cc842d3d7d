"""One mask per person, made from some of their photos; and whether protected photos of a person match each other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from standins import knowledge, random_photos, study_set
from torch import nn

import linkbench as lb
from linkbench.api.schema import PAPER
from linkbench.defenders.decoys import Match, draw
from linkbench.defenders.personal_mask import PersonalMask
from linkbench.errors import PluginError
from linkbench.metrics.rows import gallery_rows
from linkbench.metrics.settings import Measure

pytestmark = pytest.mark.usefixtures("one_thread")


class Reader(nn.Module):
    """Reads each variant off a random pattern, and is sure of itself."""

    def __init__(self) -> None:
        super().__init__()
        patterns = torch.randn(PAPER.width, 3, 24, 24, generator=torch.Generator().manual_seed(0))
        self.register_buffer(
            "patterns", nn.functional.avg_pool2d(patterns, 4).repeat_interleave(4, 2).repeat_interleave(4, 3)
        )

    def forward(self, photos: torch.Tensor) -> torch.Tensor:
        logits = 0.1 * torch.einsum("nchw,vchw->nv", photos - 0.5, self.patterns)
        return torch.cat([logits[:, span].log_softmax(dim=1) for span in PAPER.slices.values()], dim=1)


NETWORK = Reader()
PEOPLE, EACH = 5, 4
IDENTITY = [person for person in range(PEOPLE) for _ in range(EACH)]
BASES = random_photos(PEOPLE, seed=1)
PHOTOS = (
    0.25 + 0.5 * (0.8 * BASES[torch.tensor(IDENTITY)] + 0.2 * random_photos(len(IDENTITY), seed=2))
).mul(255).round().div(255)  # fmt: skip
STUDIED = study_set(PHOTOS, NETWORK, IDENTITY)
TOOL = PersonalMask(epsilon=0.05, steps=8, photos=2)


def told(tool: PersonalMask, rows: list[int], photos: torch.Tensor = PHOTOS):  # type: ignore[no-untyped-def]
    learned = tool.learn(study_set(photos, NETWORK, IDENTITY))
    return replace(
        knowledge(len(rows), NETWORK),
        learned=learned,
        identity=tuple(IDENTITY[row] for row in rows),
        keys=tuple(rows),
    )


def test_all_photos_of_a_person_wear_the_same_mask() -> None:
    rows = [0, 3, 9, 2]
    mask = TOOL.perturb(PHOTOS[rows], told(TOOL, rows)) - PHOTOS[rows]
    assert mask.abs().max() <= TOOL.epsilon + 1e-6
    torch.testing.assert_close(mask[0], mask[1])
    torch.testing.assert_close(mask[0], mask[3])
    assert not torch.allclose(mask[0], mask[2])
    again = TOOL.perturb(PHOTOS[[3]], told(TOOL, [3])) - PHOTOS[[3]]
    torch.testing.assert_close(again[0], mask[0])


def test_it_is_made_from_the_first_photos_alone() -> None:
    other = PHOTOS.clone()
    other[2:4] = random_photos(2, seed=9)
    masks = [TOOL.perturb(PHOTOS[[3]], told(TOOL, [3], photos)) for photos in (PHOTOS, other)]
    assert torch.equal(*masks)
    other[0] = random_photos(1, seed=10)
    assert not torch.equal(TOOL.perturb(PHOTOS[[3]], told(TOOL, [3], other)), masks[0])


def test_photos_that_it_was_not_made_from_pass_for_the_decoy_too() -> None:
    rows = [row for row in range(len(IDENTITY)) if row % EACH >= TOOL.photos]
    known = told(TOOL, rows)
    goal = Match(known.learned.decoys.log_probs[draw(known, known.learned.decoys, None)].exp(), None)
    before, after = (
        -goal.value(NETWORK(photos)).mean() for photos in (PHOTOS[rows], TOOL.perturb(PHOTOS[rows], known))
    )
    assert after < 0.7 * before


def test_who_was_not_studied_gets_the_mask_of_the_photo_at_hand() -> None:
    known = replace(told(TOOL, [0, 1]), identity=(77, 77))
    out = TOOL.perturb(PHOTOS[:2], known)
    assert not torch.allclose(out[0] - PHOTOS[0], out[1] - PHOTOS[1])
    assert 77 not in known.learned.masks
    with pytest.raises(PluginError, match="given none"):
        TOOL.perturb(PHOTOS[:2], replace(known, learned=None))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), photos=st.integers(2, 12))
def test_the_gallery_matches_itself_as_often_as_counted(seed: int, photos: int) -> None:
    random = np.random.default_rng(seed)
    embeddings, identity = random.normal(size=(photos, 3)), random.integers(0, 4, photos)
    using = random.random(photos) < 0.8
    found = []
    for row in range(photos):
        others = [other for other in range(photos) if other != row]
        if using[row] and (identity[others] == identity[row]).any():
            cosine = [
                embeddings[other] @ embeddings[row] / np.linalg.norm(embeddings[other]) for other in others
            ]  # fmt: skip
            found.append(identity[others[int(np.argmax(cosine))]] == identity[row])
    rows = gallery_rows(embeddings, identity, using, Measure(resamples=100), 0)
    if found:
        assert rows[0]["metric"] == "gallery_match"
        assert rows[0]["value"] == pytest.approx(np.mean(found))
    else:
        assert rows == []


def test_equal_photos_of_two_people_match_half() -> None:
    rows = gallery_rows(np.ones((4, 2)), np.array([0, 0, 1, 1]), np.ones(4, dtype=bool), Measure(resamples=100), 0)
    assert rows[0]["value"] == pytest.approx(1 / 3)


def test_an_identification_with_a_mask(tmp_path: Path) -> None:
    results = lb.run({
        "linkbench": 1, "name": "masks", "task": "identification",
        "cohort": {"use": "rendered", "count": 32, "per_identity": 4, "size": 32}, "split": {"test": 0.5},
        "models": [{"name": "own", "architecture": {"use": "small-cnn", "width": 4, "depth": 3},
                    "recipe": {"use": "embedding", "epochs": 1}}],
        "defenders": ["none", {"use": "personal-mask", "steps": 2, "photos": 1}],
        "channels": ["png"], "identifiers": ["nearest-neighbour"], "measure": {"resamples": 100},
    }, store=tmp_path)  # fmt: skip
    assert not results.failed
    for cell in results.cells:
        assert 0 <= cell.metrics["gallery_match"].value <= 1
