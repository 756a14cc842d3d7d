"""The listing of plugins is remembered, never stale, and adapters' libraries are in their keys."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Finished
from test_plugins import GOOD, hook

from linkbench.registry import catalogue
from linkbench.registry.memory import Memory
from linkbench.registry.spec import parse_spec


def listed(done: Finished) -> dict[str, Any]:
    assert done.status == 0, done.err
    return {entry["name"]: entry for entry in json.loads(done.out)["plugins"] if entry["kind"] == "attacker"}


def remembered() -> Path:
    return Path(os.environ["LINKBENCH_STORE"]) / "plugins.json"


@pytest.mark.slow
def test_a_second_listing_says_the_same_and_imports_no_plugin(spawn: Callable[..., Finished], fake_plugin: Any) -> None:
    site = fake_plugin("pkg", {"__init__.py": hook(), "plugin.py": "import os; os.write(2, b'imported!')\n" + GOOD})
    first = spawn("plugins", "--json", path=site)
    assert [entry["reason"] for entry in json.loads(first.out)["broken"]] == [
        "printed 'imported!' when it was imported; that is kept out"
    ]
    again = spawn("plugins", "--json", path=site)
    assert (again.status, again.err) == (0, "")
    assert json.loads(again.out) == {**json.loads(first.out), "broken": []}
    table = spawn("plugins", "--kind", "attacker", path=site)
    assert "imported!" not in table.out + table.err
    assert "weight=0.5" in table.out
    schema = spawn("schema", path=site)
    assert (schema.status, schema.err) == (0, "")
    assert "weight" in schema.out


@pytest.mark.slow
def test_an_edit_a_repair_and_a_new_package_are_noticed(spawn: Callable[..., Finished], fake_plugin: Any) -> None:
    plugin = "from pkg.parameters import DEFAULT\n" + GOOD.replace("0.5", "DEFAULT")
    site = fake_plugin("pkg", {"__init__.py": hook(), "plugin.py": plugin, "parameters.py": "DEFAULT = 0.5\n"})
    fake_plugin("lame", {"__init__.py": hook("lame", "lame.plugin:Good"), "plugin.py": "1/0"})
    for _ in range(2):  # remembered or not, what is broken is said
        entries = listed(spawn("plugins", "--json", path=site))
        assert entries["good"]["parameters"]["weight"]["default"] == 0.5
        assert "ZeroDivisionError" in entries["lame"]["broken"]
    fake_plugin("pkg", {"parameters.py": "DEFAULT = 0.125\n"})
    fake_plugin("lame", {"plugin.py": GOOD.replace("0.5", "2.0")})
    fake_plugin("new", {"__init__.py": hook("new", "new.plugin:Good"), "plugin.py": GOOD.replace("0.5", "3.0")})
    for _ in range(2):
        entries = listed(spawn("plugins", "--json", path=site))
        values = {name: entries[name]["parameters"]["weight"]["default"] for name in ("good", "lame", "new")}
        assert values == {"good": 0.125, "lame": 2.0, "new": 3.0}


def test_a_damaged_memory_is_no_obstacle(home: Path, run_cli: Callable[..., Finished]) -> None:
    expected = run_cli("plugins", "--json")
    assert expected.status == 0
    record = json.loads(remembered().read_text())
    asked = record["circumstances"][2:]
    assert Memory(remembered(), asked).known == record["known"]
    wrong = ["", "[]", "{", "null", '{"known": {}}', json.dumps({**record, "known": {"attacker random": 3}})]
    for text in (*wrong, json.dumps({**record, "circumstances": []}), json.dumps({**record, "modules": [1]})):
        remembered().write_text(text)
        assert Memory(remembered(), asked).known == {}
    assert run_cli("plugins", "--json") == expected
    assert json.loads(remembered().read_text()) == record


def test_a_store_that_cannot_be_written_costs_only_time(
    home: Path, run_cli: Callable[..., Finished], monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "file").write_text("")
    monkeypatch.setenv("LINKBENCH_STORE", str(home / "file" / "below"))
    assert listed(run_cli("plugins", "--json"))["predicted"]["broken"] is None


def test_what_is_remembered_is_what_the_classes_say(home: Path) -> None:
    from linkbench.registry.registry import registry

    catalogue.parameter_schemas()
    for (kind, name), schema in catalogue.parameter_schemas().items():
        assert schema == json.loads(json.dumps(registry().load(kind, name).model_json_schema(by_alias=True)))


@pytest.mark.parametrize(
    ("kind", "name", "library"),
    [
        ("defender", "torchattacks/pgd", "torchattacks"),
        ("defender", "art/pgd", "adversarial-robustness-toolbox"),
        ("channel", "art/jpeg", "adversarial-robustness-toolbox"),
        ("channel", "jpeg", "pillow"),
        ("attacker", "assignment", "scipy"),
    ],
)
def test_libraries_are_in_the_keys(kind: str, name: str, library: str) -> None:
    identity = parse_spec(kind, name, ())[0][0].identity()
    assert identity["libraries"][library]
