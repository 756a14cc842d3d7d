"""Figures as Vega-Lite: the records behind them, saved as files, and alive in a real browser."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import Visit, visit
from conftest import Finished
from hypothesis import given
from hypothesis import strategies as st
from playwright.sync_api import Browser
from test_conclusions import first, setting
from test_report import EVIL, PHOTOS, ranks_in, rows_of, run_of

from linkbench.errors import InputError, MissingExtraError
from linkbench.metrics.pareto import front
from linkbench.report import charts, drawings, names, page
from linkbench.report.figures import base, theme, vega
from linkbench.report.figures.base import Panel, Section
from linkbench.results.cells import Value
from linkbench.results.conclusions import to_json
from linkbench.results.folder import FORMAT, read_ranks
from linkbench.results.results import Results
from linkbench.results.table import to_csv
from linkbench.results.verdicts import Protection

NAMES = [
    "differences", "curves", "visibility", "face", "attackers", "budget", "models", "robustness", "roc",
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the results are."""
    return tmp_path_factory.mktemp("charts")


@pytest.fixture(scope="module")
def results(folder: Path) -> Results:
    """With every figure that photos bring, and their report."""
    told = [
        setting(none=first(0.3), noise_at_1=first(0.29), pgd_at_1=first(0.1), blur=np.roll(first(0.28), 40))._replace(
            place={"cohort": "faces", "genomes": "table", "model": "", "channel": channel}
        )
        for channel in ("float", "png")
    ]
    run = run_of("charts", conclusions=json.loads(json.dumps(to_json(told))), schema=[["sex", ["f", "m"]]])
    kinds: dict[str, Any] = {**PHOTOS, "models": ["standard", "robust"]}
    made = Results(rows_of(**kinds), run)
    ranks_in(folder, made)
    made = Results(made.rows, made.run, functools.partial(read_ranks, folder))
    (folder / "report.html").write_text(page.render(made, folder))
    return made


@pytest.fixture(scope="module")
def seen(chromium: Browser, folder: Path, results: Results) -> Iterator[Visit]:
    """The report in the browser, all of it drawn that is not folded."""
    with visit(chromium, folder / "report.html", width=1000) as opened:
        opened.page.wait_for_selector(".drawing[data-drawn]")
        yield opened


def figures(results: Results) -> dict[str, Any]:
    return dict(results.charts())


def test_a_run_has_its_figures_by_name(results: Results) -> None:
    assert list(figures(results)) == NAMES
    chart = results.chart("visibility")
    assert chart.switches["channel"] == ["float", "png"]
    assert chart.switches["k"] == [1, 3, 5]
    with pytest.raises(InputError, match="no figure 'odd'; it has: differences, curves"):
        results.chart("odd")
    with pytest.raises(InputError, match="was not measured at k 7; it was at: 1, 3, 5"):
        chart.at(k=7)
    with pytest.raises(InputError, match="the figure face has no switch 'k'"):
        results.chart("face").at(k=1)


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_is_drawn_without_a_browser(results: Results, name: str) -> None:
    """By another implementation of Vega-Lite than the page's: nothing is left out, nothing is no number."""
    vl_convert = pytest.importorskip("vl_convert")
    spec = figures(results)[name].to_dict()
    drawn = vl_convert.vegalite_to_svg(spec, vl_version="6.4")
    assert drawn.count("<path") + drawn.count("<line") > 10
    assert "NaN" not in drawn
    assert theme.COLOURS["paper"][0] in drawn


def test_the_records_are_the_numbers_of_the_table(results: Results) -> None:
    """Of each defence the strongest attacker, at every place of the switches."""
    cells = [cell for cell in results.cells if cell.attacker not in ("ground-truth", "random")]
    checked = 0
    for panel in figures(results)["curves"].section.panels:
        for row in panel.rows:
            if row["name"] == "guessing":
                assert row["value"] == pytest.approx(min(1.0, row["k"] / row["x"]), rel=1e-5)
                continue
            found = [
                value.value
                for cell in cells
                if names.of_cell(cell) == row["name"] and cell.channel == row["channel"] and cell.model in panel.title
                if (value := cell.at(row["k"], row["x"]))
            ]
            assert row["value"] == pytest.approx(max(found), rel=1e-5)
            checked += 1
    assert checked > 100


