"""Folders of a share: rights, renames and deletions, and who is in the way."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from airflow_azureml_datastores.errors import (
    AccessDenied,
    Conflict,
    ContainerNotFound,
    InvalidInput,
    PathExists,
    PathNotFound,
    Unavailable,
    UnsafePath,
)
from airflow_azureml_datastores.stores._file_names import new_draft
from airflow_azureml_datastores.stores.azure_file import AzureFileStore
from tests.integration.azure_file_site import Site, get, new_site, paths, put
from tests.servers.fault import Answer, LoseResponse, Meanwhile
from tests.servers.fixtures import Servers


@pytest.fixture
def site(servers: Servers) -> Iterator[Site]:
    with new_site(servers) as made:
        yield made


@pytest.fixture
def store(site: Site) -> Iterator[AzureFileStore]:
    with site.open() as opened:
        yield opened


class TestRights:
    @pytest.fixture(autouse=True)
    def _clients(self, site: Site) -> Iterator[None]:
        with site.sdk() as self.client:
            self.key = self.client.create_permission_for_share("O:BAG:BAD:(A;;FA;;;BA)")
            yield

    def make(self, path: str, key: str | None = None) -> None:
        with self.client.get_directory_client(path) as folder:
            folder.create_directory(file_permission_key=key, file_property_semantics="Restore")

    def rights(self, path: str) -> str:
        return str(self.client.get_directory_client(path).get_directory_properties().permission_key)

    def rights_of_a_file_in(self, folder: str) -> str:
        return str(self.client.get_file_client(f"{folder}/probe").create_file(1)["file_permission_key"])

    def test_are_those_of_the_model(self, site: Site, store: AzureFileStore) -> None:
        self.make("model", self.key)
        assert store.make_directory_like("staged/here", "model")
        assert self.rights("staged/here") == self.key
        assert site.requests("comp=properties") == []  # they are right from the start
        assert self.rights_of_a_file_in("staged/here") == self.rights_of_a_file_in("model")
        assert self.rights("staged") not in (self.key, self.rights(""))

    @pytest.mark.parametrize("model", ["above/model", "above/no/such/model"])
    def test_of_a_model_that_is_not_there_are_what_it_would_inherit(
        self, site: Site, store: AzureFileStore, model: str
    ) -> None:
        self.make("above", self.key)
        assert store.make_directory_like("staged", model)
        assert site.everything() == ["above/", "staged/"]
        staged = self.rights("staged")
        put(store, f"{model}/a")
        assert staged == self.rights(model) != self.key

    def test_of_a_model_that_is_a_file(self, store: AzureFileStore) -> None:
        put(store, "model")
        assert store.make_directory_like("staged", "model")
        assert store.make_directory_like("staged", "model/below")
        put(store, "plain/a")
        assert self.rights("staged") == self.rights("plain")

    def test_are_given_to_an_empty_folder(self, store: AzureFileStore) -> None:
        self.make("model", self.key)
        self.make("staged")
        assert self.rights("staged") != self.key
        assert store.make_directory_like("staged", "model")
        assert self.rights("staged") == self.key

    @pytest.mark.parametrize("inside", ["staged/a", new_draft("staged")], ids=["file", "draft"])
    def test_stay_where_there_is_something_in_a_folder(self, store: AzureFileStore, inside: str) -> None:
        self.make("model", self.key)
        self.make("staged")
        before = self.rights("staged")
        self.client.get_file_client(inside).create_file(1)
        assert not store.make_directory_like("staged", "model")
        assert self.rights("staged") == before
        self.make("other", self.key)
        put(store, "other/a")
        assert store.make_directory_like("other", "model")

    def test_of_a_file_are_not_set(self, store: AzureFileStore) -> None:
        self.make("model", self.key)
        put(store, "staged", b"a file")
        assert not store.make_directory_like("staged", "model")
        assert get(store, "staged") == b"a file"

    @pytest.mark.parametrize("match", ["GET /model", "PUT /staged/here"])
    def test_that_may_not_be_seen_or_set(self, site: Site, store: AzureFileStore, match: str) -> None:
        self.make("model", self.key)
        site.files.plan(Answer(site.match(match), 403, "AuthorizationPermissionMismatch"))
        assert not store.make_directory_like("staged/here", "model")

    def test_that_the_service_makes_others_of(self, site: Site, store: AzureFileStore) -> None:
        """What is there is looked at, not only whether there was an error."""
        self.make("model", self.key)
        with site.open() as other:
            change = Meanwhile(site.match("PUT /staged.restype"), action=lambda: put(other, "staged/a"))
            site.files.plan(change)
            assert not store.make_directory_like("staged", "model")

    def test_answer_that_gets_lost(self, site: Site, store: AzureFileStore) -> None:
        self.make("model", self.key)
        site.files.plan(LoseResponse(site.match("PUT /staged.restype")))
        assert store.make_directory_like("staged", "model")
        assert self.rights("staged") == self.key

    def test_missing_share(self, site: Site) -> None:
        with site.open(share="no-such-share") as missing, pytest.raises(ContainerNotFound):
            missing.make_directory_like("a", "b")


class TestRename:
    def test_files_keep_their_rights(self, site: Site, store: AzureFileStore) -> None:
        with site.sdk() as client:
            key = client.create_permission_for_share("O:BAG:BAD:(A;;FA;;;BA)")
            client.get_directory_client("a").create_directory(file_permission_key=key)
            before = client.get_file_client("a/f").create_file(1)["file_permission_key"]
            store.rename_directory("a", "b/c")
            assert client.get_file_client("b/c/f").get_file_properties().permission_key == before

    def test_case(self, store: AzureFileStore) -> None:
        put(store, "a/b")
        store.rename_directory("a", "A")
        assert paths(store) == ["A/b"]

    @pytest.mark.parametrize("target", ["a/b", "a/b/c", "A/b"])
    def test_into_itself(self, store: AzureFileStore, target: str) -> None:
        put(store, "a/x")
        with pytest.raises(InvalidInput, match="inside of it"):
            store.rename_directory("a", target)
        assert paths(store) == ["a/x"]

    def test_below_a_file(self, store: AzureFileStore) -> None:
        put(store, "a/x")
        put(store, "file")
        with pytest.raises(UnsafePath, match=r"'file'.*is a file"):
            store.rename_directory("a", "file/b")
        assert paths(store) == ["a/x", "file"]

    @pytest.mark.parametrize("source", ["missing", "missing/too", "file", "file/below"])
    def test_of_no_folder(self, store: AzureFileStore, source: str) -> None:
        put(store, "file")
        with pytest.raises(PathNotFound, match=source):
            store.rename_directory(source, "target")

    def test_smb_client_has_something_open(self, site: Site, store: AzureFileStore) -> None:
        put(store, "a/x")
        site.files.plan(Answer(site.match("PUT /b.*comp=rename"), 409, "SharingViolation"))
        with pytest.raises(Conflict, match=r"'a' in .*SMB client has it, or something in it, open"):
            store.rename_directory("a", "b")
        assert paths(store) == ["a/x"]

    @pytest.mark.parametrize("target", ["b", "new/b"])
    def test_answer_that_gets_lost(self, site: Site, store: AzureFileStore, target: str) -> None:
        put(store, "a/x")
        site.files.plan(LoseResponse(site.match(f"PUT /{target}.*comp=rename"), times=2))
        store.rename_directory("a", target)
        assert paths(store) == [f"{target}/x"]

    def test_answer_that_gets_lost_and_a_new_folder_in_its_place(self, site: Site, store: AzureFileStore) -> None:
        """What was renamed is known by its id, not by the name that it had."""
        put(store, "a/x", b"old")
        with site.open() as other:
            rename = site.match("PUT /b.*comp=rename")
            site.files.plan(LoseResponse(rename), Meanwhile(rename, action=lambda: put(other, "a/x", b"new")))
            store.rename_directory("a", "b")
        assert (get(store, "a/x"), get(store, "b/x")) == (b"new", b"old")

    def test_somebody_was_quicker(self, site: Site, store: AzureFileStore) -> None:
        put(store, "a/x")
        with site.open() as other:
            site.files.plan(Meanwhile(site.match("PUT /b.*comp=rename"), action=lambda: put(other, "b/y")))
            with pytest.raises(PathExists, match="'b'"):
                store.rename_directory("a", "b")
            site.files.plan(
                Meanwhile(site.match("PUT /c.*comp=rename"), action=lambda: other.rename_directory("a", "d"))
            )
            with pytest.raises(PathNotFound, match="'a'"):
                store.rename_directory("a", "c")
        assert paths(store) == ["b/y", "d/x"]

    def test_trouble_that_stays(self, site: Site, store: AzureFileStore) -> None:
        put(store, "a/x")
        site.files.plan(Answer(site.match("PUT /b.*comp=rename"), 503, times=3))
        with pytest.raises(Unavailable, match="'a'"):
            store.rename_directory("a", "b")


class TestDelete:
    def test_drafts_and_names_that_cannot_be_handled_go_too(self, site: Site, store: AzureFileStore) -> None:
        put(store, "a/b/c")
        put(store, "a-beside")
        with site.sdk() as client:
            client.get_file_client(new_draft("a/b")).create_file(1)
            client.create_directory("a/d\x7f")
            client.get_file_client("a/d\x7f/e").create_file(1)
        store.delete_directory("a")
        assert site.everything() == ["a-beside"]

    def test_many_files_and_folders(self, site: Site, store: AzureFileStore) -> None:
        for number in range(60):
            put(store, f"a/{number % 7}/{number % 3}/{number}")
        store.delete_directory("a")
        assert site.everything() == []

    @pytest.mark.parametrize("late", ["a/late", "a/b/late", "a/new/late"])
    def test_what_comes_meanwhile_goes_too(self, site: Site, store: AzureFileStore, late: str) -> None:
        put(store, "a/b/x")
        with site.open() as other:
            change = Meanwhile(site.match("DELETE /a.restype=directory"), action=lambda: put(other, late))
            site.files.plan(change)
            store.delete_directory("a")
        assert site.everything() == []

    def test_while_somebody_writes(self, site: Site, store: AzureFileStore) -> None:
        for number in range(10):
            put(store, f"a/{number}")
        stop = threading.Event()

        def write() -> None:
            with site.open() as other:
                for number in range(25):
                    if stop.is_set():
                        break
                    with suppress(Conflict, PathNotFound):  # its draft was deleted, and it was told so
                        put(other, f"a/b/{number}")

        writer = threading.Thread(target=write)
        writer.start()
        store.delete_directory("a")
        stop.set()
        writer.join()
        store.delete_directory("a")
        assert site.everything() == []

    def test_file_that_an_smb_client_has_open(self, site: Site, store: AzureFileStore) -> None:
        put(store, "a/x")
        put(store, "a/y")
        site.files.plan(Answer(site.match("DELETE /a/x"), 409, "CannotDeleteFileOrDirectory"))
        with pytest.raises(Conflict, match=r"'a/x' in .*An SMB client has it open"):
            store.delete_directory("a")
        assert paths(store) == ["a/x"]

    def test_of_a_file(self, store: AzureFileStore) -> None:
        put(store, "a")
        store.delete_directory("a")
        assert paths(store) == ["a"]

    def test_without_the_right_to(self, site: Site, store: AzureFileStore) -> None:
        put(store, "a/x")
        site.files.plan(Answer(site.match("DELETE /a"), 403, "AuthorizationPermissionMismatch"))
        with pytest.raises(AccessDenied, match="'a/x'"):
            store.delete_directory("a")
        with site.open(share="no-such-share") as missing, pytest.raises(ContainerNotFound):
            missing.delete_directory("a")


class TestFilesInTheWay:
    """The codes that the service has for this are not documented."""

    @pytest.mark.parametrize("code", ["ParentNotFound", "ResourceNotFound", "ResourceTypeMismatch"])
    def test_of_a_folder(self, site: Site, store: AzureFileStore, code: str) -> None:
        put(store, "a", b"file")
        for match in ("PUT /a/b/.datastore-draft-", "PUT /a/b.restype=directory"):
            site.files.plan(Answer(site.match(match), 409 if "Mismatch" in code else 404, code, times=100))
        with pytest.raises(UnsafePath, match=r"'a' in .* is a file"):
            put(store, "a/b/c")
        assert site.everything() == ["a"]
        site.files.clear_plan()

    @pytest.mark.parametrize("code", ["ResourceNotFound", "ResourceTypeMismatch"])
    def test_folder_that_is_asked_for_as_a_file(self, site: Site, store: AzureFileStore, code: str) -> None:
        put(store, "f/a")
        site.files.plan(Answer(site.match(r"\w+ /f$"), 409 if "Mismatch" in code else 404, code, times=100))
        for call in (lambda: store.stat("f"), lambda: get(store, "f")):
            with pytest.raises(PathNotFound, match="'f'"):
                call()
        store.delete("f")
        site.files.clear_plan()
        assert paths(store) == ["f/a"]


class TestEmptyFoldersInTheWay:
    def test_go(self, site: Site, store: AzureFileStore) -> None:
        with site.sdk() as client:
            for path in ("a", "a/b", "a/b/c", "a/d"):
                client.create_directory(path)
        put(store, "a", b"file now", create=True)
        assert site.everything() == ["a"]
        assert get(store, "a") == b"file now"

    @pytest.mark.parametrize("code", ["ResourceAlreadyExists", "ResourceTypeMismatch"])
    @pytest.mark.parametrize("create", [False, True])
    def test_whatever_the_service_calls_it(self, site: Site, store: AzureFileStore, code: str, create: bool) -> None:
        with site.sdk() as client:
            client.create_directory("a")
        site.files.plan(Answer(site.match("PUT /a.comp=rename"), 409, code))
        etag = put(store, "a", b"file now", create=create)
        assert get(store, "a", if_match=etag) == b"file now"

    @pytest.mark.parametrize("inside", ["a/b/c", new_draft("a/b")], ids=["file", "draft"])
    def test_stay_with_something_in_them(self, site: Site, store: AzureFileStore, inside: str) -> None:
        with site.sdk() as client:
            for path in ("a", "a/b"):
                client.create_directory(path)
            client.get_file_client(inside).create_file(1)
        before = site.everything()
        for create in (False, True):
            with pytest.raises(UnsafePath, match="folder that is not empty"):
                put(store, "a", create=create)
        with pytest.raises(FileNotFoundError):
            get(store, "a")
        assert site.everything() == before
