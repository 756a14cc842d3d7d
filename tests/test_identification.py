"""Identification: who is in the gallery, what identifiers make of it, and a whole scenario from the command line."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Finished
from PIL import Image
from scipy.optimize import minimize
from standins import Net

from linkbench.api.base import CohortSource, Identifier
from linkbench.api.data import (
    GALLERY,
    MISSING,
    TEST,
    TRAIN,
    VALIDATION,
    Array,
    Artefact,
    Cohort,
    Genomes,
    Stream,
    strings,
)
from linkbench.api.gallery import Faces, Gallery
from linkbench.api.schema import PAPER
from linkbench.api.training_data import Photos
from linkbench.errors import InputError
from linkbench.plan.coordinates import COORDINATES
from linkbench.plan.facts import CellFacts
from linkbench.plan.task import Task
from linkbench.registry.registry import registry
from linkbench.registry.spec import parse_spec
from linkbench.report.identification import _cmc
from linkbench.report.material import Material
from linkbench.report.ranks import RankFile
from linkbench.results.cells import MeasuredCell, Roles
from linkbench.results.results import Results
from linkbench.stages import identify

PEOPLE, SIZE = 5, 24


def photos_of(who: Array, seed: int = 0, noise: float = 0.05) -> Array:
    """uint8 [n, 3, SIZE, SIZE]: each person has a coarse pattern of their own."""
    patterns = np.random.default_rng(9).random((int(who.max()) + 1, 3, 4, 4)).repeat(6, axis=2).repeat(6, axis=3)
    out = patterns[who] + noise * np.random.default_rng(seed).standard_normal((len(who), 3, SIZE, SIZE))
    return (out.clip(0, 1) * 255).round().astype(np.uint8)


def network() -> torch.nn.Module:
    torch.manual_seed(1)
    return Net(7)


def faces(who: Array, seed: int) -> Faces:
    """Photos, and as embeddings their mean colours in a coarse grid."""
    photos = photos_of(who, seed)
    coarse = photos.reshape(len(who), 3, 4, 6, 4, 6).mean(axis=(3, 5)).reshape(len(who), -1) / 255
    return Faces(coarse, Photos(photos))


def gallery(seed: int = 0, copies: int = 3) -> Gallery:
    who = np.random.default_rng(seed).permutation(np.repeat(np.arange(PEOPLE), copies))
    return Gallery(faces(who, seed), who, PEOPLE, network, "cpu", 5)


def shown(known: Gallery, sees: frozenset[str]) -> Gallery:
    """What an identifier with this declaration is given."""
    seen = Faces(
        known.faces.embeddings if "embeddings" in sees else None, known.faces.photos if "photos" in sees else None
    )
    return replace(known, faces=seen, network=known.network if "photos" in sees else None)


QUICK: dict[str, dict[str, Any]] = {"fine-tuned": {"epochs": 2}}
IDENTIFIERS = sorted(registry().plugins["identifier"])


def made(name: str, **params: Any) -> Identifier:
    plugin: Identifier = registry().load("identifier", name)(**{**QUICK.get(name, {}), **params})
    return plugin


@pytest.mark.parametrize("name", IDENTIFIERS)
class TestEveryIdentifier:
    def test_it_knows_plain_people_and_repeats_itself(self, name: str) -> None:
        identifier = made(name)
        known = shown(gallery(), identifier.sees)
        who = np.arange(PEOPLE)
        scores = identifier.score(faces(who, 77), identifier.learn(known))
        assert scores.shape == (PEOPLE, PEOPLE)
        assert scores.dtype == np.float64
        assert np.isfinite(scores).all()
        assert scores.argmax(axis=1).tolist() == who.tolist()
        np.testing.assert_array_equal(scores, identifier.score(faces(who, 77), identifier.learn(known)))

    def test_no_probe_bears_on_another(self, name: str) -> None:
        identifier = made(name)
        learned = identifier.learn(shown(gallery(), identifier.sees))
        several, alone = faces(np.array([0, 1, 2]), 3), faces(np.array([0, 1, 2]), 3)
        assert alone.embeddings is not None
        assert alone.photos is not None
        alone = Faces(alone.embeddings[1:2], Photos(alone.photos.array[1:2]))
        np.testing.assert_allclose(
            identifier.score(several, learned)[1], identifier.score(alone, learned)[0], rtol=1e-5, atol=1e-6
        )

    def test_one_photo_each_is_enough(self, name: str) -> None:
        identifier = made(name)
        learned = identifier.learn(shown(gallery(copies=1), identifier.sees))
        assert identifier.score(faces(np.arange(2), 5), learned).shape == (2, PEOPLE)


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_nearest_neighbour_against_brute_force(distance: str) -> None:
    random = np.random.default_rng(3)
    who = random.permutation(np.r_[np.arange(8), random.integers(0, 8, 30)])
    known, asked = random.standard_normal((38, 6)), random.standard_normal((11, 6))
    identifier = made("nearest-neighbour", distance=distance)
    learned = identifier.learn(Gallery(Faces(known, None), who, 8, None, "cpu", 0))
    found = identifier.score(Faces(asked, None), learned)
    for row, probe in enumerate(asked):
        for person in range(8):
            apart = []
            for other in known[who == person]:
                a, b = (probe, other) if distance == "euclidean" else (x / np.linalg.norm(x) for x in (probe, other))
                apart.append(float(np.linalg.norm(a - b)))
            assert found[row, person] == pytest.approx(-min(apart), abs=1e-9)


def test_linear_is_the_minimum_of_its_loss() -> None:
    random = np.random.default_rng(4)
    who = np.r_[np.arange(3), random.integers(0, 3, 17)]
    known, asked = random.standard_normal((20, 4)) + who[:, None], random.standard_normal((6, 4))
    learned = made("linear", penalty=0.7).learn(Gallery(Faces(known, None), who, 3, None, "cpu", 0))
    found = made("linear", penalty=0.7).score(Faces(asked, None), learned)
    scale = np.sqrt(np.square(known - known.mean(axis=0)).mean())
    inside, outside = ((x - known.mean(axis=0)) / scale for x in (known, asked))

    def log_p(flat: Array, x: Array) -> Array:
        logits = x @ flat[:12].reshape(4, 3) + flat[12:]
        out: Array = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        return out

    def loss(flat: Array) -> float:
        return float(-log_p(flat, inside)[np.arange(20), who].sum() + 0.35 * np.square(flat[:12]).sum())

    best = minimize(loss, np.zeros(15), method="BFGS", options={"gtol": 1e-7}).x
    np.testing.assert_allclose(found, log_p(best, outside), atol=1e-4)


def test_tuning_leaves_earlier_layers_alone_when_told() -> None:
    from linkbench.models.tuning import Tuning, tuned

    known = gallery()
    assert known.faces.photos is not None
    before = network().state_dict()
    changed = {}
    for last in (0, 1, None):
        how = Tuning(last, 2, None, None, 0.05, 1.0, 16.0)
        found = tuned(network(), known.faces.photos, known.who, PEOPLE, how, device="cpu", seed=0).network
        after = found.state_dict()  # type: ignore[union-attr,operator]
        changed[last] = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed[0] == set()
    assert changed[1] <= {"body.8.weight", "body.8.bias"}
    assert {"body.0.weight", "body.1.running_mean"} <= changed[None]


class Given(CohortSource):
    """A cohort for identification, made in the test."""

    made: Any = None

    def people(self, seed: int) -> Cohort:
        return self.made  # type: ignore[no-any-return]


class Chosen:
    """Stands for a `Spec`, of one of linkbench's own plugins."""

    kind, name, label = "cohort", "rendered", "given"
    params: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self, plugin: Any) -> None:
        self.made = plugin

    def plugin(self) -> Any:
        return self.made