def test_the_forest_says_what_the_tests_say(results: Results) -> None:
    (panel,) = figures(results)["differences"].section.panels
    rows = {row["row"]: row for row in panel.rows if row["channel"] == "png"}
    assert rows["pgd, ε 0.01"]["verdict"] == "less"
    assert rows["pgd, ε 0.01"]["against noise"] == "fewer linked"
    assert rows["blur"]["verdict"] == "open"
    assert rows["pgd, ε 0.01"]["value"] == pytest.approx(-0.2)
    order = panel.view["layer"][-1]["encoding"]["y"]["sort"]
    assert order[0] == "pgd, ε 0.01"


def test_the_front_joins_what_no_other_beats(results: Results) -> None:
    for panel in figures(results)["visibility"].section.panels:
        rows = [row for row in panel.rows if (row["channel"], row["k"], row["n"]) == ("png", 1, 100)]
        best = {at for at, row in enumerate(rows) if row.get("front")}
        assert best == set(front([(row["x"], row["value"]) for row in rows]))
        assert 0 < len(best) < len(rows)


def test_figures_become_files(results: Results, tmp_path: Path) -> None:
    pytest.importorskip("vl_convert")
    chart = results.chart("curves").at(channel="float", k=3)
    begins = {"json": b"{", "html": b"<!doctype html>", "svg": b"<svg", "png": b"\x89PNG", "pdf": b"%PDF"}
    for kind, first_bytes in begins.items():
        chart.save(tmp_path / f"a.{kind}")
        assert (tmp_path / f"a.{kind}").read_bytes().startswith(first_bytes)
    spec = json.loads((tmp_path / "a.json").read_text())
    assert {one["name"]: one["value"] for one in spec["params"]}["k"] == 3
    assert "success@3" in (tmp_path / "a.svg").read_text()
    assert "posted as float" in (tmp_path / "a.svg").read_text()
    chart.save(tmp_path / "dark.json", dark=True)
    assert theme.COLOURS["paper"][1] in (tmp_path / "dark.json").read_text()
    with pytest.raises(InputError, match=r"by the ending of the file's name"):
        chart.save(tmp_path / "a.gif")
    with pytest.raises(InputError, match="cannot be written"):
        chart.save(tmp_path / "nowhere" / "a.json")
    shown: Any = chart
    assert "application/vnd.vegalite.v5+json" in shown._repr_mimebundle_()


def test_plot_lists_and_writes_figures(
    folder: Path, results: Results, run_cli: Callable[..., Finished], tmp_path: Path
) -> None:
    (folder / "results.csv").write_text(to_csv(results.rows))
    (folder / "run.json").write_text(json.dumps({**results.run, "format": FORMAT}))
    listed = run_cli("plot", folder)
    assert [line.split()[0] for line in listed.out.splitlines()] == NAMES
    assert "channel float, png; k 1, 3, 5" in listed.out
    out = tmp_path / "a.json"
    assert run_cli("plot", folder, "curves", "--out", out, "--k", "3", "--channel", "float").status == 0
    assert json.loads(out.read_text()) == results.chart("curves").at(k=3, channel="float").to_dict()
    for wrong, said in (
        (("odd", "--out", out), "no figure 'odd'; it has: differences"),
        (("curves",), "name a file with --out"),
        (("curves", "--out", tmp_path / "a.gif"), ".json, .html, .svg, .png, .pdf"),
        (("face", "--k", "1", "--out", out), "has no switch 'k'"),
    ):
        done = run_cli("plot", folder, *wrong)
        assert done.status == 2
        assert said in done.err


