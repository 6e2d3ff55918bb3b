"""SQL Server's own grammar: ScriptDom, Microsoft's parser of T-SQL, as it comes with mssql-cli.

https://github.com/microsoft/SqlScriptDOM
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.servers import NoServer
from tests.servers.cache import cached
from tests.servers.tsql.errors import SqlError

WHEELS = Path(__file__).with_name("script_dom.txt")
"""The wheel it is in, and one with the .NET that runs it. Only their files are wanted: nothing in them is imported."""

_RUNTIME = '{"runtimeOptions": {"framework": {"name": "Microsoft.NETCore.App", "version": "3.1.0"}}}'


def lacks_script_dom() -> str | None:
    """Why it cannot run here; None if it can."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        return "the wheels with ScriptDom are for Linux on x86-64"
    return None if importlib.util.find_spec("pythonnet") else "the module pythonnet is not installed"


def install() -> Path:
    """Download the wheels, once. Returns the folder that they are unpacked in.

    :raises NoServer: pip could not.
    """
    return cached(f"script-dom-{hashlib.sha256(WHEELS.read_bytes() + _RUNTIME.encode()).hexdigest()[:16]}", _install)


def _install(folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "-qq", "--no-deps", "--only-binary=:all:", "--require-hashes"]
    ran = subprocess.run(
        [*command, "--target", str(folder / "wheels"), "-r", str(WHEELS)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if ran.returncode:
        raise NoServer(f"pip could not install ScriptDom:\n{ran.stdout}")
    (folder / "runtime.json").write_text(_RUNTIME)


class ScriptDom:
    """The parser, on a .NET runtime in this process.

    :param folder: that it is installed in.
    """

    def __init__(self, folder: Path) -> None:
        from clr_loader import get_coreclr
        from pythonnet import load

        os.environ["DOTNET_SYSTEM_GLOBALIZATION_INVARIANT"] = "1"  # it would look for an ICU of its own time
        os.environ["COMPlus_EnableDiagnostics"] = "0"  # noqa: SIM112 - for which it would leave sockets in /tmp
        wheels = folder / "wheels"
        root = str(wheels / "dotnetcore2" / "bin")
        load(get_coreclr(runtime_config=str(folder / "runtime.json"), dotnet_root=root))
        import clr

        clr.AddReference(
            str(wheels / "mssqlcli" / "mssqltoolsservice" / "bin" / "Microsoft.SqlServer.TransactSql.ScriptDom.dll")
        )
        self._taken: set[str] = set()

    def check(self, sql: str) -> None:
        """:raises SqlError: SQL Server does not take the text of this batch."""
        from Microsoft.SqlServer.TransactSql import ScriptDom
        from System.IO import StringReader

        if sql in self._taken:
            return
        errors: Any
        _, errors = ScriptDom.TSql150Parser(True).Parse(StringReader(sql), None)
        if errors.Count:
            raise SqlError(102, errors[0].Message, level=15)
        if len(self._taken) > 1000:
            self._taken.clear()
        self._taken.add(sql)
