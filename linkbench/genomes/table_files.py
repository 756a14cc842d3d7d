"""Reading a user's table row by row, CSV or Parquet, with every fault placed by line and column."""

from __future__ import annotations

import csv
import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from linkbench.api.text import shown
from linkbench.errors import InputError, MissingExtraError, Problem


class Rows(NamedTuple):
    """Column names, and the rows as (line, cells as text); an empty Parquet value is an empty cell.

    Lines of a CSV file count from 1, the header; rows of a Parquet file count from 1, the first row.
    """

    names: list[str]
    rows: Iterator[tuple[int, list[str]]]


MOST_COLUMNS = 1_000
"""Columns of a table; phenotypes, their variants and SNPs that a model knows are far fewer."""

WIDE = 100
"""Letters that are shown of a name in a table."""


def fault(path: Path, what: str, line: int | None = None, column: int | None = None, name: str = "") -> InputError:
    """The error for one place in a table; column: number of the column, from 1."""
    place, what = str(path) if line is None else f"{path}:{line}", shown(what)
    if line is None or column is None:
        return InputError(f"{place}: {what}")
    return InputError(Problem(f"column {name[:WIDE]!r}", what, line, column).render(str(path)))


def nearest(found: str, allowed: Iterable[str]) -> str:
    """A hint at the allowed name that looks most like the found one, or nothing."""
    names = {name.lower(): name for name in allowed}
    close = difflib.get_close_matches(found.lower(), list(names), n=1)
    return f" (did you mean {names[close[0]]!r}?)" if close else ""


@contextmanager
def open_rows(path: Path) -> Iterator[Rows]:
    """The table at `path`; files that end in .parquet are Parquet, all others are comma-separated UTF-8 text.

    Raises InputError for a file that cannot be read as such, MissingExtraError for Parquet without pyarrow.
    """
    if not path.exists():
        raise fault(path, "there is no such file. Check the path; it is relative to the working directory")
    if not path.is_file():
        raise fault(path, "this is a folder, not a file. Give the path of a CSV or Parquet file")
    try:
        with (_parquet if path.suffix.lower() == ".parquet" else _csv)(path) as table:
            _check_names(path, table.names)
            yield table
    except OSError as error:
        raise fault(
            path, f"the file cannot be read: {error.strerror or error}. Check that it is yours to read"
        ) from None


def _check_names(path: Path, names: list[str]) -> None:
    if not any(names):
        raise fault(path, "the file is empty. The first line must name the columns, the first of them 'id'", 1)
    if len(names) == 1 and any(mark in names[0] for mark in ";\t|"):
        found = next(mark for mark in ";\t|" if mark in names[0])
        raise fault(path, f"the columns are separated by {found!r}. Save the table with commas (CSV)", 1)
    if len(names) > MOST_COLUMNS:
        what = f"the header names {len(names):,} columns, at most {MOST_COLUMNS:,} can be of use. Remove the others"
        raise fault(path, what, 1)
    first: dict[str, int] = {}
    for number, name in enumerate(names, start=1):
        if first.setdefault(name, number) != number:
            what = f"this name stands in columns {first[name]} and {number}. Rename or remove one of them"
            raise fault(path, what, 1, number, name)


@contextmanager
def _csv(path: Path) -> Iterator[Rows]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        try:
            names = [name.strip() for name in next(reader, [])]
            if any("\0" in name for name in names):
                raise fault(path, "this is not a text file (it holds NUL). Give a CSV or Parquet file", 1)
            yield Rows(names, _csv_rows(path, reader, len(names)))
        except UnicodeDecodeError:
            raise _not_utf8(path) from None
        except csv.Error as error:
            what = f"this is not a CSV file: {error}. Check the quotation marks, and write each with its partner"
            raise fault(path, what, reader.line_num) from None


def _csv_rows(path: Path, reader: Iterator[list[str]], width: int) -> Iterator[tuple[int, list[str]]]:
    line = reader.line_num + 1  # type: ignore[attr-defined]  # the type of csv.reader has no public name
    for cells in reader:
        if cells and len(cells) != width:
            what = f"found {len(cells)} cells, but the header names {width} columns. Mend the commas"
            raise fault(path, what, line)
        if cells:
            yield line, cells
        line = reader.line_num + 1  # type: ignore[attr-defined]  # a quoted cell may span lines: name its first


def _not_utf8(path: Path) -> InputError:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                what = f"byte {error.start + 1} of this line (0x{line[error.start]:02x}) is not UTF-8 text"
                return fault(path, f"{what}. Save the table as UTF-8 (CSV UTF-8 in a spreadsheet program)", number)
    return fault(path, "the file is not UTF-8 text. Save the table as UTF-8")


@contextmanager
def _parquet(path: Path) -> Iterator[Rows]:
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ImportError:
        raise MissingExtraError("Reading a Parquet file", "pyarrow", "parquet") from None
    try:
        with parquet.ParquetFile(path) as file:
            yield Rows([name.strip() for name in file.schema_arrow.names], _parquet_rows(file))
    except (arrow.ArrowException, UnicodeDecodeError) as error:
        what = f"this is not a readable Parquet file: {error}. Write it again, or give a CSV file"
        raise fault(path, what) from None


def _parquet_rows(file: object) -> Iterator[tuple[int, list[str]]]:
    line = 0
    for batch in file.iter_batches(batch_size=8192):  # type: ignore[attr-defined]  # pyarrow has no types
        columns = [[_text(value) for value in column.to_pylist()] for column in batch.columns]
        for cells in zip(*columns, strict=True):
            line += 1
            yield line, list(cells)


def _text(value: object) -> str:
    if value is None:
        return ""
    return value.decode() if isinstance(value, bytes) else str(value)
