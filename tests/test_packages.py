"""Packages of others are never imported by linkbench: what their import or their validators do stays with them."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Finished
from hostile import rows, write_table

from linkbench.api import base as kinds
from linkbench.api.kinds import KINDS
from linkbench.boundary import sandbox
from linkbench.boundary.messages import Parcel
from linkbench.boundary.process import Process
from linkbench.errors import InputError, PluginError
from linkbench.metrics import image_quality
from linkbench.registry import description, packages
from linkbench.registry import registry as registries
from linkbench.registry.registry import Registry, registry
from linkbench.registry.spec import parse_spec
from linkbench.stages.build import built_genomes

pytestmark = pytest.mark.skipif(bool(sandbox.missing()), reason=f"this system lacks {', '.join(sandbox.missing())}")

SILENT = {
    "patches": """
import linkbench.metrics.image_quality, linkbench.registry.registry
linkbench.metrics.image_quality.ssim = lambda one, other: one.flatten(1).sum(1) * 0 + 1
linkbench.registry.registry.Registry.load = None
""",
    "hooks": """
import torch
torch.nn.modules.module.register_module_forward_hook(lambda module, given, out: out * 0)
torch.set_default_dtype(torch.float64)
""",
    "colours": r"""
import os, sys
print("\x1b[31mred")
os.write(2, b"\x1b]0;evil\x07")
""",
    "writes": """
import contextlib, os
for path in ("STORE", os.getcwd()):
    with contextlib.suppress(OSError):
        open(os.path.join(path, "spoiled"), "w").close()
""",
}
"""What may happen unnoticed while a package is imported, or while it looks at parameters."""

LOUD = {
    "exits": ("import os; os._exit(0)", "it ended its process (exit status 0) before it had answered"),
    "hangs": ("import time; time.sleep(600)", "it did not answer within 8 seconds, and was ended"),
    "fills": ("held = [bytes(1 << 28) for _ in range(400)]", "MemoryError"),
    "raises": (r"raise BaseException('\x1b[31mred')", "BaseException: ?[31mred"),
    "forges": (
        "import os; os.write(3, b'LB01' + (1 << 31).to_bytes(4, 'little'))",
        "it sent bytes that are no message",
    ),
}
"""The same where there is no answer, and what is said of it."""

REGISTER = """
from linkbench import hookimpl

@hookimpl
def register_attackers(register):
    register("theirs", "theirs.plugin:Theirs", summary="one of another package", api=1)
"""
PLUGIN = """
from linkbench import Attacker
from pydantic import field_validator

class Theirs(Attacker):
    weight: float = 0.5

    @field_validator("weight")
    @classmethod
    def _looked_at(cls, value):
{body}
        return value

    def score(self, evidence, genomes, learned):
        import numpy as np
        return np.tile(self.weight * genomes.log_p[:, 0], (len(evidence), 1))
"""


def indented(body: str) -> str:
    return "\n".join(f"        {line}" for line in body.strip("\n").splitlines())


def package(install: Any, where: str, body: str, name: str = "theirs") -> None:
    """A package that does something when it is registered, when its plugin is imported, or when that checks a value."""
    register = REGISTER.replace("theirs", name) + (body if where == "registration" else "")
    plugin = (body if where == "import" else "") + PLUGIN.format(
        body=indented(body if where == "validator" else "pass")
    )
    install(name, {"__init__.py": register, "plugin.py": plugin})


@pytest.fixture
def innocent(run_cli: Callable[..., Finished]) -> dict[str, list[str]]:
    """Rows of linkbench's own attacker where no other package is installed."""
    write_table("good.yaml", "predicted")
    done = run_cli("run", "good.yaml", "--store", "alone", "--out", "good")
    assert done.status == 0, done.err
    return rows("good", "attacker")


WHERE = ("registration", "import", "validator")


def harness() -> list[Any]:
    """What the packages would change of the process that measures."""
    hooks = torch.nn.modules.module._global_forward_hooks
    return [image_quality.ssim, Registry.load, dict(hooks), torch.get_default_dtype()]


