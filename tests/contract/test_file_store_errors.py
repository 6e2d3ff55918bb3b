"""What goes wrong is said in this package's own errors, by name, and without secrets."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from airflow_azureml_datastores.core.store import FileStore
from airflow_azureml_datastores.errors import ContainerNotFound, DatastoresError, Unsupported
from tests.contract.helpers import get, put
from tests.contract.rig import MISSING, Rig

CALLS: dict[str, Callable[[FileStore], object]] = {
    "check": lambda store: store.check(),
    "list": lambda store: list(store.list()),
    "list of a prefix": lambda store: list(store.list("a/b")),
    "stat": lambda store: store.stat("a"),
    "read": lambda store: get(store, "a"),
    "read of a version": lambda store: get(store, "a", if_match="x"),
    "write": lambda store: put(store, "a"),
    "write below": lambda store: put(store, "a/b/c"),
    "big write": lambda store: put(store, "a", bytes(20 << 20)),
    "create": lambda store: put(store, "a", create=True),
    "delete": lambda store: store.delete("a"),
}


def test_check(store: FileStore) -> None:
    store.check()
    put(store, "a")
    store.check()


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_missing_container(rig: Rig, call: Callable[[FileStore], object]) -> None:
    """It is named, and nothing creates it by the way."""
    with rig.missing_store() as store:
        for _ in range(2):
            with pytest.raises(ContainerNotFound, match=MISSING):
                call(store)


def test_copy_with_a_missing_container(rig: Rig, store: FileStore) -> None:
    with rig.missing_store() as missing:
        if not store.can_copy_from(missing):
            pytest.skip("the store does not copy by itself")
        put(store, "a")
        with pytest.raises(ContainerNotFound, match=MISSING):
            missing.copy_from(store, "a", "b")
        with pytest.raises(ContainerNotFound, match=MISSING):
            store.copy_from(missing, "a", "b")


def test_url_and_representation_hold_no_secret(rig: Rig, store: FileStore) -> None:
    assert ":" in store.url
    for secret in rig.secrets:
        assert secret not in store.url
        assert secret not in repr(store)


def test_stores_have_different_urls(rig: Rig, store: FileStore) -> None:
    with rig.new_store() as other:
        assert other.url != store.url


def test_errors_hold_no_secret_and_name_the_path(rig: Rig, store: FileStore) -> None:
    put(store, "there")
    caught: list[DatastoresError] = []
    with rig.missing_store() as missing:
        for call in (
            lambda: store.stat("not-there"),
            lambda: get(store, "not-there"),
            lambda: put(store, "there", if_match="not-there"),
            lambda: put(missing, "not-there"),
            missing.check,
        ):
            with pytest.raises(DatastoresError) as error:
                call()
            caught.append(error.value)
    assert all("there" in str(error) or MISSING in str(error) for error in caught)
    for error in caught:
        for text in chain(error):
            assert not [secret for secret in rig.secrets if secret in text]


def chain(error: BaseException | None) -> list[str]:
    """What a traceback would show of an error and those behind it."""
    texts = []
    while error is not None:
        texts += [str(error), repr(error)]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return texts


def test_create_if_missing(rig: Rig, store: FileStore) -> None:
    """Where it can be made from here at all; one that is there stays as it is."""
    put(store, "a")
    try:
        store.create_if_missing()
    except Unsupported:
        pytest.skip("it is made elsewhere")
    assert get(store, "a") == b"x"
    with rig.absent_store() as missing:
        missing.create_if_missing()
        put(missing, "b")
        assert get(missing, "b") == b"x"
