"""The embedded workspace on its databases: what it leaves there, and what can be wrong with them."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy
from sqlalchemy import text

from airflow_azureml_datastores.core.credentials import Anonymous
from airflow_azureml_datastores.core.data_asset import DataAsset
from airflow_azureml_datastores.core.datastore import Datastore, Location, UnknownLocation
from airflow_azureml_datastores.core.workspace import Workspace
from airflow_azureml_datastores.errors import (
    AccessDenied,
    Conflict,
    DataAssetNotFound,
    DatastoresError,
    InvalidInput,
    InvalidName,
    Unavailable,
    Unsupported,
)
from airflow_azureml_datastores.stores.local_directory import LocalDirectory
from airflow_azureml_datastores.workspaces import _database, _schema
from airflow_azureml_datastores.workspaces.local import LocalWorkspace
from tests.contract.workspace.rigs_local import LocalSite, PostgresqlRig, SqliteRig

KEY = "Zm9yIHRoZXNlIHRlc3RzIG9ubHk6IHRoZSBrZXkgb2YgYW4gYWNjb3VudCBoYXMgNjQgYnl0ZXMsIGFzIHRoaQ=="
SALES = Datastore("sales", LocalDirectory("/data/sales"), "contoso_storage")


@pytest.fixture
def sqlite(request: pytest.FixtureRequest) -> Iterator[LocalSite]:
    with SqliteRig(request).new_site() as site:
        yield site


@pytest.fixture
def postgresql(request: pytest.FixtureRequest) -> Iterator[LocalSite]:
    with PostgresqlRig(request).new_site() as site:
        yield site


@pytest.fixture(params=["sqlite", "postgresql"])
def site(request: pytest.FixtureRequest) -> LocalSite:
    found: LocalSite = request.getfixturevalue(request.param)
    return found


def behind_its_back(site: LocalSite, *statements: str) -> None:
    with site.engine().begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


class TestWhatIsThere:
    def test_building_opens_nothing(self, site: LocalSite) -> None:
        workspace: Workspace = site.open()
        assert workspace.name == "'lab' (local)"
        assert not site.home.exists() or not list(site.home.iterdir())

    def test_built_in_datastores_are_folders(self, site: LocalSite) -> None:
        workspace = site.open()
        for name in ("workspaceblobstore", "workspacefilestore"):
            location = workspace.get(name).location
            assert location == LocalDirectory(str(site.home / name))
            with location.open(Anonymous()) as store:
                store.write("a/b.txt", [b"hello"])
            assert (site.home / name / "a" / "b.txt").read_bytes() == b"hello"

    def test_unregistered_data_stays(self, site: LocalSite, tmp_path: Path) -> None:
        workspace = site.open()
        workspace.register(Datastore("sales", LocalDirectory(str(tmp_path))))
        (tmp_path / "a.csv").write_text("1")
        workspace.unregister("sales")
        assert (tmp_path / "a.csv").read_text() == "1"

    def test_first_home_counts_in_a_shared_database(self, postgresql: LocalSite, tmp_path: Path) -> None:
        postgresql.open().list()
        other = LocalWorkspace("other machine", tmp_path / "elsewhere", postgresql.url)
        assert other.default().location == LocalDirectory(str(postgresql.home / "workspaceblobstore"))
        assert not (tmp_path / "elsewhere").exists()

    def test_home_is_made_absolute(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.chdir(tmp_path)
        for home, expected in [("~/a", tmp_path / "a"), ("b", tmp_path / "b")]:
            location = LocalWorkspace("lab", Path(home)).default().location
            assert location == LocalDirectory(str(expected / "workspaceblobstore"))
            assert (expected / "workspace.db").is_file()

    def test_every_table_is_ours_by_name_and_others_are_left_alone(self, site: LocalSite) -> None:
        site.home.mkdir(parents=True, exist_ok=True)
        behind_its_back(site, "CREATE TABLE dag (id INTEGER)", "CREATE TABLE alembic_version (version_num TEXT)")
        site.open().register(SALES)
        tables = set(sqlalchemy.inspect(site.engine()).get_table_names())
        assert {"dag", "alembic_version"} < tables
        assert all(name.startswith("azureml_") for name in tables - {"dag", "alembic_version"})

    def test_exactly_one_default_by_constraint(self, site: LocalSite) -> None:
        workspace = site.open()
        workspace.register(SALES)
        for statement in [
            "INSERT INTO azureml_workspace (id, default_datastore) VALUES (2, 'sales')",
            "INSERT INTO azureml_workspace (id, default_datastore) VALUES (1, 'sales')",
            "UPDATE azureml_workspace SET default_datastore = NULL",
            "UPDATE azureml_workspace SET default_datastore = 'missing'",
            "DELETE FROM azureml_datastores WHERE name_key = 'workspaceblobstore'",
        ]:
            with pytest.raises(Conflict, match="workspace database"), workspace._database.writing() as transaction:
                transaction.run(statement)

    def test_no_files_beside_the_database(self, sqlite: LocalSite) -> None:
        sqlite.open().register(SALES)
        assert sorted(path.name for path in sqlite.home.iterdir()) == [
            "workspace.db",
            "workspaceblobstore",
            "workspacefilestore",
        ]


class TestSecrets:
    @pytest.mark.parametrize(
        "location",
        [
            LocalDirectory(f"/data?sv=2024-11-04&sig={KEY[:43]}%3D"),
            LocalDirectory(f"/data/AccountName=contoso;AccountKey={KEY}"),
            LocalDirectory(f"/data/{KEY}"),
            UnknownLocation("Sql", {"url": f"mssql://sa:{KEY}@server/db"}),
            UnknownLocation("Sql", {"odbc": [{"text": f"Server=s;Uid=u;Pwd={KEY}"}]}),
            UnknownLocation("Sql", {"password": KEY}),
            UnknownLocation("Sql", {"secrets": {"accountKey": KEY}}),
        ],
        ids=["sas", "connection string", "key", "url", "odbc", "field", "nested field"],
    )
    def test_are_refused_in_locations(self, sqlite: LocalSite, location: Location) -> None:
        self.refused(sqlite, Datastore("sales", location))

    def test_are_refused_in_texts(self, sqlite: LocalSite) -> None:
        self.refused(sqlite, Datastore("sales", LocalDirectory("/data"), description=f"password = {KEY}"))
        self.refused(sqlite, Datastore("sales", LocalDirectory("/data"), tags={"key": KEY}))
        self.refused(sqlite, Datastore("sales", LocalDirectory("/data"), f"https://me:{KEY}@host"))

    def refused(self, site: LocalSite, datastore: Datastore) -> None:
        workspace = site.open()
        workspace.register(SALES)
        with pytest.raises(InvalidInput, match=r"looks like a secret.*Airflow connection") as error:
            workspace.register(datastore, overwrite=True)
        assert KEY[:40] not in str(error.value)
        database = (site.home / "workspace.db").read_bytes()
        assert b"contoso_storage" in database
        assert KEY[:40].encode() not in database

    @pytest.mark.parametrize("path", ["/data/sig=1/x", "/key/of/contoso", "/data/run-2026==", "/a:b@c", "/x?sig=short"])
    def test_what_only_resembles_them_passes(self, sqlite: LocalSite, path: str) -> None:
        assert sqlite.open().register(Datastore("sales", LocalDirectory(path))) == "created"

    @pytest.mark.parametrize(
        "url",
        [
            "postgresql://me:geheim@127.0.0.1:{port}/ws",
            "postgresql+psycopg://me@127.0.0.1:{port}/ws?password=geheim",
            "postgresql://127.0.0.1:{port}/ws?user=me&password=geheim&sslpassword=geheim",
            "postgres://me:geheim@127.0.0.1:{port}/ws?sslmode=geheimer",
            "postgresql://me:geheim@127.0.0.1:{port}/ws?geheim=1&password=geheim",
        ],
    )
    def test_password_of_the_database_is_never_shown(self, tmp_path: Path, closed_port: int, url: str) -> None:
        workspace = LocalWorkspace("lab", tmp_path, url.format(port=closed_port))
        assert "geheim" not in repr(workspace)
        with pytest.raises(Unavailable, match=r"workspace database postgresql://127\.0\.0\.1/ws") as error:
            workspace.list()
        assert "password" not in str(error.value)
        assert not shown_before(error.value)

    @pytest.mark.parametrize(
        ("url", "problem"),
        [
            ("", "malformed"),
            ("geheim", "malformed"),
            ("postgresql://me:geheim@host:geheim/ws", "malformed"),
            ("postgresql://me:geheim@geheim@host/ws", "second '@'.*percent-encoded"),
            ("postgresql://me:geheim@ge/heim@host/ws", "second '@'.*percent-encoded"),
            ("mysql://me:geheim@host/ws", "is PostgreSQL .*, not mysql"),
            ("sqlite:////geheim.db", "is PostgreSQL .*, not sqlite; leave the URL out"),
        ],
    )
    def test_bad_url(self, tmp_path: Path, url: str, problem: str) -> None:
        with pytest.raises(InvalidInput, match=problem) as error:
            LocalWorkspace("lab", tmp_path, url)
        assert "geheim" not in str(error.value)
        assert not shown_before(error.value)


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that is taken, so that nobody else listens there, and refuses connections."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


class TestSchema:
    def test_older_one_is_migrated_with_its_data(self, site: LocalSite, monkeypatch: pytest.MonkeyPatch) -> None:
        workspace = site.open()
        workspace.register(SALES)
        workspace.set_default("sales")
        upgrade = (
            "ALTER TABLE azureml_datastores ADD COLUMN used INTEGER NOT NULL DEFAULT 0",
            "UPDATE azureml_datastores SET used = 7 WHERE name_key = 'sales'",
        )
        monkeypatch.setattr(_schema, "MIGRATIONS", (*_schema.MIGRATIONS, upgrade))
        later = site.open()
        assert later.default() == SALES
        assert [datastore.name for datastore in later.list()] == ["sales", "workspaceblobstore", "workspacefilestore"]
        with site.engine().connect() as connection:
            versions = connection.execute(text("SELECT version FROM azureml_schema_version")).all()
            assert versions == [(len(_schema.MIGRATIONS),)]
            assert set(connection.execute(text("SELECT name, used FROM azureml_datastores"))) == {
                ("sales", 7),
                ("workspaceblobstore", 0),
                ("workspacefilestore", 0),
            }
        assert workspace.get("sales") == SALES, "a task that had opened it before goes on"

    def test_one_without_data_assets_gets_them(self, site: LocalSite, monkeypatch: pytest.MonkeyPatch) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(_schema, "MIGRATIONS", _schema.MIGRATIONS[:1])
            before = site.open()
            before.register(SALES)
            before.set_default("sales")
        asset = DataAsset("orders", "azureml://datastores/sales/paths/orders/", digest="sha256:1")
        registered = site.open().register_data(asset)
        assert registered.uri == "azureml:orders:1"
        assert site.open().get_data("orders") == registered
        assert site.open().default() == before.default() == SALES

    def test_new_one_has_all_versions(self, site: LocalSite, monkeypatch: pytest.MonkeyPatch) -> None:
        upgrade = ("CREATE TABLE azureml_more (id INTEGER)",)
        monkeypatch.setattr(_schema, "MIGRATIONS", (*_schema.MIGRATIONS, upgrade))
        assert len(site.open().list()) == 2
        assert sqlalchemy.inspect(site.engine()).has_table("azureml_more")

    def test_failing_migration_changes_nothing(self, site: LocalSite, monkeypatch: pytest.MonkeyPatch) -> None:
        site.open().register(SALES)
        upgrade = ("CREATE TABLE azureml_more (id INTEGER)", "ALTER TABLE azureml_nonsense ADD COLUMN x TEXT")
        with monkeypatch.context() as patch:
            patch.setattr(_schema, "MIGRATIONS", (*_schema.MIGRATIONS, upgrade))
            with pytest.raises(InvalidInput, match=r"its tables are not those of a workspace.*azureml_nonsense"):
                site.open().list()
        assert not sqlalchemy.inspect(site.engine()).has_table("azureml_more")
        assert site.open().get("sales") == SALES

    def test_failing_foundation_leaves_nothing(self, site: LocalSite, monkeypatch: pytest.MonkeyPatch) -> None:
        site.home.parent.mkdir(parents=True, exist_ok=True)
        if site.home.exists():
            site.home.rmdir()
        site.home.write_text("no folder")
        with pytest.raises(DatastoresError, match=re.escape(str(site.home))):
            site.open().list()
        site.home.unlink()
        assert len(site.open().list()) == 2

    def test_newer_one_is_refused(self, site: LocalSite) -> None:
        site.open().register(SALES)
        behind_its_back(site, "UPDATE azureml_schema_version SET version = 41")
        with pytest.raises(Unsupported, match=r"workspace database .* has version 41, .* up to 2; upgrade the package"):
            site.open().get("sales")

    def test_location_that_this_version_cannot_build_is_listed_and_kept(self, site: LocalSite) -> None:
        site.open().register(SALES)
        for at, location in [("a", {}), ("b", {"path": "not/absolute"}), ("c", {"path": "/x", "later": 1})]:
            definition = {"type": "LocalDirectory", "location": location, "credential_conn_id": None}
            kept = json.dumps({**definition, "description": "", "tags": {}})
            with site.engine().begin() as connection:
                insert = text("INSERT INTO azureml_datastores VALUES (:key, :key, :definition)")
                connection.execute(insert, {"key": at, "definition": kept})
            found = site.open().get(at)
            assert found == Datastore(at, UnknownLocation("LocalDirectory", location))
            assert site.open().register(found) == "unchanged"
        assert len(site.open().list()) == 6


class TestDataAssets:
    ORDERS = DataAsset("Orders", "azureml://datastores/sales/paths/orders/", digest="sha256:1")

    def test_name_that_differs_only_in_case(self, sqlite: LocalSite) -> None:
        workspace = sqlite.open()
        workspace.register_data(self.ORDERS)
        with pytest.raises(InvalidName, match=r"'Orders' .* differs from 'orders' only in case"):
            workspace.register_data(replace(self.ORDERS, name="orders"))
        with pytest.raises(DataAssetNotFound, match="Did you mean 'Orders'"):
            workspace.get_data("orders")

    def test_numbers_that_are_used_up(self, sqlite: LocalSite) -> None:
        workspace = sqlite.open()
        workspace.register_data(replace(self.ORDERS, version="9" * 30))
        with pytest.raises(InvalidName, match="is not a data asset's version"):
            workspace.register_data(replace(self.ORDERS, digest="sha256:2"))


class TestDatabaseErrors:
    def test_locked(self, site: LocalSite, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_database, "LOCK_TIMEOUT", 1)
        workspace, other = site.open(), site.open()
        workspace.register(SALES)
        with other._database.writing(), pytest.raises(Unavailable, match="another process has kept it locked"):
            workspace.set_default("sales")
        assert workspace.set_default("sales") == SALES

    def test_readers_do_not_wait_for_a_writer(self, site: LocalSite) -> None:
        workspace, other = site.open(), site.open()
        workspace.register(SALES)
        with other._database.writing() as transaction:
            transaction.run("DELETE FROM azureml_datastores WHERE name_key = 'sales'")
            assert workspace.get("sales") == SALES

    def test_tables_are_gone(self, site: LocalSite) -> None:
        workspace = site.open()
        workspace.register(SALES)
        behind_its_back(site, "DROP TABLE azureml_workspace", "DROP TABLE azureml_datastores")
        for handle in (workspace, site.open()):
            with pytest.raises(
                InvalidInput, match=r"workspace database .* not those of a workspace.*azureml_datastores"
            ):
                handle.get("sales")

    def test_not_a_database(self, sqlite: LocalSite) -> None:
        sqlite.home.mkdir(parents=True)
        (sqlite.home / "workspace.db").write_text("This is a text, and longer than SQLite's header is. " * 100)
        with pytest.raises(InvalidInput, match=r"workspace\.db: the file is no SQLite database"):
            sqlite.open().list()

    def test_damaged(self, sqlite: LocalSite) -> None:
        sqlite.open().register(SALES)
        file = sqlite.home / "workspace.db"
        content = bytearray(file.read_bytes())
        content[4096:] = b"\xa5" * (len(content) - 4096)
        file.write_bytes(content)
        with pytest.raises(InvalidInput, match="the file is damaged"):
            sqlite.open().list()

    def test_database_is_a_folder(self, sqlite: LocalSite) -> None:
        (sqlite.home / "workspace.db").mkdir(parents=True)
        with pytest.raises(AccessDenied, match="cannot be opened"):
            sqlite.open().list()

    def test_disk_full(self, sqlite: LocalSite) -> None:
        sqlite.open().register(SALES)
        assert in_a_process_that(
            sqlite,
            "size = (site.home / 'workspace.db').stat().st_size",
            "resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))",
            "big = Datastore('big', LocalDirectory('/x'), description='x' * 100_000)",
            "site.open().register(big)",
        ).startswith("Unavailable: workspace database")
        assert next(datastore.name for datastore in sqlite.open().list()) == "sales"
        assert sqlite.open().register(Datastore("big", LocalDirectory("/x"), description="x" * 100_000)) == "created"

    def test_read_only_file(self, sqlite: LocalSite) -> None:
        sqlite.open().register(SALES)
        for path in (sqlite.home / "workspace.db", sqlite.home):
            path.chmod(0o555)
        for parent in sqlite.home.parents[:3]:  # up to the temporary folder, which is open to its owner only
            parent.chmod(0o755)
        said = in_a_process_that(
            sqlite,
            "site.open().get('sales')",
            "os.getuid() or os.setuid(65534)",
            "assert site.open().get('sales').name == 'sales'",
            "assert site.open().register(site.open().get('sales')) == 'unchanged'",
            "site.open().set_default('sales')",
        )
        sqlite.home.chmod(0o755)
        assert re.match("AccessDenied: workspace database .* may not be written", said)

    def test_read_only_server(self, postgresql: LocalSite) -> None:
        postgresql.open().register(SALES)
        name = sqlalchemy.make_url(str(postgresql.url)).database
        behind_its_back(postgresql, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        workspace = postgresql.open()
        assert workspace.get("sales") == SALES
        with pytest.raises(AccessDenied, match="may not be written"):
            workspace.set_default("sales")

    def test_user_without_permission(self, postgresql: LocalSite) -> None:
        url = sqlalchemy.make_url(str(postgresql.url))
        role = f"{url.database}_guest"
        behind_its_back(postgresql, f"CREATE ROLE {role} LOGIN PASSWORD 'geheim'")
        guest = url.set(username=role, password="geheim").render_as_string(hide_password=False)
        try:
            with pytest.raises(AccessDenied, match="lacks a permission") as error:
                LocalWorkspace("lab", postgresql.home, guest).list()
            assert "geheim" not in str(error.value)
        finally:
            behind_its_back(postgresql, f"DROP ROLE {role}")

    def test_no_such_user(self, postgresql: LocalSite) -> None:
        url = sqlalchemy.make_url(str(postgresql.url)).set(username="nobody_at_all")
        with pytest.raises(AccessDenied, match="nobody_at_all"):
            LocalWorkspace("lab", postgresql.home, url.render_as_string(hide_password=False)).list()

    def test_no_such_database(self, postgresql: LocalSite) -> None:
        url = sqlalchemy.make_url(str(postgresql.url)).set(database="no_such_database")
        with pytest.raises(Unavailable, match=r'no_such_database.*"no_such_database" does not exist'):
            LocalWorkspace("lab", postgresql.home, url.render_as_string(hide_password=False)).list()

    def test_driver_is_missing(self, sqlite: LocalSite) -> None:
        assert (
            in_a_process_that(
                sqlite,
                "sys.modules['psycopg'] = None",
                "LocalSite(site.home, 'postgresql://host/ws').open().list()",
            )
            == "MissingExtra: a workspace on PostgreSQL needs: pip install 'airflow-azureml-datastores[postgres]'"
        )


def shown_before(error: BaseException) -> BaseException | None:
    """The error that a traceback shows above this one."""
    return error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def in_a_process_that(site: LocalSite, *statements: str) -> str:
    """What a fresh Python prints of the error that the statements end in."""
    code = "\n    ".join(
        [
            "import os, resource, sys\n"
            "from pathlib import Path\n"
            "from airflow_azureml_datastores.core.datastore import Datastore\n"
            "from airflow_azureml_datastores.errors import DatastoresError\n"
            "from airflow_azureml_datastores.stores.local_directory import LocalDirectory\n"
            "from tests.contract.workspace.rigs_local import LocalSite\n"
            f"site = LocalSite(Path({str(site.home)!r}), {site.url!r})\n"
            "try:",
            *statements,
        ]
    )
    code += "\nexcept DatastoresError as error:\n    print(type(error).__name__, error, sep=': ')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_the_workspace_imports_no_client() -> None:
    code = (
        "import sys, airflow_azureml_datastores.workspaces.local\n"
        "print([name for name in ('sqlalchemy', 'psycopg', 'airflow', 'azure') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert done.stdout.strip() == "[]"
