"""The stand-in of SQL Server, as the real clients see it: Microsoft's ODBC driver, and FreeTDS."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pyodbc
import pytest

from tests.servers.fixtures import Servers
from tests.servers.tsql import REFUSED, TSql

FREE_TDS = "/usr/lib/x86_64-linux-gnu/odbc/libtdsodbc.so"
BOB = ("bob", "Simple1!x")
pyodbc.pooling = False


@pytest.fixture
def sql(servers: Servers) -> Iterator[TSql]:
    if not isinstance(servers.mssql, TSql):
        pytest.skip("a real server is played with, not tested")
    servers.mssql.account(*BOB)
    servers.mssql.forget()
    yield servers.mssql
    servers.mssql.forget()


def microsoft(sql: TSql, **more: str) -> str:
    return sql.odbc(**more)


def free_tds(sql: TSql, **more: str) -> str:
    parts = {"DRIVER": FREE_TDS, "SERVER": sql.host, "PORT": str(sql.port), "DATABASE": sql.database, "UID": BOB[0],
             "PWD": BOB[1], "TDS_Version": "7.4", "ClientCharset": "UTF-8"}  # fmt: skip
    return "".join(f"{name}={value};" for name, value in (parts | more).items())


@pytest.fixture(params=[microsoft, free_tds])
def way(request: pytest.FixtureRequest) -> Callable[..., str]:
    """Connection strings of a driver."""
    if request.param is free_tds and not os.path.exists(FREE_TDS):
        pytest.skip(f"no FreeTDS at {FREE_TDS}")
    found: Callable[..., str] = request.param
    return found


@pytest.fixture
def schema(sql: TSql) -> str:
    name = f"s{uuid4().hex[:8]}"
    sql.execute(f"CREATE SCHEMA {name}")
    return name


@contextmanager
def connected(text: str, **options: Any) -> Iterator[pyodbc.Connection]:
    connection = pyodbc.connect(text, **options)
    try:
        yield connection
    finally:
        connection.close()


@pytest.fixture
def link(sql: TSql, way: Callable[..., str]) -> Iterator[pyodbc.Connection]:
    with connected(way(sql), autocommit=True) as connection:
        yield connection


@pytest.fixture
def mine(sql: TSql) -> Iterator[pyodbc.Connection]:
    with connected(sql.odbc(), autocommit=True) as connection:
        yield connection


def number(error: pytest.ExceptionInfo[pyodbc.Error]) -> int:
    """SQL Server's number of an error."""
    return int(str(error.value.args[1]).rsplit("(", 2)[-2].partition(")")[0])


def drain(cursor: pyodbc.Cursor) -> None:
    while cursor.nextset():
        pass


def moment(*parts: int) -> datetime:
    return datetime(*parts)  # type: ignore[arg-type]  # noqa: DTZ001 - SQL Server's have no time zone


def rows(link: pyodbc.Connection, text: str, *values: object) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in link.execute(text, *values).fetchall()]


class TestLogins:
    def test_password_and_what_the_server_notes_of_it(self, sql: TSql, way: Callable[..., str]) -> None:
        with connected(way(sql)) as link:
            assert link.execute("SELECT DB_NAME()").fetchval() == sql.database
        found = sql.logins[-1]
        assert (found["accepted"], found["encrypted"], found["token"], found["read_only"]) == (True, True, False, False)

    def test_wrong_password(self, sql: TSql, way: Callable[..., str]) -> None:
        with pytest.raises(pyodbc.Error, match="Login failed for user") as caught:
            pyodbc.connect(way(sql, PWD="wrong"))
        assert number(caught) == 18456
        assert not sql.logins[-1]["accepted"]

    def test_wrong_database(self, sql: TSql, way: Callable[..., str]) -> None:
        with pytest.raises(pyodbc.Error, match=r"Cannot open database|Login failed"):
            pyodbc.connect(way(sql, DATABASE="other"))

    def test_access_token(self, sql: TSql) -> None:
        def connect(token: str) -> pyodbc.Connection:
            held = token.encode("utf-16-le")
            before = {1256: struct.pack("<i", len(held)) + held}
            return pyodbc.connect(sql.odbc(user="", password=""), attrs_before=before)

        sql.account("service", None)
        sql.token("a token", "service")
        with connect("a token") as link:
            assert link.execute("SELECT SUSER_SNAME()").fetchval() == "service"
        assert sql.logins[-1]["token"]
        sql.revoke("a token")
        with pytest.raises(pyodbc.Error) as caught:
            connect("a token")
        assert number(caught) == 18456

    def test_certificate_of_an_unknown_authority(self, sql: TSql) -> None:
        with pytest.raises(pyodbc.Error, match="certificate verify failed"):
            pyodbc.connect(sql.odbc(TrustServerCertificate="no"))

    @pytest.mark.parametrize("encrypt", ["yes", "strict"])
    def test_certificate_of_a_known_authority(self, sql: TSql, encrypt: str) -> None:
        text = sql.odbc(TrustServerCertificate="no", Encrypt=encrypt)
        code = "import os, pyodbc; print(pyodbc.connect(os.environ['TEXT']).execute('SELECT 7').fetchval())"
        environment = os.environ | {"SSL_CERT_FILE": str(sql.ca), "TEXT": text}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
        assert done.stdout.strip() == "7", done.stderr

    def test_intent_to_read_only(self, sql: TSql) -> None:
        with connected(sql.odbc(ApplicationIntent="ReadOnly", APP="reader")):
            pass
        assert (sql.logins[-1]["read_only"], sql.logins[-1]["application"]) == (True, "reader")

    def test_login_that_may_not_write(self, sql: TSql, schema: str) -> None:
        sql.account("guest", "guest", may_write=False)
        sql.execute(f"CREATE TABLE {schema}.t (a int)")
        with connected(sql.odbc(user="guest", password="guest"), autocommit=True) as link:
            assert rows(link, f"SELECT * FROM {schema}.t") == []
            link.execute("CREATE TABLE #mine (a int)")
            for text, expected in (
                (f"INSERT INTO {schema}.t VALUES (1)", 229),
                (f"CREATE TABLE {schema}.u (a int)", 262),
            ):
                with pytest.raises(pyodbc.Error, match="permission") as caught:
                    link.execute(text)
                assert number(caught) == expected


