"""Photo files of strangers as square uint8 arrays: read rightly, or refused by name and with a remedy."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from linkbench.api.data import Array, Stream
from linkbench.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS = 1 << 26
"""Photos of more pixels are refused before they are unpacked: a file of a few bytes can claim gigabytes."""
MIN_SIDE = 16
"""Photos whose square is smaller (in pixels) show no face."""
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM")
"""What is read; the other decoders of Pillow are never offered a stranger's file."""
BLOCK = 64
"""Photos decoded at a time: a stream holds no more."""
WORKERS = 4
"""Threads that decode; Pillow lets go of the interpreter while it unpacks."""

_RESAVE = "Save it again as an 8-bit RGB JPEG or PNG, or leave it out"


CENTRE = (0.5, 0.5)
"""The middle of a photo: parts of its width from the left and of its height from the top."""


def load_photo(path: Path, size: int, crop: float = 1.0, centre: tuple[float, float] = CENTRE) -> Array:
    """A photo file as uint8 [3, size, size] in sRGB: a square of `crop` times its shorter side, antialiased.

    centre: where the square's middle lies, see CENTRE; it is moved as far as needed to lie inside the photo.

    Turned as its EXIF data say; embedded colour profiles are applied; transparent parts lie on white.
    Raises InputError (file, reason, remedy) for files that are unreadable, cut off, animated, of more than
    MAX_PIXELS pixels, smaller than MIN_SIDE, or of unknown value range.
    """
    with quiet():
        return _load(path, size, crop, centre)


def check_photo(path: Path) -> None:
    """Look at the header only; raises InputError for what `load_photo` would refuse there."""
    with quiet(), opened(path):
        pass


def shape_of(path: Path) -> tuple[int, int]:
    """Width and height in pixels as the photo is seen, turned as its EXIF data say. Raises InputError."""
    with quiet(), opened(path) as image:
        turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
        return (image.height, image.width) if turned else (image.width, image.height)


def photo_stream(paths: Sequence[Path], size: int, crop: float = 1.0, centre: tuple[float, float] = CENTRE) -> Stream:
    """The photos uint8 [N, 3, size, size] in blocks of at most BLOCK, as `load_photo` gives them."""
    return Stream((len(paths), 3, size, size), np.dtype(np.uint8), _blocks(paths, size, crop, centre))


def _blocks(paths: Sequence[Path], size: int, crop: float, centre: tuple[float, float]) -> Iterator[Array]:
    from concurrent.futures import ThreadPoolExecutor

    from linkbench.api.progress import advance

    with ThreadPoolExecutor(WORKERS) as pool:
        for start in range(0, len(paths), BLOCK):
            part = paths[start : start + BLOCK]
            with quiet():  # around the threads, not inside them: warning filters are shared by all threads
                block = np.stack(list(pool.map(lambda path: _load(path, size, crop, centre), part)))
            yield block
            advance(start + len(part), len(paths))


