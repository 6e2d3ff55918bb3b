"""The store of file shares against the service: names, drafts, what others do meanwhile, and errors."""

from __future__ import annotations

import gzip
import random
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from azure.storage.fileshare import ContentSettings, NTFSAttributes

from airflow_azureml_datastores.core.credentials import AccountKey
from airflow_azureml_datastores.errors import (
    AccessDenied,
    Changed,
    Conflict,
    ContainerNotFound,
    InvalidInput,
    PathExists,
    PathNotFound,
    Unavailable,
    UnsafePath,
)
from airflow_azureml_datastores.stores import _file_listing
from airflow_azureml_datastores.stores._file_names import new_draft
from airflow_azureml_datastores.stores._file_share import PART
from airflow_azureml_datastores.stores.azure_file import AzureFileStore
from tests.integration.azure_file_site import MIB, Site, get, new_site, paths, put, warnings_of
from tests.servers.azurefiles import listing
from tests.servers.fault import Answer, Meanwhile
from tests.servers.fixtures import Servers

BIG = random.Random(1).randbytes(13 * MIB)
"""Four ranges."""
LONG_AGO = datetime.now(UTC) - timedelta(hours=25)


@pytest.fixture
def site(servers: Servers) -> Iterator[Site]:
    with new_site(servers) as made:
        yield made


@pytest.fixture
def store(site: Site) -> Iterator[AzureFileStore]:
    with site.open() as opened:
        yield opened


class TestNames:
    def test_case_is_kept_and_makes_no_other_name(self, store: AzureFileStore) -> None:
        put(store, "Data/Report.CSV", b"first")
        assert paths(store) == ["Data/Report.CSV"]
        assert get(store, "data/report.csv") == b"first"
        with pytest.raises(PathExists):
            put(store, "DATA/report.csv", create=True)
        etag = put(store, "DATA/report.csv", b"second", if_match=store.stat("data/REPORT.csv").etag)
        assert [(info.path, info.etag) for info in store.list()] == [("Data/report.csv", etag)]
        store.delete("data/REPORT.CSV")
        assert paths(store) == []

    def test_prefix_names_folders_without_regard_to_case(self, store: AzureFileStore) -> None:
        put(store, "Data/x")
        assert paths(store, "data/") == ["data/x"]
        assert paths(store, "Da") == ["Data/x"]
        assert paths(store, "da") == []

    def test_dots_at_the_end_stay(self, store: AzureFileStore) -> None:
        names = ["a", "a.", "a..", "f./a", "f./a."]
        for name in names:
            put(store, name, name.encode())
        assert paths(store) == sorted(names)
        assert [get(store, name) for name in names] == [name.encode() for name in names]
        store.copy_from(store, "f./a.", "g./b.")
        store.rename_directory("g.", "h.")
        assert get(store, "h./b.") == b"f./a."

    def test_what_cannot_be_handled_is_left_out_with_a_warning(self, site: Site, store: AzureFileStore) -> None:
        put(store, "a")
        with site.sdk() as client:
            client.get_file_client("b\x7f").create_file(1)
            client.create_directory("c\x85")
            client.get_file_client("c\x85/d").create_file(1)
        with warnings_of(_file_listing.log) as said:
            assert paths(store) == ["a"]
        assert sorted(line.partition(" in ")[0] for line in said) == [r"'b\x7f'", r"'c\x85'"]
        with pytest.raises(UnsafePath):
            store.stat("b\x7f")

    def test_name_too_long_for_the_header_of_a_rename(self, site: Site, store: AzureFileStore) -> None:
        """Its draft is in the root then, with the rights that a file in the folder inherits."""
        folder = "/".join(["文" * 80] * 3)
        with site.sdk() as client:
            key = client.create_permission_for_share("O:BAG:BAD:(A;;FA;;;BA)")
            client.get_directory_client("文" * 80).create_directory(
                file_permission_key=key, file_property_semantics="Restore"
            )
            etag = put(store, f"{folder}/a", BIG)
            assert get(store, f"{folder}/a", if_match=etag) == BIG
            plain = client.get_file_client(f"{folder}/plain").create_file(1)
            found = client.get_file_client(f"{folder}/a").get_file_properties()
            assert found.permission_key == plain["file_permission_key"]
        assert paths(store) == [f"{folder}/a", f"{folder}/plain"]
        assert [line for line in site.everything() if "draft" in line] == []
        assert {line.partition("?")[0].count("/") for line in site.requests("comp=range")} == {1}
        with pytest.raises(UnsafePath, match="too long for the service to rename"):
            store.rename_directory(folder, "b")


