"""What linkbench expects of a source of genomes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from linkbench.api.data import Genomes, check_genomes
from linkbench.execution.stdout import captured
from linkbench.testing.check import Subject
from linkbench.testing.common import silent

NORMAL = 0.05
"""What published tables, which are rounded and floored, may sum to beyond 1."""


class Trial(NamedTuple):
    """One use: the table, and what was printed."""

    table: Any
    said: str


def _use(subject: Subject) -> Trial:
    with captured() as printed:
        table = subject.plugin().build(3)
    return Trial(table, printed.text)


def _table(subject: Subject) -> Genomes:
    table = subject.once(_use).table
    assert isinstance(table, Genomes), f"build must return Genomes, it returned {type(table).__name__}"
    return table


def the_table_is_sound(subject: Subject) -> None:
    """float64 [M, V], every probability above 0 and at most 1, ids unique."""
    table = _table(subject)
    shape = (len(table.ids), table.schema.width)
    assert len(table), "there are no genomes"
    assert table.log_p.shape == shape, f"log_p has shape {table.log_p.shape}, ids and schema ask for {shape}"
    assert table.log_p.dtype == np.float64, f"log_p must be float64, it is {table.log_p.dtype}"
    assert table.ids.dtype.kind == "S", f"ids must be bytes strings, they are {table.ids.dtype}"
    check_genomes(table, "it")


def probabilities_sum_to_1_at_most(subject: Subject) -> None:
    """Over the variants of each phenotype; less where a variant, such as red hair, is not in the schema."""
    table = _table(subject)
    for phenotype, span in table.schema.slices.items():
        most = float(np.exp(table.log_p[:, span]).sum(axis=1).max())
        assert most <= 1 + NORMAL, f"the probabilities of {phenotype} sum to {most:.3g} for a genome, 1 is the most"


def the_schema_is_known_beforehand(subject: Subject) -> None:
    """`phenotypes()` says it without building the table."""
    said, built = subject.plugin().phenotypes(), _table(subject).schema
    assert said == built, f"phenotypes() says {said!r}, the table has {built!r}"


def same_seed_same_bytes(subject: Subject) -> None:
    """Built twice, whatever the random generators hold."""
    one, state = _table(subject), np.random.get_state()  # noqa: NPY002
    try:
        np.random.seed(1)  # noqa: NPY002
        two = _use(subject).table
    finally:
        np.random.set_state(state)  # noqa: NPY002
    assert one.ids.tobytes() == two.ids.tobytes(), "the ids differ between two builds with the same seed"
    assert one.log_p.tobytes() == two.log_p.tobytes(), "probabilities differ between two builds with the same seed"


CHECKS = (
    the_table_is_sound,
    probabilities_sum_to_1_at_most,
    the_schema_is_known_beforehand,
    same_seed_same_bytes,
    silent(_use),
)
