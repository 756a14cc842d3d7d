"""The tidy table reads back as it was written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkbench.plan.builder import Cell
from linkbench.plan.coordinates import COORDINATES
from linkbench.results.table import COLUMNS, Row, from_csv, to_csv

NUMBER = st.floats(allow_nan=False)
WORDS = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1)
COUNT = st.none() | st.integers(1, 10**9)
ROWS = st.builds(
    Row,
    **dict.fromkeys(("cohort", "genomes", "model", "poison", "defender", "channel", "attacker", "metric"), WORDS),
    **dict.fromkeys(("value", "ci_low", "ci_high"), NUMBER),
    epsilon=st.none() | NUMBER,
    k=COUNT,
    n=COUNT,
    seed=st.integers(-(10**12), 10**12),
    flags=st.just("") | WORDS,
    cell=WORDS,
)


@pytest.mark.slow
@given(st.lists(ROWS, max_size=5))
def test_rows_come_back(rows: list[Row]) -> None:
    assert from_csv(to_csv(rows)) == rows
    assert to_csv(from_csv(to_csv(rows))) == to_csv(rows)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a,b\n1,2\n", "the columns a, b; expected cohort, genomes"),
        (",".join(COLUMNS) + "\n" + ",".join(["x"] * len(COLUMNS)) + "\n", "could not convert"),
    ],
)
def test_another_table_is_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        from_csv(text)


def test_cells_and_rows_have_the_coordinates_of_the_grid() -> None:
    assert Row._fields == COLUMNS
    assert tuple(name for name in Cell._fields if name in COORDINATES) == COORDINATES
    assert set(COORDINATES) <= set(Row._fields)
