"""Measures of change: against kornia, against their definitions, at the edges."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from linkbench.metrics.image_quality import PSNR_CAP, l2, linf, psnr, ssim


def photos(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize("size", [(11, 11), (16, 31), (64, 64)])
@pytest.mark.parametrize("noise", [0.0, 0.01, 0.3])
def test_ssim_equals_kornia(size: tuple[int, int], noise: float) -> None:
    from kornia.metrics import ssim as reference

    before = photos(3, 3, *size)
    after = (before + noise * (photos(3, 3, *size, seed=1) - 0.5)).clamp(0, 1)
    expected = reference(before, after, window_size=11, max_val=1.0, padding="valid").mean(dim=(1, 2, 3))
    np.testing.assert_allclose(ssim(before, after).numpy(), expected.numpy(), rtol=0, atol=1e-9)
    single = ssim(before.float(), after.float())
    assert single.dtype == torch.float32
    np.testing.assert_allclose(single.numpy(), expected.numpy(), rtol=0, atol=1e-4)


def test_ssim_gradient() -> None:
    before = photos(2, 3, 12, 13)
    after = photos(2, 3, 12, 13, seed=1).requires_grad_(True)
    assert torch.autograd.gradcheck(lambda x: ssim(before, x), (after,), fast_mode=True)
    assert ssim(before, before).tolist() == pytest.approx([1, 1])


def test_ssim_needs_its_window() -> None:
    with pytest.raises(ValueError, match="at least 11 pixels"):
        ssim(photos(1, 3, 10, 64), photos(1, 3, 10, 64))


def test_distances_by_definition() -> None:
    before = torch.zeros(3, 3, 16, 16)
    after = before.clone()
    after[0, 1, 2, 3] = 0.25
    after[1] = 0.5
    assert linf(before, after).tolist() == [0.25, 0.5, 0]
    assert l2(before, after).tolist() == pytest.approx([0.25, 0.5 * 768**0.5, 0])
    assert psnr(before, after).tolist() == pytest.approx([-10 * np.log10(0.0625 / 768), -10 * np.log10(0.25), PSNR_CAP])
    for measure in (linf, l2, psnr):
        assert measure(before, after).dtype == torch.float64
        assert measure(before[:0], after[:0]).shape == (0,)


def test_psnr_never_exceeds_its_cap() -> None:
    before = photos(1, 3, 16, 16)
    assert psnr(before, before + 1e-9).item() == PSNR_CAP == 100
    assert psnr(torch.zeros(1, 3, 16, 16), torch.ones(1, 3, 16, 16)).item() == 0


def test_a_photo_is_measured_alone() -> None:
    before, after = photos(4, 3, 24, 24), photos(4, 3, 24, 24, seed=1)
    for measure in (linf, l2, psnr, ssim):
        alone = torch.cat([measure(before[row : row + 1], after[row : row + 1]) for row in range(4)])
        np.testing.assert_allclose(measure(before, after).numpy(), alone.numpy(), rtol=1e-12)
