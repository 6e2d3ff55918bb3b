"""The stores in a Databricks workspace on bad days: what a busy service, a broken network and killed writers do."""

from __future__ import annotations

import itertools
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest

from airflow_azureml_datastores.core.credentials import AccessToken, DatabricksOAuth
from airflow_azureml_datastores.core.store import FileStore
from airflow_azureml_datastores.errors import AccessDenied, Changed, PathExists, Unavailable
from airflow_azureml_datastores.stores._azure import Patience
from airflow_azureml_datastores.stores._dbfs_names import parse_root
from airflow_azureml_datastores.stores._dbfs_root import DbfsRootStore
from airflow_azureml_datastores.stores._dbfs_root_api import name_of_new
from airflow_azureml_datastores.stores._dbfs_store import DbfsStore
from airflow_azureml_datastores.stores._dbfs_volume import VolumeStore
from airflow_azureml_datastores.stores.dbfs import Dbfs
from tests.integration.transfer_jobs import processes, replace
from tests.integration.transfer_sites import Site
from tests.servers.databricks import Databricks, Refused
from tests.servers.fault import CutResponse, Fault, FaultProxy, LoseResponse, Meanwhile, ResetRequest
from tests.servers.fixtures import Servers

MIB = 1 << 20
QUICK = Patience(retries=4, backoff=0.01, timeout=10)
AT_ONCE = {"Retry-After": "0"}

BIG = random.Random(1).randbytes(21 * MIB)
"""Three parts of an upload; four requests to read it."""
MIDDLE = random.Random(2).randbytes(3 * MIB + 5)
"""Four blocks in the DBFS root."""
SMALL = random.Random(3).randbytes(50_000)


@dataclass
class Bench:
    """A store behind a proxy, and the same folder reached directly.

    :ivar root: the absolute path of the folder.
    """

    databricks: Databricks
    proxy: FaultProxy
    store: DbfsStore
    direct: DbfsStore
    root: str

    def struck(self) -> int:
        return sum(seen.fault is not None for seen in self.proxy.seen)

    def plan(self, *faults: Fault) -> None:
        """Faults of the service itself."""
        self.databricks.plan(*faults)

    def statuses(self, pattern: str) -> list[int]:
        return [seen.status for seen in self.databricks.requests(pattern)]


def open_store(url: str, path: str, credential: Any, patience: Patience = QUICK) -> DbfsStore:
    location = Dbfs(url, path)
    in_dbfs_root, root = parse_root(path)
    kind = DbfsRootStore if in_dbfs_root else VolumeStore
    return kind(location, location.address, root, credential, patience)


@pytest.fixture
def databricks(servers: Servers) -> Databricks:
    if not isinstance(servers.databricks, Databricks):
        pytest.skip("a real workspace cannot be told to fail")
    return servers.databricks


def make_bench(databricks: Databricks, path: str) -> Iterator[Bench]:
    token = AccessToken(databricks.token)
    with (
        FaultProxy(databricks.url) as proxy,
        open_store(proxy.url, path, token) as store,
        open_store(databricks.url, path, token) as direct,
    ):
        store.check()
        try:
            yield Bench(databricks, proxy, store, direct, parse_root(path)[1])
        finally:
            databricks.clear_plan()  # before anybody tidies up


@pytest.fixture
def volume(databricks: Databricks) -> Iterator[Bench]:
    with databricks.folder() as path:
        yield from make_bench(databricks, path)


@pytest.fixture
def dbfs(databricks: Databricks) -> Iterator[Bench]:
    with databricks.dbfs_folder() as path:
        yield from make_bench(databricks, path)


@pytest.fixture(params=["volume", "dbfs"])
def bench(request: pytest.FixtureRequest) -> Bench:
    found: Bench = request.getfixturevalue(request.param)
    return found


def put(store: FileStore, path: str, content: bytes, *, create: bool = False, if_match: str | None = None) -> str:
    return store.write(path, [content], size=len(content), create=create, if_match=if_match)


def get(store: FileStore, path: str) -> bytes:
    return b"".join(store.read(path))


def paths(store: FileStore) -> list[str]:
    return [info.path for info in store.list()]


Trouble = Callable[[Bench, str], None]


