"""The house: which layer may import which is in pyproject.toml (import-linter); here, that there is no circle."""

from __future__ import annotations

from functools import cache

import grimp


def circles(imports: dict[str, set[str]]) -> list[set[str]]:
    """Sets of modules that reach each other."""

    @cache
    def reached(start: str) -> frozenset[str]:
        found, waiting = set(), [start]
        while waiting:
            for module in imports[waiting.pop()] - found:
                found.add(module)
                waiting.append(module)
        return frozenset(found)

    tied = {frozenset(other for other in reached(module) if module in reached(other)) for module in imports}
    return [set(one) for one in tied if one]


def test_circles_are_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == [{"b", "c"}]


def test_no_module_imports_itself_on_a_detour() -> None:
    graph = grimp.build_graph("linkbench")  # imports inside functions and for types count too
    assert circles({module: set(graph.find_modules_directly_imported_by(module)) for module in graph.modules}) == []
