"""How tests find their servers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext

import pytest

from tests.servers import NoServer, fixtures
from tests.servers.fixtures import Servers, Source


def source(title: str, lacks: str | None = None) -> Source[str]:
    return Source(title, lambda: lacks, lambda: nullcontext(f"from {title}"))


@pytest.fixture
def servers() -> Servers:
    return Servers(ExitStack())


@pytest.fixture(autouse=True)
def nothing_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    """But for what a test requires itself."""
    monkeypatch.delenv("TEST_REQUIRE", raising=False)


def offer(monkeypatch: pytest.MonkeyPatch, *sources: Source[str]) -> None:
    monkeypatch.setitem(fixtures.SOURCES, "postgres", list(sources))


def test_first_that_there_is(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, source("a", "a is missing"), source("b"), source("c"))
    assert servers.postgres == "from b"
    assert "postgres: b" in fixtures.report_header()


def test_named_address_comes_first(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_AZURITE_URL", "http://127.0.0.1:10000/devstoreaccount1")
    assert servers.azurite.url == "http://127.0.0.1:10000/devstoreaccount1"
    assert "azurite: $TEST_AZURITE_URL" in fixtures.report_header()


def test_none_skips_with_the_reasons(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, source("a", "a is missing"), source("b", "b is broken"))
    monkeypatch.setenv("TEST_REQUIRE", "azurite")
    with pytest.raises(pytest.skip.Exception, match="no postgres: a is missing; b is broken"):
        _ = servers.postgres
    assert "postgres: none: a is missing; b is broken" in fixtures.report_header()


def test_none_fails_where_it_is_required(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, source("a", "a is missing"))
    monkeypatch.setenv("TEST_REQUIRE", "azurite, postgres")
    with pytest.raises(pytest.fail.Exception, match="postgres is required"):
        _ = servers.postgres


def test_each_is_started_once(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []
    offer(monkeypatch, Source("a", lambda: None, lambda: nullcontext(started.append("a"))))  # type: ignore[list-item]
    _ = servers.postgres, servers.postgres
    assert started == ["a"]


def test_one_that_cannot_be_had_is_tried_once(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    @contextmanager
    def start() -> Iterator[str]:
        tried.append("a")
        raise NoServer("no network")
        yield

    offer(monkeypatch, Source("a", lambda: None, start))
    for _ in range(2):
        with pytest.raises(pytest.skip.Exception, match="no postgres: no network"):
            _ = servers.postgres
    assert tried == ["a"]
