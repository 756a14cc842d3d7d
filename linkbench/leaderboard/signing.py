"""Signatures under records of reruns: ed25519 keys of people whom the keepers of a leaderboard named."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from linkbench.errors import InputError, MissingExtraError
from linkbench.leaderboard.entry import MOST_TOLERANCE, Entry, Rerun
from linkbench.leaderboard.keeping import Register

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def _ed25519() -> type[Ed25519PrivateKey]:
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    except ImportError:
        raise MissingExtraError("signing reruns", "cryptography", "leaderboard") from None
    return Ed25519PrivateKey


def new_key(path: Path) -> str:
    """Write a new private key, readable by its owner alone, and return the public one. Raises InputError."""
    key = _ed25519().generate()
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}. A key is never overwritten") from None
    with os.fdopen(handle, "w") as file:
        file.write(key.private_bytes_raw().hex() + "\n")
    return key.public_key().public_bytes_raw().hex()


def sign(record: Rerun, key_file: Path) -> Rerun:
    """The record with a signature. Raises InputError where the file holds no key."""
    kind = _ed25519()
    try:
        key = kind.from_private_bytes(bytes.fromhex(key_file.read_text().strip()))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{key_file} holds no private key ({error}). Make one with: linkbench leaderboard keygen FILE"
        ) from None
    open_record = record.model_copy(update={"key": key.public_key().public_bytes_raw().hex()})
    return open_record.model_copy(update={"signature": key.sign(open_record.message()).hex()})


def why_not(record: Rerun, entry: Entry, register: Register) -> str:
    """Why a record of a rerun earns no badge, in words; empty where it does."""
    if record.entry != entry.digest:
        return "it speaks of another content"
    if record.tolerance > MOST_TOLERANCE:
        return f"its tolerance of {record.tolerance:g} is above {MOST_TOLERANCE:g}"
    if not record.signature:
        return "nobody signed it; sign it with: linkbench leaderboard sign"
    holder = register.keys.get(record.key)
    if holder is None:
        return f"board.json does not name the key {record.key[:16]}..."
    if holder.casefold() in {author.casefold() for author in entry.authors}:
        return f"{holder} is an author of the entry"
    return "" if _signed(record) else "its signature does not belong to it"


def _signed(record: Rerun) -> bool:
    _ed25519()
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(record.key))
        key.verify(bytes.fromhex(record.signature), record.message())
    except (InvalidSignature, ValueError):
        return False
    return True
