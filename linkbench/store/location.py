"""Where finished work is kept between commands."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from linkbench.store.blobs import Blobs
from linkbench.store.folder import Folder

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def default_address() -> str:
    """The store that `LINKBENCH_STORE` names, or a folder in the user's cache folder."""
    return os.environ.get("LINKBENCH_STORE") or str(_in_cache_folder("store"))


def local_path() -> Path:
    """The folder of what this machine remembers for itself: the default store, or where that is no folder its own."""
    address = default_address()
    return _in_cache_folder("store") if is_url(address) else Path(address)


def _in_cache_folder(name: str) -> Path:
    from platformdirs import user_cache_path

    return Path(user_cache_path("linkbench") / name)


def is_url(address: str | Path) -> bool:
    """Whether an address is that of a bucket, or another that begins with `scheme://`, and no folder."""
    return isinstance(address, str) and _URL.match(address) is not None


def blobs_at(address: str | Path) -> Blobs:
    """What lies at an address: a folder, its URL `file:///folder`, or a bucket. Raises StoreError, and
    MissingExtraError where fsspec or s3fs is not installed."""
    if not is_url(address):
        return Folder(Path(address))
    url = urlsplit(str(address))
    if url.scheme.lower() == "file" and url.netloc in ("", "localhost"):
        return Folder(Path(unquote(url.path)))
    from linkbench.store.bucket import Bucket  # needs fsspec, which folders do not

    return Bucket(str(address))
