"""The kinds of plugin: what each must do, and what the harness does for it.

A plugin is a class with typed fields (its parameters) and one method. Its module is imported to list and to validate
its parameters, so the module itself must be light: import torch and other heavy packages inside the method.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from linkbench.api.budget import Budget
from linkbench.api.fields import Fraction01, InputPath, ModelNames
from linkbench.api.resources import Resources
from linkbench.api.schema import PAPER, Schema

if TYPE_CHECKING:
    from torch import Tensor, nn

    from linkbench.api.data import Array, Artefact, Cohort, Evidence, Genomes
    from linkbench.api.executor import Site, Workers
    from linkbench.api.gallery import Faces, Gallery
    from linkbench.api.knowledge import Knowledge, StudySet
    from linkbench.api.training_data import Report, TrainingData


class Plugin(BaseModel):
    """Base of all plugins: parameters are fields, values are checked, unknown names are refused."""

    # deferred: many of these classes are made for a listing, few are used
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_default=False, defer_build=True)

    libraries: ClassVar[tuple[str, ...]] = ()
    """Distributions whose code decides what the plugin does; their installed versions become part of the cache key."""

    resources: ClassVar[Resources] = Resources()
    """What a stage that uses the plugin needs beyond one core, and all of a GPU where it computes on one."""

    def input_files(self) -> list[Path]:
        """Files and folders of the user that this plugin reads; their content becomes part of the cache key."""
        return []

    def code_modules(self) -> list[str]:
        """Modules that the parameters name and whose code decides what the plugin does; part of the cache key."""
        return []

    @classmethod
    def trial(cls, folder: Path) -> dict[str, Any]:
        """Parameters with which `linkbench check` tries the plugin: those without a default, and small sizes.

        folder: an empty one, for files that the plugin must be given.
        """
        return {}


class GenomeSource(Plugin):
    """Kind `genomes`: gives the table of log P(variant | genome)."""

    def phenotypes(self) -> Schema:
        """The schema of the table, known without building it. Raises InputError if a file cannot be read."""
        return PAPER

    def tells_ancestry(self) -> bool:
        """Whether `Genomes.ancestry` is given."""
        return False

    def believed_of(self) -> dict[str, Any] | None:
        """The genomes of which this is what attackers believe, as the value of a field made by `nested`: cohorts are
        drawn from those. None (as here): everybody is given the same table."""
        return None

    def build(self, seed: int) -> Genomes:
        """The genomes; the same for the same parameters and seed."""
        raise NotImplementedError


class CohortSource(Plugin):
    """Kind `cohort`: gives photos, or published predictions, of people and says which genome is whose.

    The harness checks the labels and splits the people; a cohort that leaves `split` all zero (TRAIN)
    is split by identity as the scenario says, one with published predictions only is linked whole.
    """

    has_photos: ClassVar[bool] = True
    """False for a cohort that brings published predictions instead of photos."""

    imaginary: ClassVar[bool] = False
    """True where no photo shows a real person, so that reports may show examples."""

    redraws: ClassVar[bool] = False
    """Whether its people can be drawn again with other phenotypes; then `redraw` must be given too."""

    def build(self, genomes: Genomes, seed: int) -> Cohort:
        """The cohort, paired with these genomes; the same for the same parameters, genomes and seed."""
        raise NotImplementedError

    def people(self, seed: int) -> Cohort | None:
        """Photos and who is in them, for the task `identification`; None (as here): built with simulated genomes.

        Where `split` is all zero (TRAIN) the harness splits people, and the photos of those who are to be identified
        into gallery and probes; labels and true genomes are not looked at.
        """
        return None

    def redraw(self, rows: Array, variants: Array, seed: int) -> Array:
        """The photos of some rows of the cohort, int64 [n], as they would be if their people had the variants
        int64 [n, P]: uint8 [n, 3, h, w]; all else in them stays. seed: that of `build`."""
        raise NotImplementedError


class Attacker(Plugin):
    """Kind `attacker`: scores how well photos and genomes fit, higher is better."""

    sees: ClassVar[frozenset[str]] = frozenset({"variants"})
    """What the attacker is shown about a photo: any of `variants`, `probabilities`, `truth`, and `ancestry`, of the
    person and the genomes."""

    decided: ClassVar[bool] = False
    """True where of the probabilities of a phenotype's variants nothing counts but which is largest, and whether all
    are equal; then votes certify what an attacker of linkbench's own reaches, as where none are shown at all."""

    joint: ClassVar[bool] = False
    """True where all photos of a population are matched at once; then `compete` must be given too."""

    def learns_from(self) -> frozenset[str]:
        """Which photos of other people `learn` is given: `clean`, as they are, and `protected`, by the attacker with
        the tool that he meets and posted as the linked ones are. None where nothing is learned."""
        return frozenset() if type(self).learn is Attacker.learn else frozenset({"clean"})

    def pools(self) -> int:
        """How many photos of a person it looks at together, at most. With more than one, `evidence.person` numbers the
        groups of photos that it scores, from 0, and `score` returns a row for each group."""
        return 1

    def leaks(self) -> float:
        """The part of a linked person's photos that it has as they were before any defence; `evidence.protected` then
        says which are not among them."""
        return 0.0

    def learn(self, training: Evidence, labels: Array) -> Any:
        """What the attacker learns from labelled photos of other people (int64 [n, P]); handed to `score`."""
        return None

    def score(self, evidence: Evidence, genomes: Genomes, learned: Any) -> Array:
        """float64 [n, m], the score of each photo (or group, see `pools`) and genome; each pair depends on nothing but
        that pair."""
        raise NotImplementedError

    def compete(self, scores: Array) -> Array:
        """Scores of all photos of one population, float64 [n, m], after they have competed for the genomes."""
        raise NotImplementedError