VALUES: list[tuple[str, Any]] = [
    ("bit", True),
    ("tinyint", 255),
    ("smallint", -32768),
    ("int", -(2**31)),
    ("bigint", 2**63 - 1),
    ("real", 1.5),
    ("float", 1.7976931348623157e308),
    ("decimal(38,10)", Decimal("-1234567890123456789012345678.0123456789")),
    ("decimal(9,2)", Decimal("-0.05")),
    ("numeric(19,0)", Decimal(10**18)),
    ("money", Decimal("-922337203685477.5807")),
    ("smallmoney", Decimal("214748.3647")),
    ("nvarchar(10)", "hä 😀 x  "),
    ("nvarchar(10)", ""),
    ("nvarchar(max)", "ü" * 100_000),
    ("varchar(10)", "é€x"),
    ("varchar(max)", "x" * 100_000),
    ("nchar(5)", "ab   "),
    ("char(3)", "a  "),
    ("varbinary(10)", b"\x00\xff\x10"),
    ("varbinary(max)", bytes(range(256)) * 1000),
    ("binary(4)", b"\x01\x00\x00\x00"),
    ("date", date(9999, 12, 31)),
    ("datetime2(6)", moment(2024, 2, 29, 23, 59, 59, 123456)),
    ("datetime2(0)", moment(1753, 1, 1)),
    ("datetime", moment(2024, 1, 1, 12, 0, 0, 997000)),
    ("smalldatetime", moment(2024, 1, 1, 12, 34)),
    ("uniqueidentifier", UUID("12345678-9abc-def0-1234-56789abcdef0")),
]


class TestTypes:
    @pytest.mark.parametrize(("kind", "value"), VALUES, ids=[f"{kind}-{at}" for at, (kind, _) in enumerate(VALUES)])
    def test_there_and_back(self, link: pyodbc.Connection, kind: str, value: Any) -> None:
        link.execute(f"CREATE TABLE #t (n int NOT NULL, v {kind} NULL)")
        given = str(value) if isinstance(value, UUID) else value
        link.execute("INSERT INTO #t VALUES (1, ?), (2, NULL)", given)
        found = rows(link, "SELECT n, v FROM #t ORDER BY n")
        held = found[0][1].upper() if kind == "uniqueidentifier" else found[0][1]
        assert held == (str(value).upper() if kind == "uniqueidentifier" else value)
        assert found[1] == (2, None)

    @pytest.mark.parametrize("kind", ["int", "nvarchar(5)", "nvarchar(max)", "varbinary(max)", "datetime2", "float"])
    def test_parameter_that_is_null(self, link: pyodbc.Connection, kind: str) -> None:
        if "tds" in link.getinfo(pyodbc.SQL_DRIVER_NAME) and kind.startswith("varbinary"):
            pytest.skip("FreeTDS sends it as varchar, which SQL Server does not take for a varbinary")
        link.execute(f"CREATE TABLE #t (v {kind})")
        link.execute("INSERT INTO #t (v) VALUES (?)", None)
        assert rows(link, "SELECT v FROM #t") == [(None,)]

    def test_hundreds_of_nanoseconds_and_offsets(self, mine: pyodbc.Connection) -> None:
        mine.execute("CREATE TABLE #t (a datetime2(7), b time(7), c datetimeoffset(7))")
        mine.execute("INSERT INTO #t VALUES (N'2024-01-31 23:59:59.1234567', '01:02:03.7654321', "
                     "'2024-01-01 00:30:00.0000001 +01:00')")  # fmt: skip
        mine.add_output_converter(-155, lambda held: struct.unpack("<6hI2h", held))
        mine.add_output_converter(pyodbc.SQL_TYPE_TIMESTAMP, lambda held: struct.unpack("<6hI", held))
        mine.add_output_converter(-154, lambda held: struct.unpack("<4hI", held)[:3] + struct.unpack("<4hI", held)[4:])
        assert rows(mine, "SELECT a, b, c FROM #t") == [
            ((2024, 1, 31, 23, 59, 59, 123456700), (1, 2, 3, 765432100), (2024, 1, 1, 0, 30, 0, 100, 1, 0))
        ]
        mine.execute("INSERT INTO #t (c) VALUES (N'2023-12-31 23:30:00.0000001 +00:00')")
        assert rows(mine, "SELECT COUNT(*) FROM #t AS x INNER JOIN #t AS y ON x.c = y.c") == [(4,)]

    def test_rounding_to_the_scale(self, mine: pyodbc.Connection) -> None:
        mine.execute("CREATE TABLE #t (a datetime2(3), b datetime, c smalldatetime, d decimal(5,2))")
        mine.execute("INSERT INTO #t VALUES ('2023-12-31 23:59:59.9996', '2024-01-01 00:00:00.005', "
                     "'2024-01-01 00:00:30', 1.255)")  # fmt: skip
        assert rows(mine, "SELECT * FROM #t") == [
            (moment(2024, 1, 1), moment(2024, 1, 1, 0, 0, 0, 7000), moment(2024, 1, 1, 0, 1), Decimal("1.26"))
        ]

    def test_strings_compare_without_case_and_blanks_at_the_end(self, link: pyodbc.Connection) -> None:
        text = "SELECT CASE WHEN N'Ä' = ? THEN 1 ELSE 0 END, CASE WHEN N'a' < N'B' THEN 1 ELSE 0 END"
        assert rows(link, text, "ä  ") == [(1, 1)]

    def test_uniqueidentifiers_sort_by_their_last_bytes_first(self, link: pyodbc.Connection) -> None:
        link.execute("CREATE TABLE #t (g uniqueidentifier)")
        first, last = "FFFFFFFF-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002"
        link.execute("INSERT INTO #t VALUES (?), (?)", last, first)
        assert [row[0].upper() for row in rows(link, "SELECT g FROM #t ORDER BY g")] == [first, last]


