"""SQL Server over ODBC: which driver is taken, what it is told, and what its errors mean."""

from __future__ import annotations

import logging
import struct
import sys
from pathlib import Path
from typing import Any

import pyodbc
import pytest

from airflow_azureml_datastores.core.credentials import AccessToken, Login
from airflow_azureml_datastores.errors import (
    AccessDenied,
    ContainerNotFound,
    InvalidConnection,
    InvalidInput,
    InvalidName,
    MissingExtra,
    Unavailable,
)
from airflow_azureml_datastores.stores import _odbc
from airflow_azureml_datastores.stores._odbc import Driver, OdbcServer
from airflow_azureml_datastores.stores.azure_sql import AzureSqlDatabase

MICROSOFT, FREETDS = Driver("ODBC Driver 18 for SQL Server", True), Driver("FreeTDS", False)
SECRET = "s3cret"
URL = "sqlserver://h/d"


class Machine:
    """The drivers of a machine."""

    def __init__(self) -> None:
        self.installed: list[str] = []
        self.wheel: list[Path] = []
        self.freetds: list[Path] = []
        self.broken: dict[str, str] = {}


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine()
    monkeypatch.setattr(pyodbc, "drivers", lambda: made.installed)
    monkeypatch.setattr(_odbc, "_in_wheel", lambda: made.wheel)
    monkeypatch.setattr(_odbc, "_freetds_files", lambda: made.freetds)
    monkeypatch.setattr(_odbc, "_cannot_load", lambda file: made.broken.get(file.name, ""))
    return made


class TestDrivers:
    def test_in_their_order(self, machine: Machine) -> None:
        machine.installed = ["FreeTDS", "ODBC Driver 17 for SQL Server", "SQLite3", "ODBC Driver 18 for SQL Server"]
        machine.wheel = [Path("/w/a/libmsodbcsql-18.so"), Path("/w/b/libmsodbcsql-18.so")]
        machine.freetds = [Path("/usr/lib/libtdsodbc.so")]
        found = [_odbc.find_driver()]
        for lost in ("ODBC Driver 18 for SQL Server", "ODBC Driver 17 for SQL Server"):
            machine.installed.remove(lost)
            found.append(_odbc.find_driver())
        machine.wheel = []
        found.append(_odbc.find_driver())
        machine.installed.remove("FreeTDS")
        found.append(_odbc.find_driver())
        assert found == [
            Driver("ODBC Driver 18 for SQL Server", True),
            Driver("ODBC Driver 17 for SQL Server", True),
            Driver("/w/a/libmsodbcsql-18.so", True),
            Driver("FreeTDS", False),
            Driver("/usr/lib/libtdsodbc.so", False),
        ]

    def test_none(self, machine: Machine) -> None:
        machine.installed = ["SQLite3"]
        with pytest.raises(MissingExtra) as caught:
            _odbc.find_driver()
        command = "pip install 'airflow-azureml-datastores[mssql]'"
        assert str(caught.value) == f"an ODBC driver for SQL Server needs: {command}"

    def test_pyodbc_is_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "pyodbc", None)
        with pytest.raises(MissingExtra, match=r"AzureSqlDatabase .*pip install 'airflow-azureml-datastores\[mssql\]'"):
            _odbc.find_driver()

    def test_named(self, machine: Machine, tmp_path: Path) -> None:
        machine.installed = ["ODBC Driver 18 for SQL Server", "Mine", "FreeTDS 1.3"]
        files = [tmp_path / "libmsodbcsql.so", tmp_path / "libtdsodbc.so"]
        for file in files:
            file.touch()
        names = ["Mine", "FreeTDS 1.3", *map(str, files)]
        assert [_odbc.find_driver(name) for name in names] == [
            Driver(name, microsoft) for name, microsoft in zip(names, [True, False, True, False], strict=True)
        ]

    def test_named_but_not_there(self, machine: Machine) -> None:
        machine.installed = ["FreeTDS"]
        with pytest.raises(InvalidInput, match=r"there is no ODBC driver 'Mine'; installed: 'FreeTDS'\. Name one, or"):
            _odbc.find_driver("Mine")

    def test_the_wheels_that_fits(self, machine: Machine) -> None:
        machine.wheel = [Path("/w/alpine/x.so"), Path("/w/debian/y.so")]
        machine.broken = {"x.so": "musl"}
        assert _odbc.find_driver().name == "/w/debian/y.so"

    def test_the_wheels_that_cannot_be_loaded(self, machine: Machine) -> None:
        machine.wheel, machine.broken = [Path("/w/x.so")], {"x.so": "libltdl.so.7: cannot open"}
        with pytest.raises(InvalidConnection, match=r"libltdl\.so\.7: cannot open.*apt-get install libltdl7"):
            _odbc.find_driver()
        machine.freetds = [Path("/usr/lib/libtdsodbc.so")]
        assert not _odbc.find_driver().microsoft

    def test_is_logged(self, machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
        machine.installed = ["FreeTDS"]
        with caplog.at_level(logging.INFO):
            _odbc.find_driver()
        assert caplog.messages == ["ODBC driver for SQL Server: FreeTDS"]


def test_files_of_the_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "linux/a/libmsodbcsql-18.6.so.2.1",
        "macos/libmsodbcsql.18.dylib",
        "windows/msodbcsql18.dll",
        "linux/a/libodbcinst.so.2",
        "linux/a/msodbcsqlr18.rll",
    ):
        file = tmp_path / "libs" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"no library")
    monkeypatch.setattr(_odbc, "find_spec", lambda name: type("Spec", (), {"origin": str(tmp_path / "__init__.py")}))
    found = _odbc._in_wheel()
    assert [file.name for file in found] == [
        "libmsodbcsql-18.6.so.2.1",
        "libmsodbcsql.18.dylib",
        "msodbcsql18.dll",
    ]
    assert found[0].name in _odbc._cannot_load(found[0])
    monkeypatch.setattr(_odbc, "find_spec", lambda name: None)
    assert _odbc._in_wheel() == []


