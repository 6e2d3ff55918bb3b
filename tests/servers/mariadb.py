"""MariaDB as a local process: the server of Debian's package mariadb-server."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.servers import NoServer
from tests.servers.ports import held_port

USER, PASSWORD, DATABASE = "tester", "test pass-word", "tests"

_SETTINGS = (
    "--innodb-buffer-pool-size=64M",
    "--innodb-log-file-size=32M",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-flush-method=nosync",
    "--innodb-doublewrite=0",
    "--skip-log-bin",
    "--skip-name-resolve",
    "--character-set-server=utf8mb4",
)
"""Small, and quick: what it holds is thrown away."""


def lacks_mariadb() -> str | None:
    """Why there is no server on this machine."""
    return None if _server() else "there is no mariadbd (Debian's package mariadb-server)"


def _server() -> str | None:
    return shutil.which("mariadbd", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")


@contextmanager
def run_mariadb(*settings: str) -> Iterator[str]:
    """Run a server on a free loopback port. Yields the SQLAlchemy URL of its database, whose user may do anything.

    :param settings: more options of mariadbd.
    :raises NoServer: it does not come up.
    """
    server = _server()
    assert server is not None
    with TemporaryDirectory(prefix="mariadb-", ignore_cleanup_errors=True) as folder, held_port() as port:
        data, log = Path(folder, "data"), Path(folder, "log")
        who = ["--user=root"] if os.getuid() == 0 else []
        made = subprocess.run(
            [
                "mariadb-install-db",
                "--no-defaults",
                *who,
                f"--datadir={data}",
                f"--tmpdir={folder}",  # a server that starts takes away what others have in it
                "--auth-root-authentication-method=normal",
                "--skip-test-db",  # which, with all whose names begin with test_, is everybody's
            ],
            capture_output=True,
            text=True,
        )
        if made.returncode:
            raise NoServer(f"mariadb-install-db failed: {made.stderr or made.stdout}")
        start = Path(folder, "start.sql")
        start.write_text(
            f"create database {DATABASE};\n"
            f"create user {USER} identified by '{PASSWORD}';\n"
            f"grant all on *.* to {USER} with grant option;\n"
        )
        command = [server, "--no-defaults", *who, f"--datadir={data}", f"--socket={folder}/socket", f"--port={port}"]
        command += [
            "--bind-address=127.0.0.1",
            f"--init-file={start}",
            f"--pid-file={folder}/pid",
            f"--tmpdir={folder}",
            *_SETTINGS,
            *settings,
        ]
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            _wait(process, log)
            yield f"mysql+pymysql://{USER}:{PASSWORD.replace(' ', '%20')}@127.0.0.1:{port}/{DATABASE}"
        finally:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], log: Path) -> None:
    """:raises NoServer: it ends, or takes a minute."""
    for _ in range(600):
        if b"ready for connections" in log.read_bytes():
            return
        try:
            process.wait(0.1)
        except subprocess.TimeoutExpired:
            continue
        break
    raise NoServer(f"mariadbd does not come up: {log.read_text(errors='replace')[-2000:]}")
