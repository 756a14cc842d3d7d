"""How far unfinished stages are: `checkpoints/<sha256 of the key>-<training>-<steps done>-<sha256>.safetensors`.

They lie beside the objects, are written whole or not at all, are verified by the digest in their name and go when the
stage is done.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from linkbench.api.checkpoints import Checkpoints
from linkbench.api.data import Artefact
from linkbench.api.progress import note
from linkbench.errors import StoreError, TensorFileError
from linkbench.store import tensorfile
from linkbench.store.blobs import Blobs, Info
from linkbench.store.store import digest_of

FOLDER = "checkpoints"

_NAME = re.compile(FOLDER + r"/([0-9a-f]{64})-(\d{1,9})-(\d{1,18})-([0-9a-f]{64})\.safetensors")


class Checkpoint(NamedTuple):
    """One of them, as its name tells: the digest of the stage's key, the training, the steps done, its own digest."""

    stage: str
    number: int
    done: int
    digest: str
    info: Info


def checkpoints(blobs: Blobs) -> list[Checkpoint]:
    """All in a store, those with most steps done last."""
    found = [(_NAME.fullmatch(info.name), info) for info in blobs.listing(FOLDER)]
    named = [Checkpoint(m[1], int(m[2]), int(m[3]), m[4], info) for m, info in found if m is not None]
    return sorted(named, key=lambda one: (one.stage, one.number, one.done))


class StoredCheckpoints(Checkpoints):
    """The checkpoints of the stage with this key; what the user should hear of them is noted."""

    def __init__(self, blobs: Blobs, key: dict[str, Any]) -> None:
        super().__init__()
        self.blobs, self.stage = blobs, digest_of(key)
        self.used = False

    def _mine(self, number: int) -> list[Checkpoint]:
        return [one for one in checkpoints(self.blobs) if (one.stage, one.number) == (self.stage, number)]

    def write(self, number: int, done: int, artefact: Artefact) -> None:
        try:
            with self.blobs.temporary(".safetensors") as temporary:
                digest = tensorfile.write(temporary, artefact)
                name = f"{FOLDER}/{self.stage}-{number}-{done}-{digest}.safetensors"
                self.blobs.put(name, temporary)
            for one in self._mine(number):
                if one.done < done:
                    self.blobs.delete(one.info.name)
        except (OSError, StoreError) as error:
            note(f"cannot keep how far it is ({error}); after an interruption it begins anew")

    def find(self, number: int, origin: str) -> Artefact | None:
        self.used = True
        for one in reversed(self._mine(number)):
            try:
                file = self.blobs.fetch(one.info.name, fresh=True).path
                found = tensorfile.read(file) if tensorfile.file_digest(file) == one.digest else None
            except (OSError, StoreError, TensorFileError):
                found = None
            if found is not None and found.meta.get("origin") == origin:
                note(f"goes on from a checkpoint, {one.done:,} steps of training {number + 1} were done")
                return found
            what = "is damaged" if found is None else "belongs to another training"
            note(f"ignores the checkpoint {self.blobs.address}/{one.info.name}, which {what}")
        return None

    def clear(self) -> None:
        """Remove all of the stage, which is done."""
        for one in checkpoints(self.blobs) if self.used else ():
            if one.stage == self.stage:
                self.blobs.delete(one.info.name)
