"""Faces in photo files: found, cut out, changed in place, and written back as the file was."""

from __future__ import annotations

import contextlib
import io
import math
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from photofiles import person, saved, scene
from PIL import Image, ImageCms, ImageOps

from linkbench.errors import InputError, LinkbenchError
from linkbench.faces import Face, Photo, Square, cut, find, paste, read, write
from linkbench.faces.cut import FADE, HEAD, fade, sample
from linkbench.faces.geometry import usual_eyes
from linkbench.faces.photo import turned

INSIDE = Square(278.0, 208.0, 200.0, 0.1)
"""A turned square in `scene()` that holds the face."""

CHANGE = 8 / 255


def exif(orientation: int = 1, **tags: Any) -> Image.Exif:
    out = Image.Exif()
    out[0x0112] = orientation
    for name, value in tags.items():
        out[{"make": 0x010F, "model": 0x0110}[name]] = value
    return out


def change(size: int = 32) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).choice([-CHANGE, CHANGE], (3, size, size))).float()


def outside(photo: Photo, square: Square) -> np.ndarray[Any, Any]:
    """bool [h, w] of the upright photo."""
    width, height = photo.size
    y, x = np.mgrid[:height, :width] + 0.5
    x, y = x - square.x, y - square.y
    sine, cosine = math.sin(square.angle), math.cos(square.angle)
    across, down = cosine * x + sine * y, cosine * y - sine * x
    return (abs(across) > square.side / 2) | (abs(down) > square.side / 2)


@pytest.mark.slow
def test_a_face_is_found_where_it_is(tmp_path: Path) -> None:
    found = find(read(saved(scene(), tmp_path / "a.png")))
    assert len(found) == 1
    assert math.dist((found[0].x, found[0].y), (278, 208)) < 26
    assert 100 < found[0].side < 200
    aligned = cut(read(tmp_path / "a.png"), found[0].square, 64)
    assert aligned.shape == (1, 3, 64, 64)
    framed = cut(read(saved(person(), tmp_path / "b.png")), Square(128, 128, 256), 64)
    assert float((aligned - framed).abs().mean()) < 0.15  # framed about as the rendered photos of training are


@pytest.mark.slow
def test_several_faces_small_ones_and_none(tmp_path: Path) -> None:
    wall = np.array(Image.fromarray(scene()).resize((1500, 1200)))
    for column in range(3):
        wall[900:1028, 300 + 300 * column : 428 + 300 * column] = person(2 + column, 128)
    found = find(read(saved(wall, tmp_path / "group.jpg", quality=92)))
    assert len(found) == 4
    assert found[0].side > 2 * found[1].side  # the largest first
    assert {round((face.x - 64) / 300) for face in found[1:]} == {1, 2, 3}
    empty = np.full((300, 400, 3), 128, np.uint8)
    assert find(read(saved(empty, tmp_path / "wall.png"))) == []


@pytest.mark.slow
def test_a_tilted_head_is_found(tmp_path: Path) -> None:
    tilted = Image.fromarray(scene()).rotate(
        -25, Image.Resampling.BILINEAR, center=(278, 208), fillcolor=(100, 110, 120)
    )
    tilted.save(tmp_path / "tilted.png")
    found = find(read(tmp_path / "tilted.png"))
    assert len(found) == 1
    assert math.dist((found[0].x, found[0].y), (278, 208)) < 40
    assert found[0].square.angle == pytest.approx(math.radians(25), abs=0.2)


