"""What the harness checks of plugins that change photos: that photos come back, and that networks stay as they were."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from linkbench.errors import PluginError

if TYPE_CHECKING:
    from torch import Tensor, nn


def check_photos(out: Any, photos: Tensor, who: str) -> Tensor:
    """Refuse what is no photo. Raises PluginError naming the plugin."""
    import torch

    if type(out) is not torch.Tensor:  # a subclass may answer differently each time that it is looked at
        raise PluginError(f"{who} must return a tensor, it returned {type(out).__name__}")
    for what, found, wanted in (
        ("shape", tuple(out.shape), tuple(photos.shape)),
        ("dtype", out.dtype, photos.dtype),
        ("device", out.device.type, photos.device.type),
    ):
        if found != wanted:
            raise PluginError(f"{who} must return the {what} that it was given, {wanted}; it returned {found}")
    if not bool(torch.isfinite(out).all()):
        raise PluginError(f"{who} put out pixels that are NaN or infinite")
    return out.detach()


class Guard:
    """Notices a defender that changes the networks it was only to look at."""

    def __init__(self, predictor: nn.Module | None, who: str) -> None:
        self.predictor, self.who = predictor, who
        self.before = self._state()

    def _state(self) -> tuple[Any, ...]:
        import torch

        if not isinstance(self.predictor, torch.nn.Module):
            return ()
        # sums of the bits: exact, in any order, and quick
        views = {8: torch.int64, 4: torch.int32, 2: torch.int16, 1: torch.uint8}
        weights = [
            int(tensor.detach().contiguous().view(views[tensor.element_size()]).sum(dtype=torch.int64))
            for tensor in (*self.predictor.parameters(), *self.predictor.buffers())
        ]
        return weights, [module.training for module in self.predictor.modules()]

    def check(self) -> None:
        """Raises PluginError. Nothing need be restored: the predictor was loaded for this stage and goes with it."""
        now = self._state()
        if now == self.before:
            return
        what = "training mode" if now[0] == self.before[0] else "weights"
        raise PluginError(f"{self.who} changed the {what} of the predictor that it was shown; its results are void")
