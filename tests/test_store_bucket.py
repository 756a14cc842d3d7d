"""Stores in folders and in object stores: the same behaviour, over a real connection that refuses, lags and breaks."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import s3fs
from buckets import BUSY, REFUSED, Server
from conftest import Finished

from linkbench.api.data import Artefact
from linkbench.errors import InputError, StoreError
from linkbench.store import cache as cache_module
from linkbench.store import upkeep
from linkbench.store.bucket import Bucket
from linkbench.store.cache import Cache
from linkbench.store.store import Store, Stored, key_name, object_name, quarantine_name

pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")

KEY: dict[str, Any] = {"stage": "rank", "seed": 0, "inputs": {}}


def artefact(value: float = 1.0, size: int = 100) -> Artefact:
    return Artefact({"x": np.full(size, value)}, {"rows": [1, 2]})


def put(store: Store, number: float = 1.0, size: int = 100) -> Stored:
    return store.write({**KEY, "seed": number}, artefact(number, size), lambda: 0.25)


def spoil(store: Store, name: str, content: bytes = b"spoiled") -> None:
    """Other bytes in the place of a blob."""
    with store.blobs.temporary(".bad") as file:
        file.write_bytes(content)
        store.blobs.put(name, file)


def elsewhere(store: Store, monkeypatch: pytest.MonkeyPatch, folder: Path) -> Store:
    """The same store as another machine sees it, without copies."""
    monkeypatch.setenv("LINKBENCH_CACHE", str(folder))
    return Store(store.address)


def test_what_is_written_is_found_and_read_elsewhere(
    store_address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    store = Store(store_address)
    entry = put(store)
    other = elsewhere(store, monkeypatch, tmp_path / "other")
    assert other.find({"inputs": {}, "seed": 1.0, "stage": "rank"}) == entry
    assert other.find({**KEY, "seed": 2.0}) is None
    found = other.read(entry.digest)
    assert found is not None
    assert found.array("x").tolist() == [1.0] * 100
    assert found.meta == {"rows": [1, 2]}
    assert other.read("0" * 64) is None


def test_a_damaged_object_is_set_aside_and_computed_again(
    store_address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    store = Store(store_address)
    entry = put(store)
    spoil(store, object_name(entry.digest))
    other = elsewhere(store, monkeypatch, tmp_path / "other")
    assert other.read(entry.digest) is None
    assert other.quarantined == {entry.digest: f"{other.address}/{quarantine_name(entry.digest)}"}
    assert upkeep.quarantine(other) == [quarantine_name(entry.digest)]
    assert put(other).digest == entry.digest
    assert Store(store_address).read(entry.digest) is not None


def test_a_whole_object_comes_back_from_quarantine(store_address: str) -> None:
    store = Store(store_address)
    entry = put(store)
    store.blobs.move(object_name(entry.digest), quarantine_name(entry.digest))
    other = Store(store_address)
    assert other.read(entry.digest) is not None
    assert (upkeep.quarantine(other), other.quarantined) == ([], {})


@pytest.mark.parametrize("content", [b"", b"[1, 2]", b"\xff\xfe"])
def test_a_spoiled_entry_is_a_miss_and_is_mended_by_writing(store_address: str, content: bytes) -> None:
    store = Store(store_address)
    entry = put(store)
    spoil(store, key_name(entry.key), content)
    assert store.find(entry.key) is None
    assert upkeep.strays(store, young=True) == [object_name(entry.digest), key_name(entry.key)]
    assert put(store) == entry
    assert store.find(entry.key) == entry


def test_what_is_there_can_be_listed_and_removed(store_address: str) -> None:
    store = Store(store_address)
    entries = [put(store, float(number)) for number in range(3)]
    found = upkeep.items(store)
    assert {item.digest for item in found} == {entry.digest for entry in entries}
    assert all(item.size > 800 and abs(item.used - time.time()) < 60 for item in found)
    assert upkeep.settled(found) == [], "what was just written is of use to somebody"
    assert upkeep.damaged(store, found) == []
    upkeep.remove(store, [item for item in found if item.digest == entries[0].digest], young=True)
    assert store.find(entries[0].key) is None
    assert store.read(entries[0].digest) is None
    assert len(upkeep.items(store)) == 2
    assert upkeep.strays(store, young=True) == []


def test_an_entry_that_is_of_use_is_young_again(store_address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(store_address)
    entry = put(store)
    touched: list[str] = []
    other = Store(store_address)
    monkeypatch.setattr(other.blobs, "touch", touched.append)
    other.find(entry.key)
    assert touched == [], "it is young"
    monkeypatch.setattr(time, "time", lambda now=time.time: now() + 86_400)
    third = Store(store_address)
    monkeypatch.setattr(third.blobs, "touch", touched.append)
    for _ in range(3):
        third.find(entry.key)
    assert touched == [key_name(entry.key)], "once is enough"
    monkeypatch.undo()


def test_blobs_are_made_touched_and_moved(store_address: str) -> None:
    blobs = Store(store_address).blobs
    assert blobs.create("marks/aa/x.json", b"mine")
    assert not blobs.create("marks/aa/x.json", b"yours")
    assert blobs.get("marks/aa/x.json") == b"mine"
    blobs.touch("marks/aa/x.json")
    assert blobs.get_many(["marks/aa/x.json", "marks/aa/none.json"]) == {"marks/aa/x.json": b"mine"}
    info = blobs.info("marks/aa/x.json")
    assert info is not None
    assert (info.name, info.size) == ("marks/aa/x.json", 4)
    assert abs(info.modified - blobs.now()) < 5
    assert blobs.listing("marks") == [info]
    blobs.delete("marks/aa/x.json")
    blobs.delete("marks/aa/x.json")
    assert (blobs.info("marks/aa/x.json"), blobs.get("marks/aa/x.json"), blobs.listing("marks")) == (None, None, [])


# a bucket that does not answer as it should


def test_a_bucket_that_is_not_there_is_said_before_any_work(bucket: Any) -> None:
    with pytest.raises(StoreError, match=r"s3://no-such-bucket/p cannot be used: there is no such bucket\. Create it"):
        Store("s3://no-such-bucket/p")


def test_a_bucket_that_refuses_is_said_before_any_work(bucket: Any, bucket_server: Server) -> None:
    bucket_server.fail(REFUSED, times=100)
    with pytest.raises(StoreError, match=r"it refuses access .*\. Ask for the right to list, read, write and delete"):
        Store(f"s3://{bucket.name}")


def test_missing_credentials_are_said(bucket: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    s3fs.S3FileSystem.clear_instance_cache()
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    with pytest.raises(StoreError, match="no valid credentials .*Set AWS_PROFILE, or AWS_ACCESS_KEY_ID"):
        Store(f"s3://{bucket.name}")
    s3fs.S3FileSystem.clear_instance_cache()


def test_a_server_that_is_not_there_is_said(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    s3fs.S3FileSystem.clear_instance_cache()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(StoreError, match="does not answer as it should .*Check the address, the network"):
        Store(f"s3://{bucket.name}")
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("nothing://x/y", "is no address of a store: Protocol not known.*Give a folder, or s3://bucket/prefix"),
        ("gs://x/y", "needs a package that is not installed: .*gcsfs"),
        ("http://127.0.0.1:9/x", "cannot be used"),
    ],
)
def test_an_address_of_no_store_is_named(url: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINKBENCH_CACHE", str(tmp_path))
    with pytest.raises(StoreError, match=why):
        Store(url)


def test_a_busy_bucket_is_asked_again(bucket: Any, bucket_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    s3fs.S3FileSystem.clear_instance_cache()
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    store = Store(f"s3://{bucket.name}")
    bucket_server.fail(BUSY, times=2)
    entry = put(store)
    assert bucket_server.left == 0, "both were met"
    bucket_server.fail(BUSY, times=2)
    assert store.find(entry.key) == entry


def test_a_bucket_that_is_lost_during_work_is_no_miss(bucket: Any, bucket_server: Server) -> None:
    """What cannot be asked for is not taken for something that is not there, and nothing is lost by it."""
    store = Store(f"s3://{bucket.name}")
    entry = put(store)
    bucket_server.fail(REFUSED, times=1000)
    for what in (lambda: store.find(entry.key), lambda: put(store, 2.0), lambda: upkeep.items(store)):
        with pytest.raises(StoreError, match=f"the store s3://{bucket.name} cannot be used: it refuses access"):
            what()
    bucket_server.heal()
    assert store.find(entry.key) == entry
    assert [item.digest for item in upkeep.items(store)] == [entry.digest]
    assert put(store, 2.0).seconds == 0.25


def test_a_slow_bucket_is_waited_for(bucket: Any, bucket_server: Server) -> None:
    store = Store(f"s3://{bucket.name}")
    bucket_server.delay = 0.3
    assert put(store) == store.find({**KEY, "seed": 1.0})


def test_an_upload_that_breaks_off_leaves_no_entry(bucket: Any, bucket_server: Server) -> None:
    store = Store(f"s3://{bucket.name}/p")
    bucket_server.fail(REFUSED, times=100, hits=lambda method, path: method == "PUT" and "/keys/" in path)
    with pytest.raises(StoreError):
        put(store)
    bucket_server.heal()
    assert store.find({**KEY, "seed": 1.0}) is None
    assert put(store) == store.find({**KEY, "seed": 1.0})
    assert {object.key.split("/")[1] for object in bucket.objects.all()} == {"clock", "keys", "objects"}


# the cache folder


def test_what_was_read_once_is_not_asked_for_again(bucket: Any, bucket_server: Server) -> None:
    store = Store(f"s3://{bucket.name}")
    entry = put(store)
    bucket_server.seen.clear()
    for again in (store, Store(store.address)):
        assert again.read(entry.digest) is not None
    assert [path for _, path in bucket_server.seen if "/objects/" in path] == []


def test_a_copy_that_was_damaged_is_fetched_anew(bucket: Any, tmp_path: Path) -> None:
    store = Store(f"s3://{bucket.name}")
    entry = put(store)
    copy = tmp_path / "cache" / object_name(entry.digest)
    whole = copy.read_bytes()
    copy.write_bytes(whole[:-1] + b"?")
    other = Store(store.address)
    assert other.read(entry.digest) is not None
    assert copy.read_bytes() == whole
    assert upkeep.quarantine(other) == [], "the bucket's own object was never in doubt"


def test_the_cache_is_bounded_and_the_least_recently_used_go(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINKBENCH_CACHE_SIZE", "30k")
    store = Store(f"s3://{bucket.name}")
    assert isinstance(store.blobs, Bucket)
    cache = store.blobs.cache
    entries = []
    for number in range(6):  # of 8 kB each
        entries.append(put(store, float(number), size=1000))
        for info in cache.listing("objects"):
            os.utime(cache.path(info.name), (info.modified - 10,) * 2)
        assert store.read(entries[0].digest) is not None, "always in use"
    kept = {Path(info.name).stem for info in cache.listing("objects")}
    assert sum(info.size for info in cache.listing("objects")) <= 30_000
    assert entries[0].digest in kept
    assert entries[1].digest not in kept
    assert all(store.read(entry.digest) is not None for entry in entries), "what went comes back from the bucket"


def test_what_is_mapped_stays_readable_when_its_copy_goes(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINKBENCH_CACHE_SIZE", "5M")
    store = Store(f"s3://{bucket.name}")
    entries = [put(store, float(number), size=300_000) for number in range(4)]  # of 2.4 MB
    found = [store.read(entry.digest) for entry in entries]
    assert [artefact.array("x")[-1] for artefact in found if artefact is not None] == [0.0, 1.0, 2.0, 3.0]


@pytest.mark.parametrize("size", ["much", "-1G", "5Q"])
def test_a_size_that_is_none_is_named(size: str, bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINKBENCH_CACHE_SIZE", size)
    with pytest.raises(InputError, match="LINKBENCH_CACHE_SIZE is .*give a size such as 500M or 20G"):
        Store(f"s3://{bucket.name}")


def test_a_full_disk_empties_the_cache_before_it_is_an_error(
    bucket: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    store = Store(f"s3://{bucket.name}")
    assert isinstance(store.blobs, Bucket)
    entries = [put(store, float(number)) for number in range(3)]
    shutil.rmtree(tmp_path / "cache" / "objects" / entries[0].digest[:2])
    get_file = store.blobs.files.get_file

    def full(*arguments: Any, **named: Any) -> Any:
        if store.blobs.cache.listing("objects"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return get_file(*arguments, **named)

    monkeypatch.setattr(store.blobs.files, "get_file", full)
    assert store.read(entries[0].digest) is not None
    assert len(store.blobs.cache.listing("objects")) == 1

    def never(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(store.blobs.files, "get_file", never)
    with pytest.raises(StoreError, match=r"the cache folder .*cache cannot be written: No space left.*LINKBENCH_CACHE"):
        store.read(entries[1].digest)
    monkeypatch.setattr(cache_module.Cache, "temporary", never)
    with pytest.raises(StoreError, match="No space left on device. Free some space"):
        put(store, 9.0)
    monkeypatch.undo()


def test_a_cache_folder_that_cannot_be_made_is_named(
    bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LINKBENCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(StoreError, match="file cannot be written.*LINKBENCH_CACHE"):
        Store(f"s3://{bucket.name}")


def test_processes_share_one_cache(tmp_path: Path) -> None:
    one, two = Cache(tmp_path, 10_000), Cache(tmp_path, 10_000)
    for number, cache in enumerate([one, two] * 10):
        with cache.temporary(".x") as file:
            file.write_bytes(bytes(2_000))
            cache.put(f"objects/aa/{number}", file)
    assert sum(info.size for info in one.listing("objects")) <= 10_000


def test_a_folder_needs_nothing_of_fsspec(tmp_path: Path) -> None:
    code = f"""
