"""What a workspace can do, whichever it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from airflow_azureml_datastores.core.credentials import Credential
from airflow_azureml_datastores.core.data_asset import DataAsset
from airflow_azureml_datastores.core.datastore import Datastore
from airflow_azureml_datastores.core.job import Jobs
from airflow_azureml_datastores.core.uri import WorkspaceId

Registered = Literal["created", "updated", "unchanged"]


class Workspace(Protocol):
    """A workspace: it remembers datastores by name and which one is the default.

    Names are compared without regard to case.
    """

    @property
    def name(self) -> str:
        """How the workspace calls itself in messages, for example ``'ml_workspace' (local)``."""
        ...

    @property
    def id(self) -> WorkspaceId | None:
        """Where the workspace is in Azure Resource Manager; None if it is not there."""
        ...

    @property
    def jobs(self) -> Jobs:
        """Experiments on the workspace's own computes. :raises Unsupported: it has none."""
        ...

    def list(self) -> Sequence[Datastore]:
        """All registered datastores, by name."""
        ...

    def get(self, name: str) -> Datastore:
        """One datastore. :raises DatastoreNotFound: there is none of this name; near ones are suggested."""
        ...

    def default(self) -> Datastore:
        """The default datastore."""
        ...

    def set_default(self, name: str) -> Datastore:
        """Make a datastore the default. :raises DatastoreNotFound: there is none of this name."""
        ...

    def register(
        self, datastore: Datastore, *, credential: Credential | None = None, overwrite: bool = False
    ) -> Registered:
        """Register a datastore; the same definition again changes nothing.

        :param credential: what the datastore's connection holds, for a workspace whose own computes use it.
        :param overwrite: re-point a name that is taken by another definition.
        :raises DatastoreExists: the name is taken by another definition.
        :raises Unsupported: the workspace cannot keep this type of datastore, or this kind of credential.
        """
        ...

    def unregister(self, name: str) -> Datastore:
        """Forget a datastore and return it; its data stays where it is.

        :raises DatastoreNotFound: there is none of this name.
        :raises DatastoreProtected: it is built in, or the current default.
        """
        ...

    def credential(self, datastore: Datastore) -> Credential | None:
        """The credential that the workspace itself keeps for a datastore; None if it keeps none.

        The datastore need not be registered, or be registered as it is now.

        :raises AccessDenied: it may not be read.
        """
        ...

    def get_data(self, name: str, version: str | None = None) -> DataAsset:
        """A version of a data asset; None is the latest.

        :raises DataAssetNotFound: there is none; near ones are suggested.
        :raises Changed: its path has been registered with other content since, so that the version's own is gone.
        """
        ...

    def register_data(self, asset: DataAsset) -> DataAsset:
        """Register a version of data and return it with its number.

        If a version with the same digest and type is there, and its path has not been registered with other content
        since, that one is returned. A given version that is there already has to be the same.

        :raises InvalidInput: the given version is there with another path, type or content.
        """
        ...

    def job_output(self, job: str, output: str) -> str:
        """The ``azureml://`` URI of a job's output.

        :raises NotFound: there is no such job, or it has no such output.
        :raises Unsupported: the workspace has no jobs.
        """
        ...

    def close(self) -> None:
        """Release connections."""
        ...
