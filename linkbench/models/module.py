"""The user's own network, by import path."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from linkbench.api.base import Architecture
from linkbench.api.schema import Schema
from linkbench.errors import InputError

if TYPE_CHECKING:
    from torch import nn


class Module(Architecture):
    """A torch.nn.Module of yours: photos float [n, 3, size, size] in [0, 1] to logits [n, V].

    Its class is called with `arguments`. V is the number of variants of all phenotypes, columns in the order of the
    schema (paper: sex female, male; hair black, blonde, brown; eye ..; skin ..). Its code runs with your rights.
    """

    path: Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$")] = Field(
        description="package.module:Class, importable where linkbench runs"
    )
    arguments: dict[str, Any] = Field({}, description="named arguments of the class")

    def code_modules(self) -> list[str]:
        return [self.path.partition(":")[0]]

    @classmethod
    def trial(cls, folder: Path) -> dict[str, Any]:
        return {"path": "linkbench.testing.fixtures:Smooth"}

    def build(self, schema: Schema, size: int) -> nn.Module:
        """The module, tried on one gray photo. Raises InputError if it cannot be imported, made or used."""
        import importlib

        from torch import nn

        from linkbench.models.predictor import probe

        name, _, attribute = self.path.partition(":")
        try:
            target = getattr(importlib.import_module(name), attribute)
        except Exception as error:
            raise InputError(
                f"module {self.path!r} cannot be imported: {type(error).__name__}: {error}. "
                f"Install its package, or add its folder to PYTHONPATH"
            ) from error
        if not (isinstance(target, type) and issubclass(target, nn.Module)):
            raise InputError(f"module {self.path!r} is not a subclass of torch.nn.Module; name one that is")
        try:
            network = target(**self.arguments)
        except Exception as error:
            raise InputError(
                f"module {self.path!r} cannot be made with the arguments {self.arguments}: "
                f"{type(error).__name__}: {error}"
            ) from error
        probe(network, schema, size, f"module {self.path!r}")
        return network
