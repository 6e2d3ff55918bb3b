"""Adding a datastore type is one module, one line in LOCATIONS, one hook subclass and one rig: none is forgotten."""

from __future__ import annotations

import dataclasses
import inspect

import pytest

import airflow_azureml_datastores
from airflow_azureml_datastores import hooks
from airflow_azureml_datastores.core.datastore import Location
from airflow_azureml_datastores.core.store import FileStore
from airflow_azureml_datastores.core.table_store import TableStore
from airflow_azureml_datastores.stores import LOCATIONS, location_class
from tests.architecture import modules_of
from tests.contract.rig import find_rigs
from tests.contract.tables.rig import find_rigs as find_table_rigs

HOLD_FILES = [name for name in LOCATIONS if location_class(name).holds == "files"]


def test_every_store_module_is_registered() -> None:
    modules = {module.rpartition(".")[2] for module in modules_of("stores")}
    assert {name for name in modules if not name.startswith("_")} == {
        target.partition(":")[0] for target in LOCATIONS.values()
    }


@pytest.mark.parametrize("type_name", LOCATIONS)
class TestDatastoreType:
    def test_location(self, type_name: str) -> None:
        location = location_class(type_name)
        assert issubclass(location, Location)
        assert dataclasses.is_dataclass(location)
        assert location.type == type_name

    def test_is_documented(self, type_name: str) -> None:
        location = location_class(type_name)
        generated = f"{location.__name__}("  # dataclass gives a class without a docstring its signature
        text = vars(location)["__doc__"]
        assert not text.startswith(generated)
        for field in dataclasses.fields(location):
            assert f":param {field.name}:" in text

    def test_opens_what_it_holds(self, type_name: str) -> None:
        store = inspect.get_annotations(location_class(type_name).open, eval_str=True)["return"]
        assert issubclass(store, FileStore if type_name in HOLD_FILES else TableStore)

    def test_can_be_kept_in_azure_ml(self, type_name: str) -> None:
        location = location_class(type_name)
        assert location.to_arm is not Location.to_arm
        assert location.from_arm.__func__ is not Location.from_arm.__func__  # type: ignore[attr-defined]

    def test_is_one_of_the_package_s_names(self, type_name: str) -> None:
        location = location_class(type_name)
        assert getattr(airflow_azureml_datastores, location.__name__) is location
        assert location.__name__ in airflow_azureml_datastores.__all__

    def test_says_what_it_takes(self, type_name: str) -> None:
        assert location_class(type_name).takes

    def test_has_a_rig(self, type_name: str) -> None:
        rigs = find_rigs() if type_name in HOLD_FILES else find_table_rigs()
        assert type_name in {rig.type for rig in rigs}  # type: ignore[attr-defined]

    def test_has_a_hook(self, type_name: str) -> None:
        public = [getattr(hooks, name) for name in hooks.__all__]
        (hook,) = [hook for hook in public if getattr(hook, "datastore_type", None) == type_name]
        assert issubclass(hook, hooks.DatastoreHook if type_name in HOLD_FILES else hooks.DatabaseHook)


@pytest.mark.parametrize("type_name", HOLD_FILES)
def test_can_be_mounted(type_name: str) -> None:
    """Its store says how another process opens it."""
    store = inspect.get_annotations(location_class(type_name).open, eval_str=True)["return"]
    assert store.door is not FileStore.door
