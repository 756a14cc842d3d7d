"""Files that commands write where the user says."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def output_file(out: Path) -> Iterator[Path]:
    """A path to write to; the file is at `out` once all went well, whole, its folder made. Raises InputError."""
    from linkbench.errors import InputError
    from linkbench.results.folder import replacing

    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with replacing(out) as temporary:
            yield temporary
    except OSError as error:
        raise InputError(f"{out} cannot be written: {error.strerror or error}. Choose another place") from None