def answered(status: int, code: str) -> Trouble:
    return lambda bench, match: bench.plan(Refused(match, status, code, headers=AT_ONCE, times=2))


TROUBLES: dict[str, Trouble] = {
    "408": answered(408, "REQUEST_TIMEOUT"),
    "429": answered(429, "REQUEST_LIMIT_EXCEEDED"),
    "500": answered(500, "INTERNAL_ERROR"),
    "502": answered(502, ""),
    "503": answered(503, "TEMPORARILY_UNAVAILABLE"),
    "504": answered(504, "DEADLINE_EXCEEDED"),
    "reset": lambda bench, match: bench.proxy.plan(ResetRequest(match, times=2)),
    "lost response": lambda bench, match: bench.proxy.plan(LoseResponse(match, times=2)),
}


@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES)
class TestTroublePasses:
    def test_list(self, bench: Bench, trouble: Trouble) -> None:
        put(bench.direct, "d/a", SMALL)
        trouble(bench, f"GET .*{bench.root}")
        assert paths(bench.store) == ["d/a"]

    def test_stat(self, bench: Bench, trouble: Trouble) -> None:
        etag = put(bench.direct, "a", SMALL)
        trouble(bench, f"(HEAD|get-status).*{bench.root}.a")
        assert bench.store.stat("a").etag == etag

    def test_read(self, bench: Bench, trouble: Trouble) -> None:
        put(bench.direct, "a", SMALL)
        trouble(bench, f"GET .*(files{bench.root}/a|dbfs/read)")
        assert get(bench.store, "a") == SMALL

    @pytest.mark.parametrize("create", [False, True], ids=["overwrite", "create"])
    def test_write(self, bench: Bench, trouble: Trouble, create: bool) -> None:
        trouble(bench, f"PUT .*{bench.root}/a|dbfs/put")
        etag = put(bench.store, "a", SMALL, create=create)
        assert bench.direct.stat("a").etag == etag
        assert get(bench.direct, "a") == SMALL

    def test_delete(self, bench: Bench, trouble: Trouble) -> None:
        put(bench.direct, "a", SMALL)
        trouble(bench, f"DELETE .*{bench.root}/a|dbfs/delete")
        bench.store.delete("a")
        assert paths(bench.direct) == []

    def test_create_if_missing(self, bench: Bench, trouble: Trouble) -> None:
        trouble(bench, f"PUT .*directories{bench.root}|dbfs/mkdirs")
        bench.store.create_if_missing()

    @pytest.mark.parametrize("create", [False, True], ids=["overwrite", "create"])
    @pytest.mark.parametrize("step", ["initiate-upload", "create-upload-part-urls", "complete-upload"])
    def test_upload_in_parts(self, volume: Bench, trouble: Trouble, step: str, create: bool) -> None:
        if not create:
            put(volume.direct, "big", b"old")
        trouble(volume, f"POST .*{step}")
        etag = put(volume.store, "big", BIG, create=create)
        assert volume.direct.stat("big").etag == etag
        assert get(volume.direct, "big") == BIG

    def test_parts(self, volume: Bench, trouble: Trouble) -> None:
        """Of which the first has shown that cloud storage is there."""
        put(volume.store, "before", BIG)
        trouble(volume, f"PUT /cloud-storage.*{volume.root}/big")
        put(volume.store, "big", BIG)
        assert get(volume.direct, "big") == BIG
        assert not volume.databricks.requests(rf"PUT /api/2\.0/fs/files{volume.root}/big")

    def test_parts_when_nobody_knows_cloud_storage_yet(self, volume: Bench, trouble: Trouble) -> None:
        trouble(volume, f"PUT /cloud-storage.*{volume.root}/big")
        put(volume.store, "big", BIG, create=True)
        assert get(volume.direct, "big") == BIG

    @pytest.mark.parametrize("step", ["create-download-url", "GET /cloud-storage"])
    def test_big_read(self, volume: Bench, trouble: Trouble, step: str) -> None:
        put(volume.store, "big", BIG)
        trouble(volume, step)
        assert get(volume.store, "big") == BIG

    @pytest.mark.parametrize("step", ["create", "close", "move"])
    @pytest.mark.parametrize("create", [False, True], ids=["overwrite", "create"])
    def test_draft(self, dbfs: Bench, trouble: Trouble, step: str, create: bool) -> None:
        if not create:
            put(dbfs.direct, "a", b"old")
        trouble(dbfs, f"POST .*dbfs/{step}$")
        etag = put(dbfs.store, "a", MIDDLE, create=create)
        assert dbfs.direct.stat("a").etag == etag
        assert get(dbfs.direct, "a") == MIDDLE
        left = [entry.path for entry in dbfs.databricks.client().dbfs.list(dbfs.root)]
        assert left == [f"{dbfs.root}/a"]


