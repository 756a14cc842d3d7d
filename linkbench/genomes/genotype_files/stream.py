"""A user's file as blocks of lines: plain, gzip, BGZF or zip, in bounded memory, with every fault named."""

from __future__ import annotations

import gzip
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Literal

from linkbench.errors import InputError
from linkbench.genomes.table_files import fault

CHUNK = 1 << 20
"""Bytes that are unpacked at once."""

LONGEST_LINE = 32 << 20
"""Bytes of one line; a VCF line of 500,000 people has about 4 MB."""

LARGEST = 1 << 40
"""Bytes of a whole file, unpacked."""

RATIO, RATIO_FROM = 500, 16 << 20
"""A file that unpacks to more than RATIO times its size, once RATIO_FROM bytes came out, is a decompression bomb."""

DIRECTORY = 1 << 20
"""Bytes of a zip archive's directory: room for thousands of files where one is expected."""

Packing = Literal["none", "gzip", "bgzf", "zip"]

# What people give by mistake, by its first bytes.
_MAGIC = {
    b"%PDF": "a PDF document",
    b"BAM\x01": "a BAM file of sequence reads",
    b"CRAM": "a CRAM file of sequence reads",
    b"BCF": "a BCF file; turn it into a VCF file first (bcftools view)",
    b"7z\xbc\xaf": "a 7z archive; unpack it first",
    b"\xfd7zXZ": "an xz archive; unpack it first",
    b"BZh": "a bzip2 archive; unpack it first",
    b"(\xb5/\xfd": "a Zstandard archive; unpack it first",
    b"Rar!": "a RAR archive; unpack it first",
    b"PAR1": "a Parquet table",
    b"\x1f\x8b": "packed twice; unpack it once",
    b"PK\x03\x04": "packed twice; unpack it once",
    b"\xff\xfe": "saved as UTF-16 text; save it as UTF-8",
    b"\xfe\xff": "saved as UTF-16 text; save it as UTF-8",
}

_BGZF_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
"""The empty block with which every whole BGZF file ends (SAM specification, section 4.1.2)."""


class Lines:
    """Blocks of lines without their line ends (LF or CRLF), and where one is. Iterate over it, once."""

    def __init__(self, path: Path, file: IO[bytes] | gzip.GzipFile, packed: IO[bytes], packing: Packing) -> None:
        self.path = path
        self.packing = packing
        self.ratio = RATIO
        self.cut_short = False
        """True where the file seems to end too early, although what is there could be read."""
        self._file, self._packed = file, packed
        self._blocks = self._read()
        self._kept: tuple[int, list[bytes]] | None = None

    def __iter__(self) -> Iterator[tuple[int, list[bytes]]]:
        """(number of the first line, from 1; lines). Raises InputError."""
        while True:
            if self._kept is not None:
                block, self._kept = self._kept, None
            else:
                found = next(self._blocks, None)
                if found is None:
                    return
                block = found
            yield block

    def keep(self, number: int, block: list[bytes]) -> None:
        """Give these lines back; they come next."""
        self._kept = (number, block)

    def _read(self) -> Iterator[tuple[int, list[bytes]]]:
        rest, number, total = b"", 1, 0
        while chunk := self._chunk(number):
            if total == 0:
                chunk = self._first(chunk)
            total += len(chunk)
            self._check_size(total, number)
            if b"\n" not in chunk and len(rest) + len(chunk) > LONGEST_LINE:
                raise fault(
                    self.path, f"this line is longer than {LONGEST_LINE >> 20} MiB. Is it the right file?", number
                )
            text = rest + chunk
            if b"\r" in text:
                text = text.replace(b"\r\n", b"\n")
            lines = text.split(b"\n")
            rest = lines.pop()
            if lines:
                yield number, lines
                number += len(lines)
        if rest:
            yield number, [rest.removesuffix(b"\r")]
        elif number == 1:
            raise fault(self.path, "the file is empty. Download it again")

    def _chunk(self, number: int) -> bytes:
        try:
            return self._file.read(CHUNK)
        except EOFError:
            what = "the file is cut off: it ends in the middle of packed data. Copy or download it again"
        except (zlib.error, gzip.BadGzipFile, zipfile.BadZipFile, NotImplementedError) as error:
            what = f"the packed data is damaged ({error}). Copy or download it again"
        except OSError as error:
            what = f"it cannot be read further: {error.strerror or error}. Check the disk, and copy the file again"
        raise fault(self.path, what, number)

    def _first(self, chunk: bytes) -> bytes:
        for magic, what in _MAGIC.items():
            if chunk.startswith(magic):
                raise fault(self.path, f"this is {what}. Genotypes are read from text (also in gzip or zip)")
        if b"\0" in chunk:
            raise fault(self.path, "this is not a text file (it holds NUL). Give a genotype file or a VCF file")
        chunk = chunk.removeprefix(b"\xef\xbb\xbf")
        if b"\r" in chunk and b"\n" not in chunk:
            raise fault(self.path, "its lines end in CR alone. Save the file with line ends LF or CRLF")
        return chunk

    def _check_size(self, total: int, number: int) -> None:
        if total > LARGEST:
            raise fault(self.path, f"the file holds more than {LARGEST >> 40} TiB, which no genotype file does", number)
        if self.packing != "none" and total > RATIO_FROM and total > self.ratio * max(1, self._packed.tell()):
            what = f"it unpacks to more than {self.ratio} times its size, as only harmful files do. Unpack it yourself"
            raise fault(self.path, what, number)


