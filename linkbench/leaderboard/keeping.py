"""What the keepers of a leaderboard wrote down: whose every row is, and whose word counts that an entry was rerun.

board.json lists the entries with the digest of their content and the rows that each of them owns: who played a row
first. A copy that comes later, whatever it is called, owns nothing and changes nothing. `add` writes the file; a change
of an owner or of a key is a change of a line that the keepers see.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from linkbench.errors import InputError
from linkbench.leaderboard.entry import Digest, Entry, Strict, Text, load_record, problems
from linkbench.leaderboard.facts import Plugins
from linkbench.results.folder import write_text
from linkbench.scenario.file import NAME
from linkbench.store.store import digest_of

PublicKey = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
EntryName = Annotated[str, Field(pattern=NAME)]


class Owned(Strict):
    """An entry as the keepers took it: the digest of its content, and the rows that are its own."""

    digest: Digest
    rows: list[Digest]


class Register(Strict):
    """keys: by ed25519 public key, hexadecimal, the name of who may vouch for reruns; entries: by name."""

    board: Literal[1] = 1
    keys: dict[PublicKey, Text] = Field(default_factory=dict)
    entries: dict[EntryName, Owned] = Field(default_factory=dict)

    def owner(self, row: str) -> str | None:
        """Whose row it is."""
        return next((name for name, owned in self.entries.items() if row in owned.rows), None)

    def with_entry(self, entry: Entry) -> Register:
        """With an entry that owns what it played first, or owned before."""
        others = {name: owned for name, owned in self.entries.items() if name != entry.name}
        taken = {row for owned in others.values() for row in owned.rows}
        own = Owned(digest=entry.digest, rows=[row for row in rows_of(entry) if row not in taken])
        return self.model_copy(update={"entries": {**self.entries, entry.name: own}})


def rows_of(entry: Entry) -> list[str]:
    """The rows that an entry plays: digests of protocol, plugins, parameters and code."""
    played = Plugins(entry)
    return list(dict.fromkeys(owned_key(entry, played.of(cell).key) for cell in entry.cells))


def owned_key(entry: Entry, row: str) -> str:
    """A row of one protocol; row: the key of its plugins."""
    return digest_of([entry.protocol_digest, row])[:16]


def register_file(board: Path) -> Path:
    """Where a leaderboard keeps it."""
    return board / "board.json"


def read_register(board: Path) -> Register:
    """What the keepers wrote down; nothing where there is no leaderboard yet. Raises InputError for damage."""
    path = register_file(board)
    return read_register_file(path) if path.exists() else Register()


def read_register_file(path: Path) -> Register:
    """A board.json. Raises InputError where it is none, or a row has two owners."""
    data: dict[str, Any] = load_record(path)
    try:
        found = Register.model_validate(data)
    except ValidationError as error:
        raise InputError(f"{path} is no register of a leaderboard: {problems(error)}") from None
    rows = [row for owned in found.entries.values() for row in owned.rows]
    twice = next((row for row in rows if rows.count(row) > 1), None)
    if twice is not None:
        raise InputError(f"{path} gives the row {twice} to two entries; leave it to the one that played it first")
    return found


def write_register(board: Path, register: Register) -> None:
    """Write it, a row a line."""
    write_text(register_file(board), json.dumps(register.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n")


def changed_hands(before: Register, after: Register) -> list[str]:
    """What a newer register took from somebody, in words: rows, entries, keys."""
    out = []
    for name, owned in before.entries.items():
        if name not in after.entries:
            out.append(f"the entry {name} is gone")
            continue
        lost: Mapping[str, str | None] = {row: after.owner(row) for row in owned.rows if after.owner(row) != name}
        out += [f"the row {row} of {name} went to {to or 'nobody'}" for row, to in lost.items()]
        if owned.digest != after.entries[name].digest:
            out.append(f"the entry {name} has another content")
    if before.keys != after.keys:
        out.append("the keys of those who vouch for reruns differ")
    return out
