"""Photos protected by the command, checked as written, and checked again by another command."""

from __future__ import annotations

import json
import shutil
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from photofiles import TINY, person, saved, scene
from PIL import Image

from linkbench.api.data import MISSING, TRAIN, Artefact, Genomes, most_likely
from linkbench.attackers.likelihood import Likelihood
from linkbench.errors import InputError, WeightsError
from linkbench.faces import find, read
from linkbench.metrics import ranking
from linkbench.metrics.counting import count_ranks
from linkbench.models import predictor_files
from linkbench.models.predictor import predict
from linkbench.protection import shipped
from linkbench.protection.album import check_places, manifest_name
from linkbench.protection.background import STUDIED, Background, scenario_of
from linkbench.protection.judge import Judge, Verdict, judge_of
from linkbench.protection.postings import postings, views
from linkbench.protection.strength import Attempt, Changed, Checked, Target, apply, measure, meets, smallest
from linkbench.stages.evidence import Lesson, own_scores
from linkbench.stages.evidence import Target as Linked
from linkbench.store import tensorfile

MANIFEST = manifest_name("protect")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def judge(background: Background) -> Judge:
    return judge_of(background, genotype=None, phenotypes={"sex": "male"}, ancestry="ALL", people=1000)


@pytest.fixture
def protect(run_cli: Any, kept: Path, background: Background) -> Any:
    """`linkbench protect` or another command with the tiny scenario."""

    def call(*arguments: str | Path, command: str = "protect") -> Any:
        where = ["--scenario", kept / "tiny.yaml", "--store", kept / "store"]
        return run_cli(command, *arguments, *where, "--people", 1000)

    return call


def album(folder: Path) -> Path:
    """A JPEG that a phone held upright, and a PNG."""
    folder.mkdir()
    tag = Image.Exif()
    tag[0x0112] = 6
    turned = np.rot90(scene(), 1)
    saved(turned, folder / "phone.jpg", quality=92, exif=tag)
    saved(scene(number=2), folder / "second.png")
    return folder


def bytes_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_an_album_is_protected_checked_and_gone_on_with(tmp_path: Path, protect: Any) -> None:
    photos, out = album(tmp_path / "album"), tmp_path / "out"
    originals = bytes_in(photos)
    done = protect(photos, "--out", out, "--epsilon", "16/255", "--phenotypes", "sex=male")
    assert done.status == 0, done.err
    assert "no promise of safety" in done.out
    assert "unseen (never seen)" in done.out
    assert bytes_in(photos) == originals
    first = bytes_in(out)
    assert set(first) == {"phone.jpg", "second.png", MANIFEST}
    for name in originals:
        before, after = read(photos / name), read(out / name)
        assert (after.format, after.orientation, after.size) == (before.format, before.orientation, before.size)
        assert (after.pixels != before.pixels).any()
    (face,) = find(read(photos / "second.png"))
    left, top, right, bottom = face.square.bounds(500, 400)
    moved = read(out / "second.png").upright.astype(int) - read(photos / "second.png").upright
    assert np.abs(moved).max() <= 16
    moved[top:bottom, left:right] = 0
    assert not moved.any()

    manifest = json.loads(first[MANIFEST])
    (told,) = manifest["photos"]["second.png"]["faces"]
    assert {each["predictor"]: each["seen_by_the_defence"] for each in told["opponents"]} == {
        "seen": True,
        "unseen": False,
    }
    assert set(told["opponents"][0]["after"]) == {"reads", "file", *(posting.name for posting in postings())}
    assert told["changed"]["linf"] == pytest.approx(16 / 255, abs=2e-3)

    again = protect(photos, "--out", out, "--epsilon", "16/255", "--phenotypes", "sex=male")
    assert again.out.count("as it was protected before") == 2
    assert bytes_in(out) == first
    (out / "second.png").unlink()  # interrupted before it was written
    assert protect(photos, "--out", out, "--epsilon", "16/255", "--phenotypes", "sex=male").status == 0
    assert bytes_in(out) == first  # the secret is the manifest's: the same decoy, the same bytes

    checked = protect(photos / "second.png", out / "second.png", "--phenotypes", "sex=male", "--json", command="verify")
    (found,) = json.loads(checked.out)["faces"]
    assert found["opponents"] == told["opponents"]  # both look at the file as written


