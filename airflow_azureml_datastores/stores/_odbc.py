"""SQL Server over ODBC: which driver, how to connect, and what errors mean."""

from __future__ import annotations

import ctypes
import logging
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from airflow_azureml_datastores.errors import (
    AccessDenied,
    ContainerNotFound,
    DatastoresError,
    InvalidConnection,
    InvalidInput,
    MissingExtra,
    Unavailable,
)

if TYPE_CHECKING:
    import pyodbc

T = TypeVar("T")
log = logging.getLogger(__name__)

_INSTALLED = ("ODBC Driver 18 for SQL Server", "ODBC Driver 17 for SQL Server")
_FREETDS = "FreeTDS"
_ACCESS_TOKEN = 1256  # SQL_COPT_SS_ACCESS_TOKEN
_REMEDY = "install Microsoft's driver: pip install 'airflow-azureml-datastores[mssql]'"
CONNECTING = 15
"""Seconds."""

_DENIED = {229, 230, 262, 297, 300, 378, 916, 18452, 18456, 18470, 18486, 18487, 18488, 40615}
_NO_DATABASE = {911, 4060, 4063, 4064}

TRANSIENT = {
    # https://learn.microsoft.com/azure/azure-sql/database/troubleshoot-common-errors-issues#transient-fault-error-messages-40197-40613-and-others
    615, 926, 1205, 1222, 3935, 3960, 4221, 10053, 10054, 10060, 10928, 10929, 40143, 40197, 40501, 40540, 40613, 40614,
    42108, 42109, 49918, 49919, 49920,
}  # fmt: skip
_REMEDIES = {
    1033: "A query with a watermark, or whose rows are counted, stands inside of another: leave its order out."
}
_LOST_TO_FREETDS = {20002, 20003, 20004, 20006, 20008, 20009, 20017, 20047}
"""https://github.com/FreeTDS/freetds/blob/master/include/freetds/tds.h: its own numbers; SQL Server's are others."""
_LOST = {"08S01", "08S02", "08001", "08003", "08004", "08006", "08007", "HYT00", "HYT01", "01002"}


@dataclass(frozen=True)
class Driver:
    """An ODBC driver.

    :param name: as it is named in odbcinst.ini, or its file.
    :param microsoft: Microsoft's own; otherwise FreeTDS.
    """

    name: str
    microsoft: bool


def find_driver(named: str | None = None) -> Driver:
    """The driver that is named; or else the first there is of Microsoft's 18 and 17 installed in the system, the one in
    the wheel ``mssql-python-odbc``, and FreeTDS.

    :raises MissingExtra: there is none, or pyodbc is missing.
    :raises InvalidConnection: there is one, but the system lacks what it needs.
    :raises InvalidInput: the one that is named is not there.
    """
    try:
        import pyodbc
    except ImportError as error:
        raise MissingExtra(f"datastores of type AzureSqlDatabase ({error})", "mssql") from None
    found = _find(named, pyodbc.drivers())
    log.info("ODBC driver for SQL Server: %s", found.name)
    return found


def _find(named: str | None, installed: list[str]) -> Driver:
    if named is not None:
        if named not in installed and not Path(named).is_file():
            names = ", ".join(map(repr, installed)) or "none"
            raise InvalidInput(f"there is no ODBC driver {named!r}; installed: {names}. Name one, or its file.")
        return Driver(named, microsoft=re.search("tds", Path(named).name, re.IGNORECASE) is None)
    for name in _INSTALLED:
        if name in installed:
            return Driver(name, microsoft=True)
    problem = ""
    for file in _in_wheel():
        if not (problem := _cannot_load(file)):
            return Driver(str(file), microsoft=True)
    for name in (*installed, *map(str, _freetds_files())):
        if re.search("tds", Path(name).name, re.IGNORECASE):
            return Driver(name, microsoft=False)
    if problem:
        raise InvalidConnection(
            f"Microsoft's ODBC driver, which the wheel mssql-python-odbc brings, cannot be loaded ({problem}): install "
            f"what it needs of the system. Debian: apt-get install libltdl7 libkrb5-3 libgssapi-krb5-2"
        )
    raise MissingExtra("an ODBC driver for SQL Server", "mssql")