class TestQueries:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("SELECT TOP 1 * FROM (VALUES (1, 2)) AS v(a, b) WHERE a = '1'", [(1, 2)]),
            ("SELECT 1 WHERE CAST('2024-01-01' AS date) < '2024-01-02' AND CAST(1 AS bit) = 'true'", [(1,)]),
            ("SELECT SUBSTRING(N'abcdef', 2, 3), LEFT(N'abc', 2), RIGHT(N'abc', 2), UPPER(N'ä')",
             [("bcd", "ab", "bc", "Ä")]),
            ("SELECT a, SUM(a) OVER (ORDER BY a), COUNT(*) OVER () FROM (VALUES (1), (2)) AS v(a)",
             [(1, 1, 2), (2, 3, 2)]),
            ("SELECT TOP (2) value FROM GENERATE_SERIES(1, 9) ORDER BY value DESC", [(9,), (8,)]),
            ("SELECT value AS v FROM GENERATE_SERIES(1, 9) AS g ORDER BY v OFFSET 2 ROWS FETCH NEXT 2 ROWS ONLY",
             [(3,), (4,)]),
            ("WITH n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 1000) SELECT COUNT(*), MAX(i) FROM n "
             "OPTION (MAXRECURSION 0)", [(1000, 1000)]),
            ("SELECT x.a, y.b FROM (VALUES (1, N'p'), (2, N'q')) AS x(a, s) LEFT JOIN (VALUES (1, 5)) AS y(a, b) "
             "ON x.a = y.a ORDER BY x.a", [(1, 5), (2, None)]),
            ("SELECT a % 2 AS odd, COUNT(*) AS n FROM (VALUES (1), (2), (3)) AS v(a) GROUP BY a % 2 "
             "HAVING COUNT(*) > 1", [(1, 2)]),
            ("SELECT CASE WHEN 1 = 2 THEN N'a' ELSE N'b' END + N'c', -7 / 2, 7 % 4, LEN(N'ab  '), DATALENGTH(N'ab  ')",
             [("bc", -3, 3, 2, 8)]),
            ("SELECT CONVERT(varbinary(max), N'00ff', 2), CONVERT(varbinary(4), '0x01', 1), "
             "CONVERT(nvarchar(max), 0xAB, 2)",
             [(b"\x00\xff", b"\x01", "AB")]),
            ("SELECT CAST(1.9 AS int), TRY_CAST(N'x' AS int), ISNULL(NULL, 3), COALESCE(NULL, 4), NULLIF(1, 1)",
             [(1, None, 3, 4, None)]),
            ("SELECT [a]]b] FROM (SELECT 1 AS [a]]b]) AS [ü ö]", [(1,)]),
            ("SELECT 1 AS a UNION ALL SELECT 2", [(1,), (2,)]),
            ("SELECT a FROM (VALUES (NULL), (1)) AS v(a) ORDER BY a", [(None,), (1,)]),
            ("SELECT 1 WHERE N'50% Off' LIKE N'50[%] _f%'", [(1,)]),
            ("SELECT 1 WHERE EXISTS (SELECT 1) AND NOT (1 = 2 OR 2 IN (3, 4)) AND 2 BETWEEN 1 AND 3", [(1,)]),
        ],
    )  # fmt: skip
    def test_answers(self, link: pyodbc.Connection, text: str, expected: list[tuple[Any, ...]]) -> None:
        assert rows(link, text) == expected

    def test_names_of_columns(self, link: pyodbc.Connection) -> None:
        link.execute("CREATE TABLE #t ([Id] int, [Größe 😀] int, [" + "x" * 128 + "] int)")
        cursor = link.execute("SELECT t.*, COUNT(*) OVER_ALL FROM #t AS t GROUP BY Id, [größe 😀], [" + "X" * 128 + "]")
        assert [column[0] for column in cursor.description] == ["Id", "Größe 😀", "x" * 128, "OVER_ALL"]

    def test_several_results_of_a_batch(self, link: pyodbc.Connection) -> None:
        cursor = link.execute("SET NOCOUNT ON; SELECT 1 SELECT N'x'; IF 1 = 2 SELECT 5 ELSE SELECT 6")
        found = [cursor.fetchall()]
        while cursor.nextset():
            found.append(cursor.fetchall())
        assert [tuple(each[0]) for each in found] == [(1,), ("x",), (6,)]

    @pytest.mark.parametrize(
        "text",
        ["SELECT 1 FOR JSON PATH", "MERGE INTO t USING s ON 1 = 1 WHEN MATCHED THEN DELETE;",
         "WAITFOR DELAY '00:00:01'",
         "SELECT CAST(1 AS decimal(5,2)) * 3", "SELECT SOUNDEX(N'x')", "SELECT PARSE('1' AS int)"],
    )  # fmt: skip
    def test_what_it_does_not_know_it_refuses(self, link: pyodbc.Connection, text: str) -> None:
        with pytest.raises(pyodbc.Error) as caught:
            link.execute(text).fetchall()
        assert number(caught) in (REFUSED, 102, 156)


