"""Every error this provider raises, as one tree.

Each error also inherits the Python error that a caller who does not know this package would catch::

    DatastoresError
    ├── InvalidInput (ValueError)          an argument is malformed or contradicts another
    │   ├── InvalidName                    a name breaks the rules of what it names
    │   ├── InvalidUri                     not one of Azure ML's URI forms
    │   └── UnsafePath                     a path that escapes its root, or that the store cannot hold
    ├── NotFound (LookupError)
    │   ├── WorkspaceNotFound              no such Azure ML workspace, resource group or subscription
    │   ├── DatastoreNotFound              no such datastore in the workspace
    │   ├── ContainerNotFound              the datastore's container, share or root folder is not there
    │   ├── DataAssetNotFound              no such data asset, or no such version of it, in the workspace
    │   ├── PathNotFound (FileNotFoundError)
    │   └── NoData                         a source that holds nothing, where something was needed
    │       └── AlreadyTaken               all files of a batch have been taken by other runs
    ├── Conflict
    │   ├── DatastoreExists                the name is taken by another definition
    │   ├── DatastoreProtected             a built-in or the current default cannot be unregistered
    │   ├── PathExists (FileExistsError)   create-only write onto something
    │   ├── Changed                        the object is not the version that was asked for (etag)
    │   └── PublishInProgress              somebody else's publish to the same place is not finished
    ├── AccessDenied (PermissionError)     401/403: the credential was refused
    ├── Unavailable (ConnectionError)      the service did not answer properly; trying again may help
    ├── Unsupported                        the datastore type or workspace cannot do this
    ├── InvalidConnection (ValueError)     an Airflow connection lacks a field or has the wrong type
    ├── TransferIncomplete                 some files could not be moved
    ├── ExperimentFailed                   the experiment's command ended with an error
    └── MissingExtra (ImportError)         an optional client is not installed

Messages name the thing and the remedy, and never contain a secret. An error's ``args`` are what it was made with, so
that copying and pickling make the same one again.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class DatastoresError(Exception):
    """Base of all errors of this package."""


class InvalidInput(DatastoresError, ValueError):
    """An argument is malformed or contradicts another."""


class InvalidName(InvalidInput):
    """A name breaks the rules of what it names."""


class InvalidUri(InvalidInput):
    """A text is not one of Azure ML's URI forms."""


class UnsafePath(InvalidInput):
    """A path would escape its root, or is a name that the store cannot hold."""


class NotFound(DatastoresError, LookupError):
    """Something that was named is not there."""


class WorkspaceNotFound(NotFound):
    """There is no such Azure ML workspace, or no such resource group or subscription to look for it in."""


class DatastoreNotFound(NotFound):
    """The workspace has no datastore of this name.

    :param name: the name that was asked for.
    :param workspace: how the workspace calls itself.
    :param registered: the names that are registered there; near ones are suggested.
    """

    def __init__(self, name: str, workspace: str, registered: Iterable[str]) -> None:
        super().__init__(name, workspace, sorted(registered))
        self.name = name

    def __str__(self) -> str:
        name, workspace, names = self.args
        by_fold = {n.casefold(): n for n in names}
        near = difflib.get_close_matches(name.casefold(), by_fold, n=1)
        hint = f" Did you mean {by_fold[near[0]]!r}?" if near else ""
        return f"no datastore {name!r} in workspace {workspace}.{hint} Registered: {', '.join(names) or 'none'}."


class DataAssetNotFound(NotFound):
    """The workspace has no data asset of this name, or no such version of it."""


class ContainerNotFound(NotFound):
    """The container, share or root folder of a datastore does not exist."""


class PathNotFound(NotFound, FileNotFoundError):
    """There is nothing at this path."""


class NoData(NotFound):
    """A source is empty where at least one file was needed."""


class AlreadyTaken(NoData):
    """Other runs of the same consumer have taken all files of a batch since the sensor saw them."""


class Conflict(DatastoresError):
    """What was asked contradicts what is there."""


class DatastoreExists(Conflict):
    """The name is taken by a datastore with another definition."""


class DatastoreProtected(Conflict):
    """A built-in datastore, or the current default, cannot be unregistered."""


class PathExists(Conflict, FileExistsError):
    """A create-only write met something that is already there."""


class Changed(Conflict):
    """The object is not (or no longer) the version that was asked for."""


class PublishInProgress(Conflict):
    """Another publish to the same place has begun and is not finished."""


class AccessDenied(DatastoresError, PermissionError):
    """The service refused the credential, or the credential lacks a permission."""


class Unavailable(DatastoresError, ConnectionError):
    """The service could not be reached or did not answer properly; a later try may succeed."""


class Unsupported(DatastoresError):
    """This datastore type, workspace or platform cannot do what was asked."""


class InvalidConnection(DatastoresError, ValueError):
    """An Airflow connection is missing, lacks a field, or has a type that does not fit."""


class TransferIncomplete(DatastoresError):
    """Some files of a transfer could not be moved; a retry continues with them."""


class ExperimentFailed(DatastoresError):
    """The command of an experiment run ended with an error.

    :param message: what happened, with the tail of the command's output.
    :param exit_code: the process's exit code; negative is the signal that ended it.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message, exit_code)
        self.exit_code = exit_code

    def __str__(self) -> str:
        return str(self.args[0])


class MissingExtra(DatastoresError, ImportError):
    """An optional client library is not installed.

    :param purpose: what needs it.
    :param extra: the extra of this distribution that brings it.
    """

    def __init__(self, purpose: str, extra: str) -> None:
        super().__init__(purpose, extra)

    def __str__(self) -> str:
        purpose, extra = self.args
        return f"{purpose} needs: pip install 'airflow-azureml-datastores[{extra}]'"
