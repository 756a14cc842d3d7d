"""The hooks of linkbench. Each gets a `register` function and calls it once per plugin, with data only:

register(name, target, summary="...", api=1) - `target` is "package.module:Class", imported only when needed.
"""

from __future__ import annotations

from typing import Protocol

import pluggy

hookspec = pluggy.HookspecMarker("linkbench")
hookimpl = pluggy.HookimplMarker("linkbench")


class Register(Protocol):
    def __call__(self, name: str, target: str, *, summary: str, api: int) -> None: ...


@hookspec
def register_genomes(register: Register) -> None:
    """Genome sources: tables of log P(variant | genome)."""


@hookspec
def register_cohorts(register: Register) -> None:
    """Cohort sources: photos or published predictions of people."""


@hookspec
def register_attackers(register: Register) -> None:
    """Attackers: scores of photos and genomes."""


@hookspec
def register_identifiers(register: Register) -> None:
    """Identifiers: names for the people in photos, from a gallery of named photos."""


@hookspec
def register_architectures(register: Register) -> None:
    """Architectures of predictors: networks from photos to log-probabilities."""


@hookspec
def register_recipes(register: Register) -> None:
    """Recipes: how a predictor is trained."""


@hookspec
def register_defenders(register: Register) -> None:
    """Defenders: photos to photos, within a budget."""


@hookspec
def register_channels(register: Register) -> None:
    """Channels: what posting does to a photo."""
