"""The kinds of plugin, one record each: all that linkbench knows of a kind follows from its record, as plain data."""

from __future__ import annotations

from typing import NamedTuple


class Kind(NamedTuple):
    """What belongs to a kind of plugin.

    what: a line about them; hook: the function by which a package registers its plugins; base: their base class in
    linkbench.api.base; title: heading of their documentation; checks: the module with the conformance `CHECKS`;
    sections: the sections of a scenario that list them, none where they are named inside the entries of `models`, or
    by an option of `linkbench run`; option: that option;
    does, example: what the plugin of the template (linkbench/testing/template/<kind>.py.in) does, and a parameter of
    it as a scenario, or the option `--with`, writes it.
    """

    what: str
    hook: str
    base: str
    title: str
    checks: str
    sections: tuple[str, ...]
    does: str
    example: str
    option: str = ""

    def usage(self, kind: str, name: str) -> str:
        """How a plugin of the template is used, plainly and with its parameter, in Markdown."""
        if self.option:
            chosen = f"linkbench run scenario.yaml {self.option} {name}"
            return f"On the command line:\n\n```console\n{chosen}\n{chosen} --with {self.example}\n```"
        return f"In a scenario:\n\n```yaml\n{self.in_scenario(kind, name)}\n```"

    def in_scenario(self, kind: str, name: str) -> str:
        """Lines of a scenario that use a plugin of the template, plainly and with its parameter."""
        varied = f"{{use: {name}, {self.example}}}"
        if self.sections:
            return f"{self.sections[-1]}:\n  - {name}\n  - {varied}"
        return f"models:\n  - {{name: first, {kind}: {name}}}\n  - {{name: second, {kind}: {varied}}}"


KINDS = {
    "genomes": Kind(
        what="Genome sources: tables of log P(variant | genome).",
        hook="register_genomes",
        base="GenomeSource",
        title="Genomes",
        checks="linkbench.testing.genomes",
        sections=("genomes",),
        does="genomes that say much or little about their bearers",
        example="certainty: 0.9",
    ),
    "cohort": Kind(
        what="Cohort sources: photos or published predictions of people.",
        hook="register_cohorts",
        base="CohortSource",
        title="Cohorts",
        checks="linkbench.testing.cohorts",
        sections=("cohort",),
        does="striped pictures in colours of the phenotypes, with noise",
        example="noise: 0.1",
    ),
    "architecture": Kind(
        what="Architectures of predictors: networks from photos to log-probabilities.",
        hook="register_architectures",
        base="Architecture",
        title="Architectures",
        checks="linkbench.testing.architectures",
        sections=(),
        does="two layers of convolution and a mean",
        example="width: 16",
    ),
    "recipe": Kind(
        what="Recipes: how a predictor is trained.",
        hook="register_recipes",
        base="Recipe",
        title="Recipes",
        checks="linkbench.testing.recipes",
        sections=(),
        does="ordinary training on photos with noise",
        example="noise: 0.05",
    ),
    "defender": Kind(
        what="Defenders: photos to photos, within a budget.",
        hook="register_defenders",
        base="Defender",
        title="Defenders",
        checks="linkbench.testing.defenders",
        sections=("poisons", "defenders"),
        does="flattens contrast, a little at random",
        example="epsilon: 8/255",
    ),
    "channel": Kind(
        what="Channels: what posting does to a photo.",
        hook="register_channels",
        base="Channel",
        title="Channels",
        checks="linkbench.testing.channels",
        sections=("channels",),
        does="rounds colours to a few levels",
        example="levels: 8",
    ),
    "attacker": Kind(
        what="Attackers: scores of photos and genomes.",
        hook="register_attackers",
        base="Attacker",
        title="Attackers",
        checks="linkbench.testing.attackers",
        sections=("attackers",),
        does="expected log-probability under sharpened predictions",
        example="sharpness: 4.0",
    ),
    "identifier": Kind(
        what="Identifiers: names for the people in photos, from a gallery of named photos.",
        hook="register_identifiers",
        base="Identifier",
        title="Identifiers",
        checks="linkbench.testing.identifiers",
        sections=("identifiers",),
        does="the person whose mean photo is nearest",
        example="pull: 0.2",
    ),
    "executor": Kind(
        what="Executors: who carries out the stages of a run, here or on other machines.",
        hook="register_executors",
        base="Executor",
        title="Executors",
        checks="linkbench.testing.executors",
        sections=(),
        does="a fresh process for every job",
        example="at_once=3",
        option="--executor",
    ),
}
"""Every kind by its name, in the order in which they are listed. CONTRIBUTING says how a new one is added."""

SECTIONS = {section: kind for kind, record in KINDS.items() for section in record.sections}
"""Sections of a scenario that list plugins, and the kind of each; which of them a scenario has is its task's."""
