"""Bringing data into an experiment's run: every input found and checked first, then moved, then recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from airflow_azureml_datastores.core.cursor import fingerprint
from airflow_azureml_datastores.core.experiment import (
    ExperimentRun,
    IngestMode,
    Input,
    as_input,
    check_binding_names,
)
from airflow_azureml_datastores.core.glob import is_glob
from airflow_azureml_datastores.core.manifest import MANIFEST, Entry, Manifest
from airflow_azureml_datastores.core.place import OpenDatastore, Place
from airflow_azureml_datastores.core.rows_input import RowsInput, is_rows_batch
from airflow_azureml_datastores.core.table_store import OpenTables, TableStore
from airflow_azureml_datastores.core.uri import SCHEME, DatastoreUri, parse_datastore_uri, quote_path
from airflow_azureml_datastores.errors import AlreadyTaken, InvalidInput, NoData, PathNotFound
from airflow_azureml_datastores.transfer.cursors import CursorFile
from airflow_azureml_datastores.transfer.delivery import Delivery
from airflow_azureml_datastores.transfer.progress import Say, human_count, human_size
from airflow_azureml_datastores.transfer.row_inputs import check_consumers, check_none_taken, prepare_rows, rows_result
from airflow_azureml_datastores.transfer.source import Source, find_source, from_manifest, newest, read_manifest

Check = Callable[[str, IngestMode, Source], None]
"""Takes an input's name, its mode and its files."""


@dataclass
class _Ingest:
    """One input on its way in."""

    name: str
    mode: IngestMode
    delivery: Delivery
    consumer: str | None = None
    batch: str = ""
    asset: str | None = None

    def name_asset(self, asset: str) -> None:
        """Remember the data asset or job's output that the source was given as."""
        self.asset = asset
        self.delivery.origin = {**self.delivery.origin, "asset": asset}

    def entries(self) -> list[Entry]:
        """Move the files, or just name them where they are."""
        if self.mode == "copy":
            return self.delivery.move()
        return [
            Entry(path, version.size, version.etag, version.path, version.etag)
            for path, version in self.delivery.source.files.items()
        ]

    def seal(self, entries: list[Entry]) -> Manifest:
        if self.mode == "copy":
            return self.delivery.seal(entries)
        source, record = self.delivery.source, self.delivery.manifest
        manifest = Manifest(source.uri, source.folder.folder().uri, tuple(entries), self.delivery.origin)
        assert record is not None
        record.store.write(record.path, manifest.to_json())
        self.delivery.say(
            f"[ingest] done: {human_count(manifest.files)}, {human_size(manifest.size)} left where they are; "
            f"manifest {record.uri}"
        )
        return manifest


def _no_tables(datastore: str) -> TableStore:
    raise InvalidInput(f"rows of datastore {datastore!r} cannot be taken here.")


def ingest(
    open_datastore: OpenDatastore,
    run: ExperimentRun,
    inputs: Mapping[str, Any],
    *,
    say: Say,
    default_mode: IngestMode = "copy",
    named: Mapping[str, str] | None = None,
    check: Check = lambda name, mode, source: None,
    open_tables: OpenTables = _no_tables,
    batch: str = "",
) -> dict[str, dict[str, Any]]:
    """Bring inputs into a run. Interrupted at any point and called again, it goes on and ends the same.

    :param inputs: name -> URI, path, :class:`Input`, :class:`RowsInput` (with a consumer, if only new rows are wanted),
        or what a sensor returned.
    :param say: takes progress lines.
    :param default_mode: the mode of inputs that name none.
    :param named: name -> the data asset or job's output that the input was given as, for the records.
    :param check: looks at the files of each input that was found, before anything moves.
    :param open_tables: opens the databases that rows are taken from.
    :param batch: names the run that takes new rows, the same in every try.
    :returns: per input ``uri``, ``type`` (``uri_folder`` or ``uri_file``), ``files``, ``bytes``, ``manifest`` (URI),
        ``mode``, ``source`` (as ``named``, or the URI), ``unchanged`` (files that were there already) and, if
        it is rows of a database, ``rows``; if these are the new ones, ``watermark`` (``column``, ``type``, ``low``,
        which is below them, and ``high``, the greatest that was taken).
    :raises InvalidInput: an input is malformed, or source and target overlap.
    :raises NoData: a source is empty.
    :raises AlreadyTaken: other runs of the same consumer have taken all files, or rows, of a batch.
    """
    if not inputs:
        raise InvalidInput("no inputs are given: name at least one.")
    check_binding_names("input", inputs)
    works: list[_Ingest] = []
    tables = {
        name: prepare_rows(open_datastore, open_tables, run, name, value, batch, say)
        for name, value in inputs.items()
        if isinstance(value, RowsInput) or is_rows_batch(value)
    }
    check_consumers(tables)
    try:
        for name, value in inputs.items():
            if name in tables:
                continue
            works.append(_prepare(open_datastore, run, name, value, say, default_mode))
            if named and name in named:
                works[-1].name_asset(named[name])
            check(name, works[-1].mode, works[-1].delivery.source)
        for work in works:
            if work.mode == "copy":
                work.delivery.check()
        for rows in tables.values():
            rows.check()
        delivered = [(work, work.entries()) for work in works]
        arrived = {name: rows.deliver() for name, rows in tables.items()}
        kept = [(work, _take(open_datastore, work, entries)) for work, entries in delivered]
        # Rows go last, as they are not given back: the next batch may have begun where they end.
        taken = {name: rows_result(rows, arrived[name]) for name, rows in tables.items()}
    except AlreadyTaken as error:
        check_none_taken(tables, error)
        _give_back(open_datastore, works)
        raise
    results = {work.name: _result(work, work.seal(entries)) for work, entries in kept} | taken
    return {name: results[name] for name in inputs}


