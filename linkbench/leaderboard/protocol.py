"""The protocol: everything that must be equal for two rows to share a table, and its digest."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from linkbench.store.store import digest_of

K, N = 1, 100
"""Defenders are ranked by success@K in a population of N."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


Hex = Annotated[str, Field(pattern=r"^[0-9a-f]{8,64}$")]


class Data(_Strict):
    """genomes: digest of the table of probabilities; cohorts: by seed, digest of photos, labels, pairing and split."""

    genomes: Hex
    cohorts: dict[str, Hex]


class Metrics(_Strict):
    """What is measured, and how sure it is."""

    k: int = Field(ge=1)
    n: int = Field(ge=2)
    resamples: int = Field(ge=100, le=100_000)
    level: float = Field(gt=0.5, lt=1)


class Opponents(_Strict):
    """The threat model: who every defender must have met. Digests of plugin and parameters, by label."""

    models: dict[str, Hex]
    attackers: dict[str, Hex]


class Protocol(_Strict):
    """Two rows share a table only if all of this is equal; labels are for people and do not count."""

    version: int
    data: Data
    split: dict[str, float]
    opponents: Opponents
    metrics: Metrics

    def digest(self) -> str:
        """The protocol digest."""
        content = self.model_dump(mode="json")
        content["opponents"] = {name: sorted(found.values()) for name, found in content["opponents"].items()}
        return digest_of(content)

    def admits(self, other: Protocol) -> bool:
        """Whether a run of the other protocol may join this table: all is equal, and it met these opponents too."""
        same = all(getattr(self, part) == getattr(other, part) for part in ("version", "data", "split", "metrics"))
        return same and all(
            set(getattr(self.opponents, part).values()) <= set(getattr(other.opponents, part).values())
            for part in ("models", "attackers")
        )


def use_key(spec: dict[str, Any]) -> str:
    """Digest of a plugin of a resolved scenario with its parameters, whatever it is called there."""
    return digest_of([spec["kind"], spec["name"], spec["params"]])[:16]


def model_keys(models: list[dict[str, Any]]) -> dict[str, str]:
    """Digest of every model by name: architecture, recipe and the model it starts from."""
    keys: dict[str, str] = {}
    for model in models:  # a model starts from one above it
        start = keys[model["start"]] if model["start"] is not None else None
        keys[model["name"]] = digest_of([use_key(model["architecture"]), use_key(model["recipe"]), start])[:16]
    return keys


def looks(sees: list[str]) -> bool:
    """Whether an attacker looks at photos at all; the others are bounds that no defender can move."""
    return bool({"variants", "probabilities"} & set(sees))


def opponents(scenario: dict[str, Any], sees: dict[str, list[str]]) -> Opponents:
    """Everybody whom the defenders of a resolved scenario meet."""
    attackers = {spec["label"]: use_key(spec) for spec in scenario["attackers"] if looks(sees.get(spec["label"], []))}
    surrogates = {model["name"] for model in scenario["models"] if model.get("role") == "surrogate"}
    models = {name: key for name, key in model_keys(scenario["models"]).items() if name not in surrogates}
    return Opponents(models=models, attackers=attackers)


def protocol(scenario: dict[str, Any], sees: dict[str, list[str]], data: Data) -> Protocol:
    """The protocol of a resolved scenario on its data, with all its opponents."""
    measure = scenario["measure"]
    metrics = Metrics(k=K, n=N, resamples=measure["resamples"], level=measure["level"])
    return Protocol(version=1, data=data, split=scenario["split"], opponents=opponents(scenario, sees), metrics=metrics)
