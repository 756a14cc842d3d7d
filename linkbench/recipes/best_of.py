"""The attacker who tries several recipes and keeps what works: a poison is worth what it does against this one."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator

from linkbench.api.base import Recipe
from linkbench.api.fields import MetDefender, PhenotypeName, RecipeSpecs, nested
from linkbench.registry.spec import known_tool, label, nested_plugin

if TYPE_CHECKING:
    from torch import nn

    from linkbench.api.training_data import Examples, Report, TrainingData
    from linkbench.models.losses import Score

QUICK_ADVERSARIAL = {
    "use": "adversarial",
    "defender": {"use": "joint-pgd", "steps": 3},
    "epsilon": 8 / 255,
    "passes": 8,
    "copies": 1,
}
"""Adversarial training at about twice the cost of standard training, within the usual budget of poisons."""

DEFAULT = ["standard", "grayscale", "jpeg", "blur", "bit-depth", "median", "orthogonal-projection", QUICK_ADVERSARIAL]


class BestOf(Recipe):
    """Train a network by each recipe, all from the same weights, and keep the one that does best on the validation
    photos, by balanced accuracy.

    The validation photos are clean: poisons change training photos alone, as an attacker is sure to have a few photos
    whose origin he knows. Against a tool that protects the linked photos, `defender` names it: he then chooses by
    validation photos that he protected with it. So `best-of` filters around `pretrained`, started from another model,
    is an attacker who cleans what he scraped as well as he can. Among equals the first recipe wins. The validation
    labels also stop each candidate early.
    """

    recipes: RecipeSpecs = nested("recipe", DEFAULT, "the candidates")
    defender: MetDefender = nested(
        "defender",
        "none",
        "the tool that protects the validation photos that decide, and sees the network as it starts; null: each that "
        "the model meets, one choice each",
    )
    phenotype: PhenotypeName | None = Field(
        None, description="whose balanced accuracy decides; null: the mean over all phenotypes"
    )

    @field_validator("recipes")
    @classmethod
    def _one_level(cls, value: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if any(item["use"] == "best-of" for item in value):
            raise ValueError("best-of cannot stand inside best-of; write all recipes into one list")
        if any(item in value[:place] for place, item in enumerate(value)):
            raise ValueError("the same recipe stands there twice")
        return value

    @classmethod
    def trial(cls, folder: Path) -> dict[str, Any]:
        quick = {"use": "standard", "epochs": 1}
        return {"recipes": [quick, {"use": "grayscale", "recipe": quick}]}

    def names(self) -> list[str]:
        """A name for each recipe, with the parameters that tell it from others of the same kind."""
        out = []
        for item in self.recipes:
            twins = [other["params"] for other in self.recipes if other["use"] == item["use"]]
            differing = {key: value for key, value in item["params"].items() if any(one[key] != value for one in twins)}
            out.append(label(item["use"], differing))
        return out

    def train(self, network: nn.Module, data: TrainingData) -> Report:
        """Raises InputError where there are no labelled validation photos to choose by."""
        from linkbench.harness.protected_examples import protected_by

        self._check(data)
        with TemporaryDirectory(prefix="linkbench-") as folder:
            tool = known_tool(self.defender, "best-of")
            judges = protected_by(data, data.validation, network, tool, Path(folder, "judges"), "best-of")
            report = self._choose(network, data, judges)
            del judges  # maps must be closed before the folder goes
        return report

    def _choose(self, network: nn.Module, data: TrainingData, judges: Examples) -> Report:
        """Train all, put the winner's weights into the network and tell of all."""
        import copy

        from linkbench.api import seeds
        from linkbench.harness.filtered_training import train
        from linkbench.models.filters import look_through
        from linkbench.models.losses import Losses
        from linkbench.models.seeding import seeded
        from linkbench.models.training import examine

        losses = Losses(data.schema, data.training.labels, 1.0, data.device)
        found: list[tuple[float, nn.Module, Report]] = []
        candidates: list[dict[str, Any]] = []
        for name, item in zip(self.names(), self.recipes, strict=True):
            candidate = copy.deepcopy(network)
            recipe: Recipe = nested_plugin(item, "recipe")
            with seeded(data.device, seeds.derive(data.seed, "recipe")):  # as if it had been trained alone
                report = train(recipe, candidate, data)
            looking = look_through(report.filters, candidate)
            scores = examine(looking, judges, losses, data.device)
            each = dict(zip(data.schema, scores, strict=True))
            score = self.score(each)
            found.append((score, candidate, report))
            described = {phenotype: one.balanced for phenotype, one in each.items()}
            candidates.append({"recipe": name, "score": score, "balanced": described})
        best = max(range(len(found)), key=lambda place: found[place][0])
        _, winner, report = found[best]
        network.load_state_dict(winner.state_dict())
        report.candidates = [{**one, "chosen": place == best} for place, one in enumerate(candidates)]
        return report

    def score(self, scores: dict[str, Score]) -> float:
        """The balanced accuracy that decides."""
        chosen = [scores[self.phenotype]] if self.phenotype is not None else list(scores.values())
        known = [one.balanced for one in chosen if one.balanced is not None]
        return sum(known) / len(known)

    def _check(self, data: TrainingData) -> None:
        from linkbench.api.data import MISSING
        from linkbench.errors import InputError

        schema, labels = data.schema, data.validation.labels
        if self.phenotype is not None and self.phenotype not in schema:
            raise InputError(f"best-of: there is no phenotype {self.phenotype!r}; there are: {', '.join(schema)}")
        columns = range(len(schema)) if self.phenotype is None else [schema.names.index(self.phenotype)]
        if not len(labels) or all((labels[:, column] == MISSING).all() for column in columns):
            what = "photos" if not len(labels) else f"labels for {self.phenotype or 'any phenotype'}"
            raise InputError(
                f"best-of chooses between recipes by validation photos, but the validation part has no {what}; give "
                f"split.validation more people, or name one recipe instead"
            )
