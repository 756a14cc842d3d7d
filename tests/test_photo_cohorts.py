"""Cohorts of photos: rendered, the paper's release, CelebA, a user's folder; every mistake of a user by name."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from linkbench.api.data import MISSING, TEST, TRAIN, VALIDATION, Array, Cohort, Genomes, Stream, strings
from linkbench.api.schema import PAPER, Schema
from linkbench.cohorts.celeba import CelebA
from linkbench.cohorts.folder import Folder
from linkbench.cohorts.pairing import draw_genomes, labels_of_people
from linkbench.cohorts.paper_release import PaperRelease
from linkbench.cohorts.rendered import Rendered
from linkbench.errors import InputError
from linkbench.genomes import shipped
from linkbench.genomes.paper_tables import PaperTables
from linkbench.genomes.thousand_genomes import ThousandGenomes
from linkbench.registry.spec import parse_spec
from linkbench.stages.link import split_people

GENOMES = PaperTables().build(0)


def pixels(cohort: Cohort) -> Array:
    assert isinstance(cohort.photos, Stream)
    blocks = list(cohort.photos.blocks)
    assert max(map(len, blocks)) <= 64
    out = np.concatenate(blocks)
    assert out.shape == cohort.photos.shape
    assert out.dtype == cohort.photos.dtype == np.uint8
    return out


def photo(path: Path, colour: tuple[int, int, int] = (1, 2, 3), size: tuple[int, int] = (178, 218)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path, quality=95)
    return path


def schema_of(*names: str) -> Genomes:
    schema = Schema(dict.fromkeys(names, ("a", "b")))
    return Genomes(schema, strings(["x", "y", "z"]), np.log(np.full((3, schema.width), 0.5)))


# rendered


def test_rendered_people_and_photos() -> None:
    source = Rendered(count=12, per_identity=3, size=32)
    cohort = source.build(GENOMES, 7)
    assert cohort.ids[:4].tolist() == [b"p0001-0", b"p0001-1", b"p0001-2", b"p0002-0"]
    assert cohort.identity.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert len(set(cohort.truth.tolist())) == 4
    assert (cohort.labels == cohort.labels[::3].repeat(3, axis=0)).all()
    assert not cohort.split.any()
    first = pixels(cohort)
    np.testing.assert_array_equal(first, pixels(source.build(GENOMES, 7)))
    assert (first[0] != first[1]).any()
    other = source.build(GENOMES, 8)
    assert (other.truth != cohort.truth).any()
    assert set(split_people(cohort.identity, {"test": 0.4, "validation": 0.25}, 0)) == {TRAIN, VALIDATION, TEST}


def test_rendered_photos_do_not_depend_on_their_block() -> None:
    many = pixels(Rendered(count=70, size=32).build(GENOMES, 1))
    assert many.shape == (70, 3, 32, 32)
    source = Rendered(count=70, size=32)
    cohort = source.build(GENOMES, 1)
    tail = slice(64, 70)
    rows = [np.ascontiguousarray(part[tail]) for part in (cohort.labels, cohort.identity, np.zeros(70, np.int64))]
    alone = np.concatenate(list(source.model_copy(update={"count": 6})._blocks(rows[0], rows[1], rows[2], 1)))
    np.testing.assert_array_equal(many[tail], alone)


def test_rendered_phenotypes_follow_the_genomes() -> None:
    genomes = ThousandGenomes().build(0)
    cohort = Rendered(count=2000).build(genomes, 3)
    for column, span in enumerate(PAPER.slices.values()):
        p = np.exp(genomes.log_p[cohort.truth, span])
        expected = (p / p.sum(axis=1, keepdims=True)).mean(axis=0)
        shown = np.bincount(cohort.labels[:, column], minlength=len(expected)) / 2000
        np.testing.assert_allclose(shown, expected, atol=0.04)


def test_rendered_confounders_change_photos_only() -> None:
    plain = Rendered(count=4, size=32).build(GENOMES, 1)
    hidden = Rendered(count=4, size=32, dyed_hair=1.0, coloured_light=1.0).build(GENOMES, 1)
    np.testing.assert_array_equal(plain.labels, hidden.labels)
    assert (pixels(plain) != pixels(hidden)).any()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"count": 10, "per_identity": 3}, "count must be a multiple of per_identity, found 10 and 3"),
        ({"size": 31}, "greater than or equal to 32"),
        ({"size": 512}, "less than or equal to 256"),
        ({"dyed_hair": 1.5}, "less than or equal to 1"),
        ({"dyed": 0.5}, "unknown key"),
    ],
)
def test_rendered_parameters(entry: dict[str, Any], message: str) -> None:
    specs, wrong = parse_spec("cohort", {"use": "rendered", **entry}, ())
    assert not specs
    assert message in wrong[0].what


def test_rendered_needs_the_papers_schema_and_enough_genomes() -> None:
    with pytest.raises(InputError, match=r"'rendered' has the phenotypes.*Use genomes with 'schema: paper'"):
        Rendered().build(schema_of("ear"), 0)
    with pytest.raises(InputError, match=r"457 people need as many genomes, but there are 456. Lower 'count'"):
        Rendered(count=457).build(GENOMES, 0)


# the paper's release


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("release")
    for number, row in enumerate(shipped.rows("paper_labels.csv")):
        photo(folder / "synthetic_images" / f"{int(row['id']):06d}.jpg", (number % 256, 0, 0), (18, 22))
    return folder


def test_paper_release(release: Path) -> None:
    source = PaperRelease(path=release, size=16)
    assert source.input_files() == [release / "synthetic_images"]
    cohort = source.build(GENOMES, 0)
    assert len(cohort) == 456
    assert len(set(cohort.identity.tolist())) == 425
    assert (cohort.labels != MISSING).all()
    np.testing.assert_array_equal(GENOMES.ids[cohort.truth], cohort.ids)
    red = pixels(cohort)[:, 0, 8, 8].astype(int)
    assert np.abs(red - np.arange(456) % 256).max() <= 3
    assert not cohort.split.any()
    turned = Genomes(PAPER, GENOMES.ids[::-1], GENOMES.log_p[::-1])
    np.testing.assert_array_equal(source.build(turned, 0).truth, 455 - cohort.truth)


def test_paper_release_says_what_is_missing(release: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"456 of the 456 photos are missing, the first is .*000001.jpg") as error:
        PaperRelease(path=tmp_path).build(GENOMES, 0)
    assert "folder of the release" in str(error.value)
    with pytest.raises(InputError, match=r"no genome, the first is '1'. Use the genomes 'paper-tables'"):
        PaperRelease(path=release).build(ThousandGenomes().build(0), 0)
    victim = release / "synthetic_images" / "000006.jpg"
    content = victim.read_bytes()
    try:
        victim.unlink()
        with pytest.raises(InputError, match=r"1 of the 456 photos are missing, the first is .*000006.jpg"):
            PaperRelease(path=release).build(GENOMES, 0)
        victim.write_bytes(b"")
        with pytest.raises(InputError, match=r"000006.jpg: the file is empty"):
            PaperRelease(path=release).build(GENOMES, 0)
    finally:
        victim.write_bytes(content)


# pairing


def test_labels_of_people() -> None:
    labels = np.array([[1, -1], [1, 2], [0, -1], [-1, -1], [0, 1], [2, 0]])
    who = np.array([0, 0, 0, 1, 2, 2])
    assert labels_of_people(labels, who, 3).tolist() == [[1, 2], [-1, -1], [0, 0]]
    assert labels_of_people(np.full((2, 1), -1), np.array([0, 1]), 2).tolist() == [[-1], [-1]]


def test_genomes_are_drawn_by_weight_and_never_twice() -> None:
    schema = Schema({"ear": ("a", "b")})
    p = np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.1, 0.9]])
    genomes = Genomes(schema, strings(list("wxyz")), np.log(p / 7))  # not normalised, as the paper's
    shares = np.zeros(4)
    for seed in range(1500):
        shares[draw_genomes(np.array([[0]]), genomes, seed)] += 1 / 1500
    np.testing.assert_allclose(shares, p[:, 0] / p[:, 0].sum(), atol=0.04)
    for seed in range(20):
        everyone = draw_genomes(np.array([[0], [1], [-1], [0]]), genomes, seed)
        assert sorted(everyone) == [0, 1, 2, 3]
    np.testing.assert_array_equal(
        draw_genomes(np.array([[0], [1]]), genomes, 1), draw_genomes(np.array([[0], [1]]), genomes, 1)
    )


# CelebA


NAMES = [f"{number:06d}.jpg" for number in (1, 2, 3, 4, 5)]
HEAD = "Bald Black_Hair Blond_Hair Brown_Hair Male"


def celeba(folder: Path) -> Path:
    for number, name in enumerate(NAMES):
        photo(folder / "img_align_celeba" / name, (40 * number, 0, 0))
    rows = ["-1 -1 -1 1 -1", "-1 -1 1 -1 -1", "1 -1 -1 -1 1", "-1 1 -1 1 1", "-1 1 -1 -1 1"]
    lines = [f"{name}  {row}" for name, row in zip(NAMES, rows, strict=True)]
    (folder / "list_attr_celeba.txt").write_text("\n".join(["5", HEAD + " ", *lines]) + "\n")
    people = (2880, 2937, 77, 77, 12)
    (folder / "identity_CelebA.txt").write_text("".join(f"{n} {i}\n" for n, i in zip(NAMES, people, strict=True)))
    return folder


def test_celeba(tmp_path: Path) -> None:
    source = CelebA(path=celeba(tmp_path), size=16)
    cohort = source.build(GENOMES, 0)
    assert source.input_files() == [tmp_path]
    assert cohort.ids.tolist() == [name.encode() for name in NAMES]
    assert cohort.identity.tolist() == [2880, 2937, 77, 77, 12]
    sex, hair = cohort.labels[:, 0].tolist(), cohort.labels[:, 1].tolist()
    assert sex == [0, 0, 1, 1, 1]
    assert hair == [2, 1, MISSING, MISSING, 0]  # bald, and two colours at once
    known = {row["id"]: row for row in shipped.rows("paper_labels.csv")}
    assert cohort.labels[0, 2:].tolist() == [PAPER[name].index(known["1"][name]) for name in ("eye", "skin")]
    assert (cohort.labels[2:, 2:] == MISSING).all()
    assert cohort.truth[2] == cohort.truth[3]
    assert len(set(cohort.truth.tolist())) == 4
    assert (GENOMES.log_p[cohort.truth[[0, 1]], 0] > np.log(0.5)).all()  # women have women's genomes
    assert np.abs(pixels(cohort)[:, 0, 8, 8].astype(int) - [0, 40, 80, 120, 160]).max() <= 3


def test_celeba_label_files_and_limit(tmp_path: Path) -> None:
    celeba(tmp_path)
    (tmp_path / "eye_color_labels").write_text("000003.jpg, BLUE\n000001.jpg, INT\n000003.jpg, BROWN\n")
    (tmp_path / "skin_color_labels").write_text("000003.jpg, DARKSKIN\n")
    cohort = CelebA(path=tmp_path, size=16).build(GENOMES, 0)
    assert cohort.labels[2, 2:].tolist() == [2, 2]  # the last line counts
    assert cohort.labels[0, 2] == 1
    fewer = CelebA(path=tmp_path, size=16, limit=3).build(GENOMES, 0)
    assert fewer.ids.tolist() == [b"000001.jpg", b"000002.jpg", b"000003.jpg"]
    assert len(pixels(fewer)) == 3


def test_celeba_as_its_archives_unpack(tmp_path: Path) -> None:
    celeba(tmp_path)
    (tmp_path / "Img").mkdir()
    (tmp_path / "Anno").mkdir()
    (tmp_path / "img_align_celeba").rename(tmp_path / "Img" / "img_align_celeba")
    for name in ("list_attr_celeba.txt", "identity_CelebA.txt"):
        (tmp_path / name).rename(tmp_path / "Anno" / name)
    assert len(CelebA(path=tmp_path, size=16).build(GENOMES, 0)) == 5


def rewrite(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))

    return change


def put(name: str, content: str | bytes) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)

    return change


def move(old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / old).rename(folder / new)

    return change


def drop(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


ATTR, WHO = "list_attr_celeba.txt", "identity_CelebA.txt"
CELEBA_FAULTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "no attributes": (drop(ATTR), "has no file list_attr_celeba.txt or Anno/list_attr_celeba.txt. 'path' must be"),
    "no identities": (drop(WHO), "has no file identity_CelebA.txt"),
    "no folder": (move("img_align_celeba", "x"), "has no folder img_align_celeba"),
    "no photo": (drop("img_align_celeba/000004.jpg"), "1 of 5 photos .* the first is 000004.jpg. Unpack the whole"),
    "empty photo": (put("img_align_celeba/000004.jpg", ""), r"000004.jpg: the file is empty"),
    "no column": (rewrite(ATTR, "Black_Hair", "Dark_Hair"), r"celeba.txt:2: column 'Black_Hair' is missing"),
    "empty": (put(ATTR, ""), r"celeba.txt:2: column 'Male' is missing"),
    "no rows": (put(ATTR, f"0\n{HEAD}\n"), r"celeba.txt:3: there are no photos"),
    "short row": (rewrite(ATTR, "000003.jpg  1 ", "000003.jpg "), r"celeba.txt:5: expected a photo and 5 numbers"),
    "bad value": (rewrite(ATTR, "000003.jpg  1 ", "000003.jpg 0 "), r"celeba.txt:5: expected a photo and 5 numbers"),
    "twice": (rewrite(ATTR, "000003", "000002"), r"celeba.txt:5: 000002.jpg stands in line 4 already"),
    "escape": (rewrite(ATTR, "000003.jpg", "../3.jpg"), r"celeba.txt:5: '../3.jpg' is no plain file name"),
    "not text": (put(ATTR, b"\xff\xfe\x00"), "not UTF-8 text"),
    "bad identity": (rewrite(WHO, "2937", "x"), r"CelebA.txt:2: expected a photo and a number, .* found"),
    "huge identity": (rewrite(WHO, "2937", "9" * 30), r"CelebA.txt:2: expected a photo and a number"),
    "lost identity": (rewrite(WHO, "000002.jpg 2937\n", ""), "1 photos .* have no identity here, .* 000002.jpg"),
    "eye word": (put("eye_color_labels", "\n000001.jpg, GREEN\n"), r"eye_color_labels:2: .* one of BLUE, INT, BROWN"),
    "eye name": (put("eye_color_labels", "000009.jpg, BLUE\n"), r"eye_color_labels:1: '000009.jpg' is not among the 5"),
    "skin of the release": (put("skin_color_labels", "1.jpg, PALE\n"), r"skin_color_labels:1: .* are not CelebA's"),
}


@pytest.mark.parametrize("fault", CELEBA_FAULTS)
def test_celeba_faults(tmp_path: Path, fault: str) -> None:
    spoil, message = CELEBA_FAULTS[fault]
    spoil(celeba(tmp_path))
    with pytest.raises(InputError, match=message):
        CelebA(path=tmp_path, size=16).build(GENOMES, 0)


def test_celeba_needs_a_folder_a_schema_and_genomes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no folder"):
        CelebA(path=tmp_path / "gone").build(GENOMES, 0)
    with pytest.raises(InputError, match=r"Use genomes with 'schema: paper'"):
        CelebA(path=celeba(tmp_path)).build(schema_of("ear"), 0)
    few = Genomes(PAPER, GENOMES.ids[:3], GENOMES.log_p[:3])
    with pytest.raises(InputError, match=r"4 people need as many genomes, but there are 3. Set 'limit' lower"):
        CelebA(path=tmp_path).build(few, 0)


# a user's folder


def folder(root: Path, table: str, count: int = 4) -> Path:
    for number in range(count):
        photo(root / f"{number}.jpg", (60 * number, 0, 0), (40, 50))
    (root / "labels.csv").write_text(table)
    return root


TABLE = """file,identity,sex,hair,eye,skin
0.jpg,ann,female,black,,pale
1.jpg,ann,female,,blue,
2.jpg,bob,male,brown,brown,dark

