"""Plugins: registration is data, a broken package is named and hurts nobody else, an edited one is noticed."""

from __future__ import annotations

import importlib.metadata
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Finished

from linkbench.api.kinds import KINDS
from linkbench.errors import PluginError
from linkbench.registry import code_digest as code
from linkbench.registry.code_digest import code_digest
from linkbench.registry.registry import API, registry

REGISTER = """
from linkbench.api.hookspecs import hookimpl

@hookimpl
def register_attackers(register):
    register({name!r}, {target!r}, summary="a summary", api={api!r})
"""
GOOD = """
from linkbench.api.base import Attacker

class Good(Attacker):
    \"\"\"Scores nothing.\"\"\"
    weight: float = 0.5
"""


def hook(name: Any = "good", target: Any = "pkg.plugin:Good", api: Any = API) -> str:
    return REGISTER.format(name=name, target=target, api=api)


def reasons() -> list[str]:
    return [f"{entry.distribution}: {entry.name}: {entry.reason}" for entry in registry().broken]


def test_the_builtins_are_plugins_like_any() -> None:
    found = registry().plugins
    assert set(found) == set(KINDS)
    for kind, names in {
        "genomes": {"paper-tables", "thousand-genomes", "simulated", "table"},
        "cohort": {"paper-tables", "sampled"},
        "attacker": {"predicted", "ground-truth", "known", "random", "calibrated", "soft", "assignment"},
        "defender": {"none"},
        "channel": {"float"},
    }.items():
        assert names <= {name for name, entry in found[kind].items() if entry.distribution == "linkbench"}
    for kind, entries in found.items():
        for name, entry in entries.items():
            cls = registry().load(kind, name)
            assert entry.summary
            assert cls.__doc__
            assert cls.model_config["extra"] == "forbid"


def test_listing_imports_no_plugin(fake_plugin: Any) -> None:
    fake_plugin("pkg", {"__init__.py": hook(), "plugin.py": GOOD})
    assert registry().plugins["attacker"]["good"].version == "1.2"
    assert registry().load("attacker", "good").__name__ == "Good"
    assert not {"pkg", "pkg.plugin"} & set(sys.modules), "code of other packages is never imported here"


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"__init__.py": "import nothing_of_that_name"}, "linkbench-pkg: pkg: ModuleNotFoundError: No module named"),
        ({"__init__.py": "1/0"}, "linkbench-pkg: pkg: ZeroDivisionError: division by zero"),
        ({"__init__.py": "def broken(:"}, "linkbench-pkg: pkg: SyntaxError"),
        ({"__init__.py": "import sys; sys.exit(3)"}, "linkbench-pkg: pkg: SystemExit: 3"),
        ({"__init__.py": "raise BaseException('all the way')"}, "linkbench-pkg: pkg: BaseException: all the way"),
        ({"__init__.py": hook(api=99)}, "good: was written for plugin form 99, this linkbench has form 1"),
        ({"__init__.py": hook(name="Bad Name")}, "linkbench-pkg: Bad Name: a name has 1 to 64 of a-z 0-9"),
        ({"__init__.py": hook(name="../up")}, "linkbench-pkg: ../up: a name has"),
        ({"__init__.py": hook(name="")}, "linkbench-pkg: : a name has"),
        ({"__init__.py": hook(name=7)}, "linkbench-pkg: 7: a name has"),
        ({"__init__.py": hook(name="x" * 65)}, "a name has 1 to 64"),
        ({"__init__.py": hook(target="pkg.plugin")}, "the target 'pkg.plugin' is not of the form"),
        ({"__init__.py": hook(target=None)}, "good: the target None is not"),
        ({"__init__.py": hook(name="predicted")}, "predicted: attacker 'predicted' is already registered by linkbench"),
        ({"__init__.py": hook() + "    1/0\n"}, "linkbench-pkg: register_attackers: ZeroDivisionError: division"),
        ({"__init__.py": hook().replace(', api=1', '')}, "linkbench-pkg: register_attackers: TypeError"),
        ({"__init__.py": hook().replace("(register)", "(registry)")}, "linkbench-pkg: pkg: Plugin"),
        ({"__init__.py": hook().replace("_attackers(", "_atackers(")}, "pkg: unknown hook 'register_atackers'"),
    ],
    ids=lambda value: value[:50] if isinstance(value, str) else "",
)  # fmt: skip
def test_a_broken_package_is_named_and_isolated(fake_plugin: Any, files: dict[str, str], says: str) -> None:
    fake_plugin("healthy", {"__init__.py": hook("healthy", "healthy.plugin:Good"), "plugin.py": GOOD})
    fake_plugin("pkg", files)
    assert any(says in reason for reason in reasons()), reasons()
    assert {"predicted", "healthy"} <= set(registry().plugins["attacker"])
    assert registry().plugins["attacker"]["predicted"].distribution == "linkbench"


def test_a_missing_entry_point_module_is_named(fake_plugin: Any) -> None:
    fake_plugin("pkg", {"__init__.py": ""}, target="pkg.nowhere")
    fake_plugin("other", {"__init__.py": ""}, target="other:nothing")
    found = reasons()
    assert any("linkbench-pkg: pkg: ModuleNotFoundError" in reason for reason in found)
    assert any("linkbench-other: other: AttributeError" in reason for reason in found)


