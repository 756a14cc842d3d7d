"""Keys tell the truth: whatever decides a stage's result is in its key, and nothing else is."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grimp
import pytest
from conftest import Finished
from test_plugins import GOOD, hook

from linkbench.api.cores import cores
from linkbench.attackers.predicted import Predicted
from linkbench.cohorts.folder import Folder
from linkbench.cohorts.samples import photo_folder
from linkbench.execution.run import Run
from linkbench.plan.make import make_plan
from linkbench.registry import code_digest as code
from linkbench.registry import contents, inputs
from linkbench.registry.registry import registry
from linkbench.registry.spec import parse_spec
from linkbench.scenario.load import load_scenario
from linkbench.store.store import Store

STAGES = sorted(path.stem for path in (Path(code.__file__).parent.parent / "stages").glob("[a-z]*.py"))


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    code.forget()
    yield
    code.forget()


@pytest.fixture(scope="module")
def graph() -> Any:
    """Who imports whom, found by another program."""
    return grimp.build_graph("linkbench", exclude_type_checking_imports=True, cache_dir=None)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stages_code_is_all_that_it_can_reach(graph: Any, stage: str) -> None:
    module = f"linkbench.stages.{stage}"
    reached: set[str] = set()
    waiting = {module}
    while waiting:  # a module runs its packages first, and what those import
        reached |= waiting
        found = {other for one in waiting for other in (*graph.find_upstream_modules(one), one.rpartition(".")[0])}
        waiting = found - reached - {"linkbench", ""}
    assert {name for name in code.code_of(module).modules if not name.endswith(" data")} == reached - {"linkbench"}


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_an_edit_is_seen_by_the_stages_that_reach_it_and_by_no_other(
    graph: Any, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = f"linkbench.stages.{stage}"
    before, real = code.code_of(module), code.facts
    for edited in sorted(graph.modules):
        source = code.find(edited)
        assert source is not None
        changed = real(source)._replace(digest="another")
        monkeypatch.setattr(code, "facts", lambda one, s=source, c=changed: c if one == s else real(one))
        code.code_of.cache_clear()
        assert (code.code_of(module).digest != before.digest) == (edited in before.modules), edited


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("x = 1", True), ("x = 1  # why", True), ('"""Of what."""\n\nx = (\n    1\n)', True),
        ('x = 1\n"""What it is."""', True), ("x = 2", False), ("x = 1\nimport json", False), ("x = '1'", False),
    ],
)  # fmt: skip
def test_what_counts_is_what_is_compiled(text: str, same: bool) -> None:
    assert (code.read(text.encode(), "p").digest == code.read(b"x = 1", "p").digest) is same


def test_docstrings_inside_do_not_count() -> None:
    plain = "class A:\n    x = 1\n    def f(self):\n        return 1\n    def g(self): ...\n"
    told = 'class A:\n    """A."""\n    x = 1\n    """x"""\n    def f(self):\n        """F."""\n        return 1\n'
    told += "    def g(self): ...\n"
    assert code.read(plain.encode(), "p") == code.read(told.encode(), "p")


def test_a_plugin_that_uses_the_face_has_its_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    for number, text in enumerate(("from linkbench import Defender\n", "import linkbench as lb\nlb.Defender\n")):
        (tmp_path / f"faced{number}.py").write_text(text)
        assert {"linkbench.api.base", "linkbench.api.fields"} <= code.code_of(f"faced{number}").modules


def test_what_is_found_in_a_text_depends_on_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is remembered by the text alone; where the names of a package live may change without it."""
    text = b"import linkbench as lb, linkbench.metrics\nfrom linkbench import Defender, report\n"
    before = code.read(text, "p")
    monkeypatch.setattr(code.public, "homes", lambda package: {})
    assert code.read(text, "p") == before


