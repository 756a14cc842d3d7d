"""The scenario file: what it means, and what is said about every way of getting it wrong."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from conftest import SCENARIOS
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from linkbench.api.data import VALIDATION
from linkbench.errors import ScenarioError
from linkbench.metrics.settings import Measure
from linkbench.plan.make import make_plan
from linkbench.scenario.file import Scenario
from linkbench.scenario.json_schema import json_schema
from linkbench.scenario.load import load_scenario
from linkbench.scenario.yaml import MAX_BYTES, parse_yaml

HEAD = "linkbench: 1\nname: a\ngenomes: paper-tables\ncohort: paper-tables\n"
"""Four lines that are a whole scenario."""

PHOTOS = "linkbench: 1\nname: a\ngenomes: paper-tables\ncohort: rendered\n"
"""The same with photos, for which models are missing."""


@pytest.fixture(autouse=True)
def _elsewhere(home: Path) -> None:
    """Files are named as they were given, so scenarios lie in the working folder."""


def load(text: str | bytes, *overrides: str) -> Scenario:
    Path("s.yaml").write_bytes(text.encode() if isinstance(text, str) else text)
    return load_scenario(Path("s.yaml"), overrides)


def problems(text: str | bytes, *overrides: str) -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        load(text, *overrides)
    return str(caught.value).split("\n")


def labels(text: str, section: str) -> list[str]:
    return [spec.label for spec in load(text).specs[section]]


def test_defaults() -> None:
    scenario = load(HEAD)
    assert scenario.name == "a"
    assert scenario.seeds == [0]
    assert [spec.label for spec in scenario.specs["attackers"]] == [
        "predicted", "likelihood(learns=clean)", "likelihood(learns=protected)", "ground-truth", "random"
    ]  # fmt: skip
    assert [spec.label for spec in scenario.specs["defenders"]] == ["none"]
    assert [spec.label for spec in scenario.specs["channels"]] == ["float"]
    assert scenario.specs["genomes"][0].params == {"setting": "realistic"}
    assert scenario.measure == Measure()
    assert (scenario.measure.top_k, scenario.measure.sizes) == ([1, 3, 5], [10, 20, 50, 100, "all"])
    json.dumps(scenario.resolved())


def test_equal_files_have_equal_plans_and_a_seed_matters() -> None:
    one, other = make_plan(load(HEAD)), make_plan(load("# x\n" + HEAD.replace("paper-tables", "{use: paper-tables}")))
    assert list(one.steps) == list(other.steps)
    assert [cell.id for cell in one.cells] == [cell.id for cell in other.cells]
    assert not set(one.steps) & set(make_plan(load(HEAD + "seed: 1\n")).steps)


def test_cells_are_the_product_of_the_grid_and_share_stages() -> None:
    text = HEAD.replace("genomes: paper-tables", "genomes: {use: paper-tables, setting: [realistic, ideal]}")
    plan = make_plan(load(text + "attackers: [predicted, random]\nseed: [3, 4]\n"))
    assert len(plan.cells) == len({cell.id for cell in plan.cells}) == 2 * 2 * 2
    stages = [step.stage for step in plan.steps.values()]
    assert {stage: stages.count(stage) for stage in stages} == {
        "genomes": 4, "cohort": 4, "predict": 4, "rank": 8, "measure": 8
    }  # fmt: skip
    known: set[str] = set()
    for id_, step in plan.steps.items():
        assert set(step.inputs.values()) <= known
        known.add(id_)


@pytest.mark.parametrize(
    ("attackers", "further"),
    [
        ("[predicted, soft, ground-truth]", {"predict": 1}),
        ("[predicted, {use: likelihood, learns: clean}]", {"predict": 1}),
        ("[predicted]", {}),
        ("[{use: likelihood, learns: protected}]", {"protect": 3, "publish": 6, "predict": 6}),
        ("[{use: likelihood, people: [4, 8]}, calibrated]", {"protect": 3, "publish": 6, "predict": 7}),
    ],
)
def test_attackers_who_learn_from_protected_photos_protect_some_and_others_cost_nothing(
    attackers: str, further: dict[str, int]
) -> None:
    text = "linkbench: 1\nname: a\ngenomes: thousand-genomes\ncohort: {use: rendered, count: 20}\n"
    text += "models: [small-cnn]\ndefenders: [none, noise, joint-pgd]\nchannels: [float, png]\n"
    plan = make_plan(load(text + f"attackers: {attackers}\n"))
    stages = [step.stage for step in plan.steps.values()]
    expected = {"protect": 3, "publish": 6, "predict": 6}
    assert {stage: stages.count(stage) for stage in expected} == {
        stage: count + further.get(stage, 0) for stage, count in expected.items()
    }
    for cell in plan.cells:
        rank = plan.steps[cell.steps["rank"]]
        assert set(rank.inputs) - {"genomes", "cohort", "predict"} == rank.specs["attacker"].plugin().learns_from()
        if "protected" in rank.inputs:
            predict = plan.steps[rank.inputs["protected"]]
            own = plan.steps[plan.steps[predict.inputs["published"]].inputs["protect"]]
            linked = plan.steps[cell.steps["protect"]]
            assert own.specs == linked.specs
            assert predict.inputs["train"] == cell.steps["train"]
            assert (own.settings, linked.settings) == ({"split": VALIDATION, "own": True}, {})


@pytest.mark.parametrize(
    ("attackers", "expected"),
    [
        ("predicted", ["predicted"]),
        ("{use: known}", ["known"]),
        ("[{use: known, phenotypes: [eye, sex]}]", ["known"]),  # a list where a list is wanted is one value
        ("[{use: known, phenotypes: [[eye], [eye, sex]]}]", ["known(phenotypes=eye)", "known(phenotypes=eye+sex)"]),
        ("[{use: known, name: eyes}, {use: known, phenotypes: [sex]}]", ["eyes", "known"]),
        ("[known, {use: known, phenotypes: [sex]}]", ["known(phenotypes=eye)", "known(phenotypes=sex)"]),
        ("[{use: random, name: <b>x</b>}]", ["<b>x</b>"]),
    ],
)
def test_attackers_of_a_grid_are_told_apart(attackers: str, expected: list[str]) -> None:
    assert labels(HEAD + f"attackers: {attackers}\n", "attackers") == expected


def test_grids_of_several_parameters() -> None:
    text = HEAD.replace(
        "genomes: paper-tables", "genomes: {use: simulated, count: [10, 20], schema: [paper, hirisplex]}"
    )
    found = load(text.replace("cohort: paper-tables", "cohort: {use: sampled, count: 5, predictor: perfect}"))
    assert [(spec.params["count"], spec.params["schema"]) for spec in found.specs["genomes"]] == [
        (10, "paper"), (10, "hirisplex"), (20, "paper"), (20, "hirisplex")
    ]  # fmt: skip
    assert found.specs["genomes"][1].label == "simulated(count=10, schema=hirisplex)"


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ("[10, 5, 10, all]", [5, 10, 40]),
        ("[100]", []),
        ("[{from: 10, to: all, step: 10}]", [10, 20, 30, 40]),
        ("[{from: 10, to: all, step: 20}]", [10, 30, 40]),
        ("[{from: 10, to: 25, step: 5}, 3]", [3, 10, 15, 20, 25]),
        ("[{from: 10, factor: 2}]", [10, 20, 40]),
        ("[{from: 1, to: 30, factor: 3.0}]", [1, 3, 9, 27]),
    ],
)
def test_sizes(sizes: str, expected: list[int]) -> None:
    assert load(HEAD + f"measure: {{sizes: {sizes}}}\n").measure.population_sizes(40) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1e-3", 0.001), ("1E-3", 0.001), ("8/255", 8 / 255), ('"8/255"', 8 / 255), ("8 / 255", 8 / 255), ("0", 0.0),
        (".5", 0.5),
    ],
)  # fmt: skip
def test_epsilon_is_a_number_or_a_fraction_of_pixels(fake_plugin: Any, value: str, expected: float) -> None:
    from linkbench.registry.spec import parse_spec

    fake_plugin("eps", {"__init__.py": EPSILON, "plugin.py": EPSILON_PLUGIN})
    entry = parse_yaml("x", f"{{use: eps, epsilon: {value}}}").data
    [spec], wrong = parse_spec("defender", entry, ())
    assert not wrong
    assert spec.params["epsilon"] == pytest.approx(expected, abs=0)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ('"1e-3"', "expected a number from 0 to 1, without quotes, or a fraction such as 8/255, found text '1e-3'"),
        ("8", "must be less than or equal to 1, found a number 8"),
        ("256/255", "must be less than or equal to 1"),
        ("-0.1", "must be greater than or equal to 0, found a number -0.1"),
        ("8/0", "found text '8/0'"),
        (".nan", "found a number nan"),
        ("yes", "found text 'yes'"),
        ("true", "found a truth value True"),
        ("[0.1, 2]", "[1]: must be less than or equal to 1, found a number 2"),
    ],
)
def test_epsilon_out_of_range(fake_plugin: Any, value: str, says: str) -> None:
    fake_plugin("eps", {"__init__.py": EPSILON, "plugin.py": EPSILON_PLUGIN})
    found = problems(HEAD + f"defenders:\n  - none\n  - {{use: eps, epsilon: {value}}}\n")
    assert any(line.startswith("s.yaml:7:") and "defenders[1].epsilon" in line and says in line for line in found), (
        found
    )


EPSILON = """
from linkbench.api.hookspecs import hookimpl

