"""The command line: help that is quick, messages that help, exit statuses that scripts can rely on."""

from __future__ import annotations

import csv
import errno
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from conftest import SCENARIOS, Finished, environment

from linkbench import __version__
from linkbench.cli import COMMANDS
from linkbench.errors import ScenarioError
from linkbench.genomes.paper_tables import PaperTables
from linkbench.genomes.table import GenomeTable
from linkbench.metrics.ranking import Ranks, expected_success
from linkbench.results.table import COLUMNS

Cli = Callable[..., Finished]
PAPER = SCENARIOS / "paper-matching.yaml"
SMALL = ("--set", "measure.sizes=[10, 100]", "--set", "measure.resamples=100")
HEAD = "linkbench: 1\nname: a\ngenomes: paper-tables\ncohort: paper-tables\n"
QUICK = HEAD + "attackers: [predicted, random]\nmeasure: {top_k: [1], sizes: [10], resamples: 100}\n"


def modules_after(*commands: list[str], path: Path | None = None) -> list[set[str]]:
    """Packages imported after each of some commands in one fresh process; all must succeed."""
    code = """
import json, sys
from linkbench.cli import main
for command in json.loads(sys.argv.pop()):
    sys.argv = ["linkbench", *command]
    try:
        main()
    except SystemExit as ended:
        print("STATUS", ended.code, *{name.partition(".")[0] for name in sys.modules}, file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(commands)],
        capture_output=True, text=True, env=environment(path), timeout=120,
    )  # fmt: skip
    ended = [line.split() for line in done.stderr.splitlines() if line.startswith("STATUS")]
    assert [words[1] for words in ended] == ["0"] * len(commands), done.stderr
    return [set(words[2:]) for words in ended]


def files(folder: Path = Path()) -> set[str]:
    """Every file below a folder, hidden ones too."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


HEAVY = {"torch", "numpy", "pydantic", "pluggy", "rich", "ruamel", "jinja2", "scipy"}


def test_help_imports_nothing_heavy_and_no_plugin(home: Path, fake_plugin: Any) -> None:
    site = fake_plugin("pkg", {"__init__.py": "raise SystemError('help must not load plugins')"})
    for modules in modules_after(["--help"], ["--version"], path=site):
        assert "click" in modules
        assert not modules & (HEAVY | {"pkg"})


@pytest.mark.slow
@pytest.mark.usefixtures("home")
def test_looking_and_a_cached_run_import_no_torch(finished: tuple[Path, str]) -> None:
    run = ["run", str(PAPER), *SMALL, "--store", str(finished[0] / "store"), "--out", "again"]
    looking = modules_after(
        ["validate", str(PAPER)], [*run, "--dry-run"], ["report", str(finished[0] / "out")], run, ["plugins", "--json"]
    )
    assert not looking[-2] & {"torch", "scipy", "jsonschema"}
    assert not looking[-1] & {"torch", "scipy"}


def test_help_of_everything(run_cli: Cli) -> None:
    done = run_cli("--help")
    assert done.status == 0
    for name, (_, line) in COMMANDS.items():
        assert name in done.out
        assert line in " ".join(done.out.split())
        help_of = run_cli(name, "--help")
        assert help_of.status == 0
        assert f"linkbench {name}" in help_of.out
        assert run_cli(name, "-h").out == help_of.out
    assert run_cli("--version").out == f"linkbench, version {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["rn"], "Did you mean 'run'?"),
        (["genome", "export"], "Did you mean 'genomes'?"),
        (["xyzzy"], "No such command 'xyzzy'"),
        (["run"], "Missing argument 'SCENARIO'"),
        (["run", PAPER, "--sett", "x"], "No such option"),
        (["run", PAPER, "--device", "tpu"], "'tpu' is no device; use cpu, cuda or cuda:0"),
        (["run", PAPER, "--device", "cpu:1"], "is no device"),
        (["run", PAPER, "--set", "measure.levl=1"], "measure.levl: unknown key; did you mean 'level'?"),
        (["run", "nowhere.yaml"], "nowhere.yaml: cannot be read: No such file"),
        (["validate", "nowhere.yaml"], "nowhere.yaml: cannot be read: No such file"),
        (["run", SCENARIOS / "quickstrat.yaml"], f"did you mean {SCENARIOS / 'quickstart.yaml'}?"),
        (["run", PAPER, "--out", "file"], "file"),
        (["run", PAPER, "--out", "file/below"], "results cannot be written to file/below: "),
        (["run", PAPER, "--store", "file/below"], "the store file/below cannot be written"),
        (["report", "nowhere"], "nowhere holds no finished run"),
        (["why", "abc"], "results holds no finished run. Run a scenario first"),
        (["plugins", "--kind", "x"], "there is no kind 'x'; kinds are genomes"),
        (["genomes", "export", "paper-tabels", "--out", "x.csv"], "did you mean 'paper-tables'?"),
        (["genomes", "export", "paper-tables", "--set", "setting=idel", "--out", "x.csv"], "must be 'rea"),
        (["genomes", "export", "paper-tables", "--set", "setting", "--out", "x.csv"], "expected KEY=VALUE"),
        (["genomes", "export", "simulated", "--set", "count=[1, 2]", "--out", "x.csv"], "which spans a grid"),
        (["genomes", "export", "table", "--set", "path=nowhere.csv", "--out", "x.csv"], "nowhere.csv: there is no"),
        (["genomes", "export", "paper-tables", "--out", "file/x.csv"], "file is no writable folder"),
    ],
    ids=lambda value: " ".join(str(part) for part in value if part != PAPER) if isinstance(value, list) else "",
)  # fmt: skip
def test_wrong_calls(run_cli: Cli, arguments: list[Any], says: str) -> None:
    Path("file").write_text("")
    done = run_cli(*arguments)
    assert done.status == 2
    assert says in done.err, done.err
    assert files() == {"file"}


