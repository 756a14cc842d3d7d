"""A trained network as the rest of linkbench sees it: photos to log-probabilities of the variants."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from linkbench.api.data import Array, Artefact
from linkbench.api.progress import advance
from linkbench.api.schema import Schema
from linkbench.api.training_data import to_unit
from linkbench.errors import InputError, WeightsError
from linkbench.models.batches import batch_size
from linkbench.models.filters import Filtered, bare, look_through, unpack
from linkbench.models.folding import fold
from linkbench.models.networks import Part, PerPhenotype
from linkbench.registry.registry import registry

if TYPE_CHECKING:
    pass

WEIGHTS = "weights/"
"""Prefix of the arrays that are network weights in an artefact of the train stage."""


class Predictor(nn.Module):
    """A network and its schema: photos float [n, 3, h, w] in [0, 1] to log-probabilities [n, V].

    The probabilities of each phenotype's variants sum to 1. mixed: whether the network alone, and nothing around it,
    computes in bfloat16 where that is fast.
    """

    def __init__(self, network: nn.Module, schema: Schema, *, mixed: bool = False) -> None:
        super().__init__()
        self.network = network
        self.schema = schema
        self.mixed = mixed

    def _precision(self, device: torch.device) -> Any:
        return mixed_precision(device) if self.mixed else contextlib.nullcontext()

    def forward(self, photos: Tensor) -> Tensor:
        with self._precision(photos.device):
            logits = self.network(photos)
        logits = logits if logits.dtype == torch.float64 else logits.float()
        return torch.cat([logits[:, span].log_softmax(1) for span in self.schema.slices.values()], dim=1)

    def only(self, photos: Tensor, phenotype: str) -> Tensor:
        """log-probabilities [n, K] of one phenotype; the other phenotypes' networks, if separate, do not run."""
        position = self.schema.names.index(phenotype)
        for part in parts_of(self.network, self.schema):
            if part.phenotypes == (position,):
                with self._precision(photos.device):
                    logits = part.network(photos)
                return torch.log_softmax(logits.float() if logits.dtype == torch.bfloat16 else logits, dim=1)
        return self.forward(photos)[:, self.schema.slices[phenotype]]


class Ensemble(nn.Module):
    """Several predictors as one: the mean of their log-probabilities, normalised again per phenotype."""

    def __init__(self, predictors: Sequence[Predictor]) -> None:
        super().__init__()
        self.predictors = nn.ModuleList(predictors)
        self._each = tuple(predictors)
        self.schema = predictors[0].schema

    def forward(self, photos: Tensor) -> Tensor:
        mean = torch.stack([predictor(photos) for predictor in self._each]).mean(0)
        return torch.cat([mean[:, span].log_softmax(1) for span in self.schema.slices.values()], dim=1)

    def only(self, photos: Tensor, phenotype: str) -> Tensor:
        """log-probabilities [n, K] of one phenotype."""
        each = [predictor.only(photos, phenotype) for predictor in self._each]
        return torch.log_softmax(torch.stack(each).mean(0), dim=1)


def ensemble(predictors: Sequence[Predictor]) -> Predictor | Ensemble:
    """One predictor from several of the same schema. Raises InputError where the schemas differ."""
    if any(predictor.schema != predictors[0].schema for predictor in predictors):
        raise InputError("the models of an ensemble predict different phenotypes; use models of one cohort")
    return predictors[0] if len(predictors) == 1 else Ensemble(predictors)


def place(network: nn.Module, device: str) -> None:
    """Move a network to a device, its convolutions in the order of memory that is fastest there."""
    network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]


def upload(photos: Tensor, device: str | torch.device) -> Tensor:
    """Photos [n, 3, h, w] on a device, in the order of memory that convolutions want; a GPU need not wait for them."""
    if torch.device(device).type == "cuda":
        photos = photos.pin_memory()
    return photos.to(device=device, memory_format=torch.channels_last, non_blocking=True)


def parts_of(network: nn.Module, schema: Schema) -> list[Part]:
    """The networks that can be trained and attacked without each other; the whole one where there are no parts."""
    if isinstance(network, Filtered):
        return [
            part._replace(network=Filtered(network.front, part.network)) for part in parts_of(network.behind, schema)
        ]
    if isinstance(network, PerPhenotype):
        return list(network.parts())
    return [Part(network, tuple(range(len(schema))))]


def probe(network: nn.Module, schema: Schema, size: int, name: str) -> None:
    """Try the network on one gray photo. Raises InputError where it fails or does not give logits [1, V]."""
    state = next(network.parameters(), torch.zeros(()))
    photo = torch.full((1, 3, size, size), 0.5, device=state.device, dtype=state.dtype)
    try:
        with evaluating(network), torch.no_grad():
            out = network(photo)
    except Exception as error:
        raise InputError(
            f"{name} fails on one photo [1, 3, {size}, {size}]: {type(error).__name__}: {error}. "
            f"It must take photos of this size"
        ) from error
    if not isinstance(out, Tensor) or out.shape != (1, schema.width):
        got = f"a tensor of shape {list(out.shape)}" if isinstance(out, Tensor) else type(out).__name__
        raise InputError(
            f"{name} gives {got} for one photo; expected logits of shape [1, {schema.width}], "
            f"one column for each of: {', '.join(schema.columns)}"
        )


