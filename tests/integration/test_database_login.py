"""Getting into databases: servers that want TLS and a password, and which credentials go where."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

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
from airflow_azureml_datastores.stores.azure_sql import AzureSqlDatabase
from airflow_azureml_datastores.stores.mysql import AzureMySql
from airflow_azureml_datastores.stores.postgresql import AzurePostgreSql
from tests.servers.fixtures import require
from tests.servers.mariadb import lacks_mariadb
from tests.servers.mariadb_tls import SecuredMariaDb, run_secured_mariadb
from tests.servers.postgres_tls import SecuredPostgres, run_secured_postgres
from tests.servers.tsql import microsoft_driver

Secured = SecuredPostgres | SecuredMariaDb
RoleLocation = AzurePostgreSql | AzureMySql


@contextmanager
def secured_mariadb() -> Iterator[SecuredMariaDb]:
    require("mysql", lacks_mariadb())
    with run_secured_mariadb() as server:
        yield server


@dataclass(frozen=True)
class Kind:
    """A kind of database whose servers take a token in place of a role's password.

    :param who: a query of who we are there.
    :param broken: queries that fail, each somewhere else.
    :param of_another_host: what is said of a certificate.
    """

    location: type[RoleLocation]
    run: Callable[[], AbstractContextManager[Secured]]
    who: str
    broken: Sequence[str]
    of_another_host: str


POSTGRESQL = Kind(
    AzurePostgreSql,
    run_secured_postgres,
    "select current_user::text as who",
    ["select 1/0 as x", "select 1/(n-70000) as x from generate_series(1,100000) as n", "select"],
    "does not match host name",
)
MYSQL = Kind(
    AzureMySql,
    secured_mariadb,
    "select substring_index(user(), '@', 1) as who",
    ["select exp(1000) as x", "select * from nope", "select"],
    r"certificate is not valid for '127\.0\.0\.1'",
)


ON_POSTGRESQL = pytest.param(POSTGRESQL, id="postgresql", marks=pytest.mark.xdist_group("secured postgresql"))
ON_MYSQL = pytest.param(MYSQL, id="mysql", marks=pytest.mark.xdist_group("secured mysql"))


@pytest.fixture(scope="module", params=[ON_POSTGRESQL, ON_MYSQL])
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


@pytest.fixture(scope="module")
def secured(kind: Kind) -> Iterator[Secured]:
    with kind.run() as server:
        yield server


@pytest.fixture
def location(kind: Kind, secured: Secured) -> RoleLocation:
    return kind.location("localhost", secured.database, secured.port, root_certificate=str(secured.ca))


def take(store: TableStore, sql: str) -> list[Any]:
    with store.read(Query(sql)) as rows:
        return [value for batch in rows.batches for row in batch.to_pylist() for value in row.values()]


def enter(kind: Kind, location: RoleLocation, credential: Credential) -> str:
    """Who we are there, as each client of the store sees it."""
    with location.open(credential) as store:
        store.check()
        (found,) = take(store, kind.who)
    return str(found)


def test_by_tls_and_password(kind: Kind, location: RoleLocation, secured: Secured) -> None:
    assert enter(kind, location, Login(*secured.login)) == "ann"


def test_by_a_token_in_place_of_the_password(kind: Kind, location: RoleLocation, secured: Secured) -> None:
    """As Azure's servers take it."""
    user, password = secured.login
    assert enter(kind, replace(location, user_id=user), AccessToken(password)) == "ann"


@pytest.mark.parametrize("kind", [ON_POSTGRESQL], indirect=True)
def test_never_without_tls(kind: Kind, location: RoleLocation, secured: SecuredPostgres) -> None:
    """The user of the other one may come by TLS only."""
    secured.ways()
    enter(kind, location, Login(*secured.login))
    ways = secured.ways()
    assert len(ways) >= 3
    assert set(ways) == {"tls"}


def test_a_certificate_of_an_unknown_authority_is_refused(kind: Kind, location: RoleLocation, secured: Secured) -> None:
    with pytest.raises(AccessDenied, match="certificate verify failed"):
        enter(kind, replace(location, root_certificate=None), Login(*secured.login))


def test_unless_the_user_says_so(kind: Kind, location: RoleLocation, secured: Secured) -> None:
    anyone = replace(location, root_certificate=None, enforce_ssl=False)
    assert enter(kind, anyone, Login(*secured.login)) == "ann"