@pytest.mark.parametrize(
    ("plugin", "says"),
    [
        (None, "(pkg.plugin:Good): ModuleNotFoundError: No module named 'pkg.plugin'. Repair or uninstall"),
        ("import nothing_of_that_name", "cannot be imported (pkg.plugin:Good): ModuleNotFoundError: No module"),
        ("raise SystemExit(1)", "cannot be imported (pkg.plugin:Good): SystemExit: 1"),
        ("x = 1", "AttributeError: module 'pkg.plugin' has no attribute 'Good'"),
        ("class Good: ...", "pkg.plugin:Good is not a subclass of linkbench.Attacker"),
        ("Good = 3", "is not a subclass of linkbench.Attacker"),
        (
            "from linkbench.api.base import Defender\nclass Good(Defender): ...",
            "is not a subclass of linkbench.Attacker",
        ),
        ("from linkbench.api.base import Attacker\nclass Good(Attacker):\n    x: object()", "cannot be imported"),
    ],
)  # fmt: skip
def test_a_plugin_that_cannot_be_loaded_says_why(fake_plugin: Any, plugin: str | None, says: str) -> None:
    fake_plugin("pkg", {"__init__.py": hook(), **({} if plugin is None else {"plugin.py": plugin})})
    with pytest.raises(PluginError) as caught:
        registry().load("attacker", "good")
    assert str(caught.value).startswith("attacker 'good' of linkbench-pkg 1.2")
    assert says in str(caught.value)


def test_an_unknown_name_tells_the_nearest_and_what_is_broken(fake_plugin: Any) -> None:
    fake_plugin("pkg", {"__init__.py": "1/0"})
    with pytest.raises(PluginError, match="did you mean 'calibrated'") as caught:
        registry().find("attacker", "calibratd")
    assert "known: assignment, calibrated" in str(caught.value)
    assert "linkbench-pkg is broken: ZeroDivisionError" in str(caught.value)


def test_plugins_as_json(run_cli: Callable[..., Finished], fake_plugin: Any) -> None:
    fake_plugin("pkg", {"__init__.py": hook(), "plugin.py": GOOD})
    fake_plugin("lame", {"__init__.py": hook("lame", "lame.plugin:Lame"), "plugin.py": "1/0"})
    fake_plugin("broken", {"__init__.py": "1/0"})
    done = run_cli("plugins", "--json")
    assert done.status == 0
    listed = json.loads(done.out)
    entries = {(entry["kind"], entry["name"]): entry for entry in listed["plugins"]}
    good = entries[("attacker", "good")]
    assert (good["distribution"], good["version"], good["summary"]) == ("linkbench-pkg", "1.2", "a summary")
    assert good["parameters"]["weight"]["default"] == 0.5
    assert good["broken"] is None
    assert "ZeroDivisionError" in entries[("attacker", "lame")]["broken"]
    assert listed["broken"] == [
        {"distribution": "linkbench-broken", "name": "broken", "reason": "ZeroDivisionError: division by zero"}
    ]
    assert entries[("genomes", "table")]["required"] == ["path"]
    only = json.loads(run_cli("plugins", "--json", "--kind", "channel").out)
    assert {entry["kind"] for entry in only["plugins"]} == {"channel"}
    names = run_cli("plugins").out
    assert "a summary (linkbench-pkg 1.2)" in names
    assert "weight=0.5" not in names
    table = run_cli("plugins", "--kind", "attacker").out
    assert "weight=0.5" in table
    assert "BROKEN: attacker 'lame' of linkbench-lame 1.2 cannot be imported" in " ".join(table.split())
    assert "broken: linkbench-broken: broken: ZeroDivisionError" in table
    assert run_cli("plugins", "--kind", "atacker").status == 2


@pytest.mark.slow
def test_a_broken_package_stops_only_scenarios_that_use_it(
    spawn: Callable[..., Finished], run_cli: Callable[..., Finished], fake_plugin: Any
) -> None:
    site = fake_plugin("lame", {"__init__.py": hook("lame", "lame.plugin:Lame"), "plugin.py": "1/0"})
    fake_plugin("broken", {"__init__.py": "import sys; sys.exit(0)"})
    head = "linkbench: 1\nname: a\ngenomes: paper-tables\ncohort: paper-tables\n"
    Path("good.yaml").write_text(head + "attackers: predicted\nmeasure: {resamples: 100, sizes: [10]}\n")
    Path("bad.yaml").write_text(head + "attackers: [predicted, lame]\n")
    done = spawn("run", "bad.yaml", path=site)
    assert done.status == 2
    assert "bad.yaml:5:24: attackers[1].use: attacker 'lame' of linkbench-lame 1.2 cannot be imported" in done.err
    assert "Traceback" not in done.err
    assert not Path("results").exists()
    assert run_cli("run", "good.yaml").status == 0


