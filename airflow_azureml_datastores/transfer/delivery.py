"""One source into one folder: checked, moved, verified, recorded; begun again at any point, it ends the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from airflow_azureml_datastores.core.manifest import Entry, Manifest, is_visible
from airflow_azureml_datastores.core.place import Place
from airflow_azureml_datastores.core.store import Version
from airflow_azureml_datastores.errors import (
    Changed,
    InvalidInput,
    NoData,
    PathExists,
    PathNotFound,
    TransferIncomplete,
)
from airflow_azureml_datastores.transfer.engine import content_digest, delete_all, for_each, run_moves
from airflow_azureml_datastores.transfer.journal import Journal
from airflow_azureml_datastores.transfer.plan import Move, Plan, check_targets, make_plan
from airflow_azureml_datastores.transfer.progress import Progress, Say, human_count, human_number, human_size
from airflow_azureml_datastores.transfer.source import Source, check_apart

_FRESH_LISTINGS = 5


@dataclass
class Delivery:
    """A source on its way into a target folder.

    :param target: the folder.
    :param label: begins every progress line; its first word, such as ``[ingest]``, the last one.
    :param say: takes progress lines.
    :param manifest: where the manifest goes; None leaves no record, and so no way for a retry to know what is done.
    :param journal: folder for the record of an unfinished delivery.
    :param exclusive: the folder belongs to this delivery alone: whatever else is there is removed. Otherwise only what
        an unfinished attempt of this delivery brought, and the source has no more, is.
    :param overwrite: replace files that are there and were not delivered by an earlier attempt.
    :param origin: who delivers; goes into the manifest.
    :param done: what the last line calls it.
    """

    source: Source
    target: Place
    label: str
    say: Say
    manifest: Place | None = None
    journal: Place | None = None
    exclusive: bool = False
    overwrite: bool = False
    origin: Mapping[str, str] = field(default_factory=dict)
    done: str = "done"
    unchanged: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._moved: dict[str, Entry] = {}
        self._adopted: dict[str, Entry] = {}
        self._seconds = 0.0

    def check(self) -> None:
        """Find out what would go wrong, before anything moves.

        :raises InvalidInput: source and target overlap, or names clash in the target.
        :raises UnsafePath: the target cannot hold one of the names.
        :raises PathExists: a file is there and must not be overwritten.
        """
        check_apart(self.source, self.target, exclusive=self.exclusive)
        check_folder(self.target)
        for path in self.source.files:
            place = self.target.at(path)
            place.store.check_path(place.path)
            if self._is_manifest(place.path):
                raise InvalidInput(f"{path!r} cannot be delivered: {place.uri} is where the list of files goes.")
            if place.datastore and not self.exclusive and not is_visible(place.path):
                raise InvalidInput(f"{path!r} cannot be delivered: {place.uri} is kept for what is not visible yet.")
        self._plan()

    def move(self) -> list[Entry]:
        """Move what is not there yet. If the source changes meanwhile it is listed again, and what is new moved too.

        :raises Changed: a pinned source has changed, or one changes faster than it can be taken.
        :raises NoData: the source has become empty.
        """
        for _ in range(_FRESH_LISTINGS - 1):
            try:
                return self._move_once()
            except (Changed, PathNotFound) as error:
                if self.source.again is None:
                    raise
                self.say(f"{self.label}  the source has changed ({error}); looking again.")
                self.source = self.source.again()
                if not self.source.files:
                    raise NoData(f"the source {self.source.uri} has become empty while it was being taken.") from error
                self.check()
        return self._move_once()

    def seal(self, entries: Sequence[Entry]) -> Manifest:
        """Verify that everything has arrived, remove what does not belong, and write the manifest last.

        :raises TransferIncomplete: a delivered file is not there, or not as it was delivered.
        """
        there = self._there()
        for entry in entries:
            if not entry.is_at(there.get(entry.path)):
                raise TransferIncomplete(
                    f"{self.target.at(entry.path).uri} was changed or removed by somebody else during the transfer; "
                    f"try again."
                )
        if self.exclusive:
            self._remove(there.keys() - {entry.path for entry in entries})
        ordered = tuple(sorted(entries, key=lambda entry: entry.path))
        manifest = Manifest(self.source.uri, self.target.folder().uri, ordered, self.origin)
        if self.manifest is not None:
            self.manifest.store.write(self.manifest.path, manifest.to_json())
        if self.journal is not None:
            Journal(self.journal).clear()
        self._tell(entries)
        return manifest

    def _move_once(self) -> list[Entry]:
        plan = self._plan()
        self._remove(plan.strays)  # now, as a file may stand where a folder is needed, or the other way round
        journal = Journal(self.journal) if self.journal is not None else None
        if journal is not None and plan.moves and not self._replaces_all:
            journal.begin()

        def arrived(entry: Entry) -> None:
            self._moved[entry.path] = entry
            if journal is not None:
                journal.add(entry)

        progress = Progress(self.label, len(plan.moves), sum(move.source.size for move in plan.moves), self.say)
        try:
            run_moves(
                self.source.folder.store,
                self.target,
                plan.moves,
                arrived=arrived,
                progress=progress,
                create=not self._replaces_all,
            )
        finally:
            self._seconds += progress.seconds
            if journal is not None:
                journal.flush()
        entries = plan.unchanged + [self._moved[move.path] for move in plan.moves]
        self.unchanged = sum(entry.path not in self._moved for entry in entries)
        if self.manifest is None:
            self._tell(entries)
        return entries

    @property
    def _replaces_all(self) -> bool:
        return self.overwrite or self.exclusive

    def _plan(self) -> Plan:
        there = self._there()
        features = self.target.store.features
        beside = () if self.exclusive else there
        check_targets([*beside, *self.source.files], case_sensitive=features.case_sensitive, any_name=features.any_name)
        unfinished = self._unfinished()
        plan = make_plan(self.source.files, self._finished() | unfinished, there)
        if not self.exclusive:
            # Only what this very copy brought before its source changed, if it is still that.
            plan = replace(plan, strays=[p for p in plan.strays if p in unfinished and unfinished[p].is_at(there[p])])
        taken = [] if self._replaces_all else [m for m in plan.moves if m.path in there and not m.replaces]
        if taken and self._adopt(taken, there):
            return self._plan()
        if taken:
            raise PathExists(
                f"{self.target.at(min(move.path for move in taken)).uri} is there already"
                + (f", and {len(taken) - 1} more" if len(taken) > 1 else "")
                + "; pass overwrite=True to replace."
            )
        return plan

    def _adopt(self, taken: Sequence[Move], there: Mapping[str, Version]) -> bool:
        """Recognise what an interrupted attempt delivered but could not note any more, by its content.

        :returns: whether any of these files is such.
        """
        if self.journal is None or not Journal(self.journal).begun():
            return False
        source, target = self.source.folder.store, self.target.store
        copied = target.can_copy_from(source)

        def compare(move: Move) -> Entry | None:
            wanted, present = move.source, there[move.path]
            digest = content_digest(source, wanted)
            if digest != content_digest(target, present):
                return None
            return Entry(move.path, wanted.size, present.etag, wanted.path, wanted.etag, "" if copied else digest)

        alike = [move for move in taken if move.source.size == there[move.path].size]
        found = {entry.path: entry for entry in for_each(compare, alike) if entry is not None}
        self._adopted.update(found)
        return bool(found)

    def _there(self) -> dict[str, Version]:
        listing = self.target.folder().list()
        return {relative: info.version for relative, info in listing if not self._is_manifest(info.path)}

    def _is_manifest(self, path: str) -> bool:
        return self.manifest is not None and self.manifest.store is self.target.store and self.manifest.path == path

    def _finished(self) -> dict[str, Entry]:
        """What was delivered the last time that this came to its end."""
        if self.manifest is None:
            return {}
        try:
            earlier = Manifest.from_json(self.manifest.read(), self.manifest.uri)
        except PathNotFound:
            return {}
        return {entry.path: entry for entry in earlier.entries}

    def _unfinished(self) -> dict[str, Entry]:
        """What was delivered since."""
        noted = Journal(self.journal).load() if self.journal is not None else {}
        return noted | self._adopted | self._moved

    def _remove(self, paths: Iterable[str]) -> None:
        delete_all(self.target.store, [self.target.at(path).path for path in paths])

    def _tell(self, entries: Sequence[Entry]) -> None:
        moved = [entry for entry in entries if entry.path in self._moved]
        self.say(
            f"{self.label.split(' ')[0]} {self.done}: {human_count(len(moved))}, "
            f"{human_size(sum(entry.size for entry in moved))} in {self._seconds:.1f} s; "
            f"{human_number(len(entries) - len(moved))} unchanged; "
            + (f"manifest {self.manifest.uri}" if self.manifest is not None else f"in {self.target.folder().uri}")
        )


def check_folder(folder: Place) -> None:
    """:raises InvalidInput: the store has real folders, and there is a file where this one, or one above, has to be."""
    if folder.store.features.any_name:
        return
    above = folder.folder().path
    while (above := above.rpartition("/")[0]) != "":
        try:
            folder.store.stat(above)
        except PathNotFound:
            continue
        raise InvalidInput(f"{folder.uri} cannot be a folder: {above!r} is a file there.")
