"""What is new since a consumer last took something. Pure: it neither lists nor stores.

A consumer takes *batches*; a batch is named after the run that takes it. The cursor knows for each batch which versions
(path and etag) it took. A version is new for a batch if no *other* batch has taken it: repeating a run sees its own
batch again, and two runs never both keep the same version.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field

from airflow_azureml_datastores.core.store import ObjectInfo
from airflow_azureml_datastores.errors import InvalidInput

_VERSION = 1
_WIDTH = 8


def fingerprint(datastore: str, path: str, etag: str) -> bytes:
    """Eight bytes that stand for one version of one file (a clash is less likely than 1 in 10^7 at a million files)."""
    text = "\0".join((datastore.casefold(), path, etag))
    return hashlib.blake2b(text.encode(), digest_size=_WIDTH).digest()


@dataclass(frozen=True)
class Cursor:
    """What each batch of one consumer has taken.

    :param taken: batch name -> fingerprints.
    """

    taken: Mapping[str, Set[bytes]] = field(default_factory=dict)

    def taken_by_others(self, batch: str) -> Set[bytes]:
        """Everything that batches other than this one have taken."""
        return frozenset().union(*(prints for name, prints in self.taken.items() if name != batch))

    def new_for(self, batch: str, datastore: str, found: Iterable[ObjectInfo]) -> list[ObjectInfo]:
        """The versions that this batch may take."""
        others = self.taken_by_others(batch)
        return [info for info in found if fingerprint(datastore, info.path, info.etag) not in others]

    def take(self, batch: str, prints: Iterable[bytes]) -> tuple[Cursor, Set[bytes]]:
        """Take versions for a batch.

        :returns: the cursor afterwards, and which of the versions are now the batch's (the rest is others').
        """
        ours = frozenset(prints) - self.taken_by_others(batch)
        if not ours:
            return self, ours
        return Cursor({**self.taken, batch: frozenset(self.taken.get(batch, ())) | ours}), ours

    def give_back(self, batch: str) -> Cursor:
        """Let go of everything that a batch has taken. Returns the cursor afterwards."""
        return Cursor({name: prints for name, prints in self.taken.items() if name != batch})

    def to_json(self) -> bytes:
        """The cursor as UTF-8 JSON: about 11 bytes a version."""
        batches = {
            name: base64.b64encode(b"".join(sorted(prints))).decode() for name, prints in sorted(self.taken.items())
        }
        return json.dumps({"version": _VERSION, "batches": batches}, indent=0).encode()

    @classmethod
    def from_json(cls, data: bytes, where: str) -> Cursor:
        """Parse what :meth:`to_json` wrote. :raises InvalidInput: it is no cursor, or of a newer version."""
        try:
            document = json.loads(data)
            if document["version"] != _VERSION:
                raise InvalidInput(f"{where} is a cursor of version {document['version']}, not {_VERSION}.")
            taken = {name: _unpack(base64.b64decode(text, validate=True)) for name, text in document["batches"].items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if isinstance(error, InvalidInput):
                raise
            raise InvalidInput(f"{where} is not a cursor: {error}") from error
        return cls(taken)


def _unpack(packed: bytes) -> frozenset[bytes]:
    if len(packed) % _WIDTH:
        raise ValueError("a batch is cut off")
    return frozenset(packed[i : i + _WIDTH] for i in range(0, len(packed), _WIDTH))
