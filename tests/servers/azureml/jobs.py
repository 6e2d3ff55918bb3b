"""Jobs of a workspace, with a life cycle (learn.microsoft.com/rest/api/azureml/jobs), and their run history."""

from __future__ import annotations

import copy
import re
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.servers.azureml.web import (
    JSON,
    Area,
    Request,
    Response,
    not_found,
    page,
    route,
    system_data,
    user_error,
)

if TYPE_CHECKING:
    from tests.servers.azureml.cluster import ClusterRun
    from tests.servers.azureml.workspace import Workspace

FINAL = frozenset({"Completed", "Failed", "Canceled"})
CHANGEABLE = frozenset({"description", "displayName", "tags", "properties", "isArchived"})
READ_ONLY = frozenset({"status", "services"})
STD_LOG = "user_logs/std_log.txt"
NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9\-_]{0,254}")


@dataclass
class Job:
    """A job as the service keeps it.

    :param properties: as they were sent.
    :param coming: the statuses that the next looks at it will show.
    :param log: lines that the command has written.
    :param error: why it failed, as the service tells.
    :param cancelled: set once its cancelling has been asked for.
    :param ended: set once its status is final.
    """

    name: str
    properties: JSON
    status: str
    coming: list[str]
    system_data: JSON
    log: list[str] = field(default_factory=list)
    error: str = ""
    cancelled: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)

    def become(self, status: str) -> None:
        if self.status not in FINAL:
            self.status = status
        if self.status in FINAL:
            self.coming.clear()
            self.ended.set()

    def look(self) -> None:
        """Each look at a job shows the next status that is to come."""
        if self.coming:
            self.become(self.coming.pop(0))


