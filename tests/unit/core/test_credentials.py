from __future__ import annotations

import dataclasses
from typing import get_args

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from airflow_azureml_datastores.core.credentials import Credential, Identity, ServicePrincipal

SECRETS = {"key", "token", "client_secret", "password", "renew", "content"}
"""Every field that may hold a secret; a new one belongs here or into OPEN."""
OPEN = {"tenant_id", "client_id", "authority", "kind", "username", "path"}

CLASSES = get_args(Credential)


@pytest.mark.parametrize("cls", CLASSES)
def test_every_field_is_known_as_secret_or_open(cls: type) -> None:
    assert {field.name for field in dataclasses.fields(cls)} <= SECRETS | OPEN


@pytest.mark.parametrize("cls", CLASSES)
@given(data=st.data(), secret=st.text(min_size=6))
def test_no_text_of_a_credential_shows_its_secret(cls: type, data: st.DataObject, secret: str) -> None:
    names = [field.name for field in dataclasses.fields(cls)]
    values = {name: secret if name in SECRETS else f"open-{name}" for name in names}
    credential = cls(**values)
    assume(secret not in repr(cls(**{**values, **dict.fromkeys(SECRETS & set(names), "")})))
    for text in (repr(credential), str(credential), f"{credential}", f"{[credential]!r}"):
        assert secret not in text
        assert repr(secret)[1:-1] not in text
        assert all(value in text for name, value in values.items() if name in OPEN)


def test_a_credential_cannot_be_changed() -> None:
    for cls in CLASSES:
        for field in dataclasses.fields(cls):
            credential = cls(**{f.name: "x" for f in dataclasses.fields(cls)})
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(credential, field.name, "y")


def test_defaults() -> None:
    assert Identity() == Identity("default", None, None, None)
    assert ServicePrincipal("t", "c", "s").authority is None
