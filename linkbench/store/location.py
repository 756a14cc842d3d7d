"""Where finished work is kept between commands."""

from __future__ import annotations

import os
from pathlib import Path


def default_path() -> Path:
    """`LINKBENCH_STORE`, or the user's cache folder."""
    from platformdirs import user_cache_path

    return Path(os.environ.get("LINKBENCH_STORE") or user_cache_path("linkbench") / "store")
