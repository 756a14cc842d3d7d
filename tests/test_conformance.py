"""The conformance kit: built-ins pass it, each fault fails the check that is meant for it, and skips are explained."""

from __future__ import annotations

import json
import threading
import unittest
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from conftest import Finished

from linkbench.api import base as kinds
from linkbench.api.fields import Epsilon
from linkbench.api.kinds import KINDS
from linkbench.api.training_data import Report
from linkbench.errors import InputError
from linkbench.registry.registry import registry
from linkbench.testing import Skip, common, conformance, examine
from linkbench.testing.check import Subject, run_check
from linkbench.testing.kit import checks_of

BUILT_IN = [
    (kind, name)
    for kind, entries in registry().plugins.items()
    for name, found in entries.items()
    if found.distribution == "linkbench"
]

NO_BUDGET = {"none", "blur", "pixelate", "convolution", "blend", "k-same", "recolour", "re-render", "chain"}

SKIPPED = {
    ("the budget is kept", "defender"): NO_BUDGET,
    ("no budget changes nothing", "defender"): NO_BUDGET | {"suppress"},
    ("a competition does not see the order", "attacker"): set(registry().plugins["attacker"]) - {"assignment"},
    ("the network learns", "recipe"): {"pretrained"},
    ("it reports its curves", "recipe"): {"pretrained"},
    ("the predictor stays as it was", "defender"): {
        name for name in registry().plugins["defender"] if "predictor" not in registry().load("defender", name).needs
    },
    ("nothing is left behind", "executor"): set(registry().plugins["executor"]),
}
"""The checks that may be skipped, and for whom: a skip that nobody knows of is a hole."""


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "name"), BUILT_IN)
def test_built_ins_pass(kind: str, name: str) -> None:
    outcomes = examine(kind, name)
    assert len(outcomes) == len(checks_of(kind)) >= 8
    assert not [outcome for outcome in outcomes if outcome.status == "fail"]
    for outcome in outcomes:
        assert (outcome.status == "skip") == (name in SKIPPED.get((outcome.check, kind), ())), outcome
        assert bool(outcome.reason) == (outcome.status == "skip")


def test_every_kind_has_checks() -> None:
    for kind in KINDS:
        titles = [str(case) for case in conformance(kind, "any")]
        assert len(titles) == len(set(titles))


class Good(kinds.Defender):
    """Takes epsilon from every pixel."""

    needs: ClassVar[frozenset[str]] = frozenset({"predictor"})
    epsilon: Epsilon = 0.05

    def perturb(self, photos: Any, knowledge: Any) -> Any:
        return (photos - self.epsilon).clamp(0, 1)


class Chance(Good):
    """Draws from NumPy."""

    def perturb(self, photos: Any, knowledge: Any) -> Any:
        return (photos + self.epsilon * float(np.random.rand())).clamp(0, 1)  # noqa: NPY002


class Crowd(Good):
    """Looks at the other photos."""

    def perturb(self, photos: Any, knowledge: Any) -> Any:
        return photos + (photos.mean() - photos).clamp(-self.epsilon, self.epsilon)


class Greedy(Good):
    """Leaves its budget."""

    def perturb(self, photos: Any, knowledge: Any) -> Any:
        return (photos - 1.5 * self.epsilon).clamp(0, 1)


class Outside(Good):
    """Leaves the range."""

    def perturb(self, photos: Any, knowledge: Any) -> Any:
        return photos - self.epsilon


class Stubborn(Good):
    """Cannot leave photos alone."""

    def perturb(self, photos: Any, knowledge: Any) -> Any:
        return (photos - 0.01).clamp(0, 1)


class Rude(Good):
    """Writes to what it was given, and to the network."""

    def perturb(self, photos: Any, knowledge: Any) -> Any:
        photos *= 0.99
        next(knowledge.predictor.parameters()).mul_(1.01)
        return photos


class Awake(Good):
    """Leaves the network in training mode."""

    def perturb(self, photos: Any, knowledge: Any) -> Any:
        knowledge.predictor.train()
        return photos.clone()


class Curious(Good):
    """Looks at what it did not ask for."""

    def perturb(self, photos: Any, knowledge: Any) -> Any:
        return photos - 0 * knowledge.labels.float().mean()


class Wrong(Good):
    """Asks for what there is not."""

    needs: ClassVar[frozenset[str]] = frozenset({"attacker"})


class Loud(Good):
    """Prints."""

    def perturb(self, photos: Any, knowledge: Any) -> Any:
        print("rubbish")
        return photos.clone()


class Nan(Good):
    """Gives no numbers."""

    def perturb(self, photos: Any, knowledge: Any) -> Any:
        return photos * float("nan")


class Half(Good):
    """Gives another type."""

    def perturb(self, photos: Any, knowledge: Any) -> Any:
        return photos.half()


class Leaving(Good):
    """Ends the program."""

    def perturb(self, photos: Any, knowledge: Any) -> Any:
        raise SystemExit(0)


class Even(kinds.Channel):
    """Says that it has 8 bits."""

    def publish(self, photos: Any) -> Any:
        return photos.mul(7).round().div(7)


