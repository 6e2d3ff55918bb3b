"""The stand-in's process: listens, logs clients in, and does as the test says."""

from __future__ import annotations

import re
import socket
import ssl
import threading
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tests.servers.tsql import login as logins
from tests.servers.tsql import tokens, wire
from tests.servers.tsql.bulk import Bulk, destination
from tests.servers.tsql.engine import Cancelled, Engine
from tests.servers.tsql.errors import SqlError, refused
from tests.servers.tsql.params import Reader
from tests.servers.tsql.procedures import remote
from tests.servers.tsql.reply import Reply
from tests.servers.tsql.script_dom import ScriptDom
from tests.servers.tsql.session import Session
from tests.servers.tsql.transactions import Failed
from tests.servers.tsql.wire import Closed, Wire

_TRANSACTION = {5: "BEGIN TRANSACTION", 7: "COMMIT TRANSACTION", 8: "ROLLBACK TRANSACTION"}
_LEVELS = {1: "READ UNCOMMITTED", 2: "READ COMMITTED", 3: "REPEATABLE READ", 4: "SERIALIZABLE", 5: "SNAPSHOT"}


@dataclass(frozen=True)
class Account:
    """:param password: None for one that comes with a token."""

    password: str | None
    may_write: bool = True


@dataclass
class Fault:
    matching: str
    number: int
    drop: bool
    when: str
    times: int


@dataclass
class Settings:
    """What the process is started with.

    :param certificate: file with key and certificate; empty for no TLS.
    :param grammar: where ScriptDom is installed; None for the stand-in's own grammar alone.
    """

    conninfo: str
    database: str
    certificate: str
    accounts: dict[str, Account]
    tokens: dict[str, str]
    grammar: Path | None


@dataclass
class Server:
    settings: Settings
    faults: list[Fault] = field(default_factory=list)
    statements: list[str] = field(default_factory=list)
    sessions: list[dict[str, Any]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    grammar: ScriptDom | None = None

    def saw(self, statement: str) -> None:
        with self.lock:
            self.statements.append(statement)

    def fault(self, statement: str, when: str) -> Fault | None:
        """The fault that is to happen now, used up by that."""
        with self.lock:
            for fault in self.faults:
                if fault.when == when and re.search(fault.matching, statement, re.IGNORECASE | re.DOTALL):
                    fault.times -= 1
                    if fault.times <= 0:
                        self.faults.remove(fault)
                    return fault
        return None


def run(control: Connection, settings: Settings) -> None:
    """Serve till the other end of ``control`` is closed."""
    server = Server(settings)
    if settings.grammar:
        server.grammar = ScriptDom(settings.grammar)
    context = None
    if settings.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(settings.certificate)
        context.set_alpn_protocols(["tds/8.0"])
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    threading.Thread(target=_accept, args=(listener, server, context), daemon=True).start()
    control.send(listener.getsockname()[1])
    while True:
        try:
            command, given = control.recv()
        except EOFError:
            return
        with server.lock:
            control.send(_command(server, command, given))


def _command(server: Server, command: str, given: dict[str, Any]) -> Any:
    if command == "fault":
        server.faults.append(Fault(**given))
    elif command == "faults":
        return len(server.faults)
    elif command == "forget":
        server.faults.clear()
        server.statements.clear()
    elif command == "account":
        server.settings.accounts[given["user"]] = Account(given["password"], given["may_write"])
    elif command == "token":
        server.settings.tokens[given["token"]] = given["user"]
    elif command == "revoke":
        server.settings.tokens.pop(given["token"], None)
    elif command == "statements":
        return list(server.statements)
    elif command == "logins":
        return list(server.sessions)
    return None


def _accept(listener: socket.socket, server: Server, context: ssl.SSLContext | None) -> None:
    while True:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=_Client(connection, server, context).run, daemon=True).start()


