"""ART, imported when it is used and kept quiet."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from linkbench import MissingLibraryError

LIBRARY = "adversarial-robustness-toolbox"


def imported(module: str) -> Any:
    """A module of ART. Raises MissingLibraryError if it is not installed."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = str(error.name).partition(".")[0]
        if missing not in ("art", "packaging"):
            raise
        raise MissingLibraryError(missing, f"pip install {LIBRARY} packaging") from error


@contextmanager
def quiet() -> Iterator[None]:
    """ART reports on its logger that a search found nothing and the like; rows show what came of it.

    Its square attack divides by windows that have not changed yet; what is no number is put back by the adapter's base.
    """
    import numpy as np

    logger = logging.getLogger("art")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with np.errstate(divide="ignore", invalid="ignore"):
            yield
    finally:
        logger.setLevel(level)