def _in_wheel() -> list[Path]:
    """The drivers of the wheel, for whichever system; only the right one can be loaded."""
    package = find_spec("mssql_python_odbc")
    if package is None or package.origin is None:
        return []
    libraries = Path(package.origin).parent / "libs"
    return sorted(
        found for found in libraries.rglob("*msodbcsql*") if re.search(r"\.so[.\d]*$|\.dylib$|\.dll$", found.name)
    )


def _freetds_files() -> list[Path]:
    return sorted(Path("/usr").glob("l*/**/libtdsodbc.so"))


def _cannot_load(file: Path) -> str:
    try:
        ctypes.CDLL(str(file))
    except OSError as error:
        return str(error)
    return ""


@dataclass(frozen=True)
class OdbcServer:
    """A database, and how its server is reached.

    :param enforce_ssl: only with a certificate that is known.
    :param driver: as the user names it.
    :param url: of the database, for people.
    """

    host: str
    port: int
    database: str
    enforce_ssl: bool
    driver: str | None
    url: str


def connect(
    server: OdbcServer, driver: Driver, login: Mapping[str, str], token: str | None, *, reading: bool
) -> pyodbc.Connection:
    """Connect, each statement being a transaction of its own.

    :param login: ``UID`` and ``PWD``, unless there is a token.
    :param reading: whether a replica that can only be read will do.
    :raises pyodbc.Error: it cannot be done.
    """
    import pyodbc

    quoted = {"DRIVER": driver.name, "DATABASE": server.database, **login}
    text = _text(quoted, driver) + _options(server, driver) + ("ApplicationIntent=ReadOnly;" if reading else "")
    return pyodbc.connect(text, autocommit=True, timeout=CONNECTING, attrs_before=attributes(token))


def check_ended(cursor: Any) -> None:
    """:raises InvalidInput: there is another result after the one that was read."""
    if cursor.nextset() and cursor.description:
        raise InvalidInput("the query gives several results: it has to be one SELECT, or WITH … SELECT.")


def check_driver(server: OdbcServer, driver: Driver, *, token: bool) -> None:
    """:raises InvalidConnection: the driver cannot do what is asked of it."""
    if driver.microsoft:
        return
    if token:
        raise InvalidConnection(f"FreeTDS takes no access tokens: {_REMEDY}, or name a connection with a login.")
    if server.enforce_ssl:
        raise InvalidConnection(
            f"FreeTDS cannot be told to look at the certificate of {server.host}: {_REMEDY}; or register the datastore "
            f"with enforce_ssl=False."
        )


def _options(server: OdbcServer, driver: Driver) -> str:
    """https://learn.microsoft.com/sql/connect/odbc/dsn-connection-string-attribute, https://www.freetds.org/userguide/OdbcConnAttr.html"""
    if not driver.microsoft:
        return f"SERVER={server.host};PORT={server.port};TDS_Version=7.4;ClientCharset=UTF-8;Encryption=request;"
    trust = "no" if server.enforce_ssl else "yes"
    return (
        f"SERVER={server.host},{server.port};Encrypt=yes;TrustServerCertificate={trust};"
        f"APP=airflow-azureml-datastores;"
        f"ConnectRetryCount=0;"  # a unit of work is tried again as a whole
    )