class Modest(Even):
    """Has 8 bits and says that it has not."""

    eight_bit: ClassVar[bool] = False

    def publish(self, photos: Any) -> Any:
        return photos.mul(255).round().div(255)


class Noisy(Even):
    """Is random."""

    def publish(self, photos: Any) -> Any:
        return torch.rand_like(photos)


class Blind(Even):
    """Has no gradient, and another result for those who ask for one."""

    def through(self, photos: Any) -> Any:
        return photos.detach() * 0


class Plain(kinds.Attacker):
    """Log-probability of the most likely variants."""

    sees: ClassVar[frozenset[str]] = frozenset({"probabilities"})

    def score(self, evidence: Any, genomes: Any, learned: Any) -> Any:
        return evidence.probabilities @ genomes.log_p.T


class Relative(Plain):
    """Compares genomes with each other."""

    def score(self, evidence: Any, genomes: Any, learned: Any) -> Any:
        scores = super().score(evidence, genomes, learned)
        return scores - scores.mean(axis=1, keepdims=True)


class Ordered(Plain):
    """Prefers the first genomes."""

    def score(self, evidence: Any, genomes: Any, learned: Any) -> Any:
        return super().score(evidence, genomes, learned) - np.arange(len(genomes))


class Single(Plain):
    """Counts in single precision."""

    def score(self, evidence: Any, genomes: Any, learned: Any) -> Any:
        return super().score(evidence, genomes, learned).astype(np.float32)


class Spy(Plain):
    """Looks at the truth without saying so."""

    def score(self, evidence: Any, genomes: Any, learned: Any) -> Any:
        return evidence.truth[:, :1] + genomes.log_p[:, 0]


class Writing(Plain):
    """Writes to the genomes."""

    def score(self, evidence: Any, genomes: Any, learned: Any) -> Any:
        genomes.log_p[0] = 0
        return super().score(evidence, genomes, learned)


class First(Plain):
    """Gives the first photo the first genome."""

    joint: ClassVar[bool] = True

    def compete(self, scores: Any) -> Any:
        scores[0, 0] += 1
        return scores


class Narrow(kinds.Architecture):
    """Forgets a variant."""

    def build(self, schema: Any, size: int) -> Any:
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * size * size, schema.width - 1))


class Fresh(Narrow):
    """Draws weights from the clock."""

    def build(self, schema: Any, size: int) -> Any:
        torch.seed()
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * size * size, schema.width))


class Lazy(kinds.Recipe):
    """Learns nothing."""

    def train(self, network: Any, data: Any) -> Any:
        return Report([{"phase": "lazy", "epoch": 0, "loss": float("nan")}])


class Copying(kinds.GenomeSource):
    """Gives everybody the same name, and too much probability."""

    def build(self, seed: int) -> Any:
        from linkbench.api.data import Genomes
        from linkbench.testing.tables import genomes

        made = genomes(3, seed)
        return Genomes(made.schema, made.ids[[0, 0, 0]], made.log_p * 0.1)


FAULTS = [
    (Chance, "same seed same bytes"),
    (Crowd, "a photo is alone"),
    (Greedy, "the budget is kept"),
    (Outside, "photos come back"),
    (Stubborn, "no budget changes nothing"),
    (Rude, "inputs stay as they were"),
    (Rude, "the predictor stays as it was"),
    (Awake, "the predictor stays as it was"),
    (Curious, "it says what it must know"),
    (Wrong, "it says what it must know"),
    (Loud, "nothing is printed"),
    (Nan, "photos come back"),
    (Half, "photos come back"),
    (Leaving, "photos come back"),
    (Modest, "what it says of 8 bits is true"),
    (Noisy, "there is no randomness"),
    (Noisy, "a photo is alone"),
    (Blind, "defenders can optimise through it"),
    (Relative, "each pair stands alone"),
    (Ordered, "the order of genomes does not matter"),
    (Single, "every pair has a score"),
    (Spy, "it says what it sees"),
    (Writing, "it says what it sees"),
    (First, "a competition does not see the order"),
    (Narrow, "photos become logits"),
    (Fresh, "same seed same weights"),
    (Lazy, "the network learns"),
    (Lazy, "it reports its curves"),
    (Copying, "the table is sound"),
    (Copying, "probabilities sum to 1 at most"),
    (Copying, "the schema is known beforehand"),
]


@pytest.mark.parametrize(("cls", "check"), FAULTS, ids=lambda value: getattr(value, "__name__", None))
def test_a_fault_fails_its_check(cls: Any, check: str) -> None:
    case = next(case for case in conformance(cls) if str(case) == check.replace(" ", "-"))
    with pytest.raises(AssertionError, match=check):
        case()


