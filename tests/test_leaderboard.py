"""Leaderboard entries from a real run: made, checked, tampered with, run again, built; through the command line."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import FEW, SMALL, Finished, made_board

from linkbench.leaderboard import entry as entries
from linkbench.leaderboard.entry import content_digest
from linkbench.stages import matching


@pytest.fixture
def board(small_board: Path, home: Path) -> Path:
    """A leaderboard of its own, with that entry."""
    shutil.copytree(small_board / "leaderboard", home / "leaderboard")
    return home / "leaderboard" / "entries" / "small.json"


POISONS = [
    "none",
    "{use: shortcut, epsilon: 8/255}",
    "{use: shortcut, name: long, norm: 2, epsilon: 2}",
    "{use: convolution}",
]


@pytest.fixture(scope="module")
def poisoned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The entry of a run with poisons."""
    lines = SMALL.splitlines()
    start = lines.index("defenders:")
    lines[start : start + 4] = [f"poisons: [{', '.join(POISONS)}]", "defenders: none"]
    text = "\n".join(lines).replace("[float, png]", "png").replace("[predicted, assignment, random]", "predicted")
    folder = made_board(tmp_path_factory.mktemp("poisoned"), text)
    return folder / "leaderboard" / "entries" / "small.json"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rerun matches as few photos as the run did."""
    monkeypatch.setattr(matching, "MATCHES", FEW)


def edited(path: Path, change: Callable[[dict[str, Any]], None], *, sealed: bool = False) -> None:
    """Change an entry by hand; sealed: with a digest that fits again."""
    record = json.loads(path.read_text())
    change(record)
    if sealed:
        record["digest"] = content_digest(record)
    path.write_text(json.dumps(record))


@pytest.mark.slow
def test_an_entry_says_what_was_run(board: Path) -> None:
    entry = entries.read(board)
    assert len(entry.cells) == 4 * 2 * 2  # the random attacker looks at no photo
    played = {plugin.use for plugin in entry.plugins}
    assert played >= {"rendered", "thousand-genomes", "noise", "pixelate", "assignment", "small-cnn", "standard", "png"}
    assert entry.protocol_digest == entry.protocol.digest()
    assert set(entry.protocol.opponents.attackers) == {"predicted", "assignment"}
    assert sorted({round(change.linf, 3) for change in entry.changes})[:2] == [0.0, 0.02]
    assert entry.content() == entry.digest
    assert board.stat().st_size < 60_000


@pytest.mark.slow
def test_verify_recomputes_every_number(board: Path, run_cli: Callable[..., Finished]) -> None:
    done = run_cli("leaderboard", "verify", board)
    assert done.status == 0, done.err
    assert "48 numbers of 16 cells" in done.out  # success and area of 16 cells, likeness and change of 8 steps


@pytest.mark.slow
def test_what_poisons_changed_stands_in_their_rows(
    poisoned: Path, home: Path, run_cli: Callable[..., Finished]
) -> None:
    entry = entries.read(poisoned)
    changes = {change.id: change for change in entry.changes}
    cells = {cell.poison: cell for cell in entry.cells}
    assert cells["none"].poison_change is None
    found = {name: changes[cell.poison_change] for name, cell in cells.items() if cell.poison_change is not None}
    assert set(found) == {"shortcut at 0.03137", "long at 2", "convolution"}
    assert all(change.poison and 0.3 < change.ssim[0] < 1 and change.photos == 12 for change in found.values())
    assert found["shortcut at 0.03137"].linf == pytest.approx(8 / 255, abs=1e-4)
    done = run_cli("leaderboard", "verify", poisoned)
    assert done.status == 0, done.err
    assert "16 numbers of 4 cells" in done.out  # success and area of 4 cells, likeness and change of 1 + 3 steps
    assert run_cli("leaderboard", "build", "--board", poisoned.parent.parent, "--out", "out").status == 0
    with Path("out/leaderboard.csv").open(newline="") as file:
        rows = {row["poison"]: row for row in csv.DictReader(file)}
    for name, change in found.items():
        assert float(rows[name]["ssim"]) == pytest.approx(change.ssim[0])
        assert float(rows[name]["linf"]) == pytest.approx(change.linf)
        assert float(rows[name]["ms_per_photo"]) > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda record: poison_of(record).update(ssim=[1.0, 1.0, 1.0]), "SSIM is written"),
        (lambda record: poison_of(record).update(linf=0.01), "the largest change"),
        (lambda record: poison_of(record).pop("poison"), "damaged"),
        (lambda record: record["changes"].remove(poison_of(record)), "damaged"),
        (lambda record: [cell.update(poison_change="00" * 8) for cell in record["cells"]], "is not recorded"),
        (
            lambda record: [
                spec["params"].update(epsilon=0.01)
                for spec in record["scenario"]["poisons"]
                if spec["label"].startswith("shortcut")
            ],
            "the recorded budget of shortcut is not that of its epsilon 0.01",
        ),
        (
            lambda record: [
                cell["poison_budget"].update(radius=0.01)
                for cell in record["cells"]
                if cell["poison"].startswith("shortcut")
            ],
            "a pixel may change by 0.01, but was changed by up to 0.03",
        ),
    ],
)
def test_an_edited_poison_fails_whoever_seals_it(
    change: Callable[[dict[str, Any]], None], words: str, poisoned: Path, home: Path, run_cli: Callable[..., Finished]
) -> None:
    copy = home / "copy.json"
    copy.write_bytes(poisoned.read_bytes())
    edited(copy, change, sealed=True)
    done = run_cli("leaderboard", "verify", copy)
    assert done.status == 1
    assert words in done.err


def poison_of(record: dict[str, Any]) -> dict[str, Any]:
    """The first change by a poison."""
    return next(change for change in record["changes"] if change.get("poison"))


TAMPERED: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "a better number": (lambda record: record["cells"][3].update(success=[0.001, 0.0, 0.002]), "the photos give"),
    "a better area": (lambda record: record["cells"][0].update(auc=[0.4, 0.3, 0.5]), "the photos give"),
    "another epsilon": (
        lambda record: [cell.update(epsilon=0.01) for cell in record["cells"] if cell["epsilon"]],
        "plays no such defender with this epsilon",
    ),
    "another epsilon, in the scenario too": (
        lambda record: [
            *(cell.update(epsilon=0.01) for cell in record["cells"] if cell["epsilon"]),
            *(one["params"].update(epsilon=0.01) for one in record["scenario"]["defenders"] if one["name"] == "noise"),
        ],
        "the recorded budget of noise is not that of its epsilon 0.01",
    ),
    "another budget too": (
        lambda record: [
            *(cell.update(epsilon=0.01) for cell in record["cells"] if cell["epsilon"]),
            *(cell["budget"].update(radius=0.01) for cell in record["cells"] if cell["epsilon"]),
            *(one["params"].update(epsilon=0.01) for one in record["scenario"]["defenders"] if one["name"] == "noise"),
        ],
        "a pixel may change by 0.01, but was changed by up to 0.02",
    ),
    "a higher likeness": (lambda record: record["changes"][2].update(ssim=[1.0, 1.0, 1.0]), "SSIM is written"),
    "a smaller change": (lambda record: record["changes"][1].update(linf=0.001), "the largest change"),
    "another model": (lambda record: record["cells"][0].update(model="other"), "the scenario has no such cell"),
    "a cell twice": (lambda record: record["cells"].append(record["cells"][0]), "numbers of every photo are damaged"),
    "no ranks behind": (lambda record: record.update(ranks=record["ranks"][:-40]), "are damaged"),
    "another protocol": (lambda record: record["protocol"]["split"].update(test=0.3), "protocol: another split"),
    "other data": (lambda record: record["protocol"]["data"].update(genomes="00" * 16), "protocol has the digest"),
    "a flag": (lambda record: record["cells"][0]["flags"].append("below-quantisation"), "does not fit budget"),
    "no plugin": (lambda record: record["plugins"].clear(), "no code is recorded"),
    "a broken scenario": (lambda record: record["scenario"].pop("channels"), "scenario is damaged"),
}  # fmt: skip


@pytest.mark.parametrize("name", TAMPERED)
def test_an_edited_entry_fails_whoever_seals_it(name: str, board: Path, run_cli: Callable[..., Finished]) -> None:
    change, words = TAMPERED[name]
    edited(board, change, sealed=True)
    done = run_cli("leaderboard", "verify", board)
    assert done.status == 1
    assert words in done.err
    assert "the content has the digest" not in done.err
    refused = run_cli("leaderboard", "build")
    assert refused.status == 2
    assert "does not hold together" in refused.err
    assert not (board.parent.parent / "index.html").exists()


def test_an_edit_that_changes_no_number_breaks_the_digest(board: Path, run_cli: Callable[..., Finished]) -> None:
    edited(board, lambda record: record.update(machine="abacus"))
    done = run_cli("leaderboard", "verify", board)
    assert done.status == 1
    assert "the content has the digest" in done.err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda record: record.update(leaderboard=1), "version 1; this linkbench reads 2"),
        (lambda record: record.update(extra=1), "extra inputs are not permitted"),
        (lambda record: record["cells"][0].update(success=["<b>", 0, 1]), "cells.0.success.0"),
        (lambda record: record.update(name="../up"), "name"),
    ],
)
def test_what_is_no_entry_is_refused(
    change: Callable[[dict[str, Any]], None], words: str, board: Path, run_cli: Callable[..., Finished]
) -> None:
    edited(board, change)
    done = run_cli("leaderboard", "verify", board)
    assert done.status == 2
    assert words in done.err


def test_a_run_joins_the_table_of_its_protocol(small_board: Path, home: Path, run_cli: Callable[..., Finished]) -> None:
    results = small_board / "results" / "small"
    add = ("leaderboard", "add", results, "--store", small_board / "store")
    first = run_cli(*add, "--author", "A. Author", "--date", "2026-01-31")
    assert "opens a new table" in first.out
    assert "small owns 4 of 4 rows" in first.out
    second = run_cli(*add, "--name", "again", "--without-photos")
    assert "joins small" in second.out
    assert "again owns 0 of 4 rows" in second.out
    assert "exists" in run_cli(*add).err
    assert run_cli(*add, "--replace", "--paper", "https://example.org/a.pdf").status == 0
    stored = entries.read(home / "leaderboard" / "entries" / "small.json")
    assert len(stored.look["0"]) == 3 * 16
    assert stored.paper == "https://example.org/a.pdf"
    assert "torch==2.13.0" in stored.requirements
    claimed = entries.read(home / "leaderboard" / "entries" / "again.json")
    assert claimed.ranks is None
    done = run_cli("leaderboard", "verify", home / "leaderboard" / "entries" / "again.json")
    assert done.status == 0
    assert "remain claims" in done.out


def test_a_table_that_its_ranks_do_not_give_is_refused(
    small_board: Path, home: Path, run_cli: Callable[..., Finished]
) -> None:
    copy = home / "copy"
    for file in (small_board / "results" / "small").rglob("*"):
        if file.is_file():
            target = copy / file.relative_to(small_board / "results" / "small")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
    table = (copy / "results.csv").read_text().splitlines()
    at = next(i for i, line in enumerate(table) if ",success,1,100," in line)
    place, _, rest = table[at].partition(",success,1,100,")
    table[at] = f"{place},success,1,100,0.000123,{rest.partition(',')[2]}"
    (copy / "results.csv").write_text("\n".join(table) + "\n")
    done = run_cli("leaderboard", "add", copy, "--store", small_board / "store")
    assert done.status == 2
    assert "as 0.000123; its ranks give" in done.err
    assert not (home / "leaderboard").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_a_rerun_gives_the_same_and_counts_once_signed(board: Path, run_cli: Callable[..., Finished]) -> None:
    done = run_cli("leaderboard", "verify", board, "--rerun", "--tolerance", "0.001")
    assert done.status == 0, done.err
    assert (
        "16 of 16 cells have the same rank for every photo; the largest difference of a number is 0.000000" in done.out
    )
    readme = board.parent.parent / "README.md"
    assert run_cli("leaderboard", "build").status == 0
    assert "rerun ±" not in readme.read_text()
    public = run_cli("leaderboard", "keygen", "key").out.strip()
    refused = run_cli("leaderboard", "sign", board, "--key", "key")
    assert refused.status == 1
    assert "board.json does not name the key" in refused.out
    named(board, {public: "B. Keeper"})
    assert run_cli("leaderboard", "sign", board, "--key", "key").status == 0
    assert run_cli("leaderboard", "build").status == 0
    assert "| rerun ±0.001 |" in readme.read_text()
    assert Path("key").stat().st_mode & 0o77 == 0
    edited(board, lambda record: record.update(machine="abacus"), sealed=True)
    assert entries.read_reruns(board, entries.read(board)) == []  # it spoke of another content


def named(board: Path, keys: dict[str, str]) -> None:
    """Write into board.json whose word counts."""
    path = board.parent.parent / "board.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"keys": keys}))


@pytest.mark.usefixtures("quick")
def test_a_rerun_that_differs_says_where(board: Path, small_board: Path, run_cli: Callable[..., Finished]) -> None:
    def other_recipe(record: dict[str, Any]) -> None:
        record["scenario"]["defenders"][3]["params"]["block"] = 2

    edited(board, other_recipe, sealed=True)
    done = run_cli("leaderboard", "verify", board, "--rerun", "--store", small_board / "store")
    assert done.status == 1
    assert "differences" in done.err
    assert "<img src=" in done.err
    assert not entries.rerun_path(board).exists()


@pytest.mark.slow
def test_the_same_entries_build_the_same_files(board: Path, home: Path, spawn: Callable[..., Finished]) -> None:
    assert spawn("leaderboard", "build", "--out", "one").status == 0
    assert spawn("leaderboard", "build", "--out", "two").status == 0
    names = {"README.md", "leaderboard.csv", "index.html"}
    assert {path.name for path in (home / "one").iterdir()} == names
    for name in names:
        assert (home / "one" / name).read_bytes() == (home / "two" / name).read_bytes()


@pytest.mark.slow
def test_looking_after_a_leaderboard_imports_no_torch(board: Path, spawn: Callable[..., Finished]) -> None:
    for arguments in (("verify", board), ("build",), ("add", "nowhere")):
        done = spawn("leaderboard", *arguments, python=("-X", "importtime"))
        loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.err.splitlines()}
        assert "linkbench" in loaded
        assert "torch" not in loaded
