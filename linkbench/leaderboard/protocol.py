"""The protocol: everything that must be equal for two rows to share a table, and its digest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from linkbench.store.store import digest_of

VERSION = 2
"""Version of these rules."""

K, N = 1, 100
"""Defenders are ranked by success@K in a population of N."""

LEAST_SSIM = 0.5
"""A defence whose photos are less like the originals than this is shown, but gets no rank."""

NAMED = "0" * 32
"""Stands for the genomes where there are none."""

BUDGETS = (2 / 255, 4 / 255, 8 / 255)
"""Rows are ranked among those whose change of a pixel has the same bound; what is larger is a class of its own."""

SAME_LOOK = 2.0 / 255.0
"""Photos that another machine draws may differ from the protocol's by so much in the mean colour of an area."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


Hex = Annotated[str, Field(pattern=r"^[0-9a-f]{8,64}$")]
Label = Annotated[str, Field(max_length=200)]


class Source(_Strict):
    """What makes a cohort: a plugin with its parameters, those without that name files; files: their digests."""

    use: Label
    params: dict[str, Any]
    files: dict[str, Hex] = Field(default_factory=dict)


class Data(_Strict):
    """Who is linked to what.

    cohort: what makes it; genomes: digest of the table of probabilities, six decimals, NAMED where people are found
    among those of a gallery; population: how many genomes, or people, there are; people: by seed, digest of who is in
    which linked photo, in order; look: by seed, mean colours of areas of the linked photos, where they were at hand.
    """

    cohort: Source
    genomes: Hex
    population: int = Field(ge=1)
    people: dict[str, Hex]
    look: dict[str, list[float]] = Field(default_factory=dict)


class Metrics(_Strict):
    """What is measured, and how sure it is."""

    k: int = Field(ge=1)
    n: int = Field(ge=2)
    resamples: int = Field(ge=100, le=100_000)
    level: float = Field(gt=0.5, lt=1)


class Opponents(_Strict):
    """The threat model: who every defender must have met. Digests of plugin and parameters, by label.

    oracles: attackers that are told something true of those whom they link; they are no opponents, but shown.
    """

    models: dict[str, Hex]
    attackers: dict[str, Hex]
    oracles: dict[str, Hex] = Field(default_factory=dict)


class Rules(_Strict):
    """What a table asks of rows besides the scenario.

    name: of a protocol of the toolkit, empty for others; least_ssim: below it a row gets no rank; budgets: bounds on
    the change of a pixel that make the classes of rows.
    """

    name: Label = ""
    least_ssim: float = Field(LEAST_SSIM, ge=0, le=1)
    budgets: list[float] = Field(default_factory=lambda: list(BUDGETS))


COMMON = Rules()
"""Of tables without a name."""


class Protocol(_Strict):
    """Two rows share a table only if all of this is equal; labels are for people and do not count.

    codes: `kind/plugin` -> digest of the code of everything but what is ranked: data, models and attackers.
    """

    version: int
    data: Data
    split: dict[str, float]
    opponents: Opponents
    codes: dict[Label, Hex]
    metrics: Metrics
    rules: Rules

    def digest(self) -> str:
        """The protocol digest; how photos look depends on the machine by a rounding, and does not count."""
        content = self.model_dump(mode="json", exclude={"data": {"look"}})
        content["opponents"] = {name: sorted(found.values()) for name, found in content["opponents"].items()}
        return digest_of(content)

    def differences(self, other: Protocol) -> list[str]:
        """Why a run of the other protocol may not join this table, in words; empty where it may."""
        out = [
            f"another {part}" for part in ("version", "split", "metrics") if getattr(self, part) != getattr(other, part)
        ]
        if self.rules != other.rules:
            out.append("another named protocol, floor of visibility, or other classes of budgets")
        if self.data.cohort != other.data.cohort:
            out.append("another cohort")
        if (self.data.genomes, self.data.population) != (other.data.genomes, other.data.population):
            out.append("other genomes")
        if self.data.people != other.data.people:
            out.append("other people are linked, or they are grouped otherwise, or with other seeds")
        elif not _alike(self.data.look, other.data.look):
            out.append("the photos look different by more than rounding")
        for part in ("models", "attackers", "oracles"):
            missing = set(getattr(self.opponents, part).values()) - set(getattr(other.opponents, part).values())
            names = [name for name, key in getattr(self.opponents, part).items() if key in missing]
            out += [f"it lacks {part}: {', '.join(names)}"] if names else []
        others = [name for name, code in self.codes.items() if other.codes.get(name) != code]
        return [*out, f"other code of {', '.join(others)}"] if others else out

    def admits(self, other: Protocol) -> bool:
        """Whether a run of the other protocol may join this table: all is equal, and it met these opponents too."""
        return not self.differences(other)


def _alike(one: Mapping[str, list[float]], two: Mapping[str, list[float]]) -> bool:
    """Whether photos look the same but for rounding, where both are known."""
    return all(
        len(one[seed]) == len(two[seed])
        and all(abs(a - b) <= SAME_LOOK for a, b in zip(one[seed], two[seed], strict=True))
        for seed in set(one) & set(two)
    )


