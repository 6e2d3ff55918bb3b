"""Making outputs visible all at once.

Everything is first staged, whole and verified, in ``.staging/`` of the target datastore. Then it is committed:

- where a store can replace a folder in one step, the folder is complete with its manifest before it appears;
- elsewhere the folder is marked (``_publishing.json``), ``_SUCCESS`` is taken away, the staged files are copied to
  their places inside the service, and the manifest, ``_SUCCESS`` and the end of the mark follow in this order. Readers
  that heed ``_SUCCESS`` (or read through this package, which refuses a marked folder) see the old state or the new one.

A publish that broke off leaves the old state or a marked folder; the same publish called again completes it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from airflow_azureml_datastores.core.experiment import unique_slug
from airflow_azureml_datastores.core.manifest import MANIFEST, PUBLISHING, STAGING, SUCCESS, Entry, Manifest, is_data
from airflow_azureml_datastores.core.place import Place
from airflow_azureml_datastores.core.store import Version
from airflow_azureml_datastores.errors import (
    InvalidInput,
    NoData,
    PathExists,
    PathNotFound,
    PublishInProgress,
)
from airflow_azureml_datastores.transfer.copy import copy_files
from airflow_azureml_datastores.transfer.delivery import Delivery
from airflow_azureml_datastores.transfer.engine import delete_all, run_moves
from airflow_azureml_datastores.transfer.plan import Move
from airflow_azureml_datastores.transfer.progress import Progress, Say
from airflow_azureml_datastores.transfer.source import Source

Policy = Literal["fail", "overwrite", "merge"]
POLICIES: tuple[Policy, ...] = ("fail", "overwrite", "merge")


def publish(
    source: Source,
    target: Place,
    *,
    policy: Policy,
    publisher: str,
    label: str,
    say: Say,
    origin: Mapping[str, str] | None = None,
    record: Place | None = None,
) -> Manifest:
    """Publish a source to a folder, all or nothing; a single file to a path without a trailing slash.

    :param policy: what to do with data that is there: ``fail``, ``overwrite`` (it is gone afterwards) or ``merge``
        (files of the same name are replaced, the others stay).
    :param publisher: who publishes, the same in every attempt: tells one's own unfinished publish from another's.
    :param record: folder in which the publish of a single file is remembered; a folder carries its own manifest.
    :raises InvalidInput: unknown policy, or source and target overlap.
    :raises NoData: the source is empty.
    :raises PathExists: policy ``fail`` and there is data.
    :raises PublishInProgress: another publish to this folder is being committed, or broke off there.
    """
    if policy not in POLICIES:
        raise InvalidInput(f"the publish policy {policy!r} is unknown; choose one of {', '.join(POLICIES)}.")
    if not source.files:
        raise NoData(f"there is nothing to publish at {source.uri}.")
    if source.single and target.path and not target.path.endswith("/"):
        return copy_files(
            source, target, label=label, say=say, overwrite=policy != "fail", origin=origin, record=record
        )
    return _Publish(source, target.folder(), policy, publisher, label, say, dict(origin or {})).run()


@dataclass
class _Publish:
    source: Source
    folder: Place
    policy: Policy
    publisher: str
    label: str
    say: Say
    origin: dict[str, str]
    name: str = field(init=False)

    def __post_init__(self) -> None:
        versions = sorted((path, v.path, v.size, v.etag) for path, v in self.source.files.items())
        self.name = unique_slug(self.publisher, self.folder.uri, json.dumps(versions))
        self.origin["publish"] = self.name
        self.staging = replace(self.folder, path=f"{STAGING}{self.name}/")
        where = hashlib.sha256(self.folder.uri.encode()).hexdigest()[:16]
        self.in_one_step = self.folder.store.features.replace_directory
        lock = replace(self.folder, path=f"{STAGING}{where}.lock") if self.in_one_step else self.folder.at(PUBLISHING)
        self.mark = _Mark(lock, self.name, self.publisher)

    def run(self) -> Manifest:
        if (done := self._published()) is not None:
            self.say(f"{self.label}  is published already at {self.folder.uri}.")
            self._clean_up()
            return done
        self.mark.refuse_others()
        if not self.mark.is_committing():
            self._check_policy()
        staged = self._stage()
        self.mark.set()
        if not self.mark.is_committing():
            try:
                self._check_policy()
            except PathExists:
                self.mark.remove()
                raise
            self.mark.begin_commit()
        manifest = self._swap(staged) if self.in_one_step else self._copy_in(staged)
        self._clean_up()
        self.say(f"{self.label}  published at {self.folder.uri} ({manifest.files} files).")
        return manifest

    def _published(self) -> Manifest | None:
        """The manifest of this very publish, if an earlier attempt completed it and nothing has changed since."""
        try:
            manifest = Manifest.from_json(self.folder.at(MANIFEST).read(), self.folder.at(MANIFEST).uri)
            self.folder.store.stat(self.folder.at(SUCCESS).path)
        except PathNotFound:
            return None
        there = self._there()
        entries = {e.path: Version(there[e.path].path, e.size, e.etag) for e in manifest.entries if e.path in there}
        same = len(entries) == manifest.files and entries == there
        return manifest if same and manifest.origin.get("publish") == self.name else None

    def _there(self) -> dict[str, Version]:
        return {relative: info.version for relative, info in self.folder.list() if is_data(relative)}

    def _check_policy(self) -> None:
        if self.policy == "fail" and (there := self._there()):
            raise PathExists(
                f"{self.folder.uri} holds data already ({min(there)!r}, {len(there)} files in all); "
                f"choose policy 'overwrite' or 'merge', or another target."
            )

    def _stage(self) -> list[Entry]:
        """Bring everything near, whole and verified, not visible; what an earlier attempt staged is not moved again."""
        for path in self.source.files:
            self.folder.store.check_path(self.folder.at(path).path)
        delivery = Delivery(
            self.source,
            self.staging,
            label=self.label,
            say=self.say,
            manifest=self.staging.at(MANIFEST),
            journal=replace(self.staging, path=f"{STAGING}{self.name}.journal/"),
            exclusive=True,
            origin=self.origin,
        )
        if any(map(self.source.covers, (self.folder.at(path).path for path in self.source.files))) and (
            self.source.folder.store.url == self.folder.store.url
        ):
            raise InvalidInput(f"the target {self.folder.uri} lies in the source {self.source.uri}; choose another.")
        delivery.check()
        return list(delivery.seal(delivery.move()).entries)

    def _kept(self, staged: list[Entry]) -> list[Entry]:
        """Entries of the files that stay though they are not of this publish: with policy ``merge`` only."""
        if self.policy != "merge":
            return []
        new = {entry.path for entry in staged}
        return [
            Entry(path, version.size, version.etag, version.path, version.etag)
            for path, version in self._there().items()
            if path not in new
        ]

    def _manifest(self, entries: list[Entry]) -> Manifest:
        ordered = tuple(sorted(entries, key=lambda entry: entry.path))
        return Manifest(self.source.uri, self.folder.uri, ordered, self.origin)

    def _swap(self, staged: list[Entry]) -> Manifest:
        """Complete the staged folder, then let it take the target's place in one step."""
        kept = self._kept(staged)
        kept = self._bring([Move(Version(e.source, e.size, e.source_etag), e.path) for e in kept], self.staging)
        manifest = self._manifest(staged + kept)
        self._write_records(self.staging, manifest)
        self.folder.store.replace_directory(self.staging.path.rstrip("/"), self.folder.path.rstrip("/"))
        return manifest

    def _copy_in(self, staged: list[Entry]) -> Manifest:
        """Take ``_SUCCESS`` away, put the files in place, and complete the folder again."""
        store = self.folder.store
        store.delete(self.folder.at(SUCCESS).path)
        kept = self._kept(staged)
        moves = [Move(entry.delivered(self.staging.path), entry.path) for entry in staged]
        arrived = {entry.path: entry for entry in self._bring(moves, self.folder)}
        entries = [replace(entry, etag=arrived[entry.path].etag) for entry in staged]
        if self.policy == "overwrite":
            stale = self._there().keys() - arrived.keys()
            delete_all(store, [self.folder.at(path).path for path in stale])
        manifest = self._manifest(entries + kept)
        self._write_records(self.folder, manifest)
        return manifest

    def _bring(self, moves: list[Move], target: Place) -> list[Entry]:
        entries: list[Entry] = []
        progress = Progress(self.label, len(moves), sum(m.source.size for m in moves), self.say)
        run_moves(self.folder.store, target, moves, arrived=entries.append, progress=progress)
        return entries

    def _write_records(self, folder: Place, manifest: Manifest) -> None:
        folder.store.write(folder.at(MANIFEST).path, manifest.to_json())
        folder.at(SUCCESS).write(b"")

    def _clean_up(self) -> None:
        self.mark.remove()
        store = self.folder.store
        delete_all(store, [info.path for info in store.list(self.staging.path)])
        delete_all(store, [info.path for info in store.list(f"{STAGING}{self.name}.journal/")])