def _prepare(
    open_datastore: OpenDatastore, run: ExperimentRun, name: str, value: Any, say: Say, default_mode: IngestMode
) -> _Ingest:
    given = as_input(value, name)
    mode: Any
    consumer, batch, asset = None, "", None
    if isinstance(given, Input):
        mode = given.mode or default_mode
        source = find_source(open_datastore, input_uri(given))
        if not source.files and not given.allow_empty:
            raise NoData(
                f"the source {source.uri} of input {name!r} is empty; pass Input(…, allow_empty=True) to accept."
            )
    else:
        mode = given.get("mode") or default_mode
        listed = read_manifest(open_datastore, given["manifest"])
        source = from_manifest(open_datastore, listed)
        consumer, batch = listed.origin.get("consumer"), listed.origin.get("batch", "")
        asset = listed.origin.get("asset")
        if consumer is not None:
            source = _untaken(open_datastore, source, consumer, batch)
    if mode not in get_args(IngestMode):
        raise InvalidInput(
            f"the mode {mode!r} of input {name!r} belongs to the run; an ingest takes 'copy' or 'direct'."
        )
    root = open_datastore(None)
    target = root.at(run.input_folder(name))
    delivery = Delivery(
        source,
        target,
        label=f"[ingest] {run.experiment}/{run.run}  {name}",
        say=say,
        manifest=target.at(MANIFEST),
        journal=root.at(f"{run.folder}journal/{name}/"),
        exclusive=True,
        origin={"experiment": run.experiment, "run": run.run, "input": name},
    )
    work = _Ingest(name, mode, delivery, consumer, batch)
    if asset is not None:
        work.name_asset(asset)
    return work


def input_uri(given: Input) -> DatastoreUri:
    """The place or pattern that an input names. :raises InvalidUri: it is malformed, or not in a datastore."""
    if given.datastore is None or given.path.startswith(SCHEME):
        uri = parse_datastore_uri(given.path)
        if given.datastore is not None and uri.datastore != given.datastore:
            raise InvalidInput(f"the input names two datastores: {given.datastore!r} and that of {given.path!r}.")
        return uri
    return DatastoreUri(given.datastore, given.path, pattern=is_glob(given.path))


def _untaken(open_datastore: OpenDatastore, source: Source, consumer: str, batch: str) -> Source:
    """The files of a batch as they are now, without those that other runs have taken since the sensor saw them."""
    others = CursorFile(open_datastore, consumer).load().taken_by_others(batch)
    names = [
        relative
        for relative, version in source.files.items()
        if fingerprint(source.folder.datastore, version.path, version.etag) not in others
    ]
    if not names:
        raise AlreadyTaken(
            f"all files of {source.uri} that the sensor saw have been taken by other runs of {consumer!r}."
        )
    return newest(source.folder, names, source.uri)


def _take(open_datastore: OpenDatastore, work: _Ingest, entries: list[Entry]) -> list[Entry]:
    """Move the consumer's cursor; keep what is now this batch's, as another run may have been faster with the rest."""
    if work.consumer is None:
        return entries
    datastore = work.delivery.source.folder.datastore
    prints = {entry.path: fingerprint(datastore, entry.source, entry.source_etag) for entry in entries}
    ours = CursorFile(open_datastore, work.consumer).take(work.batch, prints.values())
    kept = [entry for entry in entries if prints[entry.path] in ours]
    if not kept:
        raise AlreadyTaken(f"all files of input {work.name!r} have been taken by other runs of {work.consumer!r}.")
    return kept


def _give_back(open_datastore: OpenDatastore, works: list[_Ingest]) -> None:
    """Leave the batches of a run that does not come about to others, but for inputs that an earlier try recorded."""
    for work in works:
        if work.consumer is not None and not _is_recorded(work):
            CursorFile(open_datastore, work.consumer).give_back(work.batch)


def _is_recorded(work: _Ingest) -> bool:
    record = work.delivery.manifest
    assert record is not None
    try:
        record.store.stat(record.path)
    except PathNotFound:
        return False
    return True


def _result(work: _Ingest, manifest: Manifest) -> dict[str, Any]:
    record: Place | None = work.delivery.manifest
    assert record is not None
    single = work.delivery.source.single
    return {
        "uri": manifest.target + (quote_path(manifest.entries[0].path) if single else ""),
        "type": "uri_file" if single else "uri_folder",
        "files": manifest.files,
        "bytes": manifest.size,
        "manifest": record.uri,
        "mode": work.mode,
        "source": work.asset or manifest.source,
        "unchanged": work.delivery.unchanged,
    }