def test_what_fails_takes_only_itself(tmp_path: Path, protect: Any) -> None:
    photos = album(tmp_path / "album")
    (photos / "broken.jpg").write_bytes((photos / "phone.jpg").read_bytes()[:900])
    saved(np.full((200, 200, 3), 120, np.uint8), photos / "wall.png")
    done = protect(photos, "--out", tmp_path / "out", "--epsilon", "4/255", "--json")
    assert done.status == 1
    said = json.loads(done.out)
    assert "damaged" in said[str(photos / "broken.jpg")]["failed"]
    assert "no face" in said[str(photos / "wall.png")]["failed"]
    assert set(bytes_in(tmp_path / "out")) == {"phone.jpg", "second.png", MANIFEST}
    alone = protect(photos / "wall.png", "--out", tmp_path / "none")
    assert alone.status == 2
    assert not any((tmp_path / "none").iterdir())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--epsilon", "8"], "1/255 to 0.25"),
        (["--epsilon", "4/255", "--delta-e", "3"], "exclude each other"),
        (["--target-risk", "often"], "such as 0.02@100"),
        (["--target-risk", "0.1@5000"], "cannot be told with 1,000 people"),
        (["--phenotypes", "sex=fish"], "no variant 'fish'"),
        (["--genotype", "missing.txt"], "missing.txt"),
    ],
)
def test_wrong_wishes_are_refused_before_anything_is_written(
    tmp_path: Path, protect: Any, options: list[str], said: str
) -> None:
    photo = saved(scene(), tmp_path / "a.png")
    done = protect(photo, "--out", tmp_path / "out", *options)
    assert done.status == 2
    assert said in done.err
    assert not (tmp_path / "out").exists()


def test_originals_are_never_overwritten(tmp_path: Path, protect: Any) -> None:
    photo = saved(scene(), tmp_path / "a.png")
    assert "originals stay" in protect(photo, "--out", tmp_path).err
    (tmp_path / "other").mkdir()
    twin = saved(scene(), tmp_path / "other" / "A.png")
    with pytest.raises(InputError, match="the same name"):
        check_places([photo, twin], tmp_path / "out")


def test_a_target_is_met_or_said_to_be_missed(tmp_path: Path, protect: Any) -> None:
    photo = saved(scene(), tmp_path / "a.png")
    done = protect(photo, "--out", tmp_path / "one", "--target-rank", "1.01", "--json")
    assert done.status == 0
    (record,) = json.loads(done.out).values()
    assert (record["met"], record["epsilon"]) == (True, 4 / 255)  # the least there is
    missed = protect(photo, "--out", tmp_path / "two", "--target-rank", "999")
    assert missed.status == 1
    assert "NOT met" in missed.out
    assert "at most 16/255" in missed.out
    fitting = protect(photo, "--out", tmp_path / "three", "--delta-e", "60", "--json")
    (record,) = json.loads(fitting.out).values()
    assert (record["met"], record["epsilon"]) == (True, 16 / 255)  # as much as fits


def test_people_in_one_photo_look_like_different_others(tmp_path: Path, background: Background) -> None:
    wall = np.zeros((256, 512, 3), np.uint8)
    wall[:, :256], wall[:, 256:] = person(1), person(1)
    photo = read(saved(wall, tmp_path / "twins.png"))
    squares = [face.square for face in find(photo)]
    assert len(squares) == 2
    after = apply(photo, squares, background.defence(16 / 255, 7, 2), background.size)
    moved = after.pixels.astype(int) - wall
    assert (moved[:, :256] != moved[:, 256:]).mean() > 0.3
    same = apply(photo, squares, background.defence(16 / 255, 7, 2), background.size)
    assert np.array_equal(same.pixels, after.pixels)
    other = apply(photo, squares, background.defence(16 / 255, 8, 2), background.size)
    assert (other.pixels != after.pixels).any()  # another secret, other decoys


