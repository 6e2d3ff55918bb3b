"""What a transfer delivered: the list that makes a delivery whole, repeatable and comparable."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from airflow_azureml_datastores.core.store import Version
from airflow_azureml_datastores.errors import InvalidInput

MANIFEST = "_manifest.json"
SUCCESS = "_SUCCESS"
STAGING = ".staging/"
"""A datastore's folder for data that is not visible yet."""

_VERSION = 1


def is_visible(path: str) -> bool:
    """Whether a path in a datastore is more than a trace of something unfinished."""
    return not path.startswith(STAGING)


def is_data(path: str) -> bool:
    """Whether a path in a datastore is data, and not one of our own records."""
    return is_visible(path) and path.rpartition("/")[2] not in (MANIFEST, SUCCESS)


@dataclass(frozen=True, slots=True)
class Entry:
    """One delivered file.

    :param path: relative to the manifest's target folder.
    :param size: bytes.
    :param etag: the delivered object's version.
    :param source: its path in the source store.
    :param source_etag: the version of the source that was taken.
    :param digest: ``xxh128:<hex>`` of the content; "" if the bytes never passed through us (server-side copy, direct).
    """

    path: str
    size: int
    etag: str
    source: str
    source_etag: str
    digest: str = ""

    @property
    def taken(self) -> Version:
        """The version of the source that this entry delivered."""
        return Version(self.source, self.size, self.source_etag)

    def is_at(self, there: Version | None) -> bool:
        """Whether an object is the one that was delivered."""
        return there is not None and (there.size, there.etag) == (self.size, self.etag)

    def delivered(self, folder: str) -> Version:
        """The delivered object, given the folder that ``path`` is relative to."""
        return Version(folder + self.path, self.size, self.etag)


@dataclass(frozen=True)
class Manifest:
    """The files of one delivered folder.

    :param source: URI of what was asked for.
    :param target: URI of the folder that ``entries`` are relative to.
    :param entries: by path, each path once.
    :param origin: who delivered: free keys such as experiment, run, consumer.
    """

    source: str
    target: str
    entries: tuple[Entry, ...] = ()
    origin: Mapping[str, str] = field(default_factory=dict)

    @property
    def files(self) -> int:
        return len(self.entries)

    @property
    def size(self) -> int:
        return sum(entry.size for entry in self.entries)

    @property
    def digest(self) -> str:
        """Digest over paths, sizes and contents: the same whenever and wherever the same data was delivered.

        Where a content's digest is not known, the source's version stands for it.
        """
        total = hashlib.sha256()
        for entry in sorted(self.entries, key=lambda e: e.path):
            content = entry.digest or f"etag:{entry.source_etag}"
            total.update(json.dumps([entry.path, entry.size, content]).encode() + b"\n")
        return f"sha256:{total.hexdigest()}"

    def to_json(self) -> Iterator[bytes]:
        """Yield the manifest as UTF-8 JSON, one line per entry, without building it in memory."""
        head = {
            "version": _VERSION,
            "source": self.source,
            "target": self.target,
            "origin": dict(self.origin),
            "files": self.files,
            "bytes": self.size,
            "digest": self.digest,
        }
        yield json.dumps(head, ensure_ascii=False)[:-1].encode() + b', "entries": ['
        separator = b"\n"
        for entry in self.entries:
            yield separator + json.dumps(asdict(entry), ensure_ascii=False).encode()
            separator = b",\n"
        yield b"\n]}\n"

    @classmethod
    def from_json(cls, data: bytes, where: str) -> Manifest:
        """Parse what :meth:`to_json` wrote.

        :param where: URI of the document, for the message.
        :raises InvalidInput: it is no manifest, or of a newer version.
        """
        try:
            document: dict[str, Any] = json.loads(data)
            if document["version"] != _VERSION:
                raise InvalidInput(f"{where} is a manifest of version {document['version']}, not {_VERSION}.")
            entries = tuple(Entry(**entry) for entry in document["entries"])
            return cls(document["source"], document["target"], entries, document["origin"])
        except (ValueError, KeyError, TypeError) as error:
            if isinstance(error, InvalidInput):
                raise
            raise InvalidInput(f"{where} is not a manifest: {error}") from error


def journal_lines(entries: Iterable[Entry]) -> bytes:
    """Entries as JSON lines: a piece of the journal from which an interrupted transfer continues."""
    return b"".join(json.dumps(asdict(entry), ensure_ascii=False).encode() + b"\n" for entry in entries)


def parse_journal(data: bytes) -> Iterator[Entry]:
    """Entries of a journal piece."""
    return (Entry(**json.loads(line)) for line in data.splitlines() if line)
