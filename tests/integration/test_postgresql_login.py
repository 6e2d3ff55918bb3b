"""Getting into a PostgreSQL server that wants TLS and a password."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from dataclasses import replace

import pytest

from airflow_azureml_datastores.core.credentials import (
    AccessToken,
    AccountKey,
    Anonymous,
    Credential,
    Identity,
    Login,
    SasToken,
    ServicePrincipal,
)
from airflow_azureml_datastores.core.table_store import Query, TableStore
from airflow_azureml_datastores.errors import AccessDenied, DatastoresError, InvalidConnection
from airflow_azureml_datastores.stores.postgresql import AzurePostgreSql
from tests.servers.postgres_tls import SecuredPostgres, run_secured_postgres

pytestmark = pytest.mark.xdist_group("secured postgres")


@pytest.fixture(scope="module")
def secured() -> Iterator[SecuredPostgres]:
    with run_secured_postgres() as server:
        yield server


@pytest.fixture
def location(secured: SecuredPostgres) -> AzurePostgreSql:
    return AzurePostgreSql("localhost", "postgres", secured.port, root_certificate=str(secured.ca))


def enter(location: AzurePostgreSql, credential: Credential) -> str:
    """Who we are there, as either client sees it."""
    with location.open(credential) as store:
        store.check()
        with store.read(Query("select current_user::text as who")) as rows:
            (found,) = [row["who"] for batch in rows.batches for row in batch.to_pylist()]
    assert isinstance(found, str)
    return found


def take_all(store: TableStore, sql: str) -> None:
    with store.read(Query(sql)) as rows:
        list(rows.batches)


def test_by_tls_and_password(location: AzurePostgreSql, secured: SecuredPostgres) -> None:
    secured.ways()
    assert enter(location, Login(*secured.login)) == "ann"
    ways = secured.ways()
    assert len(ways) >= 3
    assert set(ways) == {"tls"}


def test_by_a_token_in_place_of_the_password(location: AzurePostgreSql, secured: SecuredPostgres) -> None:
    """As Azure's servers take it."""
    user, password = secured.login
    assert enter(replace(location, user_id=user), AccessToken(password)) == "ann"


def test_a_certificate_of_an_unknown_authority_is_refused(location: AzurePostgreSql, secured: SecuredPostgres) -> None:
    with pytest.raises(AccessDenied, match="certificate verify failed"):
        enter(replace(location, root_certificate=None), Login(*secured.login))


def test_unless_the_user_says_so(location: AzurePostgreSql, secured: SecuredPostgres) -> None:
    anyone = replace(location, root_certificate=None, enforce_ssl=False)
    assert enter(anyone, Login(*secured.login)) == "ann"


def test_a_certificate_of_another_host_is_refused(location: AzurePostgreSql, secured: SecuredPostgres) -> None:
    with pytest.raises(AccessDenied, match="does not match host name"):
        enter(replace(location, server_name="127.0.0.1"), Login(*secured.login))


@pytest.mark.parametrize("login", [("ann", "wrong s3cret"), ("nobody", "wrong s3cret"), ("ann", "")])
def test_a_wrong_login_is_refused(location: AzurePostgreSql, login: tuple[str, str]) -> None:
    with pytest.raises(AccessDenied) as caught:
        enter(location, Login(*login))
    assert "wrong s3cret" not in "".join(traceback.format_exception(caught.value))


def test_the_password_is_in_no_error(
    location: AzurePostgreSql, secured: SecuredPostgres, caplog: pytest.LogCaptureFixture
) -> None:
    """Wherever it fails, in either client."""
    caplog.set_level(0)
    texts = []
    login = Login(*secured.login)
    broken = ["select 1/0 as x", "select 1/(n-70000) as x from generate_series(1,100000) as n", "select"]
    for place in (location, replace(location, database_name="nope"), replace(location, root_certificate=None)):
        with place.open(login) as store:
            texts += [repr(store), repr(login)]
            for sql in broken:
                with pytest.raises(DatastoresError) as caught:
                    take_all(store, sql)
                texts += ["".join(traceback.format_exception(caught.value)), repr(caught.value.args)]
    assert secured.login[1] not in "\n".join([*texts, caplog.text])


@pytest.mark.parametrize(
    ("credential", "problem"),
    [
        (Identity(), "register the datastore with its name as user_id"),
        (AccessToken("t"), "register the datastore with its name as user_id"),
        (AccountKey("k"), "does not take the account key: give a login and a password"),
        (SasToken("sig=x"), "does not take the SAS token"),
        (Anonymous(), "does not take anonymous access"),
    ],
)
def test_credentials_of_no_use(credential: Credential, problem: str) -> None:
    with pytest.raises(InvalidConnection, match=problem):
        AzurePostgreSql("contoso", "crm").open(credential)


@pytest.mark.parametrize("credential", [ServicePrincipal("t", "c", "s"), Identity("managed")])
def test_tokens_of_entra_go_to_azure_only(location: AzurePostgreSql, credential: Credential) -> None:
    with pytest.raises(InvalidConnection, match="localhost is none of its hosts"):
        replace(location, user_id="ann").open(credential)
    azure = AzurePostgreSql("contoso", "crm", user_id="ml reader")
    assert azure.open(credential).url == "postgresql://contoso.postgres.database.azure.com/crm"


@pytest.mark.parametrize("credential", [AccessToken("t"), ServicePrincipal("t", "c", "s"), Identity("managed")])
def test_tokens_go_to_known_certificates_only(credential: Credential) -> None:
    with pytest.raises(InvalidConnection, match="register the datastore with enforce_ssl=True"):
        AzurePostgreSql("contoso", "crm", user_id="ann", enforce_ssl=False).open(credential)
