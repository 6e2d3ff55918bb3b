"""A workspace of Azure ML, through Azure Resource Manager."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from airflow_azureml_datastores.core.arm import ArmConnection
from airflow_azureml_datastores.core.credentials import Credential
from airflow_azureml_datastores.core.data_asset import DataAsset
from airflow_azureml_datastores.core.datastore import Datastore, UnknownLocation, check_datastore_name
from airflow_azureml_datastores.core.job import Jobs
from airflow_azureml_datastores.core.uri import WorkspaceId
from airflow_azureml_datastores.core.workspace import Registered
from airflow_azureml_datastores.errors import (
    Conflict,
    DatastoreExists,
    DatastoreNotFound,
    DatastoreProtected,
    DatastoresError,
    InvalidInput,
    InvalidName,
    NotFound,
    Unavailable,
    Unsupported,
)
from airflow_azureml_datastores.stores._azure import Patience
from airflow_azureml_datastores.workspaces._arm import ArmClient
from airflow_azureml_datastores.workspaces._arm_connections import ArmConnections
from airflow_azureml_datastores.workspaces._arm_datastores import ArmDatastores
from airflow_azureml_datastores.workspaces._arm_shelf import Kept, OnSecret, Shelf
from airflow_azureml_datastores.workspaces._azureml_data import AzureMLData
from airflow_azureml_datastores.workspaces._azureml_jobs import AzureMLJobs
from airflow_azureml_datastores.workspaces._definition import check_definition, definition_of, differences

BUILT_IN = ("workspaceartifactstore", "workspaceblobstore", "workspacefilestore", "workspaceworkingdirectory")
"""The datastores that Azure ML makes with every workspace, and needs."""


class AzureMLWorkspace:
    """A workspace of Azure ML.

    Building the object makes no request; all calls may be made from many threads. Besides what :class:`Workspace` lists
    they raise AccessDenied, WorkspaceNotFound, Unavailable and what else Azure Resource Manager refuses with.

    Azure Resource Manager has no documented way to write only if nobody else has written meanwhile. Who registers a
    name at the same moment as somebody else looks again afterwards, and is told if the other one's definition has
    stayed; but of two that write one after the other the last wins, and the first is not told.

    :param name: how the connection is called; messages show it with the workspace's name.
    :param id: where the workspace is.
    :param credential: a ServicePrincipal, Certificate, Identity or AccessToken.
    :param cloud: ``AzurePublicCloud``, ``AzureUSGovernment`` or ``AzureChinaCloud``.
    :param resource_manager: https URL where the cloud's Resource Manager is reached, if not at its public address.
    :param on_secret: is told every secret that the service gives out, before anything else sees it.
    :param patience: retries and timeouts.
    :raises InvalidConnection: another kind of credential, an unknown cloud, or an address that is not https.
    """

    def __init__(
        self,
        name: str,
        id: WorkspaceId,
        credential: Credential,
        *,
        cloud: str = "AzurePublicCloud",
        resource_manager: str | None = None,
        on_secret: OnSecret = lambda _: None,
        patience: Patience | None = None,
    ) -> None:
        shown = f"{name!r} (Azure ML workspace {id.workspace})"
        self._arm = ArmClient(shown, id, credential, cloud=cloud, resource_manager=resource_manager, patience=patience)
        self._datastores = ArmDatastores(self._arm, on_secret)
        self._connections = ArmConnections(self._arm, on_secret)
        self._on_secret = on_secret
        self._data = AzureMLData(self._arm, lambda: self.default().name)

    @property
    def name(self) -> str:
        return self._arm.name

    @property
    def id(self) -> WorkspaceId:
        return self._arm.id

    @property
    def jobs(self) -> Jobs:
        return AzureMLJobs(self._arm, self._on_secret)

    def __repr__(self) -> str:
        return f"<AzureMLWorkspace {self.name}: {self.id}>"

    def list(self) -> Sequence[Datastore]:
        return sorted((kept.datastore for kept in self._all()), key=lambda datastore: datastore.name.casefold())

    def get(self, name: str) -> Datastore:
        return self._find(name).datastore

    def default(self) -> Datastore:
        """The default datastore. :raises NotFound: there is none, as somebody deleted it."""
        kept = self._datastores.default()
        if kept is None:
            raise NotFound(
                f"workspace {self.name} has no default datastore: it was deleted. Make another one the default, or "
                f"name a datastore."
            )
        return kept.datastore

    def set_default(self, name: str) -> Datastore:
        """As the port says. :raises Unsupported: it is kept as a connection, which cannot be the default."""
        kept = self._find(name)
        if kept.is_connection:
            raise Unsupported(
                f"datastore {kept.datastore.name!r} cannot be the default of workspace {self.name}: Azure ML has no "
                f"datastores of type {kept.datastore.type}, so it is kept as a connection."
            )
        if kept.is_default:
            return kept.datastore
        if self._datastores.make_default(kept):
            # Somebody unregistered it meanwhile, and the PUT made it anew.
            self._datastores.delete(kept.datastore.name)
            raise self._not_found(name)
        return kept.datastore

    def register(
        self, datastore: Datastore, *, credential: Credential | None = None, overwrite: bool = False
    ) -> Registered:
        """As the port says.

        The credential is written into the workspace. Without one, that which the workspace keeps stays, as long as
        neither location nor connection change; a credential that has changed is written, and needs no ``overwrite``.
        Azure ML does not change a datastore's type, so for that it is unregistered first.

        :raises DatastoreProtected: the type of a built-in datastore, or of the default, was to be changed.
        :raises AccessDenied: the type was to be changed, and the secrets of the one before cannot be read.
        """
        asked = definition_of(datastore)
        check_definition(datastore.name, asked)
        shelf = self._connections if _is_connection(datastore) else self._datastores
        shelf.check(datastore, credential)
        kept = self._look(datastore.name)
        if kept is None:
            return self._create(shelf, datastore, credential)
        datastore = datastore.completed(kept.datastore)
        registered, asked = definition_of(kept.datastore), definition_of(datastore)
        same = registered == asked
        if not same and not overwrite:
            raise DatastoreExists(
                f"datastore {kept.datastore.name!r} is already registered in workspace {self.name} with another "
                f"definition: {differences(registered, asked)}. Register it with overwrite=True to re-point it."
            )
        held = "other" if not same else "same" if credential is None else shelf.holds(kept, credential)
        if held == "same":
            return "unchanged"
        self._overwrite(shelf, replace(datastore, name=kept.datastore.name), kept, credential)
        return "unchanged" if held == "unknown" else "updated"

    def unregister(self, name: str) -> Datastore:
        kept = self._find(name)
        self._check_unprotected(kept, "cannot be unregistered")
        try:
            self._shelf_of(kept).delete(kept.datastore.name)
        except (Conflict, InvalidInput):
            self._check_unprotected(self._find(name), "cannot be unregistered")  # it may just have become the default
            raise
        return kept.datastore

    def credential(self, datastore: Datastore) -> Credential | None:
        """The credential that the workspace keeps for a datastore, if it is registered with this location.

        Where it keeps none (identity-based access) that is the workspace's own, unless that is an access token; None
        for a connection without one.
        """
        kept = self._look(datastore.name)
        if kept is not None and kept.datastore.location == datastore.location:
            return self._shelf_of(kept).credential(kept)
        return None if _is_connection(datastore) else self._datastores.own_credential

    def get_data(self, name: str, version: str | None = None) -> DataAsset:
        return self._data.get(name, version)

    def register_data(self, asset: DataAsset) -> DataAsset:
        return self._data.register(asset)

    def job_output(self, job: str, output: str) -> str:
        found = self.jobs.get(job)
        if found is None:
            raise NotFound(f"there is no job {job!r} in workspace {self.name}.")
        if output not in found.outputs:
            names = ", ".join(sorted(found.outputs)) or "none"
            raise NotFound(f"job {job!r} in workspace {self.name} has no output {output!r}; it has: {names}.")
        return found.outputs[output]

    def close(self) -> None:
        self._arm.close()

    def _all(self) -> Sequence[Kept]:
        return [*self._datastores.list(), *self._connections.list()]

    def _look(self, name: str) -> Kept | None:
        try:
            check_datastore_name(name)
        except InvalidName:
            return None
        return self._datastores.find(name) or self._connections.find(name)

    def _find(self, name: str) -> Kept:
        kept = self._look(name)
        if kept is None:
            raise self._not_found(name)
        return kept

    def _not_found(self, name: str) -> DatastoreNotFound:
        return DatastoreNotFound(name, self.name, [kept.datastore.name for kept in self._all()])

    def _shelf_of(self, kept: Kept) -> Shelf:
        return self._connections if kept.is_connection else self._datastores

    def _create(self, shelf: Shelf, datastore: Datastore, credential: Credential | None) -> Registered:
        created, written = shelf.put(datastore, None, credential)
        found = self._look(datastore.name)
        if found is None or replace(found.datastore, name=written.datastore.name) != written.datastore:
            raise DatastoreExists(
                f"datastore {datastore.name!r} was registered in workspace {self.name} with another definition at the "
                f"same moment, and that one has stayed."
            )
        return "created" if created else "unchanged"

    def _overwrite(self, shelf: Shelf, datastore: Datastore, kept: Kept, credential: Credential | None) -> None:
        if kept.datastore.type != datastore.type:
            self._replace(shelf, datastore, kept, credential)
            return
        try:
            shelf.put(datastore, kept, credential)
        except InvalidInput:
            # The default is only written by who says that it is the default: it may have become that just now.
            now = self._look(datastore.name)
            if now is None or kept.is_default or not now.is_default:
                raise
            shelf.put(datastore, now, credential)

    def _replace(self, shelf: Shelf, datastore: Datastore, kept: Kept, credential: Credential | None) -> None:
        """Put a datastore of another type in the place of one; if the service does not take it, the old one is back."""
        self._check_unprotected(kept, f"cannot become a {datastore.type}")
        restore = self._shelf_of(kept).restorer(kept)
        self._shelf_of(kept).delete(kept.datastore.name)
        try:
            shelf.put(datastore, None, credential)
        except DatastoresError:
            if not _has(shelf, datastore):  # else it is only the answer that was lost
                restore()
                raise

    def _check_unprotected(self, kept: Kept, what: str) -> None:
        name = kept.datastore.name
        if name.casefold() in BUILT_IN:
            raise DatastoreProtected(f"datastore {name!r} is built into workspace {self.name} and {what}.")
        if kept.is_default:
            raise DatastoreProtected(
                f"datastore {name!r} is the default of workspace {self.name} and {what}; make another one the default "
                f"first."
            )


def _has(shelf: Shelf, datastore: Datastore) -> bool:
    """Whether a datastore is there as it was put; not, as far as is known, if nobody answers."""
    try:
        found = shelf.find(datastore.name)
    except Unavailable:
        return False
    return found is not None and definition_of(found.datastore) == definition_of(datastore)


def _is_connection(datastore: Datastore) -> bool:
    location = datastore.location
    return not isinstance(location, UnknownLocation) and isinstance(location.to_arm(), ArmConnection)
