"""The store: a key finds what was left under it and nothing else, whatever happened to the files."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from linkbench.api.data import Artefact
from linkbench.errors import StoreError
from linkbench.store.location import default_address, local_path
from linkbench.store.store import Store, Stored, canonical, digest_of

KEY: dict[str, Any] = {"key": 1, "stage": "rank", "seed": 0, "inputs": {"a": "x"}, "settings": {"k": [1, 2], "e": 0.1}}


def artefact(value: float = 1.0) -> Artefact:
    return Artefact({"x": np.full(100, value), "y": np.arange(6).reshape(2, 3)}, {"rows": [1, 2]})


def fill(folder: Path, key: dict[str, Any] = KEY) -> tuple[Store, Stored]:
    store = Store(folder / "store")
    return store, store.write(key, artefact(), lambda: 0.25)


def only(folder: Path, pattern: str) -> Path:
    [path] = folder.glob(pattern)
    return path


def test_what_is_written_is_found_and_read(tmp_path: Path) -> None:
    _, entry = fill(tmp_path)
    store = Store(tmp_path / "store")  # another process
    assert store.find(json.loads(json.dumps(KEY))) == entry == Stored(KEY, entry.digest, 0.25)
    found = store.read(entry.digest)
    assert found is not None
    assert found.array("x").tolist() == [1.0] * 100
    assert found.meta == {"rows": [1, 2]}
    assert list((tmp_path / "store" / "tmp").iterdir()) == []


@pytest.mark.parametrize(
    "change",
    [
        {"key": 2}, {"stage": "Rank"}, {"seed": 1}, {"seed": "0"}, {"inputs": {"a": "y"}}, {"inputs": {"b": "x"}},
        {"settings": {"k": [2, 1], "e": 0.1}}, {"settings": {"k": [1, 2], "e": 0.1 + 1e-17 + 1e-16}}, {"new": None},
    ],
    ids=str,
)  # fmt: skip
def test_any_other_key_is_a_miss(tmp_path: Path, change: dict[str, Any]) -> None:
    store, _ = fill(tmp_path)
    assert store.find({**KEY, **change}) is None


def test_the_order_of_fields_is_no_difference(tmp_path: Path) -> None:
    store, entry = fill(tmp_path)
    assert store.find(dict(reversed(KEY.items()))) == entry
    assert canonical({"b": 1, "a": "é"}) == '{"a":"é","b":1}'


def test_nan_is_no_part_of_a_key() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        digest_of({"epsilon": float("nan")})


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def change_digest(path: Path) -> None:
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "digest": "../../../etc/passwd"}))


def change_key(path: Path) -> None:
    """A whole and checked record, of another key, under this key's name."""
    record = {"key": {**KEY, "seed": 1}, "digest": "0" * 64, "seconds": 1.0}
    path.write_text(json.dumps({**record, "check": digest_of(record)}))


def drop_check(path: Path) -> None:
    record = json.loads(path.read_text())
    del record["check"]
    path.write_text(json.dumps(record))


SPOIL: dict[str, Callable[[Path], Any]] = {
    "empty": lambda path: path.write_bytes(b""),
    "cut": cut,
    "binary": lambda path: path.write_bytes(b"\xff\xfe\0\0"),
    "list": lambda path: path.write_text("[1, 2]"),
    "number": lambda path: path.write_text("3"),
    "deep": lambda path: path.write_text("[" * 100_000),
    "gone": Path.unlink,
    "digest": change_digest,
    "other key": change_key,
    "no check": drop_check,
}


@pytest.mark.parametrize("spoil", SPOIL.values(), ids=SPOIL.keys())
def test_a_spoiled_key_file_is_a_miss_and_is_mended_by_writing(tmp_path: Path, spoil: Callable[[Path], Any]) -> None:
    store, entry = fill(tmp_path)
    spoil(only(tmp_path / "store", "keys/*/*.json"))
    assert store.find(KEY) is None
    assert store.write(KEY, artefact(), lambda: 0.25) == entry
    assert store.find(KEY) == entry


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("spoil", [flip, cut, lambda path: path.write_bytes(b""), Path.unlink])
def test_a_spoiled_object_is_forgotten_and_is_mended_by_writing(tmp_path: Path, spoil: Callable[[Path], Any]) -> None:
    _, entry = fill(tmp_path)
    path = only(tmp_path / "store", "objects/*/*.safetensors")
    whole = path.read_bytes()
    spoil(path)
    store = Store(tmp_path / "store")
    assert store.read(entry.digest) is None
    assert not path.exists()
    assert store.write(KEY, artefact(), lambda: 1.0).digest == entry.digest
    assert store.read(entry.digest) is not None
    assert path.read_bytes() == whole