def divided(who: list[int], split: list[int] | None = None, gallery: int | None = None, **parts: float) -> Cohort:
    identity = np.array(who)
    people = Cohort(
        PAPER, strings([f"f{row}.jpg" for row in range(len(who))]), identity, np.full((len(who), 4), MISSING),
        np.zeros(len(who), int), np.zeros(len(who), int) if split is None else np.array(split), photos_of(identity),
    )  # fmt: skip
    settings = {"split": {"test": 0.5, "validation": 0.2, **parts}, "gallery": gallery}
    built = identify.cohort(Task({}, {"cohort": Chosen(Given(made=people))}, settings, 3, "cpu"))  # type: ignore[dict-item]
    photos = built.arrays["photos"]
    assert isinstance(photos, Stream)
    return Cohort.of(Artefact({**built.arrays, "photos": np.concatenate(list(photos.blocks))}, built.meta))


@pytest.mark.parametrize("gallery", [None, 1, 3])
def test_tested_people_teach_nobody_and_stand_in_both_parts(gallery: int | None) -> None:
    found = divided(list(np.repeat(np.arange(12), 4)), gallery=gallery)
    people = {part: set(found.identity[found.split == part].tolist()) for part in range(4)}
    assert people[TEST] == people[GALLERY]
    assert len(people[TEST]) == 6
    assert not people[TEST] & people[TRAIN]
    assert people[VALIDATION] <= people[TRAIN]
    assert len(people[TRAIN]) == 6
    assert (found.split == VALIDATION).sum() == round(0.2 * 24)
    assert np.bincount(found.identity[found.split == GALLERY])[list(people[TEST])].tolist() == [gallery or 2] * 6
    teaching = found.split <= VALIDATION
    assert (found.labels[~teaching] == MISSING).all()
    names = found.schema["identity"]
    assert [names[label] for label in found.labels[teaching, 0]] == [str(who) for who in found.identity[teaching]]


