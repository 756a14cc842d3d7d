"""What was done to a leaderboard to get ahead on it, attempt by attempt, and that it fails."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Finished, take_in
from test_leaderboard import edited, named
from test_leaderboard_maths import standings

from linkbench.errors import InputError
from linkbench.leaderboard import entry as entries
from linkbench.leaderboard import environment, exports, keeping, origin, packed_arrays, photos, signing, text
from linkbench.leaderboard.assembly import assemble
from linkbench.leaderboard.board import Opponent, Played, load
from linkbench.leaderboard.entry import Entry, Rerun
from linkbench.leaderboard.ranking import rank
from linkbench.leaderboard.rerun import compare_fresh
from linkbench.leaderboard.verify import _coordinates, check, stored_photos
from linkbench.results.table import Row, from_csv, to_csv
from linkbench.store.store import digest_of

pytestmark = pytest.mark.slow


@pytest.fixture
def home_board(small_board: Path, tmp_path: Path) -> Path:
    """A leaderboard of its own with the entry `small`."""
    shutil.copytree(small_board / "leaderboard", tmp_path / "leaderboard")
    return tmp_path / "leaderboard"


def small(board: Path) -> Entry:
    return entries.read(board / "entries" / "small.json")


def forged(entry: Entry, change: Callable[[dict[str, Any], dict[str, Any]], None], **named: Any) -> Entry:
    """An entry whose record and arrays were changed, and whose numbers were made to follow, as a forger would."""
    record = entry.record() | named
    arrays = packed_arrays.unpack(record["ranks"])
    change(record, arrays)
    record["ranks"] = packed_arrays.pack(arrays)
    made = Entry.model_validate(record)
    stored = stored_photos(made)
    assert stored is not None
    for seed in {cell.seed for cell in made.cells}:
        own = [at for at, cell in enumerate(made.cells) if cell.seed == seed]
        seen = [stored.cells[made.cells[at].id] for at in own]
        found = photos.numbers_of(seen, made.protocol.metrics, made.population, seed)
        for at, (success, auc) in zip(own, found, strict=True):
            record["cells"][at] |= {"success": success, "auc": auc}
        likeness = photos.likeness_of([stored.changes[one.id] for one in made.changes], made.protocol.metrics, seed)
        for at, ssim in enumerate(likeness):
            record["changes"][at]["ssim"] = ssim
    for cell, at in zip(made.cells, record["cells"], strict=True):
        at["id"] = digest_of(_coordinates(cell, made.scenario))[:10]
    return sealed(record)


def sealed(record: dict[str, Any]) -> Entry:
    """An entry whose digest fits."""
    made = Entry.model_validate(record)
    return made.model_copy(update={"digest": made.content()})


def nobody_found(record: dict[str, Any], arrays: dict[str, Any]) -> None:
    """Every photo ranks last with every attacker."""
    arrays["0.better"][:] = record["population"] - 1
    arrays["0.tied"][:] = 0
    arrays["0.hits"][:] = 0


def everybody_found(record: dict[str, Any], arrays: dict[str, Any]) -> None:
    arrays["0.better"][:] = 0
    arrays["0.tied"][:] = 0
    arrays["0.hits"][:] = arrays["0.draws"] * photos.HIT


def worst(board: Path) -> dict[tuple[str, str], tuple[str, float]]:
    """By channel and defence whose row it is and its worst case."""
    return {
        (sheet.table.channel, text.row_name(place.row)): (place.row.entry, place.worst.value)
        for sheets in assemble(board).protocols
        for sheet in sheets
        for place in sheet.ranking.places
    }


def test_a_forged_copy_with_a_name_that_sorts_first_takes_no_row_over(home_board: Path) -> None:
    before = worst(home_board)
    take_in(home_board, forged(small(home_board), everybody_found, name="a"))
    assert worst(home_board) == before
    assert {name for name, _ in before.values()} == {"small"}
    assert [len(one.rows) for one in load(home_board)] == [0, 4]


def test_an_entry_that_only_lies_in_the_folder_is_refused(home_board: Path) -> None:
    copy = forged(small(home_board), nobody_found, name="a")
    entries.write(home_board / "entries" / "a.json", copy)
    with pytest.raises(InputError, match="is no entry that .*board.json lists"):
        load(home_board)


def test_an_owner_cannot_change_what_was_taken_in_without_a_trace(home_board: Path) -> None:
    before = keeping.read_register(home_board)
    better = forged(small(home_board), nobody_found)
    entries.write(home_board / "entries" / "small.json", better)
    with pytest.raises(InputError, match="is not the entry that .*board.json lists"):
        load(home_board)
    take_in(home_board, better)
    assert keeping.changed_hands(before, keeping.read_register(home_board)) == ["the entry small has another content"]


def test_rows_entries_and_keys_that_change_hands_are_seen(home_board: Path, run_cli: Callable[..., Finished]) -> None:
    before = home_board.parent / "before.json"
    shutil.copy(home_board / "board.json", before)
    build = ("leaderboard", "build", "--board", home_board, "--out", "out", "--since", before)
    assert run_cli(*build).status == 0
    take_in(home_board, forged(small(home_board), everybody_found, name="a"))
    assert run_cli(*build).status == 0  # who comes later takes nothing
    register = json.loads((home_board / "board.json").read_text())
    register["entries"]["a"]["rows"] = [register["entries"]["small"]["rows"].pop()]
    (home_board / "board.json").write_text(json.dumps(register))
    refused = run_cli(*build)
    assert refused.status == 2
    assert "of small went to a" in refused.err
    register["entries"]["small"]["rows"] += register["entries"]["a"]["rows"]
    (home_board / "board.json").write_text(json.dumps(register))
    assert "to two entries" in run_cli(*build).err


def rerun_of(entry: Entry, **parts: Any) -> Rerun:
    fields: dict[str, Any] = {"device": "cpu", "machine": "x", "versions": {}, "largest": 0.0, "tolerance": 0.0}
    return Rerun(entry=entry.digest, cells=16, identical=16, **{**fields, **parts})


def badge(board: Path) -> tuple[str, str]:
    [one] = load(board)
    return one.mark, " ".join(one.remarks)


def test_a_record_of_a_rerun_written_by_hand_earns_no_badge(home_board: Path) -> None:
    path = home_board / "entries" / "small.json"
    entries.write(entries.rerun_path(path), rerun_of(small(home_board)))
    assert badge(home_board) == (
        "recomputed", "a rerun does not count: nobody signed it; sign it with: linkbench leaderboard sign",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("parts", "holder", "authors", "mark", "why"),
    [
        ({}, "B. Keeper", ["A. Author"], "rerun ±0", ""),
        ({"seed": 7, "tolerance": 0.01}, "B. Keeper", ["A. Author"], "fresh ±0.01", ""),
        ({}, "a. author", ["A. Author"], "recomputed", "is an author of the entry"),
        ({}, None, [], "recomputed", "does not name the key"),
        ({"tolerance": 1.0}, "B. Keeper", [], "recomputed", "its tolerance of 1 is above 0.02"),
    ],
)
def test_a_rerun_counts_where_somebody_else_signed_it_and_little_was_tolerated(
    parts: dict[str, Any], holder: str | None, authors: list[str], mark: str, why: str, home_board: Path
) -> None:
    entry = forged(small(home_board), lambda record, _: record.update(authors=authors))
    path = take_in(home_board, entry)
    public = signing.new_key(home_board.parent / "key")
    signed = signing.sign(rerun_of(entry, **parts), home_board.parent / "key")
    named(path, {public: holder} if holder else {})
    beside = entries.rerun_path(path, fresh="seed" in parts)
    entries.write(beside, signed)
    assert badge(home_board)[0] == mark
    assert why in badge(home_board)[1]
    entries.write(beside, signed.model_copy(update={"largest": 0.5}))  # what was signed is something else
    assert badge(home_board)[0] == "recomputed"


def test_a_key_is_never_overwritten_and_bad_ones_are_refused(tmp_path: Path, small_board: Path) -> None:
    signing.new_key(tmp_path / "key")
    with pytest.raises(InputError, match="never overwritten"):
        signing.new_key(tmp_path / "key")
    (tmp_path / "key").write_text("no key")
    with pytest.raises(InputError, match="holds no private key"):
        signing.sign(rerun_of(small(small_board / "leaderboard")), tmp_path / "key")


def lucky(record: dict[str, Any], arrays: dict[str, Any]) -> None:
    """Only the five photos that are found least often."""
    keep = np.argsort(arrays["0.better"].sum(axis=0))[-5:]
    arrays["0.people"] = np.arange(5)
    for name in ("better", "tied", "hits", "draws", "ssim", "moved"):
        arrays[f"0.{name}"] = arrays[f"0.{name}"][:, keep]


def one_person(_: dict[str, Any], arrays: dict[str, Any]) -> None:
    """All photos said to be of two people, so that nothing can be told apart."""
    arrays["0.people"] = (np.arange(len(arrays["0.people"])) > 0).astype(np.int64)


def larger_population(record: dict[str, Any], arrays: dict[str, Any]) -> None:
    record["population"] *= 2


def other_cohort(record: dict[str, Any], _: dict[str, Any]) -> None:
    record["scenario"]["cohort"][0]["params"]["low_resolution"] = 1.0


def other_code(record: dict[str, Any], _: dict[str, Any]) -> None:
    next(plugin for plugin in record["plugins"] if plugin["use"] == "predicted")["code"] = "0" * 16


def other_photos(record: dict[str, Any], _: dict[str, Any]) -> None:
    record["look"] = {seed: [1.0 - value for value in values] for seed, values in record["look"].items()}


def other_split(record: dict[str, Any], _: dict[str, Any]) -> None:
    record["scenario"]["split"]["test"] = 0.9


SHARED = {
    "lucky photos": (lucky, "5 photos of 5 people are not those of the protocol"),
    "other groups of people": (one_person, "of 2 people are not those of the protocol"),
    "another population": (larger_population, "other genomes"),
    "another cohort": (other_cohort, "another cohort than the protocol"),
    "other code of an attacker": (other_code, "other code of attacker/predicted"),
    "other photos": (other_photos, "look different by more than rounding"),
    "another split": (other_split, "another split"),
}


@pytest.mark.parametrize("name", SHARED)
def test_what_was_measured_otherwise_shares_no_table(name: str, home_board: Path) -> None:
    change, words = SHARED[name]
    made = forged(small(home_board), change, name="other")
    assert any(words in problem for problem in check(made).problems)


def test_the_code_of_a_defence_is_part_of_its_row(home_board: Path) -> None:
    def edited_code(record: dict[str, Any], _: dict[str, Any]) -> None:
        next(plugin for plugin in record["plugins"] if plugin["use"] == "pixelate")["code"] = "0" * 16

    take_in(home_board, forged(small(home_board), edited_code, name="other"))
    [sheets] = assemble(home_board).protocols
    assert [len(sheet.table.rows) for sheet in sheets] == [5, 5]
    assert [len(one.rows) for one in load(home_board)] == [1, 4]


def test_an_opponent_that_only_rivals_met_does_not_count() -> None:
    better = np.arange(400) % 100
    table = standings({"none": better, "blur": better + 20, "pgd": better + 300})
    before = [(place.row.label, place.worst) for place in rank(table).places]
    cheat = Opponent("2" * 8, "3" * 8, "m", "all-knowing")
    sure = photos.CellPhotos(np.arange(400), np.zeros(400, np.int64), np.zeros(400, np.int64))
    met = Played({0: (1.0, 1.0, 1.0)}, {0: (1.0, 1.0, 1.0)}, {0: sure})
    rows = [row._replace(played=row.played | {cheat: met}) if row.label == "pgd" else row for row in table.rows]
    after = rank(table._replace(rows=rows, opponents=[*table.opponents, cheat]))
    assert [(place.row.label, place.worst) for place in after.places] == before


def test_who_links_undefended_photos_no_better_than_chance_is_no_opponent() -> None:
    blind = np.random.default_rng(0).integers(0, 503, 400)
    found = rank(standings({"none": blind, "blur": blind, "pgd": np.zeros(400, np.int64)}))
    assert found.judging == []
    assert len(found.weak) == 1
    assert {place.rank for place in found.places} == {None}
    assert "nothing is ranked" in text.opponents_of(found.weak, found.judging)[0]


def test_attackers_who_are_told_something_have_a_table_of_their_own() -> None:
    table = standings({"none": np.arange(400) % 100, "pgd": np.arange(400) % 100 + 300})
    told = Opponent("0" * 8, "4" * 8, "m", "known")
    sure = Played({0: (1.0, 1.0, 1.0)}, {0: (1.0, 1.0, 1.0)}, {})
    rows = [row._replace(played=row.played | {told: sure}) for row in table.rows]
    found = rank(table._replace(rows=rows, oracles=[told], opponents=[*table.opponents, told]))
    assert [place.oracle for place in found.places] == [(1.0, told)] * 2
    assert max(place.worst.value for place in found.places) < 0.5


def test_a_defence_that_blanks_photos_gets_no_rank() -> None:
    table = standings({"none": np.arange(400) % 100, "pgd": np.arange(400) % 100 + 300, "zero": np.full(400, 500)})
    rows = [row._replace(ssim=0.0) if row.label == "zero" else row for row in table.rows]
    found = rank(table._replace(rows=rows))
    assert [(place.row.label, place.rank) for place in found.places] == [("none", None), ("pgd", 1), ("zero", None)]
    assert "less like the originals" in table.why_unranked(rows[-1])


def test_a_row_that_a_failed_attacker_left_incomplete_gets_no_rank(home_board: Path) -> None:
    def unmet(record: dict[str, Any], arrays: dict[str, Any]) -> None:
        keep = [at for at, cell in enumerate(record["cells"])
                if (cell["attacker"], cell["defender"]) != ("assignment", "noise(noise=sign)")]  # fmt: skip
        joint = np.flatnonzero(arrays["0.joint"])
        rows = [at for at, cell in enumerate(joint) if cell in keep]
        for name in ("better", "tied", "joint"):
            arrays[f"0.{name}"] = arrays[f"0.{name}"][keep]
        for name in ("hits", "draws"):
            arrays[f"0.{name}"] = arrays[f"0.{name}"][rows]
        record["cells"] = [record["cells"][at] for at in keep]

    take_in(home_board, forged(small(home_board), unmet))
    for sheet in assemble(home_board).protocols[0]:
        reasons = {place.row.label: sheet.table.why_unranked(place.row) for place in sheet.ranking.places}
        assert reasons["noise(noise=sign)"] == "did not meet all opponents"
        assert reasons["noise(noise=uniform)"] == ""


def test_claims_get_no_rank(home_board: Path) -> None:
    take_in(home_board, sealed(small(home_board).record() | {"ranks": None}))
    for sheet in assemble(home_board).protocols[0]:
        assert sheet.table.why_unranked(sheet.table.rows[0]) == "claimed, not recomputed"
        assert not any(place.judged for place in sheet.ranking.places)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda record: record["changes"][0].update(seconds=-1.0), "changes.0.seconds"),
        (lambda record: record["cells"][0].update(success=[float("nan")] * 3), "NaN is no number"),
        (lambda record: record["cells"][0].update(success=[1.5, 1.5, 1.5]), "cells.0.success"),
        (lambda record: record["cells"][0].update(success=[0.5, 0.6, 0.7]), "outside its interval"),
        (lambda record: record.update(machine="x86\x1b[2J"), "steers terminals"),
        (lambda record: record["cells"][0].update(flags=["a\u202eb"]), "steers terminals"),
        (lambda record: record.update(paper="javascript:alert(1)"), "paper"),
        (lambda record: record["protocol"]["metrics"].update(level=1e999), "Infinity"),
    ],
)
def test_what_is_no_number_and_what_is_no_text_is_refused_without_a_traceback(
    change: Callable[[dict[str, Any]], None], words: str, home_board: Path, run_cli: Callable[..., Finished]
) -> None:
    path = home_board / "entries" / "small.json"
    edited(path, change)
    refused = run_cli("leaderboard", "verify", path)
    assert refused.status == 2
    assert words in refused.err
    path.write_text(path.read_text().replace("1e999", "1" + "0" * 400))
    assert run_cli("leaderboard", "build", "--board", home_board).status == 2


@pytest.mark.parametrize("label", ["none", "None", "n-o-n-e", "ｎｏｎｅ", "noise", "thousand"])
def test_a_defence_does_not_pass_for_another(label: str, home_board: Path) -> None:
    def renamed(record: dict[str, Any], _: dict[str, Any]) -> None:
        old = record["scenario"]["defenders"][3]["label"]
        record["scenario"]["defenders"][3]["label"] = label
        for cell in record["cells"]:
            if cell["defender"] == old:
                cell["defender"] = label

    found = check(forged(small(home_board), renamed)).problems
    passes = [problem for problem in found if "is the name of another plugin" in problem]
    assert bool(passes) == (label != "thousand")


def test_only_controls_of_the_toolkit_are_yardsticks(home_board: Path) -> None:
    def foreign(record: dict[str, Any], _: dict[str, Any]) -> None:
        for plugin in record["plugins"]:
            if plugin["use"] == "noise":
                plugin["distribution"] = "linkbench-mine"

    made = forged(small(home_board), foreign)
    assert "defender 'noise' of linkbench-mine has the name of a control" in check(made).problems


def test_flags_reach_no_row_of_somebody_else(home_board: Path) -> None:
    def smeared(record: dict[str, Any], _: dict[str, Any]) -> None:
        for cell in record["cells"]:
            cell["flags"] = ["zero-gradient"]

    take_in(home_board, forged(small(home_board), smeared, name="a"))
    flags = {flag for sheets in assemble(home_board).protocols for sheet in sheets
             for row in sheet.table.rows for flag in row.flags}  # fmt: skip
    assert "zero-gradient" not in flags


FORMULA = '=HYPERLINK("http://e.test","x")'


def test_no_label_is_a_formula_in_a_spreadsheet(home_board: Path) -> None:
    def formula(record: dict[str, Any], _: dict[str, Any]) -> None:
        record["scenario"]["defenders"][3]["label"] = FORMULA
        for cell in record["cells"]:
            if cell["defender"].startswith("</script>"):
                cell["defender"] = FORMULA

    take_in(home_board, forged(small(home_board), formula))
    board = assemble(home_board)
    lines = list(csv.DictReader(exports.to_csv(board).splitlines()))
    assert f"'{FORMULA}" in {line["defence"] for line in lines}
    assert not any(value.startswith(("=", "+", "@")) for line in lines for value in line.values())
    row = Row("c", "g", "m", "none", FORMULA, None, "png", "'a", "auc", None, None, -0.5, -1.0, 0.0, 0, "", "id")
    written = to_csv([row])
    assert f"'{FORMULA[:10]}" in written
    assert from_csv(written) == [row]


def test_nothing_in_a_readme_steers_or_links(home_board: Path) -> None:
    hostile = "a\x1b]8;;http://e.test\x07b\nc | d\u202e"

    def relabelled(record: dict[str, Any], _: dict[str, Any]) -> None:
        old = record["scenario"]["attackers"][0]["label"]
        record["scenario"]["attackers"][0]["label"] = hostile
        record["sees"][hostile.replace("\x1b", "")] = ["variants"]
        record["protocol"]["opponents"]["attackers"]["\x1b" + old] = "0" * 16

    with pytest.raises(ValueError, match="steers terminals"):
        forged(small(home_board), relabelled)
    said = exports.markdown(hostile)
    assert said.replace("\ufffd", "?") == "a?\\]8;;http:&#47;/e.test?b c \\| d?"
    shown = exports.readme(assemble(home_board))
    assert all(letter.isprintable() or letter == "\n" for letter in shown)
    assert not re.search(r"(?<!\()https?://", shown)


def test_adding_verifies_first_and_writes_nothing_that_is_wrong(
    small_board: Path, home: Path, run_cli: Callable[..., Finished], monkeypatch: pytest.MonkeyPatch
) -> None:
    from linkbench.leaderboard import board

    results = ("leaderboard", "add", small_board / "results" / "small", "--store", small_board / "store")
    whole = board.check_whole

    def damaged(where: Path, entry: Entry) -> None:
        whole(where, forged(entry, lucky))

    monkeypatch.setattr(board, "check_whole", damaged)
    refused = run_cli(*results)
    assert refused.status == 2
    assert "does not hold together" in refused.err
    assert not (home / "leaderboard").exists()
    monkeypatch.setattr(board, "check_whole", whole)
    added = run_cli(*results)
    assert added.status == 0, added.err
    assert run_cli("leaderboard", "verify", home / "leaderboard" / "entries" / "small.json").status == 0


def test_photos_of_real_people_stay_out_unless_asked_for() -> None:
    def scenario(cohort: str) -> dict[str, Any]:
        return {"cohort": [{"name": cohort}]}

    assert origin.is_imaginary(scenario("rendered"))
    assert not origin.is_imaginary(scenario("photo-folder"))
    assert not origin.is_imaginary(scenario("nobody-knows-this-one"))


def fresh(entry: Entry, better: np.ndarray) -> Entry:
    """The entry with these ranks int64 [cells, n] of its people."""

    def ranks(_: dict[str, Any], arrays: dict[str, Any]) -> None:
        arrays["0.better"], arrays["0.tied"] = better, np.zeros_like(better)
        arrays["0.joint"] = np.zeros(len(better), np.int64)
        arrays["0.people"] = np.arange(better.shape[1])
        for name in ("ssim", "moved"):
            arrays[f"0.{name}"] = np.tile(arrays[f"0.{name}"][:, :1], better.shape[1])
        arrays.pop("0.hits")
        arrays.pop("0.draws")

    return forged(entry, ranks)


def test_answers_learned_by_heart_die_on_fresh_people(home_board: Path) -> None:
    entry = small(home_board)
    random = np.random.default_rng(5)
    plain = random.integers(0, 12, 200)
    none = np.array([cell.defender == "none" for cell in entry.cells])
    learned = fresh(entry, np.where(none[:, None], plain, 400))
    forgotten = fresh(entry, np.where(none[:, None], random.integers(0, 12, 200), random.integers(0, 12, 200)))
    honest = fresh(entry, np.where(none[:, None], random.integers(0, 12, 200), 390))
    record, wrong = compare_fresh(learned, forgotten, 4711, 0.02)
    assert record.seed == 4711
    assert len(wrong) == (~none).sum()
    assert "points away in the entry" in wrong[0]
    assert compare_fresh(learned, honest, 4711, 0.02)[1] == []


def test_only_pins_reach_the_installer(small_board: Path, tmp_path: Path) -> None:
    entry = small(small_board / "leaderboard")
    wanted = environment.pinned(entry, [])
    assert "linkbench[photos]==0.1.0" in wanted
    assert all("==" in one for one in wanted)
    for bad in ("--index-url=http://e.test", "torch @ http://e.test/x.whl", "-e.", "torch==1; import os"):
        with pytest.raises(InputError, match="is no NAME==VERSION"):
            environment.pinned(entry.model_copy(update={"requirements": [bad]}), [])
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "linkbench"\n')
    assert environment.pinned(entry, [tmp_path])[-1] == f"{tmp_path}[photos]"
    assert not any(one.startswith("linkbench") for one in environment.pinned(entry, [tmp_path]))