def test_the_square_is_level_with_the_eyes() -> None:
    for angle in (-0.3, 0.0, 0.2):
        face = Face(100, 80, 54, usual_eyes(100, 80, 54, angle), False, 2)
        assert face.square == pytest.approx((100, 80, 100, angle))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_that_of_pillow(tmp_path: Path, orientation: int) -> None:
    pixels = scene()[:200, :300]
    path = saved(pixels, tmp_path / "a.png", exif=exif(orientation))
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    photo = read(path)
    assert np.array_equal(photo.upright, expected)
    assert photo.size == expected.shape[1::-1]
    out = tmp_path / "out.png"
    write(photo, out)
    with Image.open(out) as image:
        assert image.getexif().get(0x0112, 1) == orientation
        assert np.array_equal(np.asarray(image), pixels)  # stored as it was


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_change_lands_in_the_square_and_nowhere_else(tmp_path: Path, orientation: int) -> None:
    stored = np.ascontiguousarray(turned(scene(), {6: 8, 8: 6}.get(orientation, orientation)))
    photo = read(saved(stored, tmp_path / "a.png", exif=exif(orientation)))
    assert np.array_equal(photo.upright, scene())
    after = paste(photo, INSIDE, change())
    moved = after.upright.astype(int) - photo.upright
    assert not moved[outside(photo, INSIDE)].any()
    assert np.abs(moved).max() <= 8
    middle = cut(after, INSIDE, 32)[0] - cut(photo, INSIDE, 32)[0]
    inner = fade(32) == 1
    assert float((middle * change()).sum(0)[inner].mean()) > 0.3 * 3 * CHANGE**2  # it is what predictors see
    write(after, tmp_path / "out.png")
    assert np.array_equal(read(tmp_path / "out.png").upright, after.upright)  # PNG: every byte


def test_no_change_changes_nothing(tmp_path: Path) -> None:
    photo = read(saved(scene(), tmp_path / "a.png"))
    assert np.array_equal(paste(photo, INSIDE, torch.zeros(3, 32, 32)).pixels, photo.pixels)


