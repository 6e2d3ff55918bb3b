"""Rows as inputs: what can be asked of them, and batches as a sensor hands them on."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from airflow_azureml_datastores.core.experiment import Input, as_input
from airflow_azureml_datastores.core.rows_input import RowsBatch, RowsInput, is_rows_batch
from airflow_azureml_datastores.errors import InvalidInput

NEW: dict[str, Any] = {"watermark": "w", "overlap": "1h", "keys": ["id"], "initial": 0, "consumer": "c"}


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"overlap": 1, "keys": ["id"]}, "overlap is for rows that are new: name the column"),
        ({"initial": 0}, "initial is for rows that are new"),
        ({"consumer": "c"}, "consumer is for rows that are new"),
        ({"watermark": ""}, "a watermark is the name of a column"),
        ({"watermark": "w", "overlap": 1}, "an overlap needs keys"),
        ({"watermark": "w", "overlap": "soon", "keys": ["id"]}, "the overlap 'soon' is neither"),
        ({"watermark": "w", "keys": "id"}, "keys are a list of columns' names, not 'id'"),
        ({"watermark": "w", "keys": [""]}, "keys are a list"),
        ({"watermark": "w", "consumer": ""}, "a consumer is a name"),
        ({"partition": "id"}, "with both: partition, a column, and partitions, how many"),
        ({"partitions": 2}, "with both: partition"),
        ({"partition": "", "partitions": 2}, "a partition is the name of a column, not ''"),
        ({"partition": "id", "partitions": 1}, "partitions are 2 to 16, not 1"),
        ({"partition": "id", "partitions": "17"}, "partitions are 2 to 16, not 17"),
        ({"partition": "id", "partitions": 2.5}, "partitions has to be a whole number; got 2.5"),
        ({"partition": "id", "partitions": "many"}, "partitions has to be a whole number; got 'many'"),
    ],
)
def test_what_is_refused(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        Input.query("crm", "select 1", **given)


def test_columns_have_what_tells_new_rows() -> None:
    Input.table("crm", "t", ["id", "w", "a"], **NEW)
    for columns in (["id", "a"], ["w", "a"]):
        with pytest.raises(InvalidInput, match="is needed to tell which rows are new: add it to columns"):
            Input.table("crm", "t", columns, **NEW)


def test_columns_have_what_rows_are_divided_by() -> None:
    Input.table("crm", "t", ["id", "a"], partition="id", partitions=2)
    with pytest.raises(InvalidInput, match="the column 'id' is needed to read its ranges: add it to columns"):
        Input.table("crm", "t", ["a"], partition="id", partitions=2)


def test_partitions_may_be_a_rendered_text() -> None:
    made = Input.query("crm", "select 1 as id", partition="id", partitions="{{ n }}")  # type: ignore[arg-type]
    assert made.rendered(lambda value: "4" if value == "{{ n }}" else value).partitions == 4


def test_templates_are_checked_once_they_are_rendered() -> None:
    made = Input.table("crm", "t", watermark="{{ w }}", keys=["id"], overlap="{{ o }}")
    with pytest.raises(InvalidInput, match="overlap"):
        made.rendered(lambda value: {"{{ w }}": "w", "{{ o }}": "-1"}.get(str(value), value))


@pytest.mark.parametrize(
    "rows",
    [
        Input.table("crm", "s.t", ["id", "w"], format="csv", **NEW),
        Input.query("crm", "select ?", [1, "a"], **NEW),
        Input.query("crm", "select :a", {"a": None}, watermark="w", consumer="c"),
        Input.table("crm", "t", watermark="w", consumer="c", partition="id", partitions=4),
    ],
)
def test_a_batch_comes_back_as_it_was(rows: RowsInput) -> None:
    told = {"column": "w", "type": "integer", "low": None, "high": 5}
    given = json.loads(json.dumps({**rows.to_fields(), "watermark": told, "batch": "b", "rows": 3}))
    assert is_rows_batch(given)
    batch = RowsBatch.from_result(given)
    assert (batch.batch, batch.kind, batch.high) == ("b", "integer", 5)
    assert batch.rows.to_fields() == rows.to_fields()
    with pytest.raises(InvalidInput, match="which only an ingest takes"):
        as_input(given, "x")


def test_a_duration_becomes_text_on_its_way() -> None:
    rows = Input.query("crm", "select 1", watermark="w", keys=["id"], overlap=timedelta(minutes=1.5))
    assert rows.to_fields()["overlap"] == "90.0s"


@pytest.mark.parametrize("lost", ["datastore", "high", "type"])
def test_no_batch(lost: str) -> None:
    told: dict[str, Any] = {"column": "w", "type": "integer", "low": None, "high": 5}
    given = {"datastore": "crm", "table": "t", "consumer": "c", "watermark": told, "batch": "b"}
    for held in (given, told):
        held.pop(lost, None)
    with pytest.raises(InvalidInput, match="a batch of new rows is what a NewRowsSensor returned"):
        RowsBatch.from_result(given)