class TestTables:
    def test_upsert_through_a_staging_table(self, link: pyodbc.Connection, schema: str) -> None:
        table = f"[{schema}].[Sales]"
        link.execute(
            f"CREATE TABLE {table} ([Id] int NOT NULL PRIMARY KEY, [Name] nvarchar(20) NULL, [n] decimal(18,4))"
        )
        link.execute(f"INSERT INTO {table} VALUES (1, N'one', 1), (2, N'two', 2)")
        link.execute("CREATE TABLE #stage ([Id] int NOT NULL, [Name] nvarchar(max) NULL, [n] decimal(18,4) NULL)")
        held = json.dumps([[2, "TWO", "2.5"], [3, None, 3]])
        text = ("INSERT INTO #stage ([Id], [Name], [n]) SELECT [c1], [c2], [c3] FROM OPENJSON(?) "
                "WITH ([c1] int '$[0]', [c2] nvarchar(max) '$[1]', [c3] decimal(18,4) '$[2]')")  # fmt: skip
        assert link.execute(text, held).rowcount == 2
        link.autocommit = False
        update = (f"UPDATE t SET t.[Name] = s.[Name], [n] = s.[n] FROM {table} AS t WITH (UPDLOCK, HOLDLOCK) "
                  "INNER JOIN #stage AS s ON t.[Id] = s.[Id]")  # fmt: skip
        assert link.execute(update).rowcount == 1
        insert = (f"INSERT INTO {table} ([Id], [Name], [n]) SELECT s.[Id], s.[Name], s.[n] FROM #stage AS s WHERE NOT "
                  f"EXISTS (SELECT 1 FROM {table} AS t WITH (UPDLOCK, HOLDLOCK) WHERE t.[Id] = s.[Id])")  # fmt: skip
        assert link.execute(insert).rowcount == 1
        link.commit()
        assert rows(link, f"SELECT * FROM {table} ORDER BY Id") == [
            (1, "one", Decimal("1.0000")), (2, "TWO", Decimal("2.5000")), (3, None, Decimal("3.0000"))
        ]  # fmt: skip
        assert link.execute(f"DELETE t FROM {table} AS t INNER JOIN #stage AS s ON s.Id = t.Id").rowcount == 2
        link.execute(f"TRUNCATE TABLE {table}")
        link.commit()
        assert rows(link, f"SELECT COUNT(*) FROM {table}") == [(0,)]

    def test_ten_thousand_rows_at_once(self, link: pyodbc.Connection) -> None:
        link.execute("CREATE TABLE #t (id int PRIMARY KEY, name nvarchar(50), at datetime2(7), x float, ok bit)")
        names = ["id", "name", "at", "x", "ok"]
        held = [dict(zip(names, (n, f"näme {n}", "2024-01-01T10:00:00.1234567", n / 3, n % 2 == 0), strict=True))
                for n in range(10_000)]  # fmt: skip
        text = ("INSERT INTO #t SELECT id, name, at, x, ok FROM OPENJSON(CAST(? AS nvarchar(max))) "
                "WITH (id int '$.id', name nvarchar(50) "
                "'$.name', at datetime2(7) '$.at', x float '$.x', ok bit '$.ok')")  # fmt: skip
        start = time.monotonic()
        assert link.execute(text, json.dumps(held)).rowcount == 10_000
        assert time.monotonic() - start < 20
        assert rows(link, "SELECT COUNT(*), SUM(id), MAX(x) FROM #t") == [(10_000, 49_995_000, 9999 / 3)]

    def test_long_strings_come_as_ntext_unless_they_are_said_to_be_longer(self, mine: pyodbc.Connection) -> None:
        text, held = "SELECT COUNT(*) FROM OPENJSON({}) WITH (a int '$[0]')", json.dumps([[n] for n in range(2000)])
        with pytest.raises(pyodbc.Error, match="ntext is invalid") as caught:
            mine.execute(text.format("?"), held)
        assert number(caught) == 8116
        assert rows(mine, text.format("CAST(? AS nvarchar(max))"), held) == [(2000,)]
        cursor = mine.cursor()
        cursor.setinputsizes([(pyodbc.SQL_WVARCHAR, 0, 0)])
        assert cursor.execute(text.format("?"), held).fetchval() == 2000

    def test_json_of_each_kind(self, mine: pyodbc.Connection) -> None:
        held = [{"a": 1, "b": True, "c": "AQI=", "d": {"e": "deep"}, "f": [5, 6]}, {"a": None, "d": 5}]
        text = ("SELECT * FROM OPENJSON(?) WITH (a nvarchar(9), b bit, c varbinary(max), e nvarchar(9) '$.d.e', "
                "f int '$.f[1]', d nvarchar(max) '$.d')")  # fmt: skip
        assert rows(mine, text, json.dumps(held)) == [
            ("1", True, b"\x01\x02", "deep", 6, None), (None, None, None, None, None, "5")
        ]  # fmt: skip
        with pytest.raises(pyodbc.Error) as caught:
            mine.execute(text, "[{")
        assert number(caught) == 13609

    def test_temporary_tables_end_with_what_made_them(self, sql: TSql, mine: pyodbc.Connection) -> None:
        mine.execute("CREATE TABLE #t (a int)")
        with (
            connected(sql.odbc(), autocommit=True) as other,
            pytest.raises(pyodbc.Error, match="Invalid object name '#t'"),
        ):
            other.execute("SELECT * FROM #t")
        mine.execute("SELECT ? AS a INTO #u", 1)
        with pytest.raises(pyodbc.Error, match="Invalid object name '#u'"):
            mine.execute("SELECT * FROM #u")
        assert rows(mine, "SELECT OBJECT_ID(N'tempdb..#u')") == [(None,)]
        assert rows(mine, "SELECT COUNT(*) FROM sys.columns WHERE object_id = OBJECT_ID(N'tempdb..#t')") == [(1,)]

    def test_identity_and_defaults(self, link: pyodbc.Connection) -> None:
        link.execute(
            "CREATE TABLE #t (id int IDENTITY(5,1) NOT NULL, a int DEFAULT 7 NOT NULL, b nvarchar(9) DEFAULT N'x')"
        )
        link.execute("INSERT INTO #t (a) VALUES (1), (DEFAULT)")
        link.execute("INSERT INTO #t VALUES (3, NULL)")
        assert rows(link, "SELECT * FROM #t ORDER BY id") == [(5, 1, "x"), (6, 7, "x"), (7, 3, None)]
        with pytest.raises(pyodbc.Error) as caught:
            link.execute("INSERT INTO #t (id, a) VALUES (1, 1)")
        assert number(caught) == 544

    def test_many_rows_by_parameters(self, mine: pyodbc.Connection) -> None:
        mine.execute("CREATE TABLE #t (a int, b nvarchar(20), c datetime2(3), d decimal(9,2), e varbinary(9))")
        held = [(n, f"n{n}" if n % 3 else None, moment(2024, 1, 1, n % 24), Decimal(n) / 4, b"x") for n in range(500)]
        cursor = mine.cursor()
        cursor.fast_executemany = True
        cursor.executemany("INSERT INTO #t (a, b, c, d, e) VALUES (?, ?, ?, ?, ?)", held)
        assert rows(mine, "SELECT * FROM #t ORDER BY a") == held