class Dialled:
    """What pyodbc was called with."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.text, self.options = "", {}  # type: ignore[var-annotated]
        monkeypatch.setattr(pyodbc, "connect", self._connect)

    def _connect(self, text: str, **options: Any) -> None:
        self.text, self.options = text, options

    def __call__(self, driver: Driver, *, token: str | None = None, reading: bool = False, **changes: Any) -> str:
        given: dict[str, Any] = {
            "host": "h",
            "port": 1433,
            "database": "d",
            "enforce_ssl": True,
            "driver": None,
            "url": URL,
        }
        password = changes.pop("password", SECRET)
        login = {} if token else {"UID": "ann", "PWD": password}
        _odbc.connect(OdbcServer(**(given | changes)), driver, login, token, reading=reading)
        return self.text


@pytest.fixture
def dial(monkeypatch: pytest.MonkeyPatch) -> Dialled:
    return Dialled(monkeypatch)


class TestConnecting:
    def test_with_microsofts(self, dial: Dialled) -> None:
        assert dial(MICROSOFT) == (
            "DRIVER={ODBC Driver 18 for SQL Server};DATABASE={d};UID={ann};PWD={s3cret};SERVER=h,1433;Encrypt=yes;"
            "TrustServerCertificate=no;APP=airflow-azureml-datastores;ConnectRetryCount=0;"
        )
        assert dial.options == {"autocommit": True, "timeout": _odbc.CONNECTING, "attrs_before": {}}

    def test_of_any_certificate_with_microsofts(self, dial: Dialled) -> None:
        assert "Encrypt=yes;TrustServerCertificate=yes;" in dial(MICROSOFT, enforce_ssl=False)

    def test_with_freetds(self, dial: Dialled) -> None:
        assert dial(FREETDS, enforce_ssl=False, port=1) == (
            "DRIVER={FreeTDS};DATABASE={d};UID={ann};PWD={s3cret};SERVER=h;PORT=1;TDS_Version=7.4;"
            "ClientCharset=UTF-8;Encryption=request;"
        )

    @pytest.mark.parametrize("driver", [MICROSOFT, FREETDS])
    def test_to_read_only(self, dial: Dialled, driver: Driver) -> None:
        assert dial(driver, reading=True).endswith(";ApplicationIntent=ReadOnly;")
        assert "ApplicationIntent" not in dial(driver)

    @pytest.mark.parametrize("value", ["a;b", "{a}", "}", "};UID={sa", " ", "a=b;PWD={x}"])
    def test_values_are_values(self, dial: Dialled, value: str) -> None:
        text = dial(MICROSOFT, password=value, database=value)
        held = "{" + value.replace("}", "}}") + "};"
        assert f"DATABASE={held}UID={{ann}};PWD={held}SERVER=" in text

    def test_values_that_freetds_cannot_be_given(self, dial: Dialled) -> None:
        assert "PWD={a}b};" in dial(FREETDS, password="a}b")
        for name, change in (("password", {"password": f"{SECRET}}};"}), ("database's name", {"database": "d};"})):
            with pytest.raises(InvalidConnection, match=rf"the {name} has '}};' in it.*pip install") as caught:
                dial(FREETDS, **change)  # type: ignore[arg-type]
            assert SECRET not in str(caught.value)

    def test_by_token(self, dial: Dialled) -> None:
        text = dial(MICROSOFT, token="t0ken")
        assert not any(word in text for word in ("UID", "PWD", "t0ken", "Authentication"))
        held = dial.options["attrs_before"][1256]
        assert held == struct.pack("<i", 10) + "t0ken".encode("utf-16-le")

    @pytest.mark.parametrize(
        "changes",
        [
            {"server_name": "/x;UID=sa"},
            {"server_name": "h;UID=sa"},
            {"server_name": "h,1"},
            {"server_name": "{h}"},
            {"server_name": "contoso", "endpoint": "windows.net;TrustServerCertificate=yes"},
            {"server_name": "/var/run/x"},
            {"server_name": "h", "database_name": "a\nb"},
        ],
    )
    def test_hosts_are_nothing_else(self, changes: dict[str, str]) -> None:
        """They are not in braces in a connection's text."""
        with pytest.raises(InvalidName):
            AzureSqlDatabase(**({"database_name": "d"} | changes))  # type: ignore[arg-type]

    def test_what_freetds_cannot_do(self, machine: Machine) -> None:
        machine.installed = ["FreeTDS"]
        there = AzureSqlDatabase("db.example.com", "d", enforce_ssl=False)
        with pytest.raises(
            InvalidConnection, match=r"no access tokens: install Microsoft's driver: pip install .*login"
        ):
            AzureSqlDatabase("db.example.com", "d").open(AccessToken("t"))
        with pytest.raises(
            InvalidConnection, match=r"certificate of db\.example\.com: .*pip install.*enforce_ssl=False"
        ):
            AzureSqlDatabase("db.example.com", "d").open(Login("ann", SECRET))
        with there.open(Login("ann", SECRET)) as store:
            shown = [repr(store), str(vars(store)), str(vars(store._login)), repr(store._server)]
        assert SECRET not in "".join(shown)


