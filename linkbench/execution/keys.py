"""The key of a step: everything that decides its result, under which the store finds it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from linkbench.plan.builder import Step
from linkbench.registry.code_digest import NUMERICAL, Code, code_of, version_of
from linkbench.registry.spec import every
from linkbench.store.store import KEY_VERSION, Key


def key_of(step: Step, inputs: Mapping[str, str], device: str) -> Key:
    """The key. inputs: the digest of each of the step's inputs by its name there."""
    code = code_of(step.run.partition(":")[0])
    plugins = {role: spec.identity() for role, spec in step.specs.items()}
    libraries = {NUMERICAL[name]: version_of(NUMERICAL[name]) for name in sorted(code.libraries)}
    return Key({
        "key": KEY_VERSION,
        "stage": step.stage,
        "run": step.run,
        "code": code.digest,
        "libraries": libraries,
        "plugins": plugins,
        "settings": step.settings,
        "inputs": dict(inputs),
        "seed": step.seed,
        "device": device.partition(":")[0] if step.on_device else "any",
    })  # fmt: skip


def computes(key: Mapping[str, Any]) -> bool:
    """Whether the step, or a plugin of it, computes with torch."""
    return "torch" in key["libraries"] or any(map(_computes, key["plugins"].values()))


def _computes(plugin: dict[str, Any]) -> bool:
    """Whether a plugin, or one named inside it, computes with torch."""
    return "torch" in plugin["libraries"] or any(_computes(inner) for _, inner in plugin.get("inside", []))


def differences(key: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """What decides the result of a step here otherwise than where the run was started, in words."""
    out = []
    if key["code"] != here["code"]:
        out.append(f"the code of {key['run'].partition(':')[0]} and what it imports")
    out += _versions(key["libraries"], here["libraries"])
    for role, there in key["plugins"].items():
        out += _of_plugin(role, there, here["plugins"][role])
    return list(dict.fromkeys(out))


def _versions(there: Mapping[str, Any], here: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted({*there, *here}):
        if there.get(name) != here.get(name):
            yield f"{name} {here.get(name) or 'missing'} instead of {there.get(name) or 'none'}"


def _of_plugin(role: str, there: Mapping[str, Any], here: Mapping[str, Any]) -> Iterator[str]:
    what = f"{role} {there['use']} of {there['distribution']}"
    if (there["distribution"], there["target"], there["code"]) != (here["distribution"], here["target"], here["code"]):
        yield f"the code of {what}"
    yield from _versions(there["libraries"], here["libraries"])
    if there.get("files") != here.get("files"):
        yield f"the files that {what} reads"
    for (name, inner), (_, other) in zip(there.get("inside", []), here.get("inside", []), strict=False):
        yield from _of_plugin(name, inner, other)


def code_behind(step: Step) -> Iterator[Code]:
    """All code in the key of a step: its own and that of its plugins, with those inside them."""
    yield code_of(step.run.partition(":")[0])
    for spec in every(step.specs.values()):
        yield from spec.code()


def edited(step: Step) -> bool:
    """Whether code in the key of a step has changed since it was read; then another text may have been imported."""
    return any(code.edited() for code in code_behind(step))
