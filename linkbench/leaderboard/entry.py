"""The record that a leaderboard keeps of a run: its schema, its digest, and how it is read and written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from linkbench.api.budget import Budget, Norm
from linkbench.errors import InputError
from linkbench.leaderboard.protocol import Protocol
from linkbench.results.folder import write_text
from linkbench.scenario.file import NAME
from linkbench.store.store import canonical, digest_of

VERSION = 1
"""Version of the entry format; another one is refused before anything else is looked at."""

DIGITS = 6
"""Decimals of every number that is recomputed."""

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{8,64}$")]
Text = Annotated[str, Field(max_length=200)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Interval = tuple[Finite, Finite, Finite]
"""A number and the two ends of its interval."""


class Strict(BaseModel):
    """Records whose every key is known; numbers are finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def record(self) -> dict[str, Any]:
        """As it is written: what has a default and keeps it is left out, so that entries without it stay the same."""
        return self.model_dump(mode="json", exclude_defaults=True)


class PluginRecord(Strict):
    """A plugin that took part: where it comes from, and which code it was."""

    kind: Text
    use: Text
    distribution: Text
    version: Text
    code: Digest


class BudgetRecord(Strict):
    """What a plugin may change of each photo, see `linkbench.api.budget.Budget`."""

    norm: Norm
    radius: Finite | None = None
    ceiling: Finite | None = None

    def budget(self) -> Budget:
        """As the harness kept it."""
        return Budget(self.norm, self.radius, self.ceiling)


class CellRecord(Strict):
    """One cell: its place in the grid and what was measured there.

    success: success@k in a population of n, k and n those of the protocol; auc: area under the ROC curve by rank;
    change, poison_change: which records of `changes` belong to its photos, and to those that its model was trained on;
    control: whether the defender is what defences are compared with; budget, poison_budget: of defender and poison.
    Those three are None in entries made before they were recorded; `linkbench.leaderboard.facts` knows what they were.
    """

    id: Digest
    seed: int
    model: Text
    poison: Text
    defender: Text
    epsilon: Finite | None
    channel: Text
    attacker: Text
    success: Interval
    auc: Interval
    flags: list[Text]
    change: Digest
    poison_change: Digest | None = None
    control: bool | None = None
    budget: BudgetRecord | None = None
    poison_budget: BudgetRecord | None = None


class ChangeRecord(Strict):
    """What a defender, or a poison, really changed, measured by the harness, and what that cost.

    ssim: of published against original photos; linf: largest change of a pixel by the defender, before publication;
    seconds: of the whole stage; photos: how many it changed; poison: whether those are what a model was trained on.
    """

    id: Digest
    seed: int
    ssim: Interval
    linf: Finite
    seconds: Finite
    photos: int = Field(ge=1)
    poison: bool = False


class Entry(Strict):
    """A run on a leaderboard.

    population: M, how many genomes every photo was ranked among; ranks: what is known of every photo (see
    `linkbench.leaderboard.photos`), or None where that was kept back; examples: a rendered face before and after each
    defence, named by example_labels; digest: SHA-256 of all the rest.
    """

    leaderboard: Literal[1]
    name: str = Field(pattern=NAME)
    protocol: Protocol
    protocol_digest: Digest
    population: int = Field(ge=100)
    versions: dict[str, Text]
    device: Text
    machine: Text
    plugins: list[PluginRecord]
    sees: dict[str, list[Text]]
    eight_bit: dict[str, bool]
    scenario: dict[str, Any]
    failed: list[Text]
    changes: list[ChangeRecord]
    cells: list[CellRecord]
    ranks: str | None
    examples: str | None
    example_labels: list[Text]
    digest: Digest

    def content(self) -> str:
        """The digest that belongs to this content."""
        return content_digest(self.record())


def content_digest(record: dict[str, Any]) -> str:
    """SHA-256 over everything but the digest itself."""
    return digest_of({name: value for name, value in record.items() if name != "digest"})


class Rerun(Strict):
    """A file beside an entry: somebody ran its scenario again and compared. It speaks of one content only."""

    entry: Digest
    device: Text
    machine: Text
    versions: dict[str, Text]
    cells: int
    identical: int
    largest: Finite
    tolerance: Finite


def text_of(record: dict[str, Any]) -> str:
    """A record as it is written: one line per cell, so that a change of one number is a change of one line."""
    lines = []
    for name, value in record.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            inner = ",\n".join(f"  {canonical(item)}" for item in value)
            lines.append(f" {json.dumps(name)}: [\n{inner}\n ]")
        else:
            lines.append(f" {json.dumps(name)}: {canonical(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def write(path: Path, record: Strict) -> None:
    """Write an entry or what was found about it, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text_of(record.record()))


def read(path: Path) -> Entry:
    """Read an entry. Raises InputError, saying what is wrong with it."""
    data = _load(path)
    if data.get("leaderboard") != VERSION:
        raise InputError(
            f"{path} is a leaderboard entry of version {data.get('leaderboard')!r}; this linkbench reads {VERSION}. "
            f"Make it again with 'linkbench leaderboard add'"
        )
    try:
        return Entry.model_validate_json(canonical(data))
    except ValidationError as error:
        raise InputError(f"{path} is no leaderboard entry: {_problems(error)}") from None


def read_rerun(path: Path, entry: Entry) -> Rerun | None:
    """What a rerun of this very content found; None where there was none. Raises InputError for a damaged file."""
    beside = rerun_path(path)
    if not beside.exists():
        return None
    try:
        found = Rerun.model_validate_json(canonical(_load(beside)))
    except ValidationError as error:
        raise InputError(f"{beside} is no record of a rerun: {_problems(error)}") from None
    return found if found.entry == entry.digest else None


def rerun_path(path: Path) -> Path:
    """Where the record of a rerun lies: NAME.rerun.json beside NAME.json."""
    return path.with_suffix(".rerun.json")


def _load(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as JSON ({error})") from None
    if not isinstance(data, dict):
        raise InputError(f"{path} holds no record")
    return data


def _problems(error: ValidationError) -> str:
    found = [f"{'.'.join(map(str, problem['loc']))}: {problem['msg'].lower()}" for problem in error.errors()[:5]]
    return "; ".join(found)