def test_data_of_the_package_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "tabled").mkdir()
    (tmp_path / "tabled" / "__init__.py").write_text("from importlib.resources import files\n")
    (tmp_path / "tabled" / "table.csv").write_text("1")
    before = code.code_digest("tabled")
    (tmp_path / "tabled" / "table.csv").write_text("2")
    code.forget()
    assert code.code_digest("tabled") != before
    assert "linkbench.genomes.shipped data" in code.code_of("linkbench.genomes.thousand_genomes").modules


@pytest.mark.parametrize(
    "text", ["import importlib.resources", "from importlib import resources", "import pkgutil", "x = open(__file__)"]
)
def test_every_way_to_read_data_of_a_package_is_seen(text: str) -> None:
    assert code.DATA & set(code.read(text.encode(), "p").imports)


def test_what_was_found_is_remembered_by_the_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINKBENCH_STORE", str(tmp_path / "store"))
    monkeypatch.syspath_prepend(str(tmp_path))
    file = tmp_path / "remembered.py"
    file.write_text("x = 1\n")
    before = code.code_digest("remembered")
    then = file.stat().st_mtime_ns
    code.forget()
    with monkeypatch.context() as patch:
        patch.setattr(code, "read", lambda *_: pytest.fail("it was parsed again"))
        assert code.code_digest("remembered") == before
    file.write_text("x = 2\n")
    os.utime(file, ns=(then, then))  # as an image of a container may have it: another text of the same time and size
    code.forget()
    assert code.code_digest("remembered") != before
    kept = next((tmp_path / "store").glob("modules-*.json"))
    for spoiled in ("[", "[]", '{"a": 1}', "null"):
        kept.write_text(spoiled)
        code.forget()
        assert code.code_digest("remembered") != before


def test_the_memory_of_texts_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINKBENCH_STORE", str(tmp_path / "store"))
    monkeypatch.setattr(code._Memory, "MANY", 3)
    monkeypatch.setattr(code, "_MEMORY", code._Memory())
    monkeypatch.syspath_prepend(str(tmp_path))
    for number in range(3):
        (tmp_path / "changing.py").write_text(f"x = {number}\n")
        code.forget()
        code.code_digest("changing")
    kept = json.loads(next((tmp_path / "store").glob("modules-*.json")).read_text())
    assert len(kept) <= 3


# ------------------------------------------------------------------------------------------------ the user's files


def test_a_copy_of_a_folder_is_the_same_input(tmp_path: Path) -> None:
    folder = photo_folder(tmp_path / "one" if (tmp_path / "one").mkdir() is None else tmp_path)
    copy = tmp_path / "mount" / "another name"
    shutil.copytree(folder, copy)
    one, other = (parse_spec("cohort", {"use": "folder", "path": str(path)}, ())[0][0] for path in (folder, copy))
    assert one.identity() == other.identity()
    assert str(tmp_path) not in str(one.identity())
    photo = next(copy.glob("*.png"))
    os.utime(photo)
    assert one.identity() == other.identity(), "a new time is no new content"
    photo.write_bytes(photo.read_bytes()[:-1])
    assert one.identity() != other.identity()


