"""Several looks at the same photos: noise that belongs to a photo, votes, and answers that are averaged."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from linkbench.api.schema import Schema
from linkbench.models.batches import batch_size


class Noise:
    """Standard normal numbers for photos float [n, 3, h, w], look by look: those of a photo follow from its pixels and
    the secret, whatever batch it is in and whatever device it is on."""

    def __init__(self, photos: Tensor, secret: int | None = None) -> None:
        self.like = photos.detach()
        self.generators = []
        for pixels in self.like.cpu().contiguous().numpy():
            digest = hashlib.sha256(f"{secret}\0".encode() + pixels.tobytes()).digest()
            self.generators.append(torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1))

    def next(self) -> Tensor:
        """[n, 3, h, w], of the next look."""
        out = torch.empty(self.like.shape, dtype=torch.float32)
        for row, generator in enumerate(self.generators):
            out[row].normal_(generator=generator)
        return out.to(self.like)


def variant_counts(schema: Schema) -> dict[str, Tensor]:
    """variants: int64 [P], how many variants each phenotype has, which are the sizes that `spans` is given."""
    return {"variants": torch.tensor([len(schema[phenotype]) for phenotype in schema])}


def spans(width: int, sizes: Sequence[int]) -> list[slice]:
    """The columns of each phenotype among logits [n, width]: of all phenotypes, or of a single one."""
    if width != sum(sizes):
        return [slice(0, width)]
    ends = torch.tensor(sizes).cumsum(0).tolist()
    return [slice(end - size, end) for end, size in zip(ends, sizes, strict=True)]


def mean_answer(logits: Sequence[Tensor], sizes: Sequence[int]) -> Tensor:
    """Logarithms [n, C] of probabilities averaged over looks; sizes: as of `spans`."""
    every = torch.stack(list(logits)).float()
    parts = [every[..., span].log_softmax(-1) for span in spans(every.shape[-1], sizes)]
    return torch.cat(parts, dim=-1).logsumexp(0)


@torch.no_grad()
def votes(
    network: Callable[[Tensor], Tensor], photos: Tensor, noise: Noise, sigma: float, draws: int, sizes: Sequence[int]
) -> Tensor:
    """float32 [n, C], the part of the looks at which each variant was the most likely one; ties go to the first."""
    together = max(1, batch_size(photos.shape[-1], photos.device.type) // max(len(photos), 1))
    counts: Tensor | None = None
    for start in range(0, draws, together):
        looks = [photos + sigma * noise.next() for _ in range(min(together, draws - start))]
        logits = network(torch.cat(looks))
        if counts is None:
            counts = torch.zeros(len(photos), logits.shape[1], device=photos.device)
        for span in spans(logits.shape[1], sizes):
            won = torch.nn.functional.one_hot(logits[:, span].argmax(dim=1), span.stop - span.start)
            counts[:, span] += won.view(len(looks), len(photos), -1).sum(0)
    assert counts is not None
    return counts / draws


def steps_toward_each(network: Callable[[Tensor], Tensor], photos: Tensor) -> list[Tensor]:
    """For each logit the signs [n, 3, h, w] of a small step that raises it among those of the network; no gradient."""
    with torch.inference_mode(False), torch.enable_grad():
        own = photos.detach().clone().requires_grad_()
        logits = network(own)
        return [
            torch.autograd.grad(logits[:, column].sum(), own, retain_graph=True)[0].sign()
            for column in range(logits.shape[1])
        ]
