"""The stages protect, publish and quality, with plugins that behave and plugins that do not."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from kornia.color import rgb_to_lab
from standins import knowledge as told
from standins import predictor, random_log_p, random_photos
from torch import Tensor

from linkbench.api.base import Channel, Defender
from linkbench.api.data import TEST, TRAIN, Artefact, Cohort, Genomes, strings
from linkbench.api.fields import Epsilon
from linkbench.api.knowledge import Knowledge
from linkbench.api.schema import PAPER
from linkbench.channels.float import Float
from linkbench.defenders.joint_pgd import JointPGD
from linkbench.defenders.noise import Noise
from linkbench.errors import InputError, PluginError
from linkbench.harness.knowledge import REFERENCE, reference_population
from linkbench.metrics.rows import quality_rows
from linkbench.metrics.settings import Measure
from linkbench.plan.task import Task
from linkbench.stages import protect
from linkbench.store import tensorfile

PEOPLE, SIZE = 90, 24
NETWORK = predictor()


class EightBit(Channel):
    """Rounds."""

    def publish(self, photos: Tensor) -> Tensor:
        return photos.mul(255).round().div(255)


@dataclass
class Chosen:
    """Stands for a `Spec`: a plugin object under a name, as one of linkbench's own."""

    object: Any
    label: str = "chosen"
    kind: str = "defender"
    name: str = "none"
    params: dict[str, Any] = field(default_factory=dict)

    def plugin(self) -> Any:
        return self.object


@pytest.fixture(autouse=True)
def _network(monkeypatch: pytest.MonkeyPatch) -> None:
    import linkbench.models.predictor as module

    def load(artefact: Artefact, device: str) -> torch.nn.Module:
        return predictor()

    monkeypatch.setattr(module, "load_predictor", load)
    monkeypatch.setattr(module, "ensemble", lambda models: models[0])


def inputs(**more: Artefact) -> dict[str, Artefact]:
    split = np.where(np.arange(PEOPLE) % 3 == 0, TEST, TRAIN)
    photos = random_photos(PEOPLE, SIZE).mul(255).round().to(torch.uint8).numpy()
    ids = strings([f"p{i}" for i in range(PEOPLE)])
    labels = told(PEOPLE).labels
    assert labels is not None
    cohort = Cohort(PAPER, ids, np.arange(PEOPLE), labels.numpy(), np.arange(PEOPLE)[::-1].copy(), split, photos)
    genomes = Genomes(PAPER, ids, random_log_p(PEOPLE).numpy())
    return {"cohort": cohort.artefact(), "genomes": genomes.artefact(), **more}


MODEL = Artefact({}, {})


def task(defender: Defender, *, model: bool = True, seed: int = 0, **specs: Any) -> Task:
    given = inputs(**({"model0": MODEL} if model else {}))
    return Task(given, {"defender": Chosen(defender), **specs}, {}, seed, "cpu")  # type: ignore[dict-item]


def stored(artefact: Artefact, folder: Path) -> Artefact:
    """As the store would leave it; the arrays are written in the order of the file."""
    path = folder / f"{len(list(folder.iterdir()))}.safetensors"
    tensorfile.write(path, artefact)
    return tensorfile.read(path)


def clean() -> np.ndarray[Any, Any]:
    given = Cohort.of(inputs()["cohort"])
    assert isinstance(given.photos, np.ndarray)
    return given.photos[given.split == TEST]