@pytest.mark.parametrize(("quality", "subsampling"), [(75, "4:2:0"), (90, "4:2:0"), (95, "4:4:4"), (85, "4:2:2")])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_keeps_its_tables_and_changes_by_its_own_rounding(
    tmp_path: Path, quality: int, subsampling: str, progressive: bool
) -> None:
    path = saved(scene(), tmp_path / "a.jpg", quality=quality, subsampling=subsampling, progressive=progressive)
    photo = read(path)
    write(photo, tmp_path / "b.jpg")
    again = read(tmp_path / "b.jpg")
    assert again.saving == photo.saving
    assert photo.saving["progressive"] == progressive
    difference = np.abs(again.pixels.astype(int) - photo.pixels)
    assert difference.mean() < 0.4
    plain = io.BytesIO()
    Image.fromarray(photo.pixels).save(plain, "JPEG", quality=quality, subsampling=subsampling)
    with Image.open(plain) as image:
        assert np.array_equal(np.asarray(image), again.pixels)  # not a grey level beyond what writing a JPEG does


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1"])
@pytest.mark.parametrize("ending", ["png", "webp", "jpg"])
def test_grey_stays_grey_and_alpha_as_it_is(tmp_path: Path, mode: str, ending: str) -> None:
    if (ending == "jpg" and mode != "L") or (ending == "webp" and mode in ("LA", "P", "1", "L")):
        pytest.skip("no such file")
    image = Image.fromarray(scene())
    if mode in ("LA", "RGBA"):
        image.putalpha(Image.fromarray((np.mgrid[:400, :500][1] // 2).astype(np.uint8)))
    image.convert(mode).save(tmp_path / f"a.{ending}", **({"lossless": True} if ending == "webp" else {}))
    photo = read(tmp_path / f"a.{ending}")
    assert photo.colours == (1 if mode in ("L", "LA", "1") else 3)
    after = paste(photo, INSIDE, change())
    if mode != "1":  # black and white have no grey to move to on one side
        assert (after.pixels != photo.pixels).any()
    assert np.array_equal(after.pixels[..., photo.colours :], photo.pixels[..., photo.colours :])
    write(after, tmp_path / f"out.{ending}")
    with Image.open(tmp_path / f"out.{ending}") as back:
        assert back.mode == {"P": "RGB", "1": "L"}.get(mode, mode)
        if ending != "jpg":
            assert np.array_equal(np.asarray(back), after.pixels.squeeze())
    if mode == "LA":
        assert cut(photo, Square(20, 20, 20), 16).mean() > 0.9  # transparent: on white


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bits_stay_sixteen(tmp_path: Path, channels: int) -> None:
    cv2 = pytest.importorskip("cv2")
    deep = np.random.default_rng(1).integers(0, 65536, (300, 400, channels)).astype(np.uint16)
    cv2.imwrite(str(tmp_path / "a.png"), deep)
    photo = read(tmp_path / "a.png")
    assert photo.pixels.dtype == np.uint16
    assert np.array_equal(photo.pixels[..., :3], deep[..., 2::-1] if channels >= 3 else deep)
    after = paste(photo, Square(200, 150, 100), change())
    assert np.abs(after.pixels.astype(int) - photo.pixels).max() <= math.ceil(8 * 257)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    write(Photo(photo.path, "PNG", after.pixels, 6, {}, profile), tmp_path / "b.png")
    again = read(tmp_path / "b.png")
    assert np.array_equal(again.pixels, after.pixels)
    assert (again.orientation, again.profile) == (6, profile)


def test_heic_comes_back_as_heic(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.from_pillow(Image.fromarray(scene())).save(tmp_path / "a.heic", quality=90)
    photo = read(tmp_path / "a.heic")
    assert photo.format == "HEIF"
    assert np.abs(photo.pixels.astype(int) - scene()).mean() < 3
    write(paste(photo, INSIDE, change()), tmp_path / "b.heic")
    assert np.abs(read(tmp_path / "b.heic").pixels.astype(int) - photo.pixels).mean() < 2


def test_what_a_camera_wrote_goes_unless_kept(tmp_path: Path) -> None:
    told = exif(6, make="SecretCam", model="Mark II")
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    path = saved(scene(), tmp_path / "a.jpg", exif=told, icc_profile=profile, dpi=(300, 300), comment=b"my home")
    photo = read(path)
    write(photo, tmp_path / "out.jpg")
    data = (tmp_path / "out.jpg").read_bytes()
    assert b"SecretCam" not in data
    assert b"my home" not in data
    again = read(tmp_path / "out.jpg")
    assert (again.orientation, again.profile, again.saving["dpi"]) == (6, profile, (300, 300))
    write(photo, tmp_path / "kept.jpg", keep_metadata=True)
    assert b"SecretCam" in (tmp_path / "kept.jpg").read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.jpg", "kept.jpg", "out.jpg"]  # no half file


def test_a_thumbnail_never_stays(tmp_path: Path) -> None:
    plain = exif(make="Cam").tobytes()
    small = io.BytesIO()
    Image.fromarray(person(1, 64)).save(small, "JPEG")
    body, thumbnail = plain[6:], small.getvalue()
    first = int.from_bytes(body[4:8], "little")
    count = int.from_bytes(body[first : first + 2], "little")
    link = first + 2 + 12 * count
    second = len(body) + len(body) % 2
    entries = [(0x0201, second + 2 + 24 + 4), (0x0202, len(thumbnail))]
    ifd = len(entries).to_bytes(2, "little") + b"".join(
        tag.to_bytes(2, "little") + (4).to_bytes(2, "little") + (1).to_bytes(4, "little") + value.to_bytes(4, "little")
        for tag, value in entries
    )
    body = body[:link] + second.to_bytes(4, "little") + body[link + 4 :]
    body = body.ljust(second, b"\0") + ifd + bytes(4) + thumbnail
    path = saved(scene(), tmp_path / "a.jpg", exif=b"Exif\0\0" + body)
    assert thumbnail in path.read_bytes()
    with Image.open(path) as image:
        assert image.getexif().get_ifd(0x8769) is not None
    write(read(path), tmp_path / "b.jpg", keep_metadata=True)
    data = (tmp_path / "b.jpg").read_bytes()
    assert thumbnail not in data
    assert b"Cam" in data


@given(st.floats(60, 140), st.floats(60, 140), st.floats(20, 110), st.floats(-0.6, 0.6))
@settings(max_examples=25, deadline=None)
def test_a_cut_is_linear_and_sees_a_plane_as_it_is(x: float, y: float, side: float, angle: float) -> None:
    """Of a picture whose colour grows evenly, each pixel of the cut is the colour at its place."""
    plane = torch.arange(200.0).add(0.5).expand(1, 3, 200, 200)
    seen = sample(plane, Square(x, y, side, angle), 16)[0, 0]
    place = (torch.arange(16) + 0.5) / 16 * side - side / 2
    expected = x + math.cos(angle) * place - math.sin(angle) * place[:, None]
    block = max(1, round(side / 16))
    held = expected.clamp(block / 2, 200 // block * block - block / 2)
    assert float((seen - held).abs().max()) < 1e-2 + 1e-3 * side


def test_the_cut_has_a_gradient() -> None:
    pixels = torch.rand(1, 3, 90, 80, dtype=torch.float64, requires_grad=True)
    square = Square(41.3, 44.1, 50, 0.2)
    assert torch.autograd.gradcheck(lambda shown: sample(shown, square, 5), (pixels,))


def test_beyond_the_photo_its_edge_goes_on(tmp_path: Path) -> None:
    photo = read(saved(scene(), tmp_path / "a.png"))
    for square in (Square(5, 5, 80), Square(-300, -300, 50), Square(495, 395, 4000)):
        shown = cut(photo, square, 32)
        assert shown.shape == (1, 3, 32, 32)
        assert torch.isfinite(shown).all()
        paste(photo, square, change())


def test_a_change_fades_out_around_the_head() -> None:
    mask = fade(200)
    y, x = (np.mgrid[:200, :200] + 0.5) / 100 - 1
    outer = (x / HEAD[0]) ** 2 + (y / HEAD[1]) ** 2
    assert not mask.numpy()[outer >= 1].any()
    assert (mask.numpy()[outer <= (1 - FADE) ** 2] == 1).all()
    assert float(mask.diff(dim=0).abs().max()) < 0.1  # no edge
    assert torch.allclose(mask, mask.flip(0), atol=1e-5)


@pytest.mark.slow
def test_a_photo_of_4000_pixels(tmp_path: Path) -> None:
    big = Image.fromarray(scene()).resize((4000, 3200), Image.Resampling.BICUBIC)
    big.save(tmp_path / "big.jpg", quality=90)
    photo = read(tmp_path / "big.jpg")
    (face,) = find(photo)
    assert math.dist((face.x, face.y), (278 * 8, 208 * 8)) < 200
    after = paste(photo, face.square, change(64))
    moved = np.abs(after.pixels.astype(int) - photo.pixels)
    assert 4 <= moved.max() <= 8
    assert not moved[outside(photo, face.square)].any()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path.write_bytes(b""), "empty"),
        (lambda path: path.write_bytes(b"not a photo at all"), "no image in one of the formats"),
        (lambda path: Image.new("CMYK", (64, 64)).save(path, "JPEG"), "CMYK"),
        (lambda path: Image.new("RGB", (8, 8)).save(path, "PNG"), "less than"),
        (lambda path: Image.new("RGB", (64, 64)).save(path, "TIFF"), "no image in one of the formats"),
        (lambda path: path.mkdir(), "no plain file"),
        (lambda path: None, "no such file"),
    ],
)
def test_refused_with_a_reason(tmp_path: Path, make: Any, said: str) -> None:
    make(tmp_path / "a.jpg")
    with pytest.raises(InputError, match=said):
        read(tmp_path / "a.jpg")


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "heic"])
def test_mutated_files_are_read_or_refused(tmp_path: Path, ending: str) -> None:
    """benchmarks/fuzz_photos.py does the same with ten thousand."""
    path = tmp_path / f"a.{ending}"
    if ending == "heic":
        pytest.importorskip("pillow_heif").from_pillow(Image.fromarray(person(1, 64))).save(path)
    else:
        saved(person(1, 64), path, exif=exif(6, make="Cam"))
    whole, chance = path.read_bytes(), random.Random(0)
    for _ in range(60):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 8)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        if chance.random() < 0.3:
            del data[chance.randrange(len(data)) :]
        path.write_bytes(data)
        began = time.monotonic()
        with contextlib.suppress(LinkbenchError):
            write(read(path), tmp_path / f"out.{ending}")
        assert time.monotonic() - began < 5