class Jobs(Area):
    """The jobs of a workspace, and who plays the cluster for them.

    At first a job is ``Starting`` when it has been submitted, and each look at it shows the next of ``Running`` and
    ``Completed``. ``plays``, ``waits`` and ``runs`` say otherwise for the jobs that are submitted from then on.

    :ivar all: name -> :class:`Job`.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self.all: dict[str, Job] = {}
        self._script = ["Starting", "Running", "Completed"]
        self._error = ""
        self._lines: list[str] = []
        self._cluster: Callable[[ClusterRun], object] | None = None
        self._key = secrets.token_urlsafe(16)

    def plays(self, *statuses: str, error: str = "", log: tuple[str, ...] = ()) -> None:
        """Each look at a job shows the next of these statuses; the last one stays.

        :param error: what the service tells of a job that fails: a preemption, a wrong image …
        :param log: lines that are in the command's log.
        """
        self._script, self._error, self._lines, self._cluster = [*statuses], error, [*log], None

    def waits(self, status: str = "Running") -> None:
        """A job stays in this status until :meth:`finish`, or until it is cancelled."""
        self.plays(status)

    def runs(self, cluster: Callable[[ClusterRun], object]) -> None:
        """Call this, in a thread, for each job that is submitted: the job is ``Running`` until it returns.

        It then has ``Completed``, or ``Failed`` if it raises. :func:`.cluster.run_command` really runs the command.
        """
        self.plays("Starting")
        self._cluster = cluster

    def finish(self, name: str, status: str = "Completed", *, error: str = "", log: tuple[str, ...] = ()) -> None:
        """End a job."""
        with self._workspace.lock:
            job = self.all[name]
            job.log.extend(log)
            job.error = error
            self.keep_log(job)
            job.become(status)

    @route("GET", "jobs", "jobs/read")
    def list(self, request: Request) -> Response:
        jobs = [job for job in reversed(self.all.values()) if self._wanted(request, job)]
        return page(request, [self._shown(job, request.base) for job in jobs], 30)

    @route("GET", "jobs/{name}", "jobs/read")
    def get(self, request: Request, name: str) -> Response:
        job = self._find(name)
        job.look()
        return Response(200, self._shown(job, request.base))

    @route("PUT", "jobs/{name}", "jobs/write")
    def put(self, request: Request, name: str) -> Response:
        properties = request.json().get("properties")
        if not NAME.fullmatch(name) or not isinstance(properties, dict):
            raise user_error(f"The request is invalid: the name '{name}', or no field 'properties'.")
        if name in self.all:
            return self._update(request, self.all[name], properties)
        self._check(properties)
        job = Job(name, properties, self._script[0], self._script[1:], system_data(request.principal))
        job.error, job.log = self._error, [*self._lines]
        self.all[name] = job
        self.keep_log(job)
        if self._cluster is not None:
            self._start(job, self._cluster)
        job.become(job.status)
        return Response(201, self._shown(job, request.base))

    @route("POST", "jobs/{name}/cancel", "jobs/cancel/action")
    def cancel(self, request: Request, name: str) -> Response:
        job = self._find(name)
        if job.status in FINAL:
            # That this is refused is a guess.
            raise user_error(f"The job {name} cannot be canceled: it is in the final status {job.status}.")
        job.cancelled.set()
        job.become("CancelRequested")
        job.coming = ["Canceled"]
        version = request.query["api-version"]
        location = f"{request.base}{self._workspace.path}/operationResults/{name}?api-version={version}"
        return Response(202, None, {"Location": location, "Retry-After": "0"})

    @route("GET", "operationResults/{name}", "jobs/read")
    def operation(self, request: Request, name: str) -> Response:
        job = self._find(name)
        job.look()
        if job.status in FINAL:
            return Response(200)
        location = f"{request.base}{request.path}?api-version={request.query['api-version']}"
        return Response(202, None, {"Location": location, "Retry-After": "0"})

    @route("GET", "history/runs/{name}", "jobs/read")
    def run(self, request: Request, name: str) -> Response:
        return Response(200, self._run(self._find(name), request.base))

    @route("GET", "history/runs/{name}/details", "jobs/read")
    def details(self, request: Request, name: str) -> Response:
        job = self._find(name)
        job.look()
        return Response(200, self._run(job, request.base))

    @route("PATCH", "history/experiments/{experiment}/runs/{name}", "jobs/write")
    def modify(self, request: Request, experiment: str, name: str) -> Response:
        job, sent = self._find(name), request.json()
        for key in CHANGEABLE & sent.keys():
            if sent[key] is not None:
                job.properties[key] = sent[key]
        return Response(200, self._run(job, request.base))

    def read_log(self, request: Request, key: str, name: str, file: str) -> Response | None:
        """A log, or its end, as its URL in the run's details gives it, which holds what it takes to read it."""
        job = self.all.get(name)
        if job is None or file != STD_LOG or not secrets.compare_digest(key, self._key):
            return None
        content = "".join(f"{line}\n" for line in job.log).encode()
        headers = {"Content-Type": "text/plain"}
        if found := re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range") or ""):
            start = int(found[1])
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            return Response(206, content[start:], headers)
        return Response(200, content, headers)

    def keep_log(self, job: Job) -> None:
        """Write the log to where the workspace keeps what runs leave behind, if it has a Blob service."""
        container = self._workspace.artifacts
        if container is not None and job.log:
            text = "".join(f"{line}\n" for line in job.log)
            container.upload_blob(f"{_folder(job.name)}/{STD_LOG}", text.encode(), overwrite=True)

    def _find(self, name: str) -> Job:
        if name not in self.all:
            raise not_found(f"Run {name} was not found in workspace {self._workspace.id.workspace}.")
        return self.all[name]

    def _start(self, job: Job, cluster: Callable[[ClusterRun], object]) -> None:
        from tests.servers.azureml.cluster import ClusterRun

        run = ClusterRun(self._workspace, job)
        threading.Thread(target=run.play, args=[cluster], name=f"job-{job.name}", daemon=True).start()

    def _check(self, properties: JSON) -> None:
        if properties.get("jobType") == "Command":
            for name in ("command", "environmentId"):
                if not properties.get(name):
                    raise user_error(f"The request is invalid: the field '{name}' is required.")
        compute = str(properties.get("computeId") or "")
        if compute and compute.rpartition("/")[2] not in self._workspace.computes.types:
            raise user_error(f"Unknown compute target '{compute.rpartition('/')[2]}'.", inner="ComputeNotFound")
        if not compute and not (properties.get("resources") or {}).get("instanceType"):
            properties["resources"] = {**(properties.get("resources") or {}), "instanceType": "Standard_DS3_v2"}
        found = re.search(r"/environments/([^/]+)/versions/([^/]+)$", str(properties.get("environmentId") or ""))
        known = self._workspace.environments.versions
        if found and "/registries/" not in properties["environmentId"] and found[2] not in known.get(found[1], {}):
            raise user_error(f"Environment {found[1]} with version {found[2]} was not found.", inner="NotFound")

    def _update(self, request: Request, job: Job, properties: JSON) -> Response:
        shown = self._shown(job, request.base)["properties"]
        for name in properties.keys() - CHANGEABLE - READ_ONLY:
            if _plain(properties[name]) not in (_plain(job.properties.get(name)), _plain(shown.get(name))):
                raise user_error(
                    f"A job with this name already exists. If you are trying to create a new job, use a different "
                    f"name. If you are trying to update an existing job, the existing job's {name} cannot be changed. "
                    f"Only description, displayName, properties, tags, and isArchived can be updated.",
                    inner="Immutable",
                )
        for name in CHANGEABLE & properties.keys():
            job.properties[name] = properties[name]
        job.system_data = system_data(request.principal, job.system_data)
        return Response(200, self._shown(job, request.base))

    def _wanted(self, request: Request, job: Job) -> bool:
        tag = request.query.get("tag")
        archived = bool(job.properties.get("isArchived"))
        view = request.query.get("listViewType", "ActiveOnly")
        return (view == "All" or archived == (view == "ArchivedOnly")) and (
            not tag or tag in (job.properties.get("tags") or {})
        )

    def outputs(self, job: Job) -> JSON:
        """The outputs with where they go, the one that every job has among them."""
        shown = {}
        for name, output in (job.properties.get("outputs") or {}).items():
            uri = (output or {}).get(
                "uri"
            ) or f"azureml://datastores/workspaceblobstore/paths/azureml/{job.name}/{name}/"
            shown[name] = {"jobOutputType": "uri_folder", "mode": "ReadWriteMount", **(output or {}), "uri": uri}
        if self._workspace.artifacts is not None:
            uri = f"azureml://datastores/workspaceartifactstore/{_folder(job.name)}"
            shown["default"] = {"jobOutputType": "uri_folder", "mode": "ReadWriteMount", "uri": uri}
        return shown

    def _shown(self, job: Job, base: str) -> JSON:
        properties = copy.deepcopy(job.properties)
        properties.setdefault("experimentName", "Default")
        properties |= {
            "status": job.status,
            "outputs": self.outputs(job),
            "services": {
                "Tracking": _service("Tracking", f"azureml://{base.partition('://')[2]}/mlflow/v1.0"),
                "Studio": _service(
                    "Studio",
                    f"https://ml.azure.com/runs/{job.name}?wsid={self._workspace.path.replace('Groups', 'groups')}",
                ),
            },
        }
        return {
            "id": f"{self._workspace.path}/jobs/{job.name}",
            "name": job.name,
            "type": "Microsoft.MachineLearningServices/workspaces/jobs",
            "properties": properties,
            "systemData": job.system_data,
        }

    def _run(self, job: Job, base: str) -> JSON:
        """https://github.com/Azure/azure-rest-api-specs/tree/main/specification/machinelearningservices/data-plane"""
        ws = self._workspace
        logs = f"{base}/logs/{ws.id.subscription}/{ws.id.workspace}/{self._key}/{job.name}/{STD_LOG}"
        logs += f"?sp=r&sig={self._key}%3D"
        run: JSON = {
            "runId": job.name,
            "rootRunId": job.name,
            "target": str(job.properties.get("computeId") or "serverless").rpartition("/")[2],
            "status": job.status,
            "displayName": job.properties.get("displayName") or job.name,
            "tags": job.properties.get("tags") or {},
            "properties": job.properties.get("properties") or {},
            "inputs": {},
            "outputs": {},
            "warnings": [],
            "logFiles": {STD_LOG: logs} if job.log else {},
        }
        if job.status == "Failed":
            message = job.error or "Execution failed. User process exited with a nonzero code. Please check log files."
            run["error"] = {
                "error": {"code": "UserError", "message": message, "messageParameters": {}, "details": []},
                "correlation": {"operation": secrets.token_hex(8), "request": secrets.token_hex(8)},
                "environment": "westeurope",
                "location": "westeurope",
            }
        return run


def _folder(name: str) -> str:
    return f"ExperimentRun/dcid.{name}"


def _service(kind: str, endpoint: str) -> JSON:
    rest: dict[str, Any] = dict.fromkeys(["port", "status", "errorMessage", "properties", "nodes"])
    return {"jobServiceType": kind, "endpoint": endpoint, **rest}


def _plain(value: Any) -> Any:
    """A value without what is empty in it: clients say nothing in several ways."""
    if isinstance(value, dict):
        return {name: plain for name, inner in value.items() if (plain := _plain(inner)) not in (None, {}, [])} or None
    return value