@hookimpl
def register_defenders(register):
    register("eps", "eps.plugin:Eps", summary="x", api=1)
"""
EPSILON_PLUGIN = """
from linkbench.api.fields import Epsilon
from linkbench.api.base import Defender

class Eps(Defender):
    epsilon: Epsilon = 0.01
"""

WRONG: dict[str, tuple[str | bytes, list[str]]] = {
    "empty": (b"", ["1:1: is empty; a scenario starts with 'linkbench: 1'"]),
    "comment": ("# nothing\n", ["1:1: is empty"]),
    "list": ("- a\n", ["1:1: a scenario is a mapping that starts with 'linkbench: 1'"]),
    "text": ("hello\n", ["1:1: a scenario is a mapping"]),
    "null": ("null\n", ["1:1: a scenario is a mapping"]),
    "not utf-8": (b"linkbench: 1\nname: \xff\n", ["2:1: is not UTF-8 text"]),
    "control": (b"linkbench: 1\nname: a\0b\n", [": is not valid YAML: unacceptable character #x0000"]),
    "tab": ("linkbench: 1\n\tname: a\n", [r"2:1: is not valid YAML: found character '\t'"]),
    "unclosed": ("linkbench: [1\nname: a\n", ["2:5: is not valid YAML: expected ',' or ']'"]),
    "two documents": (HEAD + "---\n" + HEAD, ["5:1: is not valid YAML"]),
    "undefined alias": ("linkbench: *nope\n", ["1:12: is not valid YAML: found undefined alias 'nope'"]),
    "duplicate key": (
        "linkbench: 1\nname: a\nname: b\ngenomes: {use: simulated, count: 1, count: 2}\n",
        [
            "3:1: name: stands there twice; the first is in line 2",
            "4:37: genomes.count: stands there twice; the first is in line 4",
        ],
    ),
    "tags": (
        "name: !!python/object/apply:os.system [id]\nseed: !!python/name:os.system ''\n"
        "split: !x {a: 1}\nmodels: !!set {a}\n",
        [
            "1:7: name: the tag tag:yaml.org,2002:python/object/apply:os.system is not allowed",
            "2:7: seed: the tag",
            "3:8: split: the tag !x",
            "4:9: models: the tag",
        ],
    ),
    "bomb": (
        "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"{k}: &{k} [{','.join([f'*{chr(ord(k) - 1)}'] * 10)}]\n" for k in "bcdefgh"),
        ["unfolds to more than 20000 values"],
    ),
    "contains itself": (
        "linkbench: &x [1, *x]\n",
        ["1:12: linkbench: unfolds to more than 20000 values or contains itself"],
    ),
    "map of itself": ("&x\nlinkbench: 1\nname: *x\n", ["name: unfolds to more than 20000 values or contains itself"]),
    "deep": ("linkbench: " + "[" * 60 + "]" * 60, ["1:62: linkbench: is nested more than 50 levels deep"]),
    "deeper": ("- " * 20_000 + "a", ["is nested too deeply"]),
    "huge": ("#" * (MAX_BYTES + 1), [f"has {MAX_BYTES + 1} bytes; at most {MAX_BYTES} are read"]),
    "list as key": ("? [a]\n: 1\n", ["1:3: a key must be a plain word"]),
    "null as key": ("~: 1\n", ["1:1: a key must be a plain word"]),
    "merge": (HEAD + "<<: {seed: 1}\n", ["5:1: a key must be a plain word"]),
    "digits": (HEAD + "seed: " + "9" * 5000, ["5:7: seed: is a number of 5000 digits"]),
    "missing": ("name: a\n", ["1:1: linkbench: is missing", "1:1: genomes: is missing", "1:1: cohort: is missing"]),
    "version": (HEAD.replace("1", "2"), ["1:1: linkbench: must be 1, found a number 2"]),
    "path": (HEAD.replace("name: a", "name: ../a"), ["2:1: name: string must match pattern"]),
    "html": (HEAD.replace("name: a", "name: <b>a</b>"), ["2:1: name: string must match pattern"]),
    "dots": (HEAD.replace("name: a", "name: .."), ["2:1: name: string must match pattern"]),
    "line end": (HEAD.replace("name: a", 'name: "a\\n"'), ["2:1: name: string must match pattern"]),
    "number as name": (HEAD.replace("name: a", "name: 7"), ["2:1: name: must be a valid string, found a number 7"]),
    "yaml 1.1 truth": (HEAD + "seed: no\n", ["5:1: seed: must be a valid integer, found text 'no'"]),
    "quoted number": (
        HEAD + 'measure: {level: "1e-3"}\n',
        ["5:11: measure.level: must be a valid number, found text '1e-3'"],
    ),
    "number in range": (
        HEAD + "measure: {level: 1e-3}\n",
        ["5:11: measure.level: must be greater than 0.5, found a number 0.001"],
    ),
    "nan": (HEAD + "measure: {level: .nan}\n", ["5:11: measure.level: must be less than 1, found a number nan"]),
    "no seed": (HEAD + "seed: []\n", ["5:1: seed: list must have at least 1 item"]),
    "seed twice": (HEAD + "seed: [1, 1]\n", ["5:1: seed: the same number stands there twice"]),
    "seed of words": (HEAD + "seed: [1, x]\n", ["5:11: seed[1]: must be a valid integer, found text 'x'"]),
    "unknown key": (
        HEAD + "attacker: predicted\n",
        ["5:1: attacker: unknown key; did you mean 'attackers'? known: linkbench, name"],
    ),
    "unknown in measure": (HEAD + "measure: {levl: 1}\n", ["5:11: measure.levl: unknown key; did you mean 'level'?"]),
    "unknown plugin": (
        HEAD + "attackers: [predcted]\n",
        ["5:13: attackers[0].use: there is no attacker 'predcted'; did you mean 'predicted'? known: "],
    ),
    "unknown parameter": (
        HEAD + "attackers: [{use: known, phenotype: [eye]}]\n",
        ["5:26: attackers[0].phenotype: unknown key; did you mean 'phenotypes'?"],
    ),
    "unknown phenotype": (
        HEAD + "attackers: [{use: known, phenotypes: [ear]}]\n",
        ["5:1: attackers: known: phenotypes names the phenotype 'ear'; the genomes have: sex, hair, eye, skin"],
    ),
    "no attackers": (HEAD + "attackers: []\n", ["5:1: attackers: the list is empty"]),
    "null attackers": (
        HEAD + "attackers:\n",
        ["5:1: attackers: expected the name of one attacker or a mapping with 'use:', found nothing"],
    ),
    "list in list": (HEAD + "attackers: [[predicted]]\n", ["5:13: attackers[0]: expected the name of one attacker"]),
    "no use": (HEAD + "attackers: [{name: x}]\n", ["5:13: attackers[0].use: the key 'use' is missing"]),
    "use of list": (
        HEAD + "attackers: [{use: [predicted]}]\n",
        ["5:14: attackers[0].use: expected a name, found a list"],
    ),
    "control in title": (
        HEAD + 'attackers: [{use: random, name: "a\\nb"}]\n',
        ["5:27: attackers[0].name: expected 1 to 80 printable"],
    ),
    "long title": (
        HEAD + f"attackers: [{{use: random, name: {'x' * 81}}}]\n",
        ["5:27: attackers[0].name: expected 1 to 80"],
    ),
    "same twice": (
        HEAD + "attackers: [predicted, random, predicted]\n",
        ["5:1: attackers: 'predicted' stands there twice with the same parameters"],
    ),
    "empty grid": (
        HEAD.replace("genomes: paper-tables", "genomes: {use: paper-tables, setting: []}"),
        ["3:30: genomes.setting: an empty list spans no grid"],
    ),
    "in a grid": (
        HEAD.replace("genomes: paper-tables", "genomes: {use: simulated, count: [100, 0, x]}"),
        [
            "3:40: genomes.count[1]: must be greater than or equal to 1, found a number 0",
            "3:43: genomes.count[2]: must be a valid integer, found text 'x'",
        ],
    ),
    "sizes": (
        HEAD
        + "measure:\n  sizes:\n  - {from: 10}\n  - {from: 0, step: 1}\n  - {from: 1, factor: 1}\n  - 0\n  - most\n"
        + "  - {from: 1, to: al, step: 1}\n  - []\n",
        [
            "7:5: measure.sizes[0]: give exactly one of 'step' and 'factor'",
            "8:6: measure.sizes[1].from: must be greater than or equal to 1, found a number 0",
            "9:15: measure.sizes[2].factor: must be greater than 1",
            "10:5: measure.sizes[3]: must be greater than or equal to 1",
            "11:5: measure.sizes[4]: must be 'all', found text 'most'",
            "12:15: measure.sizes[5].to: must be 'all', found text 'al'",
            "13:5: measure.sizes[6]: must be a valid integer, found a list []",
        ],
    ),
    "no k": (HEAD + "measure: {top_k: []}\n", ["5:11: measure.top_k: list must have at least 1 item"]),
    "split": (
        HEAD + "split: {test: 0.6, validation: 0.5}\n",
        ["5:1: split: test and validation together leave nobody to train on"],
    ),
    "recipe for people": (
        PHOTOS + "models:\n  - {name: x, recipe: embedding}\n",
        ["5:1: models: x: recipe 'embedding' tells people apart and learns no phenotypes; use another"],
    ),
    "recipe for people inside another": (
        PHOTOS + "models: [{name: x, recipe: {use: best-of, recipes: [standard, adaptive-embedding]}}]\n",
        ["5:1: models: x: recipe 'adaptive-embedding' tells people apart"],
    ),
    "models of text": (HEAD + "models: x\n", ["5:1: models: must be a valid list, found text 'x'"]),
    "models without photos": (
        HEAD + "models: [x]\n",
        ["5:10: models[0].architecture.use: there is no architecture 'x'"],
    ),
    "no file": (
        HEAD.replace("genomes: paper-tables", "genomes: {use: table, path: nowhere.csv}"),
        ["3:1: genomes: nowhere.csv: there is no such file"],
    ),
    "no text": (
        HEAD.replace("genomes: paper-tables", "genomes: {use: table, path: 3}"),
        ["3:23: genomes.path: must be"],
    ),
    "parameter missing": (HEAD.replace("genomes: paper-tables", "genomes: table"), ["3:1: genomes.path: is missing"]),
}


@pytest.mark.parametrize(("text", "expected"), WRONG.values(), ids=WRONG.keys())
def test_every_problem_is_told_with_its_place(text: str | bytes, expected: list[str]) -> None:
    found = problems(text)
    assert all(line.startswith("s.yaml:") for line in found)
    for wanted in expected:
        assert any(wanted in line for line in found), "\n".join(found)
    assert len(found) == len(expected), "\n".join(found)


def test_all_problems_of_a_file_are_told_at_once_in_order() -> None:
    found = problems(
        "linkbench: 2\nname: a/b\nseed: x\ngenomes: {use: paper-tables, settting: ideal}\ncohort: papr-tables\n"
        "attackers: [predicted, {use: known, phenotype: [eye]}]\nmeasure: {top_k: [0], sizes: [{from: 1}], levl: 1}\n"
        "modelz: []\n"
    )
    assert [line.split(": ")[:2] for line in found] == [
        ["s.yaml:1:1", "linkbench"],
        ["s.yaml:2:1", "name"],
        ["s.yaml:3:1", "seed"],
        ["s.yaml:4:30", "genomes.settting"],
        ["s.yaml:5:1", "cohort.use"],
        ["s.yaml:6:37", "attackers[1].phenotype"],
        ["s.yaml:7:19", "measure.top_k[0]"],
        ["s.yaml:7:31", "measure.sizes[0]"],
        ["s.yaml:7:43", "measure.levl"],
        ["s.yaml:8:1", "modelz"],
    ]


def test_a_missing_file_and_a_folder_are_told_without_a_place() -> None:
    for path, reason in ((Path("nowhere.yaml"), "No such file"), (Path(), "directory")):
        with pytest.raises(ScenarioError, match=rf"^{path}: cannot be read: .*{reason}"):
            load_scenario(path)


@pytest.mark.parametrize("change", [b"\xef\xbb\xbf%s", b"%s\r\n", b"%s\n...\n"], ids=["mark", "crlf", "end"])
def test_other_editors(change: bytes) -> None:
    content = change % HEAD.encode()
    assert load(content.replace(b"\n", b"\r\n") if b"\r" in change else content).name == "a"


@pytest.mark.parametrize(
    ("text", "value"),
    [("no", "no"), ("010", 10), ("0x10", 16), ("0o17", 15), ("1_000", 1000), ("-7", -7), ("1e3", 1000.0), ("~", None),
     ("2020-01-01", "2020-01-01"), ("1:30", "1:30"), ("True", True), (".inf", float("inf")), ('"1"', "1"),
     ("8/255", "8/255")],
)  # fmt: skip
def test_plain_values_are_those_of_yaml_1_2(text: str, value: Any) -> None:
    found = parse_yaml("x", f"a: {text}").data["a"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.slow
@settings(max_examples=25)
@given(
    text=st.text(st.characters(codec="utf-8"), max_size=30)
    | st.from_regex(r"[-\[\]{}&*!:,?|>'\"a1 \n]{0,30}", fullmatch=True)
)
def test_no_text_gives_anything_but_a_scenario_error(text: str) -> None:
    with pytest.raises(ScenarioError):
        load(text)


@pytest.mark.parametrize(
    ("override", "found"),
    [
        ("measure.resamples=200", lambda s: s.measure.resamples == 200),
        ("measure.sizes=[7, all]", lambda s: s.measure.sizes == [7, "all"]),
        ("attackers.1=random", lambda s: [spec.name for spec in s.specs["attackers"]] == ["predicted", "random"]),
        ("attackers.1.phenotypes=[sex]", lambda s: s.specs["attackers"][1].params == {"phenotypes": ["sex"]}),
        ("genomes=thousand-genomes", lambda s: s.specs["genomes"][0].name == "thousand-genomes"),
        ("genomes={use: paper-tables, setting: ideal}", lambda s: s.specs["genomes"][0].params["setting"] == "ideal"),
        ("seed=[1, 2]", lambda s: s.seeds == [1, 2]),
        ("split.test=1e-1", lambda s: s.settings["split"]["test"] == 0.1),
        ("genomes.setting=ideal", lambda s: s.specs["genomes"][0].params["setting"] == "ideal"),
    ],
)
def test_set_changes_a_value(override: str, found: Any) -> None:
    assert found(load(HEAD + "attackers: [predicted, {use: known}]\n", override))


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("seed", "--set: seed: expected KEY.PATH=VALUE"),
        ("=3", "expected KEY.PATH=VALUE"),
        ("measure.levl=1", "s.yaml:1:1: measure.levl: unknown key; did you mean 'level'?"),
        ("mesure.level=0.9", "mesure: unknown key; did you mean 'measure'?"),
        ("attackers.2=random", "there is no '2' there, but a list, 0 to 1"),
        ("attackers.x.use=random", "there is no 'x' there, but a list, 0 to 1"),
        ("name.x=1", "'name.x' leads into text 'a', which has no keys"),
        ("name.x.y=1", "there is no 'x' there, but text 'a'"),
        ("seed=[1", "is not valid YAML"),
        ("seed=!!python/name:os.system", "is not allowed"),
        ("name=../x", "name: string must match pattern"),
        ("name=", "name: must be a valid string, found nothing"),
    ],
)
def test_set_gone_wrong(override: str, says: str) -> None:
    found = problems(HEAD + "attackers: [predicted, {use: known}]\n", override)
    assert any(says in line for line in found), found


@cache
def validator() -> Any:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def check(text: str) -> list[str]:
    data = YAML(typ="safe", pure=True).load(text)
    return [error.message[:200] for error in validator().iter_errors(data)]


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(SCENARIOS.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_json_schema_knows_the_shipped_scenarios(path: Path) -> None:
    assert check(path.read_text()) == []


@pytest.mark.parametrize("path", sorted(SCENARIOS.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_shipped_scenarios_are_good(path: Path) -> None:
    scenario = load_scenario(path)
    assert make_plan(scenario).cells
    assert scenario.name == path.stem


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        HEAD + "atackers: predicted\n", HEAD + "attackers: [predcted]\n", HEAD + "measure: {levl: 0.9}\n",
        HEAD + "attackers: [{use: known, phenotype: [eye]}]\n", HEAD + "attackers: []\n", HEAD + "seed: x\n",
        HEAD.replace("genomes: paper-tables", "genomes: {use: paper-tables, setting: idel}"),
        HEAD.replace("genomes: paper-tables", "genomes: {use: simulated, count: 0}"),
        HEAD.replace("name: a", "name: ../a"), HEAD.replace("linkbench: 1\n", ""),
        HEAD + "measure: {sizes: [most]}\n", HEAD + "measure: {sizes: [{from: 0, step: 1}]}\n",
    ],
    ids=lambda text: text.replace(HEAD, "").strip()[:40],
)  # fmt: skip
def test_the_json_schema_refuses_what_validate_refuses(text: str) -> None:
    assert check(text)
    assert problems(text)


@pytest.mark.slow
def test_the_json_schema_knows_grids_and_names() -> None:
    assert (
        check(HEAD + "attackers: [{use: known, name: x, phenotypes: [[eye], [sex]]}, {use: known, phenotypes: [eye]}]")
        == []
    )
    assert check(HEAD + "seed: [1, 2]\nmeasure: {sizes: [10, all, {from: 1, to: all, factor: 1.5}]}\n") == []


# ------------------------------------------------------------------------------------------------------ grids that grow


def wide(*epsilons: int) -> str:
    lists = [f"[{', '.join(str(1 / (2 + step)) for step in range(count))}]" for count in epsilons]
    entries = "".join(f"  - {{use: noise, name: n{at}, epsilon: {one}}}\n" for at, one in enumerate(lists))
    return (
        "linkbench: 1\nname: wide\ncohort: {use: rendered, count: 24, size: 32}\n"
        f"genomes: {{use: simulated, count: 60}}\nmodels: [small-cnn]\ndefenders:\n{entries}"
    )


def test_a_grid_that_nobody_can_wait_for_is_refused_at_once(tmp_path: Path) -> None:
    import time

    path = tmp_path / "wide.yaml"
    path.write_text(wide(200) + f"seed: [{', '.join(map(str, range(200)))}]\n")
    begun = time.process_time()
    with pytest.raises(ScenarioError, match=r"spans 200,000 cells, at most 100,000 allowed"):
        load_scenario(path)
    assert time.process_time() - begun < 5.0
    assert len(load_scenario(path, most_cells=200_000).specs["defenders"]) == 200
    path.write_text(wide(5).replace("epsilon: [", f"epsilon: [{'0.5, ' * 10_001}"))
    with pytest.raises(ScenarioError, match="its lists span 10,006 points, at most 10,000 are allowed"):
        load_scenario(path)


def test_labels_of_many_points_take_no_time(tmp_path: Path) -> None:
    """Labels were once told apart pair by pair: 18,000 points took minutes."""
    import time

    path = tmp_path / "many.yaml"
    path.write_text(wide(*[1000] * 4))
    begun = time.process_time()
    assert len(load_scenario(path).specs["defenders"]) == 4000
    assert time.process_time() - begun < 10.0


def test_counts_have_an_end(tmp_path: Path) -> None:
    path = tmp_path / "long.yaml"
    path.write_text(wide(1).replace("use: noise", "use: joint-pgd, steps: 99999999999999"))
    with pytest.raises(ScenarioError, match="steps: must be less than or equal to 1000000"):
        load_scenario(path)
