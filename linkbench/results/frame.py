"""The tidy table as a data frame of the library that the user works with."""

from __future__ import annotations

import importlib.util
from typing import Any, Literal

from linkbench.errors import InputError, MissingExtraError
from linkbench.results.table import COLUMNS, Row

Backend = Literal["pandas", "polars"]

BACKENDS: tuple[Backend, ...] = ("pandas", "polars")
"""The first that is installed is taken."""


def data_frame(rows: list[Row], backend: Backend | None = None) -> Any:
    """The rows as a pandas.DataFrame or a polars.DataFrame, columns as in results.csv; k, n and epsilon may be null.

    Raises MissingExtraError where the library, or narwhals, is not installed.
    """
    if backend is not None and backend not in BACKENDS:
        raise InputError(f"{backend!r} makes no table; choose one of: {', '.join(BACKENDS)}")
    wanted = BACKENDS if backend is None else (backend,)
    chosen = next((name for name in wanted if importlib.util.find_spec(name)), None)
    if chosen is None:
        raise MissingExtraError("A data frame", " or ".join(wanted), "frames")
    try:
        import narwhals as nw
    except ImportError:
        raise MissingExtraError("A data frame", "narwhals", "frames") from None
    numbers = ("k", "n", "epsilon", "value", "ci_low", "ci_high")
    kinds = {"seed": nw.Int64(), **dict.fromkeys(numbers, nw.Float64())}
    schema = {name: kinds.get(name, nw.String()) for name in COLUMNS}
    columns: dict[str, Any] = {name: [row[place] for row in rows] for place, name in enumerate(COLUMNS)}
    frame = nw.from_dict(columns, schema, backend=chosen)
    if chosen == "pandas":  # whose usual whole numbers know no null
        return frame.to_native().astype({"k": "Int64", "n": "Int64"})
    return frame.with_columns(nw.col("k", "n").cast(nw.Int64())).to_native()
