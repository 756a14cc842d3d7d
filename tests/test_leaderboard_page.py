"""The built leaderboard: safe against hostile names, whole without a script, alive in a real browser with one."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from browser import Visit, visit
from playwright.sync_api import Browser

from linkbench.leaderboard.build import build

EVIL = "</script><script>evil=1</script><img src=//e.test/x onerror=evil=1>|`*"
"""The name of a defender in the scenario of these tests (conftest.SMALL)."""

VOID = {"meta", "link", "input", "img", "br"}


class Tree(HTMLParser):
    """Checks that elements are nested and ids are unique; keeps tags, ids and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.ids: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self.ids += [str(value) for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def site(small_board: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the built files of the small board."""
    out = tmp_path_factory.mktemp("site")
    build(small_board / "leaderboard", out)
    return out


def table(site: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((site / "leaderboard.csv").read_text().splitlines()))


def test_the_page_is_one_sound_file_without_a_network(site: Path) -> None:
    text = (site / "index.html").read_text()
    tree = Tree(text)
    assert tree.open == []
    assert len(set(tree.ids)) == len(tree.ids)
    assert [tag for tag, _ in tree.found].count("script") == 2
    for tag, attributes in tree.found:
        assert not any(name.startswith("on") for name in attributes), tag
        for name in ("src", "href"):
            target = attributes.get(name)
            assert target is None or target.startswith(("data:", "#")) or target == "leaderboard.csv"
    assert "http" not in re.sub(r"http-equiv|http://www.w3.org/2000/svg", "", text)
    assert EVIL in tree.text  # shown as it is, and no element


def test_everything_stands_there_without_a_script(site: Path) -> None:
    tree = Tree((site / "index.html").read_text())
    for line in table(site):
        assert line["defence"] in tree.text
        assert line["attacker"] in tree.text
    assert tree.text.count("recomputed") >= 8
    assert [attributes for tag, attributes in tree.found if tag == "form"] == [{"class": "filters", "hidden": None}] * 2


def test_embedded_numbers_are_those_of_the_table(site: Path) -> None:
    text = (site / "index.html").read_text()
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    worst = {(line["channel"], line["defence"], line["epsilon"]): line["worst_success"] for line in table(site)}
    channels = json.loads(found[1])
    assert len(channels) == 2
    rows = [row for channel in channels for row in channel["rows"]]
    assert sorted(f"{row['worst']:.6g}" for row in rows) == sorted(worst.values())
    for channel in channels:
        assert {row["rank"] for row in channel["rows"]} == {None}  # yardsticks, and one that hides the photo
        assert [row["class"] for row in channel["rows"]] == ["", "8/255", "8/255", "perceptual"]
        values = [row["worst"] for row in channel["rows"] if row["class"] == "8/255"]
        assert values == sorted(values)


def test_the_table_is_ranked_by_worst_cases(site: Path) -> None:
    lines = table(site)
    for line in lines:
        same = [
            other for other in lines if all(other[part] == line[part] for part in ("channel", "defence", "epsilon"))
        ]
        assert float(line["worst_success"]) == pytest.approx(max(float(other["success"]) for other in same), rel=1e-4)
        assert float(line["lift"]) == pytest.approx(100 * float(line["worst_success"]), rel=1e-4)
        assert float(line["ci_low"]) - 1e-6 <= float(line["worst_success"]) <= float(line["ci_high"]) + 1e-6
        assert float(line["auc"]) == pytest.approx(max(float(other["cell_auc"]) for other in same), rel=1e-4)
    exact = {line["defence"]: line["linf"] for line in lines if line["channel"] == "float"}
    assert float(exact["none"]) == 0.0


def test_names_do_not_become_markdown(site: Path) -> None:
    text = (site / "README.md").read_text()
    assert "<script" not in text
    assert "<img" not in text
    for line in text.splitlines():
        if line.startswith("| ") and "script" in line:
            columns = re.split(r"(?<!\\)\|", line)
            assert len(columns) in (7, 9, 15)  # no name opens a column


@pytest.fixture(scope="module")
def page(site: Path, chromium: Browser) -> Iterator[Visit]:
    with visit(chromium, site / "index.html") as seen:
        yield seen


SHOWN = "[...document.querySelectorAll('.channel.of-1 table.board tbody tr')].filter(r => !r.hidden)"


def column(page: Visit, number: int) -> list[str]:
    """The shown text of one column of the first ranking."""
    shown: list[str] = page.js(f"{SHOWN}.map(r => r.cells[{number}].firstChild?.textContent ?? '')")
    return shown


@pytest.mark.slow
@pytest.mark.browser
def test_the_page_lives_in_a_browser(page: Visit, site: Path) -> None:
    """One visit: sorted, filtered, by keyboard, no error, no request, no foreign script."""
    first = column(page, 1)
    assert len(first) == 4
    assert column(page, 0) == ["—"] * 4

    heading = "document.querySelector('.channel.of-1 th[data-sort=\"label\"] button')"
    page.js(f"{heading}.focus()")
    page.page.keyboard.press("Enter")
    assert column(page, 1) == sorted(first, key=str.lower)
    page.page.keyboard.press("Enter")
    assert column(page, 1) == sorted(first, key=str.lower)[::-1]
    assert page.js(f"{heading}.parentNode.getAttribute('aria-sort')") == "descending"
    page.js("document.querySelector('.channel.of-1 th[data-sort=\"ssim\"] button').click()")
    likeness = [float(text) for text in column(page, 7)]
    assert likeness == sorted(likeness, reverse=True)
    page.js("document.querySelector('.channel.of-1 th[data-sort=\"rank\"] button').click()")
    assert column(page, 1) == first

    def fill(name: str, value: Any) -> None:
        page.js(
            f"{{const field = document.querySelector('.channel.of-1 .filters').elements['{name}'];"
            f"field.value = {json.dumps(value)};"
            "field.dispatchEvent(new Event('input', {bubbles: true}));}"
        )

    fill("text", "noise")
    assert sorted(column(page, 1)) == ["noise(noise=sign)", "noise(noise=uniform)"]
    assert page.js("document.querySelector('.channel.of-1 output').textContent") == "2 of 4 rows"
    fill("text", "")
    fill("budget", "0.02")
    assert EVIL not in column(page, 1)  # a defence without a budget that changes more
    assert "none" in column(page, 1)
    fill("budget", "")
    fill("badge", "2")
    assert column(page, 1) == []
    fill("badge", "0")
    assert column(page, 1) == first

    page.js("document.querySelector('.pick-1').focus()")
    page.page.keyboard.press("ArrowRight")
    showing = "[...document.querySelectorAll('.channel')].map(c => getComputedStyle(c).display)"
    assert page.js(showing) == ["none", "block"]

    assert page.js("typeof evil") == "undefined"
    assert page.js("document.images.length === [...document.images].filter(i => i.src.startsWith('data:')).length")
    assert page.js("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert page.errors == []
    assert page.said == []
    assert {url.partition(":")[0] for url in page.requests} <= {"file", "data"}
    assert [url for url in page.requests if url.startswith("file")] == [(site / "index.html").resolve().as_uri()]


@pytest.mark.slow
@pytest.mark.browser
def test_the_page_is_whole_without_a_script_narrow_and_dark(chromium: Browser, site: Path) -> None:
    with visit(chromium, site / "index.html", script=False, width=390, dark=True) as seen:
        assert "noise(noise=sign)" in seen.page.content()
        assert seen.js("document.documentElement.scrollWidth") <= 390
        assert seen.js("matchMedia('(prefers-color-scheme: dark)').matches")
        assert seen.said == []