def test_an_album_is_poisoned_by_the_names_of_its_people() -> None:
    """All photos of a person get the same pattern, and nobody else gets it."""
    from linkbench.stages.protect import protect

    found = divided(list(np.repeat(np.arange(12), 4)))
    (spec,), _ = parse_spec("defender", {"use": "shortcut", "epsilon": 16 / 255}, ())
    out = protect(Task({"cohort": found.artefact()}, {"defender": spec}, {"split": GALLERY}, 3, "cpu"))
    stream = out.arrays["photos"]
    assert isinstance(stream, Stream)
    changed, photo = np.concatenate(list(stream.blocks)), np.asarray(out.arrays["photo"])
    assert (found.split[photo] == GALLERY).all()
    assert found.photos is not None
    signs = np.sign(changed - np.asarray(found.photos)[photo] / np.float32(255))
    for one in range(len(photo)):
        for other in range(one):
            free = (signs[one] != 0) & (signs[other] != 0)  # a pixel at the end of the range cannot go further
            agreed = (signs[one] == signs[other])[free].mean()
            same = found.identity[photo[one]] == found.identity[photo[other]]
            assert agreed > 0.99 if same else 0.4 < agreed < 0.6


def test_nobody_need_teach() -> None:
    found = divided([0, 0, 1, 1, 2, 2], test=1.0, validation=0.0)
    assert set(found.split.tolist()) == {TEST, GALLERY}
    assert len(found.schema["identity"]) == 2


@pytest.mark.parametrize(
    ("who", "split", "gallery", "reason"),
    [
        ([0, 0, 1], None, None, "photo 'f2.jpg' has 1 photo, identification needs 2 of everybody"),
        ([0, 0, 1, 1], None, 2, "has 2 photos, identification needs 3.*or lower gallery.photos"),
        ([0, 0, 1, 1, 1], [2, 3, 2, 2, 2], None, "'f2.jpg' is to be identified but has no photo in the gallery"),
        ([0, 0, 1, 1, 1], [2, 3, 3, 3, 3], None, "'f2.jpg' is in the gallery but has no other photo"),
        ([0, 0, 1, 1, 1], [2, 3, 2, 3, 0], None, "'f2.jpg' is both identified and trained on"),
        ([0, 0, 1, 1], [2, 3, 0, 1], None, "1 people are to be identified, at least two"),
    ],
)
def test_people_with_too_few_photos_are_named(
    who: list[int], split: list[int] | None, gallery: int | None, reason: str
) -> None:
    with pytest.raises(InputError, match=reason):
        divided(who, split, gallery, test=1.0, validation=0.0)