def test_without_vl_convert_the_extra_is_named(
    results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(charts.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"linkbench\[figures\]"):
        results.chart("curves").save(tmp_path / "a.pdf")
    assert list(tmp_path.iterdir()) == []
    results.chart("curves").save(tmp_path / "a.json")


@given(st.lists(st.fixed_dictionaries({"name": st.sampled_from(["a", "b"]), "value": st.floats(0, 1)},
                                      optional={"k": st.integers(1, 3), "front": st.just(True)})))  # fmt: skip
def test_packed_records_are_whole(rows: list[dict[str, Any]]) -> None:
    columns = drawings.packed(rows)
    back: list[dict[str, Any]] = [{} for _ in rows]
    for name, column in columns.items():
        values = [column["of"][at] for at in column["at"]] if isinstance(column, dict) else column
        for row, value in zip(back, values, strict=True):
            if value is not None:
                row[name] = value
    assert back == rows


@given(st.lists(st.tuples(st.sampled_from(["float", "png", None]), st.integers(1, 3), st.floats(0.001, 1)), min_size=1))
def test_axes_hold_all_that_they_show(points: list[tuple[str | None, int, float]]) -> None:
    """Also what stands at every place of a switch, such as guessing."""
    rows = []
    for channel, k, value in points:
        row = vega.record("a", 1, Value(value, value, value), k=k)
        rows.append(row if channel is None else {**row, "channel": channel})
    looks = {"a": "s1"}
    view = vega.lines(looks, vega.Axis("n"), vega.Axis("share"))
    section = Section("x", "", "", [], [Panel("", view, rows)])
    params, _ = base.views(section, base.Defaults("png", 1, 1))
    tops = {one["name"]: one["value"] for one in params}["tops"]
    switches = base.options_of(section)
    for row in rows:
        for key, top in tops.items():
            at = dict(zip(switches, key.split("|")[1:], strict=True))
            if all(name not in row or str(row[name]) == value for name, value in at.items()):
                assert row["value"] <= top * (1 + 1e-6)


def test_dark_is_light_with_other_colours() -> None:
    light, dark = zip(*theme.COLOURS.values(), strict=True)
    assert len(set(light)) == len(light)
    spec = {"data": {"values": [light[0]]}, "mark": {"color": light[3]}, "domain": ["a"]}
    assert theme.darkened(spec) == {"data": {"values": [light[0]]}, "mark": {"color": dark[3]}, "domain": ["a"]}


def test_a_protection_has_one_name() -> None:
    assert names.of(Protection("", "pgd", 0.01)) == "pgd, ε 0.01"
    assert names.of(Protection("signs", "", None)) == "poison signs"
    assert names.of(Protection("signs", "pgd", 0.01)) == "pgd, ε 0.01 and poison signs"


@pytest.mark.slow
def test_a_page_of_500_cells_is_written_in_seconds(tmp_path: Path) -> None:
    defenders: list[tuple[str, float | None]] = [("none", None), *(("pgd", 0.001 * at) for at in range(1, 21))]
    rows = rows_of(models=["a", "b"], defenders=defenders, channels=["float", "png"], photo_metrics=True,
                   attackers=[f"attacker {at}" for at in range(6)])  # fmt: skip
    many = Results(rows, run_of())
    assert len(many.cells) > 500
    began = time.process_time()
    page.render(many, tmp_path)
    assert time.process_time() - began < 3.0


def settle(seen: Visit) -> None:
    """Wait until what was asked of the drawings is done."""
    seen.page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done, 60)))")


def title(seen: Visit, section: str) -> str:
    """What stands above the first drawing of a figure."""
    return str(seen.js(f"document.querySelector('#{section} .chart svg .role-title-text').textContent"))


@pytest.mark.slow
@pytest.mark.browser
def test_one_switch_moves_all_figures(seen: Visit) -> None:
    assert title(seen, "curves") == "success@1 · posted as png"
    before = seen.js("document.querySelector('#curves .chart svg').outerHTML")
    for name, value in (("channel", "float"), ("k", "3"), ("n", "10")):
        seen.page.select_option(f"form.switches.page select[name={name}]", value)
    settle(seen)
    assert title(seen, "curves") == "success@3 · posted as float"
    assert title(seen, "visibility") == "success@3 · n = 10 · posted as float"
    assert title(seen, "face") == "posted as float"
    assert seen.js("document.querySelector('#curves .chart svg').outerHTML") != before
    shown = "[...document.querySelectorAll('#matrix [data-channel]:not([hidden])')].map((one) => one.dataset.channel)"
    assert set(seen.js(shown)) == {"float"}
    # what is folded obeys too, once it is opened
    seen.page.click("#budget summary")
    seen.page.wait_for_selector("#budget .drawing[data-drawn]")
    assert title(seen, "budget") == "success@3 · n = 10 · posted as float"
    for name, value in (("channel", "png"), ("k", "1"), ("n", "100")):
        seen.page.select_option(f"form.switches.page select[name={name}]", value)
    settle(seen)
    assert title(seen, "curves") == "success@1 · posted as png"