def test_the_networks_see_the_decoy_through_every_posting(tmp_path: Path, background: Background) -> None:
    """What is read of the protected photo moves further than noise of the same size moves it, posted in any way."""
    photo = read(saved(scene(), tmp_path / "a.png"))
    squares = [face.square for face in find(photo)]
    after = apply(photo, squares, background.defence(16 / 255, 3, 1), background.size)
    random = np.random.default_rng(0)
    noisy = photo.changed((photo.pixels + random.choice([-16, 16], photo.pixels.shape)).clip(0, 255).astype(np.uint8))
    seen = next(each.predictor for each in background.opponents if each.seen)
    clean, decoy, noise = (
        seen(views(each, squares, background.size, postings())[:, 0]) for each in (photo, after, noisy)
    )
    assert bool(((decoy - clean).abs().sum(1) > (noise - clean).abs().sum(1)).all())


def test_the_judge_is_the_engine(background: Background, judge: Judge) -> None:
    """Ranks and success are what the stages of a scenario give for the same evidence, genomes and lesson."""
    random = np.random.default_rng(0)
    schema = background.people.schema
    probabilities = random.random((3, schema.width))
    for span in schema.slices.values():
        probabilities[:, span] /= probabilities[:, span].sum(axis=1, keepdims=True)
    own = np.array([5, 77])
    found = judge.verdicts("unseen", probabilities, own, 16 / 255)
    training, labels = background.lessons[16 / 255, "unseen"]
    evidence = type(training)(schema, 6, most_likely(probabilities, schema).repeat(2, 0), probabilities.repeat(2, 0))
    linked = Linked(np.arange(6), evidence, np.tile(own, 3), [Lesson(np.arange(6), training, labels)])
    ranks = count_ranks(own_scores(Likelihood(), judge.genomes, linked))
    success = ranking.expected_success(ranks, 1000, 1, [100])
    assert [each.success for each in found] == pytest.approx(np.reshape(success, (3, 2)).mean(axis=1))
    assert [each.rank for each in found] == pytest.approx(ranks.expected.reshape(3, 2).mean(axis=1))


def test_attackers_learn_from_protected_photos_too(background: Background) -> None:
    clean, _ = background.clean["unseen"]
    both, labels = background.lessons[4 / 255, "unseen"]
    assert both.protected is not None
    assert both.protected.sum() == len(clean) == len(labels) // 2
    assert not np.array_equal(both.probabilities[: len(clean)], both.probabilities[len(clean) :])


def test_without_a_genotype_the_genomes_fit_what_is_told(background: Background, judge: Judge) -> None:
    schema = background.people.schema
    assert (judge.known != MISSING).sum() == 1
    own = judge.own({"unseen": np.full((2, schema.width), 1 / 3)})
    males = Genomes(schema, judge.genomes.ids[own], judge.genomes.log_p[own])
    assert bool((males.log_p[:, schema.columns.index("sex:male")] > -0.1).all())


def test_attackers_know_the_strength_or_the_next_one(background: Background, protect: Any, tmp_path: Path) -> None:
    assert background.strengths() == [4 / 255, 16 / 255]
    assert [background.taught_at(each / 255) for each in (1, 4, 4.4, 5, 16)] == [
        each / 255 for each in (4, 4, 4, 16, 16)
    ]
    assert background.taught("unseen", 5 / 255) is background.taught("unseen", 16 / 255)
    assert background.defence(5 / 255, 1, 1).budget.radius == 5 / 255
    photos = album(tmp_path / "album")
    refused = protect(photos, "--out", tmp_path / "out", "--epsilon", "17/255")
    assert refused.status == 2
    assert "up to 16/255" in refused.err
    assert not (tmp_path / "out").exists()


