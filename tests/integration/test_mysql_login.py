"""Getting into a MySQL server that wants TLS and a password."""

from __future__ import annotations

import socket
import ssl
import struct
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest
import trustme
from sqlalchemy import make_url

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
from airflow_azureml_datastores.errors import AccessDenied, DatastoresError, InvalidConnection, InvalidInput
from airflow_azureml_datastores.stores.mysql import AzureMySql
from tests.servers.fixtures import require
from tests.servers.mariadb import DATABASE, lacks_mariadb, run_mariadb
from tests.servers.mariadb_tls import SecuredMariaDb, run_secured_mariadb

pytestmark = pytest.mark.xdist_group("secured mysql")


@pytest.fixture(scope="module")
def secured() -> Iterator[SecuredMariaDb]:
    require("mysql", lacks_mariadb())
    with run_secured_mariadb() as server:
        yield server


@pytest.fixture
def location(secured: SecuredMariaDb) -> AzureMySql:
    return AzureMySql("localhost", secured.database, secured.port, root_certificate=str(secured.ca))


def enter(location: AzureMySql, credential: Credential) -> str:
    """Who we are there; the users of this server may come by TLS only."""
    with location.open(credential) as store:
        store.check()
        with store.read(Query("select substring_index(user(), '@', 1) as who")) as rows:
            (found,) = [row["who"] for batch in rows.batches for row in batch.to_pylist()]
    assert isinstance(found, str)
    return found


def take_all(store: TableStore, sql: str) -> None:
    with store.read(Query(sql)) as rows:
        list(rows.batches)


def test_by_tls_and_password(location: AzureMySql, secured: SecuredMariaDb) -> None:
    assert enter(location, Login(*secured.login)) == "ann"


def test_by_a_token_in_place_of_the_password(location: AzureMySql, secured: SecuredMariaDb) -> None:
    """As Azure's servers take it."""
    user, password = secured.login
    assert enter(replace(location, user_id=user), AccessToken(password)) == "ann"


def test_a_certificate_of_an_unknown_authority_is_refused(location: AzureMySql, secured: SecuredMariaDb) -> None:
    with pytest.raises(AccessDenied, match="certificate verify failed"):
        enter(replace(location, root_certificate=None), Login(*secured.login))


def test_unless_the_user_says_so(location: AzureMySql, secured: SecuredMariaDb) -> None:
    anyone = replace(location, root_certificate=None, enforce_ssl=False)
    assert enter(anyone, Login(*secured.login)) == "ann"


def test_a_certificate_of_another_host_is_refused(location: AzureMySql, secured: SecuredMariaDb) -> None:
    with pytest.raises(AccessDenied, match=r"certificate is not valid for '127\.0\.0\.1'"):
        enter(replace(location, server_name="127.0.0.1"), Login(*secured.login))


def test_a_file_of_authorities_that_is_not_there(location: AzureMySql, secured: SecuredMariaDb) -> None:
    with pytest.raises(InvalidInput, match=r"root_certificate '/no/such\.pem' cannot be read"):
        enter(replace(location, root_certificate="/no/such.pem"), Login(*secured.login))


@pytest.mark.parametrize("login", [("ann", "wrong s3cret"), ("nobody", "wrong s3cret"), ("ann", "")])
def test_a_wrong_login_is_refused(location: AzureMySql, login: tuple[str, str]) -> None:
    with pytest.raises(AccessDenied) as caught:
        enter(location, Login(*login))
    assert "wrong s3cret" not in "".join(traceback.format_exception(caught.value))


def test_the_password_is_in_no_error(
    location: AzureMySql, secured: SecuredMariaDb, caplog: pytest.LogCaptureFixture
) -> None:
    """Wherever it fails."""
    caplog.set_level(0)
    texts = []
    login = Login(*secured.login)
    broken = ["select exp(1000) as x", "select * from nope", "select"]
    for place in (location, replace(location, database_name="nope"), replace(location, root_certificate=None)):
        with place.open(login) as store:
            texts += [repr(store), repr(login), str(vars(store))]
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
        AzureMySql("contoso", "crm").open(credential)


@pytest.mark.parametrize("credential", [ServicePrincipal("t", "c", "s"), Identity("managed")])
def test_tokens_of_entra_go_to_azure_only(credential: Credential) -> None:
    for elsewhere in ("db.example.com", "contoso.postgres.database.azure.com", "mysql.database.azure.com.evil.example"):
        with pytest.raises(InvalidConnection, match=f"{elsewhere} is none of its hosts"):
            AzureMySql(elsewhere, "crm", user_id="ann").open(credential)
    azure = AzureMySql("contoso", "crm", user_id="ml reader")
    assert azure.open(credential).url == "mysql://contoso.mysql.database.azure.com/crm"


def test_tokens_go_to_known_certificates_only() -> None:
    with pytest.raises(InvalidConnection, match="register the datastore with enforce_ssl=True"):
        AzureMySql("contoso", "crm", user_id="ann", enforce_ssl=False).open(AccessToken("t"))


@pytest.fixture
def azure_like(tmp_path: Path) -> Iterator[tuple[int, Path, list[bytes]]]:
    """A server that asks for a token as Azure's do, and refuses it: its port, its authority, what it was sent."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    sent: list[bytes] = []

    def packet(number: int, content: bytes) -> bytes:
        return len(content).to_bytes(3, "little") + bytes([number]) + content

    def serve() -> None:
        plain, _ = listening.accept()
        # https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase_packets.html
        greeting = struct.pack("<B7sI9sHBHHB10s", 10, b"8.0.40\0", 1, b"s" * 8 + b"\0", 0x8A08, 45, 2, 8, 21, b"")
        plain.sendall(packet(0, greeting + b"s" * 12 + b"\0caching_sha2_password\0"))
        plain.recv(36, socket.MSG_WAITALL)
        with context.wrap_socket(plain, server_side=True) as tls:
            tls.recv(4096)
            tls.sendall(packet(3, b"\xfemysql_clear_password\0"))
            sent.append(tls.recv(4096)[4:])
            tls.sendall(packet(5, b"\xff\x15\x04#28000Access denied"))

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1], tmp_path / "ca.pem", sent
        thread.join(10)


def test_a_token_is_sent_as_it_is(azure_like: tuple[int, Path, list[bytes]]) -> None:
    port, ca, sent = azure_like
    location = AzureMySql("localhost", "crm", port, user_id="ml", root_certificate=str(ca))
    with (
        location.open(AccessToken("t0ken-" * 300)) as store,
        pytest.raises(AccessDenied, match="Access denied") as caught,
    ):
        store.check()
    assert sent == [b"t0ken-" * 300 + b"\0"]
    assert "t0ken" not in "".join(traceback.format_exception(caught.value))


def test_a_server_without_tls() -> None:
    """Is not spoken to, unless the user says so."""
    require("mysql", lacks_mariadb())
    with run_mariadb("--skip-ssl") as text:
        url = make_url(text)
        location, login = (
            AzureMySql(url.host or "", DATABASE, url.port or 0),
            Login(url.username or "", url.password or ""),
        )
        replace(location, enforce_ssl=False).open(login).check()
        with pytest.raises(AccessDenied, match="SSL is required but the server doesn't support it"):
            location.open(login).check()