def test_renamed_and_missing_files_are_other_inputs(tmp_path: Path) -> None:
    folder = photo_folder(tmp_path)
    before = inputs.digests(Folder(path=folder))
    (folder / "0.png").rename(folder / "zero.png")
    assert inputs.digests(Folder(path=folder)) != before
    (folder / "zero.png").rename(folder / "0.png")
    assert inputs.digests(Folder(path=folder)) == before


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that counts as large, of yesterday."""
    monkeypatch.setenv("LINKBENCH_STORE", str(tmp_path / "store"))
    monkeypatch.setattr(contents, "LARGE", 1)
    monkeypatch.setattr(contents, "FRESH", -1.0)
    (tmp_path / "photos").mkdir()
    return photo_folder(tmp_path / "photos")


def test_a_large_folder_is_read_once(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = inputs.digest(large)
    monkeypatch.setattr(contents, "_read", lambda path: pytest.fail("it was read again"))
    assert inputs.digest(large) == before


def test_folders_alike_in_names_sizes_and_times_are_told_apart(large: Path) -> None:
    other = shutil.copytree(large, large.parent / "others")
    photo = other / "0.png"
    content = bytearray(photo.read_bytes())
    content[-1] ^= 1
    photo.write_bytes(content)
    for path in (*large.iterdir(), *other.iterdir()):
        os.utime(path, (0, 0))  # as archives leave them
    assert inputs.digest(large) != inputs.digest(other)


def test_what_has_just_been_written_is_not_remembered(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "FRESH", 1e6)
    inputs.digest(large)
    assert list((large.parent / "store").glob("folders/*")) == []


def test_odd_names_and_links_back_are_no_obstacle(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    (folder / os.fsdecode(b"caf\xe9.txt")).write_text("x")
    before = inputs.digest(folder)
    for name in ("up", "here"):
        (folder / "deep" / name).symlink_to(folder)
    assert inputs.digest(folder) == before
    (tmp_path / "elsewhere.txt").write_text("y")
    (folder / "linked.txt").symlink_to(tmp_path / "elsewhere.txt")
    linked = inputs.digest(folder)
    (tmp_path / "elsewhere.txt").write_text("z")
    assert len({before, linked, inputs.digest(folder)}) == 3


# -------------------------------------------------------------------------------------- libraries, threads, versions

SCENARIO = """
linkbench: 1
name: keys
cohort: {use: rendered, count: 24, size: 32}
genomes: {use: simulated, count: 60}
models: [{name: s, architecture: {use: small-cnn, width: 2}, recipe: {use: standard, epochs: 1}}]
defenders: [none, {use: noise, epsilon: 0.02}]
attackers: [predicted, random]
measure: {top_k: [1], sizes: [10], resamples: 100}
"""


SAMPLED = """
linkbench: 1
name: keys
cohort: {use: sampled, count: 30}
genomes: {use: simulated, count: 60}
attackers: [ATTACKER]
measure: {top_k: [1], sizes: [10], resamples: 100}
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of photos that has been carried out."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "keys.yaml").write_text(SCENARIO)
    run = Run(make_plan(load_scenario(folder / "keys.yaml")), Store(folder / "s"))
    run.execute()
    return run


def key_of(run: Run, stage: str) -> dict[str, Any]:
    found = run.key(next(step for step in run.plan.steps.values() if step.stage == stage))
    assert found is not None
    return found