@contextlib.contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Evaluation mode and no gradients for the weights inside; as before outside."""
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        with evaluating(network):
            yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)


@contextlib.contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode inside, module by module as before outside."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def mixed_precision(device: torch.device) -> Any:
    """bfloat16 where it is fast (CUDA); the CPU computes in float32, the same everywhere."""
    return torch.autocast("cuda", dtype=torch.bfloat16) if device.type == "cuda" else contextlib.nullcontext()


def predict(
    network: Predictor | Ensemble,
    photos: Array,
    batch: int | None = None,
    device: str = "cpu",
    rows: Array | None = None,
) -> Array:
    """float64 [n, V], probabilities; each phenotype sums to 1. Photos are read batch by batch.

    photos: uint8 or float [N, 3, h, w], in memory or mapped; rows: int64 [n], which of them (all by default).
    """
    rows = np.arange(len(photos)) if rows is None else rows
    batch = batch or batch_size(photos.shape[-1], device)
    out = np.empty((len(rows), network.schema.width))
    with frozen(network), torch.inference_mode():
        for part, shown in batches_of(photos, rows, batch, device):
            out[part] = network(shown).double().exp().cpu().numpy()
    for span in network.schema.slices.values():
        out[:, span] /= out[:, span].sum(axis=1, keepdims=True)
    return out


def batches_of(photos: Array, rows: Array, batch: int, device: str) -> Iterator[tuple[slice, Tensor]]:
    """Photos float32 [b, 3, h, w] on the device with their place among the rows; tells how far it is."""
    for start in range(0, len(rows), batch):
        part = slice(start, min(start + batch, len(rows)))
        yield part, upload(to_unit(photos[rows[part]]), device)
        advance(part.stop, len(rows))


def untrained(artefact: Artefact, device: str = "cpu") -> nn.Module:
    """A fresh network of the architecture of a train stage, its weights drawn from torch's global generator.

    It looks through the filters of the trained one.
    """
    spec = artefact.meta["architecture"]
    plugin = registry().load("architecture", spec["name"]).model_validate(spec["params"], strict=False)
    network: nn.Module = plugin.build(Schema.from_json(artefact.meta["schema"]), artefact.meta["size"])
    network = look_through(unpack(artefact), network)
    place(network, device)
    return network


def load_predictor(artefact: Artefact, device: str = "cpu", *, merged: bool = True) -> Predictor:
    """The predictor of a train stage: in evaluation mode, weights frozen. Raises WeightsError if they do not fit.

    merged: whether layers that can be one are made one, which is faster and rounds otherwise than in training.
    """
    schema = Schema.from_json(artefact.meta["schema"])
    with torch.random.fork_rng(devices=[]):
        network = untrained(artefact, device)
    load_weights(network, artefact, f"the trained {artefact.meta['architecture']['name']}")
    if merged:
        network = fold(network.eval())
        place(network, device)
    return Predictor(network, schema).eval().requires_grad_(False)


def check_predictor(artefact: Artefact, where: str) -> Predictor:
    """The predictor of a file, built and tried on a photo. Raises WeightsError where it does not work."""
    broken = next((name for name in artefact.arrays if not np.isfinite(artefact.array(name)).all()), None)
    if broken is not None:
        raise WeightsError(f"predictor {where}: {broken} holds numbers that are not finite")
    try:
        predictor = load_predictor(artefact)
        probe(predictor, predictor.schema, artefact.meta["size"], f"predictor {where}")
    except WeightsError:
        raise
    except Exception as error:  # a network that a file describes can fail in any way
        raise WeightsError(f"predictor {where} does not work: {type(error).__name__}: {error}") from None
    return predictor


def load_weights(network: nn.Module, artefact: Artefact, where: str) -> None:
    """Put the weights of a train stage into a network, or into the one behind its filters.

    Raises WeightsError naming the first that does not fit.
    """
    _, network = bare(network)
    state = {
        name.removeprefix(WEIGHTS): torch.from_numpy(np.array(artefact.array(name)))
        for name in artefact.arrays
        if name.startswith(WEIGHTS)
    }
    check_weights(state, {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}, where)
    network.load_state_dict(state)


def check_weights(state: dict[str, Tensor], shapes: dict[str, tuple[int, ...]], where: str) -> None:
    """Raise WeightsError naming the first tensor that is missing, has another shape, or has no place."""
    for name, shape in shapes.items():
        if name not in state:
            raise WeightsError(f"{where}: weights {name!r} are missing; the weights must be of the same architecture")
        if tuple(state[name].shape) != tuple(shape):
            raise WeightsError(
                f"{where}: weights {name!r} have shape {list(state[name].shape)}, expected {list(shape)}; "
                f"the weights must be of the same architecture, parameters and phenotypes"
            )
    extra = next((name for name in state if name not in shapes), None)
    if extra is not None:
        raise WeightsError(f"{where}: weights {extra!r} have no place in this architecture")
