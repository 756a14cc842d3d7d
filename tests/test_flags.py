"""Validity flags: each is raised by what it means, and by nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from linkbench.api.budget import Budget, Norm
from linkbench.api.data import Artefact
from linkbench.plan.facts import CellFacts
from linkbench.registry.spec import Spec
from linkbench.results.flags import HALF_STEP, Change, Facts, flag
from linkbench.results.table import Row
from linkbench.results.verdicts import Photos

SEX = {"sex": 0.5, "hair": 1 / 3}
LOOKING = frozenset({"predictor"})
CLEAN = {"projected": 0.0, "channel": 0.0, "change_linf": 0.01, "change_rms": 0.008}


def quality(moved: float | list[float] = 0.01, **largest: float) -> Artefact:
    columns: dict[str, Any] = {name: np.array([value / 2, value]) for name, value in {**CLEAN, **largest}.items()}
    return Artefact({"moved": np.atleast_1d(np.asarray(moved)), **columns}, {"numbers": 10_000})


def facts(name: str = "joint-pgd", *, found: Artefact | None = None, png: bool = False, **params: Any) -> Facts:
    looks = LOOKING if name.endswith("pgd") else frozenset()
    spec = Spec("defender", name, params, name)
    cell = CellFacts.by_name({"defender": name, "channel": "png" if png else "float"})
    spares = any(params.get(parameter) is not None for parameter in ("target_rank", "tolerance"))
    return Facts(cell, spec, looks, spares, SEX, True, Change(cell.budget, found or quality()))


def of_row(known: Facts, row: Row) -> Facts:
    """The facts of a cell with the budget and the poison that its row names."""
    cell = known.cell._replace(
        budget=Budget() if row.epsilon is None else Budget("linf", row.epsilon),
        plugins={**known.cell.plugins, "poison": row.poison},
    )
    change = None if known.change is None else known.change._replace(budget=cell.budget)
    return known._replace(cell=cell, change=change)


def rows(cell: str, success: float = 0.2, epsilon: float | None = 0.01, sex: float = 0.9, **place: Any) -> list[Row]:
    """Success at two sizes, and the balanced accuracy of sex."""
    at: dict[str, Any] = {
        "cohort": "c", "genomes": "g", "model": "m", "poison": "none", "defender": cell, "epsilon": epsilon,
        "channel": "float", "attacker": "predicted", "seed": 0, "flags": "", "cell": cell, **place,
    }  # fmt: skip
    numbers = [("success", 1, 10, success), ("success", 1, 50, success / 5), ("success", 3, 10, 0.5)]
    numbers.append(("balanced_accuracy:sex", None, None, sex))
    return [
        Row(metric=metric, k=k, n=n, value=value, ci_low=value - 0.02, ci_high=value + 0.02, **at)
        for metric, k, n, value in numbers
    ]


def words(cells: dict[str, tuple[list[Row], Facts]]) -> dict[str, str]:
    """The flags of each cell; all its rows carry the same."""
    given = [row for group, _ in cells.values() for row in group]
    out = flag(given, {cell: of_row(known, group[0]) for cell, (group, known) in cells.items()})
    assert [row._replace(flags="") for row in out] == given
    seen = {cell: {row.flags for row in out if row.cell == cell} for cell in cells}
    assert all(len(flags) == 1 for flags in seen.values())
    return {cell: flags.pop() for cell, flags in seen.items()}


def alone(known: Facts, **row: Any) -> str:
    return words({"a": (rows("a", **row), known)})["a"]


def test_nothing_wrong() -> None:
    assert alone(facts()) == ""
    assert alone(facts("none", found=quality(0.0)), epsilon=None) == ""
    nobody = CellFacts.by_name({})
    assert alone(Facts(nobody, None, frozenset(), False, SEX, True, None), epsilon=None) == ""
    assert flag(rows("a"), {}) == rows("a")


def test_zero_gradient() -> None:
    still = quality([0.0, 0.01])
    assert alone(facts(found=still)) == "zero-gradient"
    assert alone(facts(found=quality([0.0] + [0.01] * 19))) == "", "a photo or two may be unmovable"
    assert alone(facts(found=quality([0.0, 0.0], change_linf=0.0)), epsilon=0.0) == ""
    assert alone(facts("noise", found=still)) == "", "noise follows no gradient"
    assert alone(facts(found=still, target_rank=9)) == "", "safe photos are left alone on purpose"
    assert alone(facts(found=still, tolerance=0.1)) == "", "so are those that pass for their decoys"
    assert alone(facts(found=quality(0.0), target_rank=9)) == "zero-gradient"


def test_budget() -> None:
    assert alone(facts(png=True), epsilon=0.001) == "below-quantisation;over-budget-after-publication"
    assert alone(facts(png=True, found=quality(change_linf=0.0)), epsilon=0.001) == "below-quantisation"
    assert alone(facts(found=quality(change_linf=0.001)), epsilon=0.001) == ""
    assert alone(facts(png=True, found=quality(change_linf=0.0)), epsilon=0.0) == ""
    assert alone(facts(found=quality(projected=0.003))) == "over-budget"
    assert alone(facts(found=quality(change_linf=0.01 + HALF_STEP))) == ""
    assert alone(facts(found=quality(change_linf=0.0121))) == "over-budget-after-publication"
    moving = {"channel": 0.1, "change_linf": 0.05}
    assert alone(facts(found=quality(**moving))) == "", "JPEG moves single pixels further than the defender did"
    assert alone(facts(found=quality(**moving, change_rms=0.013))) == "over-budget-after-publication"


def test_budget_of_a_poison() -> None:
    def poisoned(found: Artefact, png: bool = False, epsilon: float | None = None, norm: Norm = "linf") -> str:
        change = Change(Budget() if epsilon is None else Budget(norm, epsilon), found)
        return alone(facts("none", png=png)._replace(poison=change), epsilon=None)

    assert poisoned(quality(), epsilon=0.01) == ""
    assert poisoned(quality(projected=0.003), epsilon=0.01) == "poison-over-budget"
    assert poisoned(quality(change_linf=0.0), png=True, epsilon=0.001) == "poison-below-quantisation"
    assert poisoned(quality(change_linf=0.0121), epsilon=0.01) == "poison-over-budget-after-publication"
    assert poisoned(quality(projected=0.0, change_linf=0.9)) == "", "it has no budget"
    # 10,000 numbers: a length of 1 is .01 each
    assert poisoned(quality(change_linf=0.5, change_rms=0.0119), epsilon=1.0, norm="l2") == ""
    assert poisoned(quality(change_rms=0.0121), epsilon=1.0, norm="l2") == "poison-over-budget-after-publication"
    assert (
        poisoned(quality(change_linf=0.0, change_rms=0.0), png=True, epsilon=0.1, norm="l2")
        == "poison-below-quantisation"
    )


def test_budgets_of_other_norms() -> None:
    def changed(budget: Budget, moved: float | list[float] = 0.01, **largest: float) -> str:
        known = facts("single-pgd", png=True, found=quality(moved, **largest))
        assert known.change is not None
        own = known._replace(cell=known.cell._replace(budget=budget), change=known.change._replace(budget=budget))
        return flag(rows("a", epsilon=None), {"a": own})[0].flags

    assert changed(Budget("rms", 0.01)) == ""
    assert changed(Budget("rms", 0.001), change_rms=0.0) == "below-quantisation"
    assert changed(Budget("rms", 0.01), change_rms=0.0121) == "over-budget-after-publication"
    assert changed(Budget("rms", 0.01, ceiling=0.02), change_linf=0.03) == "over-budget-after-publication"
    assert changed(Budget("rms", 0.01), moved=0.0) == "zero-gradient"
    assert changed(Budget("ssim", 0.9), change_linf=0.5, change_rms=0.3) == "", "what it is in pixels nobody promised"
    assert changed(Budget("ssim", 0.9, ceiling=0.02), change_linf=0.03) == "over-budget-after-publication"
    assert changed(Budget("ssim", 0.9, ceiling=0.001), change_linf=0.0, change_rms=0.0) == "below-quantisation"
    assert changed(Budget("ssim", 0.9), projected=0.05) == "over-budget"
    assert changed(Budget("ssim", 1.0), moved=0.0) == "", "it may change nothing"


@pytest.mark.parametrize(("sex", "expected"), [(0.56, "weak-model"), (0.60, "")])
def test_weak_model_is_judged_without_a_defender(sex: float, expected: str) -> None:
    cells = {
        "none": (rows("none", epsilon=None, sex=sex), facts("none")),
        "pgd": (rows("pgd", sex=0.1), facts()),
        "other": (rows("other", sex=0.1, model="other"), facts()),
    }
    assert words(cells) == {"none": expected, "pgd": expected, "other": ""}
    poisoned = {"none": (rows("none", epsilon=None, sex=0.5, poison="shortcut"), facts("none"))}
    assert words(poisoned) == {"none": ""}, "a poisoned model is meant to be weak"


def test_weak_linkage_is_that_of_an_attacker_without_defender_or_poison() -> None:
    def table(plain: float, **none: Any) -> dict[str, str]:
        return words(
            {
                "none": (rows("none", success=plain, epsilon=None, **none), facts("none")),
                "pgd": (rows("pgd", success=0.01), facts()),
                "poisoned": (rows("poisoned", success=0.01, poison="shortcut"), facts("none")),
                "other": (rows("other", success=0.01, attacker="soft"), facts()),
                "png": (rows("png", success=0.01, channel="png"), facts()),
            }
        )

    weak = "weak-linkage"
    assert table(0.11) == {"none": weak, "pgd": weak, "poisoned": weak, "other": "", "png": ""}
    assert set(table(0.13).values()) == {""}, "its interval lies above chance at n = 10"
    assert set(table(0.11, channel="jpeg").values()) == {"weak-linkage", ""}
    assert table(0.11, channel="jpeg")["pgd"] == "", "without a plain cell nothing is known"
    blind = facts("none")._replace(looks=False)
    assert words({"random": (rows("random", success=0.1, epsilon=None), blind)}) == {"random": ""}
    named = facts("none")._replace(chance={})
    assert words({"identified": (rows("identified", success=0.1, epsilon=None), named)})["identified"] != weak


def linked(known: Facts, people: int, of: int = 200) -> Facts:
    """The facts of a cell in which the attacker names so many people, the same first ones in every cell."""
    return known._replace(reached=Photos((np.arange(of) < people).astype(float), np.arange(of), np.ones(of)))


def test_weaker_than_noise_is_what_a_paired_test_says() -> None:
    def table(pgd: int, **noise: Any) -> dict[str, str]:
        return words(
            {
                "noise": (rows("noise", **noise), linked(facts("noise"), 32)),
                "pgd": (rows("pgd"), linked(facts(), pgd)),
                "none": (rows("none", epsilon=None), linked(facts("none"), 60)),
            }
        )

    assert table(40)["pgd"] == "weaker-than-noise", "eight people more, nobody less"
    for equal in (32, 34, 20):
        assert table(equal) == {"noise": "", "pgd": "", "none": ""}, "two people more may be chance"
    assert table(40, epsilon=0.02)["pgd"] == "", "another budget is no comparison"
    assert table(40, channel="png")["pgd"] == ""
    blind = facts()._replace(looks=False)
    cells = {
        "noise": (rows("noise"), linked(blind._replace(cell=facts("noise").cell), 32)),
        "pgd": (rows("pgd"), linked(blind, 40)),
    }
    assert words(cells)["pgd"] == "", "an attacker that looks at no photo is hurt by nothing"


def test_tests_are_corrected_over_all_cells_of_the_run() -> None:
    def table(defences: int) -> dict[str, str]:
        cells = {"noise": (rows("noise"), linked(facts("noise"), 32))}
        cells |= {f"d{at}": (rows(f"d{at}"), linked(facts(), 40 if at == 0 else 32)) for at in range(defences)}
        return words(cells)

    assert table(1)["d0"] == "weaker-than-noise"
    assert set(table(20).values()) == {""}, "p = .008 is nothing among twenty"


def test_black_box_beats_white_box() -> None:
    def table(white: int, black: int, **more: Any) -> dict[str, str]:
        return words(
            {
                "white": (rows("white"), linked(facts(knowledge="white-box", steps=20), white)),
                "black": (rows("black"), linked(facts(**{"knowledge": "other-seed", "steps": 20, **more}), black)),
            }
        )

    assert set(table(20, 10).values()) == {"black-box-beats-white-box"}
    assert set(table(10, 20).values()) == {""}
    assert set(table(12, 10).values()) == {""}
    assert set(table(20, 10, steps=40).values()) == {""}, "other parameters are another defender"
    assert set(table(20, 10, knowledge="m").values()) == {""}, "the attacked model by its name is white-box"