class _Client:
    def __init__(self, connection: socket.socket, server: Server, context: ssl.SSLContext | None) -> None:
        self._wire, self._server, self._context = Wire(connection), server, context
        self._reply = Reply(self._wire)
        self._engine: Engine | None = None

    def run(self) -> None:
        try:
            session = self._log_in()
            while session:
                self._serve(session)
        except (Closed, Cancelled):
            pass
        finally:
            self._wire.close()
            if self._engine:
                self._engine.close()

    def _log_in(self) -> Session | None:
        strict = self._wire.strict()
        if strict and self._context:
            self._wire.handshake(self._context, wrapped=False)
        kind, content, _ = self._wire.receive()
        if kind != wire.PRELOGIN:
            return None
        options = logins.prelogin_options(content)
        wanted = options.get(1, b"\2")[0]
        encryption = logins.ENCRYPT_NOT_SUP
        if self._context and wanted != logins.ENCRYPT_NOT_SUP:
            encryption = logins.ENCRYPT_ON if wanted == logins.ENCRYPT_ON else logins.ENCRYPT_REQ
        elif self._context:
            encryption = logins.ENCRYPT_REQ
        self._wire.write(logins.prelogin_reply(encryption, 6 in options))
        self._wire.flush()
        if self._context and not strict:
            self._wire.handshake(self._context)
        kind, content, _ = self._wire.receive()
        if kind != wire.LOGIN:
            return None
        login = logins.read_login(content)
        settings = self._server.settings
        user = settings.tokens.get(login.token, "") if login.token is not None else login.user
        account = settings.accounts.get(user)
        right = account is not None and (login.token is not None or account.password == login.password)
        with self._server.lock:
            self._server.sessions.append(
                {"user": user or login.user, "database": login.database, "application": login.application,
                 "read_only": login.read_only, "token": login.token is not None, "accepted": right,
                 "encrypted": self._context is not None}
            )  # fmt: skip
        if not right or account is None:
            called = login.user or "<token-identified principal>"
            self._reply.error(SqlError(18456, f"Login failed for user '{called}'.", level=14))
            self._reply.end(False)
            return None
        if login.database and login.database.lower() != settings.database.lower():
            text = f'Cannot open database "{login.database}" requested by the login. The login failed.'
            self._reply.write(tokens.error(SqlError(4060, text, level=11)))
            self._reply.error(SqlError(18456, f"Login failed for user '{user}'.", level=14))
            self._reply.end(False)
            return None
        if fault := self._server.fault("LOGIN", "before"):
            self._reply.error(_wanted(fault))
            self._reply.end(False)
            return None
        self._engine = Engine(settings.conninfo, self._wire.spoken, self._wire.fileno())
        size = min(max(login.packet_size, 512), 32767)
        self._wire.write(tokens.logged_in(settings.database, size, 4096, login.token is not None))
        self._wire.flush()
        self._wire.size = size
        grammar = self._server.grammar
        return Session(self._engine, self._reply, settings.database, user, account.may_write, grammar)

    def _serve(self, session: Session) -> None:
        kind, content, reset = self._wire.receive()
        if kind == wire.ATTENTION:
            self._reply.attention()
            return
        session.engine.ready()
        try:
            if reset:
                session.reset()
                self._reply.write(tokens.changed(18, b"\0", b"\0"))
            try:
                self._request(session, kind, content)
            except Failed:
                pass
            except SqlError as error:
                self._reply.error(error)
            except (Closed, Cancelled):
                raise
            except Exception as error:  # noqa: BLE001 - it is not to be taken for a lost connection
                self._reply.error(refused(f"this: {error!r}"))
            self._reply.nested = False
            self._reply.end(session.trancount > 0)
        except Cancelled:
            kind, _, _ = self._wire.receive()
            self._reply.nested = False
            self._reply.attention()

    def _request(self, session: Session, kind: int, content: bytes) -> None:
        reader = Reader(content)
        if kind != wire.BULK:
            reader.skip_headers()
        if kind == wire.BATCH:
            sql = reader.take(reader.left).decode("utf-16-le")
            self._with_faults(session, sql, lambda: self._batch(session, sql))
        elif kind == wire.BULK:
            bulk, session.bulk = session.bulk, None
            if bulk is None:
                raise refused("a bulk load that was not announced")
            self._with_faults(session, "BULK LOAD", lambda: session.told(lambda: bulk.load(session, content)))
        elif kind == wire.RPC:
            for call in reader.calls():
                self._call(session, call)
        elif kind == wire.TRANSACTION:
            self._transaction(session, reader)
        else:
            raise refused(f"messages of the type {kind}")

    def _batch(self, session: Session, sql: str) -> None:
        if sql.lstrip()[:11].upper() == "INSERT BULK":
            session.bulk = Bulk(session, sql)
            self._reply.done()
        elif not destination(session, sql):
            session.batch(sql)

    def _call(self, session: Session, call: Any) -> None:
        texts = [p.text() for p in call.parameters if p.type.name in ("nvarchar", "ntext")][:2]
        name = call.procedure.rpartition(".")[2].lower()
        statement = {"sp_executesql": 0, "sp_prepexec": 1, "sp_prepare": 1}.get(name)
        if name == "sp_execute" and call.parameters:
            text = session.prepared.get(int(call.parameters[0].text() or 0), ("", ""))[1]
        else:
            text = texts[statement] if statement is not None and len(texts) > statement else f"EXEC {call.procedure}"
        self._reply.nested = True
        status = 0
        try:
            self._with_faults(session, text, lambda: remote(session, call))
        except Failed:
            status = tokens.ERROR
        except SqlError as error:
            self._reply.write(tokens.error(error))
            status = tokens.ERROR
        self._reply.done_procedure(status)

    def _transaction(self, session: Session, reader: Reader) -> None:
        which = reader.number(2)
        if which not in _TRANSACTION:
            raise refused(f"transaction requests of the type {which}")

        def act() -> None:
            if which == 5:
                level = reader.number(1)
                session.isolation = _LEVELS.get(level, session.isolation)
                session.begin()
            else:
                reader.take(reader.number(1))
                flags = reader.number(1) if reader.left else 0
                if session.trancount:
                    session.commit() if which == 7 else session.rollback()
                if flags & 1:
                    session.isolation = _LEVELS.get(reader.number(1), session.isolation)
                    session.begin()
            self._reply.done()

        self._with_faults(session, _TRANSACTION[which], act)

    def _with_faults(self, session: Session, statement: str, act: Any) -> None:
        self._server.saw(statement)
        if fault := self._server.fault(statement, "before"):
            _fail(session, fault)
        act()
        if fault := self._server.fault(statement, "after"):
            _fail(session, fault)


def _fail(session: Session, fault: Fault) -> None:
    session.fail(_wanted(fault))
    raise Failed


def _wanted(fault: Fault) -> SqlError:
    if fault.drop:
        raise Closed("as the test wants it")
    return SqlError(fault.number, f"The test wants error {fault.number} here.")