def test_blocks_that_were_refused_are_sent_again(dbfs: Bench) -> None:
    for status in (408, 429, 500, 503):
        dbfs.plan(Refused("POST .*dbfs/add-block", status, headers=AT_ONCE, skip=1, times=2))
        put(dbfs.store, "a", MIDDLE + b"%d" % status)
        assert get(dbfs.direct, "a") == MIDDLE + b"%d" % status


@pytest.mark.parametrize("create", [False, True], ids=["overwrite", "create"])
def test_block_whose_answer_got_lost_is_never_there_twice(dbfs: Bench, create: bool) -> None:
    """Whether it was taken nobody can tell before the end."""
    if not create:
        put(dbfs.direct, "a", b"old")
    dbfs.proxy.plan(LoseResponse("POST .*dbfs/add-block", skip=1))
    with pytest.raises(
        Unavailable, match=f"{len(MIDDLE)} bytes were sent, and {len(MIDDLE) + MIB} are there.*try again"
    ):
        put(dbfs.store, "a", MIDDLE, create=create)
    assert paths(dbfs.direct) == ([] if create else ["a"])
    left = [entry.path for entry in dbfs.databricks.client().dbfs.list(dbfs.root)]
    assert left == ([] if create else [f"{dbfs.root}/a"])


@pytest.mark.parametrize("reset", [False, True], ids=["truncated", "reset"])
class TestBrokenDownloads:
    def test_small(self, bench: Bench, reset: bool) -> None:
        put(bench.direct, "a", SMALL)
        bench.proxy.plan(CutResponse("GET .*(files.*/a|dbfs/read)", 10_000, reset, times=2))
        assert get(bench.store, "a") == SMALL
        assert bench.struck() == 2

    def test_big(self, volume: Bench, reset: bool) -> None:
        put(volume.store, "big", BIG)
        volume.proxy.plan(
            CutResponse("GET .*files.*/big", MIB, reset, times=2),
            CutResponse("GET /cloud-storage.*/big", 100_000, reset, times=3),
        )
        assert get(volume.store, "big") == BIG
        assert volume.struck() == 5

    def test_list(self, bench: Bench, reset: bool) -> None:
        for name in "abc":
            put(bench.direct, name, SMALL)
        bench.proxy.plan(CutResponse("GET .*(directories|dbfs/list)", 100, reset, times=2))
        assert paths(bench.store) == ["a", "b", "c"]
        assert bench.struck() == 2


def test_uploads_that_break_halfway(volume: Bench) -> None:
    put(volume.store, "before", BIG)
    volume.proxy.plan(
        ResetRequest("PUT .*files.*/small", after=20_000, times=2),
        ResetRequest("PUT /cloud-storage.*/big", after=MIB, times=3),
    )
    assert put(volume.store, "small", SMALL) == volume.direct.stat("small").etag
    put(volume.store, "big", BIG)
    assert get(volume.direct, "big") == BIG
    assert volume.struck() == 5


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("request_of", "call"),
    [
        ("PUT .*{root}/b", lambda store: put(store, "b", b"x")),
        ("GET .*files{root}/a", lambda store: get(store, "a")),
        ("HEAD .*{root}/a", lambda store: store.stat("a")),
        ("GET .*directories{root}", lambda store: paths(store)),
    ],
    ids=["write", "read", "stat", "list"],
)
def test_pause_that_the_service_asks_for_is_made(
    volume: Bench, status: int, request_of: str, call: Callable[[FileStore], object]
) -> None:
    put(volume.direct, "a", b"x")
    match = request_of.format(root=volume.root)
    before = len(volume.databricks.requests(match))
    volume.plan(Refused(match, status, headers={"Retry-After": "1"}, times=2))
    call(volume.store)
    struck = [seen.at for seen in volume.databricks.requests(match)[before:]][:3]
    assert [later - earlier >= 0.9 for earlier, later in pairwise(struck)] == [True, True]


