"""Later models: newer networks that judge photos which were changed against an older one."""

from __future__ import annotations

from typing import Any

from linkbench.results.cells import MeasuredCell, cleaned


def later_models(cells: list[MeasuredCell], run: dict[str, Any]) -> list[str]:
    """`new, on photos made against old (joint-pgd)` for every model that stands in the scenario below all the models
    that the `knowledge` of a defender or poison names (Radiya-Dixit et al. 2022)."""
    scenario = run.get("scenario", {})
    order = {cleaned(model["name"]): place for place, model in enumerate(scenario.get("models") or [])}
    found: dict[tuple[str, str], dict[str, None]] = {}
    for section, coordinate in (("defenders", "defender"), ("poisons", "poison")):
        for spec in scenario.get(section) or []:
            knowledge = spec["params"].get("knowledge", "white-box")
            seen = [cleaned(name) for name in ([knowledge] if isinstance(knowledge, str) else knowledge)]
            if not set(seen) <= set(order):
                continue
            newest = max(order[name] for name in seen)
            for cell in cells:
                if cell.place[coordinate] == cleaned(spec["label"]) and order.get(cell.model, -1) > newest:
                    found.setdefault((cell.model, " and ".join(seen)), {})[cleaned(spec["name"])] = None
    return [f"{model}, on photos made against {seen} ({', '.join(who)})" for (model, seen), who in found.items()]
