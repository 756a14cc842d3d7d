"""Trained predictors as files: a network with everything that must be known to use and to judge it.

A file is safetensors with one JSON record: the artefact of a train stage (weights, filters) and `Facts` about it. Some
come with linkbench, others are the user's; both are called by name. Nothing here needs torch.
"""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from linkbench.api.data import Array, Artefact
from linkbench.api.fields import as_tuple
from linkbench.api.schema import Schema
from linkbench.errors import PluginError, TensorFileError, WeightsError
from linkbench.registry.spec import Spec
from linkbench.store import tensorfile

if TYPE_CHECKING:
    from linkbench.api.base import Architecture

SUFFIX = ".safetensors"

PRINTED = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f-\x9f]{0,400}$")]
"""Text that is shown on terminals and pages: no control characters."""

Number = Annotated[float, Field(allow_inf_nan=False)]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Use(_Record):
    """A plugin and its parameters, without the paths of the machine that it ran on."""

    name: PRINTED
    params: dict[str, Any]


class Filter(_Record):
    """A countermeasure that the network looks through."""

    recipe: PRINTED
    params: dict[str, Any]


class Share(_Record):
    """A measured share and its interval of 95 %."""

    value: Number
    low: Number
    high: Number


class Accuracy(_Record):
    """On photos of people kept from training: plain, and the mean over variants of the part found."""

    plain: Share
    balanced: Share


class Data(_Record):
    """What it was trained on. people, photos: of the training part; tested: people of the test part."""

    cohort: Use
    genomes: Use
    people: int
    photos: int
    tested: int
    imaginary: bool
    seed: int


Phenotype = Annotated[tuple[PRINTED, list[PRINTED]], BeforeValidator(as_tuple)]
"""A phenotype and its variants; JSON has no tuples."""


class Facts(_Record):
    """What a predictor file says of itself; also the metadata that `linkbench.models.predictor` builds it from."""

    linkbench_predictor: Literal[1]
    title: PRINTED
    licence: PRINTED
    made_with: PRINTED
    architecture: Use
    size: Annotated[int, Field(ge=1, le=4096)]
    phenotypes: list[Phenotype] = Field(alias="schema")
    filters: list[Filter]
    recipe: Use
    data: Data
    accuracy: dict[PRINTED, Accuracy]
    code: PRINTED

    @field_validator("phenotypes")
    @classmethod
    def _a_schema(cls, value: list[tuple[str, list[str]]]) -> list[tuple[str, list[str]]]:
        Schema(dict(value))
        if len({name for name, _ in value}) < len(value):
            raise ValueError("a phenotype stands there twice")
        return value

    def schema_items(self) -> list[tuple[str, list[str]]]:
        """Phenotypes with their variants, in order."""
        return self.phenotypes


HELD = "held/"
"""Prefix of what the predictor says about imaginary people kept from training, for attackers who calibrate:
held/probabilities float32 [n, V], held/labels int8 [n, P], held/person int32 [n]."""


def read(path: Path) -> Artefact:
    """A predictor file as the artefact of a train stage; its metadata are known to be `Facts`.

    Raises WeightsError that says what is wrong: no such file, no predictor, damaged, code that only its maker has.
    """
    try:
        artefact = tensorfile.read(path)
    except OSError as error:
        raise WeightsError(f"predictor {path} cannot be read: {error.strerror or error}") from None
    except TensorFileError as error:
        raise WeightsError(f"predictor {path} is damaged or no safetensors file ({error}). Fetch it again") from None
    if "linkbench_predictor" not in artefact.meta:
        raise WeightsError(
            f"{path} is no predictor of linkbench: it holds weights alone. Make one with: linkbench predictor train"
        )
    try:
        facts = Facts.model_validate(artefact.meta)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        raise WeightsError(
            f"predictor {path}: {where}: {problem['msg']}. It is damaged, or of another version of linkbench"
        ) from None
    architecture(facts, str(path))
    for described in facts.filters:
        _plugin("recipe", Use(name=described.recipe, params=described.params), str(path))
    return Artefact(artefact.arrays, {**facts.model_dump(mode="json", by_alias=True), "report": {}})


def architecture(facts: Facts, where: str) -> Architecture:
    """The architecture of a predictor. Raises WeightsError where it is not installed, or is code or files of a user."""
    found: Architecture = _plugin("architecture", facts.architecture, where)
    return found


def _plugin(kind: str, use: Use, where: str) -> Any:
    try:
        plugin = Spec(kind, use.name, use.params, use.name).plugin()
    except PluginError as error:
        raise WeightsError(f"predictor {where}: {error}") from None
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, problem["loc"]))
        raise WeightsError(f"predictor {where}: {kind} {use.name}: {place}: {problem['msg']}") from None
    if plugin.code_modules() or plugin.input_files():
        raise WeightsError(
            f"predictor {where}: {kind} {use.name!r} needs code or files of its maker, which a predictor cannot bring. "
            f"Register the network as a plugin, so that who uses the file can install it"
        )
    return plugin


def facts_of(artefact: Artefact) -> Facts:
    """The facts of an artefact that `read` gave."""
    return Facts.model_validate({name: value for name, value in artefact.meta.items() if name != "report"})


def held_out(artefact: Artefact) -> dict[str, Array]:
    """What the predictor says about people kept from training, by name without the prefix; empty where it says not."""
    return {name.removeprefix(HELD): artefact.array(name) for name in sorted(artefact.arrays) if name.startswith(HELD)}


def shipped() -> dict[str, Path]:
    """The predictors that come with linkbench, by name."""
    return _in(Path(str(resources.files("linkbench.models").joinpath("shipped"))))


def own_folder() -> Path:
    """Where `linkbench predictor import` keeps predictors: `LINKBENCH_PREDICTORS`, or the user's data folder."""
    from platformdirs import user_data_path

    return Path(os.environ.get("LINKBENCH_PREDICTORS") or user_data_path("linkbench") / "predictors")


def own() -> dict[str, Path]:
    """The user's predictors, by name."""
    return _in(own_folder())


def _in(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted(folder.glob(f"*{SUFFIX}"))} if folder.is_dir() else {}


def locate(predictor: Path) -> Path:
    """The file of a predictor: a path that ends in .safetensors, or a name of `linkbench predictor list`.

    Raises WeightsError for a name that nobody has.
    """
    if predictor.suffix == SUFFIX:
        return predictor
    known = own() | shipped()
    if str(predictor) not in known:
        import difflib

        near = difflib.get_close_matches(str(predictor), known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise WeightsError(
            f"there is no predictor {str(predictor)!r}{hint} There are: {', '.join(known) or 'none'}; "
            f"a file is named with its ending {SUFFIX}"
        )
    return known[str(predictor)]
