"""The registered record, and where its data is."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar, Literal, Self

from airflow_azureml_datastores.core.arm import ArmForm
from airflow_azureml_datastores.core.credentials import Credential, CredentialTypes
from airflow_azureml_datastores.core.store import FileStore, Store
from airflow_azureml_datastores.core.template import Templated, is_unrendered
from airflow_azureml_datastores.errors import InvalidName, Unsupported

# ARM's rule for a datastore's name (Microsoft.MachineLearningServices/workspaces/datastores).
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9\-_]{0,254}")

Service = Literal["blob", "dfs", "file", "databricks", "postgresql", "mssql", "mysql"]
"""A service that credentials are for, each with an address of its own."""

RETIRED = {
    # https://learn.microsoft.com/azure/data-lake-store/
    "AzureDataLakeGen1": "Azure Data Lake Storage Gen1 was retired on 2024-02-29. Move the data to Gen2, and register "
    "that as an AzureDataLakeGen2.",
}
"""Types of Azure ML whose service is gone -> why, and the way on."""

BUILT_IN = ("workspaceblobstore", "workspacefilestore")


def check_datastore_name(name: str) -> str:
    """Return the name unchanged, or raise :class:`InvalidName` saying which rule it breaks."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidName(
            f"{name!r} is not a datastore name: 1 to 255 letters, digits, '-' or '_', starting with a letter or digit."
        )
    return name


@dataclass(frozen=True)
class Location(Templated, ABC):
    """Where a datastore's data is. One subclass per datastore type; its fields are the type's own terms."""

    type: ClassVar[str]
    """Azure ML's name of the type, for example ``AzureBlob``."""
    service: ClassVar[Service] = "blob"
    """The service whose URL a connection's endpoint is to be."""
    holds: ClassVar[Literal["files", "tables"]] = "files"
    """What is in it: :meth:`open` gives a :class:`FileStore` or a :class:`TableStore`."""
    takes: ClassVar[CredentialTypes]
    """The kinds of credential that :meth:`open` takes."""

    @abstractmethod
    def open(self, credential: Credential) -> Store:
        """Open the location. Imports the client library; makes no request yet.

        :raises InvalidConnection: the type cannot use this kind of credential.
        """

    @property
    @abstractmethod
    def url(self) -> str:
        """The location as people write it; never with a secret."""

    @classmethod
    def default_endpoint(cls) -> str:
        """Where the type's service is unless the location says otherwise, for people; "" if there is no such place."""
        return ""

    def redirected(self, endpoint: str) -> Location:
        """The same location reached at another service endpoint, as a credential's connection may ask.

        :raises Unsupported: the type has no endpoint.
        """
        raise Unsupported(f"a datastore of type {self.type} has no service endpoint to set (got {endpoint!r}).")

    def completed(self, registered: Location) -> Self:
        """The same location, with what it leaves to the workspace as the one has it that is registered."""
        return self

    def to_arm(self) -> ArmForm:
        """The location as an Azure ML workspace keeps it. :raises Unsupported: Azure ML cannot keep it."""
        raise Unsupported(f"an Azure ML workspace cannot keep datastores of type {self.type}.")

    @classmethod
    def from_arm(cls, form: ArmForm) -> Self:
        """What :meth:`to_arm` gave, or others registered, as a location.

        :raises InvalidInput: a property is missing, or has a value that this version does not understand.
        """
        raise Unsupported(f"an Azure ML workspace cannot keep datastores of type {cls.type}.")

    def fields(self) -> dict[str, Any]:
        """The location as JSON-ready values, without the type."""
        return asdict(self)


def open_files(location: Location, credential: Credential) -> FileStore:
    """Open a location that holds files.

    :raises Unsupported: it is a database.
    """
    if location.holds != "files":
        raise Unsupported(
            f"{location.url} is a database: it has tables, no files. Take rows from it with "
            f"Input.query(datastore, sql) or Input.table(datastore, name); NewRowsSensor waits for new ones."
        )
    store = location.open(credential)
    assert isinstance(store, FileStore)
    return store


@dataclass(frozen=True)
class UnknownLocation(Location):
    """A type that this version does not know: it can be listed and kept, but not opened.

    :param unknown_type: the type's name as the workspace gives it.
    :param values: its fields, untouched.
    """

    type: ClassVar[str] = "Unknown"
    unknown_type: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)

    def open(self, credential: Credential) -> Store:
        if self.unknown_type in RETIRED:
            raise Unsupported(
                f"datastores of type {self.unknown_type} cannot be opened any more: {RETIRED[self.unknown_type]}"
            )
        raise Unsupported(
            f"datastores of type {self.unknown_type!r} are not known to this version of airflow-azureml-datastores."
        )

    @property
    def url(self) -> str:
        return f"{self.unknown_type}:?"


@dataclass(frozen=True)
class Datastore(Templated):
    """A registered datastore.

    :param name: letters, digits, ``-`` and ``_``; compared without regard to case, as ARM does.
    :param location: where the data is.
    :param credential_conn_id: id of the Airflow connection that holds the credential, never the credential itself.
        None uses the identity of the worker.
    :param description: free text.
    :param tags: free labels.
    """

    name: str
    location: Location
    credential_conn_id: str | None = None
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)

    def check(self) -> None:
        check_datastore_name(self.name)
        if not isinstance(self.location, Location) and not is_unrendered(self.location):
            raise InvalidName(
                f"the location of datastore {self.name!r} is a {type(self.location).__name__}, no Location."
            )

    def completed(self, registered: Datastore) -> Self:
        """The same datastore, with what its location leaves to the workspace as the registered one has it."""
        return replace(self, location=self.location.completed(registered.location))

    @property
    def type(self) -> str:
        """Azure ML's name of the datastore's type."""
        location = self.location
        return location.unknown_type if isinstance(location, UnknownLocation) else location.type

    @property
    def built_in(self) -> bool:
        """Whether every workspace has this datastore from the start."""
        return self.name.casefold() in BUILT_IN