@pytest.mark.slow
@pytest.mark.browser
def test_changes_while_a_figure_is_drawn_draw_it_once_and_count(
    chromium: Browser, folder: Path, results: Results
) -> None:
    with visit(chromium, folder / "report.html", width=1000) as opened:
        opened.page.wait_for_selector("#curves .drawing[data-drawn]")
        opened.js("""() => {
            const embed = window.vegaEmbed;
            window.drawn = 0;
            window.vegaEmbed = (...all) => { window.drawn += 1; return embed(...all); };
            document.querySelector('#budget details').open = true;
            for (const _ of [1, 2]) document.dispatchEvent(new Event('change'));
            const select = document.querySelector('form.switches.page select[name=k]');
            select.value = '3';
            select.dispatchEvent(new Event('input'));
        }""")
        opened.page.wait_for_selector("#budget .drawing[data-drawn]")
        settle(opened)
        assert opened.js("window.drawn === document.querySelectorAll('#budget .drawing').length")
        assert title(opened, "budget") == "success@3 · n = 100 · posted as png"
        assert not opened.errors


@pytest.mark.slow
@pytest.mark.browser
def test_a_figure_has_a_switch_of_its_own(seen: Visit) -> None:
    seen.page.click("#roc summary")
    seen.page.wait_for_selector("#roc .drawing[data-drawn]")
    before = seen.js("document.querySelector('#roc .chart svg').outerHTML")
    seen.page.select_option("#roc select[name=by]", "k")
    settle(seen)
    assert seen.js("document.querySelector('#roc .chart svg').outerHTML") != before


@pytest.mark.slow
@pytest.mark.browser
def test_the_pointer_gets_numbers(seen: Visit) -> None:
    chart = seen.page.locator("#curves .chart").first
    for y in (150, 154):
        chart.hover(position={"x": 200, "y": y})
    seen.page.wait_for_selector("#vg-tooltip-element.visible", timeout=20_000)
    words = seen.page.locator("#vg-tooltip-element").inner_text()
    assert "population size n" in words
    assert "%" in words
    assert "attacker" in words
    seen.page.mouse.move(1, 1)


@pytest.mark.slow
@pytest.mark.browser
def test_the_keyboard_gets_numbers(seen: Visit) -> None:
    seen.page.locator("#curves .chart").first.focus()
    readout = seen.page.locator("#curves .readout").first
    seen.page.keyboard.press("Home")
    begin = readout.inner_text()
    assert begin.startswith("guessing · 10 · 10%")
    seen.page.keyboard.press("ArrowRight")
    assert readout.inner_text() != begin
    seen.page.keyboard.press("ArrowLeft")
    assert readout.inner_text() == begin
    seen.page.keyboard.press("Escape")
    assert readout.inner_text() == ""


@pytest.mark.slow
@pytest.mark.browser
def test_the_legend_hides_lines_and_the_keyboard_reaches_it(seen: Visit) -> None:
    lines = "document.querySelectorAll('#curves .chart svg .mark-line path').length"
    before = seen.js(lines)
    entry = seen.page.locator("#curves .legend button").first
    entry.focus()
    seen.page.keyboard.press("Enter")
    settle(seen)
    assert entry.get_attribute("aria-pressed") == "false"
    assert seen.js(lines) < before
    seen.page.keyboard.press("Enter")
    settle(seen)
    assert seen.js(lines) == before


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize(("kind", "begin"), [("SVG", b"<svg"), ("PNG", b"\x89PNG")])
def test_figures_are_saved_from_the_page(seen: Visit, kind: str, begin: bytes) -> None:
    with seen.page.expect_download() as saved:
        seen.page.locator("#curves .tools button", has_text=kind).first.press("Enter")
    download = saved.value
    assert download.suggested_filename == f"curves_channel-png_k-1.{kind.lower()}"
    data = Path(download.path()).read_bytes()
    assert data.startswith(begin)
    assert kind == "PNG" or b"success@1" in data


@pytest.mark.slow
@pytest.mark.browser
def test_cells_are_searched_beside_another_table(chromium: Browser, tmp_path: Path) -> None:
    """The table of a theorem has one row of headings, and nothing of it is sorted."""
    rows = rows_of()
    made = Results([*rows, rows[0]._replace(metric="bound:sex", k=None, n=None)], run_of())
    (tmp_path / "report.html").write_text(page.render(made, tmp_path))
    with visit(chromium, tmp_path / "report.html") as opened:
        assert opened.js("document.querySelectorAll('table.results').length") == 2
        opened.page.fill("form.search input", "no cell has these words")
        assert opened.page.locator("form.search output").inner_text().startswith("0 of ")
        assert opened.errors == []


