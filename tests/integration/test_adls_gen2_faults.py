"""The Data Lake Gen2 store on bad days; what it has in common with the Blob store is tried there."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from airflow_azureml_datastores.core.credentials import AccountKey
from airflow_azureml_datastores.core.store import FileStore
from airflow_azureml_datastores.errors import AccessDenied, Changed, PathExists, PathNotFound, Unavailable
from airflow_azureml_datastores.stores._azure import Patience
from airflow_azureml_datastores.stores.adls_gen2 import AzureDataLakeGen2, AzureDataLakeGen2Store
from tests.servers.fault import Answer, CutResponse, Fault, FaultProxy, LoseResponse, Meanwhile, ResetRequest
from tests.servers.fixtures import Servers
from tests.unit.transfer.publishing import Rig

QUICK = Patience(retries=4, backoff=0.01, timeout=10)
MIB = 1 << 20
BIG = random.Random(1).randbytes(13 * MIB)
SMALL = random.Random(2).randbytes(50_000)


@dataclass
class Bench:
    """A store behind the proxy, and the same filesystem reached directly."""

    proxy: FaultProxy
    store: AzureDataLakeGen2Store
    direct: AzureDataLakeGen2Store

    def struck(self) -> int:
        return sum(seen.fault is not None for seen in self.proxy.seen)


@pytest.fixture
def bench(servers: Servers) -> Iterator[Bench]:
    account = servers.adls.new_account()
    account.create("data")
    url, key = servers.adls.plain_url(account), AccountKey(account.key)
    with (
        FaultProxy(url) as proxy,
        AzureDataLakeGen2Store(AzureDataLakeGen2(account.name, "data", endpoint=proxy.url), key, QUICK) as store,
        AzureDataLakeGen2Store(AzureDataLakeGen2(account.name, "data", endpoint=url), key, QUICK) as direct,
    ):
        yield Bench(proxy, store, direct)


def put(store: FileStore, path: str, content: bytes = SMALL, *, create: bool = False) -> str:
    return store.write(path, [content], size=len(content), create=create)


def get(store: FileStore, path: str) -> bytes:
    return b"".join(store.read(path))


def paths(store: FileStore) -> list[str]:
    return [info.path for info in store.list()]


TROUBLES: dict[str, Callable[[str], Fault]] = {
    "429": lambda match: Answer(match, 429, "TooManyRequests", times=2),
    "500": lambda match: Answer(match, 500, "InternalError", times=2),
    "503": lambda match: Answer(match, 503, "ServerBusy", times=2),
    "reset": lambda match: ResetRequest(match, times=2),
    "lost response": lambda match: LoseResponse(match, times=2),
}


@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES)
class TestTroublePasses:
    def test_bytes(self, bench: Bench, trouble: Callable[[str], Fault]) -> None:
        bench.proxy.plan(trouble("PUT .*/a/small"), trouble("PUT .*comp=blocklist"), trouble("GET .*/a/"))
        bench.proxy.plan(trouble("GET .*comp=list"), trouble("HEAD "), trouble("DELETE "))
        assert put(bench.store, "a/small", create=True) == bench.store.stat("a/small").etag
        put(bench.store, "a/big", BIG)
        assert get(bench.store, "a/small") == SMALL
        assert get(bench.store, "a/big") == BIG
        assert paths(bench.store) == ["a/big", "a/small"]
        bench.store.delete("a/big")
        assert paths(bench.direct) == ["a/small"]
        assert bench.struck() == 12

    def test_rename(self, bench: Bench, trouble: Callable[[str], Fault]) -> None:
        put(bench.direct, "old/sub/a")
        bench.proxy.plan(trouble("PUT .*mode=legacy"))
        bench.store.rename_directory("old", "new")
        assert paths(bench.direct) == ["new/sub/a"]
        assert bench.struck() >= 1, "what was done is not asked for again"

    def test_rename_where_the_folder_above_is_missing(self, bench: Bench, trouble: Callable[[str], Fault]) -> None:
        put(bench.direct, "old/a")
        bench.proxy.plan(trouble("PUT .*resource=directory"), trouble("PUT .*mode=legacy"))
        bench.store.rename_directory("old", "b/c/new")
        assert paths(bench.direct) == ["b/c/new/a"]

    def test_make_and_delete(self, bench: Bench, trouble: Callable[[str], Fault]) -> None:
        put(bench.direct, "model/a")
        bench.proxy.plan(trouble("PUT .*resource=directory"), trouble("DELETE .*recursive=true"))
        assert bench.store.make_directory_like("staged", "model")
        put(bench.store, "staged/b")
        bench.store.delete_directory("staged")
        assert paths(bench.direct) == ["model/a"]
        assert bench.struck() == 4

    def test_publish(self, bench: Bench, trouble: Callable[[str], Fault]) -> None:
        Rig(bench.direct, "gold/").publish({"old": b"0"}, publisher="earlier")
        bench.proxy.plan(trouble("PUT .*mode=legacy"), trouble("DELETE .*recursive=true"), trouble("PUT .*publishing"))
        rig = Rig(bench.store, "gold/")
        rig.publish({"a": b"1", "b/c": SMALL}, "overwrite")
        assert rig.found() == {"a": b"1", "b/c": SMALL}
        assert rig.backstage() == []


class TestRename:
    def test_somebody_takes_the_name_meanwhile(self, bench: Bench) -> None:
        put(bench.direct, "old/a")
        bench.proxy.plan(Meanwhile("PUT .*mode=legacy", lambda: put(bench.direct, "new/theirs")))
        with pytest.raises(PathExists, match="new"):
            bench.store.rename_directory("old", "new")
        assert paths(bench.direct) == ["new/theirs", "old/a"]

    def test_somebody_takes_the_folder_away_meanwhile(self, bench: Bench) -> None:
        put(bench.direct, "old/a")
        bench.proxy.plan(Meanwhile("PUT .*mode=legacy", lambda: bench.direct.rename_directory("old", "theirs")))
        with pytest.raises(PathNotFound, match="'old'"):
            bench.store.rename_directory("old", "new")
        assert paths(bench.direct) == ["theirs/a"]

    def test_trouble_stays(self, bench: Bench) -> None:
        put(bench.direct, "old/a")
        bench.proxy.plan(Answer("PUT .*mode=legacy", 503, times=100))
        with pytest.raises(Unavailable, match="503 ServerBusy"):
            bench.store.rename_directory("old", "new")
        assert paths(bench.direct) == ["old/a"]
        assert 1 < len(bench.proxy.requests("PUT .*mode=legacy")) <= 1 + QUICK.retries

    def test_refusal_is_final(self, bench: Bench) -> None:
        put(bench.direct, "old/a")
        bench.proxy.plan(Answer("PUT .*mode=legacy", 403, "AuthorizationPermissionMismatch", times=100))
        with pytest.raises(AccessDenied):
            bench.store.rename_directory("old", "new")
        assert len(bench.proxy.requests("PUT .*mode=legacy")) == 1


def test_broken_downloads_are_mended(bench: Bench) -> None:
    put(bench.direct, "big", BIG)
    bench.proxy.plan(CutResponse("GET .*big", 10_000), CutResponse("GET .*big", MIB // 2, reset=True, skip=1, times=2))
    assert get(bench.store, "big") == BIG
    assert bench.struck() == 3


def test_changed_while_being_read(bench: Bench) -> None:
    put(bench.direct, "big", BIG)
    bench.proxy.plan(Meanwhile("GET .*big", lambda: put(bench.direct, "big", bytes(len(BIG))), skip=1))
    with pytest.raises(Changed):
        list(bench.store.read("big"))
