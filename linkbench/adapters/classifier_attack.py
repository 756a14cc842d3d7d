"""Attacks on classifiers from other libraries as defenders, made from a table that imports none of them.

An adapter package derives a base class from `ClassifierAttack`, says in `attack` how its library is called, and lists
attacks as `Spec`s; `made_when_asked` makes the class of one of them when it is asked for.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple, TypeVar

from pydantic import Field, create_model

from linkbench.api.base import Defender
from linkbench.api.budget import Budget
from linkbench.api.fields import Count, Epsilon, PhenotypeName

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from linkbench.adapters.classifier import CombinationClassifier
    from linkbench.api.knowledge import Knowledge

Alpha = Annotated[Epsilon | None, Field(description="move of a pixel per step; default 2.5 budgets / steps")]
Steps = Annotated[Count, Field(description="gradient steps")]
Queries = Annotated[Count, Field(description="predictions asked for, at most")]
Restarts = Annotated[Count, Field(description="tries; the first that changes the prediction is kept")]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Part = Annotated[float, Field(ge=0, le=1)]
RandomStart = Annotated[bool, Field(description="begin at a random point of the ball; photos are then attacked singly")]

Label = Annotated[
    Literal["true", "predicted"],
    Field(description="which class is attacked: of the true variants (predicted where unknown), or the predicted one"),
]
Target = Annotated[PhenotypeName | None, Field(description="the phenotype attacked; none: the combination")]
Rms = Annotated[Epsilon, Field(description="root mean square change of a photo's pixels: the L2 norm over sqrt(3 h w)")]
Ceiling = Annotated[Epsilon | None, Field(description="largest change of a pixel, kept besides rms; none: no limit")]

_NOTHING: Mapping[str, Any] = MappingProxyType({})


class AttackSpec(NamedTuple):
    """One attack of a library.

    attack: name of its class there; fields: parameters as name -> (type, default); norm: of the budget; alone: whether
    photos are attacked one by one, so that neither random numbers nor the company in a batch matter (the name of a
    parameter: if that is true); stops: whether it leaves a photo alone once its class is not the label, and then it is
    the predicted class that is attacked; labelled: whether it takes labels at all; rename: parameter -> argument;
    extra: further arguments; positive: logits must be above zero; budget: the argument that takes the radius, "" for
    attacks that look for the smallest change; step: the default of `alpha` is this many radii over all steps; seeded:
    whether it takes a seed; classes: how many it must have to compare; start: whether it must be given a photo of
    another class to start from.
    """

    attack: str
    fields: Mapping[str, tuple[Any, Any]] = _NOTHING
    norm: Literal["linf", "l2"] = "linf"
    alone: bool | str = False
    stops: bool = False
    rename: Mapping[str, str] = _NOTHING
    extra: Mapping[str, Any] = _NOTHING
    positive: bool = False
    budget: str = "eps"
    step: float = 2.5
    labelled: bool = True
    seeded: bool = False
    classes: int = 2
    start: bool = False


class ClassifierAttack(Defender):
    """An attack on a classifier, used as a defence: on one phenotype, or on the combination of all of them."""

    needs: ClassVar[frozenset[str]] = frozenset({"predictor", "labels"})
    spec: ClassVar[AttackSpec]
    small: ClassVar[Mapping[str, Any]] = {}
    """Parameters that keep a trial quick, for the attacks that have them."""

    phenotype: Annotated[PhenotypeName | None, Field(description="the phenotype attacked; none: the combination")] = (
        None
    )
    through: Annotated[bool, Field(description="attack through the publication channel")] = False

    @classmethod
    def trial(cls, folder: Path) -> dict[str, Any]:
        return {name: value for name, value in cls.small.items() if name in cls.model_fields}

    def budget(self) -> Budget:
        values = dict(self)  # the class of an attack is made from a table, its budget's fields with it
        if self.spec.norm == "l2":
            return Budget("rms", values["rms"], ceiling=values["epsilon"])
        return Budget("linf", values["epsilon"])

    def optimises_through(self) -> bool:
        return self.through

    def spares(self) -> bool:
        return self.spec.stops

    def attack(self, classifier: CombinationClassifier, photos: Tensor, labels: Tensor, seed: int) -> Tensor:
        """Call the library: photos float [n, 3, h, w] in [0, 1] and classes int64 [n] to changed photos.

        Global random generators have been seeded; seed: for a library that wants one of its own.
        """
        raise NotImplementedError

    def perturb(self, photos: Tensor, knowledge: Knowledge) -> Tensor:
        import torch

        from linkbench.adapters.classifier import CombinationClassifier
        from linkbench.api.seeds import derive
        from linkbench.defenders.pgd import seen

        photos = photos.detach()
        if self.budget().moves is False or not len(photos):
            return photos.clone()
        classifier = CombinationClassifier(
            seen(knowledge, self.through), knowledge.schema, self.phenotype, positive=self.spec.positive
        ).to(photos.device)
        truth = knowledge.labels if dict(self).get("label", "true") == "true" else None
        labels = classifier.labels(photos, truth)
        alone = self.spec.alone if isinstance(self.spec.alone, bool) else bool(getattr(self, self.spec.alone))
        out = torch.empty_like(photos)
        size = 1 if alone else len(photos)
        for start in range(0, len(photos), size):
            rows = slice(start, start + size)
            seed = derive(knowledge.seed, type(self).__name__, knowledge.keys[start])
            with library_seeds(seed, photos.device), torch.enable_grad():
                changed = self.attack(classifier, photos[rows].clone(), labels[rows], seed)
            out[rows] = changed.detach().to(photos)
        return self._within(photos, out)

    def radius(self, photos: Tensor) -> float:
        """The budget in the norm of the attack, for photos of this size."""
        budget = self.budget()
        assert budget.radius is not None
        return budget.radius * (math.sqrt(photos[0].numel()) if budget.norm == "rms" else 1.0)

    def arguments(self, photos: Tensor) -> dict[str, Any]:
        """The parameters as arguments of the library's class."""
        radius = self.radius(photos)
        out: dict[str, Any] = {self.spec.budget: radius} if self.spec.budget else {}
        for name in self.spec.fields:
            value = getattr(self, name)
            if name == "alpha":
                scale = math.sqrt(photos[0].numel()) if self.spec.norm == "l2" else 1.0
                value = self.spec.step * radius / getattr(self, "steps", 1) if value is None else value * scale
            out[self.spec.rename.get(name, name)] = value
        return {**out, **self.spec.extra}

    def _within(self, photos: Tensor, out: Tensor) -> Tensor:
        """`out` brought back to the budget and to [0, 1]: attacks that look for the smallest change know of none."""
        import torch

        from linkbench.harness.budget import project

        # steps along a gradient of zeros, divided by its length, are not numbers: such a photo stays what it was
        out = torch.where(out.isfinite().flatten(1).all(dim=1)[:, None, None, None], out, photos)
        return project(photos, out, self.budget())


