"""Was this photo protected: what the detector sees, that it cannot see nothing, and its place in table and page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from linkbench.api.data import Array
from linkbench.attackers.detector import BANDS, features, learn
from linkbench.results.folder import read
from linkbench.stages.detect import curve

SIDE = 32


def photos(count: int, seed: int) -> Array:
    """Smooth random photos with a little noise of a camera, uint8."""
    random = np.random.default_rng(seed)
    coarse = random.random((count, 3, 4, 4))
    smooth = coarse.repeat(SIDE // 4, axis=2).repeat(SIDE // 4, axis=3)
    for axis in (2, 3):
        smooth = sum(np.roll(smooth, by, axis) for by in range(-4, 5)) / 9
    pixels: Array = (255 * smooth + random.normal(0, 1.5, smooth.shape)).clip(0, 255).round().astype(np.uint8)
    return pixels


def protected(clean: Array, seed: int, amount: float) -> Array:
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], clean.shape)
    changed: Array = (clean + amount * signs).clip(0, 255).round().astype(np.uint8)
    return changed


@pytest.mark.parametrize(("amount", "low", "high"), [(0.0, 0.3, 0.7), (2.0, 0.9, 1.0)])
def test_changes_are_found_and_nothing_is_not(amount: float, low: float, high: float) -> None:
    own, linked = photos(40, 1), photos(60, 2)
    shown = photos(60, 5) if amount == 0 else protected(linked, 4, amount)
    taught = photos(40, 6) if amount == 0 else protected(own, 3, amount)
    detector = learn([own, taught], np.arange(40) // 2)
    plain, changed = (told[:, 1] - told[:, 0] for told in map(detector.told, (linked, shown)))
    assert low <= (changed[:, None] > plain[None, :]).mean() <= high


def test_tools_are_told_apart_by_what_they_leave() -> None:
    """Signs of two sizes, and a blur; and photos as they were are recognised as such."""
    own, linked = photos(40, 1), photos(60, 2)

    def blurred(clean: Array) -> Array:
        soft: Array = ((clean.astype(float) + np.roll(clean, 1, 2) + np.roll(clean, 1, 3)) / 3).round().astype(np.uint8)
        return soft

    kinds = [lambda clean, _: clean, lambda clean, seed: protected(clean, seed, 2.0),
             lambda clean, seed: protected(clean, seed, 8.0), lambda clean, _: blurred(clean)]  # fmt: skip
    detector = learn([kind(own, 3) for kind in kinds], np.arange(40) // 2)
    named = np.stack([detector.told(kind(linked, 4)).argmax(axis=1) for kind in kinds])
    assert (np.diag(np.stack([(named == told).mean(axis=1) for told in range(4)])) > 0.9).all()
    sums = np.exp(detector.told(linked)).sum(axis=1)
    np.testing.assert_allclose(sums, 1.0)


def test_floats_are_looked_at_as_8_bits() -> None:
    shown = photos(3, 1)
    assert features(shown).shape == (3, 3 * (BANDS + 4))
    np.testing.assert_allclose(features(shown / np.float64(255)), features(shown))
    np.testing.assert_allclose(features((shown + 0.3) / np.float64(255)), features(shown), err_msg="no grid to see")


def test_the_curve_goes_from_nothing_to_everything() -> None:
    random = np.random.default_rng(0)
    false, true = curve(random.normal(size=300), random.normal(size=300) + 1)
    assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)
    assert len(false) <= 100
    assert (np.diff(false) >= 0).all()
    assert (np.diff(true) >= 0).all()
    assert np.trapezoid(true, false) == pytest.approx(0.76, abs=0.05)


HEAD = """\
linkbench: 1
name: a
cohort: {use: rendered, count: 60, size: 32}
genomes: {use: simulated, count: 60}
models: [{name: m, architecture: {use: small-cnn, width: 2}, recipe: {use: standard, epochs: 1}}]
"""


def test_a_run_says_how_well_each_defence_is_detected(home: Path, run_cli: Callable[..., Any]) -> None:
    (home / "s.yaml").write_text(
        HEAD + "defenders: [none, {use: noise, epsilon: [0.0, 0.1]}]\nattackers: [predicted]\nchannels: png\n"
        "measure: {top_k: [1], sizes: [10], resamples: 100, detect: true}\n"
    )
    assert run_cli("run", home / "s.yaml", "--out", "out").status == 0
    results = read(home / "out")
    found = {row.epsilon: row for row in results.rows if row.metric == "detection_auc"}
    assert set(found) == {0.0, 0.1}, "a photo as it is has nothing to detect"
    assert found[0.0].value == 0.5
    assert found[0.1].value > 0.95
    assert found[0.1].ci_low <= found[0.1].value <= found[0.1].ci_high
    named = {row.epsilon: row.value for row in results.rows if row.metric == "tool_named"}
    recorded = {each["number"]: each for each in results.run["detection"].values()}
    assert sorted(recorded) == [1, 2]
    assert recorded[1]["names"] == ["none", "noise, ε 0", "noise, ε 0.1"]
    assert named == {0.0: recorded[1]["named"][1], 0.1: recorded[2]["named"][2]}
    assert named[0.1] > 0.9
    assert recorded[1]["named"] == recorded[1]["named_clean"], "what is not changed cannot be named"
    page = (home / "out/report.html").read_text()
    assert "Was this photo protected?" in page
    assert "protected photos found" in page
    assert "Which tool protected this photo?" in page


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("linkbench: 1\nname: a\ngenomes: paper-tables\ncohort: paper-tables\nmeasure: {detect: true}\n",
         "5:11: measure.detect: cohort 'paper-tables' has no photos to look at; leave it out"),
        ("linkbench: 1\nname: a\ntask: identification\ncohort: {use: rendered, count: 20, size: 32}\n"
         "models: [small-cnn]\nmeasure: {detect: true}\n",
         "6:11: measure.detect: is measured of linkage only; leave 'detect' out"),
    ],
)  # fmt: skip
def test_where_there_is_nothing_to_detect(home: Path, run_cli: Callable[..., Any], text: str, says: str) -> None:
    (home / "s.yaml").write_text(text)
    found = run_cli("validate", home / "s.yaml")
    assert found.status == 2
    assert says in found.err