def test_photos_are_changed_within_the_budget(tmp_path: Path) -> None:
    out = stored(protect.protect(task(JointPGD(epsilon=0.02, steps=3, objective="rank"))), tmp_path)
    assert out.array("photo").tolist() == list(range(0, PEOPLE, 3))
    photos = out.array("photos")
    assert photos.dtype == np.float32
    change = np.abs(photos - clean() / np.float32(255))
    assert 0.015 < change.max() <= 0.02 + 1e-6
    assert not out.array("projected").any()


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 7])
def test_the_batch_does_not_matter(batch: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    defender = JointPGD(epsilon=0.02, steps=3, random_start=True, objective="rank")
    whole = stored(protect.protect(task(defender)), tmp_path).array("photos")
    again = stored(protect.protect(task(defender)), tmp_path).array("photos")
    assert whole.tobytes() == again.tobytes()
    monkeypatch.setattr(protect, "PIXELS", {"cpu": batch * SIZE * SIZE})
    parts = stored(protect.protect(task(defender)), tmp_path).array("photos")
    assert ((whole * 255).round() != (parts * 255).round()).mean() <= 0.001
    other = stored(protect.protect(task(defender, seed=1)), tmp_path).array("photos")
    assert not np.array_equal(whole, other)


def test_attackers_run_the_tool_with_random_numbers_of_their_own_and_on_everybody(tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text("identity\n3\n6\n")
    (tmp_path / "stored").mkdir()
    linked = task(Noise(epsilon=0.02, identities=tmp_path / "people.csv"))
    changed, photos = [], []
    for settings in ({}, {"own": True}, {"own": True}):
        out = stored(protect.protect(linked._replace(settings=settings)), tmp_path / "stored")
        photos.append(np.array(out.array("photos")))
        changed.append(int((np.abs(photos[-1] - clean() / np.float32(255)).max(axis=(1, 2, 3)) > 0).sum()))
    assert changed == [2, 30, 30]
    assert not np.array_equal(photos[0][1], photos[1][1])  # of someone who uses the tool
    assert photos[1].tobytes() == photos[2].tobytes()


def test_batches() -> None:
    assert protect.batches(130, (130, 3, 64, 64), "cpu") == [slice(0, 64), slice(64, 128), slice(128, 130)]
    assert protect.batches(2, (2, 3, 4096, 4096), "cpu") == [slice(0, 1), slice(1, 2)]
    assert protect.batches(300, (300, 3, 64, 64), "cuda:0")[0] == slice(0, 256)
    assert protect.batches(0, (0, 3, 64, 64), "cpu") == []


def test_only_what_was_asked_for_is_told() -> None:
    seen: list[Knowledge] = []

    class Curious(Defender):
        def perturb(self, photos: Tensor, knowledge: Knowledge) -> Tensor:
            seen.append(knowledge)
            return photos

    class Informed(Curious):
        needs: ClassVar[frozenset[str]] = frozenset({"predictor", "genome", "reference", "labels"})
        through: bool = True

        def optimises_through(self) -> bool:
            return self.through

    list(protect.protect(task(Curious())).arrays["photos"].blocks)  # type: ignore[union-attr]
    list(protect.protect(task(Informed(), channel=Chosen(Float()))).arrays["photos"].blocks)  # type: ignore[union-attr]
    list(protect.protect(task(Informed(through=False), channel=Chosen(Float()))).arrays["photos"].blocks)  # type: ignore[union-attr]
    nothing, everything, plain = seen
    assert plain.channel is None
    assert (nothing.predictor, nothing.log_p, nothing.reference, nothing.labels, nothing.channel) == (None,) * 5
    assert nothing.keys == tuple(range(0, PEOPLE, 3))
    genomes = Genomes.of(inputs()["genomes"])
    assert everything.log_p is not None
    np.testing.assert_array_equal(everything.log_p.numpy(), genomes.log_p[::-1][::3])
    assert everything.reference is not None
    assert everything.channel is not None


def test_the_reference_population_holds_nobody() -> None:
    people, genomes = Cohort.of(inputs()["cohort"]), Genomes.of(inputs()["genomes"])
    reference = reference_population(people, genomes, 1)
    assert reference.shape == (REFERENCE, PAPER.width)
    protected = {row.tobytes() for row in genomes.log_p[people.truth[people.split == TEST]]}
    assert not protected & {row.tobytes() for row in reference}
    trained = genomes.log_p[people.truth[people.split == TRAIN]]
    for span in PAPER.slices.values():
        allowed = {row.tobytes() for row in trained[:, span]}
        assert {row.tobytes() for row in reference[:, span]} <= allowed
        assert abs(reference[:, span].mean(0) - trained[:, span].mean(0)).max() < 0.2
    with pytest.raises(InputError, match="training part"):
        reference_population(replace(people, split=np.full(PEOPLE, TEST)), genomes, 1)


class Greedy(Defender):
    """Goes further than it may on some photos."""

    epsilon: Epsilon = 0.01

    def perturb(self, photos: Tensor, knowledge: Knowledge) -> Tensor:
        out = photos.clone()
        for row, key in enumerate(knowledge.keys):
            if key % 2:
                out[row] = photos[row] + 0.05
        return out


def test_a_plugin_beyond_its_budget_is_taken_back(tmp_path: Path) -> None:
    out = stored(protect.protect(task(Greedy())), tmp_path)
    change = np.abs(out.array("photos") - clean() / np.float32(255)).max(axis=(1, 2, 3))
    assert change.max() <= 0.01 + 1e-6
    odd = out.array("photo") % 2 == 1
    np.testing.assert_allclose(out.array("projected")[odd], 0.05, atol=0.011)
    assert (out.array("projected")[odd] >= 0.04 - 1e-6).all()
    assert not out.array("projected")[~odd].any()


class Bad(Defender):
    """Does what `does` says to photos and to the predictor it is shown."""

    needs: ClassVar[frozenset[str]] = frozenset({"predictor"})
    does: str = "nan"

    def perturb(self, photos: Tensor, knowledge: Knowledge) -> Any:
        network = knowledge.predictor
        assert isinstance(network, torch.nn.Module)
        if self.does == "train":
            network.train()
        if self.does == "weights":
            next(network.parameters()).data.add_(1e-3)
        if self.does == "statistics":
            next(network.buffers()).data.add_(1e-3)
        wrong = {
            "nan": lambda: photos / 0 * 0,
            "shape": lambda: photos[:, :, 1:],
            "dtype": lambda: photos.double(),
            "nothing": lambda: None,
            "device": lambda: photos.to("meta"),
        }
        return wrong.get(self.does, lambda: photos)()


@pytest.mark.parametrize(
    ("does", "message"),
    [
        ("nan", "NaN or infinite"),
        ("shape", r"return the shape .* returned \(30, 3, 23, 24\)"),
        ("dtype", "return the dtype .*torch.float64"),
        ("device", "return the device .*meta"),
        ("nothing", "must return a tensor, it returned NoneType"),
        ("train", "changed the training mode"),
        ("weights", "changed the weights"),
        ("statistics", "changed the weights"),
    ],
)
def test_misbehaviour_is_named(does: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=f"defender chosen.*{message}"):
        stored(protect.protect(task(Bad(does=does))), tmp_path)


def test_a_plugin_that_writes_to_its_input_and_to_the_global_seed_harms_nobody(tmp_path: Path) -> None:
    class Careless(Defender):
        def perturb(self, photos: Tensor, knowledge: Knowledge) -> Tensor:
            return photos.add_(torch.rand_like(photos) * 0.01).clamp_(0, 1)

    before = torch.random.get_rng_state()
    one, two = (stored(protect.protect(task(Careless())), tmp_path).array("photos") for _ in range(2))
    assert one.tobytes() == two.tobytes()
    assert torch.equal(torch.random.get_rng_state(), before)


def test_without_a_model_or_photos_the_reason_is_given() -> None:
    with pytest.raises(PluginError, match="knowledge 'white-box' gives it none"):
        protect.protect(task(JointPGD(), model=False))
    given = inputs()
    bare = replace(Cohort.of(given["cohort"]), photos=None).artefact()
    with pytest.raises(InputError, match="no photos"):
        protect.protect(Task({**given, "cohort": bare}, {"defender": Chosen(Noise())}, {}, 0, "cpu"))  # type: ignore[dict-item]


@pytest.mark.parametrize("channel", [Float(), EightBit()])
def test_publish_and_quality(channel: Channel, tmp_path: Path) -> None:
    given = task(Noise(epsilon=0.02))
    given.inputs["protect"] = stored(protect.protect(given), tmp_path)
    specs: dict[str, Any] = {"channel": Chosen(channel)}
    given = given._replace(specs=specs)
    given.inputs["publish"] = stored(protect.publish(given), tmp_path)
    shown = given.inputs["publish"].array("photos")
    assert shown.dtype == (np.uint8 if channel.eight_bit else np.float32)
    assert given.inputs["publish"].array("photo").tolist() == list(range(0, PEOPLE, 3))
    out = stored(protect.quality(given), tmp_path)
    assert {array.dtype for name, array in out.arrays.items() if name not in ("photo", "identity")} == {
        np.dtype(np.float64)
    }
    values = shown / 255 if channel.eight_bit else shown
    expected = np.abs(values - clean() / 255).reshape(30, -1)
    np.testing.assert_allclose(out.array("linf"), expected.max(axis=1), atol=1e-6)
    np.testing.assert_allclose(out.array("change_rms"), (expected**2).mean(axis=1) ** 0.5, atol=1e-6)
    assert out.array("channel").max() < 1e-6
    assert (out.array("moved") > 0.01).all()
    assert (out.array("ssim") < 1).all()
    seen, was = (rgb_to_lab(torch.from_numpy(np.asarray(each, dtype=np.float64))) for each in (values, clean() / 255))
    apart = (seen - was).square().sum(dim=1).sqrt().flatten(1)
    np.testing.assert_allclose(out.array("delta_e"), apart.mean(dim=1), atol=0.02)
    np.testing.assert_allclose(out.array("delta_e_max"), apart.amax(dim=1), atol=0.1)
    table = {row["metric"]: row["value"] for row in quality_rows(out, Measure(resamples=100), 0)}
    assert table["delta_e"] == pytest.approx(float(out.array("delta_e").mean()))
    assert table["delta_e_max"] == out.array("delta_e_max").max()
    assert table["linf_max"] == out.array("linf").max()
