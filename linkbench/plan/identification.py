"""The plan of an identification: photos in a gallery, protected or not, and who is recognised in other photos."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from linkbench.api.data import GALLERY, TEST
from linkbench.plan.facts import NOTHING
from linkbench.registry.registry import registry
from linkbench.registry.spec import Spec
from linkbench.scenario.met import facing

if TYPE_CHECKING:
    from linkbench.plan.builder import Builder

STAGES = "linkbench.stages.identify"


def add_cells(builder: Builder) -> None:
    """All cells of an identification scenario; results call the identifier the attacker."""
    scenario = builder.scenario
    settings = {"split": scenario.settings["split"], "gallery": scenario.settings["gallery"]["photos"]}
    for seed, cohort in itertools.product(scenario.seeds, scenario.specs["cohort"]):
        base = {"cohort": builder.add("cohort", f"{STAGES}:cohort", seed, specs={"cohort": cohort}, settings=settings)}
        place = {"seed": seed, "genomes": "none", "cohort": cohort.label, "poison": "none"}
        imaginary = registry().load("cohort", cohort.name).imaginary
        for opponent, channel in itertools.product(scenario.opponents, scenario.specs["channels"]):
            baseline: dict[str, str] = {}
            for defender in sorted(scenario.specs["defenders"], key=lambda spec: spec.name != NOTHING):
                model = facing(opponent, defender)
                train = builder.train(model, base, seed)
                probes = builder.add(
                    "embed", f"{STAGES}:embed", seed,
                    settings={"split": TEST}, inputs={"train": train, **base}, on_device=True,
                )  # fmt: skip
                protect = builder.protect(defender, channel, model, base, seed, split=GALLERY)
                publish, quality = builder.publish(protect, channel, base, seed, imaginary, split=GALLERY)
                gallery = builder.add(
                    "embed", f"{STAGES}:embed", seed, inputs={"train": train, "published": publish}, on_device=True
                )
                steps = {
                    **base, "train": train, "probes": probes, "protect": protect, "publish": publish,
                    "quality": quality, "gallery": gallery,
                }  # fmt: skip
                here = {
                    **place, "model": model.name, "defender": defender.label,
                    "epsilon": defender.params.get("epsilon"), "channel": channel.label,
                }  # fmt: skip
                for identifier in scenario.specs["identifiers"]:
                    ranked, measured = _last_steps(builder, identifier, defender, steps, baseline, seed)
                    if defender.name == NOTHING:
                        baseline[identifier.label] = ranked
                    played = {
                        "cohort": cohort, "model": model.architecture, "defender": defender, "channel": channel,
                        "attacker": identifier,
                    }  # fmt: skip
                    builder.place(
                        {**here, "attacker": identifier.label},
                        played,
                        {**steps, "rank": ranked, "measure": measured},
                        builder.seen(model, defender),
                    )


def _last_steps(
    builder: Builder, identifier: Spec, defender: Spec, steps: dict[str, str], baseline: dict[str, str], seed: int
) -> tuple[str, str]:
    """The identifier at work, with no more inputs than it sees, and the measurement."""
    sees = registry().load("identifier", identifier.name).sees
    inputs = {"cohort": steps["cohort"]}
    if "embeddings" in sees:
        inputs |= {name: steps[name] for name in ("gallery", "probes")}
    if "photos" in sees:
        inputs |= {"train": steps["train"], "published": steps["publish"]}
    rank = builder.add(
        "rank", f"{STAGES}:rank", seed, specs={"identifier": identifier}, inputs=inputs, on_device="photos" in sees
    )
    settings: dict[str, Any] = builder.scenario.measure.model_dump(by_alias=True)
    compared = {"baseline": baseline[identifier.label]} if identifier.label in baseline else {}
    measure = builder.add(
        "measure", f"{STAGES}:measure", seed, specs={"defender": defender}, settings=settings,
        inputs={"rank": rank, **{name: steps[name] for name in ("cohort", "quality", "gallery")}, **compared},
        light=True,
    )  # fmt: skip
    return rank, measure
