"""A MariaDB server with TLS."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pymysql
import trustme
from sqlalchemy import make_url

from tests.servers.mariadb import DATABASE, run_mariadb


@dataclass
class SecuredMariaDb:
    """The server, at ``localhost``, which is the name in its certificate.

    :param ca: file with the authority that signed it.
    :param login: user name and password of one who may come by TLS only.
    """

    port: int
    ca: Path
    login: tuple[str, str]
    database: str = DATABASE


@contextmanager
def run_secured_mariadb() -> Iterator[SecuredMariaDb]:
    """Run it on a free loopback port."""
    login = ("ann", 'pa\'ss \\word "äö" =x')
    with TemporaryDirectory(prefix="mariadb-tls-") as folder:
        authority = trustme.CA()
        certificate = authority.issue_cert("localhost")
        ca, chain, key = (Path(folder, name) for name in ("ca.pem", "chain.pem", "key.pem"))
        authority.cert_pem.write_to_path(str(ca))
        for blob in certificate.cert_chain_pems:
            blob.write_to_path(str(chain), append=True)
        certificate.private_key_pem.write_to_path(str(key))
        with run_mariadb(f"--ssl-cert={chain}", f"--ssl-key={key}") as url:
            at = make_url(url)
            with (
                closing(
                    pymysql.connect(host=at.host, port=at.port or 0, user=at.username, password=at.password)
                ) as root,
                root.cursor() as cursor,
            ):
                cursor.execute("create user %s identified by %s require ssl", login)
                cursor.execute(f"grant select on {DATABASE}.* to %s", login[:1])
            yield SecuredMariaDb(at.port or 0, ca, login)