def test_what_is_left_behind_is_found() -> None:
    from linkbench.metrics import image_quality

    done, hooks, real = threading.Event(), [], image_quality.ssim

    class Messy(Good):
        """Leaves a hook, a patch, a setting and a thread behind."""

        def perturb(self, photos: Any, knowledge: Any) -> Any:
            hooks.append(torch.nn.modules.module.register_module_forward_hook(lambda module, given, out: out))
            image_quality.ssim = lambda one, other: one
            threading.Thread(target=done.wait, daemon=True).start()
            torch.set_default_dtype(torch.float64)
            return photos.clone()

    case = next(case for case in conformance(Messy) if str(case) == "nothing-is-left-behind")
    try:
        with pytest.raises(AssertionError) as found:
            case()
    finally:
        done.set()
        image_quality.ssim = real
        torch.set_default_dtype(torch.float32)
        for hook in hooks:
            hook.remove()
    said = str(found.value)
    for part in (
        "hooks (global_forward_hooks)",
        "image_quality.ssim was replaced",
        "default type",
        "threads still run",
    ):
        assert part in said, said


@pytest.mark.slow
def test_a_class_need_not_be_registered() -> None:
    cases = {str(case): case for case in conformance(Good)}
    with pytest.raises(unittest.SkipTest, match="no installed package registers it"):
        cases.pop("is-registered")()
    with pytest.raises(AssertionError, match="imports torch when it is imported; import it inside the method"):
        cases.pop("importing-it-is-light")()  # this very file does
    for case in cases.values():
        case()


def test_a_skip_without_a_reason_is_a_failure(tmp_path: Path) -> None:
    def silent_hole(subject: Subject) -> None:
        raise Skip

    outcome = run_check(silent_hole, Subject("defender", None, Good, {}, tmp_path))
    assert outcome == ("silent hole", "fail", "skipped, no reason")


def test_what_is_no_plugin_is_refused() -> None:
    with pytest.raises(InputError, match="is no class of plugins"):
        conformance(dict)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="kinds are genomes, cohort"):
        conformance("atacker", "predicted")


REGISTER = """
from linkbench.api.hookspecs import hookimpl

@hookimpl
def register_attackers(register):
    register("mine", "pkg.plugin:Mine", summary="mine", api=1)
"""
PLUGIN = """
from linkbench.api.base import Attacker

class Mine(Attacker):
    \"\"\"Mine.\"\"\"
    weight: float = 1.0

    def score(self, evidence, genomes, learned):
        return self.weight * genomes.log_p[:, :1].T.repeat(evidence.size, 0)
"""


@pytest.mark.slow
def test_the_command_says_how_many_checks_ran(run_cli: Callable[..., Finished], fake_plugin: Any) -> None:
    fake_plugin("pkg", {"__init__.py": REGISTER, "plugin.py": PLUGIN})
    done = run_cli("check", "mine")
    assert done.status == 0, done.out
    lines = done.out.splitlines()
    assert lines[0] == "attacker mine: 12 checks, 11 passed, 0 failed, 1 skipped"
    assert "  skip  a competition does not see the order: it is not joint: photos do not compete for genomes" in lines
    assert len(lines) == 13, lines
    failing = run_cli("check", "mine", "soft", "--set", "weight=.nan")
    assert failing.status == 2
    assert "is for one plugin, these are 2" in failing.err
    failing = run_cli("check", "mine", "--set", "weight=.nan", "--json")
    assert failing.status == 1
    report = json.loads(failing.out)["plugins"]
    assert [(plugin["kind"], plugin["name"]) for plugin in report] == [("attacker", "mine")]
    failed = {check["check"]: check["reason"] for check in report[0]["checks"] if check["status"] == "fail"}
    assert failed["every pair has a score"] == "score returned NaN or infinite scores"
    both = run_cli("check", "--all", "--kind", "attacker")
    assert both.status == 0
    assert both.out.splitlines()[-1].startswith("10 plugins, 120 checks, ")


@pytest.mark.slow
def test_a_heavy_import_is_named(run_cli: Callable[..., Finished], fake_plugin: Any) -> None:
    fake_plugin("pkg", {"__init__.py": REGISTER, "plugin.py": "import torch\n" + PLUGIN})
    common._imports.cache_clear()
    done = run_cli("check", "mine")
    assert done.status == 1
    assert (
        "fail  importing it is light: pkg.plugin:Mine imports torch when it is imported; import it inside" in done.out
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "give the names of plugins, or --all"),
        (("--all", "soft"), "give the names of plugins, or --all"),
        (("calibratd",), "there is no plugin 'calibratd'; 'linkbench plugins' lists them. Did you mean 'calibrated'?"),
        (("soft", "--kind", "channel"), "there is no channel 'soft'"),
        (("soft", "--kind", "chanel"), "there is no kind 'chanel'"),
        (("soft", "--set", "x"), "expected KEY=VALUE, found 'x'"),
        (("noise", "--set", "epsilon=7"), "--set epsilon: must be less than or equal to 1, found a number 7"),
        (("noise", "--set", "epsilom=7"), "--set epsilom: unknown key; did you mean 'epsilon'?"),
    ],
)
def test_wrong_questions_are_refused(arguments: tuple[str, ...], says: str, run_cli: Callable[..., Finished]) -> None:
    done = run_cli("check", *arguments)
    assert done.status == 2
    assert says in " ".join(done.err.split())