def test_keys_name_libraries_where_they_decide(finished: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    train, genomes = key_of(finished, "train"), key_of(finished, "genomes")
    assert set(train["libraries"]) >= {"numpy", "torch"}
    assert set(genomes["libraries"]) == {"numpy"}
    monkeypatch.setenv("OMP_NUM_THREADS", str(cores() + 1))
    assert key_of(finished, "train") == train, "another machine may have another number of cores"
    real = code.importlib.metadata.version
    monkeypatch.setattr(code.importlib.metadata, "version", lambda name: "0.0" if name == "torch" else real(name))
    code.version_of.cache_clear()
    other = key_of(finished, "train")
    assert other["libraries"] == {**train["libraries"], "torch": "0.0"}
    assert key_of(finished, "genomes") == genomes, "no torch decides it"


def test_two_classes_of_a_module_are_two_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """A registration that is pointed at another class, with the same parameters, is another plugin."""
    spec = parse_spec("attacker", "predicted", ())[0][0]
    before, found = spec.identity(), registry().find("attacker", "predicted")
    monkeypatch.setitem(registry().plugins["attacker"], "predicted", found._replace(target=found.target + "Other"))
    monkeypatch.setattr(type(registry()), "load", lambda self, kind, name: Predicted)
    assert spec.identity() != before


@pytest.mark.parametrize("stage", ["train", "protect", "predict", "rank", "measure"])
def test_the_key_of_a_step_changes_with_what_it_reaches_and_nothing_else(
    graph: Any, finished: Run, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole key, with its plugins: the closure of all their modules, found by another program."""
    step = next(step for step in finished.plan.steps.values() if step.stage == stage)
    before = finished.key(step)
    roots = {step.run.partition(":")[0], *(registry().find(s.kind, s.name).module for s in step.specs.values())}
    reached = {*roots, *(other for root in roots for other in graph.find_upstream_modules(root))} - {"linkbench"}
    reached |= {name.rpartition(".")[0] for name in reached} - {"linkbench"}
    real = code.facts
    for edited in random.Random(0).sample(sorted(graph.modules - {"linkbench"}), 60):
        source = code.find(edited)
        assert source is not None
        changed = real(source)._replace(digest="another")
        monkeypatch.setattr(code, "facts", lambda one, s=source, c=changed: c if one == s else real(one))
        code.code_of.cache_clear()
        assert (finished.key(step) != before) == (edited in reached), edited


def test_what_was_edited_while_it_ran_is_not_remembered(
    home: Path, run_cli: Callable[..., Finished], monkeypatch: pytest.MonkeyPatch, fake_plugin: Any
) -> None:
    """The key was taken from the text before; which text was imported later, nobody knows."""
    plugin = "import numpy as np\n" + GOOD
    plugin += "    def score(self, evidence, genomes, learned):\n        import pkg.late\n"
    plugin += "        return np.zeros((len(evidence), len(genomes)))\n"
    site = fake_plugin("pkg", {"__init__.py": hook(), "plugin.py": plugin, "late.py": "x = 1\n"})
    late = site / "pkg" / "late.py"
    text = SAMPLED.replace("ATTACKER", "good")
    Path("keys.yaml").write_text(text)
    real = Store.write

    def edit(self: Store, key: dict[str, Any], *rest: Any) -> Any:
        if key["stage"] == "rank":
            late.write_text("x = 22\n")
        return real(self, key, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "write", edit)
        done = run_cli("run", "keys.yaml", "--store", "s")
    assert done.status == 0, done.err
    assert "edited while it ran" in done.err
    code.forget()
    assert " 1 computed" in run_cli("run", "keys.yaml", "--store", "s").out
    late.write_text("x = 22  # why\n")
    code.forget()
    assert " 0 computed" in run_cli("run", "keys.yaml", "--store", "s").out


def test_a_version_number_is_no_code(graph: Any) -> None:
    for stage in STAGES:
        assert "linkbench.version" not in code.code_of(f"linkbench.stages.{stage}").modules


@pytest.mark.parametrize(("asked", "expected"), [("3", 3), ("", None), ("zero", None), ("0", None)])
def test_cores_are_those_that_are_asked_for(monkeypatch: pytest.MonkeyPatch, asked: str, expected: int | None) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert cores() == (expected or len(os.sched_getaffinity(0)))


@pytest.mark.slow
def test_an_edit_that_matters_is_computed_anew_and_no_other(
    home: Path, run_cli: Callable[..., Finished], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Figures of an old store after an edit: the measured sizes live in a module that was once left out of keys."""
    Path("keys.yaml").write_text(SCENARIO)
    assert run_cli("run", "keys.yaml", "--store", "s").status == 0
    assert " 0 computed" in run_cli("run", "keys.yaml", "--store", "s").out
    real = code.facts

    def edit(module: str) -> None:
        source = code.find(module)
        assert source is not None
        monkeypatch.setattr(
            code, "facts", lambda one: real(one)._replace(digest="edited") if one == source else real(one)
        )
        code.code_of.cache_clear()

    edit("linkbench.report.tables")
    assert " 0 computed" in run_cli("run", "keys.yaml", "--store", "s").out
    edit("linkbench.models.training")
    said = run_cli("run", "keys.yaml", "--store", "s").out
    assert " 0 computed" not in said
    edit("linkbench.metrics.settings")
    said = run_cli("run", "keys.yaml", "--store", "s").out
    assert " 0 computed" not in said