@pytest.mark.slow
@pytest.mark.parametrize("where", WHERE)
def test_what_a_package_does_unnoticed_changes_no_row(
    where: str, innocent: dict[str, list[str]], run_cli: Callable[..., Finished], fake_plugin: Any, tmp_path: Path
) -> None:
    for name, body in SILENT.items():
        package(fake_plugin, where, body.replace("STORE", str(tmp_path / "store")), name)
    write_table("both.yaml", "predicted", *(f"{{use: {name}, weight: 0.25}}" for name in SILENT))
    before = harness()
    done = run_cli("run", "both.yaml", "--store", "with", "--out", "both")
    assert done.status == 0, done.err
    found = rows("both", "attacker")
    assert {label.partition("(")[0] for label in found} == {"predicted", *SILENT}
    assert {"predicted": found["predicted"]} == innocent
    assert harness() == before
    assert "\x1b" not in done.out + done.err
    assert not {name for name in sys.modules if name.partition(".")[0] in SILENT}
    assert not [*Path.cwd().glob("spoiled"), *(tmp_path / "store").glob("spoiled")]
    again = run_cli("run", "good.yaml", "--store", "with", "--out", "again")
    assert " 0 computed" in again.out, again.out
    assert rows("again", "attacker") == innocent


@pytest.mark.slow
@pytest.mark.parametrize("where", WHERE)
def test_packages_without_an_answer_are_named_and_stop_nobody_else(
    where: str, innocent: dict[str, list[str]], run_cli: Callable[..., Finished], fake_plugin: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(packages, "ANSWER", 8.0)
    monkeypatch.setenv("LINKBENCH_PLUGIN_MEMORY", "2G")
    for name, (body, _) in LOUD.items():
        package(fake_plugin, where, body + "\n", name)
    write_table("both.yaml", "predicted", *(f"{{use: {name}, weight: 0.25}}" for name in LOUD))
    refused = run_cli("run", "both.yaml", "--store", "with", "--out", "both")
    said = " ".join(refused.err.split())
    assert refused.status == 2, said
    for number, (name, (_, says)) in enumerate(LOUD.items(), 1):
        assert f"attackers[{number}]" in said, "the place in the scenario is told"
        assert says in said, said
        assert f"linkbench-{name}" in said
    assert not Path("both").exists()
    assert "\x1b" not in refused.err
    done = run_cli("run", "good.yaml", "--store", "with", "--out", "again")
    assert done.status == 0, done.err
    assert rows("again", "attacker") == innocent


FORGED = """
import json, os
header = json.dumps({"kind": "done", "meta": {"answer": 7, "modules": [7], "said": []}, "arrays": []}).encode()
os.write(3, b"LB01" + len(header).to_bytes(4, "little") + header)
"""


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("registration", "it announces what are no plugins"),
        ("import", "it describes no class"),
        ("validator", "gave no parameters"),
    ],
)
def test_answers_that_a_package_forges_are_checked(where: str, says: str, home: Path, fake_plugin: Any) -> None:
    package(fake_plugin, where, FORGED)
    ((wrong,),) = parse_spec("attacker", {"use": "theirs", "weight": 0.25}, ())[1:]
    assert says in wrong.what
    assert parse_spec("attacker", "predicted", ())[0]


