"""Rows of a database into any folder: delivered aside, then published, all of them at once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from airflow_azureml_datastores.core.manifest import MANIFEST, STAGING, Manifest
from airflow_azureml_datastores.core.place import OpenDatastore, Place
from airflow_azureml_datastores.core.rows_input import RowsInput
from airflow_azureml_datastores.core.table_store import OpenTables
from airflow_azureml_datastores.errors import PathExists, PathNotFound
from airflow_azureml_datastores.transfer.engine import delete_all
from airflow_azureml_datastores.transfer.new_rows import check_all_rows, query_of
from airflow_azureml_datastores.transfer.progress import Say
from airflow_azureml_datastores.transfer.publish import prepare_publish
from airflow_azureml_datastores.transfer.rows import RowsDelivery
from airflow_azureml_datastores.transfer.source import from_manifest


@dataclass(frozen=True)
class RowsCopy:
    """Rows that are to become files of a folder; checked already. Interrupted and begun again, it ends the same.

    :param overwrite: whether what is in the folder goes; otherwise it is an error.
    :param publisher: who copies, the same in every attempt.
    """

    open_datastore: OpenDatastore
    delivery: RowsDelivery
    target: Place
    overwrite: bool
    publisher: str

    def __call__(self) -> Manifest:
        """:raises PathExists: there is data in the folder, and it is not to be replaced."""
        if (done := self._published()) is None:
            staged, _ = self.delivery.deliver()
            done = prepare_publish(
                from_manifest(self.open_datastore, staged),
                self.target,
                policy="overwrite" if self.overwrite else "fail",
                publisher=self.publisher,
                label=self.delivery.label,
                say=self.delivery.say,
                origin=staged.origin,
            )()
        folder = self.delivery.target
        delete_all(folder.store, [info.path for _, info in folder.list()])
        return done

    def check(self) -> None:
        """:raises PathExists: there is data in the folder, and it is not to be replaced."""
        self.delivery.check()
        if self.overwrite or self._published() is not None:
            return
        if any(path != MANIFEST for path, _ in self.target.list()) and not any(self.delivery.target.list()):
            raise PathExists(f"{self.target.uri} holds data already; pass overwrite=True to replace it.")

    def _published(self) -> Manifest | None:
        """What an earlier attempt has published, if nothing has changed since."""
        record = self.target.at(MANIFEST)
        try:
            manifest = Manifest.from_json(record.read(), record.uri)
        except PathNotFound:
            return None
        wanted = {**self.delivery.origin, "query": self.delivery.digest}
        there = {path: info.version for path, info in self.target.list()}
        same = wanted.items() <= manifest.origin.items()
        return manifest if same and all(entry.is_at(there.get(entry.path)) for entry in manifest.entries) else None


def prepare_rows_copy(
    open_datastore: OpenDatastore,
    open_tables: OpenTables,
    rows: RowsInput,
    target: Place,
    *,
    overwrite: bool,
    publisher: str,
    label: str,
    say: Say,
) -> RowsCopy:
    """Check a copy of rows, before anything moves.

    :raises InvalidInput: the database refuses the query; or only new rows are wanted, which a run has to take.
    :raises PathExists: there is data in the folder, and it is not to be replaced.
    """
    check_all_rows(rows)
    folder = target.folder()
    name = hashlib.sha256(f"{publisher}\0{folder.path}".encode()).hexdigest()[:16]
    delivery = RowsDelivery(
        store := open_tables(rows.datastore),
        query_of(store, rows),
        rows.described,
        replace(target, path=f"{STAGING}{name}.rows/"),
        rows.format,
        rows.allow_empty,
        label=label,
        say=say,
        origin={"task": publisher},
    )
    copy = RowsCopy(open_datastore, delivery, folder, overwrite, publisher)
    copy.check()
    return copy