def test_ranks_and_areas_against_counting() -> None:
    """The stage with ready embeddings: rank, CMC and the area under ROC of all pairs, counted one by one."""
    random = np.random.default_rng(5)
    who = np.tile(np.arange(6), 3)
    split = np.where(np.arange(18) < 12, GALLERY, TEST)
    people = Cohort(
        PAPER, strings([str(row) for row in range(18)]), who, np.full((18, 4), MISSING), np.zeros(18, int), split,
        np.zeros((18, 3, 4, 4), np.uint8),
    )  # fmt: skip
    places = (random.standard_normal((6, 2))[who] + random.standard_normal((18, 2))).astype(np.float32)
    parts = {
        name: Artefact({"photo": np.flatnonzero(split == part), "embeddings": places[split == part]}, {})
        for name, part in (("gallery", GALLERY), ("probes", TEST))
    }
    spec = parse_spec("identifier", "nearest-neighbour", ())[0][0]
    found = identify.rank(Task({"cohort": people.artefact(), **parts}, {"identifier": spec}, {}, 0, "cpu"))
    apart = np.linalg.norm(places[12:, None].astype(float) - places[None, :12], axis=2)
    scores = -np.stack([apart[:, who[:12] == person].min(axis=1) for person in range(6)], axis=1)
    own = scores[np.arange(6), who[12:]]
    assert found.array("better").tolist() == [(row > right).sum() for row, right in zip(scores, own, strict=True)]
    assert found.array("cmc").tolist() == pytest.approx([np.mean(found.array("better") < k) for k in range(1, 7)])
    others = [scores[row, person] for row in range(6) for person in range(6) if person != who[12 + row]]
    wins = [float(right > other) + (right == other) / 2 for right in own for other in others]
    assert found.meta["auc"] == pytest.approx(np.mean(wins))


# a whole scenario

HEAD = """linkbench: 1
name: tiny
task: identification
cohort: {use: rendered, count: 32, per_identity: 4, size: 32}
split: {test: 0.5}
models:
  - {name: own, architecture: {use: small-cnn, width: 4, depth: 3}, recipe: {use: embedding, epochs: 2}}
  - {name: adaptive, start: own, architecture: {use: small-cnn, width: 4, depth: 3},
     recipe: {use: adaptive-embedding, epochs: 1, defender: {use: fawkes, steps: 2}}}
"""
TINY = (
    HEAD
    + """defenders: [none, {use: fawkes, steps: 3, knowledge: own, rate: 0.5}]
channels: png
identifiers: [nearest-neighbour, linear, {use: fine-tuned, epochs: 1}]
measure: {top_k: [1, 2], sizes: [2, all], resamples: 100}
"""
)


@pytest.mark.slow
def test_a_scenario_from_the_command_line(home: Path, spawn: Callable[..., Finished]) -> None:
    (home / "tiny.yaml").write_text(TINY)
    done = spawn("run", "tiny.yaml", "--out", "out")
    assert done.status == 0, done.err
    with (home / "out/results.csv").open() as file:
        rows = list(csv.DictReader(file))
    cells = {row["cell"] for row in rows}
    assert len(cells) == 2 * 2 * 3
    assert {row["attacker"] for row in rows} == {"nearest-neighbour", "linear", "fine-tuned"}
    assert {row["genomes"] for row in rows} == {"none"}
    for cell in cells:
        own = [row for row in rows if row["cell"] == cell]
        named = {(row["metric"], row["k"], row["n"]): float(row["value"]) for row in own}
        assert named["success", "2", "4"] >= named["success", "1", "4"]
        assert {"auc_score", "linf_max", "ssim"} <= {row["metric"] for row in own}
        if own[0]["defender"] == "none":
            assert named["protection_rate", "", ""] == pytest.approx(1 - named["success", "1", "4"])
            assert named["linf_max", "", ""] == 0
        else:
            assert ("unprotected_error", "", "") in named or named["protection_rate", "", ""] >= 0
            assert 0 < named["linf_max", "", ""] <= 15.5 / 255 + 1e-6
    run = json.loads((home / "out/run.json").read_text())
    assert run["scenario"]["task"] == "identification"
    assert all(cell["seconds_per_photo"] > 0 for cell in run["cells"])
    words = " ".join((home / "out/report.html").read_text().split())
    for phrase in ("Protection", "rank", "nearest-neighbour", "Cumulative match"):
        assert phrase in words, phrase
    assert "genome" not in words.partition("<main>")[2].partition("<script>")[0]
    assert "fine-tuned" in done.out
    again = spawn("run", "tiny.yaml", "--out", "out")
    assert "0 computed" in again.out
    assert spawn("report", "out").status == 0
    refused = spawn("leaderboard", "add", "out", "--board", "board")
    assert refused.status == 2
    assert "a gallery of more people" in refused.err


