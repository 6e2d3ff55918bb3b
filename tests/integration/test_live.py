"""Sending the contract suites at a real service, for which a stand-in stands here."""

from __future__ import annotations

import os

import pytest

from tests import live
from tests.servers.fixtures import Servers


def test_each_service_has_its_suite() -> None:
    suites = live.suites()
    assert suites["TEST_ADLS_URL"] == ["tests/contract", "-k", "adls_gen2"]
    assert suites[live.WORKSPACE] == ["tests/contract/workspace", "-k", "live"]


def test_nothing_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    assert live.main([], {}) == 2
    assert "set one of AZUREML_LIVE_WORKSPACE, " in capfd.readouterr().err


def test_the_service_that_is_named_is_the_one_that_is_tried(
    servers: Servers, capfd: pytest.CaptureFixture[str]
) -> None:
    account = servers.adls.new_account()
    named = {
        "TEST_ADLS_URL": servers.adls.plain_url(account),
        "TEST_ADLS_ACCOUNT": account.name,
        "TEST_ADLS_KEY": account.key,
    }
    assert live.main(["-k", "adls_gen2 and (creators or TestDirectories)"], {**os.environ, **named}) == 0
    assert "9 passed" in capfd.readouterr().out
    assert {seen.by for seen in servers.adls.requests(f"/{account.name}/")} == {"key"}
    assert account.filesystems == {}, "nothing is left there"