class TestDrafts:
    def test_lies_beside_its_file_and_is_no_object(self, site: Site, store: AzureFileStore) -> None:
        seen: list[list[str]] = []

        def chunks() -> Iterator[bytes]:
            for _ in range(3):
                yield bytes(PART)
                seen.append(site.everything())
                assert paths(store) == []

        store.write("folder/a", chunks())
        (draft,) = {path for everything in seen for path in everything if not path.endswith("/")}
        assert draft.startswith("folder/.datastore-draft-")
        assert site.everything() == ["folder/", "folder/a"]
        for call in (store.stat, store.delete, lambda path: put(store, path), lambda path: get(store, path)):
            with pytest.raises(UnsafePath, match="name of a draft"):
                call(draft)

    def test_gives_its_file_the_rights_of_the_folder(self, site: Site, store: AzureFileStore) -> None:
        with site.sdk() as client:
            key = client.create_permission_for_share("O:BAG:BAD:(A;;FA;;;BA)")
            client.get_directory_client("f").create_directory(file_permission_key=key)
            inherited = client.get_file_client("f/theirs").create_file(1)["file_permission_key"]
            put(store, "f/ours")
            put(store, "f/big", BIG)
            store.copy_from(store, "f/ours", "f/copy")
            keys = {n: client.get_file_client(f"f/{n}").get_file_properties().permission_key for n in ("ours", "big")}
            assert keys == {"ours": inherited, "big": inherited}
            assert client.get_file_client("f/copy").get_file_properties().permission_key == inherited
            assert client.get_file_client("elsewhere").create_file(1)["file_permission_key"] != inherited

    def leave(self, site: Site, folder: str, written: datetime | None) -> str:
        draft = new_draft(folder)
        with site.sdk() as client:
            client.get_file_client(draft).create_file(1, file_last_write_time=written)
        return draft

    def test_of_killed_writers_are_swept(self, site: Site, store: AzureFileStore) -> None:
        put(store, "other")
        put(store, "f/a")
        old, young = self.leave(site, "f", LONG_AGO), self.leave(site, "f", None)
        elsewhere = self.leave(site, "", LONG_AGO)
        with site.sdk() as client:
            client.create_directory(new_draft("f"))
            client.get_file_client("f/.datastore-draft-of-mine").create_file(1, file_last_write_time=LONG_AGO)
        put(store, "f/b")
        assert old in site.everything()  # the folder has been swept before
        with site.open() as another:
            put(another, "f/c")
        assert site.everything() == sorted(
            ["f/", "f/.datastore-draft-of-mine", young, "f/a", "f/b", "f/c", elsewhere, "other"]
        )

    def test_are_looked_for_once_in_each_folder(self, site: Site, store: AzureFileStore) -> None:
        for path in ("a", "b", "f/a", "f/b"):
            put(store, path)
        looks = site.requests("prefix=.datastore-draft-")
        assert [line.partition("?")[0] for line in looks] == ["GET ", "GET /f"]

    def test_sweeping_is_not_worth_an_error(self, site: Site, store: AzureFileStore) -> None:
        site.files.plan(Answer(site.match("GET .*comp=list"), 403, "AuthorizationPermissionMismatch"))
        put(store, "a", b"content")
        assert get(store, "a") == b"content"

    @pytest.mark.parametrize(
        ("match", "status", "code", "error"),
        [
            ("PUT /f/.datastore-draft-.*comp=range", 403, "ShareSizeLimitReached", Conflict),
            ("PUT /f/.datastore-draft-.*comp=properties", 403, "ShareSizeLimitReached", Conflict),
            ("PUT /f/.datastore-draft-.*comp=range", 403, "AuthorizationFailure", AccessDenied),
            ("PUT /f/a.comp=rename", 409, "SharingViolation", Conflict),
            ("PUT /f/a.comp=rename", 503, "ServerBusy", Unavailable),
        ],
    )
    def test_goes_when_the_write_fails(
        self, site: Site, store: AzureFileStore, match: str, status: int, code: str, error: type[Exception]
    ) -> None:
        put(store, "f/a", b"old")
        site.files.plan(Answer(site.match(match), status, code, times=3))
        with pytest.raises(error):
            store.write("f/a", iter([BIG]))
        site.files.clear_plan()
        assert site.everything() == ["f/", "f/a"]
        assert get(store, "f/a") == b"old"

    def test_writer_that_is_interrupted(self, site: Site, store: AzureFileStore) -> None:
        def chunks() -> Iterator[bytes]:
            yield bytes(2 * PART)
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            store.write("a", chunks())
        assert site.everything() == []