def genomes_csv(*changes: tuple[int, int, str], drop: int | None = None) -> str:
    """The paper's table as CSV with some cells changed (row 0 is the header), or a column dropped."""
    table = PaperTables().build(0)
    rows = [["id", *table.schema.columns]]
    rows += [
        [name.decode(), *map(repr, row)] for name, row in zip(table.ids, np.exp(table.log_p).tolist(), strict=True)
    ]
    for row, column, text in changes:
        rows[row][column] = text
    return "\n".join(",".join(cell for at, cell in enumerate(row) if at != drop) for row in rows) + "\n"


TABLE = HEAD.replace("genomes: paper-tables", "genomes: {use: table, path: g.csv}")
BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{key}: &{key} [{','.join([f'*{chr(ord(key) - 1)}'] * 10)}]\n" for key in "bcdefgh"
)
COHORT = """
import numpy as np
from dataclasses import replace
from linkbench.cohorts.paper_tables import PaperTablesCohort

class Odd(PaperTablesCohort):
    def build(self, genomes, seed):
        cohort = super().build(genomes, seed)
        return replace(cohort, truth=np.where(np.arange(456) == 7, 456, cohort.truth))
"""
EPS = """
from linkbench.api.fields import Epsilon
from linkbench.api.base import Defender

class Eps(Defender):
    epsilon: Epsilon = 0.01
"""
BAD: dict[str, tuple[str, str | None, str]] = {
    "unknown key": (QUICK + "atackers: x\n", None, "s.yaml:7:1: atackers: unknown key; did you mean 'attackers'?"),
    "duplicate key": (QUICK + "name: b\n", None, "s.yaml:7:1: name: stands there twice; the first is in line 2"),
    "wrong type": (QUICK + "seed: x\n", None, "s.yaml:7:1: seed: must be a valid integer, found text 'x'"),
    "epsilon": (QUICK + "defenders: [{use: eps, epsilon: 3}]\n", None, "s.yaml:7:24: defenders[0].epsilon: must be"),
    "missing file": (TABLE, None, "s.yaml:3:1: genomes: g.csv: there is no such file"),
    "missing column": (TABLE, genomes_csv(drop=3), "cohort 'paper-tables': the photos are labelled with"),
    "no id": (TABLE, genomes_csv(drop=0), "column 'id' is missing"),
    "nan": (TABLE, genomes_csv((5, 2, "nan")), "g.csv:6:3: column 'sex:male': found 'nan'"),
    "empty cell": (TABLE, genomes_csv((5, 2, "")), "g.csv:6:3: column 'sex:male': found ''"),
    "negative": (TABLE, genomes_csv((5, 2, "-0.1")), "g.csv:6:3: column 'sex:male': found '-0.1'"),
    "zero": (TABLE, genomes_csv((5, 2, "0")), "floor zeros at a small value"),
    "above one": (TABLE, genomes_csv((5, 2, "1.5")), "g.csv:6:3: column 'sex:male': found '1.5'"),
    "same id": (TABLE, genomes_csv((5, 0, "1")), "g.csv:6:1: column 'id': id '1' stands in line 2 already"),
    "binary": (TABLE, "\0\1\2", "g.csv"),
    "truth": (QUICK.replace("cohort: paper-tables", "cohort: odd"), None, "points to genome number 456, but there are"),
    "name of path": (QUICK.replace("name: a", "name: ../a"), None, "s.yaml:2:1: name: string must match pattern"),
    "name of html": (QUICK.replace("name: a", "name: <b>a</b>"), None, "s.yaml:2:1: name: string must match pattern"),
    "alias bomb": (BOMB, None, "unfolds to more than 20000 values"),
    "broken plugin": (QUICK.replace("random", "lame"), None, "attacker 'lame' of linkbench-pkg 1.2 cannot be imported"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("command", ["run", "validate"])
@pytest.mark.parametrize(("scenario", "table", "says"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_told_and_leaves_nothing(
    run_cli: Cli, fake_plugin: Any, tmp_path: Path, command: str, scenario: str, table: str | None, says: str
) -> None:
    register = """
from linkbench.api.hookspecs import hookimpl

@hookimpl
def register_cohorts(register):
    register("odd", "pkg.odd:Odd", summary="x", api=1)

@hookimpl
def register_defenders(register):
    register("eps", "pkg.eps:Eps", summary="x", api=1)

@hookimpl
def register_attackers(register):
    register("lame", "pkg.lame:Lame", summary="x", api=1)
"""
    fake_plugin("pkg", {"__init__.py": register, "odd.py": COHORT, "eps.py": EPS, "lame.py": "1/0"})
    Path("s.yaml").write_text(scenario)
    if table is not None:
        Path("g.csv").write_text(table)
    given = files()
    done = run_cli(command, "s.yaml")
    if command == "validate" and done.status == 0:  # seen only when the data are read
        assert table is not None or "odd" in scenario
        return
    assert done.status == 2
    assert says in done.err, done.err
    assert "Traceback" not in done.err
    assert files() == given
    assert not Path("results").exists()
    objects = [] if not (tmp_path / "store").exists() else list((tmp_path / "store").glob("objects/*/*"))
    assert len(objects) <= 1  # good genomes of a bad cohort may stay
    assert not list((tmp_path / "store").glob("tmp/*"))


def test_debug_shows_the_traceback(run_cli: Cli) -> None:
    Path("s.yaml").write_text("")
    with pytest.raises(ScenarioError):
        run_cli("--debug", "run", "s.yaml")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with the results of a run in `out` and its `store`, and what the run printed."""
    folder = tmp_path_factory.mktemp("paper")
    command = ["run", str(PAPER), *SMALL, "--store", "store", "--out", "out"]
    done = subprocess.run([sys.executable, "-m", "linkbench", *command], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


@pytest.mark.slow
def test_a_run_writes_what_it_says(finished: tuple[Path, str], run_cli: Cli) -> None:
    folder, printed = finished[0] / "out", finished[1]
    with (folder / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    run = json.loads((folder / "run.json").read_text())
    cells = {cell["id"] for cell in run["cells"]}
    assert {row["cell"] for row in rows} == cells
    assert len(cells) == 10
    assert files(folder) == {"results.csv", "run.json", "report.html", *(f"ranks/{cell}.safetensors" for cell in cells)}
    assert run["scenario"]["measure"]["sizes"] == [10, 100]
    assert run["device"] == "cpu"
    assert run["versions"]["linkbench"] == __version__
    place = ("predicted", "paper-tables(setting=realistic)", "success", "1", "10")
    names = ("attacker", "genomes", "metric", "k", "n")
    [value] = [row["value"] for row in rows if tuple(row[name] for name in names) == place]
    assert round(float(value), 4) == 0.2397
    assert f"table:  {Path('out/results.csv')}\nreport: {Path('out/report.html')}\n" in printed
    assert "26 stages, " in printed
    assert run_cli("report", folder).status == 0
    page = (folder / "report.html").read_bytes()
    assert run_cli("report", folder, "--rebuild").status == 0
    assert (folder / "report.html").read_bytes() == page


def test_every_success_can_be_recomputed_from_the_stored_ranks(finished: tuple[Path, str]) -> None:
    folder = finished[0] / "out"
    with (folder / "results.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["metric"] == "success"]
    assert len(rows) == 10 * 3 * 2
    for row in rows:
        ranks = safetensors.numpy.load_file(folder / "ranks" / f"{row['cell']}.safetensors")
        exact = expected_success(Ranks(ranks["better"], ranks["tied"]), 456, int(row["k"]), np.array([int(row["n"])]))
        assert float(row["value"]) == pytest.approx(exact.mean(), abs=1e-15)


def test_a_cached_run_computes_nothing_and_writes_the_same(finished: tuple[Path, str], run_cli: Cli) -> None:
    arguments = ("run", PAPER, *SMALL, "--store", finished[0] / "store", "--out", "again")
    assert "26 stages, 26 cached; 10 cells:" in run_cli(*arguments, "--dry-run").out
    assert "26 stages, 0 computed, 26 from the store." in run_cli(*arguments).out
    first, again = finished[0] / "out", Path("again")
    assert files(first) == files(again)
    for name in files(again) - {"run.json"}:
        assert (first / name).read_bytes() == (again / name).read_bytes()


def test_a_dry_run_computes_and_writes_nothing(run_cli: Cli, tmp_path: Path) -> None:
    done = run_cli("run", PAPER, *SMALL, "--dry-run")
    assert done.status == 0
    assert "26 stages, 0 cached; 10 cells:" in done.out
    assert done.out.count("to compute after its inputs") == 24
    assert files() == set()
    assert not list((tmp_path / "store").glob("*/*/*"))


def cell_of(attacker: str) -> str:
    run = json.loads(Path("results/a/run.json").read_text())
    return str(next(cell["id"] for cell in run["cells"] if cell["attacker"] == attacker))


def test_a_missing_package_is_named_with_its_extra(run_cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("x.pth").write_bytes(b"")
    monkeypatch.delitem(sys.modules, "linkbench.models.weights", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    done = run_cli("weights", "import", "x.pth", "--architecture", "vggface16", "--out", "y.safetensors")
    assert done.status == 2
    assert "needs the package 'torch'" in done.err
    assert "pip install 'linkbench[photos]'" in done.err


def test_a_full_disk_is_a_message(run_cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("linkbench.results.carry_out.write", full)
    done = run_cli("run", PAPER, *SMALL, "--out", "there")
    assert done.status == 2
    assert "there cannot be written: No space left on device. Finished stages are kept" in done.err


def test_photos_without_torch_are_refused_before_any_work(run_cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "torch" else found(name, *rest)
    )
    done = run_cli("run", SCENARIOS / "quickstart.yaml")
    assert done.status == 2
    assert "pip install 'linkbench[photos]'" in done.err
    assert not files()
    assert run_cli("run", SCENARIOS / "quickstart.yaml", "--dry-run").status == 0


def test_why_names_the_field_that_changed(run_cli: Cli) -> None:
    Path("s.yaml").write_text(QUICK + "split: {test: 0.4}\n")
    assert run_cli("run", "s.yaml").status == 0
    cell = cell_of("predicted")
    first = run_cli("why", cell[:6]).out
    places = [first.index(f"  {stage}") for stage in ("genomes", "cohort", "predict", "rank", "measure")]
    assert places == sorted(places), "in the order of the work"
    assert f"cell {cell} of results/a: cohort=paper-tables, genomes=paper-tables" in first
    assert first.count("no earlier run in this folder") == 5
    assert run_cli("run", "s.yaml", "--set", "measure.level=0.9").status == 0
    why = run_cli("why", cell, "--results", "results/a").out
    assert "changed since the run before: settings.level: 0.95 -> 0.9" in why
    assert why.count("changed since the run before") == 1
    assert why.count("taken from the store") == 4
    assert run_cli("why", "zzz").status == 2
    assert "is not unique" in run_cli("why", "").err


def test_why_after_other_genomes_names_the_parameter_and_the_inputs(run_cli: Cli) -> None:
    Path("s.yaml").write_text(QUICK.replace("genomes: paper-tables", "genomes: {use: paper-tables, name: tables}"))
    assert run_cli("run", "s.yaml").status == 0
    assert run_cli("run", "s.yaml", "--set", "genomes.setting=ideal").status == 0
    why = run_cli("why", cell_of("predicted")).out
    assert "plugins.genomes.params.setting: realistic -> ideal" in why
    assert "inputs.genomes: " in why


def test_a_failing_cell_does_not_end_the_run(run_cli: Cli, fake_plugin: Any) -> None:
    register = """
from linkbench.api.hookspecs import hookimpl

@hookimpl
def register_attackers(register):
    register("lame", "pkg.lame:Lame", summary="x", api=1)
"""
    plugin = """
from linkbench.api.base import Attacker

class Lame(Attacker):
    def score(self, evidence, genomes, learned):
        raise RuntimeError("cannot [score] <this>")
"""
    fake_plugin("pkg", {"__init__.py": register, "lame.py": plugin})
    Path("s.yaml").write_text(QUICK.replace("[predicted, ", "[lame, predicted, "))
    done = run_cli("run", "s.yaml")
    assert done.status == 1
    assert "rank lame FAILED: RuntimeError: cannot [score] <this>" in done.err
    run = json.loads(Path("results/a/run.json").read_text())
    failed = {cell["attacker"]: cell["failed"] for cell in run["cells"]}
    assert failed == {
        "lame": {"stage": "rank lame", "reason": "RuntimeError: cannot [score] <this>"},
        "predicted": None,
        "random": None,
    }
    assert "<this>" not in Path("results/a/report.html").read_text()
    assert "failed in rank lame: RuntimeError" in run_cli("why", cell_of("lame")).out
    assert run_cli("report", "results/a").status == 0


def test_one_bad_table_of_two_fails_its_own_cells(run_cli: Cli) -> None:
    Path("g.csv").write_text(genomes_csv((5, 2, "0")))
    grid = "genomes: [paper-tables, {use: table, path: g.csv}]"
    Path("s.yaml").write_text(QUICK.replace("genomes: paper-tables", grid))
    done = run_cli("run", "s.yaml")
    assert done.status == 1
    assert "genomes table FAILED: g.csv:6:3: column 'sex:male': found '0'" in done.err
    with Path("results/a/results.csv").open(newline="") as file:
        assert {row["genomes"] for row in csv.DictReader(file)} == {"paper-tables"}


def test_names_from_files_are_never_markup(run_cli: Cli) -> None:
    Path("s.yaml").write_text(QUICK.replace("random]", "{use: random, name: '<script>alert(1)</script>[red]'}]"))
    done = run_cli("run", "s.yaml")
    assert done.status == 0
    assert "<script>alert(1)" not in Path("results/a/report.html").read_text()
    assert run_cli("report", "results/a").status == 0


def test_an_edited_table_of_the_user_is_read_again(run_cli: Cli) -> None:
    Path("s.yaml").write_text(TABLE + QUICK.removeprefix(HEAD))
    Path("g.csv").write_text(genomes_csv())
    assert run_cli("run", "s.yaml").status == 0
    first = Path("results/a/results.csv").read_text()
    Path("g.csv").write_text(genomes_csv((5, 2, "0.123")))
    assert run_cli("run", "s.yaml").status == 0
    assert Path("results/a/results.csv").read_text() != first
    assert "plugins.genomes.files.g.csv: " in run_cli("why", cell_of("predicted")).out


@pytest.mark.slow
@pytest.mark.parametrize("harm", ["edited", "cut", "lost", "a rank lost", "page lost"])
def test_a_harmed_results_folder_is_written_again(run_cli: Cli, harm: str) -> None:
    Path("s.yaml").write_text(QUICK)
    assert run_cli("run", "s.yaml").status == 0
    folder = Path("results/a")
    before = {name: (folder / name).read_bytes() for name in files(folder) if name != "run.json"}
    table = folder / "results.csv"
    first = next((folder / "ranks").iterdir())
    {
        "edited": lambda: table.write_text(table.read_text().replace("predicted", "predictor", 1)),
        "cut": lambda: table.write_bytes(table.read_bytes()[:-3]),
        "lost": table.unlink,
        "a rank lost": first.unlink,
        "page lost": (folder / "report.html").unlink,
    }[harm]()
    assert run_cli("run", "s.yaml").status == 0
    assert {name: (folder / name).read_bytes() for name in files(folder) if name != "run.json"} == before


@pytest.mark.parametrize(
    ("name", "settings", "count"),
    [
        ("paper-tables", ["setting=ideal"], 456),
        ("thousand-genomes", ["population=EUR"], 503),
        ("simulated", ["count=20"], 20),
    ],
)
def test_exported_genomes_are_the_genomes(run_cli: Cli, name: str, settings: list[str], count: int) -> None:
    flags = [part for text in settings for part in ("--set", text)]
    done = run_cli("genomes", "export", name, *flags, "--out", "below/g.csv", "--seed", "3")
    assert done.status == 0
    assert done.out == f"{count} genomes: below/g.csv\n"
    found = GenomeTable(path=Path("below/g.csv")).build(0)
    assert len(found) == count
    again = run_cli("genomes", "export", "table", "--set", "path=below/g.csv", "--out", "h.csv")
    assert again.status == 0
    np.testing.assert_allclose(GenomeTable(path=Path("h.csv")).build(0).log_p, found.log_p, rtol=1e-14, atol=1e-14)
    if name == "paper-tables":
        own = PaperTables(setting="ideal").build(0)
        assert found.ids.tolist() == own.ids.tolist()
        np.testing.assert_allclose(found.log_p, own.log_p, rtol=1e-12, atol=1e-15)


def test_schema_and_validate(run_cli: Cli) -> None:
    done = run_cli("schema")
    assert json.loads(done.out)["title"] == "linkbench scenario"
    assert run_cli("validate", PAPER).out == f"{PAPER}: good. 10 cells, 26 stages.\n"
