"""The location, and its root folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from airflow_azureml_datastores.core.credentials import AccountKey, Anonymous, Credential, Identity, Login, SasToken
from airflow_azureml_datastores.errors import (
    ContainerNotFound,
    InvalidConnection,
    InvalidInput,
    PathExists,
)
from airflow_azureml_datastores.stores import make_location
from airflow_azureml_datastores.stores.local_directory import LocalDirectory, LocalDirectoryStore
from tests.contract.helpers import get, paths, put


class TestLocation:
    @pytest.mark.parametrize("path", ["", "data", "./data", "~/data", "a\0b", "/a\0b", Path("/data"), None])
    def test_path_must_be_absolute(self, path: str) -> None:
        with pytest.raises(InvalidInput, match="absolute path"):
            LocalDirectory(path)

    def test_template_is_checked_when_it_is_rendered(self) -> None:
        assert LocalDirectory("{{ var.value.root }}").path.startswith("{{")

    def test_url(self) -> None:
        assert LocalDirectory("/data/my sales").url == "file:///data/my%20sales"
        assert LocalDirectory("/data/my sales").open(Anonymous()).url == "file:///data/my%20sales"

    def test_survives_as_fields(self) -> None:
        location = LocalDirectory("/data/sales")
        assert make_location("LocalDirectory", location.fields()) == location

    @pytest.mark.parametrize("credential", [Anonymous(), Identity(), Identity("managed", client_id="x")])
    def test_credentials_that_say_nothing(self, credential: Credential) -> None:
        LocalDirectory("/data").open(credential)

    @pytest.mark.parametrize("credential", [AccountKey("secret"), SasToken("secret"), Login("me", "secret")])
    def test_credentials_that_say_something(self, credential: Credential) -> None:
        with pytest.raises(InvalidConnection, match="takes no credential") as caught:
            LocalDirectory("/data").open(credential)
        assert "secret" not in str(caught.value)

    def test_create(self, tmp_path: Path) -> None:
        location = LocalDirectory(str(tmp_path / "a" / "b"))
        assert location.create().create() == location
        location.open(Anonymous()).check()

    def test_create_over_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_text("a")
        with pytest.raises(PathExists):
            LocalDirectory(str(tmp_path / "a")).create()


class TestRoot:
    def test_is_never_created_by_the_way(self, root: Path) -> None:
        store = LocalDirectory(str(root)).open(Anonymous())
        for call in (lambda: put(store, "a/b"), lambda: store.delete("a"), lambda: store.replace_directory("a", "b")):
            with pytest.raises(ContainerNotFound, match=str(root)):
                call()
        assert not root.exists()

    def test_that_is_a_file(self, root: Path) -> None:
        root.write_text("no folder")
        store = LocalDirectory(str(root)).open(Anonymous())
        for call in (store.check, lambda: paths(store), lambda: get(store, "a"), lambda: put(store, "a")):
            with pytest.raises(ContainerNotFound, match=str(root)):
                call()

    def test_that_vanishes(self, store: LocalDirectoryStore, root: Path, tmp_path: Path) -> None:
        put(store, "a/b")
        root.rename(tmp_path / "elsewhere")
        with pytest.raises(ContainerNotFound):
            put(store, "a/c")
        with pytest.raises(ContainerNotFound):
            get(store, "a/b")

    def test_that_is_a_link(self, store: LocalDirectoryStore, root: Path, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(root)
        other = LocalDirectory(str(tmp_path / "link")).open(Anonymous())
        put(other, "a/b", b"content")
        assert get(store, "a/b") == b"content"
        assert paths(other) == ["a/b"]

    def test_reading_leaves_nothing_there(self, store: LocalDirectoryStore, root: Path) -> None:
        (root / "a").write_text("a")
        store.check()
        assert paths(store) == ["a"]
        assert get(store, "a") == b"a"
        store.delete("missing")
        assert os.listdir(root) == ["a"]

    def test_of_another_store_inside(self, store: LocalDirectoryStore, root: Path) -> None:
        inner = LocalDirectory(str(root / "inner")).create().open(Anonymous())
        put(inner, "a")
        put(inner, "b")
        inner.delete("b")
        assert paths(store) == ["inner/a"]
