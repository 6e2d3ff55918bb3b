"""What a transfer has delivered so far, kept where a retry on any machine finds it."""

from __future__ import annotations

import threading
import time
import uuid

from airflow_azureml_datastores.core.manifest import Entry, journal_lines, parse_journal
from airflow_azureml_datastores.core.place import Place
from airflow_azureml_datastores.transfer.engine import delete_all

_EVERY_SECONDS = 2.0
_EVERY_BYTES = 256 * 1024 * 1024


class Journal:
    """An append-only record of delivered files: small objects in a folder, one more every two seconds or 256 MiB.

    What is lost with the plug is at most the tail that was not written yet: those files are moved once more.
    """

    def __init__(self, folder: Place) -> None:
        self._folder = folder.folder()
        self._attempt = uuid.uuid4().hex
        self._lock = threading.Lock()
        self._pending: list[Entry] = []
        self._pieces = 0
        self._written = time.monotonic()

    def load(self) -> dict[str, Entry]:
        """The entries of all attempts so far, by path; the latest of a path wins."""
        entries: dict[str, Entry] = {}
        for _, info in sorted(self._folder.list(), key=lambda item: item[1].modified):
            for entry in parse_journal(b"".join(self._folder.store.read(info.path))):
                entries[entry.path] = entry
        return entries

    def begin(self) -> None:
        """Leave a sign, before anything is delivered, that somebody has begun."""
        self._folder.at(f"{self._attempt}-{0:06d}.jsonl").write(b"")

    def begun(self) -> bool:
        """Whether an attempt has begun and none has ended well."""
        return next(self._folder.list(), None) is not None

    def add(self, entry: Entry) -> None:
        """Note a delivered file; may be called from many threads."""
        with self._lock:
            self._pending.append(entry)
            due = time.monotonic() - self._written >= _EVERY_SECONDS or entry.size >= _EVERY_BYTES
        if due:
            self.flush()

    def flush(self) -> None:
        """Write what is pending."""
        with self._lock:
            pending, self._pending = self._pending, []
            self._written = time.monotonic()
            self._pieces += 1
            piece = self._pieces
        if pending:
            self._folder.at(f"{self._attempt}-{piece:06d}.jsonl").write(journal_lines(pending))

    def clear(self) -> None:
        """Remove the record: a manifest has taken its place."""
        delete_all(self._folder.store, [info.path for _, info in self._folder.list()])
