"""Names of the attacks, for linkbench; a table of data."""

from __future__ import annotations

from linkbench import Register, hookimpl
from linkbench_torchattacks.names import ATTACKS


@hookimpl
def register_defenders(register: Register) -> None:
    for name, summary in ATTACKS.items():
        target = f"linkbench_torchattacks.attacks:{name.replace('-', '_')}"
        register(f"torchattacks/{name}", target, summary=summary, api=1)