class TestCreate:
    """A create-only write whose answer got lost meets its own file when it tries again."""

    @pytest.mark.parametrize("content", [SMALL, b""], ids=["small", "empty"])
    def test_somebody_elses(self, bench: Bench, content: bytes) -> None:
        """The service never did ours, and in between somebody wrote something else of the same size."""
        theirs = bytes(reversed(content)) or b"theirs"
        bench.proxy.plan(
            ResetRequest("PUT |dbfs/put"), Meanwhile("PUT |dbfs/put", lambda: put(bench.direct, "a", theirs))
        )
        with pytest.raises(PathExists):
            put(bench.store, "a", content, create=True)
        assert get(bench.direct, "a") == theirs

    @pytest.mark.parametrize("content", [b"same", BIG], ids=["small", "big"])
    def test_same_content_without_trouble(self, bench: Bench, content: bytes) -> None:
        """Of two that write the same only one is told that it created it."""
        put(bench.direct, "a", content)
        with pytest.raises(PathExists):
            put(bench.store, "a", content, create=True)

    def test_big_one_of_somebody_else(self, volume: Bench) -> None:
        """Written while ours was on its way, of the same content or of the same size: it is not ours."""
        for name, content in (("a", BIG), ("b", bytes(len(BIG)))):
            write = lambda name=name, content=content: put(volume.direct, name, content)  # noqa: E731
            volume.proxy.plan(Meanwhile(f"POST .*/{name}.*complete-upload", write))
            with pytest.raises(PathExists):
                put(volume.store, name, BIG, create=True)
            assert get(volume.direct, name) == content

    def test_big_one_of_somebody_else_after_a_lost_answer(self, volume: Bench) -> None:
        """What is there is looked at, not only its size."""
        match = "POST .*complete-upload"
        volume.proxy.plan(ResetRequest(match), Meanwhile(match, lambda: put(volume.direct, "a", bytes(len(BIG)))))
        with pytest.raises(PathExists):
            put(volume.store, "a", BIG, create=True)
        assert get(volume.direct, "a") == bytes(len(BIG))
        assert not [path for path in volume.databricks.open_uploads if path.startswith(volume.root)]

    def test_draft_of_two(self, dbfs: Bench) -> None:
        dbfs.proxy.plan(Meanwhile("POST .*dbfs/move", lambda: put(dbfs.direct, "a", b"theirs")))
        with pytest.raises(PathExists):
            put(dbfs.store, "a", MIDDLE, create=True)
        assert get(dbfs.direct, "a") == b"theirs"
        assert [entry.path for entry in dbfs.databricks.client().dbfs.list(dbfs.root)] == [f"{dbfs.root}/a"]


class TestIfMatch:
    @pytest.mark.parametrize("content", [SMALL, BIG], ids=["small", "big"])
    def test_lost_response(self, bench: Bench, content: bytes) -> None:
        old = put(bench.direct, "a", b"old")
        bench.proxy.plan(LoseResponse("PUT .*files|complete-upload|dbfs/(put|move)"))
        etag = put(bench.store, "a", content, if_match=old)
        assert bench.direct.stat("a").etag == etag
        assert get(bench.direct, "a") == content
        assert bench.struck() == 1

    def test_somebody_wrote_during_a_big_upload(self, bench: Bench) -> None:
        """Which is looked at once more before the last step."""
        old = put(bench.direct, "a", b"old")
        step = "PUT /cloud-storage|dbfs/add-block"
        bench.proxy.plan(Meanwhile(step, lambda: put(bench.direct, "a", b"theirs")))
        with pytest.raises(Changed):
            put(bench.store, "a", BIG, if_match=old)
        assert get(bench.direct, "a") == b"theirs"
        assert not [path for path in bench.databricks.open_uploads if path.startswith(bench.root)]


