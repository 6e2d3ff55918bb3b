"""What a URI names."""

from __future__ import annotations

import pytest

from airflow_azureml_datastores.core.manifest import Entry, Manifest
from airflow_azureml_datastores.core.place import OpenDatastore
from airflow_azureml_datastores.core.uri import parse_datastore_uri
from airflow_azureml_datastores.errors import InvalidInput, PathNotFound
from airflow_azureml_datastores.transfer.source import Source, find_source, from_manifest, newest, read_manifest
from tests.unit.transfer.stores import MemoryStore, fill, opener

TREE = ["a.csv", "b", "b/c.csv", "b/d/e.csv", "b2/f", "[x].csv", "x.csv", "50%/g"]


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    fill(store, {f"in/{path}": path.encode() for path in TREE})
    return store


@pytest.fixture
def open_datastore(store: MemoryStore) -> OpenDatastore:
    return opener(workspaceblobstore=store)


def find(open_datastore: OpenDatastore, path: str) -> Source:
    return find_source(open_datastore, parse_datastore_uri(f"azureml://datastores/workspaceblobstore/paths/{path}"))


@pytest.mark.parametrize(
    ("path", "folder", "found", "single"),
    [
        ("in/", "in/", TREE, False),
        ("in", "in/", TREE, False),
        ("", "", [f"in/{p}" for p in TREE], False),
        ("in/a.csv", "in/", ["a.csv"], True),
        ("in/b", "in/", ["b"], True),  # the file of that name comes before the folder
        ("in/b/", "in/b/", ["c.csv", "d/e.csv"], False),
        ("in/b/d", "in/b/d/", ["e.csv"], False),
        ("in/*.csv", "in/", ["a.csv", "[x].csv", "x.csv"], False),
        ("in/[x].csv", "in/", ["x.csv"], False),
        ("in/%5Bx%5D.csv", "in/", ["[x].csv"], True),
        ("in/**/*.csv", "in/", ["a.csv", "[x].csv", "x.csv", "b/c.csv", "b/d/e.csv"], False),
        ("in/b*/**", "in/", ["b/c.csv", "b/d/e.csv", "b2/f"], False),
        ("in/b/**", "in/b/", ["c.csv", "d/e.csv"], False),
        ("in/50%25/*", "in/50%/", ["g"], False),
        ("in/none", "in/none/", [], False),
        ("in/?", "in/", ["b"], False),
    ],
)
def test_find(path: str, folder: str, found: list[str], single: bool, open_datastore: OpenDatastore) -> None:
    source = find(open_datastore, path)
    assert (source.folder.path, source.single) == (folder, single)
    assert sorted(source.files) == sorted(found)
    assert all(version.path == folder + relative for relative, version in source.files.items())
    assert source.size == sum(version.size for version in source.files.values())


def test_covers_what_will_be_there_too(open_datastore: OpenDatastore) -> None:
    assert find(open_datastore, "in/").covers("in/later")
    assert find(open_datastore, "in/*.csv").covers("in/later.csv")
    assert not find(open_datastore, "in/*.csv").covers("in/later.txt")
    assert not find(open_datastore, "in/a.csv").covers("in/later")
    assert not find(open_datastore, "").covers(".staging/later")


def test_placeholders_of_folders_are_none_of_their_files(store: MemoryStore, open_datastore: OpenDatastore) -> None:
    """Some tools write an empty object named like the folder, with its slash."""
    fill(store, {"in/": b""})
    assert sorted(find(open_datastore, "in/").files) == sorted(TREE)


def test_again(store: MemoryStore, open_datastore: OpenDatastore) -> None:
    source = find(open_datastore, "in/*.csv")
    fill(store, {"in/a.csv": b"changed", "in/z.csv": b"new"})
    store.delete("in/x.csv")
    assert source.again is not None
    again = source.again()
    assert sorted(again.files) == ["[x].csv", "a.csv", "z.csv"]
    assert again.files["a.csv"] == store.stat("in/a.csv").version


class TestManifests:
    def manifest(self, store: MemoryStore) -> Manifest:
        found = [store.stat(f"in/{p}") for p in ("a.csv", "50%/g")]
        entries = tuple(Entry(i.path.removeprefix("in/"), i.size, i.etag, "elsewhere", "e0") for i in found)
        return Manifest("azureml://datastores/s/paths/", "azureml://datastores/workspaceblobstore/paths/in/", entries)

    def test_exactly_what_was_delivered(self, store: MemoryStore, open_datastore: OpenDatastore) -> None:
        store.write("m.json", self.manifest(store).to_json())
        uri = "azureml://datastores/workspaceblobstore/paths/m.json"
        source = from_manifest(open_datastore, read_manifest(open_datastore, uri))
        assert source.files == {p: store.stat(f"in/{p}").version for p in ("a.csv", "50%/g")}
        assert source.again is None
        assert source.covers("in/a.csv")
        assert not source.covers("in/x.csv")

    def test_none(self, store: MemoryStore, open_datastore: OpenDatastore) -> None:
        with pytest.raises(PathNotFound):
            read_manifest(open_datastore, "azureml://datastores/workspaceblobstore/paths/none.json")
        with pytest.raises(InvalidInput, match=r"paths/in/a\.csv is not a manifest"):
            read_manifest(open_datastore, "azureml://datastores/workspaceblobstore/paths/in/a.csv")


def test_newest(store: MemoryStore, open_datastore: OpenDatastore) -> None:
    folder = open_datastore(None).at("in/")
    fill(store, {"in/a.csv": b"changed"})
    source = newest(folder, ["a.csv", "b/c.csv"], "where")
    assert source.files == {p: store.stat(f"in/{p}").version for p in ("a.csv", "b/c.csv")}
    fill(store, {"in/a.csv": b"changed again", "in/aa": b"new"})
    assert source.again is not None
    assert source.again().files == {p: store.stat(f"in/{p}").version for p in ("a.csv", "b/c.csv")}
    store.delete("in/b/c.csv")
    with pytest.raises(PathNotFound, match=r"in/b/c\.csv is gone, since it was found at where"):
        source.again()
