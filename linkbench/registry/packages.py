"""A package of others as the harness knows it: by what a process apart says of it, remembered between commands.

A listing takes it from memory: what makes classes and processes is imported when one is needed.
"""

from __future__ import annotations

import json
import math
import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from linkbench.api.kinds import KINDS
from linkbench.api.text import shown
from linkbench.errors import InputError, PluginError
from linkbench.registry.announced import Announced, Registration, printed
from linkbench.registry.code_digest import find
from linkbench.registry.contents import stamp
from linkbench.registry.importable import code, importable
from linkbench.registry.memory import Memory
from linkbench.store.location import local_path

if TYPE_CHECKING:
    from linkbench.api.data import Artefact
    from linkbench.boundary.messages import Parcel
    from linkbench.boundary.process import Process
    from linkbench.registry.standin import Load, StandIn, Told

ANSWER = 60.0
"""Seconds that a package has for an answer; an import that takes longer hangs."""

MANY = 5000
"""So many answers are remembered; beyond, those that this command did not ask for are forgotten."""

PRELOAD = ["linkbench.registry.describing", "linkbench.api.countermeasure"]


def broken_import(registration: Registration, why: str) -> str:
    """What is said of a plugin that cannot be imported."""
    return (
        f"{registration.where} cannot be imported ({registration.target}): {why}. "
        f"Repair or uninstall {registration.distribution}"
    )


def sound(answer: Any) -> Announced:
    """What a process says that an entry point announces. Raises PluginError for what it cannot say."""
    try:
        plugins, broken, complete = answer
        plugins = [[kind, *rest] for kind, *rest in plugins if kind in KINDS and len(rest) == 4]
        return Announced(plugins, [[shown(name), shown(reason)] for name, reason in broken], complete is True)
    except (TypeError, ValueError):
        raise PluginError("it announces what are no plugins") from None


def _is_schema(schema: Any) -> bool:
    """Whether listings can show it."""
    parts = (schema.get("properties", {}), schema.get("$defs", {})) if isinstance(schema, dict) else (None,)
    if not all(isinstance(part, dict) and all(isinstance(each, dict) for each in part.values()) for part in parts):
        return False
    required = schema.get("required", [])
    return isinstance(required, list) and all(isinstance(name, str) for name in required)


def _stamp(path: str) -> list[int]:
    try:
        return stamp(path)
    except OSError:
        return []