def test_killed_writer_leaves_the_old_content_and_disturbs_nobody(site: Site, store: AzureFileStore) -> None:
    etag = put(store, "f/a", b"old")
    program = textwrap.dedent(
        """
        import sys, time
        from airflow_azureml_datastores.core.credentials import AccountKey
        from airflow_azureml_datastores.stores.azure_file import AzureFile

        account, share, url, key = sys.argv[1:]

        def chunks():
            while True:
                yield bytes(4 << 20)
                print("sent", flush=True)

        AzureFile(account, share, url).open(AccountKey(key)).write("f/a", chunks())
        """
    )
    arguments = [site.files.account, site.share, site.files.plain_url, site.files.key]
    with subprocess.Popen([sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        while len(site.requests("comp=range")) < 3:
            assert writer.stdout.readline() == "sent\n"
        writer.send_signal(signal.SIGKILL)
    assert get(store, "f/a", if_match=etag) == b"old"
    assert paths(store) == ["f/a"]
    (draft,) = [path for path in site.everything() if "draft" in path]
    new = put(store, "f/a", b"new", if_match=etag)
    assert get(store, "f/a", if_match=new) == b"new"
    with site.sdk() as client:
        client.get_file_client(draft).set_http_headers(ContentSettings(), file_last_write_time=LONG_AGO)
    with site.open() as later:
        put(later, "f/b")
    assert site.everything() == ["f/", "f/a", "f/b"]


class TestWriting:
    def test_small_file_takes_two_requests(self, site: Site, store: AzureFileStore) -> None:
        put(store, "a")
        before = len(site.requests())
        put(store, "b", b"content")
        put(store, "a", b"other", create=False)
        assert [line.rpartition("?")[2] for line in site.requests()[before + 1 :: 2]] == ["comp=rename"] * 2
        assert len(site.requests()) == before + 4

    @pytest.mark.parametrize("condition", [{"create": True}, {"if_match": "0x0"}], ids=str)
    def test_big_file_in_vain_is_noticed_before_the_bytes_travel(
        self, site: Site, store: AzureFileStore, condition: dict[str, object]
    ) -> None:
        put(store, "a")
        with pytest.raises((PathExists, Changed)):
            store.write("a", [BIG], **condition)  # type: ignore[arg-type]
        assert site.requests("comp=range") == []
        with pytest.raises(Changed):
            store.write("b", [BIG], if_match="0x0")
        assert site.requests("comp=range") == []

    def test_draft_of_unknown_size_grows(self, site: Site, store: AzureFileStore) -> None:
        store.write("a", iter([bytes(PART)] * 9 + [b"end"]))
        assert store.stat("a").size == 9 * PART + 3
        assert len(site.requests("comp=properties")) == 4  # to 4, 8, 16 parts, and to the end

    @pytest.mark.parametrize("size", [0, 3, 5, len(BIG) - 1, len(BIG) + 1])
    def test_content_of_another_size_than_announced(self, site: Site, store: AzureFileStore, size: int) -> None:
        content = b"four" if size < 10 else BIG
        with pytest.raises(InvalidInput, match=f"was to have {size} bytes"):
            store.write("a", iter([content[:2], content[2:]]), size=size)
        assert site.everything() == []

    def test_read_only_file_stays(self, site: Site, store: AzureFileStore) -> None:
        with site.sdk() as client:
            client.get_file_client("a").upload_file(b"old")
            client.get_file_client("a").set_http_headers(ContentSettings(), NTFSAttributes(read_only=True))
        for call in (lambda: put(store, "a", b"new"), lambda: store.delete("a")):
            with pytest.raises(Conflict, match="attribute ReadOnly"):
                call()
        assert get(store, "a") == b"old"
        assert site.everything() == ["a"]

    def test_folder_is_deleted_while_a_file_in_it_is_written(self, site: Site, store: AzureFileStore) -> None:
        def chunks() -> Iterator[bytes]:
            yield bytes(2 * PART)
            store.delete_directory("f")

        with pytest.raises((Conflict, PathNotFound)):
            store.write("f/a", chunks(), size=2 * PART)
        assert site.everything() == []

    def test_folders_that_come_and_go(self, store: AzureFileStore) -> None:
        """Folders are made as often as others delete them."""

        def write() -> None:
            for number in range(15):
                put(store, f"a/b/c/{number}", b"%d" % number)

        def delete() -> None:
            for _ in range(30):
                for folder in ("a/b/c", "a/b", "a"):
                    store.delete_directory(folder)

        with ThreadPoolExecutor(2) as pool:
            deleting = pool.submit(delete)
            lost = 0
            for number in range(40):
                try:
                    put(store, f"a/b/c/{number}", b"%d" % number)
                except (Conflict, PathNotFound):
                    lost += 1  # the draft was deleted with its folder, and that was told
            deleting.result()
        assert lost < 40
        put(store, "a/b/c/last")
        assert "a/b/c/last" in paths(store)


class TestReading:
    @pytest.mark.parametrize("content", [b"12345", BIG], ids=["small", "big"])
    def test_change_in_place_is_noticed(self, site: Site, store: AzureFileStore, content: bytes) -> None:
        """An SMB client does not replace a file, it writes into it: after the last byte has come, too."""
        put(store, "a", content)
        with site.sdk() as client:
            file = client.get_file_client("a")
            change = Meanwhile(site.match("HEAD /a"), action=lambda: file.upload_range(b"x", offset=0, length=1))
            site.files.plan(change)
            chunks: list[bytes] = []
            with pytest.raises(Changed, match="'a'"):
                chunks.extend(store.read("a"))
        assert b"".join(chunks) == content

    def test_change_between_two_ranges_is_noticed(self, site: Site, store: AzureFileStore) -> None:
        put(store, "a", BIG)
        with site.sdk() as client:
            reader = store.read("a")
            assert next(reader) == BIG[:PART]
            client.get_file_client("a").upload_range(b"x", offset=len(BIG) - 1, length=1)
            with pytest.raises(Changed):
                list(reader)

    def test_deleted_at_the_end(self, site: Site, store: AzureFileStore) -> None:
        put(store, "a", b"content")
        with site.open() as other:
            site.files.plan(Meanwhile(site.match("HEAD /a"), action=lambda: other.delete("a")))
            with pytest.raises(Changed):
                get(store, "a")

    def test_encoded_content_comes_as_it_is_stored(self, site: Site, store: AzureFileStore) -> None:
        content = gzip.compress(BIG)
        with site.sdk() as client:
            client.get_file_client("a").upload_file(content, content_settings=ContentSettings(content_encoding="gzip"))
        assert get(store, "a") == content
        assert b"".join(store.read("a", start=5, length=10)) == content[5:15]

    def test_empty_file_of_others(self, site: Site, store: AzureFileStore) -> None:
        with site.sdk() as client:
            client.get_file_client("a").create_file(0)
        assert get(store, "a") == b""
        assert b"".join(store.read("a", start=3, length=2)) == b""
        assert store.stat("a").size == 0

    def test_few_requests_on_their_way(self, site: Site, store: AzureFileStore) -> None:
        put(store, "a", bytes(10 * PART))
        reader = store.read("a")
        next(reader)
        next(reader)
        del reader
        assert len(site.requests("GET /a")) <= 6


class TestListing:
    def test_page_by_page(self, site: Site, store: AzureFileStore, monkeypatch: pytest.MonkeyPatch) -> None:
        names = sorted([f"a/{n}" for n in range(10)] + [f"b/c/{n}" for n in range(5)] + ["a-", "z"])
        for name in names:
            put(store, name)
        monkeypatch.setattr(listing, "MOST", 3)
        before = len(site.requests("comp=list"))
        assert paths(store) == names
        assert paths(store, "a/") == names[1:11]
        assert len(site.requests("comp=list")) - before == (2 + 4 + 1 + 2) + 4
        store.delete_directory("a")
        assert paths(store) == ["a-", *names[11:]]

    @pytest.mark.parametrize("code", ["ShareNotFound", "ParentNotFound", "ResourceNotFound"])
    def test_share_that_is_missing_below_a_prefix(self, site: Site, code: str) -> None:
        """Whatever the service says of the folder: a mistyped share is not taken for an empty one."""
        site.files.plan(Answer("GET .*/no-such-share/a/b", 404, code))
        with site.open(share="no-such-share") as missing, pytest.raises(ContainerNotFound, match="no-such-share"):
            paths(missing, "a/b/c")

    def test_prefix_of_a_folder_that_is_missing(self, store: AzureFileStore) -> None:
        put(store, "a/b")
        assert paths(store, "a/c/d") == []
        assert paths(store, "a/b/c") == []

    def test_etag_of_others_is_the_same_everywhere(self, site: Site, store: AzureFileStore) -> None:
        with site.sdk() as client:
            client.get_file_client("a").upload_file(b"content")
            client.get_file_client("a").set_file_metadata({"by": "others"})
        assert list(store.list()) == [store.stat("a")]
        assert get(store, "a", if_match=store.stat("a").etag) == b"content"


class TestErrors:
    CALLS: dict[str, Callable[[AzureFileStore], object]] = {
        "check": lambda store: store.check(),
        "list": lambda store: paths(store),
        "stat": lambda store: store.stat("a"),
        "read": lambda store: get(store, "a"),
        "write": lambda store: put(store, "b"),
        "big write": lambda store: put(store, "b", BIG),
        "delete": lambda store: store.delete("a"),
        "copy": lambda store: store.copy_from(store, "a", "b"),
        "rename": lambda store: store.rename_directory("f", "g"),
        "delete a folder": lambda store: store.delete_directory("f"),
        "create": lambda store: store.create_if_missing(),
    }

    @pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
    def test_account_that_allows_no_keys(
        self, site: Site, store: AzureFileStore, call: Callable[[AzureFileStore], object]
    ) -> None:
        put(store, "a")
        put(store, "f/a")
        site.files.plan(Answer(site.match(r"\w+ .*"), 403, "KeyBasedAuthenticationNotPermitted", times=1000))
        try:
            with pytest.raises(AccessDenied, match=r"the account key.*use an identity"):
                call(store)
        finally:
            site.files.clear_plan()

    @pytest.mark.parametrize(
        ("status", "code", "says"),
        [
            (409, "SharingViolation", "SMB client has it, or something in it, open"),
            (409, "FileLockConflict", "SMB client has locked a part of it"),
            (409, "DeletePending", "SMB client is deleting it"),
            (409, "CannotDeleteFileOrDirectory", "SMB client has it open"),
        ],
    )
    def test_smb_clients_in_the_way(self, site: Site, store: AzureFileStore, status: int, code: str, says: str) -> None:
        put(store, "a")
        site.files.plan(Answer(site.match("DELETE /a"), status, code))
        with pytest.raises(Conflict, match=says):
            store.delete("a")

    def test_full_share_names_its_quota(self, site: Site, store: AzureFileStore) -> None:
        site.files.plan(Answer(site.match("PUT /.datastore-draft-"), 403, "ShareSizeLimitReached"))
        with pytest.raises(Conflict, match="The share is full: raise its quota"):
            put(store, "a")

    def test_wrong_key(self, site: Site) -> None:
        with site.open(AccountKey("d3Jvbmc=")) as store, pytest.raises(AccessDenied, match="belongs to this account"):
            store.check()

    def test_share_that_is_being_deleted(self, site: Site, store: AzureFileStore) -> None:
        site.files.plan(Answer(site.match(".*"), 409, "ShareBeingDeleted"))
        with pytest.raises(ContainerNotFound, match="just being deleted"):
            put(store, "a")


class TestWitness:
    """rclone, which is another client: it reads what we write, and the other way round."""

    CONTENTS = {"empty": b"", "a b.txt": b"text", "deep/é&+.bin": BIG, "deep/er/x": b"x"}

    def test_reads_what_we_wrote(self, site: Site, store: AzureFileStore, tmp_path: Path) -> None:
        for path, content in self.CONTENTS.items():
            put(store, f"in/{path}", content)
        store.copy_from(store, "in/deep/é&+.bin", "in/copy")
        store.rename_directory("in", "out")
        site.files.rclone(site.share, "copy", "files:out", str(tmp_path))
        found = {str(file.relative_to(tmp_path)): file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
        assert found == {**self.CONTENTS, "copy": BIG}

    def test_wrote_what_we_read(self, site: Site, store: AzureFileStore, tmp_path: Path) -> None:
        for path, content in self.CONTENTS.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_bytes(content)
        site.files.rclone(site.share, "copy", str(tmp_path), "files:in")
        assert {info.path: info.size for info in store.list()} == {
            f"in/{path}": len(content) for path, content in self.CONTENTS.items()
        }
        for path, content in self.CONTENTS.items():
            assert get(store, f"in/{path}", if_match=store.stat(f"in/{path}").etag) == content
        put(store, "in/empty", b"no longer")
        assert site.files.rclone(site.share, "cat", "files:in/empty") == "no longer"
        store.delete_directory("in")
        assert site.files.rclone(site.share, "lsf", "files:") == ""