def use_key(spec: dict[str, Any]) -> str:
    """Digest of a plugin of a resolved scenario with its parameters, whatever it is called there."""
    return digest_of([spec["kind"], spec["name"], spec["params"]])[:16]


def model_keys(models: list[dict[str, Any]]) -> dict[str, str]:
    """Digest of every model by name: architecture, recipe, the model it starts from, and whether defences see it."""
    keys: dict[str, str] = {}
    for model in models:  # a model starts from one above it
        start = keys[model["start"]] if model["start"] is not None else None
        parts = [use_key(model["architecture"]), use_key(model["recipe"]), start]
        keys[model["name"]] = digest_of([*parts, "sealed"] if model.get("sealed") else parts)[:16]
    return keys


Codes = Mapping[tuple[str, str], str]
"""By kind and name of a plugin the digest of its code, as a run recorded it."""


def codes_of(specs: Iterable[dict[str, Any]], recorded: Codes) -> dict[str, str]:
    """`kind/plugin` -> digest of the code of the plugins of a resolved scenario, and of those inside them."""
    out: dict[str, str] = {}
    for spec in specs:
        for kind, name in [(spec["kind"], spec["name"]), *_inside(spec["params"])]:
            for place in [(kind, name)] if (kind, name) in recorded else [at for at in recorded if at[1] == name]:
                out[f"{place[0]}/{place[1]}"] = recorded[place]
    return dict(sorted(out.items()))


def _inside(params: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Plugins that parameters name, with what the parameter is called, which is their kind where it is one."""
    if isinstance(params, dict):
        if set(params) == {"use", "params"}:
            yield key, str(params["use"])
        for name, value in params.items():
            yield from _inside(value, key if name == "params" else name.removesuffix("s"))
    elif isinstance(params, list):
        for value in params:
            yield from _inside(value, key)


def looks(sees: list[str]) -> bool:
    """Whether an attacker looks at photos at all; the others are bounds that no defender can move."""
    return bool({"variants", "probabilities", "embeddings", "photos"} & set(sees))


def who_links(scenario: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The attackers of a resolved scenario, or its identifiers, which results call attackers."""
    return [*scenario["attackers"], *scenario["identifiers"]]


def parts_of(scenario: Mapping[str, Any]) -> dict[str, float]:
    """The parts of the people, and of an identification how many photos of each are in the gallery; 0: half of them."""
    gallery = scenario.get("gallery")
    return {**scenario["split"], **({} if gallery is None else {"gallery": gallery["photos"] or 0})}


Wanted = tuple[set[str], set[str]]
"""Digests of the models and attackers that a protocol asks for."""


def opponents(scenario: dict[str, Any], sees: dict[str, list[str]], wanted: Wanted | None = None) -> Opponents:
    """Everybody whom the defenders of a resolved scenario meet; of those the wanted ones alone, if any are."""
    looking = [spec for spec in who_links(scenario) if looks(sees.get(spec["label"], []))]
    looking = [spec for spec in looking if wanted is None or use_key(spec) in wanted[1]]
    told = {spec["label"] for spec in looking if "truth" in sees[spec["label"]]}
    surrogates = {model["name"] for model in scenario["models"] if model.get("role") == "surrogate"}
    return Opponents(
        models={
            name: key
            for name, key in model_keys(scenario["models"]).items()
            if name not in surrogates and (wanted is None or key in wanted[0])
        },
        attackers={spec["label"]: use_key(spec) for spec in looking if spec["label"] not in told},
        oracles={spec["label"]: use_key(spec) for spec in looking if spec["label"] in told},
    )


def protocol(
    scenario: dict[str, Any],
    sees: dict[str, list[str]],
    data: Data,
    recorded: Codes,
    rules: Rules = COMMON,
    wanted: Wanted | None = None,
) -> Protocol:
    """The protocol of a resolved scenario on its data, with all its opponents, or with the wanted ones alone."""
    measure = scenario["measure"]
    met = opponents(scenario, sees, wanted)
    looking = [spec for spec in who_links(scenario) if spec["label"] in {**met.attackers, **met.oracles}]
    kept = _with_starts(scenario["models"], set(met.models))
    models = [model[part] for model in kept for part in ("architecture", "recipe")]
    return Protocol(
        version=VERSION,
        data=data,
        split=parts_of(scenario),
        opponents=met,
        codes=codes_of([*scenario["cohort"], *scenario["genomes"], *models, *looking], recorded),
        metrics=Metrics(k=K, n=N, resamples=measure["resamples"], level=measure["level"]),
        rules=rules,
    )


def _with_starts(models: list[dict[str, Any]], names: set[str]) -> list[dict[str, Any]]:
    """The models of these names, and those that they start from."""
    for model in reversed(models):  # a model starts from one above it
        if model["name"] in names and model["start"] is not None:
            names = names | {model["start"]}
    return [model for model in models if model["name"] in names]


def row_key(poison: dict[str, Any], defender: dict[str, Any], recorded: Codes) -> str:
    """Digest of what a row is: the plugins with their parameters and their code."""
    return digest_of([use_key(poison), use_key(defender), codes_of([poison, defender], recorded)])[:16]