import sys
from linkbench.store.store import Store
Store({str(tmp_path)!r}).find({{}})
assert not {{"fsspec", "s3fs", "botocore"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


SCENARIO = """
linkbench: 1
name: a
genomes: {use: simulated, count: 60}
cohort: {use: sampled, count: 20}
attackers: [predicted, random]
measure: {top_k: [1], sizes: [10], resamples: 100}
"""


@pytest.mark.slow
def test_a_run_over_a_bucket_that_is_lost_ends_and_goes_on_later(
    bucket: Any, bucket_server: Server, run_cli: Callable[..., Finished]
) -> None:
    Path("s.yaml").write_text(SCENARIO)
    run = ("run", "s.yaml", "--store", f"s3://{bucket.name}/p")
    entries = 0

    def after_two(method: str, path: str) -> bool:
        nonlocal entries
        entries += method == "PUT" and "/keys/" in path
        return entries > 2

    bucket_server.fail(REFUSED, times=10_000, hits=after_two)
    lost = run_cli(*run)
    assert lost.status == 1
    assert f"linkbench: the store s3://{bucket.name}/p cannot be used: it refuses access" in lost.err
    assert "Traceback" not in lost.err
    assert not Path("results").exists()
    bucket_server.heal()
    done = run_cli(*run)
    assert done.status == 0
    assert "7 stages, 5 computed, 2 from the store." in done.out
    assert run_cli("run", "s.yaml", "--store", "here", "--out", "other").status == 0
    for name in ("results.csv", "report.html"):
        assert Path("results/a", name).read_bytes() == Path("other", name).read_bytes(), "a folder gives the same"
    shown = run_cli("store", "show", "--store", f"s3://{bucket.name}/p")
    assert (shown.status, f"s3://{bucket.name}/p: 7 stages" in shown.out) == (0, True)
    assert run_cli("store", "verify", "--store", f"s3://{bucket.name}/p").status == 0
    assert "removed 0 stages" in run_cli("store", "prune", "--keep", "1G", "--store", f"s3://{bucket.name}/p").out
    purged = run_cli("store", "purge", "--store", f"s3://{bucket.name}/p")
    assert "removed 0 stages" in purged.out
    assert "files of the cache folder of this machine" in purged.out
    assert Store(f"s3://{bucket.name}/p").blobs.copies() == []


def test_a_bucket_that_refuses_is_said_before_a_run_begins(
    bucket: Any, bucket_server: Server, run_cli: Callable[..., Finished]
) -> None:
    Path("s.yaml").write_text(SCENARIO)
    bucket_server.fail(REFUSED, times=100)
    done = run_cli("run", "s.yaml", "--store", f"s3://{bucket.name}/p")
    assert (done.status, done.out) == (2, "")
    assert "it refuses access" in done.err
    assert not Path("results").exists()