class Identifier(Plugin):
    """Kind `identifier`: names the person in a photo, from photos of known people; attacks in identification."""

    sees: ClassVar[frozenset[str]] = frozenset({"embeddings"})
    """What it is shown of photos: any of `embeddings` (what the attacker's network makes of them) and `photos`, with
    which comes the network itself."""

    def learn(self, gallery: Gallery) -> Any:
        """What it learns from the gallery, once; handed to `score`."""
        raise NotImplementedError

    def score(self, probes: Faces, learned: Any) -> Array:
        """float64 [n, people], how well each probe fits each person, higher is better; no probe bears on another."""
        raise NotImplementedError


class Architecture(Plugin):
    """Kind `architecture`: an untrained predictor."""

    def build(self, schema: Schema, size: int) -> nn.Module:
        """A network from photos float [n, 3, size, size] in [0, 1] to logits [n, V], columns as in the schema.

        Weights are drawn from torch's global generator, which the harness has seeded. The network normalises
        photos itself if it wants to; each phenotype's logits are independent of the others' columns.
        """
        raise NotImplementedError

    def without_weights(self) -> Architecture:
        """The same architecture with nothing read from files, for weights that come later; itself where it reads none.

        One with a parameter that names a file of initial weights returns a copy without it.
        """
        return self


class Recipe(Plugin):
    """Kind `recipe`: how a predictor is trained."""

    trains: ClassVar[bool] = True
    """False for a recipe that leaves the network as it is."""

    people: ClassVar[bool] = False
    """True for a recipe that tells people apart and can learn nothing else."""

    adapts: ClassVar[bool] = False
    """True for a recipe that trains on what the defender in its parameters puts out."""

    def starts_from(self) -> Artefact | None:
        """A trained predictor, as of the train stage, that the network starts from; it brings the architecture.

        Raises InputError where it cannot be read. None, as here: from the model's own architecture and `start`.
        """
        return None

    def train(self, network: nn.Module, data: TrainingData) -> Report:
        """Train the network in place and return its training curves; randomness only from the data's seed."""
        raise NotImplementedError