ERRORS = [
    ("SELECT 1 +", 102),
    ("SELEC 1", 2812),
    ("SELECT FROM t", 156),
    ("SELECT 'x", 105),
    ("SELECT * FROM nowhere", 208),
    ("SELECT wrong FROM {t}", 207),
    ("SELECT q.a FROM {t}", 4104),
    ("CREATE TABLE {t} (a int)", 2714),
    ("INSERT INTO {t} (b) VALUES (N'x')", 515),
    ("INSERT INTO {t} (a, b) VALUES (7, N'123456')", 2628),
    ("INSERT INTO {t} (a, c) VALUES (7, 1000)", 8115),
    ("INSERT INTO {t} (a) VALUES (N'x')", 245),
    ("INSERT INTO {t} (a, c) VALUES (7, N'x')", 8114),
    ("INSERT INTO {t} (a, d) VALUES (7, N'2024-13-01')", 241),
    ("INSERT INTO {t} (a) VALUES (1)", 2627),
    ("INSERT INTO {t} (a, b) VALUES (7, N'ONE')", 2601),
    ("INSERT INTO {t} (a, e) VALUES (7, -1)", 547),
    ("INSERT INTO {t} (a) VALUES (1, 2)", 110),
    ("INSERT INTO {t} (a) SELECT 1, 2", 121),
    ("SELECT a / 0 FROM {t}", 8134),
    ("SELECT CAST(3000000000 AS int)", 8115),
    ("SELECT 2147483647 + a FROM {t}", 8115),
    ("SELECT @missing", 137),
    ("DROP TABLE {t}x", 3701),
    ("COMMIT TRANSACTION", 3902),
    ("EXEC nothing", 2812),
]


class TestErrors:
    @pytest.mark.parametrize(
        ("text", "expected"), ERRORS, ids=[f"{number}-{at}" for at, (_, number) in enumerate(ERRORS)]
    )
    def test_numbers(self, sql: TSql, link: pyodbc.Connection, schema: str, text: str, expected: int) -> None:
        table = f"{schema}.t"
        sql.execute(f"CREATE TABLE {table} (a int NOT NULL CONSTRAINT first PRIMARY KEY, b nvarchar(5), "
                    "c decimal(5,2), d date, e int CHECK (e >= 0))")  # fmt: skip
        sql.execute(f"CREATE UNIQUE INDEX names ON {table} (b)")
        sql.execute(f"INSERT INTO {table} (a, b) VALUES (1, N'one'), (2, N'two')")
        with pytest.raises(pyodbc.Error) as caught:
            link.execute(text.format(t=table)).fetchall()
        assert number(caught) == expected, caught.value
        assert rows(link, f"SELECT COUNT(*) FROM {table}") == [(2,)]

    def test_texts(self, sql: TSql, mine: pyodbc.Connection, schema: str) -> None:
        mine.execute(
            f"CREATE TABLE {schema}.[My Table] (Id int NOT NULL CONSTRAINT PK_My PRIMARY KEY, Word nvarchar(3))"
        )
        place = f"{sql.database}.{schema}.My Table"
        for text, expected in (
            ("(Id, Word) VALUES (1, N'abcd')", f"String or binary data would be truncated in table '{place}', column "
             "'Word'. Truncated value: 'abc'."),
            ("(Word) VALUES (N'a')", f"Cannot insert the value NULL into column 'Id', table '{place}'; column does not "
             "allow nulls. INSERT fails."),
            ("(Id) VALUES (1), (1)", f"Violation of PRIMARY KEY constraint 'PK_My'. Cannot insert duplicate key in "
             f"object '{schema}.My Table'. The duplicate key value is (1)."),
        ):  # fmt: skip
            with pytest.raises(pyodbc.Error) as caught:
                mine.execute(f"INSERT INTO {schema}.[My Table] {text}")
            assert expected in str(caught.value)


