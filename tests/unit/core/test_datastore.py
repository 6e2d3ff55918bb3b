from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_azureml_datastores.core.credentials import Anonymous
from airflow_azureml_datastores.core.datastore import BUILT_IN, Datastore, UnknownLocation, check_datastore_name
from airflow_azureml_datastores.errors import InvalidInput, InvalidName, Unsupported

LOCATION = UnknownLocation("AzureHologram", {"url": "https://example.com"})


@pytest.mark.parametrize("name", ["a", "0", "Sales-2026_eu", "a" * 255, *BUILT_IN])
def test_names(name: str) -> None:
    assert check_datastore_name(name) == name
    assert Datastore(name, LOCATION).name == name


@pytest.mark.parametrize(
    "name", ["", " ", "-a", "_a", "a b", "a/b", "a.b", "ä", "a\n", "٣", "a" * 256, "${{default_datastore}}", None, 5]
)
def test_names_against_the_rules(name: str) -> None:
    with pytest.raises(InvalidName, match=re.escape(f"{name!r} is not a datastore name: 1 to 255 letters, digits")):
        check_datastore_name(name)
    with pytest.raises(InvalidInput):
        Datastore(name, LOCATION)


@given(st.text())
def test_a_name_is_one_of_arm_or_refused(name: str) -> None:
    """Against the rule as ARM's REST specification writes it."""
    if re.match(r"^[a-zA-Z0-9][a-zA-Z0-9\-_]{0,254}\Z", name):
        assert check_datastore_name(name) == name
    else:
        with pytest.raises(InvalidName):
            check_datastore_name(name)


def test_the_location_has_to_be_one() -> None:
    with pytest.raises(InvalidInput, match="location of datastore 'sales' is a str"):
        Datastore("sales", "https://example.com")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "built_in"), [("workspaceblobstore", True), ("WorkspaceFileStore", True), ("workspace", False)]
)
def test_built_in(name: str, built_in: bool) -> None:
    assert Datastore(name, LOCATION).built_in is built_in


def test_a_type_of_the_future_is_kept_but_not_opened() -> None:
    datastore = Datastore("later", LOCATION)
    assert datastore.type == "AzureHologram"
    with pytest.raises(Unsupported, match="'AzureHologram' are not known to this version"):
        datastore.location.open(Anonymous())


def test_a_type_without_an_endpoint_cannot_be_redirected() -> None:
    with pytest.raises(Unsupported, match="no service endpoint"):
        LOCATION.redirected("http://127.0.0.1:10000")
