"""Inputs that are rows of a database, or those of them that are new."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_azureml_datastores.core.experiment import ExperimentRun
from airflow_azureml_datastores.core.manifest import MANIFEST, Manifest
from airflow_azureml_datastores.core.place import OpenDatastore
from airflow_azureml_datastores.core.rows_input import RowsBatch, RowsInput
from airflow_azureml_datastores.core.table_store import OpenTables
from airflow_azureml_datastores.errors import AlreadyTaken, InvalidInput, NoData
from airflow_azureml_datastores.transfer.new_rows import NewRows, NewRowsDelivery, query_of
from airflow_azureml_datastores.transfer.progress import Say
from airflow_azureml_datastores.transfer.rows import RowsDelivery

Delivery = RowsDelivery | NewRowsDelivery


def prepare_rows(
    open_datastore: OpenDatastore,
    open_tables: OpenTables,
    run: ExperimentRun,
    name: str,
    value: RowsInput | Mapping[str, Any],
    batch: str,
    say: Say,
) -> Delivery:
    """One input on its way in; nothing moves yet.

    :param value: rows, or what a sensor of new rows returned.
    :param batch: names the run that takes new rows; a sensor's has a name of its own.
    :raises InvalidInput: it is malformed.
    """
    found = None if isinstance(value, RowsInput) else RowsBatch.from_result(value)
    given = found.rows if found is not None else value
    assert isinstance(given, RowsInput)
    rows = RowsDelivery(
        store := open_tables(given.datastore),
        query_of(store, given),
        given.described,
        open_datastore(None).at(run.input_folder(name)),
        given.format,
        given.allow_empty,
        label=f"[ingest] {run.experiment}/{run.run}  {name}",
        say=say,
        origin={"experiment": run.experiment, "run": run.run, "input": name},
        partition=given.partition,
        partitions=given.partitions or 1,
    )
    if given.watermark is None:
        return rows
    name_of_batch = batch if found is None else found.batch
    if given.consumer is None or not name_of_batch:
        raise InvalidInput(f"the new rows of input {name!r} need a consumer, and the name of a batch.")
    upto = None if found is None else (found.kind, found.high)
    new = NewRows(open_datastore, lambda _: store, given, name_of_batch, upto)
    return NewRowsDelivery(new, rows, seen=found is not None)


def check_consumers(inputs: Mapping[str, Delivery]) -> None:
    """:raises InvalidInput: two inputs are of one consumer, which would take the same rows for both."""
    known: dict[str, str] = {}
    for name, delivery in inputs.items():
        if isinstance(delivery, NewRowsDelivery):
            consumer = delivery.new.consumer
            if (other := known.setdefault(consumer, name)) != name:
                raise InvalidInput(
                    f"the inputs {other!r} and {name!r} are both of the consumer {consumer!r}: each needs its own."
                )


def check_none_taken(inputs: Mapping[str, Delivery], problem: AlreadyTaken) -> None:
    """Let a run fail that cannot take all of its inputs but has taken new rows for one, so that nobody overlooks it.

    :raises NoData: it has. A later try goes on with these rows.
    """
    taken = [name for name, rows in inputs.items() if isinstance(rows, NewRowsDelivery) and rows.new.taken]
    if taken:
        raise NoData(f"this run has taken the rows of its input {taken[0]!r}, but: {problem}") from problem


def rows_result(delivery: Delivery, delivered: tuple[Manifest, bool]) -> dict[str, Any]:
    """Take what has arrived, if it is new rows, and tell of it.

    :raises AlreadyTaken: other runs have taken all of them.
    """
    told, rows = {}, delivery
    if isinstance(delivery, NewRowsDelivery):
        delivered = delivery.take(delivered)
        told, rows = {"watermark": delivery.new.told(delivery.plan)}, delivery.rows
    assert isinstance(rows, RowsDelivery)
    manifest, was_there = delivered
    return {
        "uri": manifest.target,
        "type": "uri_folder",
        "files": manifest.files,
        "bytes": manifest.size,
        "manifest": rows.target.at(MANIFEST).uri,
        "mode": "copy",
        "source": manifest.source,
        "unchanged": manifest.files if was_there else 0,
        "rows": rows.rows,
        **told,
    }
