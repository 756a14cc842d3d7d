"""Trained predictors as files: the same answers wherever they are used, and no file that harms who reads it."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Finished

import linkbench
from linkbench import InputError, WeightsError
from linkbench.api.data import Artefact, Stream
from linkbench.api.schema import PAPER
from linkbench.cohorts.rendered import Rendered
from linkbench.execution.predictor import train_predictor
from linkbench.execution.run import Run
from linkbench.genomes.simulated import Simulated
from linkbench.models import predictor_files
from linkbench.models.predictor import check_predictor
from linkbench.models.predictor import predict as judge
from linkbench.plan.make import make_plan
from linkbench.plan.training import plan_training
from linkbench.scenario.load import load_scenario, parse_scenario
from linkbench.scenario.yaml import parse_yaml
from linkbench.store import tensorfile
from linkbench.store.store import Store

pytestmark = pytest.mark.usefixtures("one_thread")

SCENARIO = """
linkbench: 1
name: tiny
cohort: {use: rendered, count: 48, size: 32}
genomes: {use: thousand-genomes}
models:
  - {name: plain, architecture: {use: small-cnn, width: 2}, recipe: {use: standard, epochs: 2}}
  - {name: grey, architecture: {use: small-cnn, width: 2}, recipe: {use: grayscale, recipe: {use: standard, epochs: 1}}}
attackers: predicted
measure: {top_k: [1], sizes: [10], resamples: 100}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with plain.safetensors, grey.safetensors and the store that they come from."""
    folder = tmp_path_factory.mktemp("predictors")
    (folder / "tiny.yaml").write_text(SCENARIO)
    scenario = load_scenario(folder / "tiny.yaml")
    for name in ("plain", "grey"):
        training = plan_training(scenario, name)
        run = Run(training.plan, Store(folder / "store"))
        artefact = train_predictor(scenario, training, run, _nobody(), title=f"a {name} one", licence="CC0-1.0")
        tensorfile.write(folder / f"{name}.safetensors", artefact)
    return folder


def _nobody() -> Any:
    import contextlib

    return contextlib.nullcontext(None)


def _linked(made: Path, models: str, **more: str) -> Run:
    """The run of the scenario with other models."""
    text = SCENARIO[: SCENARIO.index("models:")] + f"models: {models}\n" + SCENARIO[SCENARIO.index("attackers:") :]
    for old, new in more.items():
        text = text.replace(old, new)
    run = Run(make_plan(parse_scenario(parse_yaml("scenario", text))), Store(made / "store"))
    run.execute()
    return run


def _published(run: Run) -> tuple[Artefact, Artefact]:
    """The photos of a run that are linked, and what its predictor says of them."""
    steps = run.plan.cells[0].steps
    return run.artefact(steps["publish"]), run.artefact(steps["predict"])


@pytest.mark.parametrize("name", ["plain", "grey"])
def test_a_file_says_what_its_model_said(made: Path, name: str) -> None:
    file = made / f"{name}.safetensors"
    there = _linked(made, f"[{{name: it, recipe: {{use: pretrained, predictor: {file}}}}}]")
    trained = Run(make_plan(load_scenario(made / "tiny.yaml")), Store(made / "store"))
    trained.execute()
    cell = next(cell for cell in trained.plan.cells if cell.model == name)
    photos, said = _published(there)
    assert np.array_equal(said.array("probabilities"), trained.artefact(cell.steps["predict"]).array("probabilities"))
    mine = judge(linkbench.load_predictor(file), photos.array("photos"))
    assert np.array_equal(mine, said.array("probabilities"))


def test_a_predictor_is_trained_on_the_people_of_the_run_whatever_attackers_believe_of_genomes() -> None:
    for genomes in ("thousand-genomes", "{use: misspecified, slope: 0.5}"):
        scenario = parse_scenario(parse_yaml("scenario", SCENARIO.replace("{use: thousand-genomes}", genomes)))
        training, cells = plan_training(scenario, "plain"), make_plan(scenario).cells
        played = next(cell.steps for cell in cells if cell.model == "plain")
        assert (training.cohort, training.train) == (played["cohort"], played["train"])


def test_a_file_says_where_it_comes_from(made: Path) -> None:
    facts = predictor_files.facts_of(predictor_files.read(made / "plain.safetensors"))
    assert (facts.title, facts.licence, facts.size) == ("a plain one", "CC0-1.0", 32)
    assert facts.data.imaginary
    assert facts.data.people + facts.data.tested < 48
    held = predictor_files.held_out(predictor_files.read(made / "plain.safetensors"))
    assert held["probabilities"].shape == (len(held["labels"]), 11)
    shares = [share for each in facts.accuracy.values() for share in (each.plain, each.balanced)]
    assert all(share.low <= share.value <= share.high for share in shares)


def test_real_people_leave_totals_alone(made: Path, tmp_path: Path) -> None:
    from linkbench.cohorts.samples import photo_folder

    folder = photo_folder(tmp_path)
    text = f"""
