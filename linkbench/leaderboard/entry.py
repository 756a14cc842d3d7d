"""The record that a leaderboard keeps of a run: its schema, its digest, and how it is read and written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from linkbench.api.budget import Budget, Norm
from linkbench.errors import InputError
from linkbench.leaderboard.protocol import Protocol
from linkbench.results.folder import write_text
from linkbench.scenario.file import NAME
from linkbench.store.store import canonical, digest_of

VERSION = 2
"""Version of the entry format; another one is refused before anything else is looked at."""

MOST_TOLERANCE = 0.02
"""A rerun whose numbers were allowed to be further off earns no badge."""

DIGITS = 6
"""Decimals of every number that is recomputed."""

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{8,64}$")]


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("a letter in it steers terminals or has no shape")
    return text


def _ordered(ends: tuple[float, float, float]) -> tuple[float, float, float]:
    if not ends[1] <= ends[0] <= ends[2]:
        raise ValueError("the number lies outside its interval")
    return ends


Text = Annotated[str, Field(max_length=200), AfterValidator(_printable)]
Link = Annotated[str, Field(max_length=200, pattern=r"^(https://[!-~]+)?$")]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(allow_inf_nan=False, ge=0)]
Share = Annotated[float, Field(allow_inf_nan=False, ge=0, le=1)]
Likeness = Annotated[float, Field(allow_inf_nan=False, ge=-1, le=1)]
Interval = Annotated[tuple[Share, Share, Share], AfterValidator(_ordered)]
"""A share and the two ends of its interval."""


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
    budget, poison_budget: of defender and poison.
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
    budget: BudgetRecord
    poison_budget: BudgetRecord


class ChangeRecord(Strict):
    """What a defender, or a poison, really changed, measured by the harness, and what that cost.

    ssim: of published against original photos; linf: largest change of a pixel by the defender, before publication;
    seconds: of the whole stage; photos: how many it changed; poison: whether those are what a model was trained on;
    gallery: whether they are what an identifier learned the names from, not those in which it names people.
    """

    id: Digest
    seed: int
    ssim: Annotated[tuple[Likeness, Likeness, Likeness], AfterValidator(_ordered)]
    linf: Positive
    seconds: Positive
    photos: int = Field(ge=1)
    poison: bool = False
    gallery: bool = False

    @property
    def part(self) -> str:
        """Which photos were changed: `linked`, `poison` or `gallery`."""
        return "poison" if self.poison else "gallery" if self.gallery else "linked"


class Entry(Strict):
    """A run on a leaderboard.

    population: M, how many genomes, or people of a gallery, every photo was ranked among; ranks: what is known of every
    photo (see `linkbench.leaderboard.photos`), or None where that was kept back; examples: a rendered face before and
    after each defence, named by example_labels; look: by seed, mean colours of areas of the linked photos; authors,
    paper, source and date: who stands behind it; requirements: the distributions that a rerun needs; digest: SHA-256 of
    all the rest.
    """

    leaderboard: Literal[2]
    name: str = Field(pattern=NAME)
    authors: list[Text] = Field(default_factory=list)
    paper: Link = ""
    source: Link = ""
    date: str = Field("", pattern=r"^(\d{4}-\d{2}-\d{2})?$")
    protocol: Protocol
    protocol_digest: Digest
    population: int = Field(ge=100)
    versions: dict[Text, Text]
    requirements: list[Text]
    device: Text
    machine: Text
    plugins: list[PluginRecord]
    sees: dict[Text, list[Text]]
    eight_bit: dict[Text, bool]
    look: dict[str, list[Share]] = Field(default_factory=dict)
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

    def codes(self) -> dict[tuple[str, str], str]:
        """By kind and name of every plugin the digest of its code."""
        return {(plugin.kind, plugin.use): plugin.code for plugin in self.plugins}


def content_digest(record: dict[str, Any]) -> str:
    """SHA-256 over everything but the digest itself."""
    return digest_of({name: value for name, value in record.items() if name != "digest"})


class Rerun(Strict):
    """A file beside an entry: somebody ran its scenario again and compared. It speaks of one content only.

    seed: of the people and opponents where they were fresh ones, None where they were the entry's; identical: cells
    whose every photo has the same rank; largest: how far a number was off (fresh people: how much less a defence took
    away); tolerance: how far one was allowed to be off; key, signature: ed25519, hexadecimal, of who vouches for it.
    """

    entry: Digest
    seed: int | None = None
    device: Text
    machine: Text
    versions: dict[Text, Text]
    cells: int = Field(ge=1)
    identical: int = Field(ge=0)
    largest: Finite
    tolerance: Share
    key: str = Field("", pattern=r"^([0-9a-f]{64})?$")
    signature: str = Field("", pattern=r"^([0-9a-f]{128})?$")

    def message(self) -> bytes:
        """What is signed: everything but the signature."""
        return canonical({name: value for name, value in self.record().items() if name != "signature"}).encode()


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
    data = load_record(path)
    if data.get("leaderboard") != VERSION:
        raise InputError(
            f"{path} is a leaderboard entry of version {data.get('leaderboard')!r}; this linkbench reads {VERSION}. "
            f"Make it again with 'linkbench leaderboard add'"
        )
    try:
        return Entry.model_validate_json(canonical(data))
    except ValidationError as error:
        raise InputError(f"{path} is no leaderboard entry: {problems(error)}") from None


def read_reruns(path: Path, entry: Entry) -> list[Rerun]:
    """What reruns of this very content found: with its people, and with fresh ones. Raises InputError for damage."""
    out = []
    for beside in (rerun_path(path), rerun_path(path, fresh=True)):
        if beside.exists():
            found = read_rerun(beside)
            out += [found] if found.entry == entry.digest else []
    return out


def read_rerun(path: Path) -> Rerun:
    """The record of a rerun. Raises InputError for a damaged file."""
    try:
        return Rerun.model_validate_json(canonical(load_record(path)))
    except ValidationError as error:
        raise InputError(f"{path} is no record of a rerun: {problems(error)}") from None


def rerun_path(path: Path, *, fresh: bool = False) -> Path:
    """Where the record of a rerun lies: NAME.rerun.json beside NAME.json, with fresh people NAME.fresh.json."""
    return path.with_suffix(".fresh.json" if fresh else ".rerun.json")


def is_rerun(path: Path) -> bool:
    """Whether a file of the folder of entries is such a record."""
    return path.name.endswith((".rerun.json", ".fresh.json"))


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def load_record(path: Path) -> dict[str, Any]:
    """A JSON object from a file, its numbers finite. Raises InputError."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_number)
        canonical(data)  # 1e999 reads as infinity
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as JSON ({error})") from None
    if not isinstance(data, dict):
        raise InputError(f"{path} holds no record")
    return data


def problems(error: ValidationError) -> str:
    """The first problems of a record, with their places."""
    found = [f"{'.'.join(map(str, problem['loc']))}: {problem['msg'].lower()}" for problem in error.errors()[:5]]
    return "; ".join(found)
