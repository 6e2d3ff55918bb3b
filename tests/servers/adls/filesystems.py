"""The calls of the dfs endpoint on filesystems, and lists of what is in them."""

from __future__ import annotations

import base64

from tests.servers.adls.errors import StorageError
from tests.servers.adls.model import Account, Node, managed, parent
from tests.servers.adls.paths import metadata_in, node_at, number
from tests.servers.azureml.web import Request, Response


def create_filesystem(request: Request, account: Account, container: str, path: str) -> Response:
    if container in account.filesystems and not account.onelake:
        raise StorageError("FilesystemAlreadyExists")
    files = account.create(container)
    files.metadata = metadata_in(request.headers.get("x-ms-properties", ""))
    return Response(
        201, None, {"ETag": files.etag, "Last-Modified": files.last_modified, "x-ms-namespace-enabled": "true"}
    )


def delete_filesystem(request: Request, account: Account, container: str, path: str) -> Response:
    account.find(container)
    if account.onelake:
        raise managed()
    del account.filesystems[container]
    return Response(202)


def filesystem_properties(request: Request, account: Account, container: str, path: str) -> Response:
    files = account.find(container)
    namespace = {"x-ms-namespace-enabled": str(account.hierarchical).lower()}
    return Response(200, None, {"ETag": files.etag, "Last-Modified": files.last_modified, **namespace})


def list_filesystems(request: Request, account: Account, container: str, path: str) -> Response:
    if account.onelake:
        raise managed()
    found = [
        files for name, files in sorted(account.filesystems.items()) if name.startswith(request.query.get("prefix", ""))
    ]
    entries = [{"name": f.name, "etag": f.etag.strip('"'), "lastModified": f.last_modified} for f in found]
    return Response(200, {"filesystems": entries})


def page(request: Request, account: Account, names: list[str], parameter: str) -> tuple[list[str], dict[str, str]]:
    """The names from the continuation on, as many as a page has, and the header that leads on."""
    size = number(request, parameter, account.page)
    if size < 1:
        raise StorageError("OutOfRangeQueryParameterValue")
    if token := request.query.get("continuation"):
        try:
            last = base64.b64decode(token, b"-_", validate=True).decode()
        except ValueError:
            raise StorageError("InvalidQueryParameterValue") from None
        names = [name for name in names if name.split("/") > last.split("/")]
    found = names[: min(size, account.page)]
    if len(found) == len(names):
        return found, {}
    return found, {"x-ms-continuation": base64.urlsafe_b64encode(found[-1].encode()).decode()}


def list_paths(request: Request, account: Account, container: str, path: str) -> Response:
    files = account.find(container)
    if "recursive" not in request.query:
        raise StorageError("MissingRequiredQueryParameter")
    directory = request.query.get("directory", "").strip("/")
    if not node_at(files, directory).is_directory:
        raise StorageError("PathNotFound")
    names = files.below(directory)
    if request.query["recursive"].lower() != "true":
        names = [name for name in names if parent(name) == directory]
    names, headers = page(request, account, names, "maxResults")
    return Response(200, {"paths": [_entry(name, files.paths[name]) for name in names]}, headers)


def _entry(name: str, node: Node) -> dict[str, str]:
    """All values are texts, and a file has no ``isDirectory``."""
    entry = {
        "name": name,
        "contentLength": str(len(node.content)),
        "etag": node.etag.strip('"'),
        "lastModified": node.last_modified,
        "creationTime": str(int(node.created * 10**7) + 116444736000000000),
        "owner": node.owner,
        "group": node.group,
        "permissions": node.permissions,
    }
    return entry | ({"isDirectory": "true"} if node.is_directory else {})