@pytest.mark.slow
def test_a_package_is_asked_once_and_then_remembered(
    run_cli: Callable[..., Finished], fake_plugin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_table("both.yaml", "predicted", "{use: theirs, weight: 0.25}")
    package(fake_plugin, "import", "")
    assert run_cli("run", "both.yaml", "--store", "with", "--out", "first").status == 0
    registries.forget()
    with monkeypatch.context() as patch:
        patch.setattr(Process, "__init__", lambda *_: pytest.fail("a process for a plugin was started"))
        for command in (("run", "both.yaml", "--store", "with", "--out", "second"), ("validate", "both.yaml")):
            done = run_cli(*command)
            assert done.status == 0, done.err
            registries.forget()
    assert rows("second", "attacker") == rows("first", "attacker")
    package(fake_plugin, "import", "import nothing_of_that_name\n")
    done = run_cli("validate", "both.yaml")
    assert done.status == 2
    assert "ModuleNotFoundError" in done.err


KEEN = """
from pathlib import Path
from typing import Any, ClassVar
from linkbench import Attacker, Defender, Channel, Epsilon, GenomeSource, Recipe
from linkbench.api.base import Budget
from linkbench.api.countermeasure import Countermeasure
from linkbench.api.fields import InputPath, MaybeChannels, PhenotypeNames, nested
from linkbench.api.schema import Schema
from linkbench.errors import InputError


class Keen(Defender):
    \"\"\"Says much.\"\"\"

    needs: ClassVar[frozenset[str]] = frozenset({"labels"})
    libraries: ClassVar[tuple[str, ...]] = ("numpy",)
    amount: Epsilon = 0.02
    only: PhenotypeNames = ("sex",)
    table: InputPath | None = None
    through: MaybeChannels = nested("channel", [], "channels inside")

    def input_files(self):
        return [] if self.table is None else [self.table.with_suffix(".bim")]

    def budget(self):
        return Budget("l2", self.amount)

    def optimises_through(self):
        return bool(self.through)

    def proves(self):
        return True

    def bound(self, dimensions, classes):
        return dimensions / classes

    def keyed_by(self):
        return "sex"

    def perturb(self, photos, knowledge):
        return photos


class Greedy(Keen):
    def input_files(self):
        return [Path("/etc/hostname")]


class Lies(Keen):
    def budget(self):
        return "none at all"


class Mixed(Channel):
    bits: int = 8

    @property
    def eight_bit(self):
        return self.bits == 8

    def publish(self, photos):
        return photos


class Reads(GenomeSource):
    table: InputPath

    def input_files(self):
        return [self.table]

    def phenotypes(self):
        try:
            return Schema.from_columns(self.table.read_text().split())
        except ValueError as error:
            raise InputError(f"{self.table} has no phenotypes") from error

    def build(self, seed):
        import numpy as np
        from linkbench.api.data import Genomes

        schema = self.phenotypes()
        return Genomes(schema, np.array(["one", "other"]), np.log(np.full((2, schema.width), 0.5)))


class Sees(Countermeasure):
    def see(self, photos, learned):
        return photos
"""
KEEN_REGISTER = """
from linkbench import hookimpl

@hookimpl
def register_defenders(register):
    for name in ("keen", "greedy", "lies"):
        register(name, f"pkg.plugin:{name.title()}", summary=name, api=1)

@hookimpl
def register_channels(register):
    register("mixed", "pkg.plugin:Mixed", summary="mixed", api=1)

@hookimpl
def register_genomes(register):
    register("reads", "pkg.plugin:Reads", summary="reads", api=1)

@hookimpl
def register_recipes(register):
    register("sees", "pkg.plugin:Sees", summary="sees", api=1)
"""


@pytest.fixture
def keen(home: Path, fake_plugin: Any) -> None:
    fake_plugin("pkg", {"__init__.py": KEEN_REGISTER, "plugin.py": KEEN})


def made(kind: str, entry: Any) -> Any:
    specs, wrong = parse_spec(kind, entry, ())
    assert not wrong, wrong
    return specs[0].plugin()


def test_a_stand_in_says_what_the_plugin_says(keen: None, home: Path) -> None:
    plugin = made("defender", {"use": "keen", "amount": "51/255", "through": ["png", {"use": "mixed", "bits": 4}]})
    assert isinstance(plugin, kinds.Defender)
    assert (type(plugin).needs, plugin.libraries, type(plugin).control) == ({"labels"}, ("numpy",), False)
    assert plugin.budget() == ("l2", 0.2, None)
    assert (plugin.optimises_through(), plugin.proves(), plugin.spares()) == (True, True, False)
    assert (plugin.keyed_by(), plugin.bound(30, 4)) == ("sex", 7.5)
    dumped = plugin.model_dump(mode="json", by_alias=True)
    assert dumped["through"] == [{"use": "png", "params": {}}, {"use": "mixed", "params": {"bits": 4}}]
    assert (dumped["amount"], dumped["only"], dumped["rate"], dumped["table"]) == (0.2, ["sex"], 1.0, None)
    with pytest.raises(PluginError, match=r"defender 'keen' of linkbench-pkg 1\.2 cannot be used here"):
        plugin.perturb(None, None)
    assert plugin.model_copy(update={"amount": 0.5}).budget() == ("l2", 0.5, None)
    assert plugin.model_copy(update={"identities": None}) is plugin
    assert [made("channel", {"use": "mixed", "bits": bits}).eight_bit for bits in (8, 4)] == [True, False]
    assert "keen" in repr(registry().schema("defender", "keen")).lower()
    assert not {"pkg", "pkg.plugin"} & set(sys.modules)


def test_wrong_parameters_are_told_as_by_the_class_itself(keen: None) -> None:
    for entry, expected in {
        '{"use": "keen", "amount": 7}': (("amount",), "must be less than or equal to 1, found a number 7"),
        '{"use": "keen", "amuont": 0.1}': (("amuont",), "unknown key; did you mean 'amount'? known: knowledge, rate"),
        '{"use": "keen", "rate": 2}': (("rate",), "must be less than or equal to 1, found a number 2"),
        '{"use": "keen", "through": [["pgn"]]}': (("through", 0), "did you mean 'png'?"),
        '{"use": "reads"}': (("table",), "is missing"),
        '{"use": "keen", "rate": 0.5, "identities": "a.csv"}': ((), "'identities' says who uses it, so leave 'rate'"),
    }.items():
        asked = json.loads(entry)
        kind = "genomes" if asked["use"] == "reads" else "defender"
        (wrong,) = parse_spec(kind, asked, ())[1]
        assert wrong.location[: len(expected[0])] == expected[0]
        assert expected[1] in wrong.what, wrong


def test_a_plugin_reads_what_its_parameters_name(keen: None, home: Path) -> None:
    (home / "data").mkdir()
    (home / "data" / "x.bed").write_text("sex:f sex:m")
    (home / "data" / "x.bim").write_text("")
    (home / "bad.csv").write_text("nothing")
    keen_one = made("defender", {"use": "keen", "table": "data/x.bed"})
    assert keen_one.input_files() == [Path("data/x.bim")]
    assert made("genomes", {"use": "reads", "table": "data/x.bed"}).phenotypes().names == ("sex",)
    with pytest.raises(InputError, match=r"bad\.csv has no phenotypes"):
        made("genomes", {"use": "reads", "table": "bad.csv"}).phenotypes()
    (home / "data" / "x.bed").write_text("eye:blue eye:brown")
    assert made("genomes", {"use": "reads", "table": "data/x.bed"}).phenotypes().names == ("eye",), "a file has changed"
    ((spec,), _) = parse_spec("genomes", {"use": "reads", "table": "data/x.bed"}, ())
    assert built_genomes(spec, 0).schema.names == ("eye",), "the stage finds a relative path, too"
    (wrong,) = parse_spec("defender", "greedy", ())[1]
    assert "says that it reads /etc/hostname, which its parameters do not name" in wrong.what


def test_the_users_own_folder_means_the_same_apart(keen: None, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(home))
    (home / "x.bed").write_text("sex:f sex:m")
    specs, wrong = parse_spec("genomes", {"use": "reads", "table": "~/x.bed"}, ())
    assert not wrong
    assert specs[0].params["table"] == str(home / "x.bed")
    assert specs[0].plugin().phenotypes().names == ("sex",)


def test_an_answer_of_another_type_is_refused_by_name(keen: None) -> None:
    with pytest.raises(PluginError, match=r"'lies' of linkbench-pkg 1\.2 cannot say budget: Lies\.budget gave str"):
        made("defender", "lies").budget()


def test_a_stand_in_has_the_home_of_its_class(keen: None) -> None:
    from linkbench.api.countermeasure import Countermeasure

    assert issubclass(registry().load("recipe", "sees"), Countermeasure)
    assert not issubclass(registry().load("defender", "keen"), Countermeasure)


WORK = {
    "genomes": {"build"},
    "cohort": {"build", "people", "redraw"},
    "architecture": {"build"},
    "recipe": {"train"},
    "defender": {"learn", "perturb", "reached", "rule"},
    "channel": {"publish", "through"},
    "attacker": {"learn", "score", "compete"},
    "identifier": {"learn", "score"},
    "executor": {"start"},
}
"""Methods that do the work of a plugin, which is done in a process of its own; all others are questions."""


@pytest.mark.parametrize("kind", KINDS)
def test_every_method_of_a_kind_is_a_question_or_work(kind: str) -> None:
    cls = getattr(kinds, KINDS[kind].base)
    assert set(description.methods(cls)) == WORK[kind] | set(description.questions(cls))
    assert not WORK[kind] & set(description.questions(cls))


@pytest.mark.parametrize("kind", KINDS)
def test_own_plugins_can_be_described(kind: str) -> None:
    """What an author derives from linkbench's own plugins is told like everything else."""
    for name, found in registry().plugins[kind].items():
        if found.distribution == "linkbench":
            described = json.loads(json.dumps(description.describe(registry().load(kind, name)), allow_nan=False))
            base = description.home_of(described, getattr(kinds, KINDS[kind].base))
            for fact, value in described["facts"].items():
                assert description.understood(base, fact, value) == getattr(registry().load(kind, name), fact)


def test_a_package_may_not_take_linkbenchs_name(fake_plugin: Any) -> None:
    site = fake_plugin("pkg", {"__init__.py": REGISTER})
    (site / "linkbench_pkg-1.2.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: linkbench\nVersion: 9\n"
    )
    registries.forget()
    assert any(entry.reason == "has linkbench's own name; give the package another" for entry in registry().broken)
    assert "theirs" not in registry().plugins["attacker"]


def test_the_name_of_a_package_leads_nowhere(fake_plugin: Any, home: Path) -> None:
    site = fake_plugin("pkg", {"__init__.py": REGISTER})
    (site / "linkbench_pkg-1.2.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: ../../outside\nVersion: 9\n"
    )
    registries.forget()
    (said,) = (entry for entry in registry().broken if entry.distribution == "../../outside")
    assert "give the package another" in said.reason
    assert "theirs" not in registry().plugins["attacker"]


FIELD = {"name": "weight", "alias": None, "list": False, "path": False, "phenotype": False, "use": None}

UNSOUND: dict[str, dict[str, Any]] = {
    "another home": {"home": "linkbench.api.nothing:Attacker"},
    "a home of another kind": {"home": "linkbench.api.base:Defender"},
    "required parameters that are no list": {"schema": {"required": 5}},
    "a parameter of an unknown kind": {"fields": [FIELD | {"use": "nonsense"}]},
    "a parameter that steers the terminal": {"fields": [FIELD | {"name": "\x1b[31mred"}]},
    "a parameter with such another name": {"fields": [FIELD | {"alias": "\x1b[31mred"}]},
}


def describe_as(told: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the package describe its plugin in another way than it is."""
    found = registry().find("attacker", "theirs")
    there = registry().packages[found.distribution]
    described = {**there.described(found), **told}
    there.memory.known.pop("classes")
    monkeypatch.setattr(there, "_call", lambda *_: Parcel({}, {"answer": described}))


def test_a_method_is_not_told_as_a_fact(home: Path, fake_plugin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    package(fake_plugin, "import", "")
    describe_as({"facts": {"learns_from": []}, "written": ["learns_from"]}, monkeypatch)
    assert callable(registry().load("attacker", "theirs").learns_from)


@pytest.mark.parametrize("case", UNSOUND)
def test_unsound_descriptions_are_refused_by_name(
    case: str, home: Path, fake_plugin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    package(fake_plugin, "import", "")
    describe_as(UNSOUND[case], monkeypatch)
    with pytest.raises(PluginError, match="attacker 'theirs' of linkbench-theirs") as refused:
        registry().load("attacker", "theirs")
    assert "\x1b" not in str(refused.value)


def test_a_listing_shows_no_text_that_steers_the_terminal(fake_plugin: Any, run_cli: Callable[..., Finished]) -> None:
    plugin = PLUGIN.replace("pydantic import", "pydantic import Field,").replace(
        "weight: float = 0.5", r'weight: float = Field(0.5, description="\x1b[31mred")'
    )
    fake_plugin("theirs", {"__init__.py": REGISTER, "plugin.py": plugin.format(body=indented("pass"))})
    done = run_cli("plugins", "--kind", "attacker")
    assert "?[31mred" in done.out
    assert "\x1b" not in done.out


def test_processes_of_packages_end(keen: None) -> None:
    made("defender", "keen")
    process = registry().packages["linkbench-pkg"].process
    assert process is not None
    scratch = process.scratch
    assert os.path.isdir(scratch)
    registry().rest()
    assert not os.path.exists(scratch)
    begun = time.monotonic()
    assert made("defender", {"use": "keen", "amount": 0.5}).budget().radius == 0.5
    assert time.monotonic() - begun < 30