def test_what_comes_along_belongs_to_the_scenario_that_comes_along() -> None:
    ready, scenario = shipped.background(), scenario_of(None)
    assert ready is not None
    with resources.as_file(resources.files("linkbench.protection") / shipped.FILE) as path:
        assert tensorfile.read(path).meta["scenario"] == shipped.scenario_digest(), "run benchmarks/background.py"
        assert path.stat().st_size < 12e6
    assert [each.name for each in ready.opponents] == [model.name for model in scenario.models]
    assert {each.name for each in ready.opponents if not each.seen} == {"unseen"}
    assert ready.strengths() == [float(spec.params["epsilon"]) for spec in scenario.specs["defenders"]]
    assert len(ready.studied) == STUDIED
    assert (ready.people.split[ready.studied] == TRAIN).all()
    truth = ready.people.labels[ready.studied][:, 0]
    for each in ready.opponents:
        seen = most_likely(predict(each.predictor, ready.photos), ready.people.schema)[:, 0]
        assert (seen == truth).mean() > 0.7, each.name
        lesson, labels = ready.clean[each.name]
        assert lesson.variants is not None
        assert (lesson.variants[:, 0] == labels[:, 0]).mean() > 0.7, each.name
        for epsilon in ready.strengths():
            assert len(ready.lessons[epsilon, each.name][1]) == 2 * len(labels)


def test_predictors_of_the_user_judge_and_are_never_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINKBENCH_PREDICTORS", str(tmp_path))
    alone = scenario_of(None)
    shutil.copyfile(predictor_files.shipped()["rendered"], tmp_path / "mine.safetensors")
    other = predictor_files.read(predictor_files.shipped()["colorimetry"])
    meta = {name: value for name, value in other.meta.items() if name != "report"}
    tensorfile.write(tmp_path / "large.safetensors", Artefact(other.arrays, {**meta, "size": 112}))
    joined = scenario_of(None)
    assert joined.models[:-1] == alone.models
    assert (joined.models[-1].name, joined.models[-1].sealed) == ("yours-mine", True)
    assert joined.specs == alone.specs
    assert shipped.background() is None
    (tmp_path / "mine.safetensors").write_bytes(b"broken")
    with pytest.raises(WeightsError, match="mine"):
        scenario_of(None)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("attackers: likelihood", "attackers: predicted", "learns from clean and protected"),
        ("use: decoy-pgd", "use: joint-pgd", "need a predictor alone"),
        ("channels: png", "channels: [png, jpeg]", "one entry in 'channels'"),
    ],
)
def test_scenarios_that_are_not_fit_are_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    (tmp_path / "a.yaml").write_text(TINY.replace(old, new))
    with pytest.raises(InputError, match=said):
        scenario_of(tmp_path / "a.yaml")


@given(st.lists(st.booleans(), min_size=1, max_size=9), st.booleans())
def test_bisection_finds_the_edge(met: list[bool], largest: bool) -> None:
    met = sorted(met, reverse=largest)  # more change: more protected, or too much of it
    tried = []

    def attempt(epsilon: float) -> Attempt:
        tried.append(epsilon)
        return Attempt(epsilon, None, met[int(epsilon)])  # type: ignore[arg-type]

    best = smallest([float(number) for number in range(len(met))], attempt, largest)
    fitting = [number for number, good in enumerate(met) if good]
    expected = (max(fitting) if largest else min(fitting)) if fitting else (0 if largest else len(met) - 1)
    assert (best.epsilon, best.met) == (expected, bool(fitting))
    assert len(tried) <= len(met).bit_length() + 1


def test_the_worst_attacker_and_posting_decide() -> None:
    checked = [Checked({}, {"a": [Verdict(400, 0.01), Verdict(30, 0.2)], "b": [Verdict(500, 0.0)]})]
    changed = [Changed(0.03, 0.99, 1.0, 3.0)]
    assert meets(Target(risk=0.2), checked, changed)
    assert not meets(Target(risk=0.19), checked, changed)
    assert meets(Target(rank=30), checked, changed)
    assert not meets(Target(rank=31), checked, changed)
    assert meets(Target(delta_e=3), checked, changed)
    assert not meets(Target(delta_e=2.9), checked, changed)


def test_measures_are_those_of_the_metrics(tmp_path: Path) -> None:
    photo = read(saved(scene(), tmp_path / "a.png"))
    (face,) = find(photo)
    same = measure(photo, photo, face.square)
    assert same == pytest.approx((0, 1, 0, 0))
    brighter = photo.changed((photo.pixels.clip(0, 245) + 10).astype(np.uint8))
    apart = measure(photo.changed(photo.pixels.clip(0, 245)), brighter, face.square)
    assert apart.linf == pytest.approx(10 / 255)
    assert 2 < apart.delta_e < 7