def server_error(number: int, state: str = "42000", text: str = "What it says.") -> pyodbc.Error:
    told = f"[{state}] [Microsoft][ODBC Driver 18 for SQL Server][SQL Server]{text} ({number}) (SQLExecDirectW)"
    return pyodbc.ProgrammingError(state, told)


def kind_of(error: pyodbc.Error) -> type[Exception]:
    return type(_odbc.translated(error, URL))


TRANSIENT = [40197, 40501, 40613, 49918, 49919, 49920, 10928, 10929, 4221, 615, 1205]
HANDSHAKE = "[Microsoft][ODBC Driver 18 for SQL Server]SSL Provider: [error:0A000086:SSL routines::"


class TestErrors:
    @pytest.mark.parametrize("number", sorted(_odbc._NO_DATABASE))
    def test_no_database(self, number: int) -> None:
        assert kind_of(server_error(number)) is ContainerNotFound

    @pytest.mark.parametrize("number", sorted(_odbc._DENIED))
    def test_denied(self, number: int) -> None:
        assert kind_of(server_error(number)) is AccessDenied
        assert kind_of(server_error(number, "08001")) is AccessDenied
        assert not _odbc.is_transient(server_error(number, "08001"))

    @pytest.mark.parametrize("number", sorted({*TRANSIENT, *_odbc.TRANSIENT}))
    def test_transient(self, number: int) -> None:
        assert kind_of(server_error(number)) is Unavailable

    @pytest.mark.parametrize("state", ["08S01", "08001", "08007", "HYT00", "HYT01", "08S02"])
    def test_lost(self, state: str) -> None:
        error = pyodbc.OperationalError(
            state,
            f"[{state}] [Microsoft][ODBC Driver 18 for SQL Server]TCP Provider: Error code 0x68 (104) (SQLExecDirectW)",
        )
        assert kind_of(error) is Unavailable

    @pytest.mark.parametrize("number", [102, 207, 208, 245, 515, 547, 2627, 8134, 8152])
    def test_others_are_ours_to_mend(self, number: int) -> None:
        assert kind_of(server_error(number)) is InvalidInput
        assert not _odbc.is_transient(server_error(number))

    @pytest.mark.parametrize(("number", "expected"), [(208, InvalidInput), (1205, Unavailable), (3960, Unavailable)])
    def test_whatever_objects_are_called(self, number: int, expected: type[Exception]) -> None:
        text = "Invalid object name 'SSL_certificates (18456)'."
        assert kind_of(server_error(number, "42S02", text)) is expected

    @pytest.mark.parametrize("first", [0, 1])
    def test_of_two_the_one_that_says_why(self, first: int) -> None:
        """Older drivers tell of both, in either order."""
        told = ["Login failed for user 'x'. (18456)", 'Cannot open database "d" requested by the login. (4060)']
        texts = [f"[28000] [Microsoft][ODBC Driver 17 for SQL Server][SQL Server]{text}" for text in told]
        text = f"{texts[first]} (SQLDriverConnect); {texts[1 - first]}"
        assert kind_of(pyodbc.InterfaceError("28000", text)) is ContainerNotFound

    @pytest.mark.parametrize(
        "problem",
        [
            "certificate verify failed:unable to get local issuer certificate]",
            "certificate verify failed:subject name does not match host name]",
        ],
    )
    def test_a_certificate(self, problem: str) -> None:
        error = pyodbc.OperationalError("08001", f"[08001] {HANDSHAKE}{problem} (-1) (SQLDriverConnect)")
        assert kind_of(error) is AccessDenied
        assert not _odbc.is_transient(error)

    def test_no_tls_at_all(self) -> None:
        text = "[08001] [Microsoft][ODBC Driver 18 for SQL Server]Encryption not supported on SQL Server. (20) (SQLx)"
        assert kind_of(pyodbc.OperationalError("08001", text)) is AccessDenied

    def test_a_handshake_that_breaks_off(self) -> None:
        error = pyodbc.OperationalError("08001", f"[08001] {HANDSHAKE}unexpected eof while reading] (-1) (SQLx)")
        assert kind_of(error) is Unavailable

    def test_texts(self) -> None:
        assert str(_odbc.translated(server_error(208), URL)) == f"{URL}: What it says. (208)"
        text = "[42000] [FreeTDS][SQL Server]Bad (x). (1) (SQLPrepare); [42000] [FreeTDS][SQL Server]And. (2)"
        assert str(_odbc.translated(pyodbc.Error("42000", text), URL)) == f"{URL}: Bad (x). (1); And. (2)"

    @pytest.mark.parametrize("error", [pyodbc.Error(), pyodbc.Error("told"), pyodbc.Error("Told.", "HY105")])
    def test_of_pyodbcs_own(self, error: pyodbc.Error) -> None:
        assert kind_of(error) is InvalidInput
        assert _odbc.number_of(error) is None
        assert _odbc.told(error).lower() in ("", "told", "told.")