class TestChangesWhileReading:
    @pytest.mark.parametrize("new", [BIG[:-1], b"short"], ids=["other size", "shorter"])
    def test_overwritten(self, bench: Bench, new: bytes) -> None:
        put(bench.direct, "big", BIG)
        step = "GET (/cloud-storage|.*dbfs/read)"
        bench.proxy.plan(Meanwhile(step, lambda: put(bench.direct, "big", new), skip=1))
        chunks: list[bytes] = []
        with pytest.raises(Changed, match="big"):
            chunks.extend(bench.store.read("big"))
        assert BIG.startswith(b"".join(chunks))

    def test_broken_and_overwritten(self, bench: Bench) -> None:
        """What is asked for again after a break is asked for in the same version."""
        etag = put(bench.direct, "a", SMALL)
        step = "GET .*(files.*/a|dbfs/read)"
        bench.proxy.plan(CutResponse(step, 10_000), Meanwhile(step, lambda: put(bench.direct, "a", SMALL[:-1])))
        with pytest.raises(Changed):
            b"".join(bench.store.read("a", if_match=etag))

    def test_deleted(self, bench: Bench) -> None:
        put(bench.direct, "big", BIG)
        bench.proxy.plan(Meanwhile("GET (/cloud-storage|.*dbfs/read)", lambda: bench.direct.delete("big"), skip=1))
        with pytest.raises(Changed):
            list(bench.store.read("big"))


