"""Versions of data, in every kind of workspace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import uuid4

import pytest

from airflow_azureml_datastores.core.data_asset import DataAsset
from airflow_azureml_datastores.core.workspace import Workspace
from airflow_azureml_datastores.errors import DataAssetNotFound, InvalidInput, InvalidName, InvalidUri
from tests.contract.workspace.rig import Site
from tests.contract.workspace.test_workspace import together

PATHS = "azureml://datastores/workspaceblobstore/paths"
SALES = DataAsset(
    "sales_raw.2026-a",
    f"{PATHS}/sales/1/",
    digest="sha256:1",
    description="Verkäufe: 'täglich', \"roh\"\nund %s",
    tags={"owner": "Zoë", "été": ""},
)


@pytest.fixture(autouse=True)
def new_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers begin anew with each name; of those that are deleted, a real workspace may remember the numbers."""
    monkeypatch.setattr(f"{__name__}.SALES", replace(SALES, name=f"sales_raw.{uuid4().hex}"))


def content(number: int, **changes: Any) -> DataAsset:
    """The same asset with content of its own at a path of its own."""
    return replace(SALES, **{"path": f"{PATHS}/sales/{number}/", "digest": f"sha256:{number}", **changes})


class TestRegister:
    def test_first_version(self, site: Site, workspace: Workspace) -> None:
        assert workspace.register_data(SALES) == replace(SALES, version="1")
        assert site.open().get_data(SALES.name) == replace(SALES, version="1")

    def test_numbers_count_up(self, workspace: Workspace) -> None:
        assert [workspace.register_data(content(n)).version for n in range(11)] == [str(n) for n in range(1, 12)]
        assert workspace.get_data(SALES.name).version == "11"

    @pytest.mark.parametrize("kind", ["uri_folder", "uri_file", "mltable"])
    def test_types(self, workspace: Workspace, kind: Any) -> None:
        asset = content(1, type=kind, path=f"{PATHS}/sales/1")
        workspace.register_data(asset)
        assert workspace.get_data(SALES.name, "1") == replace(asset, version="1")

    def test_of_another_type(self, workspace: Workspace) -> None:
        workspace.register_data(SALES)
        for version in (None, "1", "new"):
            with pytest.raises(InvalidInput, match=rf"{SALES.name!r} .* are of type uri_folder; .* another name"):
                workspace.register_data(replace(SALES, type="mltable", version=version))
        assert workspace.get_data(SALES.name) == replace(SALES, version="1")

    def test_path_keeps_odd_names(self, workspace: Workspace) -> None:
        odd = content(1, path=f"{PATHS}/a b/50%25/%C3%BC%23.csv", type="uri_file")
        workspace.register_data(odd)
        assert workspace.get_data(SALES.name).path == f"{PATHS}/a b/50%25/ü%23.csv"

    def test_default_datastore_is_named(self, workspace: Workspace) -> None:
        asset = workspace.register_data(content(1, path="azureml://datastores/${{default_datastore}}/paths/x/"))
        assert asset.path == f"azureml://datastores/{workspace.default().name}/paths/x/"

    def test_data_that_is_in_no_datastore(self, workspace: Workspace) -> None:
        path = "https://contoso.blob.core.windows.net/raw/sales/"
        workspace.register_data(content(1, path=path))
        assert workspace.get_data(SALES.name).path == path

    @pytest.mark.parametrize(
        ("change", "error"),
        [
            ({"name": "-sales"}, InvalidName),
            ({"name": "a/b"}, InvalidName),
            ({"name": ""}, InvalidName),
            ({"version": "a b"}, InvalidName),
            ({"version": "1" * 31}, InvalidName),
            ({"type": "table"}, InvalidInput),
            ({"path": ""}, InvalidUri),
            ({"path": "sales/1/"}, InvalidUri),
            ({"path": "azureml:other:1"}, InvalidUri),
            ({"path": "azureml://jobs/j/outputs/o/paths/"}, InvalidUri),
            ({"path": f"{PATHS}/*.csv"}, InvalidUri),
            ({"path": f"{PATHS}/a/", "type": "uri_file"}, InvalidUri),
            ({"path": "{{ path }}"}, InvalidInput),
            ({"path": "https://a.blob.core.windows.net/c?sv=1&sig=0123456789abcdef0123"}, InvalidInput),
            ({"description": "AccountKey=abc"}, InvalidInput),
            ({"tags": {"a": 1}}, InvalidInput),
        ],
    )
    def test_what_is_refused(self, workspace: Workspace, change: dict[str, Any], error: type[Exception]) -> None:
        with pytest.raises(error) as refused:
            workspace.register_data(replace(SALES, **change))
        assert "0123456789abcdef" not in str(refused.value)
        with pytest.raises(DataAssetNotFound):
            workspace.get_data(SALES.name)


