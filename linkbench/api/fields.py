"""Types of plugin parameters: a plugin declares `epsilon: Epsilon = 0.01`, this page says what that accepts."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema
from pydantic.fields import FieldInfo


def _pixel_fraction(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if not re.fullmatch(r"\d+ */ *[1-9]\d*", value):
        raise ValueError("expected a number from 0 to 1, without quotes, or a fraction such as 8/255")
    return float(Fraction(value.replace(" ", "")))


Epsilon = Annotated[
    float,
    BeforeValidator(_pixel_fraction),
    Field(ge=0, le=1, description="largest change of a pixel, as a part of the pixel range; '8/255' is accepted"),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 0, "maximum": 1},
                {"type": "string", "pattern": r"^\d+/\d+$"},
            ]
        }
    ),
]
"""An L-infinity (or other) budget in [0, 1] pixel units; `8/255` is accepted."""

Radius = Annotated[
    float,
    BeforeValidator(_pixel_fraction),
    Field(
        ge=0, description="radius of the ball that the change lies in, in pixel units of [0, 1]; '8/255' is accepted"
    ),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": r"^\d+/\d+$"}]}),
]
"""A budget in a norm that the plugin names; in the 2-norm it may be larger than 1."""

Count = Annotated[int, Field(ge=1, le=1_000_000)]
"""How often something is done; nobody waits for more than a million, so that is a slip of the pen."""

Fraction01 = Annotated[float, Field(ge=0, le=1)]
"""A part of a whole, 0 to 1."""

PhenotypeName = Annotated[str, Field(min_length=1, json_schema_extra={"linkbench": "phenotype"})]
"""The name of a phenotype of the scenario's schema; checked against it before any work starts."""


def names_phenotypes(part: Any) -> bool:
    """Whether a field, or its type anywhere inside, is a `PhenotypeName`; much cheaper than making its JSON schema."""
    if isinstance(part, FieldInfo):
        return part.json_schema_extra == {"linkbench": "phenotype"} or names_phenotypes(part.annotation)
    return any(map(names_phenotypes, get_args(part)))


def as_tuple(value: Any) -> Any:
    """A list, as files give it, as the tuple that a plugin wants."""
    return tuple(value) if isinstance(value, list) else value


PhenotypeNames = Annotated[tuple[PhenotypeName, ...], BeforeValidator(as_tuple), Field(min_length=1)]
"""Several phenotypes; in a scenario a list. A list of lists spans a grid."""

MaybePhenotypes = Annotated[tuple[PhenotypeName, ...], BeforeValidator(as_tuple)]
"""The same, or none."""

ModelNames = Annotated[
    str | tuple[str, ...],
    BeforeValidator(as_tuple),
    Field(description="white-box, other-seed, a model of the scenario, or several of them"),
]
"""Whose predictor a defender sees. In a scenario a list spans a grid, a list of lists gives ensembles."""


Resolver = Callable[[str, Any], dict[str, Any]]
"""From a kind and `joint-pgd` or `{use: joint-pgd, steps: 5}` to {"use", "params"} with all defaults, or ValueError."""

_resolvers: list[Resolver] = []


def resolve_nested_with(resolver: Resolver) -> None:
    """Say who knows the plugins that parameters name; the registry does, as soon as it is imported."""
    _resolvers[:] = [resolver]


class _NestedSpec:
    """Validates `joint-pgd` or `{use: joint-pgd, steps: 5}` inside another plugin's parameters."""

    def __init__(self, kind: str, *, open: bool = False) -> None:
        self.kind, self.open = kind, open

    def __call__(self, value: Any) -> Any:
        if self.open and value is None:
            return None
        if not _resolvers:
            raise ValueError("plugins inside plugins need the registry: import linkbench.registry.spec first")
        return _resolvers[0](self.kind, value)


def nested(kind: str, default: Any = ..., description: str | None = None) -> Any:
    """A field whose value is another plugin of some kind: `defender: DefenderSpec = nested("defender", "joint-pgd")`.

    The value is {"use": name, "params": {...}} with all defaults; `nested_plugin(value, kind)` of
    linkbench.registry.spec makes the plugin object. The inner plugin's version and code become part of the stage's key.
    """
    return Field(default, description=description, json_schema_extra={"linkbench_use": kind}, validate_default=True)


DefenderSpec = Annotated[dict[str, Any], BeforeValidator(_NestedSpec("defender"))]
"""A defender inside another plugin's parameters; its default is given by `nested`."""

MetDefender = Annotated[dict[str, Any] | None, BeforeValidator(_NestedSpec("defender", open=True))]
"""A defender inside a recipe; None for the one that the model meets, so that a network is trained for each of them."""

MaybeDefenders = list[DefenderSpec]
"""Any number of defenders inside another plugin's parameters, none too."""

DefenderSpecs = Annotated[MaybeDefenders, Field(min_length=1)]
"""One or more defenders inside another plugin's parameters."""

GenomesSpec = Annotated[dict[str, Any], BeforeValidator(_NestedSpec("genomes"))]
"""Genomes inside another plugin's parameters; their default is given by `nested`."""

RecipeSpec = Annotated[dict[str, Any], BeforeValidator(_NestedSpec("recipe"))]
"""A recipe inside another plugin's parameters; its default is given by `nested`."""

RecipeSpecs = Annotated[list[RecipeSpec], Field(min_length=1)]
MaybeChannels = list[Annotated[dict[str, Any], BeforeValidator(_NestedSpec("channel"))]]
ChannelSpecs = Annotated[MaybeChannels, Field(min_length=1)]
"""One or more channels inside another plugin's parameters."""


def _no_nul(path: Path) -> Path:
    if "\0" in str(path):
        raise ValueError("a path cannot hold a NUL character")
    return path.expanduser()


InputPath = Annotated[
    Path,
    BeforeValidator(lambda value: Path(value) if isinstance(value, str) and value else value),
    AfterValidator(_no_nul),
    WithJsonSchema({"type": "string", "linkbench": "path"}),
]
"""A file or folder of the user, absolute or relative to the working directory."""
