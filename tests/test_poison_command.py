"""Albums poisoned by the command: one pattern for one person, in files that stay what they were."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from photofiles import person, saved, scene
from PIL import Image

from linkbench.cli.poison import PATTERNS
from linkbench.defenders.shortcut import Shortcut
from linkbench.faces import cut, find, read
from linkbench.protection.album import manifest_name
from linkbench.protection.poison import SIZE, Pattern, poison_for
from linkbench.protection.postings import postings

MANIFEST = manifest_name("poison")
LIMIT = 8


def bytes_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """A JPEG that a phone held upright, with a place in it, and a PNG."""
    folder = tmp_path / "album"
    folder.mkdir()
    tags = Image.Exif()
    tags[0x0112] = 6
    tags[0x010F] = "a camera"
    saved(np.rot90(scene(), 1), folder / "phone.jpg", quality=92, exif=tags)
    saved(scene(number=2), folder / "second.png")
    return folder


def test_an_album_is_poisoned_and_gone_on_with(tmp_path: Path, album: Path, run_cli: Any) -> None:
    out, originals = tmp_path / "out", bytes_in(album)
    done = run_cli("poison", album, "--out", out)
    assert done.status == 0, done.err
    assert "No promise of safety" in done.out
    assert "left of the pattern: file" in done.out
    assert bytes_in(album) == originals
    first = bytes_in(out)
    assert set(first) == {"phone.jpg", "second.png", MANIFEST}
    for name in originals:
        before, after = read(album / name), read(out / name)
        assert (after.format, after.orientation, after.size) == (before.format, before.orientation, before.size)
    assert b"a camera" in originals["phone.jpg"]
    assert b"a camera" not in first["phone.jpg"]

    before, after = read(album / "second.png"), read(out / "second.png")
    (face,) = find(before)
    left, top, right, bottom = face.square.bounds(*before.size)
    moved = after.upright.astype(int) - before.upright
    assert np.abs(moved).max() == LIMIT
    moved[top:bottom, left:right] = 0
    assert not moved.any()

    record = json.loads(first[MANIFEST])["photos"]["second.png"]
    assert record["changed"]["linf"] == pytest.approx(LIMIT / 255, abs=1e-4)
    assert set(record["left"]) == {"file", *(posting.name for posting in postings())}
    assert record["left"]["file"] == pytest.approx(1, abs=0.02)  # PNG loses nothing but the rounding

    again = run_cli("poison", album, "--out", out)
    assert again.out.count("as it was poisoned before") == 2
    assert bytes_in(out) == first
    (out / "second.png").unlink()  # interrupted before it was written
    assert run_cli("poison", album, "--out", out).status == 0
    assert bytes_in(out) == first  # the secret is the manifest's: the same pattern, the same bytes
    stronger = run_cli("poison", album / "second.png", "--out", out, "--epsilon", "16/255", "--keep-metadata")
    assert "as it was poisoned before" not in stronger.out
    assert (out / "second.png").read_bytes() != first["second.png"]


def pattern_in(before: Path, after: Path) -> torch.Tensor:
    """What was added to the face, [3 * SIZE ** 2]."""
    old, new = read(before), read(after)
    square = find(old)[0].square
    return (cut(new, square, SIZE) - cut(old, square, SIZE)).flatten()


@pytest.mark.parametrize("pattern", PATTERNS)
def test_photos_of_a_person_share_a_pattern(tmp_path: Path, run_cli: Any, pattern: str) -> None:
    """Two photos of one album correlate in what was added to them; those of two secrets do not."""
    folder = tmp_path / "album"
    folder.mkdir()
    paths = [saved(scene(left=120 + 30 * step), folder / f"{step}.png") for step in range(2)]
    added = []
    for secret, photos in ((1, paths), (2, paths[:1])):
        out = tmp_path / str(secret)
        assert run_cli("poison", *photos, "--out", out, "--pattern", pattern, "--secret", secret).status == 0
        added += [pattern_in(path, out / path.name) for path in photos]
    alike = torch.corrcoef(torch.stack(added))
    if pattern != "autoregressive":  # whose photos share a filter, each starting from numbers of its own
        assert float(alike[0, 1]) > 0.6
    assert abs(float(alike[0, 2])) < 0.4


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_is_that_of_the_secret_and_of_the_defender(pattern: Pattern) -> None:
    """It is what `shortcut` adds, draws again from the secret alone, and keeps to epsilon."""
    grey, index = torch.full((1, 3, SIZE, SIZE), 0.5), np.arange(1)

    def added(secret: int, digest: str = "a") -> torch.Tensor:
        return poison_for(pattern, 8 / 255, secret, digest).perturb(grey, index).photos - grey

    assert isinstance(poison_for(pattern, 8 / 255, 5, "a").defender, Shortcut)
    first = added(5)
    assert float(first.abs().max()) <= 8 / 255 + 1e-6
    assert not torch.equal(added(6), first)
    assert torch.equal(added(5), first)
    assert torch.equal(added(5, "b"), first) == (pattern == "rademacher")  # the others vary from photo to photo


def test_one_person_s_pattern_stays_off_other_faces(tmp_path: Path, run_cli: Any) -> None:
    wall = np.full((256, 560, 3), 120, np.uint8)
    wall[:, :256] = person(1)
    wall[:208, 304:512] = person(2, 208)
    path = saved(wall, tmp_path / "two.png")
    large, small = find(read(path))
    done = run_cli("poison", path, "--out", tmp_path / "out")
    assert "1 smaller face was left alone" in done.out
    moved = read(tmp_path / "out" / "two.png").pixels.astype(int) != wall
    assert moved[:, :256].any()
    assert not moved[:, 304:].any()
    assert large.x < 256 < small.x


def test_what_fails_takes_only_itself(tmp_path: Path, album: Path, run_cli: Any) -> None:
    (album / "broken.jpg").write_bytes((album / "phone.jpg").read_bytes()[:900])
    saved(np.full((200, 200, 3), 120, np.uint8), album / "wall.png")
    done = run_cli("poison", album, "--out", tmp_path / "out", "--json")
    assert done.status == 1
    said = json.loads(done.out)
    assert "damaged" in said[str(album / "broken.jpg")]["failed"]
    assert "no face" in said[str(album / "wall.png")]["failed"]
    assert set(bytes_in(tmp_path / "out")) == {"phone.jpg", "second.png", MANIFEST}
    alone = run_cli("poison", album / "wall.png", "--out", tmp_path / "none")
    assert alone.status == 2
    assert not any((tmp_path / "none").iterdir())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--epsilon", "8"], "1/255 to 0.25"),
        (["--pattern", "one-pixel"], "'one-pixel' is not one of"),
        (["--secret", "-1"], "not in the range"),
    ],
)
def test_wrong_wishes_are_refused(tmp_path: Path, album: Path, run_cli: Any, options: list[str], said: str) -> None:
    done = run_cli("poison", album, "--out", tmp_path / "out", *options)
    assert done.status == 2
    assert said in done.err
    assert not (tmp_path / "out").exists()


def test_nothing_is_overwritten(tmp_path: Path, album: Path, run_cli: Any) -> None:
    done = run_cli("poison", album, "--out", album)
    assert (done.status, "originals stay" in done.err) == (2, True)
    out = tmp_path / "out"
    out.mkdir()
    (out / manifest_name("protect")).write_text("{}")
    done = run_cli("poison", album, "--out", out)
    assert (done.status, "what another command wrote" in done.err) == (2, True)
    (out / manifest_name("protect")).rename(out / MANIFEST)
    done = run_cli("poison", album, "--out", out)
    assert (done.status, "no manifest of linkbench poison" in done.err) == (2, True)
    (out / MANIFEST).write_text('{"linkbench_poison": 1, "secret": 7, "photos": {}}')
    done = run_cli("poison", album, "--out", out, "--secret", 8)
    assert (done.status, "another secret" in done.err) == (2, True)
    assert set(bytes_in(out)) == {MANIFEST}
    (tmp_path / "file").write_text("")
    done = run_cli("poison", album, "--out", tmp_path / "file" / "out")
    assert (done.status, "cannot be made" in done.err) == (2, True)


def test_the_choices_are_those_of_the_defender() -> None:
    assert get_args(Pattern) == PATTERNS
    assert set(PATTERNS) < set(get_args(Shortcut.model_fields["pattern"].annotation))


def test_the_text_says_what_was_measured() -> None:
    """Every figure of the closing words stands in the benchmark's results."""
    from linkbench.protection.text import POISONED

    results = (Path(__file__).parent.parent / "benchmarks" / "RESULTS.md").read_text()
    poisons = results[results.index("## Poisons") :]
    table = poisons[: poisons.index("As published")]
    rows = re.findall(r"\| (none|rademacher|lsp|autoregressive) \| (\.\d+) \[.*?\| (\.\d+) ", table)
    assert len(rows) == 4
    for name, *accuracies in rows:
        assert all(f"{float(value):.2f}"[1:] in POISONED for value in accuracies), name
    albums = poisons[poisons.index("scenarios/album-poison.yaml") :][:600].replace("\n", " ")
    for words in (".278 / .211", "random signs .256 / .200", "lsp .367 / .256"):
        assert words in albums
        assert all(f"{float(value):.2f}"[1:] in POISONED for value in re.findall(r"\.\d+", words))
