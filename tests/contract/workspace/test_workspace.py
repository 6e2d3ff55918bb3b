"""What every workspace does, whichever it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from threading import Barrier
from typing import Any

import pytest

from airflow_azureml_datastores.core.credentials import Anonymous
from airflow_azureml_datastores.core.datastore import Datastore, Location, UnknownLocation
from airflow_azureml_datastores.core.workspace import Workspace
from airflow_azureml_datastores.errors import (
    DatastoreExists,
    DatastoreNotFound,
    DatastoreProtected,
    DatastoresError,
    InvalidInput,
    InvalidName,
    Unsupported,
)
from airflow_azureml_datastores.stores import LOCATIONS
from airflow_azureml_datastores.stores.adls_gen2 import AzureDataLakeGen2
from airflow_azureml_datastores.stores.azure_blob import AzureBlob
from airflow_azureml_datastores.stores.azure_file import AzureFile
from airflow_azureml_datastores.stores.azure_sql import AzureSqlDatabase
from airflow_azureml_datastores.stores.dbfs import Dbfs
from airflow_azureml_datastores.stores.local_directory import LocalDirectory
from airflow_azureml_datastores.stores.mysql import AzureMySql
from airflow_azureml_datastores.stores.one_lake import OneLake
from airflow_azureml_datastores.stores.postgresql import AzurePostgreSql
from tests.contract.workspace.rig import Site

EVERYWHERE = {"workspaceblobstore", "workspacefilestore"}


OF_EVERY_TYPE = [
    AzureBlob("contoso", "raw"),
    AzureFile("contoso", "team-share", "core.chinacloudapi.cn"),
    AzureDataLakeGen2("contoso", "raw", "core.usgovcloudapi.net", subscription_id="S", resource_group="G"),
    OneLake("Sales & more", "gold", endpoint="msit-onelake.dfs.fabric.microsoft.com"),
    LocalDirectory("/mnt/ü"),
    AzureSqlDatabase("contoso", "crm", 1434, "database.usgovcloudapi.net"),
    AzureSqlDatabase("10.0.0.4", "ünï;x=1", enforce_ssl=False, driver="FreeTDS"),
    AzureMySql("contoso", "crm", 3307, "mysql.database.chinacloudapi.cn", user_id="ml reader"),
    AzureMySql("10.0.0.4", "ünï;x=1", enforce_ssl=False, root_certificate="/etc/ssl/ours.pem"),
    AzurePostgreSql("contoso", "crm", 6432, "postgres.database.usgovcloudapi.net", user_id="ml reader"),
    AzurePostgreSql("db.example.com", "ünï;x=1", enforce_ssl=False, root_certificate="/etc/ssl/ours.pem"),
    Dbfs("https://adb-1234567890123456.7.azuredatabricks.net/", "/Volumes/main/sales/raw/a b"),
    Dbfs("https://adb-1234567890123456.7.azuredatabricks.net", "dbfs:/ü"),
]


def test_no_type_is_left_out() -> None:
    assert {location.type for location in OF_EVERY_TYPE} == set(LOCATIONS)


@pytest.fixture
def sales(site: Site) -> Datastore:
    return Datastore(
        "Sales_2026-a",
        site.location(1),
        credential_conn_id="contoso storage/ß",
        description="Verkäufe: 'täglich', \"roh\"\nund %s :name \0 \\",
        tags={"owner": "Zoë", "": "empty", "été": ""},
    )


def names(workspace: Workspace) -> list[str]:
    return [datastore.name for datastore in workspace.list()]


def in_order(*names: str) -> list[str]:
    return sorted(names, key=str.casefold)


def together(*calls: Callable[[], object]) -> list[object]:
    """What each call gives, all made at the same moment: a result, or the kind of error."""
    barrier = Barrier(len(calls))

    def call(function: Callable[[], object]) -> object:
        barrier.wait()
        try:
            return function()
        except DatastoresError as error:
            return type(error)

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(call, calls))


class TestFirstOpening:
    def test_built_in_datastores(self, site: Site, workspace: Workspace) -> None:
        assert names(workspace) == list(site.names)
        assert {datastore.name for datastore in workspace.list() if datastore.built_in} == EVERYWHERE

    def test_default(self, workspace: Workspace) -> None:
        assert workspace.default() == workspace.get("workspaceblobstore")

    def test_by_many_threads_and_handles(self, site: Site) -> None:
        shared = site.open()
        handles = [shared, shared, shared, *(site.open() for _ in range(5))]
        found = together(*(handle.list for handle in handles))
        assert found == [shared.list()] * len(handles)
        assert names(shared) == list(site.names)

    def test_second_handle_sees_the_same(self, site: Site, sales: Datastore) -> None:
        site.open().register(sales)
        again = site.open()
        assert again.get(sales.name) == sales
        assert names(again) == in_order("Sales_2026-a", *site.names)


class TestRegister:
    def test_created(self, workspace: Workspace, sales: Datastore) -> None:
        assert workspace.register(sales) == "created"
        assert workspace.get(sales.name) == sales
        assert sales in workspace.list()

    def test_plain(self, site: Site, workspace: Workspace) -> None:
        plain = Datastore("0", site.location(1))
        assert workspace.register(plain, overwrite=True) == "created"
        assert workspace.get("0") == plain

    @pytest.mark.parametrize("location", OF_EVERY_TYPE, ids=str)
    def test_every_type(self, site: Site, workspace: Workspace, location: Location) -> None:
        lake = Datastore("lake", location, "conn", tags={"a": "ü"})
        assert workspace.register(lake) == "created"
        again = site.open()
        assert again.get("lake") == lake
        assert again.register(lake) == "unchanged"
        assert lake in again.list()

    def test_longest_name(self, site: Site, workspace: Workspace) -> None:
        longest = Datastore("x" * 255, site.location(1))
        assert workspace.register(longest) == "created"
        assert workspace.get("X" * 255) == longest

    @pytest.mark.parametrize("overwrite", [False, True])
    def test_unchanged(self, site: Site, workspace: Workspace, sales: Datastore, overwrite: bool) -> None:
        workspace.register(sales)
        assert workspace.register(sales, overwrite=overwrite) == "unchanged"
        assert site.open().register(replace(sales, name=sales.name.upper()), overwrite=overwrite) == "unchanged"
        assert names(workspace).count(sales.name) == 1

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            (lambda site: {"location": site.location(2)}, ["location"]),
            (lambda site: {"credential_conn_id": None}, ["credential_conn_id", "contoso storage/ß", "None"]),
            (lambda site: {"credential_conn_id": "Contoso storage/ß"}, ["credential_conn_id", "Contoso storage/ß"]),
            (lambda site: {"description": ""}, ["description", "täglich"]),
            (lambda site: {"tags": {"owner": "Zoé"}}, ["tags", "Zoé", "Zoë"]),
            (
                lambda site: {"location": UnknownLocation("Odd", {"at": "x"}), "tags": {}},
                ["type", "'Odd'", "location.at", "tags"],
            ),
        ],
        ids=["location", "no credential", "case of credential", "description", "tags", "type and tags"],
    )
    def test_other_definition(
        self,
        site: Site,
        workspace: Workspace,
        sales: Datastore,
        change: Callable[[Site], dict[str, Any]],
        told: list[str],
    ) -> None:
        workspace.register(sales)
        other = replace(sales, **change(site))
        with pytest.raises(DatastoreExists) as refused:
            workspace.register(other)
        message = str(refused.value)
        for text in [repr(sales.name), workspace.name, "overwrite=True", *told]:
            assert text in message
        same = {"type", "credential_conn_id", "description", "tags"} - set(told)
        assert not [field for field in same if f"{field} is " in message]
        assert workspace.get(sales.name) == sales
        assert workspace.register(other, overwrite=True) == "updated"
        assert workspace.get(sales.name) == other

    def test_keeps_the_case_of_the_name(self, site: Site, workspace: Workspace, sales: Datastore) -> None:
        workspace.register(sales)
        moved = replace(sales, name=sales.name.lower(), location=site.location(2))
        with pytest.raises(DatastoreExists, match=sales.name):
            workspace.register(moved)
        assert workspace.register(moved, overwrite=True) == "updated"
        assert workspace.get(moved.name) == replace(moved, name=sales.name)

    @pytest.mark.parametrize("name", ["", "-a", "_a", "a b", "a/b", "a.b", "a\n", "ä", "ſales", "x" * 256])
    def test_bad_name(self, site: Site, workspace: Workspace, name: str) -> None:
        with pytest.raises(InvalidName):
            workspace.register(Datastore(name, site.location(1)))
        assert names(workspace) == list(site.names)

    @pytest.mark.parametrize(
        "field",
        [{"name": "{{ name }}"}, {"description": "{% if %}"}, {"tags": {"a": "{{ ds }}"}}, {"credential_conn_id": ""}],
    )
    def test_unfit_field(self, site: Site, workspace: Workspace, sales: Datastore, field: dict[str, Any]) -> None:
        with pytest.raises(InvalidInput):
            workspace.register(replace(sales, **field))
        assert names(workspace) == list(site.names)

    def test_type_of_the_past_is_refused(self, site: Site, workspace: Workspace) -> None:
        gone = UnknownLocation("AzureDataLakeGen1", {"storeName": "x"})
        with pytest.raises(
            Unsupported, match=r"'old' cannot be registered: .*retired on 2024-02-29.*AzureDataLakeGen2"
        ):
            workspace.register(Datastore("old", gone))
        assert names(workspace) == list(site.names)

    def test_unknown_type_survives(self, workspace: Workspace) -> None:
        values = {"where": "there", "port": 1, "deep": {"list": [1, 2.5, None, True, "ü"]}}
        future = Datastore("future", UnknownLocation("Holographic", values))
        assert workspace.register(future) == "created"
        assert workspace.register(future) == "unchanged"
        assert workspace.get("future") == future
        assert workspace.get("future").type == "Holographic"
        with pytest.raises(Unsupported, match="Holographic"):
            workspace.get("future").location.open(Anonymous())


class TestGet:
    def test_by_any_case(self, workspace: Workspace, sales: Datastore) -> None:
        workspace.register(sales)
        assert workspace.get(sales.name.upper()) == workspace.get(sales.name.lower()) == sales

    def test_missing(self, site: Site, workspace: Workspace, sales: Datastore) -> None:
        workspace.register(sales)
        with pytest.raises(DatastoreNotFound) as missing:
            workspace.get("sales_2062-a")
        for text in ["'sales_2062-a'", workspace.name, "Did you mean 'Sales_2026-a'?", *site.names]:
            assert text in str(missing.value)

    @pytest.mark.parametrize(
        "name", ["", " ", "workspaceblobstore ", "%", "a\0b", "workſpaceblobstore", "x" * 5000, "';--"]
    )
    def test_no_such_name(self, workspace: Workspace, name: str) -> None:
        for call in (workspace.get, workspace.set_default, workspace.unregister):
            with pytest.raises(DatastoreNotFound):
                call(name)

    def test_list_is_in_order_whatever_the_case(self, site: Site, workspace: Workspace) -> None:
        for name in ["Zulu", "alpha", "Beta", "a_b", "a-b", "A1"]:
            workspace.register(Datastore(name, site.location(1)))
        assert names(workspace) == in_order("a-b", "A1", "a_b", "alpha", "Beta", "Zulu", *site.names)
        new = [name for name in names(workspace) if name not in site.names]
        assert new == ["a-b", "A1", "a_b", "alpha", "Beta", "Zulu"]


class TestDefault:
    def test_set(self, site: Site, workspace: Workspace, sales: Datastore) -> None:
        workspace.register(sales)
        assert workspace.set_default(sales.name.upper()) == sales
        assert workspace.default() == site.open().default() == sales
        assert workspace.set_default(sales.name) == sales
        assert workspace.set_default("workspacefilestore") == workspace.default() == workspace.get("workspacefilestore")

    def test_missing(self, workspace: Workspace) -> None:
        before = workspace.default()
        with pytest.raises(DatastoreNotFound, match="Did you mean 'workspacefilestore'"):
            workspace.set_default("workspacefilstore")
        assert workspace.default() == before

    def test_stays_when_re_pointed(self, site: Site, workspace: Workspace) -> None:
        moved = Datastore("WorkspaceBlobStore", site.location(1))
        assert workspace.register(moved, overwrite=True) == "updated"
        assert workspace.default() == replace(moved, name="workspaceblobstore")


class TestUnregister:
    def test_forgets(self, site: Site, workspace: Workspace, sales: Datastore) -> None:
        workspace.register(sales)
        assert workspace.unregister(sales.name.lower()) == sales
        assert names(site.open()) == list(site.names)
        with pytest.raises(DatastoreNotFound):
            workspace.unregister(sales.name)
        other = replace(sales, name=sales.name.upper(), location=site.location(2))
        assert workspace.register(other) == "created"
        assert workspace.get(sales.name) == other

    def test_default_is_protected(self, workspace: Workspace, sales: Datastore) -> None:
        workspace.register(sales)
        workspace.set_default(sales.name)
        with pytest.raises(DatastoreProtected, match=r"(?=.*Sales_2026-a)(?=.*default)"):
            workspace.unregister(sales.name.upper())
        assert workspace.default() == sales
        workspace.set_default("workspaceblobstore")
        assert workspace.unregister(sales.name) == sales

    @pytest.mark.parametrize("name", [*sorted(EVERYWHERE), "WorkspaceFileStore"])
    def test_built_in_is_protected(self, site: Site, workspace: Workspace, sales: Datastore, name: str) -> None:
        workspace.register(sales)
        workspace.set_default(sales.name)
        moved = site.elsewhere(workspace.get(name))
        workspace.register(Datastore(name, moved), overwrite=True)
        with pytest.raises(DatastoreProtected, match=r"(?i)(?=.*workspace(blob|file)store)(?=.*built)"):
            workspace.unregister(name)
        assert workspace.get(name).location == moved


class TestAtOnce:
    """Many threads with a handle each; a kind of workspace that lives in files or databases tests processes as well."""

    def test_same_definition(self, site: Site, sales: Datastore) -> None:
        results = together(*(partial(site.open().register, sales) for _ in range(8)))
        assert Counter(results) == {"created": 1, "unchanged": 7}

    def test_different_definitions(self, site: Site, sales: Datastore) -> None:
        asked = [replace(sales, location=site.location(n)) for n in range(8)]
        results = together(*(partial(site.open().register, datastore) for datastore in asked))
        assert Counter(results) == {"created": 1, DatastoreExists: 7}
        assert site.open().get(sales.name) == asked[results.index("created")]

    def test_default_is_never_unregistered(self, site: Site, sales: Datastore) -> None:
        site.open().set_default("workspaceblobstore")
        for _ in range(5):
            site.open().register(sales)
            set_default, unregister = together(
                lambda: site.open().set_default(sales.name), lambda: site.open().unregister(sales.name)
            )
            assert (set_default, unregister) in [(sales, DatastoreProtected), (DatastoreNotFound, sales)]
            assert site.open().default().name == (sales.name if set_default == sales else "workspaceblobstore")
            site.open().set_default("workspaceblobstore")