class _Mark:
    """Says in the target that a publish is being committed, by whom, and whether files have begun to change."""

    def __init__(self, place: Place, name: str, publisher: str) -> None:
        self._place, self._name, self._publisher = place, name, publisher

    def _content(self, state: str) -> bytes:
        return json.dumps({"publish": self._name, "publisher": self._publisher, "state": state}).encode()

    def _read(self) -> dict[str, str]:
        try:
            content = self._place.read()
        except PathNotFound:
            return {}
        found: dict[str, str] = json.loads(content)
        return found

    def refuse_others(self) -> None:
        """:raises PublishInProgress: the mark is somebody else's."""
        found = self._read()
        if found and found["publish"] != self._name:
            raise PublishInProgress(
                f"another publish to this folder is not finished: {found['publisher']}. Wait for it, or run its task "
                f"again: it completes what it began. If it never will, delete {self._place.uri}."
            )

    def set(self) -> None:
        try:
            self._place.write(self._content("marked"), create=True)
        except PathExists:
            self.refuse_others()

    def is_committing(self) -> bool:
        found = self._read()
        return found.get("publish") == self._name and found["state"] == "committing"

    def begin_commit(self) -> None:
        self._place.write(self._content("committing"))

    def remove(self) -> None:
        """Take the mark away if it is ours."""
        if self._read().get("publish") == self._name:
            self._place.store.delete(self._place.path)
