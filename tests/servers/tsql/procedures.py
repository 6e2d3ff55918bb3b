"""The system procedures that drivers and programs call."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from tests.servers.tsql import tokens
from tests.servers.tsql.batch import Batch
from tests.servers.tsql.errors import SqlError, refused
from tests.servers.tsql.lexer import ident, literal
from tests.servers.tsql.params import Call, Parameter
from tests.servers.tsql.statements import Column, Statement
from tests.servers.tsql.translate import PgError, translated
from tests.servers.tsql.types import MAX, SqlType
from tests.servers.tsql.words import LEGACY, Context, Words

if TYPE_CHECKING:
    from tests.servers.tsql.session import Session


def remote(session: Session, request: Call) -> None:
    """A call as a request of its own: with return status and OUTPUT parameters."""
    name = request.procedure.lower().replace("[", "").replace("]", "").rpartition(".")[2]
    given = request.parameters
    handle = None
    if name == "sp_prepexec":
        handle = _prepared(session, given[1].text(), given[2].text())
        status = execute(session, given[2].text(), given[1].text(), given[3:])
    elif name == "sp_prepare":
        handle = _prepared(session, given[1].text(), given[2].text())
        status = 0
    elif name == "sp_execute":
        number = int(given[0].text())
        if number not in session.prepared:
            raise SqlError(8179, f"Could not find prepared statement with handle {number}.")
        declared, sql = session.prepared[number]
        status = execute(session, sql, declared, given[1:])
    elif name == "sp_unprepare":
        session.prepared.pop(int(given[0].text()), None)
        status = 0
    else:
        status = call(session, name, given)
    session.reply.write(tokens.return_status(status))
    if handle is not None:
        session.reply.write(tokens.return_int(0, given[0].name, handle))


def _prepared(session: Session, declared: str, sql: str) -> int:
    handle = max(session.prepared, default=0) + 1
    session.prepared[handle] = (declared, sql)
    return handle


def call(session: Session, name: str, given: list[Parameter]) -> int:
    """Run a procedure; gives its return status."""
    spelled, name = name, name.lower()
    if name == "sp_executesql":
        declared = given[1].text() if len(given) > 1 else ""
        return execute(session, given[0].text(), declared, given[2:])
    if name == "sp_describe_first_result_set":
        return _describe_first(session, given)
    if name == "sp_describe_undeclared_parameters":
        return _describe_undeclared(session, given)
    if name in ("sp_datatype_info", "sp_datatype_info_90", "sp_datatype_info_100"):
        return _type_info(session, given)
    if name == "sp_rename":
        return _rename(session, given)
    if name in ("sp_getapplock", "sp_releaseapplock"):
        return _app_lock(session, name, given)
    raise SqlError(2812, f"Could not find stored procedure '{spelled}'.", state=62)


def declarations(declared: str) -> list[tuple[str, SqlType]]:
    """``@P1 nvarchar(4000), @P2 int``"""
    reader = Words(declared, Context())
    found = []
    while reader.here.kind != "end":
        token = reader.next()
        if token.kind != "variable":
            raise refused(f"the declaration of parameters {declared[:100]}")
        reader.accept("AS")
        kind = reader.type()
        if reader.accept("OUTPUT") or reader.accept("OUT") or reader.accept("READONLY"):
            raise refused("OUTPUT parameters of statements")
        found.append((token.text, kind))
        if not reader.accept(","):
            break
    return found


def execute(session: Session, sql: str, declared: str, given: list[Parameter]) -> int:
    """A statement with parameters."""
    names = declarations(declared)
    variables: dict[str, Parameter] = {}
    for at, value in enumerate(given):
        if at >= len(names):
            raise SqlError(8144, "Procedure or function has too many arguments specified.")
        name, kind = names[at]
        if value.name:
            name, kind = next((n, k) for n, k in names if n.lower() == value.name.lower())
        if value.value is None or kind.name == value.type.name or kind.name in LEGACY:
            variables[name.lower()] = Parameter(name, _wider(kind, value.type), value.value)
        else:
            variables[name.lower()] = Parameter(name, value.type, value.value)
    missing = [name for name, _ in names if name.lower() not in variables]
    if missing:
        raise SqlError(8178, f"The parameterized query '({declared})' expects the parameter '{missing[0]}', which was "
                             "not supplied.")  # fmt: skip
    session.call(sql, variables)
    return 0


def _wider(kind: SqlType, sent: SqlType) -> SqlType:
    """The declared type, unless it would cut off what was sent."""
    if kind.name != sent.name:
        return kind
    if kind.name in ("time", "datetime2", "datetimeoffset") and sent.scale > kind.scale:
        return sent
    return sent if kind.name in ("decimal", "numeric") and sent.scale > kind.scale else kind


def _named(given: list[Parameter], *names: str) -> dict[str, Parameter]:
    found = {}
    for name, value in zip(names, given, strict=False):
        found[(value.name or name).lower()] = value
    return found


DESCRIPTION = [
    ("is_hidden", SqlType("bit")), ("column_ordinal", SqlType("int")), ("name", SqlType("nvarchar", 128)),
    ("is_nullable", SqlType("bit")), ("system_type_id", SqlType("int")), ("system_type_name", SqlType("nvarchar", 256)),
    ("max_length", SqlType("smallint")), ("precision", SqlType("tinyint")), ("scale", SqlType("tinyint")),
    ("collation_name", SqlType("nvarchar", 128)), ("error_number", SqlType("int")),
    ("error_severity", SqlType("int")), ("error_message", SqlType("nvarchar", 4000)),
]  # fmt: skip


def _describe_first(session: Session, given: list[Parameter]) -> int:
    named = _named(given, "@tsql", "@params", "@browse_information_mode")
    declared = named["@params"].text() if "@params" in named else ""
    columns = first_result(session, named["@tsql"].text(), declared)
    row = session.reply.columns([Column("", name, kind) for name, kind in DESCRIPTION[:-3]])
    for at, column in enumerate(columns, 1):
        session.reply.write(row(described(session, at, column)))
    session.reply.done(tokens.COUNT, len(columns), tokens.SELECT)
    return 0


def described(session: Session, at: int, column: Column) -> list[bytes | None]:
    kind = column.type
    query = "SELECT system_type_id, precision, scale FROM t.kinds WHERE name = $1"
    number, precision, scale = session.engine.rows(query, [kind.name.replace("numeric", "decimal").encode()])[0]
    if kind.name in ("decimal", "numeric"):
        precision, scale = str(kind.precision).encode(), str(kind.scale).encode()
    elif kind.name in ("time", "datetime2", "datetimeoffset"):
        width = {"time": 8, "datetime2": 19, "datetimeoffset": 26}[kind.name] + (kind.scale + 1 if kind.scale else 0)
        precision, scale = str(width).encode(), str(kind.scale).encode()
    collation = b"SQL_Latin1_General_CP1_CI_AS" if "char" in kind.name else None
    return [
        b"0", str(at).encode(), column.name.encode() or None, b"0" if column.required else b"1", number,
        str(kind).encode(), str(kind.max_length).encode(), precision, scale, collation,
    ]  # fmt: skip


def first_result(session: Session, sql: str, declared: str) -> list[Column]:
    """The columns of the first statement that gives rows; none if no statement does."""
    variables = {name.lower(): Parameter(name, kind, None) for name, kind in declarations(declared)}
    context = Context(variables, session.context_values())
    check = Batch(sql, Context(dict(variables), context.values), session)
    while not check.over:
        check.statement(live=False)
    if session.grammar:
        session.grammar.check(sql)
    batch = Batch(sql, context, session)
    with session.kept():
        while not batch.over:
            statement = Statement("SELECT")
            try:
                statement = batch.statement(live=True)
                if statement.query:
                    return session.engine.described(statement.query, statement.names, statement.outer_joins)
                if statement.kind in ("INSERT", "UPDATE", "DELETE"):
                    session.engine.prepare(statement.sql[-1])
            except PgError as error:
                statement.tables = statement.tables or batch.tables
                raise translated(error, statement, session.database) from error
    return []


_UNDECLARED = [
    ("parameter_ordinal", SqlType("int")), ("name", SqlType("nvarchar", 128)),
    ("suggested_system_type_id", SqlType("int")), ("suggested_system_type_name", SqlType("nvarchar", 256)),
    ("suggested_max_length", SqlType("smallint")), ("suggested_precision", SqlType("tinyint")),
    ("suggested_scale", SqlType("tinyint")), ("suggested_user_type_id", SqlType("int")),
    ("suggested_user_type_database", SqlType("nvarchar", 128)),
    ("suggested_user_type_schema", SqlType("nvarchar", 128)), ("suggested_user_type_name", SqlType("nvarchar", 128)),
    ("suggested_assembly_qualified_type_name", SqlType("nvarchar", 4000)),
    ("suggested_xml_collection_id", SqlType("int")),
    ("suggested_xml_collection_database", SqlType("nvarchar", 128)),
    ("suggested_xml_collection_schema", SqlType("nvarchar", 128)),
    ("suggested_xml_collection_name", SqlType("nvarchar", 128)),
    ("suggested_is_xml_document", SqlType("bit")), ("suggested_is_case_sensitive", SqlType("bit")),
    ("suggested_is_fixed_length_clr_type", SqlType("bit")), ("suggested_is_input", SqlType("bit")),
    ("suggested_is_output", SqlType("bit")), ("formal_parameter_name", SqlType("nvarchar", 128)),
    ("suggested_tds_type_id", SqlType("int")), ("suggested_tds_length", SqlType("int")),
]  # fmt: skip


def _describe_undeclared(session: Session, given: list[Parameter]) -> int:
    named = _named(given, "@tsql", "@params")
    found = session.undeclared(named["@tsql"].text())
    row = session.reply.columns([Column("", name, kind) for name, kind in _UNDECLARED])
    for at, (name, kind) in enumerate(found, 1):
        _, _, _, _, number, shown, length, precision, scale, _ = described(session, at, Column("", name, kind))
        values: list[bytes | None] = [None] * len(_UNDECLARED)
        values[:8] = [str(at).encode(), name.encode(), number, shown, length, precision, scale, number]
        values[16:21] = [b"0", b"0", b"0", b"1", b"0"]
        values[22] = str(kind.info()[0]).encode()
        values[23] = str(65535 if kind.size == MAX else kind.max_length).encode()
        session.reply.write(row(values))
    session.reply.done(tokens.COUNT, len(found), tokens.SELECT)
    return 0


_TYPE_INFO = [
    ("TYPE_NAME", SqlType("nvarchar", 128)), ("DATA_TYPE", SqlType("smallint")), ("PRECISION", SqlType("int")),
    ("LITERAL_PREFIX", SqlType("varchar", 32)), ("LITERAL_SUFFIX", SqlType("varchar", 32)),
    ("CREATE_PARAMS", SqlType("varchar", 32)), ("NULLABLE", SqlType("smallint")),
    ("CASE_SENSITIVE", SqlType("smallint")), ("SEARCHABLE", SqlType("smallint")),
    ("UNSIGNED_ATTRIBUTE", SqlType("smallint")), ("MONEY", SqlType("smallint")),
    ("AUTO_INCREMENT", SqlType("smallint")), ("LOCAL_TYPE_NAME", SqlType("nvarchar", 128)),
    ("MINIMUM_SCALE", SqlType("smallint")), ("MAXIMUM_SCALE", SqlType("smallint")),
    ("SQL_DATA_TYPE", SqlType("smallint")), ("SQL_DATETIME_SUB", SqlType("smallint")),
    ("NUM_PREC_RADIX", SqlType("int")), ("INTERVAL_PRECISION", SqlType("smallint")),
    ("USERTYPE", SqlType("smallint")),
]  # fmt: skip
# name, ODBC's number, size, scale
_ODBC_TYPES = [
    ("uniqueidentifier", -11, 36, None), ("ntext", -10, 1073741823, None), ("nvarchar", -9, 4000, None),
    ("nchar", -8, 4000, None), ("bit", -7, 1, 0), ("tinyint", -6, 3, 0), ("bigint", -5, 19, 0),
    ("image", -4, 2147483647, None), ("varbinary", -3, 8000, None), ("binary", -2, 8000, None),
    ("text", -1, 2147483647, None), ("char", 1, 8000, None), ("numeric", 2, 38, 38), ("decimal", 3, 38, 38),
    ("int", 4, 10, 0), ("smallint", 5, 5, 0), ("float", 6, 53, None), ("real", 7, 24, None),
    ("varchar", 12, 8000, None), ("date", 91, 10, 0), ("time", -154, 16, 7), ("datetime2", 93, 27, 7),
    ("datetime", 93, 23, 3), ("datetimeoffset", -155, 34, 7),
]  # fmt: skip


def _type_info(session: Session, given: list[Parameter]) -> int:
    """What ODBC's SQLGetTypeInfo asks: drivers take from it how large their parameters may get."""
    wanted = int(given[0].text() or 0) if given else 0
    row = session.reply.columns([Column("", name, kind) for name, kind in _TYPE_INFO])
    found = [each for each in _ODBC_TYPES if wanted in (0, each[1])]
    for name, number, size, scale in found:
        values: list[bytes | None] = [None] * len(_TYPE_INFO)
        values[0] = values[12] = name.encode()
        values[1] = values[15] = str(number).encode()
        values[2], values[6], values[7], values[8] = str(size).encode(), b"1", b"0", b"3"
        values[13] = values[14] = None if scale is None else str(scale).encode()
        session.reply.write(row(values))
    session.reply.done(tokens.COUNT, len(found), tokens.SELECT)
    return 0