@pytest.mark.slow
@pytest.mark.browser
def test_cells_are_searched_and_filtered(seen: Visit) -> None:
    shown = "[...document.querySelectorAll('table.cells tbody tr')].filter((row) => !row.hidden).length"
    everything = seen.js(shown)
    seen.page.fill("form.search input", "robust JOINT")
    assert 0 < seen.js(shown) < everything
    assert seen.page.locator("form.search output").inner_text() == f"{seen.js(shown)} of {everything} cells"
    seen.page.select_option("form.search select[name=channel]", "png")
    assert seen.js(shown) == 5 * 3  # budgets and attackers
    seen.page.fill("form.search input", "")
    seen.page.select_option("form.search select[name=channel]", "")
    assert seen.js(shown) == everything


@pytest.mark.slow
@pytest.mark.browser
def test_the_page_asks_for_nothing_and_makes_no_error(seen: Visit, folder: Path, results: Results) -> None:
    assert seen.errors == []
    # where no photo is posted in 8 bits no line says what is too small for that
    assert [words for words in seen.said if 'field "limit"' not in words] == []
    assert {url.partition(":")[0] for url in seen.requests} <= {"file", "data", "blob"}
    assert [url for url in seen.requests if url.startswith("file")] == [(folder / "report.html").resolve().as_uri()]


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize(("width", "dark"), [(360, True), (1600, False)])
def test_the_page_fits_narrow_and_wide_light_and_dark(
    chromium: Browser, folder: Path, results: Results, width: int, dark: bool
) -> None:
    with visit(chromium, folder / "report.html", width=width, dark=dark) as opened:
        opened.page.wait_for_selector(f".drawing[data-drawn={'dark' if dark else 'light'}]")
        assert opened.js("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        ends = opened.js("[...document.querySelectorAll('.chart svg')].map((one) => one.getBoundingClientRect().right)")
        assert max(ends) <= width
        papers = opened.js("""[...document.querySelectorAll('.chart svg')].map(
            (one) => getComputedStyle(one).backgroundColor.match(/\\d+/g).map(Number))""")
        paper = theme.COLOURS["paper"][int(dark)]
        assert all(bytes(one).hex() == paper.removeprefix("#") for one in papers)


@pytest.mark.slow
@pytest.mark.browser
def test_hostile_names_run_nothing_and_stay_text(chromium: Browser, tmp_path: Path) -> None:
    rows = rows_of(attackers=["predicted", EVIL], defenders=[("none", None), (EVIL, 0.01), (EVIL, 0.02)],
                   channels=["float", EVIL], photo_metrics=True)  # fmt: skip
    file = tmp_path / "report.html"
    file.write_text(page.render(Results(rows, run_of(EVIL)), tmp_path))
    with visit(chromium, file) as opened:
        alerts: list[str] = []
        opened.page.on("dialog", lambda dialog: alerts.append(dialog.message))
        opened.page.wait_for_selector("#curves .drawing[data-drawn]")
        opened.page.hover("#curves .chart")
        settle(opened)
        assert alerts == []
        assert opened.errors == []
        assert "<script>" in opened.page.locator("#curves .legend").inner_text()


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.usefixtures("results")
def test_without_a_script_every_figure_is_told_in_words(chromium: Browser, folder: Path) -> None:
    with visit(chromium, folder / "report.html", script=False) as opened:
        words = opened.page.locator("#curves").inner_text()
        assert "none: 24% at 10" in words


@pytest.mark.slow
@pytest.mark.browser
def test_a_figure_in_a_file_of_its_own_has_its_switches(chromium: Browser, results: Results, tmp_path: Path) -> None:
    results.chart("visibility").save(tmp_path / "a.html")
    with visit(chromium, tmp_path / "a.html") as opened:
        opened.page.wait_for_selector("#figure svg")
        assert opened.page.locator("select").count() == 3
        opened.page.select_option("select[name=k]", "3")
        settle(opened)
        assert "success@3" in opened.page.locator("#figure").inner_html()
        assert opened.errors == []
