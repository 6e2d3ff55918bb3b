"""Which account a request goes to, whether it may, what answers it, and the record of it."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qsl, unquote, urlsplit
from uuid import uuid4

from tests.servers.adls import blob, containers, dfs
from tests.servers.adls.auth import Gate
from tests.servers.adls.errors import StorageError
from tests.servers.adls.model import Account, Node
from tests.servers.azureml.entra import Entra, Principal
from tests.servers.azureml.faults import Plan
from tests.servers.azureml.web import Request, Response
from tests.servers.fault import Fault, LoseResponse, Meanwhile


@dataclass
class Refused(Fault):
    """The request is answered with an error in the service's form, and has no effect."""

    status: int
    code: str = "ServerBusy"
    message: str = "Injected."
    headers: dict[str, str] = field(default_factory=dict)

    def error(self) -> StorageError:
        return StorageError(self.code, status=self.status, message=self.message, headers=self.headers)


@dataclass(frozen=True)
class Seen:
    """A request as it came by.

    :param request: ``METHOD /path?query``, as it was sent.
    :param by: how it was authorized: ``key``, ``sas`` or the client id of a token's owner; "" if it was not.
    :param status: the answer's; 0 if the answer was lost on purpose.
    :param size: bytes of the body that was sent.
    :param at: seconds of a monotonic clock.
    """

    request: str
    by: str
    status: int
    code: str
    size: int
    at: float


class Front:
    """Answers requests, whichever socket they came by; an account's requests are answered one after the other."""

    tls_port = 0

    def __init__(self, entra: Entra) -> None:
        self.gate = Gate([entra])
        self.plan = Plan()
        self.seen: list[Seen] = []
        self.accounts: dict[str, Account] = {}

    def answer(self, request: Request) -> Response | None:
        """The answer; None if it is to be lost."""
        line = f"{request.method} {request.target}"
        fault = self.plan.strike(line)
        by: list[str] = []
        code = ""
        response: Response | None
        try:
            if isinstance(fault, Refused):
                raise fault.error()
            if isinstance(fault, Meanwhile):
                fault.action()
            response = self._dispatch(request, by)
        except StorageError as error:
            code = error.code
            response = error.response(dfs=dfs.handler(request) is not None or request.method == "PATCH")
        response.headers.setdefault("x-ms-request-id", str(uuid4()))
        response.headers["x-ms-version"] = request.headers.get("x-ms-version", "2026-06-06")
        if client := request.headers.get("x-ms-client-request-id"):
            response.headers["x-ms-client-request-id"] = client
        if isinstance(fault, LoseResponse):
            response = None
        status = response.status if response else 0
        self.seen.append(Seen(line, "".join(by), status, code, len(request.content), time.monotonic()))
        return response

    def _dispatch(self, request: Request, by: list[str]) -> Response:
        account_name, _, rest = unquote(request.path).lstrip("/").partition("/")
        container, _, path = rest.partition("/")
        path = re.sub("/+", "/", path).strip("/")  # a guess: empty steps count for nothing
        account = self.accounts.get(account_name)
        if account is None:
            raise StorageError("ResourceNotFound")
        call, needs = dfs.handler(request) or blob.handler(request, container, path)
        inside = path or request.query.get("directory", "").strip("/")
        who = self.gate.check(request, account, container, inside, needs)
        if isinstance(who, Principal):
            request = replace(request, principal=who)
        by.append(who.client_id if isinstance(who, Principal) else who)
        if call is containers.user_delegation_key and request.principal is None:
            raise StorageError("AuthenticationFailed", detail="Only Entra ID's tokens get a user delegation key.")
        if not path and call in (dfs.create, dfs.rename, dfs.delete, blob.put_blob, blob.delete):
            raise StorageError("InvalidUri")
        more = {"source": self._source_of_copy(request)} if call in (blob.copy, blob.copy_block) else {}
        with account.lock:
            response = call(request, account, container, path, **more)
        response.headers = dict(response.headers)
        return response

    def _source_of_copy(self, request: Request) -> Node:
        """The file that a copy's URL leads to. :raises StorageError: it opens nothing, or nothing is there."""
        url = urlsplit(request.headers["x-ms-copy-source"])
        account_name, container, path = unquote(url.path).lstrip("/").split("/", 2)
        account, query = self.accounts.get(account_name), dict(parse_qsl(url.query))
        token = request.headers.get("x-ms-copy-source-authorization", "")
        asked = replace(request, query=query, headers={"Authorization": token}, base=f"{url.scheme}://{url.netloc}")
        try:
            if account is None:
                raise StorageError("ResourceNotFound")
            self.gate.check(asked, account, container, path, "r")
            return blob.node_at(account, container, path)
        except StorageError as error:
            status = 404 if error.status == 404 else 403
            raise StorageError("CannotVerifyCopySource", status=status, message=error.message) from None
