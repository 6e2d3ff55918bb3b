"""Azure ML's URIs: parsed strictly, printed so that parsing gives the same back.

Forms (learn.microsoft.com/azure/machine-learning/how-to-read-write-data-v2)::

    azureml://datastores/<datastore>/paths/<path>
    azureml://subscriptions/<s>/resourcegroups/<rg>/workspaces/<ws>/datastores/<datastore>/paths/<path>
    azureml://jobs/<job>/outputs/<output>/paths/<path>
    azureml:<name>:<version>          azureml:<name>@latest

In a path, ``%``, ``?``, ``#``, ``*``, ``[`` and control characters of a *name* are percent-encoded when printed; an
unencoded ``*``, ``?`` or ``[`` makes the path a pattern (see :mod:`.glob`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from airflow_azureml_datastores.core.datastore import check_datastore_name
from airflow_azureml_datastores.core.glob import escape, is_glob
from airflow_azureml_datastores.errors import InvalidName, InvalidUri

SCHEME = "azureml://"
DEFAULT_DATASTORE = "${{default_datastore}}"
"""Azure ML's placeholder for the workspace's default datastore, allowed as a datastore's name."""

_RESERVED = re.compile(r"[%?#*\[\x00-\x1f\x7f]")
_PERCENT = re.compile(r"%(?![0-9a-fA-F]{2})")
_WORKSPACE = re.compile(
    r"subscriptions/(?P<subscription>[^/]+)/resource[gG]roups/(?P<resource_group>[^/]+)"
    r"(?:/providers/Microsoft\.MachineLearningServices)?/workspaces/(?P<workspace>[^/]+)/(?P<rest>.*)",
    re.DOTALL,
)
_DATASTORE = re.compile(r"datastores/(?P<name>[^/]+)(?:/paths(?:/(?P<path>.*))?)?", re.DOTALL)
_JOB = re.compile(r"jobs/(?P<job>[^/]+)/outputs/(?P<output>[^/]+)(?:/paths(?:/(?P<path>.*))?)?", re.DOTALL)
_ASSET = re.compile(r"azureml:(?P<name>[a-zA-Z0-9][\w.\-]{0,254})(?::(?P<version>[\w.\-]+)|@(?P<label>[\w.\-]+))")


@dataclass(frozen=True, slots=True)
class WorkspaceId:
    """Where an Azure ML workspace is in Azure Resource Manager."""

    subscription: str
    resource_group: str
    workspace: str

    def __str__(self) -> str:
        return f"subscriptions/{self.subscription}/resourcegroups/{self.resource_group}/workspaces/{self.workspace}"


@dataclass(frozen=True, slots=True)
class DatastoreUri:
    """A place, or a pattern of places, in a datastore.

    :param datastore: its name; None is the workspace's default.
    :param path: the exact path, or with ``pattern`` the glob; never starts with a slash unless the name does.
    :param pattern: whether ``path`` is a glob.
    :param workspace: the workspace of the long form.
    """

    datastore: str | None
    path: str = ""
    pattern: bool = False
    workspace: WorkspaceId | None = None

    def __str__(self) -> str:
        prefix = f"{self.workspace}/" if self.workspace else ""
        path = self.path if self.pattern else quote_path(self.path)
        if self.pattern:
            path = re.sub(r"[%#\x00-\x1f\x7f]", _quote_char, path)
        return f"{SCHEME}{prefix}datastores/{self.datastore or DEFAULT_DATASTORE}/paths/{path}"


@dataclass(frozen=True, slots=True)
class JobOutputUri:
    """An output of an Azure ML job."""

    job: str
    output: str
    path: str = ""

    def __str__(self) -> str:
        return f"{SCHEME}jobs/{self.job}/outputs/{self.output}/paths/{quote_path(self.path)}"


@dataclass(frozen=True, slots=True)
class DataAssetUri:
    """A registered version of data; exactly one of ``version`` and ``label`` is given."""

    name: str
    version: str | None = None
    label: str | None = None

    def __str__(self) -> str:
        return f"azureml:{self.name}" + (f":{self.version}" if self.version else f"@{self.label}")


Uri = DatastoreUri | JobOutputUri | DataAssetUri


def quote_path(path: str) -> str:
    """A path as it stands in a URI, taken literally."""
    return _RESERVED.sub(_quote_char, path)