@contextmanager
def open_lines(path: Path) -> Iterator[Lines]:
    """The lines of a file, unpacked where needed. Raises InputError that says what is wrong with the file."""
    if not path.exists():
        raise fault(path, "there is no such file. Check the path; it is relative to the working directory")
    if not path.is_file():
        what = "this is a folder" if path.is_dir() else "this is no regular file"
        raise fault(path, f"{what}. Give the path of one genotype file")
    try:
        with path.open("rb") as packed:
            start = packed.read(18)
            packed.seek(0)
            if start.startswith(b"\x1f\x8b"):
                with gzip.GzipFile(fileobj=packed, mode="rb") as file:
                    bgzf = len(start) == 18 and start[3] & 4 == 4 and start[12:14] == b"BC"
                    lines = Lines(path, file, packed, "bgzf" if bgzf else "gzip")
                    lines.cut_short = bgzf and not _ends_with(path, _BGZF_END)
                    yield lines
            elif start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
                with _zip_member(path, packed) as file:
                    yield Lines(path, file, packed, "zip")
            else:
                yield Lines(path, packed, packed, "none")
    except OSError as error:
        raise InputError(
            f"{path}: the file cannot be read: {error.strerror or error}. Check that it is yours to read"
        ) from None


def _ends_with(path: Path, end: bytes) -> bool:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - len(end)))
        return file.read() == end


@contextmanager
def _zip_member(path: Path, packed: IO[bytes]) -> Iterator[IO[bytes]]:
    """The one file of a zip archive."""
    if _directory_size(packed, path.stat().st_size) > DIRECTORY:
        raise fault(path, "the zip archive lists thousands of files. Unpack it, and give the genotype file alone")
    with ExitStack() as stack:
        try:
            archive = stack.enter_context(zipfile.ZipFile(packed))
            member = _only_member(path, archive)
            file = stack.enter_context(archive.open(member))
        except _ZIP_FAULTS as error:
            raise fault(path, f"the zip archive is damaged ({error}). Copy or download it again") from None
        yield file


_ZIP_FAULTS = (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, LookupError, struct.error, EOFError)
"""What zipfile raises for damaged archives."""


def _only_member(path: Path, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    members = [member for member in archive.infolist() if not member.filename.endswith("/")]
    members = [
        m for m in members if not m.filename.startswith("__MACOSX/") and not m.filename.split("/")[-1].startswith(".")
    ]
    names = [member.filename for member in members]
    if "[Content_Types].xml" in names:
        raise fault(path, "this is an office document. Export its table as text, or give the file as downloaded")
    if len(members) != 1:
        shown = ", ".join(repr(name) for name in names[:10]) or "none"
        raise fault(path, f"the zip archive must hold one file, found {len(members)}: {shown}. Unpack it, and give one")
    member = members[0]
    if member.flag_bits & 1:
        raise fault(path, "the zip archive is locked with a password. Unpack it first")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise fault(path, f"the zip archive is packed by method {member.compress_type}. Unpack it first")
    return member


def _directory_size(packed: IO[bytes], size: int) -> int:
    """Bytes of the central directory as the archive's end says; 0 where it has no end, which zipfile will say."""
    packed.seek(max(0, size - 65_557))  # the end record may be followed by a comment of up to 65,535 bytes
    tail = packed.read()
    packed.seek(0)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or at + 22 > len(tail):
        return 0
    found: int = struct.unpack_from("<L", tail, at + 12)[0]
    if at >= 20 and tail[at - 20 : at - 16] == b"PK\x06\x07":  # zip64: its own end record counts instead
        packed.seek(min(size, struct.unpack_from("<Q", tail, at - 12)[0]))
        record = packed.read(56)
        packed.seek(0)
        found = struct.unpack_from("<Q", record, 40)[0] if len(record) == 56 else 0
    return found
