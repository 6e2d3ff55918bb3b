"""The Blob store on bad days: what a busy service and a broken network do, made by a proxy in front of the service."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest

from airflow_azureml_datastores.core.credentials import AccountKey
from airflow_azureml_datastores.core.store import FileStore
from airflow_azureml_datastores.errors import AccessDenied, Changed, PathExists, Unavailable
from airflow_azureml_datastores.stores._azure import Patience
from airflow_azureml_datastores.stores.azure_blob import AzureBlob, AzureBlobStore
from tests.servers.azurite import BlobService
from tests.servers.fault import Answer, CutResponse, Fault, FaultProxy, LoseResponse, Meanwhile, ResetRequest
from tests.servers.fixtures import Servers

MIB = 1 << 20
QUICK = Patience(retries=4, backoff=0.01, timeout=30)

BIG = random.Random(1).randbytes(13 * MIB)
"""Two blocks, or three requests to read it."""
SMALL = random.Random(2).randbytes(50_000)


@dataclass
class Bench:
    """A store behind the proxy, and the same container reached directly."""

    proxy: FaultProxy
    store: AzureBlobStore
    direct: AzureBlobStore

    def struck(self) -> int:
        return sum(seen.fault is not None for seen in self.proxy.seen)


@pytest.fixture
def bench(servers: Servers) -> Iterator[Bench]:
    service = servers.azurite
    with (
        FaultProxy(service.url) as proxy,
        service.container() as container,
        open_store(replace(service, url=proxy.url), container) as store,
        open_store(service, container) as direct,
    ):
        yield Bench(proxy, store, direct)


def open_store(service: BlobService, container: str, patience: Patience = QUICK) -> AzureBlobStore:
    return AzureBlobStore(
        AzureBlob(service.account, container, endpoint=service.url), AccountKey(service.key), patience
    )


def put(store: FileStore, path: str, content: bytes, *, create: bool = False, if_match: str | None = None) -> str:
    return store.write(path, [content], size=len(content), create=create, if_match=if_match)


def get(store: FileStore, path: str) -> bytes:
    return b"".join(store.read(path))


TROUBLES: dict[str, Callable[[str], Fault]] = {
    "408": lambda match: Answer(match, 408, "OperationTimedOut", times=2),
    "429": lambda match: Answer(match, 429, "TooManyRequests", times=2),
    "500": lambda match: Answer(match, 500, "InternalError", times=2),
    "503": lambda match: Answer(match, 503, "ServerBusy", times=2),
    "reset": lambda match: ResetRequest(match, times=2),
    "lost response": lambda match: LoseResponse(match, times=2),
}


@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES)
class TestTroublePasses:
    def test_list(self, bench: Bench, trouble: Callable[[str], Fault]) -> None:
        put(bench.direct, "a", SMALL)
        bench.proxy.plan(trouble("GET .*comp=list"))
        assert [info.path for info in bench.store.list()] == ["a"]
        assert bench.struck() == 2

    def test_stat(self, bench: Bench, trouble: Callable[[str], Fault]) -> None:
        etag = put(bench.direct, "a", SMALL)
        bench.proxy.plan(trouble("HEAD "))
        assert bench.store.stat("a").etag == etag
        assert bench.struck() == 2

    @pytest.mark.parametrize("path", ["a", "a//b"], ids=["plain", "odd name"])
    def test_read(self, bench: Bench, trouble: Callable[[str], Fault], path: str) -> None:
        put(bench.direct, path, SMALL)
        bench.proxy.plan(trouble(f"GET .*{path}$"))
        assert get(bench.store, path) == SMALL
        assert bench.struck() == 2

    @pytest.mark.parametrize("path", ["a", "a//b"], ids=["plain", "odd name"])
    @pytest.mark.parametrize("create", [False, True], ids=["overwrite", "create"])
    def test_write(self, bench: Bench, trouble: Callable[[str], Fault], path: str, create: bool) -> None:
        bench.proxy.plan(trouble(f"PUT .*{path}$"))
        etag = put(bench.store, path, SMALL, create=create)
        assert bench.direct.stat(path).etag == etag
        assert get(bench.direct, path) == SMALL
        assert bench.struck() == 2

    def test_big_write(self, bench: Bench, trouble: Callable[[str], Fault]) -> None:
        bench.proxy.plan(trouble("PUT .*comp=block&"), trouble("PUT .*comp=blocklist"))
        etag = put(bench.store, "big", BIG, create=True)
        assert bench.direct.stat("big").etag == etag
        assert get(bench.direct, "big") == BIG
        assert bench.struck() == 4

    def test_delete(self, bench: Bench, trouble: Callable[[str], Fault]) -> None:
        put(bench.direct, "a", SMALL)
        bench.proxy.plan(trouble("DELETE "))
        bench.store.delete("a")
        assert list(bench.direct.list()) == []
        assert bench.struck() == 2


@pytest.mark.parametrize("reset", [False, True], ids=["truncated", "reset"])
@pytest.mark.parametrize(
    ("path", "content"), [("small", SMALL), ("big", BIG), ("odd//big", BIG)], ids=["small", "big", "odd name"]
)
def test_broken_download_is_mended(bench: Bench, path: str, content: bytes, reset: bool) -> None:
    put(bench.direct, path, content)
    bench.proxy.plan(
        CutResponse(f"GET .*{path}", 10_000, reset), CutResponse(f"GET .*{path}", MIB // 2, reset, skip=1, times=2)
    )
    assert get(bench.store, path) == content
    assert bench.struck() >= 1


def test_broken_listing_is_mended(bench: Bench) -> None:
    for name in "abc":
        put(bench.direct, name, SMALL)
    bench.proxy.plan(CutResponse("GET .*comp=list", 500, times=2))
    assert [info.path for info in bench.store.list()] == ["a", "b", "c"]
    assert bench.struck() == 2


def test_upload_that_breaks_halfway(bench: Bench) -> None:
    bench.proxy.plan(ResetRequest("PUT .*/small", after=20_000), ResetRequest("PUT .*comp=block&", after=MIB, times=2))
    assert put(bench.store, "small", SMALL) == bench.direct.stat("small").etag
    put(bench.store, "big", BIG)
    assert get(bench.direct, "big") == BIG
    assert bench.struck() == 3


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("match", "call"),
    [
        ("PUT .*/b$", lambda store: put(store, "b", b"x")),
        ("GET .*/a$", lambda store: get(store, "a")),
        ("HEAD .*/a$", lambda store: store.stat("a")),
        ("GET .*comp=list", lambda store: list(store.list())),
    ],
    ids=["write", "read", "stat", "list"],
)
def test_pause_that_the_service_asks_for_is_made(
    bench: Bench, status: int, match: str, call: Callable[[FileStore], object]
) -> None:
    put(bench.direct, "a", b"x")
    bench.proxy.plan(Answer(match, status, headers={"Retry-After": "1"}, times=2))
    call(bench.store)
    struck = [seen.at for seen in bench.proxy.requests(match)]
    assert len(struck) == 3
    assert struck[2] - struck[1] >= 0.9


class TestCreate:
    """A create-only write whose answer got lost meets its own blob when it tries again."""

    @pytest.mark.parametrize("path", ["a", "a//b"], ids=["plain", "odd name"])
    def test_somebody_elses(self, bench: Bench, path: str) -> None:
        """The service never did ours, and in between somebody wrote something else."""
        theirs: list[str] = []
        bench.proxy.plan(
            ResetRequest("PUT "), Meanwhile("PUT ", lambda: theirs.append(put(bench.direct, path, b"theirs")))
        )
        with pytest.raises(PathExists):
            put(bench.store, path, b"ours", create=True)
        assert bench.direct.stat(path).etag == theirs[0]

    @pytest.mark.parametrize("content", [b"same", BIG], ids=["small", "big"])
    @pytest.mark.parametrize("path", ["a", "a//b"], ids=["plain", "odd name"])
    def test_same_content_without_trouble(self, bench: Bench, path: str, content: bytes) -> None:
        """Of two that write the same only one is told that it created it."""
        put(bench.direct, path, content)
        with pytest.raises(PathExists):
            put(bench.store, path, content, create=True)

    def test_big_one_of_somebody_else_with_the_same_content(self, bench: Bench) -> None:
        bench.proxy.plan(Meanwhile("PUT .*comp=blocklist", lambda: put(bench.direct, "big", BIG)))
        with pytest.raises(PathExists):
            put(bench.store, "big", BIG, create=True)


class TestIfMatch:
    @pytest.mark.parametrize("content", [SMALL, BIG], ids=["small", "big"])
    def test_lost_response(self, bench: Bench, content: bytes) -> None:
        old = put(bench.direct, "a", b"old")
        bench.proxy.plan(LoseResponse("PUT .*(/a|comp=blocklist)$"))
        etag = put(bench.store, "a", content, if_match=old)
        assert bench.direct.stat("a").etag == etag
        assert bench.struck() == 1

    @pytest.mark.parametrize("content", [SMALL, BIG], ids=["small", "big"])
    def test_somebody_wrote_meanwhile(self, bench: Bench, content: bytes) -> None:
        old = put(bench.direct, "a", b"old")
        bench.proxy.plan(Meanwhile("PUT .*(/a|comp=blocklist)$", lambda: put(bench.direct, "a", b"theirs")))
        with pytest.raises(Changed):
            put(bench.store, "a", content, if_match=old)
        assert get(bench.direct, "a") == b"theirs"


class TestChangesWhileReading:
    @pytest.mark.parametrize("path", ["big", "odd//big"])
    def test_overwritten(self, bench: Bench, path: str) -> None:
        put(bench.direct, path, BIG)
        bench.proxy.plan(Meanwhile(f"GET .*{path}", lambda: put(bench.direct, path, bytes(len(BIG))), skip=1))
        chunks: list[bytes] = []
        with pytest.raises(Changed, match=path):
            chunks.extend(bench.store.read(path))
        received = b"".join(chunks)
        assert received
        assert BIG.startswith(received)

    def test_broken_and_overwritten(self, bench: Bench) -> None:
        """What is asked for again after a break is asked for in the same version."""
        etag = put(bench.direct, "a", SMALL)
        bench.proxy.plan(
            CutResponse("GET .*/a$", 10_000), Meanwhile("GET .*/a$", lambda: put(bench.direct, "a", bytes(len(SMALL))))
        )
        with pytest.raises(Changed):
            b"".join(bench.store.read("a", if_match=etag))

    def test_shortened(self, bench: Bench) -> None:
        put(bench.direct, "big", BIG)
        bench.proxy.plan(Meanwhile("GET .*big", lambda: put(bench.direct, "big", b"short"), skip=1))
        with pytest.raises(Changed):
            list(bench.store.read("big"))


def test_uploads_of_two_processes_to_one_blob(bench: Bench) -> None:
    """The first to finish wins; the other learns that its blocks are gone."""
    bench.proxy.plan(Meanwhile("PUT .*comp=blocklist", lambda: put(bench.direct, "big", BIG)))
    with pytest.raises(Changed, match="Somebody else wrote"):
        put(bench.store, "big", bytes(len(BIG)))
    assert get(bench.direct, "big") == BIG


CALLS: dict[str, Callable[[FileStore], object]] = {
    "check": lambda store: store.check(),
    "list": lambda store: list(store.list()),
    "stat": lambda store: store.stat("a"),
    "read": lambda store: get(store, "a"),
    "odd read": lambda store: get(store, "a//b"),
    "write": lambda store: put(store, "a", SMALL),
    "create": lambda store: put(store, "b", SMALL, create=True),
    "odd create": lambda store: put(store, "b//c", SMALL, create=True),
    "big write": lambda store: put(store, "a", BIG),
    "delete": lambda store: store.delete("a"),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
class TestTroubleStays:
    def test_answers(self, bench: Bench, call: Callable[[FileStore], object]) -> None:
        bench.proxy.plan(Answer(".", 503, times=1000))
        with pytest.raises(Unavailable, match="503 ServerBusy") as caught:
            call(bench.store)
        assert isinstance(caught.value, ConnectionError)

    def test_resets(self, bench: Bench, call: Callable[[FileStore], object]) -> None:
        bench.proxy.plan(ResetRequest(".", times=1000))
        with pytest.raises(Unavailable):
            call(bench.store)

    def test_refusal(self, bench: Bench, call: Callable[[FileStore], object]) -> None:
        """It is asked again by the other client at most, as there is nothing to wait for."""
        bench.proxy.plan(Answer(".", 403, "KeyBasedAuthenticationNotPermitted", times=1000))
        with pytest.raises(AccessDenied, match=r"the account key.*use an identity"):
            call(bench.store)


def test_giving_up_takes_no_longer_than_it_is_told(bench: Bench) -> None:
    bench.proxy.plan(Answer(".", 503, times=1000))
    began = time.monotonic()
    with pytest.raises(Unavailable):
        get(bench.store, "a")
    assert time.monotonic() - began < 2
    assert len(bench.proxy.seen) == 1 + 1 + QUICK.retries


class TestServiceThatDoesNotCopy:
    def test_bytes_pass_through_after_all(self, bench: Bench) -> None:
        put(bench.direct, "a", SMALL)
        bench.proxy.plan(Answer("PUT .*/b$", 501, "NotImplemented"))
        etag = bench.store.copy_from(bench.store, "a", "b")
        assert bench.direct.stat("b").etag == etag
        assert get(bench.direct, "b") == SMALL

    def test_it_is_asked_once(self, bench: Bench) -> None:
        put(bench.direct, "a", SMALL)
        bench.proxy.plan(Answer("PUT .*/b$", 501, "NotImplemented"))
        assert bench.store.can_copy_from(bench.store)
        bench.store.copy_from(bench.store, "a", "b")
        assert not bench.store.can_copy_from(bench.store)
        bench.store.copy_from(bench.store, "a", "c")
        assert len(bench.proxy.requests("PUT .*/c$")) == 1
        assert len(bench.proxy.requests("PUT .*/b$")) == 2
