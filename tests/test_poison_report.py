"""What the page says about poisons: matrices with the number that counts, best-of's choice, curves, later models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_report import EVIL, Page, checked, run_of

from linkbench.report import later, page, poisons, training
from linkbench.report.figures.training import curves
from linkbench.results.cells import pooled, read_cells, roles
from linkbench.results.results import Results
from linkbench.results.table import Row

SUCCESS = {("none", "standard"): 0.3, ("none", "best-of"): 0.29, ("signs", "standard"): 0.11, ("signs", "best-of"): 0.2}
"""success@1 at n = 50 by poison and model; accuracy of sex is .5 more."""


def spec(name: str, label: str | None = None, **params: Any) -> dict[str, Any]:
    return {"name": name, "label": label or name, "params": params}


def rows() -> list[Row]:
    out = []
    for number, ((poison, model), success) in enumerate(SUCCESS.items()):
        place = ("faces", "table", model, poison, "none", None, "png", "predicted")
        metrics: list[tuple[str, int | None, int | None, float]] = [("success", 1, 50, success)]
        shares = {
            "accuracy:sex": success + 0.5,
            "accuracy:eye": 0.4,
            "peak_accuracy:sex": 0.95,
            "final_accuracy:sex": 0.61,
        }
        metrics += [(metric, None, None, share) for metric, share in shares.items()]
        for metric, k, n, value in metrics:
            out.append(Row(*place, metric, k, n, value, value - 0.05, value + 0.05, 0, "", f"{number:010x}"))
    return out


def run(aim: str | None = "sex", best: bool = True, knowledge: str = "white-box") -> dict[str, Any]:
    """run.json of a matrix of two poisons and two models."""
    told = run_of("poisons")
    told["scenario"] |= {
        "poisons": [spec("none", phenotype=None), spec("shortcut", "signs", phenotype=aim, knowledge=knowledge)],
        "defenders": [spec("none", knowledge="white-box")],
        "models": [{"name": "standard", "recipe": spec("standard")},
                   {"name": "best-of", "recipe": spec("best-of" if best else "standard")}],
    }  # fmt: skip
    told["training"] = {}
    for number, (_, model) in enumerate(SUCCESS):
        epochs = [
            {
                "phase": "train",
                "epoch": epoch,
                "loss": 2.5 / (1 + epoch),
                "test": {"sex": 0.6 + 0.1 * epoch, "eye": None},
            }
            for epoch in range(4)
        ]
        candidates = [
            {"recipe": "standard", "score": 0.6, "chosen": False},
            {"recipe": "jpeg", "score": 0.8, "chosen": True},
        ]
        told["training"][f"c{number}"] = {"history": epochs, "candidates": candidates if model == "best-of" else []}
        told["cells"].append({"id": f"{number:010x}", "steps": {"curves": f"c{number}"}, "failed": None})
    return told


def found(told: dict[str, Any], given: list[Row] | None = None) -> poisons.Poisons:
    cells = pooled(read_cells(given or rows(), {}))
    out = poisons.tables(cells, roles(told), told, training.read(told))
    assert out is not None
    return out


def counted(grid: poisons.Grid) -> dict[tuple[str, str], bool]:
    return {(name, model): square.counts for name, squares in grid.rows
            for model, square in zip(grid.models, squares, strict=True) if square}  # fmt: skip


def test_the_headline_of_a_poison_is_best_of() -> None:
    out = found(run())
    assert [grid.title for grid in out.grids] == [
        "Clean photos whose sex is told right", "Success@1 of predicted, population of 50",
    ]  # fmt: skip
    accuracy, linked = out.grids
    assert accuracy.models == ["standard", "best-of"]
    shown = {name: [(square.value, square.small) for square in squares if square] for name, squares in accuracy.rows}
    assert shown == {
        "no poison": [("80.0%", "95.0 / 61.0"), ("79.0%", "95.0 / 61.0")],
        "signs": [("61.0%", "95.0 / 61.0"), ("70.0%", "95.0 / 61.0")],
    }
    for grid in (accuracy, linked):
        assert [place for place, counts in counted(grid).items() if counts] == [("signs", "best-of")]
    assert "best-of" in out.text
    (choice,) = out.choices
    assert choice.recipes == ["standard", "jpeg"]
    assert choice.rows == [
        ("poison none", [("60.0%", False), ("80.0%", True)]),
        ("poison signs", [("60.0%", False), ("80.0%", True)]),
    ]


def test_without_best_of_the_highest_of_the_row_counts() -> None:
    told = run(best=False)
    out = found(told)
    assert [place for place, counts in counted(out.grids[1]).items() if counts] == [("signs", "best-of")]
    assert "highest of its row" in out.text


def test_poisons_of_all_phenotypes_show_the_mean_over_them() -> None:
    out = found(run(aim=None))
    values = {name: squares[0].value for name, squares in out.grids[0].rows if squares[0]}
    assert out.grids[0].title == "Clean photos told right"
    assert values["signs (all phenotypes)"] == "50.5%"


def test_runs_without_poison_have_no_such_matrix() -> None:
    told = run()
    cells = pooled(read_cells([row for row in rows() if row.poison == "none"], {}))
    assert poisons.tables(cells, roles(told), told, training.read(told)) is None


def test_the_page_shows_matrix_choice_and_curves(tmp_path: Path) -> None:
    text = page.render(Results(rows(), run()), tmp_path)
    parsed = checked(text)
    assert {"poisons", "training"} <= set(parsed.ids)
    words = " ".join("".join(parsed.text).split())
    assert "What best-of chose" in words
    assert text.count('class="h') + text.count("class=chosen") >= 8 + 2
    assert text.count(' counts">') == 2
    assert "sex told right, clean photos" in words
    assert "training loss" in words
    assert "model best-of" in words
    assert "eye told right" not in words, "no photo has that label"
    assert "standard: clean photos" not in words


def test_old_runs_and_hostile_names_are_harmless(tmp_path: Path) -> None:
    told = run()
    del told["training"]
    checked(page.render(Results(rows(), told), tmp_path))
    told = run()
    told["scenario"]["poisons"][1]["label"] = EVIL
    told["training"]["c3"]["candidates"][0]["recipe"] = EVIL
    evil = [row._replace(poison=EVIL) if row.poison == "signs" else row for row in rows()]
    text = page.render(Results(evil, told), tmp_path)
    assert isinstance(checked(text), Page)
    assert "<script>alert" not in text


def test_curves_with_numbers_that_are_none_are_left_out() -> None:
    told = run()
    told["training"]["c0"]["history"][1]["loss"] = float("inf")
    assert training.read(told)["0" * 10].accuracy == {"sex": pytest.approx([0.6, 0.7, 0.8, 0.9])}
    cells = pooled(read_cells(rows(), {}))
    section = curves(cells, training.read(told))
    assert section is not None
    assert section.own is not None
    assert list(section.own.options) == ["sex", "training loss"]
    assert np.isfinite([row["value"] for panel in section.panels for row in panel.rows]).all()


def test_later_models_are_named() -> None:
    told = run(knowledge="standard")
    cells = read_cells(rows(), {})
    assert later.later_models(cells, told) == ["best-of, on photos made against standard (shortcut)"]
    assert later.later_models(cells, run()) == []
    assert later.later_models(cells, run(knowledge="best-of")) == [], "an older model is no later one"
