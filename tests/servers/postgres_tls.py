"""A PostgreSQL server behind TLS, that wants a password: the server that comes as a wheel is built without TLS."""

from __future__ import annotations

import asyncio
import multiprocessing
import ssl
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory

import trustme
from sqlalchemy import make_url

from tests.servers.postgres import run_postgres

# https://www.postgresql.org/docs/current/protocol-message-formats.html
_SSL_REQUEST, _GSS_REQUEST = 80877103, 80877104


@dataclass
class SecuredPostgres:
    """The server, at ``localhost``, which is the name in its certificate.

    :param ca: file with the authority that signed it.
    :param login: user name and password.
    """

    port: int
    ca: Path
    login: tuple[str, str]
    _told: Connection
    database: str = "postgres"

    def ways(self) -> list[str]:
        """Of each connection since this was asked last: ``tls`` or ``plain``."""
        found = []
        while self._told.poll(0.2):
            found.append(self._told.recv())
        return found


@contextmanager
def run_secured_postgres() -> Iterator[SecuredPostgres]:
    """Run it on a free loopback port. TLS has a process of its own: clients may hold this one's interpreter."""
    login = ("ann", 'pa\'ss \\word "äö" =x')
    context = multiprocessing.get_context("spawn")
    with TemporaryDirectory(prefix="postgres-tls-") as folder, run_postgres() as url:
        authority = trustme.CA()
        certificate = authority.issue_cert("localhost")
        ca, own = Path(folder, "ca.pem"), Path(folder, "server.pem")
        authority.cert_pem.write_to_path(str(ca))
        certificate.private_key_and_cert_chain_pem.write_to_path(str(own))
        data = str(make_url(url).query["host"])
        _want_password(data, *login)
        told, tell = context.Pipe(duplex=False)
        process = context.Process(target=_run, args=(tell, str(own), f"{data}/.s.PGSQL.5432"), daemon=True)
        process.start()
        try:
            assert told.poll(30)
            yield SecuredPostgres(told.recv(), ca, login, told)
        finally:
            process.kill()
            process.join()


def _want_password(data: str, name: str, password: str) -> None:
    import psycopg
    from psycopg import sql

    with psycopg.connect(host=data, user="postgres", dbname="postgres", autocommit=True) as connection:
        statement = "create role {} login superuser password {}"
        connection.execute(sql.SQL(statement).format(sql.Identifier(name), sql.Literal(password)))
        with open(f"{data}/pg_hba.conf", "w") as rules:
            rules.write("local all postgres trust\nlocal all all scram-sha-256\n")
        connection.execute("select pg_reload_conf()")


def _run(tell: Connection, certificate: str, upstream: str) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            await _exchange(reader, writer, tls, upstream, tell)
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        tell.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tls: ssl.SSLContext, upstream: str, tell: Connection
) -> None:
    way, first = "plain", await reader.readexactly(8)
    while (request := struct.unpack("!ii", first)[1]) in (_SSL_REQUEST, _GSS_REQUEST):
        writer.write(b"S" if request == _SSL_REQUEST else b"N")
        await writer.drain()
        if request == _SSL_REQUEST:
            await writer.start_tls(tls)
            way = "tls"
        first = await reader.readexactly(8)
    tell.send(way)
    from_server, to_server = await asyncio.open_unix_connection(upstream)
    to_server.write(first)
    await asyncio.gather(_pump(reader, to_server), _pump(from_server, writer))


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while block := await source.read(1 << 16):
        target.write(block)
        await target.drain()
    target.close()