BAD = {
    "genomes": (HEAD + "genomes: paper-tables\n", "genomes: this section belongs to the task 'linkage'"),
    "attackers": (HEAD + "attackers: predicted\n", "attackers: this section belongs to the task 'linkage'"),
    "identifiers of linkage": (
        "linkbench: 1\nname: a\ngenomes: paper-tables\ncohort: paper-tables\nidentifiers: linear\n",
        "identifiers: this section belongs to the task 'identification'",
    ),
    "task": (HEAD.replace("task: identification", "task: naming"), "must be 'linkage' or 'identification'"),
    "identifier": (HEAD + "identifiers: nearest-neighbor\n", "did you mean 'nearest-neighbour'"),
    "phenotype": (
        HEAD + "  - {name: best, recipe: {use: best-of, recipes: [standard, blur], phenotype: sex}}\n",
        "best-of: phenotype names the phenotype 'sex'; in identification there is none but: identity",
    ),
    "needs": (HEAD + "defenders: joint-pgd\n", "must see true genomes, which nobody has in identification"),
    "names it has not learned": (
        HEAD + "defenders: {use: single-pgd, phenotype: identity}\n",
        "must see what a network says of the names of those in the gallery, but it has learned those of others",
    ),
    "knowledge": (HEAD + "defenders: {use: fawkes, knowledge: later}\n", "knowledge names no model 'later'"),
    "gallery": (HEAD + "gallery: {photo: 2}\n", "gallery.photo: unknown key; did you mean 'photos'"),
    "photos": (HEAD.replace("rendered, count: 32, per_identity: 4, size: 32", "paper-tables"), "has no photos"),
    "weights": (
        HEAD.replace("recipe: {use: embedding, epochs: 2}", "recipe: pretrained"),
        "trains nothing, so the architecture needs 'weights'",
    ),
    "nobody to teach": (HEAD.replace("test: 0.5", "test: 1, validation: 0"), "nobody is left to train on"),
    "one photo each": (HEAD.replace("per_identity: 4", "per_identity: 1"), "has 1 photo, identification needs 2"),
    "weights that are not there": (
        HEAD.replace("use: small-cnn, width: 4, depth: 3}, recipe: {use: embedding, epochs: 2}",
                     "use: dlib-resnet, weights: lost.safetensors}, recipe: pretrained")
        .replace("size: 32", "size: 150"),
        "lost.safetensors cannot be read",
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", BAD)
def test_bad_scenarios_end_with_status_2(home: Path, run_cli: Callable[..., Finished], name: str) -> None:
    text, reason = BAD[name]
    (home / "bad.yaml").write_text(text.replace("count: 32", "count: 16") if "weights that" in name else text)
    done = run_cli("run", "bad.yaml", "--out", "out")
    assert done.status == 2
    assert reason in " ".join(done.err.split())
    assert not (home / "out").exists()


def folder(home: Path, table: str) -> Path:
    """Photos a0.png .. and their table."""
    (home / "photos").mkdir()
    who = np.repeat(np.arange(4), 2)
    for row, photo in enumerate(photos_of(who)):
        big = Image.fromarray(photo.transpose(1, 2, 0)).resize((48, 48))
        big.save(home / "photos" / f"{'abcd'[who[row]]}{row % 2}.png")
    (home / "photos/labels.csv").write_text(table)
    return home / "photos"


ROWS = [f"{who}{number}.png,{who}" for who in "abcd" for number in range(2)]
PARTS = ["file,identity,split", *(row + (",gallery", ",probe")[int(row[1])] for row in ROWS)]
FOLDER = """linkbench: 1
name: mine
task: identification
cohort: {use: folder, path: photos, size: 32, crop: 0.9, down: 0.55}
split: {test: 1, validation: 0}
models: [{name: net, architecture: {use: module, path: "standins:Net", arguments: {classes: 2}}, recipe: standard}]
"""


def test_a_folder_needs_neither_phenotypes_nor_genomes(home: Path) -> None:
    from linkbench.cohorts.folder import Folder

    path = folder(home, "\n".join(PARTS))
    found = Folder(path=path, size=16).people(0)
    assert found.split.tolist() == [GALLERY, TEST] * 4
    assert found.identity.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    (path / "labels.csv").write_text("\n".join(["file,identity,sex,genome", *(f"{row},female,nobody" for row in ROWS)]))
    assert (Folder(path=path, size=16).people(0).split == TRAIN).all()


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (["file,identity", *ROWS[:-1]], "labels.csv:8:2: column 'identity': 'd' needs another photo"),
        ([*PARTS[:-1], "d1.png,d,gallery"], "'d' needs a photo in 'probe'"),
        ([*PARTS[:-1], "d1.png,d,train"], "'d' is in 'train' here, in another part in line 8"),
        ([*PARTS[:-1], "d1.png,d,test"], "found 'test'.*Allowed: train, validation, gallery, probe"),
        (["file,identity,tint", *(row + ",1" for row in ROWS)], "unknown column.*Allowed: file, identity, split"),
        (["file,who", *ROWS], "column 'identity' is missing"),
    ],
)
def test_a_bad_table_is_named_by_line(home: Path, table: list[str], reason: str) -> None:
    from linkbench.cohorts.folder import Folder

    with pytest.raises(InputError, match=reason):
        Folder(path=folder(home, "\n".join(table)), size=16).people(0)


