"""Getting into a MySQL server: what is its own."""

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

from airflow_azureml_datastores.core.credentials import AccessToken, Login
from airflow_azureml_datastores.errors import AccessDenied, InvalidInput
from airflow_azureml_datastores.stores.mysql import AzureMySql
from tests.servers.fixtures import require
from tests.servers.mariadb import DATABASE, lacks_mariadb, run_mariadb


def test_a_file_of_authorities_that_is_not_there() -> None:
    with (
        AzureMySql("localhost", "crm", root_certificate="/no/such.pem").open(Login("ann", "x")) as store,
        pytest.raises(InvalidInput, match=r"root_certificate '/no/such\.pem' cannot be read"),
    ):
        store.check()


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