class TestTransactions:
    def test_commit_and_roll_back(self, sql: TSql, link: pyodbc.Connection, schema: str) -> None:
        sql.execute(f"CREATE TABLE {schema}.t (a int)")
        link.autocommit = False
        link.execute(f"INSERT INTO {schema}.t VALUES (1)")
        assert rows(link, "SELECT @@TRANCOUNT") == [(1,)]
        assert sql.execute(f"SELECT COUNT(*) FROM {schema}.t")[0][0] == 0
        link.rollback()
        link.execute(f"INSERT INTO {schema}.t VALUES (2)")
        link.execute(f"CREATE TABLE {schema}.u (a int)")
        link.commit()
        link.execute(f"DROP TABLE {schema}.u")
        link.rollback()
        assert rows(link, f"SELECT a FROM {schema}.t") == [(2,)]
        assert rows(link, f"SELECT a FROM {schema}.u") == []
        link.commit()
        link.autocommit = True
        assert rows(link, "SELECT @@TRANCOUNT") == [(0,)]

    def test_as_text(self, link: pyodbc.Connection, schema: str) -> None:
        link.execute(f"CREATE TABLE {schema}.t (a int)")
        link.execute(f"BEGIN TRANSACTION; INSERT INTO {schema}.t VALUES (1)")
        link.execute("IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION")
        link.execute(f"BEGIN TRAN INSERT INTO {schema}.t VALUES (2) COMMIT")
        assert rows(link, f"SELECT a, @@TRANCOUNT FROM {schema}.t") == [(2, 0)]

    def test_an_error_takes_only_its_statement(self, link: pyodbc.Connection, schema: str) -> None:
        link.execute(f"CREATE TABLE {schema}.t (a int PRIMARY KEY)")
        link.autocommit = False
        link.execute(f"INSERT INTO {schema}.t VALUES (1)")
        with pytest.raises(pyodbc.Error):
            link.execute(f"INSERT INTO {schema}.t VALUES (2), (1)")
        link.execute(f"INSERT INTO {schema}.t VALUES (3)")
        link.commit()
        assert rows(link, f"SELECT a FROM {schema}.t ORDER BY a") == [(1,), (3,)]

    def test_even_if_it_is_the_first(self, link: pyodbc.Connection, schema: str) -> None:
        link.execute(f"CREATE TABLE {schema}.t (a int NOT NULL)")
        link.autocommit = False
        for text in (
            "INSERT INTO {}.t VALUES (NULL)",
            "SELECT 1 / 0 FROM {0}.t RIGHT JOIN (SELECT 1 AS b) AS x ON 1 = 1",
        ):
            with pytest.raises(pyodbc.Error):
                link.execute(text.format(schema)).fetchall()
        link.execute(f"INSERT INTO {schema}.t VALUES (3)")
        link.commit()
        assert rows(link, f"SELECT a FROM {schema}.t") == [(3,)]

    def test_keys_that_swap_places(self, link: pyodbc.Connection) -> None:
        link.execute("CREATE TABLE #t (a int PRIMARY KEY)")
        link.execute("INSERT INTO #t VALUES (1), (2), (3)")
        assert link.execute("UPDATE #t SET a = a + 1").rowcount == 3
        assert link.execute("UPDATE #t SET a = 6 - a").rowcount == 3

    def test_unless_it_is_to_take_all(self, link: pyodbc.Connection, schema: str) -> None:
        link.execute(f"CREATE TABLE {schema}.t (a int PRIMARY KEY)")
        link.execute("SET XACT_ABORT ON")
        cursor = link.execute(
            f"BEGIN TRAN; INSERT INTO {schema}.t VALUES (1); INSERT INTO {schema}.t VALUES (1); COMMIT"
        )
        with pytest.raises(pyodbc.Error):
            drain(cursor)
        assert rows(link, f"SELECT COUNT(*), @@TRANCOUNT FROM {schema}.t") == [(0, 0)]

    def test_snapshot(self, sql: TSql, mine: pyodbc.Connection, schema: str) -> None:
        sql.execute(f"CREATE TABLE {schema}.t (a int)")
        sql.execute(f"INSERT INTO {schema}.t VALUES (1)")
        mine.execute("SET TRANSACTION ISOLATION LEVEL SNAPSHOT")
        mine.autocommit = False
        assert rows(mine, f"SELECT COUNT(*) FROM {schema}.t") == [(1,)]
        sql.execute(f"INSERT INTO {schema}.t VALUES (2)")
        sql.execute(f"UPDATE {schema}.t SET a = a + 10")
        assert rows(mine, f"SELECT a FROM {schema}.t") == [(1,)]
        with pytest.raises(pyodbc.Error) as caught:
            mine.execute(f"UPDATE {schema}.t SET a = 5")
        assert number(caught) == 3960
        mine.rollback()
        assert rows(mine, f"SELECT COUNT(*) FROM {schema}.t") == [(2,)]


