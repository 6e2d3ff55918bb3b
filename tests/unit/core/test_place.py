from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_azureml_datastores.core.credentials import Anonymous
from airflow_azureml_datastores.core.place import Place, open_place
from airflow_azureml_datastores.core.uri import DatastoreUri, parse_datastore_uri
from airflow_azureml_datastores.errors import DatastoreNotFound, InvalidInput, PathNotFound
from airflow_azureml_datastores.stores.local_directory import LocalDirectory


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Place]:
    with LocalDirectory(str(tmp_path)).open(Anonymous()) as store:
        yield Place("sales", store)


def open_datastore(root: Place, name: str | None) -> Place:
    if name not in (None, "sales"):
        raise DatastoreNotFound(name, "w", ["sales"])
    return root


def test_where_it_points(root: Place) -> None:
    assert root.at("a").path == "a"
    assert root.at("a").at("b#c").path == "a/b#c"
    assert root.at("a/").at("b").path == "a/b"
    assert root.folder() == root
    assert root.at("a").folder() == root.at("a/") == root.at("a/").folder()
    assert root.at("a/b#c").uri == "azureml://datastores/sales/paths/a/b%23c"
    assert root.uri == "azureml://datastores/sales/paths/"


def test_its_uri_opens_it_again(root: Place) -> None:
    place = root.at("50%/*[x]?#/a b")
    assert open_place(lambda name: open_datastore(root, name), parse_datastore_uri(place.uri)) == place


def test_a_location_that_is_not_registered_has_its_own_url(root: Place) -> None:
    local = Place("", root.store, "a b#")
    assert local.uri == f"{root.store.url}/a b%23"


def test_a_pattern_is_no_place(root: Place) -> None:
    with pytest.raises(InvalidInput, match=r"paths/a/\*\.csv is a pattern where one place is needed"):
        open_place(lambda name: open_datastore(root, name), DatastoreUri("sales", "a/*.csv", pattern=True))
    with pytest.raises(DatastoreNotFound, match="Did you mean 'sales'"):
        open_place(lambda name: open_datastore(root, name), DatastoreUri("slaes", "a"))


def test_a_folder_lists_what_is_below_it_relative_to_it(root: Place) -> None:
    for path in ("a/1", "a/b/2", "a2", "ab/3"):
        root.at(path).write(path.encode())
    expected = [("1", "a/1"), ("b/2", "a/b/2")]
    assert [(relative, info.path) for relative, info in root.at("a").list()] == expected
    assert [(relative, info.path) for relative, info in root.at("a/").list()] == expected
    assert [relative for relative, _ in root.list()] == ["a/1", "a/b/2", "a2", "ab/3"]
    assert list(root.at("nothing").list()) == []


def test_read_and_write(root: Place) -> None:
    etag = root.at("a/b").write(b"one", create=True)
    assert root.at("a/b").read() == b"one"
    root.at("a/b").write(b"two", if_match=etag)
    assert root.at("a/b").read() == b"two"
    with pytest.raises(PathNotFound):
        root.at("a").at("c").read()