def test_a_spoiled_object_in_a_store_that_cannot_be_changed_counts_as_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, entry = fill(tmp_path)
    flip(only(tmp_path / "store", "objects/*/*.safetensors"))

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "unlink", refuse)
    assert Store(tmp_path / "store").read(entry.digest) is None


def test_writers_of_one_key_at_once_leave_one_whole_entry(tmp_path: Path) -> None:
    def work(index: int) -> Any:
        store = Store(tmp_path / "store")
        entries = [store.write(KEY, artefact(), lambda: 0.25) for _ in range(5)]
        entries += [found for _ in range(5) if (found := store.find(KEY))]
        found = store.read(entries[0].digest)
        assert found is not None
        return {entry.digest for entry in entries}, found.array("x").sum()

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(work, range(8)))
    assert all(result == results[0] for result in results)
    store = tmp_path / "store"
    only(store, "keys/*/*.json")
    only(store, "objects/*/*.safetensors")
    assert list((store / "tmp").iterdir()) == []


def test_a_stage_that_fails_while_it_is_written_leaves_nothing(tmp_path: Path) -> None:
    from linkbench.api.data import Stream

    def blocks() -> Any:
        yield np.zeros((1, 4), np.uint8)
        raise RuntimeError("the stage broke")

    store = Store(tmp_path / "store")
    with pytest.raises(RuntimeError, match="the stage broke"):
        store.write(KEY, Artefact({"x": Stream((3, 4), np.dtype(np.uint8), blocks())}, {}), lambda: 1.0)
    assert [path for path in (tmp_path / "store").rglob("*") if path.is_file()] == []


def test_a_folder_that_cannot_be_a_store_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"file cannot be written: .*--store"):
        Store(tmp_path / "file")
    with pytest.raises(StoreError, match="--store or LINKBENCH_STORE"):
        Store(tmp_path / "file" / "below")


@pytest.mark.parametrize("code", [errno.EROFS, errno.ENOSPC, errno.EACCES])
def test_a_full_or_read_only_store_is_an_error_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    store = Store(tmp_path / "store")

    def refuse(*_: Any) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(StoreError, match=rf"{os.strerror(code)}.*LINKBENCH_STORE"):
        store.write(KEY, artefact(), lambda: 1.0)
    assert [path for path in (tmp_path / "store").rglob("*") if path.is_file()] == []


def test_the_environment_names_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINKBENCH_STORE", "elsewhere")
    assert (default_address(), local_path()) == ("elsewhere", Path("elsewhere"))
    monkeypatch.setenv("LINKBENCH_STORE", "s3://bucket/prefix")
    assert default_address() == "s3://bucket/prefix"
    assert local_path().is_absolute(), "what this machine remembers for itself stays here"
    monkeypatch.delenv("LINKBENCH_STORE")
    assert Path(default_address()).is_absolute()


def test_a_store_opens_from_its_address_alone(tmp_path: Path) -> None:
    store, entry = fill(tmp_path)
    for address in (store.address, str(tmp_path / "store"), (tmp_path / "store").as_uri()):
        again = Store(address)
        assert again.find(KEY) == entry
        assert again.address == store.address == str(tmp_path / "store")


def test_whoever_finishes_first_is_believed(tmp_path: Path) -> None:
    """Two runs did the same work at once: both tell the seconds of one."""
    store, entry = fill(tmp_path)
    assert Store(store.address).write(KEY, artefact(), lambda: 3.0) == entry
    other = Store(store.address).write(KEY, artefact(2.0), lambda: 3.0)
    assert (other.seconds, store.find(KEY)) == (3.0, other), "another result takes its place: the old one may be gone"
