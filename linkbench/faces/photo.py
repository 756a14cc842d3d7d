"""A photo file as its pixels and all that is needed to write it back as it was."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from linkbench.api.data import Array
from linkbench.cohorts.images import damaged, in_srgb, opened, quiet, refused
from linkbench.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("JPEG", "PNG", "WEBP", "HEIF")
"""Formats that can be written back."""

ENDINGS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP", ".heic": "HEIF", ".heif": "HEIF"}
"""What names of photo files end in."""

ORIENTATION = 0x0112
"""EXIF tag: how the stored pixels lie, 1 to 8."""


@dataclass(frozen=True)
class Photo:
    """A photo: its pixels as stored, uint8 or uint16 [H, W, C], C = 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha.

    orientation: EXIF's, from the stored pixels to the upright photo; saving: what the format needs to be written the
    same way; profile: the embedded ICC profile; exif: the camera's data without its thumbnail; lost: what cannot be
    written back, in words.
    """

    path: Path
    format: str
    pixels: Array
    orientation: int = 1
    saving: dict[str, Any] = field(default_factory=dict)
    profile: bytes | None = None
    exif: bytes = b""
    lost: tuple[str, ...] = ()

    @property
    def upright(self) -> Array:
        """The pixels as they are looked at: a view, through which they can be written."""
        return turned(self.pixels, self.orientation)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the upright photo, pixels."""
        height, width = self.upright.shape[:2]
        return width, height

    @property
    def colours(self) -> int:
        """How many of the channels are colour: 1 or 3; the rest is alpha."""
        return 1 if self.pixels.shape[2] < 3 else 3

    def changed(self, pixels: Array) -> Photo:
        """The same photo with other pixels."""
        return replace(self, pixels=pixels)

    def seen(self, left: int = 0, top: int = 0, right: int | None = None, bottom: int | None = None) -> Array:
        """A part of the upright photo as float32 [h, w, 3] in [0, 1], sRGB, transparent parts on white."""
        part = self.upright[top:bottom, left:right]
        most = float(np.iinfo(part.dtype).max)
        colour = part[..., : self.colours]
        if self.profile is not None and self.colours == 3:
            out = np.asarray(in_srgb(_image(colour), self.profile), dtype=np.float32) / np.float32(255)
        else:
            out = np.repeat(colour, 3 // self.colours, axis=2).astype(np.float32) / np.float32(most)
        if part.shape[2] in (2, 4):
            alpha = part[..., -1:].astype(np.float32) / np.float32(most)
            out = out * alpha + (1 - alpha)
        return out

    def shown(self, longest: int) -> tuple[Array, float]:
        """The whole of it as `seen`, its longest side at most so many pixels, and by how much it was divided.

        Means over whole blocks of pixels, a strip at a time: large photos are never floats as a whole.
        """
        width, height = self.size
        block = max(1, -(-max(width, height) // longest))
        if block == 1:
            return self.seen(), 1.0
        wide, rows = max(1, width // block), max(1, height // block)
        across, down = min(block, width), min(block, height)
        out = np.empty((rows, wide, 3), np.float32)
        for row in range(rows):
            strip = self.seen(0, row * down, wide * across, (row + 1) * down)
            out[row] = strip.reshape(down, wide, across, 3).mean(axis=(0, 2))
        return out, float(block)

    def small(self, longest: int) -> Array:
        """The upright photo in grey, uint8 [h, w], shrunk until its longest side has at most so many pixels."""
        import PIL.Image

        image = _image(self.upright[..., : self.colours]).convert("L")
        part = min(1.0, longest / max(image.size))
        size = (max(1, round(image.width * part)), max(1, round(image.height * part)))
        return np.asarray(image.resize(size, PIL.Image.Resampling.BILINEAR, reducing_gap=2.0))


def turned(pixels: Array, orientation: int) -> Array:
    """A view [h, w, C] of stored pixels [H, W, C], as EXIF's orientation says they are to be looked at."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    down = -1 if orientation in (3, 4, 7, 8) else 1
    across = -1 if orientation in (2, 3, 6, 7) else 1
    return pixels[::down, ::across]


def read(path: Path) -> Photo:
    """A photo file, its pixels unpacked once. Raises InputError (file, reason, remedy), MissingExtraError for HEIC.

    Refused beside what `linkbench.cohorts.images.opened` refuses: CMYK, which is for print.
    """
    with quiet():
        _prepare(path)
        with opened(path, FORMATS) as image:
            try:
                return _read(path, image)
            except InputError:
                raise
            except Exception as error:  # a damaged file can make decoders raise nearly anything
                raise damaged(path, error) from None


def _prepare(path: Path) -> None:
    """Make Pillow able to read HEIC, if that is what the file claims to be."""
    try:
        with path.open("rb") as file:
            brand = file.read(12)[4:8]
    except OSError:
        return  # whoever opens it says why
    if brand == b"ftyp":
        try:
            from pillow_heif import register_heif_opener
        except ImportError:
            raise MissingExtraError("Reading HEIC photos", "pillow-heif", "faces") from None
        register_heif_opener()


def _read(path: Path, image: Image) -> Photo:
    kind = "JPEG" if image.format == "MPO" else str(image.format)
    lost = ["the pictures behind the first one (MPO)"] if image.format == "MPO" else []
    if image.mode in ("CMYK", "YCCK", "LAB", "HSV"):
        raise refused(path, f"its colours are {image.mode}, made for print", "Save it again as an RGB JPEG or PNG")
    saving = _saving(path, image, kind)
    exif = image.getexif()
    orientation = exif.get(ORIENTATION, 1)
    profile = image.info.get("icc_profile") or None
    deep = kind == "PNG" and _depth(path) == 16
    pixels = _deep(path) if deep else _eight_bit(image)
    if kind == "PNG" and not deep and image.mode in ("P", "1"):
        lost.append("the palette: colours are written one by one")
    if int(image.info.get("bit_depth", 8)) > 8:
        lost.append(f"{image.info['bit_depth']} bits per colour: written with 8")
    return Photo(
        path,
        kind,
        pixels,
        orientation if orientation in range(1, 9) else 1,
        saving,
        profile if isinstance(profile, bytes) else None,
        exif.tobytes() if len(exif) else b"",
        tuple(lost),
    )


def _saving(path: Path, image: Image, kind: str) -> dict[str, Any]:
    """What Pillow must be told to write a file of the same kind."""
    if kind == "JPEG":
        from PIL import JpegImagePlugin

        tables = image.quantization  # type: ignore[attr-defined]  # of JPEG files
        sampling = JpegImagePlugin.get_sampling(image)
        how: dict[str, Any] = {"qtables": tables, "progressive": bool(image.info.get("progressive"))}
        how["subsampling"] = max(sampling, 0)
        if "dpi" in image.info:
            how["dpi"] = image.info["dpi"]
        return how
    if kind == "WEBP":
        with path.open("rb") as file:
            lossless = b"VP8L" in file.read(64)
        return {"lossless": True, "exact": True} if lossless else {"quality": 95}
    return {"quality": 95} if kind == "HEIF" else {}


def _eight_bit(image: Image) -> Array:
    """uint8 [H, W, C] as stored."""
    image.load()
    if image.mode not in ("L", "LA", "RGB", "RGBA"):
        clear = image.has_transparency_data
        grey = image.mode in ("1", "La")
        image = image.convert(("LA" if grey else "RGBA") if clear else ("L" if grey else "RGB"))
    elif image.mode in ("L", "RGB") and image.has_transparency_data:
        image = image.convert(f"{image.mode}A")
    pixels = np.array(image)
    return pixels if pixels.ndim == 3 else pixels[..., None]


def _depth(path: Path) -> int:
    """Bits per colour of a PNG file, from its header."""
    with path.open("rb") as file:
        return file.read(25)[-1]


def _deep(path: Path) -> Array:
    """uint16 [H, W, C] of a PNG file with 16 bits per colour, which Pillow would cut to 8."""
    try:
        import cv2
    except ImportError:
        raise MissingExtraError("Reading PNG files of 16 bits", "opencv-python-headless", "faces") from None
    pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16:
        raise refused(path, "its 16 bits per colour cannot be read", "Save it again as an 8-bit RGB JPEG or PNG")
    if pixels.ndim == 2:
        return pixels[..., None]
    return np.ascontiguousarray(pixels[..., [2, 1, 0, 3][: pixels.shape[2]]])


def _image(colour: Array) -> Image:
    """Pixels [h, w, 1 or 3] as an 8-bit image."""
    import PIL.Image

    if colour.dtype == np.uint16:
        colour = (colour >> 8).astype(np.uint8)
    return PIL.Image.fromarray(np.ascontiguousarray(colour[..., 0] if colour.shape[2] == 1 else colour))