CALLS: dict[str, Callable[[FileStore], object]] = {
    "check": lambda store: store.check(),
    "list": lambda store: list(store.list()),
    "stat": lambda store: store.stat("a"),
    "read": lambda store: get(store, "a"),
    "big read": lambda store: get(store, "big"),
    "write": lambda store: put(store, "a", SMALL),
    "create": lambda store: put(store, "b", SMALL, create=True),
    "big write": lambda store: put(store, "a", BIG),
    "delete": lambda store: store.delete("a"),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
class TestTroubleStays:
    def test_answers(self, bench: Bench, call: Callable[[FileStore], object]) -> None:
        bench.plan(Refused(".", 503, headers=AT_ONCE, times=1000))
        with pytest.raises(Unavailable, match="the service did not answer properly") as caught:
            call(bench.store)
        assert isinstance(caught.value, ConnectionError)

    def test_resets(self, bench: Bench, call: Callable[[FileStore], object]) -> None:
        bench.proxy.plan(ResetRequest(".", times=1000))
        with pytest.raises(Unavailable):
            call(bench.store)

    def test_refusal(self, bench: Bench, call: Callable[[FileStore], object]) -> None:
        """There is nothing to wait for."""
        before = len(bench.proxy.seen)
        bench.plan(Refused("/api/", 403, "PERMISSION_DENIED", "Injected.", times=1000))
        with pytest.raises(AccessDenied, match=r"the access token: (Injected|Forbidden).*READ VOLUME"):
            call(bench.store)
        assert len(bench.proxy.seen) - before == 1


def test_giving_up_takes_no_longer_than_it_is_told(bench: Bench) -> None:
    bench.plan(Refused(".", 503, headers=AT_ONCE, times=1000))
    before, began = len(bench.proxy.seen), time.monotonic()
    with pytest.raises(Unavailable):
        bench.store.stat("a")
    assert time.monotonic() - began < 2
    assert 1 < len(bench.proxy.seen) - before <= 1 + QUICK.retries


class TestCloudStorage:
    def test_that_fails_once_it_has_been_there_is_waited_for(self, volume: Bench) -> None:
        put(volume.store, "big", BIG)
        volume.plan(Refused("GET /cloud-storage", 503, headers=AT_ONCE, times=1000))
        with pytest.raises(Unavailable):
            get(volume.store, "big")

    def test_that_never_answered_is_not_asked_again(self, volume: Bench) -> None:
        put(volume.direct, "big", BIG)
        volume.proxy.plan(ResetRequest("/cloud-storage", times=1000))
        for _ in range(2):
            assert get(volume.store, "big") == BIG
        put(volume.store, "other", BIG)
        assert get(volume.direct, "other") == BIG
        assert 1 <= volume.struck() <= 8, "two attempts of four ranges that began together"

    def test_that_goes_away_in_the_middle_of_an_upload(self, volume: Bench) -> None:
        put(volume.store, "before", BIG)
        volume.plan(Refused("PUT /cloud-storage", 403, "AuthorizationFailure", skip=1, times=1000))
        with pytest.raises(Unavailable, match="took a part of it, and then no more"):
            put(volume.store, "big", BIG)
        assert paths(volume.direct) == ["before"]
        assert not [path for path in volume.databricks.open_uploads if path.startswith(volume.root)]

    @pytest.mark.parametrize("trouble", ["503", "reset", "lost response"])
    def test_forgets_an_upload_that_failed_though_that_takes_some_attempts(self, volume: Bench, trouble: str) -> None:
        def chunks() -> Iterator[bytes]:
            yield BIG
            raise RuntimeError("broke")

        TROUBLES[trouble](volume, "POST .*action=abort-upload")
        with pytest.raises(RuntimeError, match="broke"):
            volume.store.write("big", chunks())
        assert len(volume.proxy.requests("abort-upload")) >= 3
        assert not [path for path in volume.databricks.open_uploads if path.startswith(volume.root)]


@pytest.mark.parametrize("trouble", ["429", "500", "503", "reset", "lost response"])
def test_trouble_of_the_token_endpoint_passes(bench: Bench, trouble: str) -> None:
    """It is no sign that the secret is wrong."""
    client, secret = bench.databricks.new_oauth_client()
    path = Dbfs(bench.proxy.url, bench.store.door[0].path)  # type: ignore[attr-defined]
    TROUBLES[trouble](bench, "POST .*/oidc/v1/token")
    with open_store(bench.proxy.url, path.path, DatabricksOAuth(client, secret)) as store:
        store.check()
        put(store, "a", SMALL)


def kill_at(bench: Bench, step: str, content: bytes, *, done: bool, skip: int = 0) -> None:
    """Let a process replace the file ``a``, and kill it at a step.

    :param step: the request that it has just made.
    :param done: whether the service gets to hear of it.
    """

    def pull_the_plug() -> None:
        assert process.pid
        os.kill(process.pid, signal.SIGKILL)
        if not done:
            raise ConnectionError("the request never arrived")

    before = len(bench.databricks.requests(step))
    bench.proxy.plan(Meanwhile(step, pull_the_plug, skip=skip))
    place = bench.root if bench.root.startswith("/Volumes/") else f"dbfs:{bench.root}"
    site = Site(Dbfs(bench.proxy.url, place), AccessToken(bench.databricks.token))
    process = processes.Process(target=replace, args=(site, "a", content))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    deadline = time.monotonic() + 10
    while done and len(bench.databricks.requests(step)) <= before + skip:
        assert time.monotonic() < deadline
        time.sleep(0.01)


OLD = b"old" * MIB
"""Big enough for the DBFS root, too."""

# The step, how many like it go before, and which content is left if the service hears of it.
IN_VOLUME: dict[str, tuple[str, int, bytes, bytes]] = {
    "small": ("PUT .*files.*/a", 0, SMALL, SMALL),
    "begun": ("initiate-upload", 0, BIG, OLD),
    "a part": ("PUT /cloud-storage", 1, BIG, OLD),
    "completed": ("complete-upload", 0, BIG, BIG),
}
IN_DBFS_ROOT: dict[str, tuple[str, int, bytes, bytes]] = {
    "small": ("dbfs/put", 0, SMALL, SMALL),
    "a block": ("dbfs/add-block", 2, MIDDLE, OLD),
    "closed": ("dbfs/close", 0, MIDDLE, OLD),
    "beside the old one": ("dbfs/move", 0, MIDDLE, OLD),
    "the old one put aside": ("dbfs/move", 1, MIDDLE, MIDDLE),
    "renamed": ("dbfs/move", 2, MIDDLE, MIDDLE),
    "the old one deleted": ("dbfs/delete", 0, MIDDLE, MIDDLE),
}


@pytest.mark.slow
@pytest.mark.parametrize("done", [False, True], ids=["not heard", "heard"])
class TestKilledWriter:
    """Whoever looks afterwards finds the old file or the new one, and who writes next is not in anybody's way."""

    @pytest.mark.parametrize("case", IN_VOLUME)
    def test_of_a_volume(self, volume: Bench, case: str, done: bool) -> None:
        step, skip, content, left = IN_VOLUME[case]
        put(volume.direct, "a", OLD)
        kill_at(volume, step, content, done=done, skip=skip)
        self.look(volume, left if done else OLD)

    @pytest.mark.parametrize("case", IN_DBFS_ROOT)
    def test_of_the_dbfs_root(self, dbfs: Bench, case: str, done: bool) -> None:
        step, skip, content, left = IN_DBFS_ROOT[case]
        put(dbfs.direct, "a", OLD)
        kill_at(dbfs, step, content, done=done, skip=skip)
        # By the last steps the new one is what is found, whether it has got its name or not.
        self.look(dbfs, MIDDLE if case in ("renamed", "the old one deleted") else left if done else OLD)

    def look(self, bench: Bench, expected: bytes) -> None:
        store = bench.direct
        assert [(info.path, info.size) for info in store.list()] == [("a", len(expected))]
        assert get(store, "a") == expected
        assert list(store.list()) == [store.stat("a")]
        with pytest.raises(PathExists):
            put(store, "a", MIDDLE, create=True)
        put(store, "a", MIDDLE + b"next", if_match=store.stat("a").etag)
        assert get(store, "a") == MIDDLE + b"next"
        store.delete("a")
        assert paths(store) == []
        put(store, "a", b"again", create=True)
        assert get(store, "a") == b"again"


class Paced:
    """A writer in a thread of its own, which stops before the n-th name that it changes until it is told to go on."""

    def __init__(self, store: DbfsStore, stop_at: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.stopped, self.go_on = threading.Event(), threading.Event()
        self._store, self._at, self._calls = store, stop_at, 0
        for name in ("move", "delete"):
            monkeypatch.setattr(store._api, name, self._paced(getattr(store._api, name)))  # type: ignore[attr-defined]

    def _paced(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def paced(*args: Any) -> Any:
            self._calls += 1
            if self._calls == self._at:
                self.stopped.set()
                assert self.go_on.wait(30)
            return call(*args)

        return paced

    def write(self, name: str, content: bytes) -> None:
        try:
            put(self._store, name, content)
        finally:
            self.stopped.set()

    @property
    def ended(self) -> bool:
        return self._calls < self._at


@pytest.mark.parametrize("name", ["a", "a" * 255], ids=["with a name beside it", "without"])
def test_two_writers_in_any_order(dbfs: Bench, name: str) -> None:
    """The first stops anywhere; the second goes as far as it is let; the first goes on to its end, then the second."""
    token, sizes = AccessToken(dbfs.databricks.token), itertools.count(MIB + 1)
    folder = f"dbfs:{dbfs.root}"
    orders = 0
    for first_stops in itertools.count(1):
        for second_stops in itertools.count(1):
            contents = [bytes([n]) * next(sizes) for n in (1, 2)]
            with (
                open_store(dbfs.databricks.url, folder, token) as one,
                open_store(dbfs.databricks.url, folder, token) as two,
                pytest.MonkeyPatch.context() as patch,
                ThreadPoolExecutor(2) as pool,
            ):
                first, second = Paced(one, first_stops, patch), Paced(two, second_stops, patch)
                writes = [pool.submit(first.write, name, contents[0])]
                assert first.stopped.wait(30)
                writes.append(pool.submit(second.write, name, contents[1]))
                assert second.stopped.wait(30)
                first.go_on.set()
                writes[0].result()
                second.go_on.set()
                writes[1].result()
            assert get(dbfs.direct, name) in contents, (first_stops, second_stops)
            assert paths(dbfs.direct) == [name]
            orders += 1
            if second.ended:
                break
        if first.ended:
            break
    assert orders >= 9


def test_a_name_that_is_too_long_for_another_beside_it(dbfs: Bench) -> None:
    """It is replaced all the same, though with a moment without either."""
    name = "n" * 250
    assert name_of_new(name) is None
    for content in (OLD, MIDDLE, SMALL):
        put(dbfs.store, name, content)
        assert get(dbfs.direct, name) == content
    assert paths(dbfs.direct) == [name]