def test_the_square_kept_of_a_photo_can_be_lowered(tmp_path: Path) -> None:
    from linkbench.cohorts.images import load_photo

    rows = np.repeat(np.arange(100, dtype=np.uint8), 100).reshape(100, 100)
    Image.fromarray(np.stack([rows] * 3, axis=2)).save(tmp_path / "p.png")
    middle = [load_photo(tmp_path / "p.png", 20, 0.4, (0.5, down))[0].mean() for down in (0.0, 0.5, 0.6, 1.0)]
    assert middle == pytest.approx([19.5, 49.5, 59.5, 79.5], abs=0.6)


def test_cohorts_without_a_way_of_their_own_get_genomes() -> None:
    from linkbench.stages.identify import people_of

    cohort = people_of(
        parse_spec("cohort", {"use": "rendered", "count": 6, "per_identity": 2, "size": 32}, ())[0][0], 4
    )
    assert cohort.identity.tolist() == [0, 0, 1, 1, 2, 2]
    assert isinstance(cohort, Cohort)
    assert not isinstance(cohort, Genomes)


def test_who_guesses_lies_on_the_line_of_chance() -> None:
    """Also where names are counted on a logarithmic axis: a straight line there would promise too much."""
    place = {**dict.fromkeys(COORDINATES, "none"), "epsilon": None, "seed": 0}
    guesser = RankFile(60, 20, 60, {}, [k / 60 for k in range(1, 61)])
    cells = [MeasuredCell(place, ("x",), (), {}, {}, CellFacts.by_name(place))]
    none = Roles(frozenset(), frozenset(), frozenset())
    found = _cmc(Material(Results([], {}), cells, none, {"x": guesser}, {}, {}, "95%"))
    assert found is not None
    [drawn] = found.panels
    lines = [[(row["x"], row["value"]) for row in drawn.rows if row["name"] == name] for name in ("none", "guessing")]
    assert lines[0] == lines[1]
    assert len(lines[0]) > 10
