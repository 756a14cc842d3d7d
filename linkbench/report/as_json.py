"""A finished run as one JSON document, for programs: its cells, why others failed, and what it shows."""

from __future__ import annotations

import json
import math
from typing import Any

from linkbench.results.cells import MeasuredCell, Value
from linkbench.results.conclusions import to_json as conclusions_to_json
from linkbench.results.results import Results
from linkbench.results.transfer import to_json as transfer_to_json

FORMAT = 1
"""Version of the document."""


def to_json(results: Results) -> str:
    """The document; numbers that are none stand there as null.

    format; name, versions, device, machine; cells: place, facts, flags, success ([{k, n, value, low, high}]) and
    metrics by name; failed: place, stage, reason; conclusions and transfer: as in run.json.
    """
    run = results.run
    document = {
        "format": FORMAT,
        "name": run.get("scenario", {}).get("name", ""),
        **{part: run.get(part) for part in ("versions", "device", "machine")},
        "cells": [_cell(cell) for cell in results.cells],
        "failed": [each._asdict() for each in results.failed],
        "conclusions": conclusions_to_json(results.conclusions()),
        "transfer": transfer_to_json(results.transfer()),
    }
    return json.dumps(_finite(document), indent=1, ensure_ascii=False, allow_nan=False)


def _cell(cell: MeasuredCell) -> dict[str, Any]:
    return {
        "id": cell.ids[0],
        "place": cell.place,
        "facts": cell.facts.to_json(),
        "flags": list(cell.flags),
        "success": [
            {"k": k, "n": n, **_value(value)} for k, sizes in cell.success.items() for n, value in sizes.items()
        ],
        "metrics": {name: _value(value) for name, value in cell.metrics.items()},
    }


def _value(value: Value) -> dict[str, float]:
    return dict(value._asdict())


def _finite(part: Any) -> Any:
    if isinstance(part, dict):
        return {key: _finite(value) for key, value in part.items()}
    if isinstance(part, list | tuple):
        return [_finite(value) for value in part]
    return None if isinstance(part, float) and not math.isfinite(part) else part
