"""What linkbench expects of every defender, and what this one is for."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from linkbench import PAPER, Knowledge
from linkbench.testing import conformance
from linkbench_template.defender import Template

PHOTOS = torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("check", conformance(Template), ids=str)
def test_conformance(check: Callable[[], None]) -> None:
    check()


def test_it_flattens_contrast() -> None:
    known = Knowledge(schema=PAPER, keys=(0, 1, 2, 3, 4), seed=0)
    out = Template(epsilon=0.05, random=0).perturb(PHOTOS, known)
    assert (out - PHOTOS).abs().max() > 0.01
    assert out.std() < PHOTOS.std()