class Defender(Plugin):
    """Kind `defender`: photos to photos, within a budget.

    The harness cuts batches, moves them to the device, puts networks into evaluation mode, hands out random numbers
    photo by photo, takes the result back to the budget that `budget` states and to [0, 1], and measures what was really
    changed.
    """

    control: ClassVar[bool] = False
    """True for what a defence is compared with and nobody would use: the photo as it is, unaimed noise."""

    needs: ClassVar[frozenset[str]] = frozenset()
    """What the defender must know, any of `predictor`, `genome` (log P of the true genome), `reference` (a reference
    population of genomes), `labels` (true variants of the photo), and `redraw`, the photo drawn again by its cohort."""

    studies_own: ClassVar[bool] = False
    """Whether, at release time, `learn` is given photos of the people whom it protects too, not of others alone."""

    knowledge: ModelNames = "white-box"
    """Whose predictor it sees: `white-box`, `other-seed`, the name of a model of the scenario, or several of them."""

    rate: Fraction01 = Field(
        1.0, description="part of the people who use it; the photos of the others stay as they are"
    )

    identities: InputPath | None = Field(
        None, description="CSV file whose column `identity` has the identity numbers of the people who use it"
    )

    @model_validator(mode="after")
    def _who(self) -> Defender:
        if self.identities is not None and self.rate < 1:
            raise ValueError(f"'identities' says who uses it, so leave 'rate' out, found rate {self.rate:g}")
        return self

    def input_files(self) -> list[Path]:
        return [] if self.identities is None else [self.identities]

    def budget(self) -> Budget:
        """How far it may change a photo, from its parameters; here `epsilon` in the L-infinity norm, if it has that."""
        if "epsilon" not in type(self).model_fields:
            return Budget()
        epsilon: float | None = dict(self)["epsilon"]
        return Budget() if epsilon is None else Budget("linf", epsilon)

    def optimises_through(self) -> bool:
        """Whether it looks through the publication channel; then `knowledge.channel` is the scenario's, else None."""
        return False

    def spares(self) -> bool:
        """Whether it leaves photos as they are that are safe already, so that one that stays still is no bad sign."""
        return False

    def learn(self, study_set: StudySet) -> Any:
        """What the defender works out from many photos before it changes any; handed to `perturb` as `learned`."""
        return None

    def perturb(self, photos: Tensor, knowledge: Knowledge) -> Tensor:
        """float [n, 3, h, w] in [0, 1] to the same; a photo's result must not depend on the others in the batch."""
        raise NotImplementedError

    def reached(self, photos: Tensor, changed: Tensor, knowledge: Knowledge) -> Tensor | None:
        """float [n], how well `changed` serves what the defender is after with `photos`, larger is better.

        None, as here: it does not say. `measure.sanity` asks it whether more effort leads further.
        """
        return None

    def proves(self) -> bool:
        """Whether a theorem promises that a linear rule finds this poison; then both are held against photos.

        Then `keyed_by`, `bound` and `rule` must be given too.
        """
        return False

    def keyed_by(self) -> str | None:
        """The phenotype whose variants are the classes of the theorem; None: their combinations."""
        raise NotImplementedError

    def bound(self, dimensions: int, classes: int) -> float | None:
        """The accuracy promised for photos with that many numbers; None where the theorem covers fewer classes."""
        raise NotImplementedError

    def rule(self, photos: Array, learned: Any, centre: Array) -> Array:
        """int64 [n], the class that the theorem's rule says; photos, centre (the mean clean photo): [.., 3, h, w]."""
        raise NotImplementedError


class Channel(Plugin):
    """Kind `channel`: what posting does to a photo."""

    eight_bit: ClassVar[bool] = True
    """Whether published photos are multiples of 1/255."""

    def publish(self, photos: Tensor) -> Tensor:
        """float [n, 3, h, w] in [0, 1] to the same shape and range; no randomness."""
        raise NotImplementedError

    def through(self, photos: Tensor) -> Tensor:
        """The same with a useful gradient, for defenders that optimise through the channel; straight-through here."""
        from linkbench.api.rounding import with_gradient_of

        return with_gradient_of(photos, self.publish(photos.detach()))


class Executor(Plugin):
    """Kind `executor`: has the stages of a run carried out, on this machine or on others.

    What is ready, done, cached and failed is decided elsewhere; an executor is handed jobs and says what came of them.
    """

    elsewhere: ClassVar[bool] = True
    """Whether workers may have other code or another disk than the run: then each job is checked where it is done."""

    def start(self, site: Site) -> Workers | None:
        """The workers of one run; None: the run carries everything out itself, one stage after the other."""
        raise NotImplementedError
