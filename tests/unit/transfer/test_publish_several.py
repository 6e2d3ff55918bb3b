"""Several outputs at once: all is checked before anything moves."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_azureml_datastores.core.credentials import Anonymous
from airflow_azureml_datastores.core.place import Place
from airflow_azureml_datastores.core.uri import DatastoreUri
from airflow_azureml_datastores.errors import InvalidInput, PathExists
from airflow_azureml_datastores.stores.local_directory import LocalDirectory
from airflow_azureml_datastores.transfer.publish import check_disjoint, prepare_publish
from airflow_azureml_datastores.transfer.source import find_source


@pytest.fixture
def root(tmp_path: Path) -> Place:
    return Place("s", LocalDirectory(str(tmp_path)).open(Anonymous()))


@pytest.mark.parametrize(
    ("one", "other"), [("a/", "a/"), ("a", "a/"), ("a/", "a/b/"), ("a/b.json", "a/"), ("", "a/"), ("a", "a")]
)
def test_outputs_into_each_other_are_refused(root: Place, one: str, other: str) -> None:
    with pytest.raises(InvalidInput, match="'model' and 'scores' would be published into each other"):
        check_disjoint({"model": root.at(one) if one else root, "scores": root.at(other)})


@pytest.mark.parametrize(("one", "other"), [("a/", "b/"), ("a/x.json", "a/y.json"), ("a/", "ab/")])
def test_outputs_side_by_side(root: Place, one: str, other: str) -> None:
    check_disjoint({"model": root.at(one), "scores": root.at(other)})


@pytest.mark.parametrize("name", ["out/", "out/a"])
def test_preparing_finds_what_is_there_and_moves_nothing(root: Place, tmp_path: Path, name: str) -> None:
    root.at("in/a").write(b"new")
    root.at("out/a").write(b"old")
    before = sorted(path for path in tmp_path.rglob("*") if ".datastore" not in path.parts)
    source = find_source(lambda _: root, DatastoreUri("s", "in/a"))
    with pytest.raises(PathExists):
        prepare_publish(source, root.at(name), policy="fail", publisher="p", label="", say=print)
    assert sorted(path for path in tmp_path.rglob("*") if ".datastore" not in path.parts) == before


def test_prepared_publish_is_done_when_called(root: Place) -> None:
    root.at("in/a").write(b"new")
    source = find_source(lambda _: root, DatastoreUri("s", "in/"))
    publish = prepare_publish(source, root.at("out/"), policy="fail", publisher="p", label="", say=print)
    assert [info.path for info in root.store.list("out/")] == []
    publish()
    assert root.at("out/a").read() == b"new"