def test_code_digest_sees_helpers_and_nothing_else(fake_plugin: Any) -> None:
    files = {
        "__init__.py": hook(),
        "plugin.py": "from pkg.deep import helper\nfrom . import near\nfrom .other import (\n    one,\n)\n" + GOOD,
        "deep/__init__.py": "",
        "deep/helper.py": "def f():\n    import pkg.inside\n",
        "inside.py": "x = 1\n",
        "near.py": "x = 1\n",
        "other.py": "one = two = 1\n",
        "unrelated.py": "x = 1\n",
    }  # fmt: skip

    def digest(**changes: str) -> str:
        changed = {name: files[name] + text for name, text in changes.items()}
        fake_plugin("pkg", {**files, **changed})
        return code_digest("pkg.plugin")

    before = digest()
    assert digest() == before
    assert digest(**{"unrelated.py": "y = 2\n"}) == before
    for name in ("plugin.py", "deep/helper.py", "inside.py", "near.py", "other.py"):
        assert digest(**{name: "y = 2\n"}) != before, name
    assert "pkg.plugin" not in sys.modules


def test_code_digest_of_what_has_no_source() -> None:
    assert code_digest("nothing_of_that_name.at_all") == code_digest("nothing_else.of_that_name")
    assert code_digest("builtins") == code_digest("nothing_of_that_name.at_all")


def test_an_edited_plugin_is_another_plugin(fake_plugin: Any) -> None:
    from linkbench.registry.spec import parse_spec

    def identity(text: str) -> Any:
        fake_plugin("pkg", {"__init__.py": hook(), "plugin.py": "from pkg import helper\n" + GOOD, "helper.py": text})
        return parse_spec("attacker", "good", ())[0][0].identity()

    one, other = identity("x = 1\n"), identity("x = 2\n")
    assert {key for key in one if one[key] != other[key]} == {"code"}
    assert identity("x = 2  # for people\n") == other
    assert one["params"] == {"weight": 0.5}
    assert one["distribution"] == "linkbench-pkg"
    assert "version" not in one, "a new version number with the same code computes the same"


def test_the_code_of_a_base_class_in_linkbench_belongs_to_a_plugin(
    fake_plugin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = "from linkbench.adapters.classifier_attack import ClassifierAttack\nfrom json import dumps\n"
    fake_plugin("pkg", {"__init__.py": hook(), "plugin.py": plugin})
    before = code_digest("pkg.plugin")
    real = code.facts

    def edited(source: Any) -> Any:
        known = real(source)
        return known._replace(digest="edited") if source.file == changed else known

    for module, same in (
        ("linkbench.adapters.classifier_attack", False),
        ("linkbench.api.fields", False),
        ("json", True),
    ):
        found = code.find(module)
        assert found is not None
        changed = found.file
        with monkeypatch.context() as patch:
            patch.setattr(code, "facts", edited)
            code.code_of.cache_clear()
            assert (code_digest("pkg.plugin") == before) is same, changed
    code.code_of.cache_clear()


def test_the_version_of_a_library_behind_a_plugin_is_in_its_key(
    fake_plugin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from linkbench.registry.spec import parse_spec

    text = GOOD.replace(
        "    weight", "    libraries: ClassVar[tuple[str, ...]] = ('numpy', 'not-installed')\n    weight"
    )
    fake_plugin("pkg", {"__init__.py": hook(), "plugin.py": "from typing import ClassVar\n" + text})
    spec = parse_spec("attacker", "good", ())[0][0]
    one = spec.identity()
    assert one["libraries"] == {"numpy": importlib.metadata.version("numpy"), "not-installed": None}
    real = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "999" if name == "numpy" else real(name))
    code.version_of.cache_clear()  # another run
    other = spec.identity()
    code.version_of.cache_clear()
    assert {key for key in one if one[key] != other[key]} == {"libraries"}
    assert set(parse_spec("attacker", "predicted", ())[0][0].identity()["libraries"]) == {"numpy"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import a.b, a.c as d  # x\n", {"a.b", "a.c"}),
        ("def f():\n    import a.b\n", {"a.b"}),
        ("if TYPE_CHECKING:\n    import a\nelse:\n    import b\n", {"b"}),
        ("if typing.TYPE_CHECKING:\n    import a\nelif c:\n    import b\n", {"b"}),
        ("try:\n    import a\nexcept ImportError:\n    from b import c\n", {"a", "b", "b.c"}),
        ("from a import b as c, d\n", {"a", "a.b", "a.d"}),
        ("from a import (\n    b,\n    c as d,\n)\n", {"a", "a.b", "a.c"}),
        ("from a import (  # x, y\n    b,  # z\n)\n", {"a", "a.b"}),
        ("from . import b\n", {"p.q", "p.q.b"}),
        ("from .b import c\n", {"p.q.b", "p.q.b.c"}),
        ("from ..b import c\n", {"p.b", "p.b.c"}),
        ("from .... import c\n", set()),
        ("x = 'import'\nimportant = 1\n", set()),
    ],
)
def test_imports_are_found_in_the_text(text: str, expected: set[str]) -> None:
    assert set(code.read(text.encode(), "p.q").imports) == expected
