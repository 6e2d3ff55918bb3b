"""What the hooks of one datastore share, whether it holds files or tables."""

from __future__ import annotations

from types import TracebackType
from typing import ClassVar, Self

from airflow.sdk import BaseHook

from airflow_azureml_datastores.errors import DatastoresError, InvalidInput
from airflow_azureml_datastores.hooks.workspace import WorkspaceHook


class OneDatastoreHook(BaseHook):
    """A datastore, opened when it is used. A subclass gives :meth:`get_conn`.

    :cvar datastore_type: what it has to be; None is any.
    :cvar _opened: the cached property that opens it.
    """

    datastore_type: ClassVar[str | None] = None
    _opened: ClassVar[str]

    def __init__(self, datastore: str | None = None, workspace_conn_id: str = WorkspaceHook.default_conn_name) -> None:
        super().__init__()
        self.datastore = datastore
        self.workspace_hook = WorkspaceHook(workspace_conn_id)

    def _name(self) -> str:
        """The datastore's name.

        :raises DatastoreNotFound: there is none.
        :raises InvalidInput: it is of another type than this hook is for.
        """
        record = self.workspace_hook.get(self.datastore)
        if self.datastore_type not in (None, record.type):
            raise InvalidInput(
                f"datastore {record.name!r} is of type {record.type}, but {type(self).__name__} is for "
                f"{self.datastore_type}; DatastoreHook takes any with files, DatabaseHook any database."
            )
        return record.name

    def test_connection(self) -> tuple[bool, str]:
        """Find out whether the datastore is there and lets its credential in, and tell a person."""
        try:
            store = self.get_conn()
            store.check()
            return True, f"{self._name()}: {store.url}"
        except DatastoresError as error:
            return False, str(error)

    def close(self) -> None:
        """Close the datastore."""
        self.__dict__.pop(self._opened, None)
        self.workspace_hook.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
