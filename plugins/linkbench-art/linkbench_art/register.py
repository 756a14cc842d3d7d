"""Names of the attacks and preprocessors, for linkbench; a table of data."""

from __future__ import annotations

from linkbench import Register, hookimpl
from linkbench_art.names import ATTACKS, CHANNELS, RECIPES


@hookimpl
def register_defenders(register: Register) -> None:
    for name, summary in ATTACKS.items():
        register(f"art/{name}", f"linkbench_art.attacks:{name.replace('-', '_')}", summary=summary, api=1)


@hookimpl
def register_channels(register: Register) -> None:
    for name, (target, summary) in CHANNELS.items():
        register(f"art/{name}", f"linkbench_art.channels:{target}", summary=summary, api=1)


@hookimpl
def register_recipes(register: Register) -> None:
    for name, (target, summary) in RECIPES.items():
        register(f"art/{name}", f"linkbench_art.recipes:{target}", summary=summary, api=1)
