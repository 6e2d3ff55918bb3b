"""The store of file shares on bad days: what a busy service and a broken network do, made by a proxy in front of it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from airflow_azureml_datastores.core.store import FileStore
from airflow_azureml_datastores.errors import AccessDenied, Changed, Conflict, PathExists, Unavailable
from airflow_azureml_datastores.stores._azure import Patience
from airflow_azureml_datastores.stores.azure_file import AzureFileStore
from tests.integration.azure_file_site import MIB, Site, get, new_site, paths, put
from tests.servers.fault import Answer, CutResponse, Fault, FaultProxy, LoseResponse, Meanwhile, ResetRequest
from tests.servers.fixtures import Servers

QUICK = Patience(retries=4, backoff=0.01, timeout=10)
BIG = random.Random(1).randbytes(13 * MIB)
"""Four ranges."""
SMALL = random.Random(2).randbytes(50_000)

# Which requests a fault is to strike.
DRAFT = r"PUT .*/\.datastore-draft-\w+$"
RANGE = "PUT .*comp=range"
RESIZE = "PUT .*comp=properties"
RENAME = "PUT .*comp=rename"
LEASE = "PUT .*comp=lease"
FOLDER = "PUT .*restype=directory$"


@dataclass
class Bench:
    """A store behind the proxy, and the same share reached directly."""

    proxy: FaultProxy
    store: AzureFileStore
    direct: AzureFileStore
    site: Site

    def struck(self) -> int:
        return sum(seen.fault is not None for seen in self.proxy.seen)

    def check_tidy(self) -> None:
        """Nothing is left but what others see."""
        assert [path for path in self.site.everything() if not path.endswith("/")] == sorted(paths(self.direct))


@pytest.fixture
def bench(servers: Servers) -> Iterator[Bench]:
    with (
        new_site(servers) as site,
        FaultProxy(site.files.plain_url) as proxy,
        site.open(url=proxy.url, patience=QUICK) as store,
        site.open() as direct,
    ):
        yield Bench(proxy, store, direct, site)


TROUBLES: dict[str, Callable[[str], Fault]] = {
    "408": lambda match: Answer(match, 408, "OperationTimedOut", times=2),
    "429": lambda match: Answer(match, 429, "TooManyRequests", times=2),
    "500": lambda match: Answer(match, 500, "InternalError", times=2),
    "503": lambda match: Answer(match, 503, "ServerBusy", times=2),
    "reset": lambda match: ResetRequest(match, times=2),
    "lost response": lambda match: LoseResponse(match, times=2),
}
Trouble = Callable[[str], Fault]


@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES)
class TestTroublePasses:
    def test_list(self, bench: Bench, trouble: Trouble) -> None:
        put(bench.direct, "a/b", SMALL)
        bench.proxy.plan(trouble("GET .*comp=list"))
        assert paths(bench.store) == ["a/b"]
        assert bench.struck() == 2

    def test_stat(self, bench: Bench, trouble: Trouble) -> None:
        etag = put(bench.direct, "a", SMALL)
        bench.proxy.plan(trouble("HEAD "))
        assert bench.store.stat("a").etag == etag
        assert bench.struck() == 2

    def test_read(self, bench: Bench, trouble: Trouble) -> None:
        put(bench.direct, "a", SMALL)
        bench.proxy.plan(trouble("GET .*/a$"), trouble("HEAD .*/a$"))
        assert get(bench.store, "a") == SMALL
        assert bench.struck() == 4

    def test_big_read(self, bench: Bench, trouble: Trouble) -> None:
        put(bench.direct, "a", BIG)
        fault = trouble("GET .*/a$")
        fault.skip = 2
        bench.proxy.plan(fault)
        assert get(bench.store, "a") == BIG
        assert bench.struck() == 2

    @pytest.mark.parametrize("match", [DRAFT, RENAME])
    @pytest.mark.parametrize("create", [False, True], ids=["overwrite", "create"])
    def test_write(self, bench: Bench, trouble: Trouble, match: str, create: bool) -> None:
        put(bench.direct, "f/b", b"beside")
        if not create:
            put(bench.direct, "f/a", b"old")
        bench.proxy.plan(trouble(match))
        etag = put(bench.store, "f/a", SMALL, create=create)
        assert get(bench.direct, "f/a", if_match=etag) == SMALL
        assert bench.struck() == 2
        bench.check_tidy()

    @pytest.mark.parametrize("match", [RANGE, RESIZE])
    def test_big_write(self, bench: Bench, trouble: Trouble, match: str) -> None:
        bench.proxy.plan(trouble(match), trouble(RENAME))
        etag = bench.store.write("big", iter([BIG]), create=True)
        assert get(bench.direct, "big", if_match=etag) == BIG
        assert bench.struck() == 4
        bench.check_tidy()

    def test_write_into_a_new_folder(self, bench: Bench, trouble: Trouble) -> None:
        bench.proxy.plan(trouble(FOLDER))
        put(bench.store, "f/g/a", SMALL)
        assert get(bench.direct, "f/g/a") == SMALL
        assert bench.struck() == 2
        bench.check_tidy()

    @pytest.mark.parametrize("match", [LEASE, "HEAD ", RENAME])
    @pytest.mark.parametrize("content", [SMALL, BIG], ids=["small", "big"])
    def test_write_of_a_version(self, bench: Bench, trouble: Trouble, match: str, content: bytes) -> None:
        old = put(bench.direct, "a", b"old")
        bench.proxy.plan(trouble(match))
        etag = put(bench.store, "a", content, if_match=old)
        assert get(bench.direct, "a", if_match=etag) == content
        assert bench.struck() == 2
        put(bench.direct, "a", b"newer")  # no lease is left
        bench.check_tidy()

    def test_delete(self, bench: Bench, trouble: Trouble) -> None:
        put(bench.direct, "a", SMALL)
        bench.proxy.plan(trouble("DELETE "))
        bench.store.delete("a")
        assert paths(bench.direct) == []
        assert bench.struck() == 2

    @pytest.mark.parametrize("match", [DRAFT, "HEAD .*draft", "HEAD .*/a$", RENAME])
    def test_copy(self, bench: Bench, trouble: Trouble, match: str) -> None:
        put(bench.direct, "a", BIG)
        bench.proxy.plan(trouble(match))
        etag = bench.store.copy_from(bench.store, "a", "b", create=True)
        assert get(bench.direct, "b", if_match=etag) == BIG
        assert bench.struck() == 2
        assert not bench.proxy.requests(RANGE)
        bench.check_tidy()

    @pytest.mark.parametrize("match", ["GET .*restype=directory", RENAME, FOLDER])
    def test_rename_directory(self, bench: Bench, trouble: Trouble, match: str) -> None:
        put(bench.direct, "a/b", SMALL)
        bench.proxy.plan(trouble(match))
        bench.store.rename_directory("a", "new/c")
        assert paths(bench.direct) == ["new/c/b"]
        assert bench.struck() == 2

    @pytest.mark.parametrize("match", ["GET .*comp=list", "DELETE .*/[xyz]$", "DELETE .*restype=directory"])
    def test_delete_directory(self, bench: Bench, trouble: Trouble, match: str) -> None:
        for name in ("a/x", "a/b/y", "a/b/c/z"):
            put(bench.direct, name)
        bench.proxy.plan(trouble(match))
        bench.store.delete_directory("a")
        assert bench.site.everything() == []
        assert bench.struck() == 2

    @pytest.mark.parametrize("match", ["GET .*restype=directory", FOLDER])
    def test_make_directory_like(self, bench: Bench, trouble: Trouble, match: str) -> None:
        put(bench.direct, "model/x")
        bench.proxy.plan(trouble(match))
        assert bench.store.make_directory_like("staged", "model/no/such")
        assert bench.site.everything() == ["model/", "model/x", "staged/"]
        assert bench.struck() == 2

    def test_create_if_missing(self, bench: Bench, trouble: Trouble) -> None:
        with (
            bench.site.files.share(make=False) as name,
            bench.site.open(share=name, url=bench.proxy.url, patience=QUICK) as absent,
        ):
            bench.proxy.plan(trouble("PUT .*restype=share"))
            absent.create_if_missing()
            absent.check()
        assert bench.struck() == 2


@pytest.mark.parametrize("reset", [False, True], ids=["truncated", "reset"])
class TestBrokenAnswers:
    @pytest.mark.parametrize("content", [SMALL, BIG], ids=["small", "big"])
    def test_download_is_mended(self, bench: Bench, content: bytes, reset: bool) -> None:
        put(bench.direct, "a", content)
        bench.proxy.plan(
            CutResponse("GET .*/a$", 10_000, reset), CutResponse("GET .*/a$", MIB // 2, reset, skip=1, times=2)
        )
        assert get(bench.store, "a") == content
        assert bench.struck() == (3 if content is BIG else 1)

    def test_download_that_never_comes_whole(self, bench: Bench, reset: bool) -> None:
        put(bench.direct, "a", SMALL)
        bench.proxy.plan(CutResponse("GET .*/a$", 10_000, reset, times=1000))
        with pytest.raises(Unavailable, match="'a'"):
            get(bench.store, "a")
        assert bench.struck() == 1 + QUICK.retries

    def test_listing_is_mended(self, bench: Bench, reset: bool) -> None:
        for name in "abc":
            put(bench.direct, name, SMALL)
        bench.proxy.plan(CutResponse("GET .*comp=list", 500, reset, times=2))
        assert paths(bench.store) == ["a", "b", "c"]
        assert bench.struck() == 2

    def test_broken_and_changed_meanwhile(self, bench: Bench, reset: bool) -> None:
        """What is asked for again after a break has to be the same version."""
        put(bench.direct, "a", BIG)
        bench.proxy.plan(
            CutResponse("GET .*/a$", 10_000, reset, skip=1),
            Meanwhile("GET .*/a$", lambda: put(bench.direct, "a", bytes(len(BIG))), skip=3),
        )
        with pytest.raises(Changed):
            get(bench.store, "a")


def test_upload_that_breaks_halfway(bench: Bench) -> None:
    bench.proxy.plan(ResetRequest(DRAFT, after=20_000), ResetRequest(RANGE, after=MIB, times=3))
    etag = put(bench.store, "small", SMALL)
    assert get(bench.direct, "small", if_match=etag) == SMALL
    put(bench.store, "big", BIG)
    assert get(bench.direct, "big") == BIG
    assert bench.struck() == 4
    bench.check_tidy()


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("match", "call"),
    [
        (RENAME, lambda store: put(store, "b", b"x")),
        ("GET .*/a$", lambda store: get(store, "a")),
        ("HEAD .*/a$", lambda store: store.stat("a")),
        ("GET .*comp=list", lambda store: paths(store)),
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
    assert struck[2] - struck[1] >= 0.9


class TestWhoseIsIt:
    """A rename whose answer got lost is known by the id of the file, whatever the content."""

    def test_somebody_elses_with_the_same_content(self, bench: Bench) -> None:
        theirs: list[str] = []
        act = Meanwhile(RENAME, lambda: theirs.append(put(bench.direct, "a", SMALL)))
        bench.proxy.plan(ResetRequest(RENAME), act)
        with pytest.raises(PathExists):
            put(bench.store, "a", SMALL, create=True)
        assert bench.direct.stat("a").etag == theirs[0]
        bench.check_tidy()

    @pytest.mark.parametrize(("create", "error"), [(True, PathExists), (False, Conflict)])
    def test_ours_that_somebody_replaced(self, bench: Bench, create: bool, error: type[Exception]) -> None:
        """Nobody can tell then whether it was ever there: no success is claimed."""
        bench.proxy.plan(LoseResponse(RENAME), Meanwhile(RENAME, lambda: put(bench.direct, "a", b"theirs")))
        with pytest.raises(error):
            put(bench.store, "a", b"ours", create=create)
        assert get(bench.direct, "a") == b"theirs"
        bench.check_tidy()

    def test_version_that_somebody_replaced(self, bench: Bench) -> None:
        old = put(bench.direct, "a", b"old")
        bench.proxy.plan(LoseResponse(RENAME), Meanwhile(RENAME, lambda: put(bench.direct, "a", b"theirs")))
        with pytest.raises(Changed):
            put(bench.store, "a", b"ours", if_match=old)
        assert get(bench.direct, "a") == b"theirs"
        bench.check_tidy()


CALLS: dict[str, Callable[[FileStore], object]] = {
    "check": lambda store: store.check(),
    "list": lambda store: paths(store),
    "list of a prefix": lambda store: paths(store, "f/a"),
    "stat": lambda store: store.stat("a"),
    "read": lambda store: get(store, "a"),
    "write": lambda store: put(store, "a", SMALL),
    "create": lambda store: put(store, "b", SMALL, create=True),
    "write of a version": lambda store: put(store, "b", SMALL, if_match="0x0"),
    "big write": lambda store: put(store, "a", BIG),
    "delete": lambda store: store.delete("a"),
    "copy": lambda store: store.copy_from(store, "a", "b"),
    "rename": lambda store: store.rename_directory("f", "g"),
    "delete a folder": lambda store: store.delete_directory("f"),
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
        """There is nothing to wait for."""
        bench.proxy.plan(Answer(".", 403, "KeyBasedAuthenticationNotPermitted", times=1000))
        with pytest.raises(AccessDenied, match=r"the account key.*use an identity"):
            call(bench.store)
        assert len(bench.proxy.seen) <= 2  # the draft that was refused may be there all the same


def test_giving_up_takes_no_longer_than_it_is_told(bench: Bench) -> None:
    bench.proxy.plan(Answer(".", 503, times=1000))
    began = time.monotonic()
    with pytest.raises(Unavailable):
        get(bench.store, "a")
    assert time.monotonic() - began < 2
    assert len(bench.proxy.seen) == 1 + QUICK.retries


def test_network_that_is_gone_for_good_in_the_middle(bench: Bench) -> None:
    """The draft that nobody can delete then is the next writer's to sweep; the old content stays."""
    old = put(bench.direct, "a", b"old")

    def chunks() -> Iterator[bytes]:
        yield BIG[: 8 * MIB]
        bench.proxy.plan(ResetRequest(".", times=10_000))
        yield BIG[8 * MIB :]

    began = time.monotonic()
    with pytest.raises(Unavailable):
        bench.store.write("a", chunks(), size=len(BIG))
    assert time.monotonic() - began < 10
    assert get(bench.direct, "a", if_match=old) == b"old"
    assert paths(bench.direct) == ["a"]
    assert len(bench.site.everything()) == 2
