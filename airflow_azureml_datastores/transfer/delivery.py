"""One source into one folder: checked, moved, verified, recorded; begun again at any point, it ends the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from airflow_azureml_datastores.core.manifest import Entry, Manifest, is_data, is_visible
from airflow_azureml_datastores.core.place import Place
from airflow_azureml_datastores.core.store import Version
from airflow_azureml_datastores.errors import (
    Changed,
    InvalidInput,
    PathExists,
    PathNotFound,
    TransferIncomplete,
)
from airflow_azureml_datastores.transfer.engine import run_moves
from airflow_azureml_datastores.transfer.journal import Journal
from airflow_azureml_datastores.transfer.plan import Plan, check_targets, make_plan
from airflow_azureml_datastores.transfer.progress import Progress, Say, human_count, human_size
from airflow_azureml_datastores.transfer.source import Source

_FRESH_LISTINGS = 5


@dataclass
class Delivery:
    """A source on its way into a target folder.

    :param target: the folder.
    :param label: begins every progress line.
    :param say: takes progress lines.
    :param manifest: where the manifest goes; None leaves no record, and so no way for a retry to know what is done.
    :param journal: folder for the record of an unfinished delivery.
    :param exclusive: the folder belongs to this delivery alone: whatever else is there is removed in the end.
    :param overwrite: replace files that are there and were not delivered by an earlier attempt.
    :param origin: who delivers; goes into the manifest.
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
    unchanged: int = field(default=0, init=False)

    def check(self) -> None:
        """Find out what would go wrong, before anything moves.

        :raises InvalidInput: source and target overlap, or names clash in the target.
        :raises UnsafePath: the target cannot hold one of the names.
        :raises PathExists: a file is there and must not be overwritten.
        """
        self._check_apart()
        features = self.target.store.features
        check_targets(self.source.files, case_sensitive=features.case_sensitive, any_name=features.any_name)
        for path in self.source.files:
            self.target.store.check_path(self.target.at(path).path)
        self._plan()

    def _check_apart(self) -> None:
        if self.source.folder.store.url != self.target.store.url:
            return
        folder = self.target.folder().path
        written = [folder + path for path in self.source.files]
        read = [version.path for version in self.source.files.values()]
        if any(map(self.source.covers, written)) or (self.exclusive and any(p.startswith(folder) for p in read)):
            raise InvalidInput(
                f"the target {self.target.uri} lies in the source {self.source.uri}, or the other way round; "
                f"choose another target."
            )

    def move(self) -> list[Entry]:
        """Move what is not there yet. If the source changes meanwhile it is listed again, and what is new moved too.

        :raises Changed: a pinned source has changed, or one changes faster than it can be taken.
        """
        for _ in range(_FRESH_LISTINGS - 1):
            try:
                return self._move_once()
            except (Changed, PathNotFound) as error:
                if self.source.again is None:
                    raise
                self.say(f"{self.label}  the source has changed ({error}); looking again.")
                self.source = self.source.again()
                self.check()
        return self._move_once()

    def seal(self, entries: Sequence[Entry]) -> Manifest:
        """Verify that everything has arrived, remove what does not belong, and write the manifest last.

        :raises TransferIncomplete: a delivered file is not there, or not as it was delivered.
        """
        there = self._there()
        for entry in entries:
            present = there.get(entry.path)
            if present is None or (present.size, present.etag) != (entry.size, entry.etag):
                raise TransferIncomplete(
                    f"{self.target.at(entry.path).uri} was changed or removed by somebody else during the transfer; "
                    f"try again."
                )
        if self.exclusive:
            for path in there.keys() - {entry.path for entry in entries}:
                self.target.store.delete(self.target.at(path).path)
        ordered = tuple(sorted(entries, key=lambda entry: entry.path))
        manifest = Manifest(self.source.uri, self.target.folder().uri, ordered, self.origin)
        if self.manifest is not None:
            self.manifest.store.write(self.manifest.path, manifest.to_json())
        if self.journal is not None:
            Journal(self.journal).clear()
        return manifest

    def _move_once(self) -> list[Entry]:
        plan = self._plan()
        self.unchanged = len(plan.unchanged)
        journal = Journal(self.journal) if self.journal is not None else None
        entries = list(plan.unchanged)

        def arrived(entry: Entry) -> None:
            entries.append(entry)
            if journal is not None:
                journal.add(entry)

        size = sum(move.source.size for move in plan.moves)
        progress = Progress(self.label, len(plan.moves), size, self.say)
        try:
            run_moves(
                self.source.folder.store,
                self.target,
                plan.moves,
                arrived=arrived,
                progress=progress,
                create=not (self.overwrite or self.exclusive),
            )
        finally:
            if journal is not None:
                journal.flush()
        self.say(
            f"{self.label}  {human_count(len(plan.moves))}, {human_size(size)} in {progress.seconds:.1f} s; "
            f"{human_count(len(plan.unchanged), 'file')} unchanged."
        )
        return entries

    def _plan(self) -> Plan:
        there = self._there()
        plan = make_plan(self.source.files, self._known(), there)
        if not (self.overwrite or self.exclusive):
            taken = sorted(move.path for move in plan.moves if move.path in there)
            if taken:
                raise PathExists(
                    f"{self.target.at(taken[0]).uri} is there already"
                    + (f", and {len(taken) - 1} more" if len(taken) > 1 else "")
                    + "; pass overwrite=True to replace."
                )
        return plan

    def _there(self) -> dict[str, Version]:
        listing = self.target.folder().list()
        counts = is_data if self.exclusive else is_visible
        return {relative: info.version for relative, info in listing if counts(relative)}

    def _known(self) -> dict[str, Entry]:
        known: dict[str, Entry] = {}
        if self.manifest is not None:
            try:
                earlier = Manifest.from_json(self.manifest.read(), self.manifest.uri)
            except PathNotFound:
                pass
            else:
                known.update((entry.path, entry) for entry in earlier.entries)
        if self.journal is not None:
            known.update(Journal(self.journal).load())
        return known
