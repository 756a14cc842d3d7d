"""What runs and boards conclude, to the letter: nothing is praised that a paired test does not tell apart."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from benchmarks import coverage
from linkbench.api.budget import Budget
from linkbench.api.data import Array, Artefact
from linkbench.errors import InputError
from linkbench.plan.facts import CellFacts
from linkbench.report import brief, summary, terminal
from linkbench.results.cells import Roles
from linkbench.results.conclusions import ANY, Reached, conclude, from_json, to_json
from linkbench.results.results import Results
from linkbench.results.verdicts import Photos, Protection, Question, Setting, judge

PLACE = {"cohort": "faces", "genomes": "table", "model": "standard", "channel": "jpeg"}
NOBODY = Roles(frozenset(), frozenset(), frozenset())


def photos(success: Array) -> Photos:
    return Photos(np.asarray(success, dtype=np.float64), np.arange(len(success)), np.ones(len(success)))


def first(share: float, people: int = 400, value: float = 1.0) -> Array:
    """The first people are found, surely or with this probability; who is found under little is found under much."""
    return np.where(np.arange(people) < round(share * people), value, 0.0)


def setting(n: int = 100, **success: Array | tuple[Array, ...]) -> Setting:
    """A setting of defences by name, each with what one or more attackers reach; `NAME_at_10` has the budget .10."""
    met: dict[Protection, dict[str, Photos]] = {}
    yardstick, budgets = {}, {}
    for name, reached in success.items():
        plain, _, budget = name.partition("_at_")
        key = Protection("", plain, int(budget) / 100 if budget else None)
        budgets[key] = Budget("linf", key.epsilon) if key.epsilon else Budget()
        of = reached if isinstance(reached, tuple) else (reached,)
        met[key] = {f"attacker {at}": photos(values) for at, values in enumerate(of)}
        yardstick[key] = plain if plain in ("none", "noise") else ""
    return judge(met, yardstick, budgets, PLACE, Question(1, n))


def said(*settings: Setting) -> str:
    return " ".join(summary.sentences(list(settings), [], NOBODY))


def test_a_plugin_that_does_nothing_is_not_the_safest_defence() -> None:
    """`the safest defence is my-defender, at worst 7.3 %, without a defence 7.1 %` was said of this."""
    nothing = setting(none=first(0.071, 1000), mine=np.roll(first(0.073, 1000), -2))
    assert summary.defences(nothing) == [
        "mine cannot be told from no defence: it leaves 7.3% (5.9–9.0%); to tell would take about 5,200 people, here "
        "are 1,000."
    ]
    same = setting(none=first(0.071, 1000), mine=first(0.071, 1000))
    assert summary.defences(same) == ["mine cannot be told from no defence: it leaves 7.1% (5.7–8.7%)."]
    assert "safest" not in said(nothing) + said(same)
    assert nothing.safest() is None
    assert nothing.leaders() == []


def test_ways_of_posting_are_not_pooled() -> None:
    """A defence is praised where it was shown, and called open where its interval holds what none leaves."""
    channels = [("float", 0.01), ("jpeg", 0.046)]
    both = [
        setting(none=first(0.055, 320), rank=first(share, 320))._replace(place={**PLACE, "channel": channel})
        for channel, share in channels
    ]
    shown, open_ = said(both[0], both[1]).split("Posted as jpeg: ")
    assert shown.startswith("Posted as float: Of 100 candidates")
    assert "rank protects: 0.94% (0.3–2.4%) linked by attacker 0, 4.7 points less (" in shown
    assert "rank cannot be told from no defence: it leaves 4.7% (" in open_
    assert "to tell would take about" in open_


def test_102_of_102_is_not_100_to_100() -> None:
    found = setting(none=np.ones(102), blur=np.ones(102))
    low, high = found.findings[0].success[1:]
    assert high == 1.0
    assert 0.97 < low < 0.98
    assert "for 100% of the photos (95% interval 97." in summary.attack(found)


def test_noise_of_the_same_budget_may_do_as_much() -> None:
    found = setting(none=first(0.4), noise_at_1=first(0.1), pgd_at_1=first(0.09), pgd_at_2=first(0.02), blur=first(0.3))
    verdicts = {finding.protection[1:]: finding.against_noise for finding in found.findings}
    assert verdicts == {("none", None): None, ("noise", 0.01): None, ("pgd", 0.01): "open", ("pgd", 0.02): None,
                        ("blur", None): None}  # fmt: skip
    assert "Noise of the same budget may do as much as pgd, ε 0.01." in summary.defences(found)
    worse = setting(none=first(0.4), noise_at_1=first(0.1), pgd_at_1=first(0.2))
    assert worse.findings[2].against_noise == "more"


def test_whom_noise_of_the_budget_may_equal_is_not_the_safest() -> None:
    """Also where no other defence is as good: neither the page nor the terminal says so, and both say why."""
    found = setting(none=first(0.4), noise_at_1=first(0.1), pgd_at_1=first(0.09), blur=first(0.3))
    assert [finding.protection.defender for finding in found.leaders()] == ["pgd"]
    assert found.safest() is None
    leads, caveat, *_ = summary.defences(found)
    assert leads.startswith("pgd, ε 0.01 leaves 9.0% ")
    assert leads.endswith("less (26.6 to 35.7) than without a defence.")
    assert caveat == "Noise of the same budget may do as much as pgd, ε 0.01."
    told = brief.conclusion([found])
    assert told[1].endswith("points less; noise of its budget may do as much.")
    apart = setting(none=first(0.4), noise_at_1=first(0.3), pgd_at_1=first(0.09), blur=first(0.3))
    assert apart.safest() is not None
    assert brief.conclusion([apart])[1].startswith("Safest: pgd, ε 0.01 leaves 9.0%")


def test_who_is_told_from_all_is_the_safest() -> None:
    found = setting(none=first(0.4), blur=first(0.2), pgd=first(0.05), worse=first(0.5), nothing=first(0.395))
    safest = found.safest()
    assert safest is not None
    assert safest.protection.defender == "pgd"
    sentences = summary.defences(found)
    assert sentences[0].startswith("The safest of 4 defences is pgd: 5.0% (3.2–7.5%) linked by attacker 0, 35.0 ")
    assert sentences[1:] == [
        "Also less than without a defence: blur (20.0%).",
        "Cannot be told from no defence: nothing; to tell would take about 2,800 people, here are 400.",
        "More photos are linked than without a defence with worse (50.0%).",
    ]


def test_equals_share_the_first_place() -> None:
    found = setting(none=first(0.4), one=first(0.05), two=first(0.0525), three=first(0.3))
    assert [finding.protection.defender for finding in found.leaders()] == ["one", "two"]
    assert found.safest() is None
    assert summary.defences(found)[0].endswith("It cannot be told from two.")


def test_the_smallest_difference_that_people_tell() -> None:
    """A defence that is better by just that much is told in about four of five draws of as many people."""
    random = np.random.default_rng(2)

    def drawn(keeps: float) -> Setting:
        none = random.random(400) < 0.3
        return setting(none=none, pgd=none & (random.random(400) < keeps))

    found = drawn(0.9)
    assert found.smallest is not None
    (said,) = summary.resolution([found])
    points = f"{100 * found.smallest:.1f} points"
    assert said == f"400 people tell a defence from none, in four of five cases, where it leaves {points} less or more."
    keeps = 1.0 - found.smallest / 0.3
    told = sum(drawn(keeps).findings[1].against_none == "less" for _ in range(200))
    assert 130 <= told <= 198
    assert setting(none=first(0.3)).smallest is None


def test_the_strongest_attacker_counts_and_only_whole_rows() -> None:
    """What defeats one attacker and not the other protects from nobody."""
    none, cheat = (first(0.3), first(0.25)), (first(0.0), first(0.25))
    found = setting(none=none, cheat=cheat)
    assert [finding.attacker for finding in found.findings] == ["attacker 0", "attacker 1"]
    assert found.findings[1].success.value == pytest.approx(0.25)
    short = setting(none=none, half=first(0.0))
    assert [finding.protection.defender for finding in short.findings] == ["none"]
    assert [protection.defender for protection in short.incomplete] == ["half"]


def test_where_nobody_links_nothing_is_said_of_defences() -> None:
    found = setting(none=first(0.0125, 400), pgd=first(0.0, 400))
    assert not found.above
    assert said(found).endswith(
        "That cannot be told from guessing, so nothing shows what defences are worth; to tell would take about 16,000 "
        "people, here are 400."
    )
    assert summary.defences(found) == []


@pytest.mark.slow
def test_nobody_is_the_safest_of_21_identical_defences() -> None:
    """Of 100 boards at most 5, whatever the attackers, also where identical defences do protect."""
    random = np.random.default_rng(11)
    named = 0
    for board in range(100):
        success = coverage.identical_board(random)
        none = np.minimum(1.0, success[:, 0] + (0.5 if board % 2 else 0.0))
        names = {f"d{at}": success[:, at] for at in range(1, 21)}
        named += setting(none=none, d0=success[:, 0], **names).safest() is not None
    assert named <= 5


def test_families_are_stated_and_corrected() -> None:
    found = setting(none=first(0.3), noise_at_1=first(0.3), a_at_1=first(0.28), b=first(0.2))
    assert found.families == (4, 1)  # three with none, one with noise; a with b
    alone = setting(none=first(0.30), a=first(0.285))
    assert alone.findings[1].against_none == "less", "six people of 400, nobody the other way: p = .03"
    crowd = {f"d{at}": first(0.3) for at in range(10)}
    assert setting(none=first(0.30), a=first(0.285), **crowd).findings[1].against_none == "open"


def known(plugin: str, epsilon: float | None) -> CellFacts:
    return CellFacts.by_name({"poison": "none", "defender": plugin, "epsilon": epsilon, "channel": "png"})


FACTS = {"none": known("none", None), "dust": known("noise", 0.01), "pgd": known("joint-pgd", 0.01)}


def rank_file(better: list[int], tied: list[int], identity: list[int]) -> Artefact:
    arrays = {name: np.array(values) for name, values in (("better", better), ("tied", tied), ("identity", identity))}
    return Artefact(arrays, {"population": 200})


def run(models: tuple[str, ...] = ("standard",), seeds: tuple[int, ...] = (0,)) -> tuple[dict[str, Any], Any]:
    """A run of none, noise under another label, and pgd; `random` and `known` are no attackers."""
    specs = [("none", "none", None), ("dust", "noise", 0.01), ("pgd", "joint-pgd", 0.01)]
    scenario = {
        "measure": {"top_k": [1, 3], "sizes": [10, 100, "all"], "resamples": 1000, "level": 0.95},
        "defenders": [{"label": label, "name": name, "params": {"epsilon": budget}} for label, name, budget in specs],
    }
    cells, files = [], {}
    random = np.random.default_rng(0)
    for seed in seeds:
        for model in models:
            for label, _, budget in specs:
                for attacker in ("predicted", "random", "known"):
                    id_ = f"c{len(cells)}"
                    spoiled = label == "pgd" and model == "standard"
                    better = random.integers(0, 200, 300) if spoiled else random.integers(0, 20, 300)
                    files[id_] = rank_file(better.tolist(), [0] * 300, list(range(300)))
                    cells.append({"id": id_, "cohort": "c", "genomes": "g", "model": model, "poison": "none",
                                  "defender": label, "epsilon": budget, "channel": "png", "attacker": attacker,
                                  "seed": seed, "failed": None, "facts": FACTS[label].to_json()})  # fmt: skip
    sees = {"predicted": ["variants"], "random": [], "known": ["truth", "variants"]}
    return {"scenario": scenario, "cells": cells, "sees": sees}, files


def test_a_run_is_concluded_from_its_stored_ranks() -> None:
    record, files = run()
    (found,) = conclude(record["scenario"], record["cells"], record["sees"], Reached(files.__getitem__))
    assert found.place == {"cohort": "c", "genomes": "g", "model": "standard", "channel": "png"}
    assert (found.question.k, found.question.n, found.people, found.photos) == (1, 100, 300, 300)
    assert [finding.yardstick for finding in found.findings] == ["none", "noise", ""], "by plugin, not by label"
    assert [finding.attacker for finding in found.findings] == ["predicted"] * 3
    pgd = found.findings[2]
    assert (pgd.against_none, pgd.against_noise) == ("less", "less")
    assert from_json(json.loads(json.dumps(to_json([found])))) == [found]


def test_the_strongest_of_all_models_counts() -> None:
    record, files = run(models=("standard", "robust"))
    settings = conclude(record["scenario"], record["cells"], record["sees"], Reached(files.__getitem__))
    assert [one.place["model"] for one in settings] == ["standard", "robust", ANY]
    (headline,) = summary.headline(settings)
    assert headline.place["model"] == ANY
    pgd = headline.findings[2]
    assert pgd.attacker == "predicted on robust", "whom the defence did not fool"
    assert pgd.against_none == "open"


def test_seeds_are_taken_together_by_person() -> None:
    record, files = run(seeds=(0, 1, 2))
    (found,) = conclude(record["scenario"], record["cells"], record["sees"], Reached(files.__getitem__))
    assert (found.people, found.photos) == (300, 900)
    record["cells"][0]["failed"] = {"stage": "rank", "reason": "it broke"}
    (lost,) = conclude(record["scenario"], record["cells"], record["sees"], Reached(files.__getitem__))
    assert [protection.defender for protection in lost.incomplete] == [record["cells"][0]["defender"]]
    assert lost.plain is None
    assert summary.attack(lost) == "Nothing was measured without a defence (success@1 of 100, guessing 1.0%)."


def test_the_terminal_ends_with_the_conclusion() -> None:
    record, files = run()
    settings = conclude(record["scenario"], record["cells"], record["sees"], Reached(files.__getitem__))
    stream = io.StringIO()
    terminal.show(Results([], {"conclusions": to_json(settings)}), Console(file=stream, width=500), full=True)
    last = stream.getvalue().rstrip().splitlines()[-2:]
    assert last[0].startswith("Of 100 candidates, without a defence, the strongest attacker, predicted, names ")
    assert last[1].startswith("pgd, ε 0.01 protects: ")
    four = [settings[0]._replace(place={**PLACE, "channel": f"c{at}"}) for at in range(4)]
    assert [line[:14] for line in summary.lines(four)] == ["Posted as c0: ", "Posted as c1: ", "Posted as c2: "]
    assert summary.lines(four)[-1].endswith("1 more in report.html.")


def test_damaged_conclusions_are_an_input_error() -> None:
    for damaged in ([{}], [3], {"a": 1}, [{"question": {}, "findings": []}]):
        with pytest.raises(InputError, match="run the scenario again"):
            Results([], {"conclusions": damaged}).conclusions()
    assert Results([], {}).conclusions() == []


def test_success_is_counted_once_for_all_who_ask() -> None:
    """And is the same as when each cell is counted by itself."""
    ranks = {
        name: Artefact({"better": better, "tied": 0 * better, "identity": np.arange(6)}, {"population": 50})
        for name, better in (("a", np.arange(6)), ("b", 3 * np.arange(6)))
    }
    asked: list[str] = []

    def load(id_: str) -> Artefact:
        asked.append(id_)
        return ranks[id_]

    counted = Reached(load)
    both, one = counted.of(["a", "b"], 1, 10), counted.of(["b"], 1, 10)
    assert asked == ["a", "b"]
    assert one[0] is both[1]
    np.testing.assert_array_equal(both[0].success, Reached(ranks.__getitem__).of(["a"], 1, 10)[0].success)
    assert counted.of(["a"], 1, 20)[0].mean < both[0].mean