3.jpg,"cem, the third",male,,,
"""


def test_folder(tmp_path: Path) -> None:
    source = Folder(path=folder(tmp_path, TABLE), size=16)
    assert source.input_files() == [tmp_path, tmp_path / "labels.csv"]
    cohort = source.build(GENOMES, 0)
    assert cohort.ids.tolist() == [b"0.jpg", b"1.jpg", b"2.jpg", b"3.jpg"]
    assert cohort.identity.tolist() == [0, 0, 1, 2]
    assert cohort.labels.tolist() == [[0, 0, -1, 0], [0, -1, 0, -1], [1, 2, 2, 2], [1, -1, -1, -1]]
    assert cohort.truth[0] == cohort.truth[1]
    assert len(set(cohort.truth.tolist())) == 3
    assert not cohort.split.any()
    assert np.abs(pixels(cohort)[:, 0, 8, 8].astype(int) - [0, 60, 120, 180]).max() <= 3
    np.testing.assert_array_equal(cohort.truth, source.build(GENOMES, 0).truth)


def test_folder_with_genomes_split_and_a_schema_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    photo(tmp_path / "deep" / "3.jpg", size=(40, 40))
    folder(tmp_path, "", 3)
    table = tmp_path / "elsewhere" / "t.csv"
    table.write_text(
        "genome,split,ear,file,identity\ny,train,a,0.jpg,1\nx,validation,,1.jpg,2\n z , test ,b,2.jpg,3\n"
        "z,test,b,deep/3.jpg,3\n"
    )
    cohort = Folder(path=tmp_path, labels=table, size=16).build(schema_of("ear"), 0)
    assert cohort.truth.tolist() == [1, 0, 2, 2]
    assert cohort.split.tolist() == [TRAIN, VALIDATION, TEST, TEST]
    assert cohort.labels.tolist() == [[0], [MISSING], [1], [1]]
    assert cohort.ids[3] == b"deep/3.jpg"


HEADER = "file,identity,sex,hair,eye,skin"
ROW = "0.jpg,ann,female,black,blue,pale"
FOLDER_FAULTS: dict[str, tuple[str, str]] = {
    "empty": ("", r"labels.csv:1: the file is empty"),
    "no rows": (HEADER, "there are no photos below the header"),
    "missing column": (
        f"file,identity,sex,hair,eyes,skin\n{ROW}",
        r":1: column 'eye' is missing \(is it 'eyes'\?\). Needed: file, .*, skin; leave the cells",
    ),
    "unknown column": (f"{HEADER},splt\n{ROW},test", r":1:7: column 'splt': unknown column \(did you mean 'split'\?\)"),
    "unknown variant": (
        f"{HEADER}\n0.jpg,ann,female,blond,blue,pale",
        r":2:4: column 'hair': unknown variant 'blond' \(did you mean 'blonde'\?\). Allowed: black, blonde, brown",
    ),
    "short row": (f"{HEADER}\n0.jpg,ann", r":2: found 2 cells, but the header names 6 columns"),
    "no identity": (f"{HEADER}\n0.jpg, ,female,black,blue,pale", r":2:2: column 'identity': found nothing. Say who"),
    "no name": (f"{HEADER}\n,ann,female,black,blue,pale", r":2:1: column 'file': found ''. Name a file in"),
    "no file": (f"{HEADER}\n00.jpg,ann,,,,", r":2:1: column 'file': there is no '00.jpg' .*did you mean '0.jpg'"),
    "no folder": (f"{HEADER}\nq/0.jpg,ann,,,,", r":2:1: column 'file': there is no 'q/0.jpg' .*Mend the name"),
    "escape": (f"{HEADER}\n../0.jpg,ann,,,,", r":2:1: column 'file': '../0.jpg' leads out of the folder"),
    "inner escape": (f"{HEADER}\na/../0.jpg,ann,,,,", r":2:1: column 'file': 'a/../0.jpg' leads out of the folder"),
    "absolute": (f"{HEADER}\n/etc/passwd,ann,,,,", r":2:1: column 'file': '/etc/passwd' leads out of the folder"),
    "link": (f"{HEADER}\nlink.jpg,ann,,,,", r":2:1: column 'file': 'link.jpg' leads out of the folder"),
    "no photo": (f"{HEADER}\nlabels.csv,ann,,,,", r":2: photo .*labels.csv: it is no image in one of the formats"),
    "a folder": (f"{HEADER}\nsub,ann,,,,", r":2: photo .*sub: this is no plain file"),
    "twice": (f"{HEADER}\n{ROW}\n{ROW}", r":3:1: column 'file': '0.jpg' is the same photo as in line 2"),
    "twice, hidden": (f"{HEADER}\n{ROW}\n./0.jpg,bob,,,,", r":3:1: column 'file': './0.jpg' is the same photo"),
    "unknown genome": (
        f"{HEADER},genome\n{ROW},100O",
        r":2:7: column 'genome': there is no genome '100O' .*among the 456 genomes. Mend the id",
    ),
    "no genome": (f"{HEADER},genome\n{ROW},", r":2:7: column 'genome': there is no genome ''"),
    "two genomes": (
        f"{HEADER},genome\n{ROW},1\n1.jpg,ann,,,,,2",
        r":3:7: column 'genome': 'ann' has genome '2' here, another in line 2. A person has one genome",
    ),
    "bad split": (f"{HEADER},split\n{ROW},tset", r":2:7: column 'split': found 'tset' \(did you mean 'test'\?\)"),
    "torn person": (
        f"{HEADER},split\n{ROW},test\n1.jpg,ann,,,,,train",
        r":3:7: column 'split': 'ann' is in 'train' here, in another part in line 2. All photos of a person",
    ),
    "empty part": (f"{HEADER},split\n{ROW},train", r":1:7: column 'split': no photo is in 'validation'. Give each"),
}


@pytest.mark.parametrize("fault", FOLDER_FAULTS)
def test_folder_faults(tmp_path: Path, fault: str) -> None:
    table, message = FOLDER_FAULTS[fault]
    root = folder(tmp_path / "photos", table, 2)
    (root / "sub").mkdir()
    os.symlink(photo(tmp_path / "outside.jpg"), root / "link.jpg")
    with pytest.raises(InputError, match=message) as error:
        Folder(path=root, size=16).build(GENOMES, 0)
    assert str(root / "labels.csv") in str(error.value)


def test_folder_needs_a_folder_a_table_and_genomes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no folder"):
        Folder(path=tmp_path / "gone").build(GENOMES, 0)
    with pytest.raises(InputError, match=r"labels.csv: there is no such file"):
        Folder(path=tmp_path).build(GENOMES, 0)
    few = Genomes(PAPER, GENOMES.ids[:2], GENOMES.log_p[:2])
    with pytest.raises(InputError, match=r"3 people need as many genomes, but there are 2. Name them in a column"):
        Folder(path=folder(tmp_path, TABLE)).build(few, 0)


def test_a_photo_that_breaks_later_is_named(tmp_path: Path) -> None:
    root = folder(tmp_path, TABLE)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(root / "2.jpg")
    (root / "2.jpg").write_bytes((root / "2.jpg").read_bytes()[:-1000])
    cohort = Folder(path=root, size=16).build(GENOMES, 0)
    with pytest.raises(InputError, match=r"2\.jpg: it is damaged, cut off"):
        pixels(cohort)


# linkbench cohort show


def test_show_writes_a_sheet(run_cli: Callable[..., Any]) -> None:
    done = run_cli("cohort", "show", "rendered", "--set", "count=8", "--set", "per_identity=2", "--set", "size=32",
                   "--count", "6", "--out", "deep/sheet.png")  # fmt: skip
    assert (done.status, done.out) == (0, "6 of 8 photos, 3 people: deep/sheet.png\n")
    with Image.open("deep/sheet.png") as sheet:
        assert sheet.size == (2 * 32 + 2, 3 * 32 + 2 * 2)  # a row for each person
    done = run_cli("cohort", "show", "rendered", "--set", "size=32", "--count", "5", "--out", "sheet.png")
    assert done.status == 0
    with Image.open("sheet.png") as sheet:
        assert sheet.size == (3 * 32 + 2 * 2, 2 * 32 + 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sampled"], "cohort 'sampled' has no photos"),
        (["rendred"], "did you mean 'rendered'?"),
        (["rendered", "--set", "cuont=5"], "cuont: unknown key; did you mean 'count'?"),
        (["rendered", "--set", "count"], "expected KEY=VALUE, found 'count'"),
        (["rendered", "--set", "count=[1,2]"], "gave a list, which spans a grid"),
        (["rendered", "--genomes", "simulated", "--set-genomes", "count=-1"], "count: must be greater than"),
        (["paper-release", "--set", "path=nowhere"], "456 of the 456 photos are missing"),
    ],
)
def test_show_explains(run_cli: Callable[..., Any], arguments: list[str], message: str) -> None:
    done = run_cli("cohort", "show", *arguments, "--out", "sheet.png")
    assert done.status == 2
    assert message in done.err
    assert not Path("sheet.png").exists()


def test_show_says_that_it_cannot_write(run_cli: Callable[..., Any]) -> None:
    Path("file").touch()
    done = run_cli("cohort", "show", "rendered", "--out", "file/sheet.png")
    assert done.status == 2
    assert "file/sheet.png cannot be written" in done.err
