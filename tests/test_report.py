"""The page and the terminal tables: structure, safety against hostile names, every figure with its data."""

from __future__ import annotations

import io
import json
import math
import re
from html.parser import HTMLParser
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkbench.api.data import Array, Artefact, Stream
from linkbench.report import document, flags_text, numbers, page, png, terminal
from linkbench.report.thinning import thin
from linkbench.results.cells import nearest, pooled, read_cells, short
from linkbench.results.results import Results
from linkbench.results.table import Row
from linkbench.store import tensorfile

EVIL = "<script>alert(1)</script>\"'&</title></svg>{{ 7*7 }}[bold]\x1b[31m\u202e"
VOID = {"meta", "wbr", "link", "input", "img", "br"}


class Page(HTMLParser):
    """Tags balanced, ids unique, and what the page points to."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: dict[str, int] = {}
        self.names: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] = self.tags.get(tag, 0) + 1
        self.names += [name for name, _ in attrs]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "action", "srcset", "data")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("style", "script"):
            self.text.append(data)


def checked(text: str) -> Page:
    """The page, parsed, with everything that must hold for all pages."""
    parsed = Page(text)
    assert len(parsed.ids) == len(set(parsed.ids))
    assert parsed.tags["style"] == parsed.tags["h1"] == 1
    assert parsed.tags["script"] == 1 + ('id="drawings"' in text)
    for link in parsed.links:
        assert link.startswith(("#", "data:")) or link in ("results.csv", "run.json"), link
    assert {link[1:] for link in parsed.links if link.startswith("#")} <= set(parsed.ids)
    assert not [name for name in parsed.names if name.startswith("on")]
    own = re.sub(r"data:image[^\"]*|<script>.*</script>", "", text, flags=re.DOTALL)
    assert "@import" not in own
    assert "url(" not in own
    assert "nan" not in own.lower().split()
    return parsed


def rows_of(
    *,
    cohort: list[str] | None = None,
    genomes: list[str] | None = None,
    models: list[str] | None = None,
    defenders: list[tuple[str, float | None]] | None = None,
    channels: list[str] | None = None,
    attackers: list[str] | None = None,
    seeds: int = 1,
    sizes: tuple[int, ...] = (10, 20, 50, 100, 456),
    photo_metrics: bool = False,
    flags: str = "",
) -> list[Row]:
    """Plausible rows of a grid."""
    out = []
    grid = product(
        cohort or ["faces"],
        genomes or ["table"],
        models or ["standard"],
        defenders or [("none", None)],
        channels or ["float"],
        attackers or ["predicted", "ground-truth", "random"],
        range(seeds),
    )
    for number, (who, table, model, (defender, epsilon), channel, attacker, seed) in enumerate(grid):
        power = {"predicted": 2.4, "ground-truth": 5.5, "random": 1.0}.get(attacker, 2.0 + 0.3 * (len(attacker) % 4))
        if attacker not in ("ground-truth", "random") and defender != "none":
            strength = {"noise": 4.0, "joint-pgd": 90.0}.get(defender, 30.0) * (0.4 if "robust" in model else 1.0)
            power *= math.exp(-strength * (0.02 if epsilon is None or not math.isfinite(epsilon) else epsilon))
        place = (who, table, model, "none", defender, epsilon, channel, attacker)
        metrics: list[tuple[str, int | None, int | None, float]] = [
            ("success", k, n, 1 - (1 - min(0.95, power / n)) ** k) for k, n in product((1, 3, 5), sizes)
        ]
        metrics += [("auc_score", None, None, 0.5 + 0.07 * (power - 1)), ("median_rank", None, None, 228.0 / power)]
        metrics += [("accuracy:sex", None, None, 0.97), ("balanced_accuracy:sex", None, None, 0.96)]
        metrics += [("accuracy:eye", None, None, 0.5), ("balanced_accuracy:eye", None, None, 0.41)]
        if photo_metrics:
            budget = epsilon if epsilon is not None and math.isfinite(epsilon) else 0.0
            metrics += [("success_change", k, n, -0.01) for k, n in product((1, 3), sizes)]
            metrics += [("ssim", None, None, 1 - 2 * budget * (1 + len(defender) / 20)), ("linf", None, None, budget)]
            metrics += [("linf_max", None, None, budget), ("delta_e", None, None, 100 * budget)]
        for metric, k, n, value in metrics:
            high = value * 1.1 if metric in ("median_rank", "delta_e") else min(value * 1.1, 1.0)
            out.append(Row(*place, metric, k, n, value, value * 0.9, high, seed, flags, f"{number:010x}"))
    return out


def run_of(name: str = "try", failed: list[dict[str, Any]] | None = None, **more: Any) -> dict[str, Any]:
    """A run.json with the parts that the report reads."""
    scenario = {"name": name, "attackers": [], "measure": {"level": 0.95, "resamples": 1000}}
    return {"scenario": scenario, "versions": {"linkbench": "0.1.0"}, "device": "cpu", "cells": failed or [], **more}


def failure(**place: Any) -> dict[str, Any]:
    """A cell that failed, as run.json tells it."""
    base = dict.fromkeys(("cohort", "genomes", "model", "poison", "defender", "channel", "attacker"), "x")
    return {**base, "epsilon": None, "seed": 0, "failed": {"stage": "rank x", "reason": "no <b>reason</b>"}, **place}


PHOTOS = {
    "models": ["standard", "robust"],
    "defenders": [
        ("none", None),
        *(("noise", e) for e in (0.01, 0.025)),
        *(("joint-pgd", e) for e in (0.001, 0.005, 0.01, 0.025, 0.05)),
        *(("single-pgd(phenotype=sex)", e) for e in (0.005, 0.01, 0.025)),
        ("fawkes", None),
    ],
    "channels": ["float", "png"],
    "photo_metrics": True,
}


def examples_in(folder: Path, before: Array, after: Array, labels: list[str]) -> None:
    """The file of example photos."""
    tensorfile.write(folder / "examples.safetensors", Artefact({"before": before, "after": after}, {"labels": labels}))


def photo_folder(folder: Path) -> Results:
    """A run with photos: several models, defenders, budgets and examples."""
    y, x = np.mgrid[0:64, 0:64]
    face = np.stack([128 + 90 * np.sin(x / 9), 128 + 90 * np.cos(y / 7), 100 + x + y]).astype(np.uint8)
    before = np.broadcast_to(face, (2, 3, 3, 64, 64)).copy()
    noise = np.random.default_rng(0).integers(-6, 7, before.shape)
    after = np.clip(before + noise, 0, 255).astype(np.uint8)
    examples_in(folder, before, after, ["noise", "joint-pgd"])
    return Results(rows_of(**PHOTOS, flags="below-quantisation;odd"), run_of("photos"))  # type: ignore[arg-type]


def ranks_in(folder: Path, results: Results) -> None:
    """Rank files for all cells."""
    (folder / "ranks").mkdir()
    for cell in {row.cell for row in results.rows}:
        line = np.linspace(0.0, 1.0, 400)
        arrays: dict[str, Array | Stream] = {"identity": np.arange(40) // 2}
        for kind, bend in (("score", 2), ("k", 3)):
            arrays |= {f"roc_{kind}_false": line**bend, f"roc_{kind}_true": line}
        tensorfile.write(folder / "ranks" / f"{cell}.safetensors", Artefact(arrays, {"population": 40}))


def test_a_plain_run_has_curves_roc_accuracy_and_table(tmp_path: Path) -> None:
    results = Results(rows_of(genomes=["t(setting=a)", "t(setting=b)"]), run_of(schema=[["sex", ["f", "m"]]]))
    ranks_in(tmp_path, results)
    text = page.render(results, tmp_path)
    parsed = checked(text)
    assert {"attackers", "roc", "face", "table", "method"} <= set(parsed.ids)
    absent = {"matrix", "curves", "budget", "visibility", "models", "robustness", "examples", "failed", "flags"}
    assert not absent & set(parsed.ids)
    words = "".join(parsed.text)
    assert "20 people" in words.replace("\n", " ")
    assert "2.4%" in words  # success@1 at n = 100
    assert [one["name"] for one in drawn(text)] == [
        "face",
        "attackers",
        "attackers",
        "roc",
        "roc",
    ]  # faces are the same


def test_photo_runs_have_every_figure(tmp_path: Path) -> None:
    results = photo_folder(tmp_path)
    text = page.render(results, tmp_path)
    parsed = checked(text)
    assert {"matrix", "budget", "visibility", "models", "robustness", "examples", "flags"} <= set(parsed.ids)
    assert parsed.tags["img"] == 2 * 3 * 3
    assert "half an 8-bit step" in text
    assert any(any(one["rows"].get("front", [])) for one in drawn(text))
    assert "change by the defence" in text
    assert "-1.0" in "".join(parsed.text)
    assert flags_text.FLAGS["below-quantisation"][:40] in text
    assert len(text) < BUNDLE + 700_000


BUNDLE = sum(len(document.source(name)) for name in document.VEGA)


def drawn(text: str) -> list[dict[str, Any]]:
    """The drawings of a page."""
    found = re.search(r'<script type="application/json" id="drawings">(.*?)</script>', text)
    assert found is not None
    figures: list[dict[str, Any]] = json.loads(found[1])["figures"]
    return figures


def test_the_same_results_give_the_same_bytes(tmp_path: Path) -> None:
    results = photo_folder(tmp_path)
    assert page.render(results, tmp_path) == page.render(results, tmp_path)


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    rows = rows_of(
        cohort=[EVIL, "b"], genomes=[EVIL], models=[EVIL, "</script>"], attackers=["predicted", EVIL],
        defenders=[("none", None), (EVIL, 0.01), (EVIL, 0.02)], channels=[EVIL], photo_metrics=True, flags=EVIL,
    )  # fmt: skip
    run = run_of(EVIL, [failure(cohort=EVIL)], device=EVIL)
    run["versions"][EVIL] = EVIL
    run["scenario"]["attackers"] = [{"label": EVIL, "name": EVIL}]
    results = Results(rows, run)
    ranks_in(tmp_path, results)
    photos = np.zeros((1, 1, 3, 8, 8), np.uint8)
    examples_in(tmp_path, photos, photos, [EVIL])
    text = page.render(results, tmp_path)
    parsed = checked(text)
    assert parsed.tags.get("b", 0) <= 8  # none of them from the reason of the failure
    assert "<b>reason" not in text
    assert "alert(1)" in "".join(parsed.text)
    assert "<script>alert" not in text
    assert "49[bold]" not in text
    assert "\x1b" not in text
    assert "\u202e" not in text


@pytest.mark.parametrize("width", [40, 80, 140])
def test_terminal_escapes_names_and_keeps_to_its_width(width: int) -> None:
    rows = rows_of(attackers=["predicted", EVIL], flags="odd;weaker-than-noise")
    screen = terminal_text(Results(rows, run_of(EVIL, [failure()])), width)
    assert "\x1b" not in screen
    assert "[bold]" in screen.replace("\n", "") or width == 40
    assert max(map(len, screen.splitlines())) <= width
    assert "weaker than noise" in " ".join(screen.split()) or width == 40


def terminal_text(results: Results, width: int, encoding: str = "utf-8") -> str:
    """What a terminal of this width shows."""
    from rich.console import Console

    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    terminal.show(results, Console(file=stream, width=width, highlight=False), full=True)
    stream.flush()
    return stream.buffer.getvalue().decode(encoding)


def test_terminal_shows_groups_numbers_and_failures() -> None:
    results = Results(rows_of(genomes=["t(setting=a)", "t(setting=b)"]), run_of(failed=[failure()]))
    wide, narrow = terminal_text(results, 140), terminal_text(results, 80)
    assert "24.0 [21.6–26.4]" in wide
    assert "genomes setting=b" in narrow
    assert "21.6–26.4" in narrow
    assert "2.4×" in narrow
    assert "no <b>reason</b>" in narrow
    assert "1 of 7 cells failed" in narrow


def test_terminal_in_ascii_and_with_photos(tmp_path: Path) -> None:
    screen = terminal_text(photo_folder(tmp_path), 100, "ascii")
    assert "joint-pgd" in screen
    assert "2.4x" in screen


def test_terminal_says_what_defences_changed_and_took(tmp_path: Path) -> None:
    results = photo_folder(tmp_path)
    slow = next(row.cell for row in results.rows if row.defender == "fawkes" and row.model == "standard")
    results.run["cells"] = [{"id": slow, "failed": None, "seconds_per_photo": 0.0123}]
    text = terminal_text(results, 100)
    table = text[text.index("what the defences changed") :].split("\n\n")[0]
    assert "none" not in table
    assert re.search(r"standard +noise +0\.025 +0\.0250 +2\.5 +0\.938 +0\.938 +—", table), table
    assert re.search(r"standard +fawkes .*12\.3", table), table


def test_no_rows_and_all_failed(tmp_path: Path) -> None:
    results = Results([], run_of(failed=[failure(attacker="a"), failure(attacker="b")]))
    parsed = checked(page.render(results, tmp_path))
    assert {"failed", "method"} <= set(parsed.ids)
    assert "2 of 2 cells failed" in "".join(parsed.text)
    assert "2 of 2 cells failed" in terminal_text(results, 80)
    assert "no cells" in terminal_text(Results([], {}), 80)
    checked(page.render(Results([], {}), tmp_path))


def test_one_row(tmp_path: Path) -> None:
    row = Row("c", "g", "m", "none", "none", None, "float", "predicted", "success", 1, 10, 0.2, 0.1, 0.3, 0, "", "ab")
    for only in (row, row._replace(metric="auc_score", k=None, n=None), row._replace(defender="x", epsilon=math.nan)):
        results = Results([only], run_of())
        checked(page.render(results, tmp_path))
        assert "predicted" in terminal_text(results, 80)


def test_nan_values_and_epsilons(tmp_path: Path) -> None:
    rows = rows_of(defenders=[("none", math.nan), ("a", math.nan), ("b", 0.01), ("b", 0.02)], photo_metrics=True)
    rows = [row._replace(value=math.nan) if row.metric in ("auc_score", "ssim") else row for row in rows]
    nothing = {"value": math.nan, "ci_low": math.nan, "ci_high": math.nan}
    rows += [row._replace(**nothing) for row in rows_of(attackers=["predicted"])]  # type: ignore[arg-type]
    results = Results(rows, run_of())
    checked(page.render(results, tmp_path))
    terminal_text(results, 80)


def test_bad_side_files_are_left_out(tmp_path: Path) -> None:
    results = Results(rows_of(), run_of())
    (tmp_path / "ranks").mkdir()
    (tmp_path / "ranks" / "0000000000.safetensors").write_bytes(b"\xff" * 40)
    (tmp_path / "examples.safetensors").write_bytes(b"")
    parsed = checked(page.render(results, tmp_path))
    assert not {"roc", "examples"} & set(parsed.ids)


def test_a_big_run_stays_small(tmp_path: Path) -> None:
    genomes = ["t(setting=a)", "t(setting=b)"]
    attackers = ["predicted", "ground-truth", "known", "calibrated", "assignment", "random"]
    results = Results(rows_of(genomes=genomes, attackers=attackers, sizes=tuple(range(10, 457))), run_of())
    ranks_in(tmp_path, results)
    assert len(results.rows) > 13_000
    assert len(page.render(results, tmp_path)) < BUNDLE + 600_000


def test_every_flag_of_the_harness_is_explained() -> None:
    from linkbench.results import flags

    named = re.findall(r"^([a-z]+(?:-[a-z]+)+) {2,}", flags.__doc__ or "", flags=re.MULTILINE)
    assert len(named) >= 7
    assert set(named) <= set(flags_text.FLAGS)


def test_seeds_are_pooled() -> None:
    rows = rows_of(attackers=["predicted"], seeds=2)
    rows = [row._replace(value=row.value + 0.1 * row.seed, ci_high=row.ci_high + 0.1 * row.seed) for row in rows]
    (cell,) = pooled(read_cells(rows, {}))
    assert cell.success[1][10] == pytest.approx((0.24 + 0.05, 0.24 * 0.9, 0.24 * 1.1 + 0.1))
    assert len(cell.ids) == 2


def test_words_and_numbers() -> None:
    assert short(["t(a=1)", "t(a=2)"]) == {"t(a=1)": "a=1", "t(a=2)": "a=2"}
    assert short(["t(a=1)", "u"])["t(a=1)"] == "t(a=1)"
    assert (nearest([10, 20, 50, 456], 100), nearest([], 10), nearest([7], 100)) == (50, None, 7)
    assert [numbers.percent(x) for x in (0.0, 1.0, 0.0022, 0.24, 0.9996)] == ["0%", "100%", "0.22%", "24.0%", "100.0%"]
    assert [numbers.times(x) for x in (0.5, 1.0, 4.49, 123.4)] == ["0.5×", "1.0×", "4.5×", "123×"]
    assert [numbers.plain(x) for x in (228.0, 117.69, 0.019607, 1e-7)] == ["228", "117.7", "0.0196", "1e-07"]
    assert numbers.brief("single-pgd(phenotype=sex)", 18) == "single-pgd(sex)"
    assert flags_text.explain(["own_thing"]) == [("own_thing", "")]


@given(st.integers(2, 900), st.integers(2, 200))
def test_thin_keeps_both_ends(length: int, most: int) -> None:
    kept = thin(length, most, [math.log(10 + i) for i in range(length)])
    assert (kept[0], kept[-1]) == (0, length - 1)
    assert len(kept) <= max(most, 2)
    assert kept == sorted(set(kept))


def test_png_is_read_back_by_pillow() -> None:
    image = pytest.importorskip("PIL.Image")
    photo = np.random.default_rng(1).integers(0, 256, (3, 5, 7)).astype(np.uint8)
    with image.open(io.BytesIO(png.write(photo))) as read:
        assert (np.moveaxis(np.asarray(read), 2, 0) == photo).all()
