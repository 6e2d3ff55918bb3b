"""Making outputs visible all at once.

Everything is first staged, whole and verified, in ``.staging/`` of the target datastore. Then it is committed:

- where a store can replace a folder in one step, the folder is complete with its manifest before it appears;
- where it can rename one, the same folder takes the name of the old one, which is renamed before; as there is nothing
  of the name in between, the folder is marked as changing (see :mod:`.publish_marks`);
- elsewhere it is marked so, too, ``_SUCCESS`` is taken away, the staged files are copied to their places inside the
  service, and the manifest, ``_SUCCESS`` and the end of the mark follow in this order. Readers that heed ``_SUCCESS``,
  or read through this package, see the old state or the new one.

A publish that broke off leaves the old state or a marked folder; the same publisher, coming again, completes it from
what is staged, even if it has something newer to publish by then.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Literal

from airflow_azureml_datastores.core.experiment import unique_slug
from airflow_azureml_datastores.core.manifest import (
    MANIFEST,
    STAGING,
    SUCCESS,
    Entry,
    Manifest,
    is_data,
    is_visible,
)
from airflow_azureml_datastores.core.place import Place
from airflow_azureml_datastores.core.store import Version
from airflow_azureml_datastores.errors import (
    DatastoresError,
    InvalidInput,
    NoData,
    PathExists,
    PathNotFound,
    PublishInProgress,
    TransferIncomplete,
)
from airflow_azureml_datastores.transfer.copy import prepare_copy
from airflow_azureml_datastores.transfer.delivery import Delivery, check_folder
from airflow_azureml_datastores.transfer.engine import delete_all, delete_folder, run_moves
from airflow_azureml_datastores.transfer.plan import Move, check_targets
from airflow_azureml_datastores.transfer.progress import Progress, Say, human_count
from airflow_azureml_datastores.transfer.publish_marks import FolderMark, Mark
from airflow_azureml_datastores.transfer.source import Source, check_apart

Policy = Literal["fail", "overwrite", "merge"]
POLICIES: tuple[Policy, ...] = ("fail", "overwrite", "merge")


@dataclass(frozen=True)
class Publishing:
    """A publish that has been checked; calling it does it.

    :param stage: brings everything near, whole and verified, not visible yet. Of several publishes all are staged
        before the first one is done, so that what can go wrong by then has.
    """

    run: Callable[[], Manifest]
    stage: Callable[[], object] = lambda: None

    def __call__(self) -> Manifest:
        return self.run()


def prepare_publish(
    source: Source,
    target: Place,
    *,
    policy: Policy,
    publisher: str,
    label: str,
    say: Say,
    origin: Mapping[str, str] | None = None,
    record: Place | None = None,
) -> Publishing:
    """Check a publish of a source to a folder, all or nothing, or of a single file to a path without a trailing slash.

    :returns: does the publishing.

    :param policy: what to do with data that is there: ``fail``, ``overwrite`` (it is gone afterwards) or ``merge``
        (files of the same name are replaced, the others stay).
    :param publisher: who publishes, the same in every attempt: tells one's own unfinished publish from another's.
    :param record: folder in which the publish of a single file is remembered; a folder carries its own manifest.
    :raises InvalidInput: unknown policy, source and target overlap, or names clash.
    :raises NoData: the source is empty.
    :raises PathExists: policy ``fail`` and there is data.
    :raises PublishInProgress: another publish to this folder, one in it or one around it has begun and not ended.
    """
    if policy not in POLICIES:
        raise InvalidInput(f"the publish policy {policy!r} is unknown; choose one of {', '.join(POLICIES)}.")
    if not source.files:
        raise NoData(f"there is nothing to publish at {source.uri}.")
    if source.single and target.path and not target.path.endswith("/"):
        copy = prepare_copy(
            source, target, label=label, say=say, overwrite=policy != "fail", origin=origin, record=record
        )
        return Publishing(copy)
    publish = _Publish(source, target.folder(), policy, publisher, label, say, dict(origin or {}))
    publish.check()
    return Publishing(publish.run, publish.stage)


def check_disjoint(targets: Mapping[str, Place]) -> None:
    """Refuse to publish several outputs to the same place, or into each other.

    :raises InvalidInput: two of the targets overlap.
    """
    for (name, one), (other_name, other) in combinations(targets.items(), 2):
        folders = sorted(f"{place.path.rstrip('/')}/".lstrip("/") for place in (one, other))
        if one.store.url == other.store.url and folders[1].startswith(folders[0]):
            raise InvalidInput(
                f"the outputs {name!r} and {other_name!r} would be published into each other: "
                f"{one.uri} and {other.uri}."
            )


@dataclass
class _Publish:
    source: Source
    folder: Place
    policy: Policy
    publisher: str
    label: str
    say: Say
    origin: dict[str, str]
    in_one_step: bool = field(init=False)
    renames: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        versions = sorted((path, v.path, v.size, v.etag) for path, v in self.source.files.items())
        self.origin["publish"] = unique_slug(self.publisher, self.folder.uri, json.dumps(versions))
        # A name no longer than need be: what fits into the folder should fit into the staged one.
        own = hashlib.sha256(f"{self.publisher}\0{self.folder.path}".encode()).hexdigest()[:16]
        self.staging = replace(self.folder, path=f"{STAGING}{own}/")
        self.journal = replace(self.folder, path=f"{STAGING}{own}.journal/")
        self.aside = replace(self.folder, path=f"{STAGING}{own}.old/")
        self.in_one_step = self.folder.store.features.replace_directory and self.folder.path != ""
        self.mark = FolderMark(self.folder, self.publisher, self.policy)

    def check(self) -> None:
        self._check()
        if self.mark.unfinished() is None and self._published() is None:
            self._check_policy()

    def stage(self) -> None:
        """What :meth:`run` begins with, unless there is something to complete first; it does not move it again."""
        self._check()
        if self.mark.unfinished() is None and self._published() is None:
            self._check_policy()
            self._stage()

    def run(self) -> Manifest:
        self._check()
        if (mark := self.mark.unfinished()) is not None:
            self.say(f"{self.label}  completing what an earlier attempt began to publish.")
            self._complete(mark)
        if (done := self._published()) is not None:
            self.say(f"{self.label}  is published already at {self.folder.uri}.")
            self._clean_up()
            return done
        self._check_policy()
        staged = self._stage()
        manifest = self._commit(staged)
        self._clean_up()
        self.say(f"{self.label}  published {human_count(manifest.files)} at {self.folder.uri}.")
        return manifest

    def _check(self) -> None:
        check_apart(self.source, self.folder, exclusive=True)
        check_folder(self.folder)
        for path in self.source.files:
            place = self.folder.at(path)
            place.store.check_path(place.path)
            if not is_data(place.path):
                raise InvalidInput(f"{place.uri} cannot be published: the name is kept for records of publishing.")
        self.mark.refuse_others()

    def _published(self) -> Manifest | None:
        """The manifest of this very publish, if an earlier attempt completed it and nothing has changed since."""
        try:
            manifest = self._manifest_in(self.folder)
            self.folder.store.stat(self.folder.at(SUCCESS).path)
        except PathNotFound:
            return None
        if manifest.origin.get("publish") != self.origin["publish"]:
            return None
        there = {path: (v.size, v.etag) for path, v in self._there().items() if is_data(v.path)}
        return manifest if there == {e.path: (e.size, e.etag) for e in manifest.entries} else None

    def _there(self) -> dict[str, Version]:
        """What is in the folder, but for its own records."""
        return {
            path: info.version
            for path, info in self.folder.list()
            if path not in (MANIFEST, SUCCESS) and is_visible(info.path)
        }

    def _check_policy(self) -> dict[str, Version]:
        there = self._there()
        if self.policy == "fail" and there:
            self._clean_up()
            raise PathExists(
                f"{self.folder.uri} holds data already ({min(there)!r}, {human_count(len(there))} in all); "
                f"choose policy 'overwrite' or 'merge', or another target."
            )
        if self.policy == "merge":
            features = self.folder.store.features
            names = [*there, *self.source.files]
            check_targets(names, case_sensitive=features.case_sensitive, any_name=features.any_name)
        return there

    def _stage(self) -> list[Entry]:
        """Bring everything near, whole and verified, not visible; what an earlier attempt staged is not moved again.

        A folder that is to be renamed has the rights from the start that it is to have at the end. Where it cannot get
        them, its files are copied, and get those of the target's folders.
        """
        store = self.folder.store
        if store.features.directories and self.folder.path:
            self.renames = store.make_directory_like(self.staging.path.rstrip("/"), self.folder.path.rstrip("/"))
        delivery = Delivery(
            self.source,
            self.staging,
            label=self.label,
            say=self.say,
            manifest=self.staging.at(MANIFEST),
            journal=self.journal,
            exclusive=True,
            origin=self.origin,
            done="staged",
        )
        delivery.check()
        return list(delivery.seal(delivery.move()).entries)

    def _commit(self, staged: list[Entry]) -> Manifest:
        self.mark.set()
        try:
            there = self._check_policy()
            if self.in_one_step or self.renames:
                manifest = self._make_whole(staged, there)
            if self.in_one_step:
                self.folder.store.replace_directory(self.staging.path.rstrip("/"), self.folder.path.rstrip("/"))
                self.mark.remove()
                return manifest
        except DatastoresError:
            self.mark.remove()
            raise
        return self._complete(self.mark.begin_commit(renames=self.renames))

    def _make_whole(self, staged: list[Entry], there: Mapping[str, Version]) -> Manifest:
        """Make the staged folder what the target is to be."""
        new = {entry.path for entry in staged}
        kept = {path: v for path, v in there.items() if path not in new} if self.policy == "merge" else {}
        copies = self._bring([Move(version, path) for path, version in kept.items()], self.staging)
        manifest = self._manifest(staged + copies)
        self._write_records(self.staging, manifest)
        if self.policy != "overwrite" and self._there() != there:
            raise TransferIncomplete(f"{self.folder.uri} was changed by somebody else in the meantime; try again.")
        return manifest

    def _complete(self, mark: Mark) -> Manifest:
        """Change the marked folder to what is staged. Begun again at any point, it ends the same."""
        manifest = self._rename_in() if mark.renames else self._copy_in(mark.policy)
        self.mark.end_commit()
        return manifest

    def _rename_in(self) -> Manifest:
        """Let the staged folder, which is whole, take the place of the one that is there."""
        store = self.folder.store
        staging, target, aside = (place.path.rstrip("/") for place in (self.staging, self.folder, self.aside))
        try:
            manifest = self._manifest_in(self.staging)
        except PathNotFound:
            try:
                return self._manifest_in(self.folder)  # it has been renamed already
            except PathNotFound as error:
                raise self._lost() from error
        try:
            store.delete_directory(aside)
            store.rename_directory(target, aside)
        except PathNotFound:
            pass  # there was nothing, or an earlier attempt got so far
        try:
            store.rename_directory(staging, target)
        except PathExists as error:
            raise TransferIncomplete(
                f"{self.folder.uri} was made by somebody else while it was being published; try again."
            ) from error
        return manifest

    def _copy_in(self, policy: str) -> Manifest:
        """Copy the staged files to their places."""
        store = self.folder.store
        try:
            staged = self._manifest_in(self.staging)
        except PathNotFound as error:
            raise self._lost() from error
        new = {entry.path for entry in staged.entries}
        others = self._there().keys() - new
        stale = others if policy == "overwrite" else set()
        successes = {path for path in stale if path.rpartition("/")[2] == SUCCESS}
        for gone in ({SUCCESS} | successes, stale - successes):
            delete_all(store, [self.folder.at(path).path for path in gone])
        moves = [Move(entry.delivered(self.staging.path), entry.path) for entry in staged.entries]
        arrived = {entry.path: entry.etag for entry in self._bring(moves, self.folder)}
        entries = [replace(entry, etag=arrived[entry.path]) for entry in staged.entries]
        kept = [
            Entry(path, version.size, version.etag, version.path, version.etag)
            for path, version in self._there().items()
            if path not in new
        ]
        manifest = replace(self._manifest(entries + kept), source=staged.source, origin=staged.origin)
        self._write_records(self.folder, manifest)
        return manifest

    def _lost(self) -> PublishInProgress:
        return PublishInProgress(
            f"a publish to {self.folder.uri} broke off, and what it had staged is gone. Check the folder, delete "
            f"{self.mark.uri} and publish again."
        )

    def _manifest_in(self, folder: Place) -> Manifest:
        """:raises PathNotFound: there is none."""
        place = folder.at(MANIFEST)
        return Manifest.from_json(place.read(), place.uri)

    def _manifest(self, entries: list[Entry]) -> Manifest:
        data = [entry for entry in entries if is_data(self.folder.at(entry.path).path)]
        ordered = tuple(sorted(data, key=lambda entry: entry.path))
        return Manifest(self.source.uri, self.folder.uri, ordered, self.origin)

    def _bring(self, moves: list[Move], target: Place) -> list[Entry]:
        entries: list[Entry] = []
        progress = Progress(self.label, len(moves), sum(m.source.size for m in moves), self.say)
        run_moves(self.folder.store, target, moves, arrived=entries.append, progress=progress)
        return entries

    def _write_records(self, folder: Place, manifest: Manifest) -> None:
        folder.store.write(folder.at(MANIFEST).path, manifest.to_json())
        folder.at(SUCCESS).write(b"")

    def _clean_up(self) -> None:
        """Forget what is staged, and the mark that an attempt may have left that was not changing anything."""
        self.mark.remove()
        for left in (self.staging, self.journal, self.aside):
            delete_folder(self.folder.store, left.path)