class TestLocks:
    def test_the_second_waits_for_the_first(self, sql: TSql, way: Callable[..., str], schema: str) -> None:
        sql.execute(f"CREATE TABLE {schema}.t (a int)")
        text = f"SELECT COUNT(*) FROM {schema}.t WITH (UPDLOCK, HOLDLOCK)"
        with connected(way(sql)) as one, connected(way(sql)) as other, ThreadPoolExecutor() as pool:
            assert one.execute(text).fetchval() == 0
            waiting = pool.submit(lambda: other.execute(text).fetchval())
            time.sleep(0.5)
            assert not waiting.done()
            assert sql.execute(f"SELECT COUNT(*) FROM {schema}.t")[0][0] == 0
            one.execute(f"INSERT INTO {schema}.t VALUES (1)")
            one.commit()
            assert waiting.result(10) == 1
            other.rollback()

    def test_not_longer_than_it_wants(self, sql: TSql, mine: pyodbc.Connection, schema: str) -> None:
        sql.execute(f"CREATE TABLE {schema}.t (a int)")
        with connected(sql.odbc()) as one:
            one.execute(f"SELECT * FROM {schema}.t WITH (TABLOCKX)")
            mine.execute("SET LOCK_TIMEOUT 200")
            with pytest.raises(pyodbc.Error, match="Lock request time out period exceeded") as caught:
                mine.execute(f"INSERT INTO {schema}.t VALUES (1)")
            assert number(caught) == 1222
            one.rollback()
            mine.execute(f"INSERT INTO {schema}.t VALUES (1)")

    def test_deadlock(self, sql: TSql, schema: str) -> None:
        for name in "ab":
            sql.execute(f"CREATE TABLE {schema}.{name} (n int)")
            sql.execute(f"INSERT INTO {schema}.{name} VALUES (1)")

        def swap(first: str, second: str, both: threading.Barrier) -> int:
            with connected(sql.odbc()) as link:
                link.execute(f"UPDATE {schema}.{first} SET n = n + 1")
                both.wait()
                try:
                    link.execute(f"UPDATE {schema}.{second} SET n = n + 1")
                except pyodbc.Error as error:
                    with suppress(pyodbc.Error):
                        link.rollback()
                    return int("(1205)" in str(error))
                link.commit()
                return 0

        both = threading.Barrier(2)
        with ThreadPoolExecutor() as pool:
            found = [pool.submit(swap, "a", "b", both), pool.submit(swap, "b", "a", both)]
            assert sorted(each.result(20) for each in found) == [0, 1]
        assert sql.execute(f"SELECT n FROM {schema}.a")[0][0] == 2

    def test_serializable_readers_keep_writers_out(self, sql: TSql, mine: pyodbc.Connection, schema: str) -> None:
        sql.execute(f"CREATE TABLE {schema}.t (a int)")
        with connected(sql.odbc()) as one:
            one.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
            assert rows(one, f"SELECT COUNT(*) FROM {schema}.t") == [(0,)]
            mine.execute("SET LOCK_TIMEOUT 200")
            with pytest.raises(pyodbc.Error) as caught:
                mine.execute(f"INSERT INTO {schema}.t VALUES (1)")
            assert number(caught) == 1222
            assert rows(mine, f"SELECT COUNT(*) FROM {schema}.t") == [(0,)]

    def test_application_locks(self, sql: TSql, mine: pyodbc.Connection) -> None:
        text = ("SET NOCOUNT ON; DECLARE @r int; EXEC @r = sp_getapplock @Resource = ?, @LockMode = 'Exclusive', "
                "@LockOwner = 'Transaction', @LockTimeout = 100; SELECT @r")  # fmt: skip
        mine.autocommit = False
        with connected(sql.odbc()) as one:
            assert one.execute(text, "x").fetchval() == 0
            assert mine.execute(text, "x").fetchval() == -1
            one.rollback()
            assert mine.execute(text, "x").fetchval() == 0

    @pytest.mark.parametrize("text", ["INSERT INTO {}.t VALUES (1)", "SELECT * FROM {}.t WITH (UPDLOCK, HOLDLOCK)"])
    @pytest.mark.parametrize("autocommit", [True, False])
    def test_a_wait_is_called_off(
        self, sql: TSql, mine: pyodbc.Connection, schema: str, text: str, autocommit: bool
    ) -> None:
        mine.autocommit = autocommit
        sql.execute(f"CREATE TABLE {schema}.t (a int)")
        mine.timeout = 1
        with connected(sql.odbc()) as one:
            one.execute(f"SELECT * FROM {schema}.t WITH (TABLOCKX)")
            with pytest.raises(pyodbc.Error, match=r"(?i)timeout expired"):
                mine.execute(text.format(schema))
            assert rows(mine, "SELECT 1") == [(1,)]
        mine.timeout = 10
        mine.execute(text.format(schema))


class TestBulk:
    def test_microsofts_own_package_for_python(self, sql: TSql, schema: str) -> None:
        mssql_python = pytest.importorskip("mssql_python")
        sql.execute(
            f"CREATE TABLE {schema}.t (a int NOT NULL, b nvarchar(9), c datetime2(6), d decimal(9,2), e varbinary(max))"
        )
        held = [(n, None if n % 3 else f"ü\t\\{n}", moment(2024, 1, 1, n % 24, 0, 0, n), Decimal(n) / 4, b"\n\x00")
                for n in range(1000)]  # fmt: skip
        text = (f"SERVER={sql.host},{sql.port};DATABASE={sql.database};UID={BOB[0]};PWD={BOB[1]};Encrypt=yes;"
                "TrustServerCertificate=yes;")  # fmt: skip
        link = mssql_python.connect(text)
        try:
            cursor = link.cursor()
            assert cursor.bulkcopy(f"{schema}.t", held)["rows_copied"] == 1000
            cursor.execute(f"SELECT * FROM {schema}.t ORDER BY a")
            assert [tuple(row) for row in cursor.fetchall()] == held
            with pytest.raises(Exception, match=r"(?i)null"):
                cursor.bulkcopy(f"{schema}.t", [(None, "x", None, None, None)])
        finally:
            link.close()