def test_a_certificate_of_another_host_is_refused(kind: Kind, location: RoleLocation, secured: Secured) -> None:
    with pytest.raises(AccessDenied, match=kind.of_another_host):
        enter(kind, replace(location, server_name="127.0.0.1"), Login(*secured.login))


@pytest.mark.parametrize("login", [("ann", "wrong s3cret"), ("nobody", "wrong s3cret"), ("ann", "")])
def test_a_wrong_login_is_refused(kind: Kind, location: RoleLocation, login: tuple[str, str]) -> None:
    with pytest.raises(AccessDenied) as caught:
        enter(kind, location, Login(*login))
    assert "wrong s3cret" not in "".join(traceback.format_exception(caught.value))


def test_the_password_is_in_no_error(
    kind: Kind, location: RoleLocation, secured: Secured, caplog: pytest.LogCaptureFixture
) -> None:
    """Wherever it fails, in whichever client."""
    caplog.set_level(0)
    texts = []
    login = Login(*secured.login)
    for place in (location, replace(location, database_name="nope"), replace(location, root_certificate=None)):
        with place.open(login) as store:
            texts += [repr(store), repr(login), str(vars(store))]
            for sql in kind.broken:
                with pytest.raises(DatastoresError) as caught:
                    take(store, sql)
                texts += ["".join(traceback.format_exception(caught.value)), repr(caught.value.args)]
    assert secured.login[1] not in "\n".join([*texts, caplog.text])


def postgresql(server: str, **fields: Any) -> AzurePostgreSql:
    return AzurePostgreSql(server, "crm", **{"user_id": "ml reader", **fields})


def mysql(server: str, **fields: Any) -> AzureMySql:
    return AzureMySql(server, "crm", **{"user_id": "ml reader", **fields})


def azure_sql(server: str, **fields: Any) -> AzureSqlDatabase:
    return AzureSqlDatabase(server, "crm", driver=microsoft_driver(), **fields)


every_database = pytest.mark.parametrize("at", [postgresql, mysql, azure_sql])


@every_database
@pytest.mark.parametrize(
    ("credential", "problem"),
    [
        (AccountKey("k"), "does not take the account key: give a login and a password"),
        (SasToken("sig=x"), "does not take the SAS token"),
        (Anonymous(), "does not take anonymous access"),
    ],
)
def test_credentials_of_no_use(at: Any, credential: Credential, problem: str) -> None:
    with pytest.raises(InvalidConnection, match=problem):
        at("contoso").open(credential)


@pytest.mark.parametrize("at", [postgresql, mysql])
@pytest.mark.parametrize("credential", [Identity(), AccessToken("t")])
def test_tokens_need_a_role(at: Any, credential: Credential) -> None:
    with pytest.raises(InvalidConnection, match="register the datastore with its name as user_id"):
        at("contoso", user_id=None).open(credential)


@pytest.mark.parametrize("credential", [ServicePrincipal("t", "c", "s"), Identity("managed")])
@pytest.mark.parametrize(
    ("at", "azure", "others"),
    [
        (
            postgresql,
            ["contoso", "contoso.postgres.database.usgovcloudapi.net"],
            ["contoso.mysql.database.azure.com", "postgres.database.azure.com.evil.example", "/run/postgresql"],
        ),
        (
            mysql,
            ["contoso", "contoso.mysql.database.chinacloudapi.cn"],
            ["contoso.postgres.database.azure.com", "mysql.database.azure.com.evil.example"],
        ),
        (
            azure_sql,
            ["contoso", "contoso.database.usgovcloudapi.net", "x.datawarehouse.fabric.microsoft.com"],
            ["database.windows.net.evil.example", "evildatabase.windows.net"],
        ),
    ],
)
def test_tokens_of_entra_go_to_azure_only(
    at: Any, azure: Sequence[str], others: Sequence[str], credential: Credential
) -> None:
    for host in (*others, "localhost", "db.example.com"):
        with pytest.raises(InvalidConnection, match=f"{host} is none of its hosts"):
            at(host).open(credential)
    for host in azure:
        at(host).open(credential)


@every_database
@pytest.mark.parametrize("credential", [AccessToken("t"), ServicePrincipal("t", "c", "s"), Identity("managed")])
def test_tokens_go_to_known_certificates_only(at: Any, credential: Credential) -> None:
    with pytest.raises(InvalidConnection, match="register the datastore with enforce_ssl=True"):
        at("contoso", enforce_ssl=False).open(credential)