def _text(values: Mapping[str, str], driver: Driver) -> str:
    """Values in braces; each ends with a semicolon, without which FreeTDS reads on.

    :raises InvalidConnection: FreeTDS has no way to be given a value, as it does not know of doubled braces.
    """
    if not driver.microsoft:
        for name, value in values.items():
            if "};" in value:
                called = {"PWD": "password", "UID": "user's name", "DATABASE": "database's name"}.get(name, name)
                raise InvalidConnection(
                    f"the {called} has '}};' in it, which FreeTDS cannot be given: change it, or {_REMEDY}."
                )
        return "".join(f"{name}={{{value}}};" for name, value in values.items())
    return "".join(f"{name}={{{value.replace('}', '}}')}}};" for name, value in values.items())


def attributes(token: str | None) -> dict[int, int | str | bytes]:
    """What a connection is given before it is opened: the access token, if there is one."""
    if token is None:
        return {}
    content = token.encode("utf-16-le")
    return {_ACCESS_TOKEN: struct.pack(f"<I{len(content)}s", len(content), content)}


def number_of(error: BaseException) -> int | None:
    """SQL Server's number of an error of pyodbc."""
    found = _numbers_of(error)
    return found[0] if found else None


def _numbers_of(error: BaseException) -> list[int]:
    """Those of all that was told: a login fails, and why it does is another error, before or after."""
    text = str(error.args[-1]) if error.args else ""
    return [int(found) for found in re.findall(r"\((\d+)\)(?: \(SQL\w+\))?(?=; \[\w{5}\]|$)", text)]


def _is_about_tls(error: BaseException) -> bool:
    """Whether there is no connection because the server is not the one it should be, or does not speak TLS at all."""
    if error.args[:1] != ("08001",):
        return False
    return re.search("SSL Provider: .*certificate|Encryption not supported", str(error), re.IGNORECASE) is not None


def is_transient(error: BaseException) -> bool:
    """Whether the same unit of work, done again as a whole, may succeed."""
    import pyodbc

    if not isinstance(error, pyodbc.Error):
        return False
    if not error.args or _is_about_tls(error):
        return False
    numbers = set(_numbers_of(error))
    lost = str(error.args[0]) in _LOST or ("[FreeTDS]" in str(error) and numbers & _LOST_TO_FREETDS)
    return (bool(lost) and not numbers & (_DENIED | _NO_DATABASE)) or not numbers.isdisjoint(TRANSIENT)


def again_if_transient(work: Callable[[], T], also: int | None = None) -> T:
    """Do a unit of work, again after a while if an error says that it may succeed then.

    :param also: number of an error that is a reason, too.
    """

    def again(error: BaseException) -> bool:
        if not (is_transient(error) or (also is not None and number_of(error) == also)):
            return False
        log.warning("SQL Server: %s; trying again.", told(error))
        return True

    retry = Retrying(
        retry=retry_if_exception(again),
        wait=wait_random_exponential(multiplier=WAIT, max=30),
        stop=stop_after_attempt(ATTEMPTS),
        reraise=True,
    )
    return retry(work)


ATTEMPTS = 5
"""Of a unit of work."""
WAIT = 1.0
"""Seconds before the second attempt, at most; doubled with each."""


def translated(error: Any, url: str) -> DatastoresError:
    """What an error of pyodbc is to our users."""
    numbers, state = set(_numbers_of(error)), str(error.args[0]) if error.args else ""
    kind: type[DatastoresError] = InvalidInput
    if is_transient(error):
        kind = Unavailable
    elif numbers & _NO_DATABASE:
        kind = ContainerNotFound
    elif numbers & _DENIED or state == "28000" or _is_about_tls(error):
        kind = AccessDenied
    return kind(" ".join([f"{url}: {told(error)}", *(_REMEDIES[number] for number in numbers & _REMEDIES.keys())]))


def told(error: BaseException) -> str:
    """What an error says, without whose it is."""
    text = max(map(str, error.args), key=len, default="")  # beside it there is a state, on either side
    text = re.sub(r"\[(?:\w{5}|Microsoft|FreeTDS|unixODBC|SQL Server|Driver Manager|ODBC [^\]]*)\]\s*", "", text)
    return " ".join(re.sub(r"\s*\(SQL\w+\)", "", text).split())