def _rename(session: Session, given: list[Parameter]) -> int:
    """Only of tables."""
    named = _named(given, "@objname", "@newname", "@objtype")
    if "@objtype" in named and named["@objtype"].text().upper() != "OBJECT":
        raise refused("sp_rename of what is no table")
    reader = Batch(named["@objname"].text(), Context({}, session.context_values()), session)
    table, name = reader.table(), named["@newname"].text()
    renamed = f"{table.pg.partition('.')[0]}.{ident(name)}"
    sql = [f"ALTER TABLE {table.pg} RENAME TO {ident(name)}", f"COMMENT ON TABLE {renamed} IS {literal(name)}"]
    session.changed(Statement("ALTER TABLE", sql, target=table, tables={table.pg.replace('"', ""): table}))
    return 0


def _app_lock(session: Session, name: str, given: list[Parameter]) -> int:
    taking = name == "sp_getapplock"
    order = ("@resource", "@lockmode", "@lockowner", "@locktimeout") if taking else ("@resource", "@lockowner")
    named = _named(given, *order)
    owner = named["@lockowner"].text().lower() if "@lockowner" in named else "transaction"
    mode = named["@lockmode"].text().lower() if "@lockmode" in named else "exclusive"
    key = int.from_bytes(hashlib.md5(named["@resource"].text().encode()).digest()[:7], "big")
    if mode not in ("exclusive", "shared") or owner not in ("transaction", "session"):
        raise refused(f"application locks of {owner} in the mode {mode}")
    if owner == "transaction" and not session.trancount:
        return -999
    if not taking:
        if owner == "transaction":
            raise refused("giving back an application lock of the transaction before its end")
        return 0 if session.engine.rows(f"SELECT pg_advisory_unlock({key})")[0][0] == b"t" else -999
    shared = "_shared" if mode == "shared" else ""
    scope = "_xact" if owner == "transaction" else ""
    timeout = int(named["@locktimeout"].text()) if "@locktimeout" in named else session.lock_timeout
    return session.wait_for(f"SELECT pg_advisory{scope}_lock{shared}({key})", timeout)