linkbench: 1
name: album
cohort: {{use: folder, path: {folder}, size: 32}}
genomes: {{use: thousand-genomes}}
models: [{{name: it, recipe: {{use: pretrained, predictor: {made / "plain.safetensors"}}}}}]
split: {{test: 0.3, validation: 0.3}}
"""
    scenario = parse_scenario(parse_yaml("scenario", text))
    training = plan_training(scenario, None)
    run = Run(training.plan, Store(tmp_path / "store"))
    artefact = train_predictor(scenario, training, run, _nobody(), title="", licence="")
    assert not [name for name in artefact.arrays if name.startswith(predictor_files.HELD)]
    assert str(folder) not in json.dumps(artefact.meta)
    assert str(made) not in json.dumps(artefact.meta)


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ("[{name: a, recipe: {use: pretrained, predictor: lost.safetensors}}]", "cannot be read: No such file"),
        ("[{name: a, recipe: {use: pretrained, predictor: lost}}]", "there is no predictor 'lost'"),
        ("[{name: a, architecture: resnet, recipe: {use: pretrained, predictor: FILE}}]", "leave 'architecture' out"),
        ("[small-cnn, {name: a, start: small-cnn, recipe: {use: pretrained, predictor: FILE}}]", "leave 'start' out"),
        (
            "[{name: a, recipe: {use: jpeg, recipe: {use: pretrained, predictor: FILE}}}]",
            "a predictor cannot stand inside the recipe 'jpeg'",
        ),
    ],
)
def test_models_that_cannot_be(made: Path, models: str, said: str) -> None:
    with pytest.raises(linkbench.ScenarioError, match=said):
        _linked(made, models.replace("FILE", str(made / "plain.safetensors")))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("size: 32", "size: 48", "reads photos of 32 px, these have 48; set the cohort's size to 32"),
        ("thousand-genomes}", "thousand-genomes, schema: hirisplex}", "rendered"),
    ],
)
def test_other_photos_are_refused(made: Path, old: str, new: str, said: str) -> None:
    file = made / "plain.safetensors"
    with pytest.raises(InputError, match=said):
        _linked(made, f"[{{name: a, recipe: {{use: pretrained, predictor: {file}}}}}]", **{old: new})


def _rewritten(made: Path, tmp_path: Path, **changes: Any) -> Path:
    artefact = tensorfile.read(made / "plain.safetensors")
    tensorfile.write(tmp_path / "changed.safetensors", Artefact(artefact.arrays, {**artefact.meta, **changes}))
    return tmp_path / "changed.safetensors"


def test_code_of_its_maker_is_refused(made: Path, tmp_path: Path) -> None:
    """A file of a stranger names a module: it must not be imported."""
    module = {"name": "module", "params": {"path": "antigravity:Nothing", "arguments": {}}}
    with pytest.raises(WeightsError, match="needs code or files of its maker"):
        predictor_files.read(_rewritten(made, tmp_path, architecture=module))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"linkbench_predictor": 2}, "linkbench_predictor"),
        ({"title": "a\x1b[2J"}, "title"),
        ({"schema": [["sex", ["female"]]]}, "schema"),
        ({"architecture": {"name": "lost", "params": {}}}, "lost"),
        ({"architecture": {"name": "small-cnn", "params": {"width": -1}}}, "width"),
        ({"filters": [{"recipe": "jpeg", "params": {"quality": "high"}}]}, "quality"),
    ],
)
def test_records_that_cannot_be(made: Path, tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(WeightsError, match=said):
        predictor_files.read(_rewritten(made, tmp_path, **changes))


def test_networks_that_do_not_fit(made: Path, tmp_path: Path) -> None:
    wider = {"name": "small-cnn", "params": {"width": 3}}
    with pytest.raises(WeightsError, match="shape"):
        check_predictor(predictor_files.read(_rewritten(made, tmp_path, architecture=wider)), "it")


def test_damaged_files_are_refused_in_words(made: Path, tmp_path: Path) -> None:
    """Bytes, numbers and lengths changed anywhere: read as before, or refused; nothing else."""
    whole = (made / "grey.safetensors").read_bytes()
    header = int.from_bytes(whole[:8], "little")
    draw = random.Random(1)
    file = tmp_path / "it.safetensors"
    refused = 0
    for number in range(400):
        data = bytearray(whole)
        for _ in range(draw.randint(1, 3)):
            place = draw.randrange(8 + header) if number % 4 else draw.randrange(len(data))
            data[place] = draw.randrange(256)
        if number % 7 == 0:
            del data[draw.randrange(len(data)) :]
        file.write_bytes(data)
        try:
            check_predictor(predictor_files.read(file), "it")
        except WeightsError:
            refused += 1
    assert 100 < refused < 400


def test_a_life_on_the_command_line(made: Path, run_cli: Callable[..., Finished], home: Path) -> None:
    trained = run_cli("predictor", "train", made / "tiny.yaml", "--model", "plain", "--out", "it.safetensors",
                      "--store", made / "store", "--licence", "CC0-1.0")  # fmt: skip
    assert trained.status == 0
    assert "imaginary people" in trained.out
    assert "CC0-1.0" in trained.out
    kept = run_cli("predictor", "import", "it.safetensors", "--name", "small")
    assert kept.status == 0
    assert (home.parent / "predictors" / "small.safetensors").is_file()
    assert "small" in run_cli("predictor", "list").out
    assert run_cli("predictor", "show", "small").out.startswith("plain: ")
    assert run_cli("predictor", "export", "small", "--out", "again.safetensors").status == 0
    assert (home / "again.safetensors").read_bytes() == (home / "it.safetensors").read_bytes()
    models = "[{name: a, recipe: {use: pretrained, predictor: small}}]"
    by_name, by_path = _linked(made, models), _linked(made, models.replace("small", str(home / "it.safetensors")))
    assert _published(by_name)[1].array("probabilities").tobytes() == (
        _published(by_path)[1].array("probabilities").tobytes()
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "tiny.yaml", "--out", "it.pt"], "must end in .safetensors"),
        (["train", "tiny.yaml", "--out", "it.safetensors"], "say which with --model: plain, grey"),
        (["train", "tiny.yaml", "--model", "x", "--out", "it.safetensors"], "has no model 'x'"),
        (["train", "tiny.yaml", "--model", "grey", "--set", "seed=[1, 2]", "--out", "it.safetensors"], "2 points"),
        (["show", "nobody"], "there is no predictor 'nobody'"),
        (["import", "tiny.yaml"], "there is no predictor"),
        (["import", "lost.safetensors", "--name", "A B"], "is no name"),
        (["export", "lost.safetensors", "--out", "it.safetensors"], "cannot be read"),
    ],
)
def test_mistakes(made: Path, run_cli: Callable[..., Finished], home: Path, arguments: list[str], said: str) -> None:
    (home / "tiny.yaml").write_text((made / "tiny.yaml").read_text())
    done = run_cli("predictor", *arguments)
    assert done.status == 2
    assert said in done.err
    assert sorted(path.name for path in home.iterdir()) == ["tiny.yaml"]


def test_weights_alone_are_no_predictor(tmp_path: Path) -> None:
    tensorfile.write(tmp_path / "w.safetensors", Artefact({"a": np.zeros(3, np.float32)}, {}))
    with pytest.raises(WeightsError, match="holds weights alone"):
        linkbench.load_predictor(tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    ("name", "phenotypes"), [("rendered", ("sex", "hair", "skin")), ("colorimetry", ("hair", "skin"))]
)
def test_what_comes_with_linkbench_reads_rendered_faces(name: str, phenotypes: tuple[str, ...]) -> None:
    """Faces of another seed than those of training; nobody real is in the file, and its size stays small."""
    path = predictor_files.shipped()[name]
    assert path.stat().st_size < 3_000_000
    facts = predictor_files.facts_of(predictor_files.read(path))
    assert facts.data.imaginary
    assert facts.licence == "CC0-1.0"
    cohort = Rendered(count=300, size=facts.size).build(Simulated(count=300).build(5), 5)
    assert isinstance(cohort.photos, Stream)
    said = judge(linkbench.load_predictor(name), np.concatenate(list(cohort.photos.blocks)))
    for phenotype in phenotypes:
        column, span = PAPER.names.index(phenotype), PAPER.slices[phenotype]
        right = said[:, span].argmax(axis=1) == cohort.labels[:, column]
        each = [right[cohort.labels[:, column] == variant].mean() for variant in np.unique(cohort.labels[:, column])]
        assert np.mean(each) > 1.5 / len(PAPER[phenotype])


def test_a_list_holds_what_comes_with_linkbench(run_cli: Callable[..., Finished]) -> None:
    told = run_cli("predictor", "list").out
    assert [line.split()[:2] for line in told.splitlines()] == [["colorimetry", "shipped"], ["rendered", "shipped"]]
    assert "not trained" in run_cli("predictor", "show", "colorimetry").out


def test_a_file_can_be_read_in_a_new_process() -> None:
    """Nothing else of linkbench needs to have been imported first."""
    code = "import linkbench; print(linkbench.load_predictor('rendered').schema.width)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.stdout.strip(), done.returncode) == ("11", 0), done.stderr