@contextmanager
def quiet() -> Iterator[None]:
    """Pillow warns of what is refused or mended here: bombs, bad EXIF data, odd palettes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def refused(path: Path, reason: str, remedy: str = _RESAVE) -> InputError:
    """The error that names the photo, what is wrong with it and what to do."""
    return InputError(f"photo {path}: {reason}. {remedy}")


@contextmanager
def opened(path: Path, formats: tuple[str, ...] = FORMATS) -> Iterator[Image]:
    """The image behind a checked header, its pixels not yet unpacked; within `quiet`. Raises InputError."""
    try:
        if not path.is_file():
            reason = "this is no plain file" if path.exists() else "there is no such file"
            raise refused(path, reason, "Check the path and the spelling of the name")
        with path.open("rb") as file, _image(path, file, formats) as image:
            yield image
    except OSError as error:
        reason = f"it cannot be read: {error.strerror or error}"
        raise refused(path, reason, "Check that it is yours to read") from None


def _image(path: Path, file: BinaryIO, formats: tuple[str, ...]) -> Image:
    try:
        import PIL.Image
    except ImportError:
        raise MissingExtraError("Reading photos", "pillow", "photos") from None
    if not file.read(1):
        raise refused(path, "the file is empty", "Fetch it again, or leave it out")
    file.seek(0)
    try:
        image = PIL.Image.open(file, formats=formats)
        frames = getattr(image, "n_frames", 1)
    except PIL.Image.DecompressionBombError:
        raise refused(path, f"it has more than {MAX_PIXELS} pixels", _SMALLER) from None
    except PIL.UnidentifiedImageError:
        raise refused(path, f"it is no image in one of the formats {', '.join(formats)}", _RESAVE) from None
    except Exception as error:  # a damaged file can make Pillow raise nearly anything
        raise damaged(path, error) from None
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise refused(path, f"it has {width}x{height} pixels, more than {MAX_PIXELS}", _SMALLER)
    if min(width, height) < MIN_SIDE:
        raise refused(path, f"it has {width}x{height} pixels, less than {MIN_SIDE} a side", "Take a larger photo")
    if frames > 1 and image.format != "MPO":  # MPO: a JPEG as phones write it, its first picture the photo
        raise refused(path, f"it holds {frames} pictures; which is the photo is not known", _ONE_PICTURE)
    if image.mode == "F" or (image.mode == "I" and image.format == "TIFF"):
        raise refused(path, f"its pixels are 32-bit numbers (mode {image.mode}) of unknown range")
    return image


_SMALLER = "Save a smaller copy, or leave it out"
_ONE_PICTURE = "Save one of them as a JPEG or PNG of its own"


def damaged(path: Path, error: Exception) -> InputError:
    """The same for whatever a decoder raised."""
    reason = f"it is damaged, cut off or of a rare kind ({str(error) or type(error).__name__})"
    return refused(path, reason, "Fetch it again, or save it again as an 8-bit RGB JPEG or PNG")


def _load(path: Path, size: int, crop: float, centre: tuple[float, float]) -> Array:
    with opened(path) as image:
        try:
            return _square(image, size, crop, centre)
        except Exception as error:
            raise damaged(path, error) from None


def _square(image: Image, size: int, crop: float, centre: tuple[float, float]) -> Array:
    import PIL.Image
    import PIL.ImageOps

    side = max(1, round(min(image.size) * crop))
    if image.format == "JPEG":  # let the decoder shrink by a power of two, never below twice the working size
        image.draft(None, (max(1, image.width * 2 * size // side), max(1, image.height * 2 * size // side)))
    image.load()
    image = PIL.ImageOps.exif_transpose(image)
    rgb = _rgb(image)
    side = max(1, round(min(rgb.size) * crop))
    left, top = (
        min(max(int(part * extent - side / 2), 0), extent - side) for part, extent in zip(centre, rgb.size, strict=True)
    )
    box = (left, top, left + side, top + side)
    small = rgb.resize((size, size), PIL.Image.Resampling.BICUBIC, box=box)
    return np.ascontiguousarray(np.asarray(small).transpose(2, 0, 1))


def _rgb(image: Image) -> Image:
    """Any mode to 8-bit sRGB."""
    import PIL.Image

    if image.mode.startswith("I"):  # 16-bit grey
        grey = np.asarray(image).astype(np.float64) / 257
        return PIL.Image.fromarray(grey.round().clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        seen = image.convert("RGBA")
        white = PIL.Image.new("RGBA", seen.size, "white")
        return PIL.Image.alpha_composite(white, seen).convert("RGB")
    profile = image.info.get("icc_profile")
    if profile and image.mode in ("RGB", "CMYK"):
        return in_srgb(image, profile)
    return image.convert("RGB")


def in_srgb(image: Image, profile: bytes) -> Image:
    """Colours as the embedded profile means them; a broken profile is passed over, as browsers do."""
    import io

    from PIL import ImageCms

    try:
        target = ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, io.BytesIO(profile), target, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):
        return image.convert("RGB")
    assert converted is not None
    return converted