@contextmanager
def library_seeds(seed: int, device: torch.device) -> Iterator[None]:
    """All global random generators that a library may draw from, seeded and afterwards as they were."""
    import random

    import numpy as np
    import torch

    plain = random.getstate()
    state = np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng(devices=[] if device.type == "cpu" else [device]):
            torch.manual_seed(seed)
            random.seed(seed)
            np.random.seed(seed % (1 << 32))  # noqa: NPY002
            yield
    finally:
        random.setstate(plain)
        np.random.set_state(state)  # noqa: NPY002


Base = TypeVar("Base", bound=ClassifierAttack)


def defender(name: str, summary: str, spec: AttackSpec, base: type[Base], module: str) -> type[Base]:
    """The defender class of one attack; its parameters are typed fields like those of a class written by hand."""
    budget: dict[str, Any] = {"epsilon": (Epsilon, 0.01)}
    if spec.norm == "l2":
        budget = {"rms": (Rms, 0.01), "epsilon": (Ceiling, None)}
    label = {"label": (Label, "predicted" if spec.stops else "true")} if spec.labelled else {}
    made: type[Base] = create_model(  # type: ignore[call-overload]
        name, __base__=base, __module__=module, __doc__=summary, **budget, **label, **spec.fields
    )
    made.spec = spec
    if not spec.labelled:
        made.needs = base.needs - {"labels"}
    return made


def made_when_asked(
    summaries: Mapping[str, str], specs: Mapping[str, AttackSpec], base: type[Base], module: str
) -> Callable[[str], type[Base]]:
    """The `__getattr__` of a module: the defender class of each attack of a table, `fast_pgd` for the name fast-pgd."""

    @functools.cache
    def attribute(attribute: str) -> type[Base]:
        name = attribute.replace("_", "-")
        if name not in specs:
            raise AttributeError(f"module {module!r} has no attribute {attribute!r}")
        return defender(name, summaries[name], specs[name], base, module)

    return attribute
