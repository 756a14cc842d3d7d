"""Photos of a run as files with their names, and ranks by name: for their owner, and nowhere else."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from conftest import Finished
from hypothesis import given
from hypothesis import strategies as st

from linkbench.cohorts.faces import render
from linkbench.results.photos import safe_name

pytestmark = pytest.mark.usefixtures("one_thread")

NAMES = ["ann/Ann.jpg", "ann_Ann.png", "bob.jpeg", "Åsa ü.png", "=cmd.png", "..x.png"] + [f"p{n}.png" for n in range(6)]
"""Two of them become one as file names, two would do harm in a shell or a table."""

SCENARIO = """
linkbench: 1
name: album
cohort: {use: folder, path: album, size: 32}
genomes: {use: simulated, count: 60}
models: [{name: plain, architecture: {use: small-cnn, width: 2}, recipe: {use: standard, epochs: 1}}]
defenders: [none, {use: noise, epsilon: 0.05}]
channels: [png, float]
attackers: predicted
split: {test: 0.5, validation: 0.2}
measure: {top_k: [1], sizes: [10], resamples: 100}
"""


@pytest.fixture
def album(home: Path) -> Path:
    import torch

    labels = torch.stack([torch.arange(12) % many for many in (2, 3, 3, 3)], dim=1)
    photos = render(labels, torch.arange(12), torch.zeros(12, dtype=torch.int64), seed=2, size=32).numpy()
    variants = [("female", "male"), ("black", "blonde", "brown"), ("blue", "intermediate", "brown"),
                ("pale", "intermediate", "dark")]  # fmt: skip
    with (home / "album.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["file", "identity", "sex", "hair", "eye", "skin", "split"])
        for number, name in enumerate(NAMES):
            path = home / "album" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            PIL.Image.fromarray(photos[number].transpose(1, 2, 0)).save(path, quality=95)
            told = [names[int(label)] for names, label in zip(variants, labels[number], strict=True)]
            part = "test" if number < 6 else "validation" if number < 8 else "train"
            table.writerow([name, f"who{number}", *told, part])
    (home / "album.csv").rename(home / "album" / "labels.csv")
    (home / "album.yaml").write_text(SCENARIO)
    return home


def test_photos_are_saved_with_their_names(album: Path, run_cli: Callable[..., Finished]) -> None:
    done = run_cli("run", "album.yaml", "--out", "results", "--save-photos", "out")
    assert done.status == 0, done.err
    with (album / "out" / "index.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4 * 6 == len(list((album / "out").rglob("*.png")))
    assert {row["photo"] for row in rows} == set(NAMES[:6])
    plain = {row["photo"]: row for row in rows if (row["defender"], row["channel"]) == ("none", "png")}
    assert plain["ann/Ann.jpg"]["file"].endswith("/ann_Ann.png")
    assert plain["ann_Ann.png"]["file"].endswith("/ann_Ann-2.png")
    for row in rows:
        with (
            PIL.Image.open(album / "out" / row["file"]) as saved,
            PIL.Image.open(album / "album" / row["photo"]) as own,
        ):
            apart = np.abs(np.asarray(saved).astype(int) - np.asarray(own.convert("RGB")).astype(int)).max()
        assert apart == 0 if row["defender"] == "none" else 0 < apart <= 13
    assert not any(name in page for page in ((album / "results" / "report.html").read_text(),) for name in NAMES[:6])
    again = run_cli("run", "album.yaml", "--out", "results", "--save-photos", "out")
    assert (again.status, "is not empty" in again.err) == (2, True)


def test_ranks_by_name(album: Path, run_cli: Callable[..., Finished]) -> None:
    assert run_cli("run", "album.yaml", "--out", "results").status == 0
    told = run_cli("report", "results", "--people")
    assert told.status == 0
    assert told.out.count("Åsa ü.png") == told.out.count("ann/Ann.jpg") == 4
    assert "first of 100" in told.out
    lost = run_cli("report", "results", "--people", "--store", "elsewhere")
    assert (lost.status, "does not hold the stage 'cohort'" in lost.err) == (2, True)


def test_a_run_without_photos_has_none_to_save(home: Path, run_cli: Callable[..., Finished]) -> None:
    (home / "it.yaml").write_text("linkbench: 1\nname: it\ncohort: paper-tables\ngenomes: paper-tables\n"
                                  "measure: {resamples: 100, sizes: [10]}\n")  # fmt: skip
    done = run_cli("run", "it.yaml", "--save-photos", "out")
    assert (done.status, "no photos" in done.err) == (2, True)


@given(st.text(max_size=300))
def test_names_become_parts_of_paths_and_no_more(name: str) -> None:
    safe = safe_name(name)
    assert 1 <= len(safe) <= 100
    assert not set(safe) & set("/\\:\0\n")
    assert not safe.startswith(".")
    assert Path(safe).name == safe