class Package:
    """A distribution with entry points, values by name. everyone: gives the registrations of all packages; load: as of
    the registry. Its process starts with the first question that is not remembered."""

    def __init__(
        self,
        distribution: str,
        version: str,
        entries: Mapping[str, str],
        everyone: Callable[[], list[Registration]],
        load: Load,
    ) -> None:
        self.distribution, self.version, self.entries = distribution, version, dict(entries)
        self.everyone, self.load = everyone, load
        modules = [value.partition(":")[0].strip() for value in self.entries.values()]
        self.code = tuple(path for module in modules for path in code(module))
        self.modules = modules
        places = [find(module.partition(".")[0]) for module in modules]
        known_by = None if None in places else [distribution, version, self.entries, list(self.code)]
        self.memory = Memory(local_path() / "packages" / f"{distribution}.json", known_by, since=math.inf)
        self.process: Process | None = None
        self.owner, self.readable, self.knows = 0, set[str](), list[Registration]()
        self.answers: dict[str, Parcel] = {}
        self.said: list[str] = []
        self.stand_ins: dict[Registration, type[StandIn]] = {}
        self.lock = threading.RLock()

    def announced(self) -> list[Announced]:
        """What each entry point announces."""
        if "announced" in self.memory.known:
            return [Announced(*each) for each in self.memory.known["announced"]]
        out = []
        for name, value in self.entries.items():
            try:
                out.append(sound(self._call("announced", {"name": name, "value": value}).meta["answer"]))
            except (PluginError, InputError) as error:
                out.append(Announced([], [[name, str(error)]], False))
        if all(each.complete for each in out):
            self.memory.known["announced"] = [list(each) for each in out]
            self.memory.news = True
        return out

    def described(self, of: Registration) -> dict[str, Any]:
        """What a plugin says of itself; see linkbench.registry.description. Raises PluginError."""
        known: dict[str, dict[str, Any]] = self.memory.known.setdefault("classes", {})
        place = " ".join((of.kind, of.name, of.target))
        if place not in known:
            try:
                described = self._call("described", {"kind": of.kind, "name": of.name}).meta["answer"]
            except PluginError as error:
                said = str(error)
                raise PluginError(said if said.startswith(of.where) else broken_import(of, said)) from None
            if not (isinstance(described, dict) and _is_schema(described.get("schema"))):
                raise PluginError(broken_import(of, "it describes no class"))
            known[place] = described
            self.memory.news = True
        return known[place]

    def stand_in(self, of: Registration) -> type[StandIn]:
        """What stands in for a plugin. Raises PluginError."""
        if of not in self.stand_ins:
            from linkbench.registry.standin import stand_in

            self.stand_ins[of] = stand_in(of, self.described(of), self)
        return self.stand_ins[of]

    def validated(
        self, of: Registration, params: Mapping[str, Any], paths: tuple[str, ...], strict: Any
    ) -> dict[str, Any]:
        """See `Apart`."""
        text = json.dumps(params, default=str)
        given = {"kind": of.kind, "name": of.name, "params": text, "strict": strict}
        answer = self._answer(of, "validated", given, paths).meta["answer"]
        if not isinstance(answer, dict):
            raise PluginError(f"{of.where} gave no parameters")
        return answer

    def asked(self, of: Registration, told: Told, question: str, arguments: tuple[Any, ...]) -> Artefact:
        """See `Apart`."""
        from linkbench.api.data import Artefact

        given = {"kind": of.kind, "name": of.name, "params": told.params, "question": question}
        paths = (*told.paths, *(os.path.abspath(path) for path in told.input_files))
        answer = self._answer(of, "asked", {**given, "arguments": list(arguments)}, paths)
        return Artefact(answer.arrays, answer.meta)

    def _answer(self, of: Registration, call: str, given: dict[str, Any], paths: tuple[str, ...]) -> Parcel:
        """An answer about a plugin with parameters, asked once in this process while the files that it may read stay as
        they are; what no file decides is remembered beyond."""
        from linkbench.boundary.messages import Parcel

        place = json.dumps([call, of.target, given, [_stamp(path) for path in paths]], sort_keys=True)
        kept = self.memory.known.setdefault("answers", {})
        with self.lock:
            if place not in self.answers and place in kept:
                self.answers[place] = Parcel({}, {"answer": kept[place]})
            if place not in self.answers:
                try:
                    self.answers[place] = self._call(call, given, paths)
                except InputError:
                    raise
                except PluginError as error:
                    asked = given.get("question", "its parameters")
                    raise PluginError(f"{of.where} cannot say {asked}: {error}") from None
                if not paths and not self.answers[place].arrays:
                    kept[place] = self.answers[place].meta["answer"]
                    self.memory.news = True
            return self.answers[place]

    def _call(self, call: str, given: dict[str, Any], paths: tuple[str, ...] = ()) -> Parcel:
        """An answer of the process. Raises PluginError, or InputError, saying what went wrong."""
        from linkbench.boundary.messages import MOST, BadMessageError, Parcel

        with self.lock:
            process = self._running(set(paths))
            most = MOST if call == "asked" else 0
            try:
                if call != "announced" and self.knows != self.everyone():
                    self.knows = self.everyone()
                    process.call("know", Parcel({}, {"plugins": [list(each) for each in self.knows]}), seconds=ANSWER)
                answer = process.call(call, Parcel({}, given), most=most, seconds=ANSWER)
                modules = answer.meta["modules"]
                self.memory.modules |= {path for path in modules if isinstance(path, str)}
                self.said += [shown(each) for each in answer.meta["said"]]
                answer.meta["answer"]
            except (BadMessageError, KeyError, TypeError) as error:
                self._end()
                raise PluginError(f"its answer is unsound: {error}") from None
            except PluginError:
                if process.ended is not None:
                    self._end()
                raise
            return answer

    def _running(self, paths: set[str]) -> Process:
        """The process, one that may read these paths."""
        from linkbench.boundary.messages import Parcel
        from linkbench.boundary.process import Process, Wanted

        if self.process is not None and self.owner == os.getpid() and paths <= self.readable:
            return self.process
        self._end()
        self.readable |= paths
        may_read, may_list = importable(self.modules)
        self.memory.since = min(self.memory.since, time.time())
        process = Process(Wanted("it", PRELOAD, [*may_read, *sorted(self.readable)], may_list))
        order = {
            "prepare": [["linkbench.registry.registry:only", []]],
            "run": "linkbench.registry.describing:Describing",
            "task": {},
        }
        try:
            process.call("open", Parcel({}, order), most=0, seconds=ANSWER)
        except PluginError:
            process.end()
            raise
        self.process, self.owner, self.knows = process, os.getpid(), []
        return process

    def _end(self) -> None:
        if self.process is not None and self.owner == os.getpid():
            self.process.end()
            if text := self.process.printed.decode("utf-8", "replace").strip():
                self.said.append(printed(text))
        self.process = None

    def rest(self) -> list[str]:
        """End the process, and write down what is to be remembered. Returns what was printed."""
        with self.lock:
            self._end()
            kept = self.memory.known.get("answers", {})
            if len(kept) > MANY:
                self.memory.known["answers"] = {place: kept[place] for place in self.answers if place in kept}
            self.memory.keep()
            said, self.said = self.said, []
            return said
