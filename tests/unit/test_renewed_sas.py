"""When a SAS token is renewed, by a clock that the test turns."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from airflow_azureml_datastores.core.credentials import RenewedSas
from airflow_azureml_datastores.errors import AccessDenied, DatastoresError, InvalidConnection, Unavailable
from airflow_azureml_datastores.stores._renewed_sas import CurrentSas, expiry_of

START = datetime(2030, 1, 1, tzinfo=UTC)
HOUR = 3600.0


class Issuer:
    """Gives tokens out, and a clock.

    :param life: seconds that each token lasts; None is for as long as a stored access policy says.
    :param ahead: seconds by which the clock here differs from the issuer's.
    """

    def __init__(self, life: float | None = HOUR, ahead: float = 0) -> None:
        self.life, self.ahead = life, ahead
        self.passed = 0.0
        self.given: list[str] = []
        self.failure: DatastoresError | None = None
        self.asked = 0

    def clock(self) -> float:
        return START.timestamp() + self.passed + self.ahead

    def renew(self) -> str:
        self.asked += 1
        if self.failure:
            raise self.failure
        until = START + timedelta(seconds=self.passed + (self.life or 0))
        end = f"se={until:%Y-%m-%dT%H%%3A%M%%3A%SZ}&" if self.life is not None else ""
        self.given.append(f"sv=2025-01-05&{end}sig={len(self.given)}")
        return self.given[-1]

    def sas(self) -> CurrentSas:
        return CurrentSas(RenewedSas(self.renew), self.clock)


@pytest.mark.parametrize(("life", "renewed_after"), [(HOUR, HOUR - 300), (600.0, 540.0), (24 * HOUR, 24 * HOUR - 300)])
def test_renewed_in_time(life: float, renewed_after: float) -> None:
    issuer = Issuer(life)
    sas = issuer.sas()
    assert issuer.asked == 0, "only when it is needed"
    first = sas.token()
    issuer.passed = renewed_after - 1
    assert sas.token() == first
    issuer.passed = renewed_after + 1
    assert sas.token() == issuer.given[1] != first
    assert issuer.asked == 2


def test_without_an_end_it_is_kept_until_it_is_refused() -> None:
    issuer = Issuer(None)
    sas = issuer.sas()
    first = sas.token()
    issuer.passed = 1000 * HOUR
    assert sas.token() == first
    assert sas.after_refusal(first) == issuer.given[1]
    assert sas.token() == issuer.given[1]


def test_clock_that_is_behind_costs_one_refusal() -> None:
    """By the clock here the token has time left, but the service says no."""
    issuer = Issuer(HOUR, ahead=-1200)
    sas = issuer.sas()
    first = sas.token()
    issuer.passed = HOUR + 60
    assert sas.token() == first
    assert sas.after_refusal(first) == issuer.given[1]


def test_clock_that_is_far_ahead_does_not_ask_each_time() -> None:
    """By the clock here every token is over when it comes."""
    issuer = Issuer(HOUR, ahead=2 * HOUR)
    sas = issuer.sas()
    assert {sas.token() for _ in range(5)} == {issuer.given[0]}
    issuer.passed = HOUR
    assert sas.after_refusal(sas.token()) == issuer.given[1]


def test_new_token_that_is_refused_is_not_the_reason() -> None:
    issuer = Issuer()
    sas = issuer.sas()
    assert sas.after_refusal(sas.token()) is None
    issuer.passed = 61
    assert sas.after_refusal(sas.token()) == issuer.given[1]
    assert sas.after_refusal(sas.token()) is None
    assert issuer.asked == 2


def test_issuer_that_gives_the_same_again() -> None:
    sas = CurrentSas(RenewedSas(lambda: "sig=same"), Issuer().clock)
    sas._doubt_until = 0
    sas._token = "sig=same"
    assert sas.after_refusal("sig=same") is None


def test_token_that_others_have_renewed_meanwhile() -> None:
    issuer = Issuer()
    sas = issuer.sas()
    first = sas.token()
    issuer.passed = HOUR
    second = sas.token()
    assert sas.after_refusal(first) == second
    assert issuer.asked == 2


@pytest.mark.parametrize("error", [AccessDenied("no role"), Unavailable("no answer")], ids=lambda e: type(e).__name__)
def test_renewal_that_fails_is_told_to_all_and_tried_again_later(error: DatastoresError) -> None:
    issuer = Issuer()
    issuer.failure = error
    sas = issuer.sas()
    for _ in range(5):
        with pytest.raises(type(error), match=str(error)):
            sas.token()
    assert issuer.asked == 1
    issuer.failure, issuer.passed = None, 11
    assert sas.token() == issuer.given[0]


def test_one_thread_renews_for_all() -> None:
    issuer = Issuer()
    sas = issuer.sas()
    together, found = threading.Barrier(16), []

    def ask() -> None:
        together.wait()
        found.append(sas.token())

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [issuer.given[0]] * 16
    assert issuer.asked == 1


def test_token_is_tidied_and_has_to_be_complete() -> None:
    assert CurrentSas(RenewedSas(lambda: " ?sv=1&sig=x\n")).token() == "sv=1&sig=x"
    with pytest.raises(InvalidConnection, match="no signature") as caught:
        CurrentSas(RenewedSas(lambda: "sv=1&HUSH")).token()
    assert "HUSH" not in str(caught.value)


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ("se=2030-01-01T00%3A00%3A00Z&sig=x", START),
        ("se=2030-01-01&sig=x", START),
        ("se=nonsense&sig=x", None),
        ("sig=x", None),
    ],
)
def test_expiry(token: str, expected: datetime | None) -> None:
    assert expiry_of(token) == expected