class TestSameContent:
    def test_is_the_same_version(self, site: Site, workspace: Workspace) -> None:
        first = workspace.register_data(SALES)
        assert workspace.register_data(SALES) == first
        assert site.open().register_data(replace(SALES, path=f"{PATHS}/elsewhere/", description="")) == first

    def test_of_an_earlier_version(self, workspace: Workspace) -> None:
        for number in (1, 2, 3):
            workspace.register_data(content(number))
        assert workspace.register_data(content(2)).version == "2"
        assert workspace.get_data(SALES.name).version == "3"

    def test_of_another_name(self, workspace: Workspace) -> None:
        workspace.register_data(SALES)
        workspace.register_data(content(2))
        assert workspace.register_data(content(2, name=f"{SALES.name}-too")).version == "1"

    def test_that_is_not_known(self, workspace: Workspace) -> None:
        unknown = replace(SALES, digest="")
        assert [workspace.register_data(unknown).version for _ in range(2)] == ["1", "2"]

    def test_where_the_path_has_other_content_by_now(self, workspace: Workspace) -> None:
        """Version 1 would lead to the content of version 2."""
        workspace.register_data(content(1))
        workspace.register_data(content(2, path=content(1).path))
        back = content(1)
        assert workspace.register_data(back).version == "3"
        assert workspace.register_data(back).version == "3"
        assert workspace.register_data(content(2)).version == "4"


class TestGivenVersion:
    def test_is_kept(self, workspace: Workspace) -> None:
        assert workspace.register_data(replace(SALES, version="2026-11.a")).version == "2026-11.a"
        assert workspace.get_data(SALES.name, "2026-11.a") == replace(SALES, version="2026-11.a")

    def test_that_is_there(self, workspace: Workspace) -> None:
        first = workspace.register_data(replace(SALES, version="7"))
        assert workspace.register_data(replace(SALES, version="7")) == first
        assert workspace.register_data(replace(SALES, version="7", digest="")) == first

    @pytest.mark.parametrize("change", [{"path": f"{PATHS}/other/"}, {"digest": "sha256:2"}])
    def test_that_is_another_one(self, workspace: Workspace, change: dict[str, Any]) -> None:
        first = workspace.register_data(replace(SALES, version="7"))
        with pytest.raises(InvalidInput, match=f"{first.uri} is registered .* never changed"):
            workspace.register_data(replace(SALES, version="7", **change))
        assert workspace.get_data(SALES.name, "7") == first

    def test_numbers_go_on_from_it(self, workspace: Workspace) -> None:
        workspace.register_data(content(1, version="41"))
        workspace.register_data(content(2, version="final"))
        assert workspace.register_data(content(3)).version == "42"

    def test_the_last_registered_is_the_latest(self, workspace: Workspace) -> None:
        for number, version in enumerate(("9", "10", "b", "2")):
            workspace.register_data(content(number, version=version))
            assert workspace.get_data(SALES.name).version == version


class TestGet:
    def test_no_such_name(self, workspace: Workspace) -> None:
        workspace.register_data(SALES)
        with pytest.raises(DataAssetNotFound) as missing:
            workspace.get_data(f"{SALES.name}s")
        for text in [repr(f"{SALES.name}s"), workspace.name, f"Did you mean {SALES.name!r}?"]:
            assert text in str(missing.value)

    def test_no_such_version(self, workspace: Workspace) -> None:
        workspace.register_data(SALES)
        workspace.register_data(content(2))
        with pytest.raises(DataAssetNotFound, match=r"no version '3'; its versions: 2, 1\."):
            workspace.get_data(SALES.name, "3")

    @pytest.mark.parametrize("name", ["", "%", "../x", "a\0b", "x" * 300, "';--", "?"])
    def test_what_is_no_name(self, workspace: Workspace, name: str) -> None:
        for call in (partial(workspace.get_data, name), partial(workspace.get_data, SALES.name, name or "-")):
            with pytest.raises(DataAssetNotFound):
                call()


class TestAtOnce:
    def test_same_content(self, site: Site) -> None:
        results = together(*(partial(site.open().register_data, SALES) for _ in range(8)))
        assert results == [replace(SALES, version="1")] * 8

    def test_different_contents(self, site: Site) -> None:
        asked = [content(number) for number in range(8)]
        results: list[Any] = together(*(_registers(site, asset) for asset in asked))
        assert sorted(result.version for result in results) == [str(n) for n in range(1, 9)]
        workspace = site.open()
        for asset, result in zip(asked, results, strict=True):
            assert workspace.get_data(SALES.name, result.version) == result == replace(asset, version=result.version)


def _registers(site: Site, asset: DataAsset) -> Callable[[], object]:
    return partial(site.open().register_data, asset)