class TestAgain:
    @pytest.fixture(autouse=True)
    def quick(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_odbc, "WAIT", 0)
        monkeypatch.setattr(_odbc, "ATTEMPTS", 3)

    def failing(self, *errors: Exception) -> tuple[Any, list[int]]:
        left, calls = list(errors), [0]

        def work() -> str:
            calls[0] += 1
            if left:
                raise left.pop(0)
            return "done"

        return work, calls

    @pytest.mark.parametrize("number", TRANSIENT)
    def test_if_that_may_help(self, number: int, caplog: pytest.LogCaptureFixture) -> None:
        work, calls = self.failing(server_error(number), server_error(0, "08S01"))
        assert _odbc.again_if_transient(work) == "done"
        assert calls == [3]
        assert caplog.messages[0] == f"SQL Server: What it says. ({number}); trying again."

    @pytest.mark.parametrize(
        "error", [server_error(208), server_error(18456, "28000"), ValueError("x"), Unavailable("x")]
    )
    def test_not_if_it_cannot(self, error: Exception) -> None:
        work, calls = self.failing(error)
        with pytest.raises(type(error)):
            _odbc.again_if_transient(work)
        assert calls == [1]

    def test_not_for_ever(self) -> None:
        work, calls = self.failing(*[server_error(40501)] * 5)
        with pytest.raises(pyodbc.Error):
            _odbc.again_if_transient(work)
        assert calls == [3]

    def test_another_reason(self) -> None:
        work, calls = self.failing(server_error(2714))
        assert _odbc.again_if_transient(work, also=2714) == "done"
        assert calls == [2]