class TestDescriptions:
    def test_of_a_query(self, link: pyodbc.Connection, schema: str) -> None:
        link.execute(
            f"CREATE TABLE {schema}.t (Id int NOT NULL, [Näme] nvarchar(20), x decimal(38,10), y varbinary(max))"
        )
        cursor = link.cursor()
        cursor.execute("EXEC sys.sp_describe_first_result_set @tsql = ?, @params = ?, @browse_information_mode = 0",
                       f"SELECT *, SUM(x) OVER_ALL, MAX([näme]) FROM {schema}.t WHERE Id = @a "
                       "GROUP BY Id, [näme], x, y",
                       "@a int")  # fmt: skip
        found = [(row.column_ordinal, row.name, row.system_type_name, row.is_nullable) for row in cursor.fetchall()]
        assert found == [
            (1, "Id", "int", False), (2, "Näme", "nvarchar(20)", True), (3, "x", "decimal(38,10)", True),
            (4, "y", "varbinary(max)", True), (5, "OVER_ALL", "decimal(38,10)", True), (6, None, "nvarchar(20)", True),
        ]  # fmt: skip

    def test_of_what_gives_no_rows(self, link: pyodbc.Connection, schema: str) -> None:
        text = "EXEC sp_describe_first_result_set @tsql = ?"
        link.execute(f"CREATE TABLE {schema}.t (a int)")
        assert link.execute(text, f"INSERT INTO {schema}.t VALUES (1)").fetchall() == []
        assert rows(link, f"SELECT COUNT(*) FROM {schema}.t") == [(0,)]
        with pytest.raises(pyodbc.Error) as caught:
            link.execute(text, "SELECT * FROM nowhere")
        assert number(caught) == 208

    def test_in_a_query(self, link: pyodbc.Connection) -> None:
        text = "SELECT name, system_type_name, error_number FROM sys.dm_exec_describe_first_result_set(?, NULL, 0)"
        assert rows(link, text, "SELECT N'x' AS a, CAST(1 AS bigint) AS b") == [
            ("a", "nvarchar(1)", None), ("b", "bigint", None)
        ]  # fmt: skip
        assert rows(link, text, "SELECT wrong FROM (SELECT 1 AS a) AS t") == [(None, None, 207)]

    def test_catalogue(self, link: pyodbc.Connection, schema: str) -> None:
        link.execute(f"CREATE TABLE {schema}.[My Table] (Id bigint IDENTITY NOT NULL, a nvarchar(20) DEFAULT N'x', "
                     "b decimal(12,3) NOT NULL, c datetime2(3), d AS (Id + 1), e varbinary(max))")  # fmt: skip
        text = ("SELECT c.name, t.name, c.max_length, c.precision, c.scale, c.is_nullable, c.is_identity, "
                "c.is_computed, CASE WHEN c.default_object_id = 0 THEN 0 ELSE 1 END FROM sys.columns AS c INNER JOIN "
                "sys.types AS t ON c.user_type_id = t.user_type_id WHERE c.object_id = OBJECT_ID(?) "
                "ORDER BY c.column_id")  # fmt: skip
        assert rows(link, text, f"[{schema}].[my table]") == [
            ("Id", "bigint", 8, 19, 0, False, True, False, 0),
            ("a", "nvarchar", 40, 0, 0, True, False, False, 1),
            ("b", "decimal", 9, 12, 3, False, False, False, 0),
            ("c", "datetime2", 7, 23, 3, True, False, False, 0),
            ("d", "bigint", 8, 19, 0, True, False, True, 0),
            ("e", "varbinary", -1, 0, 0, True, False, False, 0),
        ]
        text = ("SELECT s.name, o.name, o.type FROM sys.objects AS o INNER JOIN sys.schemas AS s ON o.schema_id = "
                "s.schema_id WHERE o.schema_id = SCHEMA_ID(?)")  # fmt: skip
        assert rows(link, text, schema) == [(schema, "My Table", "U ")]
        text = ("SELECT COLUMN_NAME, DATA_TYPE FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_SCHEMA = ? "
                "ORDER BY ORDINAL_POSITION")  # fmt: skip
        assert rows(link, text, schema)[:2] == [("Id", "bigint"), ("a", "nvarchar")]
        text = ("SELECT snapshot_isolation_state, is_read_committed_snapshot_on FROM sys.databases "
                "WHERE name = DB_NAME()")  # fmt: skip
        assert rows(link, text) == [(1, True)]


class TestFaults:
    def test_before_anything_is_done(self, sql: TSql, mine: pyodbc.Connection, schema: str) -> None:
        mine.execute(f"CREATE TABLE {schema}.t (a int)")
        sql.fault(f"INSERT INTO {schema}", number=40501)
        with pytest.raises(pyodbc.Error) as caught:
            mine.execute(f"INSERT INTO {schema}.t VALUES (1)")
        assert number(caught) == 40501
        assert sql.faults == 0
        mine.execute(f"INSERT INTO {schema}.t VALUES (2)")
        assert rows(mine, f"SELECT a FROM {schema}.t") == [(2,)]

    @pytest.mark.parametrize(("when", "left"), [("before", 0), ("after", 1)])
    def test_a_commit_whose_answer_is_lost(
        self, sql: TSql, way: Callable[..., str], schema: str, when: str, left: int
    ) -> None:
        sql.execute(f"CREATE TABLE {schema}.t (a int)")
        sql.fault("COMMIT", drop=True, when=when)
        with connected(way(sql)) as link:
            link.execute(f"INSERT INTO {schema}.t VALUES (1)")
            with pytest.raises(pyodbc.Error):
                link.commit()
        deadline = time.monotonic() + 10
        while sql.execute(f"SELECT COUNT(*) FROM {schema}.t")[0][0] != left:
            assert time.monotonic() < deadline

    def test_what_was_asked_is_kept(self, sql: TSql, mine: pyodbc.Connection) -> None:
        mine.execute("SELECT ? AS secret", "pa55word").fetchall()
        assert any("AS secret" in text for text in sql.statements)
        assert not any("pa55word" in text for text in sql.statements)


class TestMuch:
    def test_a_million_rows_are_not_held(self, sql: TSql, link: pyodbc.Connection) -> None:
        before = sql.memory()
        start, count = time.monotonic(), 0
        cursor = link.execute("SELECT value, CAST(value AS nvarchar(20)) AS s, CAST(value AS float) AS f "
                              "FROM GENERATE_SERIES(1, 1000000)")  # fmt: skip
        while block := cursor.fetchmany(10_000):
            count += len(block)
        assert count == 1_000_000
        assert time.monotonic() - start < 60
        assert sql.memory() - before < 64 << 20

    def test_what_is_not_fetched_is_called_off(self, link: pyodbc.Connection) -> None:
        cursor = link.execute("SELECT value FROM GENERATE_SERIES(1, 100000000)")
        assert cursor.fetchone()[0] == 1
        start = time.monotonic()
        cursor.close()
        assert rows(link, "SELECT 1") == [(1,)]
        assert time.monotonic() - start < 10
