"""PostgreSQL's errors, as SQL Server's."""

from __future__ import annotations

import re

from psycopg import pq

from tests.servers.tsql.errors import SqlError, refused
from tests.servers.tsql.statements import Statement


class PgError(Exception):
    """PostgreSQL's error, not yet translated."""

    def __init__(self, result: pq.abc.PGresult) -> None:
        def field(which: pq.DiagnosticField) -> str:
            return (result.error_field(which) or b"").decode()

        self.state = field(pq.DiagnosticField.SQLSTATE)
        self.message = field(pq.DiagnosticField.MESSAGE_PRIMARY) or result.error_message.decode()
        self.detail = field(pq.DiagnosticField.MESSAGE_DETAIL)
        self.constraint = field(pq.DiagnosticField.CONSTRAINT_NAME)
        self.table = field(pq.DiagnosticField.TABLE_NAME)
        self.schema = field(pq.DiagnosticField.SCHEMA_NAME)
        self.column = field(pq.DiagnosticField.COLUMN_NAME)
        self.kind = ""
        super().__init__(f"{self.state} {self.message}")


def translated(error: PgError, statement: Statement, database: str) -> SqlError:
    """SQL Server's error for PostgreSQL's."""
    place = _place(error, statement)
    state, message = error.state, error.message
    if state[:1] == "T" and state[1:].isdigit():
        number = int(state[1:])
        return refused(message) if number == 9999 else SqlError(number, message)
    table = statement.target
    if state in ("42P01", "3F000", "42704"):
        return _no_object(error, statement)
    if state == "42703":
        name = re.sub(r'.*column "?(?:.*\.)?([^"]*?)"?( of relation .*)? does not exist', r"\1", message)
        return SqlError(207, f"Invalid column name '{statement.names.get(name, name)}'.")
    if state == "42702":
        name = re.sub(r'.*"(.*)".*', r"\1", message)
        return SqlError(209, f"Ambiguous column name '{statement.names.get(name, name)}'.")
    if state in ("42P07", "42P06", "42710"):  # the last one of the type that a table is, made by two at the same time
        name = table.name if table else (statement.words or [""])[0]
        return SqlError(2714, f"There is already an object named '{name}' in the database.", state=6)
    if state == "23502":
        column = next((c.name for c in statement.columns if c.pg == error.column), error.column)
        verb = "UPDATE" if statement.kind == "UPDATE" else "INSERT"
        catalogue = "tempdb" if table and table.temporary else database
        return SqlError(515, f"Cannot insert the value NULL into column '{column}', table '{catalogue}.{place}'; "
                             f"column does not allow nulls. {verb} fails.", state=2)  # fmt: skip
    if state == "23505":
        value = re.sub(r"^Key \(.*\)=\((.*)\) (already exists|is duplicated)\.$", r"\1", error.detail)
        return _not_unique(error, place, value)
    if state == "23514":
        return SqlError(547, f'The {statement.kind} statement conflicted with the CHECK constraint '
                             f'"{error.constraint}". '
                             f'The conflict occurred in database "{database}", table "{place}".', state=0)  # fmt: skip
    if state == "22003":
        kind = (
            "float"
            if "double" in message
            else "numeric"
            if "numeric" in message
            else "bigint"
            if "bigint" in message
            else "int"
        )
        return SqlError(8115, f"Arithmetic overflow error converting expression to data type {kind}.", state=2)
    known = {
        "22008": SqlError(241, "Conversion failed when converting date and/or time from character string."),
        "22012": SqlError(8134, "Divide by zero error encountered."),
        "40P01": SqlError(1205, "Transaction was deadlocked on lock resources with another process and has been chosen "
                                "as the deadlock victim. Rerun the transaction.", state=45, level=13),
        "55P03": SqlError(1222, "Lock request time out period exceeded.", state=51),
        "40001": SqlError(3960, "Snapshot isolation transaction aborted due to update conflict.", state=2),
        "42803": SqlError(8120, f"Column is invalid in the select list because it is not contained in either an "
                                f"aggregate function or the GROUP BY clause. ({message})"),
        "21000": SqlError(512, "Subquery returned more than 1 value."),
    }  # fmt: skip
    if state in known:
        return known[state]
    if found := re.match(r"function t\.json_source\(\W?(?:t\.)?(?:old_)?(\w+)", message):
        kind = found[1]
        return SqlError(8116, f"Argument data type {kind} is invalid for argument 1 of OpenJson function.")
    if found := re.match(r"operator does not exist: (?:t\.)?(\S+) (\S+) (?:t\.)?(.+)", message):
        named = [each.strip('"').removeprefix("old_") for each in (found[1], found[3])]
        if any(each in ("ntext", "text", "image") for each in named):
            return SqlError(
                402, f"The data types {named[0]} and {named[1]} are incompatible in the operator {found[2]}."
            )
    if state in ("22P02", "22032", "22P05") and ("json" in message or "Unicode" in message):
        return SqlError(13609, "JSON text is not properly formatted. Unexpected character is found.", state=4)
    return refused(f"this statement ({state} {message})")


def _place(error: PgError, statement: Statement) -> str:
    """The table, with its schema."""
    table = statement.target
    if table is None:
        return error.table
    return f"{'dbo' if table.temporary else table.schema}.{table.name}"


def _not_unique(error: PgError, place: str, value: str) -> SqlError:
    tail, name = f"The duplicate key value is ({value}).", error.constraint
    if name.startswith("pg_"):  # two make the same table at the same time
        return SqlError(2714, f"There is already an object named '{place}' in the database.", state=6)
    if error.kind in ("p", "u"):
        kind = "PRIMARY KEY" if error.kind == "p" else "UNIQUE KEY"
        text = f"Violation of {kind} constraint '{name}'. Cannot insert duplicate key in object '{place}'. {tail}"
        return SqlError(2627, text, level=14)
    text = f"Cannot insert duplicate key row in object '{place}' with unique index '{name}'. {tail}"
    return SqlError(2601, text, level=14)


def _no_object(error: PgError, statement: Statement) -> SqlError:
    if found := re.match(
        r'(?:missing FROM-clause entry|invalid reference to FROM-clause entry) for table "(.*)"', error.message
    ):
        return SqlError(4104, f'The multi-part identifier "{found[1]}" could not be bound.', level=16)
    name = re.sub(r'.*"(.*)".*', r"\1", error.message)
    spelled = next(
        (t.spelled for pg, t in statement.tables.items() if name in (pg, pg.partition(".")[2], pg.partition(".")[0])),
        name,
    )
    if statement.kind in ("DROP TABLE", "DROP VIEW"):
        kind = statement.kind.partition(" ")[2].lower()
        return SqlError(3701, f"Cannot drop the {kind} '{spelled}', because it does not exist or you do not have "
                              "permission.", state=5, level=11)  # fmt: skip
    if statement.kind in ("CREATE TABLE", "CREATE VIEW") and error.state == "3F000" and statement.target:
        return SqlError(2760, f'The specified schema name "{statement.target.schema}" either does not exist or you do '
                              "not have permission to use it.")  # fmt: skip
    if statement.kind == "ALTER TABLE":
        return SqlError(
            4902, f'Cannot find the object "{spelled}" because it does not exist or you do not have permissions.'
        )
    if statement.kind == "TRUNCATE":
        return SqlError(
            4701, f'Cannot find the object "{spelled}" because it does not exist or you do not have permissions.'
        )
    return SqlError(208, f"Invalid object name '{spelled}'.")
