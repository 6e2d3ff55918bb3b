"""Making outputs visible all at once.

Everything is first staged, whole and verified, in ``.staging/`` of the target datastore (see :mod:`.publish_staging`).
Then it is committed:

- where a store can replace a folder in one step, the folder is complete with its manifest before it appears;
- where it can rename one, the same folder takes the name of the old one, which is renamed before; as there is nothing
  of the name in between, the folder is marked as changing (see :mod:`.publish_marks`);
- elsewhere it is marked so, too, ``_SUCCESS`` is taken away, the staged files are copied to their places inside the
  service, and the manifest, ``_SUCCESS`` and the end of the mark follow in this order. Readers that heed ``_SUCCESS``,
  or read through this package, see the old state or the new one.

A publish that broke off leaves the old state or a marked folder; the same publisher, coming again, completes it from
what is staged, even if it has something newer to publish by then. The attempt that broke off may live, as one does
that was only cut off from Airflow: the mark is the later attempt's, the earlier one sees so before its next step, and
what it has asked a service for by then finds its folder gone, its file another version, or the record written.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Literal

from airflow_azureml_datastores.core.experiment import unique_slug
from airflow_azureml_datastores.core.manifest import (
    MANIFEST,
    SUCCESS,
    Entry,
    Manifest,
    is_data,
    is_visible,
)
from airflow_azureml_datastores.core.place import Place
from airflow_azureml_datastores.core.store import Version
from airflow_azureml_datastores.errors import (
    Changed,
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
from airflow_azureml_datastores.transfer.publish_staging import Staging
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
        self.staging = Staging(self.folder, self.publisher)
        self.in_one_step = self.folder.store.features.replace_directory and self.folder.path != ""
        mark = Mark(self.folder.path, self.publisher, self.policy, self.origin["publish"], self.staging.attempt)
        self.mark = FolderMark(self.folder, mark)

    def check(self) -> None:
        self._check()
        if self.mark.unfinished() is None and self._published(self.origin["publish"]) is None:
            self._check_policy()

    def stage(self) -> None:
        """What :meth:`run` begins with, unless there is something to complete first; it does not move it again."""
        self._check()
        if self.mark.unfinished() is None and self._published(self.origin["publish"]) is None:
            self._check_policy()
            self._stage()

    def run(self) -> Manifest:
        self._check()
        if (mark := self.mark.unfinished()) is not None:
            self.say(f"{self.label}  completing what an earlier attempt began to publish.")
            self.mark.take_over(mark)
            self._complete(mark)
        if (done := self._published(self.origin["publish"])) is not None:
            self.say(f"{self.label}  is published already at {self.folder.uri}.")
            self._forget()
            self._vouch()
            return done
        self._check_policy()
        manifest = self._commit(self._stage())
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

    def _published(self, publish: str) -> Manifest | None:
        """The manifest of a certain publish, if an attempt completed it and nothing has changed since."""
        try:
            manifest = self._manifest_in(self.folder)
        except PathNotFound:
            return None
        if manifest.origin.get("publish") != publish:
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
            self._forget()
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
        store, staged = self.folder.store, self.staging.folder
        if (mark := self.mark.left()) is not None and not mark.committing:
            self.mark.set()  # should the attempt that left it live, it goes no further
            if mark.apart:
                self.staging.take_back(mark.apart)
            self.mark.remove()
        if store.features.directories and self.folder.path:
            self.renames = store.make_directory_like(staged.path.rstrip("/"), self.folder.path.rstrip("/"))
        delivery = Delivery(
            self.source,
            staged,
            label=self.label,
            say=self.say,
            manifest=staged.at(MANIFEST),
            journal=self.staging.journal,
            exclusive=True,
            origin=self.origin,
            done="staged",
        )
        delivery.check()
        return list(delivery.seal(delivery.move()).entries)

    def _commit(self, staged: list[Entry]) -> Manifest:
        moves = self.in_one_step or self.renames
        self.mark.set(self.staging.apart.path if moves else "")
        try:
            there = self._check_policy()
            if moves:
                manifest = self._make_whole(staged, there)
            else:
                self._check_staged(self.staging.folder, staged)
            if self.in_one_step:
                self.mark.check()
                self.staging.swap_in()
                self._clean_up()
                return manifest
            mark = self.mark.begin_commit()
        except DatastoresError:
            if moves:
                with suppress(DatastoresError):  # then the next attempt stages it again
                    self.staging.take_back(self.staging.apart.path)
            self.mark.remove()
            raise
        return self._complete(mark)

    def _make_whole(self, staged: list[Entry], there: Mapping[str, Version]) -> Manifest:
        """Make the staged folder what the target is to be, and set it apart."""
        new = {entry.path for entry in staged}
        kept = {path: v for path, v in there.items() if path not in new} if self.policy == "merge" else {}
        copies = self._bring([Move(version, path) for path, version in kept.items()], self.staging.folder)
        manifest = self._manifest(staged + copies)
        self._write_records(self.staging.folder, manifest)
        self.staging.set_apart()
        self._check_staged(self.staging.apart, staged + copies)
        if self.policy != "overwrite" and self._there() != there:
            raise TransferIncomplete(f"{self.folder.uri} was changed by somebody else in the meantime; try again.")
        return manifest

    def _check_staged(self, folder: Place, entries: Sequence[Entry]) -> None:
        """:raises TransferIncomplete: what was staged is not all there, or not as it was."""
        there = {path: (info.size, info.etag) for path, info in folder.list() if path not in (MANIFEST, SUCCESS)}
        if there != {entry.path: (entry.size, entry.etag) for entry in entries}:
            raise TransferIncomplete(
                f"what was staged for {self.folder.uri} was changed by another attempt of {self.publisher}; try again."
            )

    def _complete(self, mark: Mark) -> Manifest:
        """Change the marked folder to what is staged. Begun again at any point, it ends the same."""
        try:
            manifest = self._rename_in(mark.apart) if mark.apart else self._copy_in(mark.policy)
        except (Changed, PathExists, PathNotFound):
            self.mark.check()
            if (done := self._published(mark.publish)) is not None:
                self._vouch()
            manifest = done or self._begin_anew(mark)
        self.mark.end_commit()
        self._clean_up(mark.apart)
        return manifest

    def _begin_anew(self, mark: Mark) -> Manifest:
        """Stage again, as what was staged is gone, and copy it, as the folder may have been changed in part."""
        self.say(f"{self.label}  what was staged is gone; staging it again.")
        if mark.apart:
            self.staging.restore(mark.apart)
        self._stage()
        policy = "merge" if mark.policy == "merge" else "overwrite"  # with "fail", all that is there is ours
        return self._copy_in(policy)

    def _rename_in(self, apart: str) -> Manifest:
        """Let the folder that was set apart take the place of the one that is there."""
        manifest = self._manifest_in(replace(self.folder, path=apart))
        self.mark.check()
        try:
            self.staging.rename_in(apart)
        except PathExists as error:
            raise TransferIncomplete(
                f"{self.folder.uri} was made by somebody else while it was being published; try again."
            ) from error
        return manifest

    def _copy_in(self, policy: str) -> Manifest:
        """Copy the staged files to their places."""
        store = self.folder.store
        staged = self._manifest_in(self.staging.folder)
        new = {entry.path for entry in staged.entries}
        others = self._there().keys() - new
        stale = others if policy == "overwrite" else set()
        successes = {path for path in stale if path.rpartition("/")[2] == SUCCESS}
        replaces = self._etag_of(MANIFEST)
        self.mark.check()
        for gone in ({SUCCESS} | successes, stale - successes):
            delete_all(store, [self.folder.at(path).path for path in gone])
        moves = [Move(entry.delivered(self.staging.folder.path), entry.path) for entry in staged.entries]
        arrived = {entry.path: entry.etag for entry in self._bring(moves, self.folder)}
        entries = [replace(entry, etag=arrived[entry.path]) for entry in staged.entries]
        kept = [
            Entry(path, version.size, version.etag, version.path, version.etag)
            for path, version in self._there().items()
            if path not in new
        ]
        manifest = replace(self._manifest(entries + kept), source=staged.source, origin=staged.origin)
        self.mark.check()
        record = self.folder.at(MANIFEST).path  # only over what was there: another attempt may have written its own
        store.write(record, manifest.to_json(), create=replaces is None, if_match=replaces)
        self.mark.check()
        self.folder.at(SUCCESS).write(b"", create=True)
        return manifest

    def _manifest_in(self, folder: Place) -> Manifest:
        """:raises PathNotFound: there is none."""
        place = folder.at(MANIFEST)
        return Manifest.from_json(place.read(), place.uri)

    def _etag_of(self, name: str) -> str | None:
        """That of a record in the folder; None if it is not there."""
        try:
            return self.folder.store.stat(self.folder.at(name).path).etag
        except PathNotFound:
            return None

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

    def _vouch(self) -> None:
        """Put ``_SUCCESS`` beside what is there whole: an attempt that was taken for dead may have removed it since."""
        if self._etag_of(SUCCESS) is None:
            self.folder.at(SUCCESS).write(b"")

    def _forget(self) -> None:
        """Forget what attempts have left. :raises PublishInProgress: one of them has begun to change the folder."""
        if self.mark.left() is not None or not self.staging.is_empty():
            self.mark.set()
            self._clean_up()

    def _clean_up(self, apart: str = "") -> None:
        """Forget what is staged, and the mark. Where another attempt has come meanwhile, that is its business."""
        with suppress(PublishInProgress):
            for folder in self.staging.left(apart):
                self.mark.check()
                delete_folder(self.folder.store, folder)
        self.mark.remove()
