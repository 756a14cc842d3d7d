"""The results of a run: its numbers as cells, tables and ranks, whether it was just run or is read from a folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING, Any

from linkbench.errors import InputError
from linkbench.results import ladders, transfer
from linkbench.results.cells import (
    Failed,
    MeasuredCell,
    facts_of,
    failed_cells,
    read_cells,
    shown_sizes,
    top_k,
    varying,
)
from linkbench.results.chart import Chart
from linkbench.results.conclusions import from_json
from linkbench.results.ladders import Ladder
from linkbench.results.table import Row
from linkbench.results.transfer import Transfer
from linkbench.results.verdicts import Setting
from linkbench.scenario.tasks import TASKS, task_of

if TYPE_CHECKING:
    from linkbench.api.data import Array, Artefact
    from linkbench.results.frame import Backend

SHOWN = 20
"""Cells that a notebook shows of a run."""


def _no_ranks(cell: str) -> Artefact:
    raise InputError(f"the ranks of cell {cell} are not at hand; run the scenario, or load its results folder")


@dataclass(frozen=True, repr=False)
class Results:
    """What a run measured.

    rows: one for each number of each cell, as in results.csv; run: what run.json says, with versions, device, the
    scenario as resolved and the digest of every stage.
    """

    rows: list[Row]
    run: dict[str, Any]
    load_ranks: Callable[[str], Artefact] = field(default=_no_ranks, compare=False)

    @cached_property
    def cells(self) -> list[MeasuredCell]:
        """The cells that were measured, in the order of the plan."""
        return read_cells(self.rows, facts_of(self.run))

    @property
    def failed(self) -> list[Failed]:
        """The cells without numbers, and why."""
        return failed_cells(self.run)

    @property
    def flags(self) -> dict[str, tuple[str, ...]]:
        """The validity flags of each cell that has some, by id: why its numbers must not be taken at face value."""
        return {cell.ids[0]: cell.flags for cell in self.cells if cell.flags}

    def table(self, backend: Backend | None = None) -> Any:
        """All rows as a data frame of pandas or polars: the backend named, else the one that is installed.

        Raises MissingExtraError where there is none.
        """
        from linkbench.results.frame import data_frame

        return data_frame(self.rows, backend)

    def ranks(self, cell: MeasuredCell | str) -> dict[str, Array]:
        """Arrays about each photo of one cell, which is given itself or by its id.

        photo, identity: int64 [N], row in the cohort and who is in the photo; better, tied: int64 [N], other genomes
        (in identification: people) with a better score than the true one and with the same, see
        `linkbench.metrics.Ranks`; auc_parts: float64 [N], terms whose mean is the AUC; roc_score_false,
        roc_score_true, roc_k_false, roc_k_true: thinned ROC curves. Some attackers and tasks leave more.
        Raises InputError where no such cell was measured.
        """
        known = [each.ids[0] for each in self.cells]
        id_ = cell if isinstance(cell, str) else cell.ids[0]
        if id_ not in known:
            raise InputError(f"there is no cell {id_!r}; there are: {', '.join(known) or 'none'}")
        stored = self.load_ranks(id_)
        return {name: stored.array(name) for name in stored.arrays}

    def conclusions(self) -> list[Setting]:
        """What the run shows, setting by setting; empty where an earlier linkbench drew no conclusions.

        Raises InputError where run.json is damaged.
        """
        try:
            return from_json(self.run.get("conclusions", []))
        except (TypeError, KeyError, AttributeError) as error:
            raise InputError(f"the conclusions in run.json are damaged ({error!r}); run the scenario again") from None

    def ladders(self) -> list[Ladder]:
        """What each defence meets step by step; empty where nothing was defended or an earlier linkbench did not say.

        Raises InputError where run.json is damaged.
        """
        try:
            return ladders.from_json(self.run.get("ladders", []))
        except (TypeError, KeyError, AttributeError) as error:
            raise InputError(f"the ladders in run.json are damaged ({error!r}); run the scenario again") from None

    def transfer(self) -> list[Transfer]:
        """Which networks each defence holds against, by those that it saw; empty where attackers had one network alone,
        where no defence was made for certain ones, or where an earlier linkbench did not say.

        Raises InputError where run.json is damaged.
        """
        try:
            return transfer.from_json(self.run.get("transfer", []))
        except (TypeError, KeyError, AttributeError) as error:
            raise InputError(f"the transfer in run.json is damaged ({error!r}); run the scenario again") from None

    def charts(self) -> dict[str, Chart]:
        """The figures that the run has data for, by name, in the order of the report."""
        found: dict[str, Chart] = TASKS[task_of(self.run.get("scenario", {}))].load("report").charts(self)
        return found

    def chart(self, name: str) -> Chart:
        """A figure of the report by its name, for notebooks and files. Raises InputError where the run has none."""
        known = self.charts()
        if name not in known:
            raise InputError(f"this run has no figure {name!r}; it has: {', '.join(known) or 'none'}")
        return known[name]

    def __repr__(self) -> str:
        name = self.run.get("scenario", {}).get("name", "")
        return f"<Results of {name!r}: {len(self.cells)} cells, {len(self.rows)} rows, {len(self.failed)} cells failed>"

    def _repr_html_(self) -> str:
        """The first cells with their success and flags, for notebooks."""
        ks, sizes = top_k(self.cells)[:1], shown_sizes(self.cells)
        axes = varying([cell.place for cell in self.cells]) or ["defender", "attacker"]
        columns = [(k, n) for k in ks for n in sizes]
        heads = [*axes, *(f"success@{k}, n={n}" for k, n in columns), "flags"]
        lines = []
        for cell in self.cells[:SHOWN]:
            measured = [cell.at(k, n) for k, n in columns]
            texts = [f"{one.value:.3f} ({one.low:.3f}–{one.high:.3f})" if one else "" for one in measured]
            place = ["" if cell.place[axis] is None else f"{cell.place[axis]}" for axis in axes]
            lines.append("".join(f"<td>{escape(text)}</td>" for text in [*place, *texts, ", ".join(cell.flags)]))
        rest = [f"{len(self.cells) - SHOWN} more cells"] if len(self.cells) > SHOWN else []
        rest += [f"{len(self.failed)} cells failed: see .failed"] if self.failed else []
        return (
            f"<p>{escape(repr(self).strip('<>'))}</p>"
            f"<table><thead><tr>{''.join(f'<th>{escape(head)}</th>' for head in heads)}</tr></thead>"
            f"<tbody>{''.join(f'<tr>{line}</tr>' for line in lines)}</tbody></table>"
            f"{''.join(f'<p>{escape(line)}</p>' for line in rest)}"
        )
