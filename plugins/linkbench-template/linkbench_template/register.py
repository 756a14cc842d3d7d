"""What this package brings to linkbench: names and where to find them."""

from __future__ import annotations

from linkbench import Register, hookimpl


@hookimpl
def register_defenders(register: Register) -> None:
    register(
        "template",
        "linkbench_template.defender:Template",
        summary="flattens contrast, a little at random",
        api=1,
    )