def _quote_char(match: re.Match[str]) -> str:
    return f"%{ord(match[0]):02X}"


def parse_uri(text: str) -> Uri:
    """Parse any of Azure ML's forms; a text without a scheme is a path in the default datastore.

    :raises InvalidUri: the text fits none of the forms; the message says what is wrong with it.
    """
    if not isinstance(text, str) or not text.strip():
        raise InvalidUri(f"an azureml:// URI or a path is needed, got {text!r}.")
    if text[0].isspace() and re.match(r"\s*(azureml:|[a-zA-Z][a-zA-Z0-9+.\-]*://)", text):
        raise InvalidUri("there is white space before the URI; remove it.")
    if text.startswith(SCHEME):
        return _parse_long(text, text[len(SCHEME) :])
    if text.startswith("azureml:"):
        found = _ASSET.fullmatch(text)
        if found is None:
            raise InvalidUri(f"{text!r} is not a data asset: write azureml:<name>:<version> or azureml:<name>@latest.")
        return DataAssetUri(found["name"], found["version"], found["label"])
    if re.match(r"[a-zA-Z][a-zA-Z0-9+.\-]*://", text):
        scheme = text.partition(":")[0]
        raise InvalidUri(
            f"a URI of scheme {scheme!r} is not in a datastore: register a datastore for it and write "
            f"{SCHEME}datastores/<name>/paths/<path>."
        )
    return DatastoreUri(None, text, pattern=is_glob(text))


def parse_datastore_uri(text: str) -> DatastoreUri:
    """Parse a text that has to be a place in a datastore of the workspace at hand.

    :raises InvalidUri: it is another form, or none, or names an Azure ML workspace by its long form.
    """
    uri = parse_uri(text)
    if isinstance(uri, DatastoreUri) and uri.workspace is not None:
        raise InvalidUri(
            f"{text!r} names the Azure ML workspace {uri.workspace.workspace!r}. Leave that to the connection: "
            f"write {SCHEME}datastores/{uri.datastore or DEFAULT_DATASTORE}/paths/…"
        )
    if not isinstance(uri, DatastoreUri):
        raise InvalidUri(f"{text!r} is not a place in a datastore: write {SCHEME}datastores/<name>/paths/<path>.")
    return uri


def _parse_long(text: str, rest: str) -> Uri:
    workspace = None
    if (found := _WORKSPACE.fullmatch(rest)) is not None:
        workspace = WorkspaceId(found["subscription"], found["resource_group"], found["workspace"])
        rest = found["rest"]
    if (found := _DATASTORE.fullmatch(rest)) is not None:
        name = None if found["name"] == DEFAULT_DATASTORE else found["name"]
        if name is not None:
            try:
                check_datastore_name(name)
            except InvalidName as error:
                raise InvalidUri(f"{text!r}: {error}") from None
        path, pattern = _parse_path(text, found["path"])
        return DatastoreUri(name, path, pattern, workspace)
    if workspace is None and (found := _JOB.fullmatch(rest)) is not None:
        path, pattern = _parse_path(text, found["path"])
        if pattern:
            raise InvalidUri(f"{text!r}: a job's output takes no pattern.")
        return JobOutputUri(found["job"], found["output"], path)
    raise InvalidUri(
        f"{text!r} is not an Azure ML URI: write {SCHEME}datastores/<name>/paths/<path> "
        f"(or the long form with subscription, resource group and workspace)."
    )


def _parse_path(text: str, raw: str | None) -> tuple[str, bool]:
    """The decoded path and whether it is a pattern; in a pattern, encoded special characters stay literal."""
    if raw is None:
        return "", False
    if _PERCENT.search(raw):
        raise InvalidUri(f"{text!r}: a '%' has to be followed by two hex digits; a literal one is written %25.")
    if not is_glob(raw):
        return _decode(text, raw), False
    pieces = re.split(r"((?:%[0-9a-fA-F]{2})+)", raw)
    return "".join(escape(_decode(text, p)) if p.startswith("%") else p for p in pieces), True


def _decode(text: str, raw: str) -> str:
    try:
        return unquote_to_bytes(raw).decode()
    except UnicodeError:
        raise InvalidUri(f"{text!r}: the path, percent-encoded bytes decoded, is not UTF-8.") from None
