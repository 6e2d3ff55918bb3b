"""The datastore types: one module each, found by the type's name."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from airflow_azureml_datastores.core.datastore import Location, UnknownLocation
from airflow_azureml_datastores.errors import InvalidInput

LOCATIONS: dict[str, str] = {
    "AzureBlob": "azure_blob:AzureBlob",
    "AzureDataLakeGen2": "adls_gen2:AzureDataLakeGen2",
    "AzureFile": "azure_file:AzureFile",
    "OneLake": "one_lake:OneLake",
    "DBFS": "dbfs:Dbfs",
    "AzureSqlDatabase": "azure_sql:AzureSqlDatabase",
    "AzureMySql": "mysql:AzureMySql",
    "AzurePostgreSql": "postgresql:AzurePostgreSql",
    "LocalDirectory": "local_directory:LocalDirectory",
}


def location_class(type_name: str) -> type[Location]:
    """The class of a datastore type. :raises InvalidInput: the type is not one of LOCATIONS."""
    try:
        module, _, name = LOCATIONS[type_name].partition(":")
    except KeyError:
        raise InvalidInput(f"unknown datastore type {type_name!r}; known: {', '.join(sorted(LOCATIONS))}.") from None
    found: type[Location] = getattr(import_module(f"{__name__}.{module}"), name)
    return found


def make_location(type_name: str, fields: Mapping[str, Any]) -> Location:
    """Build a location from its type's name and its fields, as a workspace keeps them.

    A type or field that this version does not know, or a field that it misses, gives an :class:`UnknownLocation`: it
    survives, unopened.
    """
    if type_name not in LOCATIONS:
        return UnknownLocation(unknown_type=type_name, values=dict(fields))
    cls = location_class(type_name)
    known = dataclasses.fields(cls)
    needed = {f.name for f in known if f.default is f.default_factory is dataclasses.MISSING}
    if not needed <= set(fields) <= {f.name for f in known}:
        return UnknownLocation(unknown_type=type_name, values=dict(fields))
    return cls(**fields)
