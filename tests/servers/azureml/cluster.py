"""Playing the cluster: what runs for a job, with its inputs and outputs in the workspace's datastores."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from azure.core.credentials import AzureNamedKeyCredential
from azure.storage.blob import ContainerClient

if TYPE_CHECKING:
    from tests.servers.azureml.jobs import Job
    from tests.servers.azureml.web import JSON
    from tests.servers.azureml.workspace import Workspace

_URI = re.compile(r"azureml://(?:subscriptions/.+/)?datastores/(?P<datastore>[^/]+)(?:/paths)?/(?P<path>.*)", re.DOTALL)
_ASSET = re.compile(r".*/data/(?P<name>[^/]+)/versions/(?P<version>[^/]+)|azureml:(?P<short>[^/:]+):(?P<number>[^/]+)")
_VALUE = re.compile(r"\$\{\{\s*(inputs|outputs)\.(\w+)\s*\}\}")


class JobFailed(Exception):
    """What the cluster raises to let a job fail; the text is what the service tells."""


class Cancelled(Exception):
    """The job has been cancelled."""


class ClusterRun:
    """A job on the cluster.

    :ivar name: of the job.
    :ivar properties: of the job, as they were submitted: ``command``, ``inputs``, ``environmentVariables`` …
    """

    def __init__(self, workspace: Workspace, job: Job) -> None:
        self._workspace = workspace
        self._job = job
        self.name = job.name
        self.properties: Mapping[str, Any] = job.properties

    def log(self, line: str) -> None:
        """Write a line to the job's log."""
        self._job.log.append(line)

    def check_cancelled(self) -> None:
        """:raises Cancelled:"""
        if self._job.cancelled.is_set():
            raise Cancelled

    def wait_for_cancel(self, timeout: float) -> bool:
        """Whether the job has been cancelled within so many seconds."""
        return self._job.cancelled.wait(timeout)

    def value(self, name: str) -> str:
        """A literal input."""
        return str(self.properties["inputs"][name]["value"])

    def uri(self, name: str) -> str:
        """Where an input or output is: ``azureml://…`` in a datastore, data assets looked up."""
        inputs = self.properties.get("inputs") or {}
        given = inputs.get(name) or self._workspace.jobs.outputs(self._job)[name]
        return self._resolve(given["uri"])

    def read(self, name: str) -> dict[str, bytes]:
        """The files of an input, relative to its folder; a single file is there by its own name."""
        container, prefix = self._place(self.uri(name))
        with container:
            return {
                _below(blob, prefix): container.download_blob(blob).readall()
                for blob in container.list_blob_names(name_starts_with=prefix)
                if _is_below(blob, prefix)
            }

    def write(self, name: str, path: str, content: bytes) -> None:
        """Write a file of an output; ``path`` is "" if the output is a single file."""
        container, prefix = self._place(self.uri(name))
        with container:
            container.upload_blob(f"{prefix.rstrip('/')}/{path}" if path else prefix, content, overwrite=True)

    def play(self, cluster: Callable[[ClusterRun], object]) -> None:
        """Let the cluster work, and keep how it ended."""
        job = self._job
        with self._workspace.lock:
            if not job.cancelled.is_set():
                job.become("Running")
        ending = "Failed"
        try:
            cluster(self)
            ending = "Completed"
        except Cancelled:
            ending = "Canceled"
        except JobFailed as error:
            job.error = str(error)
        finally:  # any other error is one of the test's own code: pytest tells of it, and nobody waits for the job
            with self._workspace.lock:
                self._workspace.jobs.keep_log(job)
                job.become("Canceled" if job.cancelled.is_set() else ending)

    def fetch_code(self, folder: Path) -> Path:
        """Download the code that came with the job; the folder itself if there was none."""
        found = re.search(r"/codes/([^/]+)/versions/([^/]+)$", str(self.properties.get("codeId") or ""))
        if not found:
            return folder
        uri = self._workspace.codes.versions[found[1]][found[2]]["codeUri"]
        blob = self._workspace.blob
        assert blob
        container, _, path = uri.removeprefix(f"{blob.url}/").partition("/")
        prefix = unquote(path)
        with _open(blob, container) as client:
            for name in client.list_blob_names(name_starts_with=prefix.rstrip("/") + "/"):
                _save(client, name, folder / _below(name, prefix))
        return folder

    def fetch(self, name: str, folder: Path) -> Path:
        """Download an input: the path of the file or folder."""
        if self.properties["inputs"][name]["jobInputType"] == "uri_file":
            folder.mkdir(parents=True, exist_ok=True)
            ((file, content),) = self.read(name).items()
            Path(folder, file).write_bytes(content)
            return folder / file
        folder.mkdir(parents=True, exist_ok=True)
        for path, content in self.read(name).items():
            Path(folder, path).parent.mkdir(parents=True, exist_ok=True)
            Path(folder, path).write_bytes(content)
        return folder

    def deliver(self, name: str, path: Path) -> None:
        """Upload an output that was written to a file or folder."""
        if path.is_file():
            self.write(name, "", path.read_bytes())
        for file in sorted(path.rglob("*")):
            if file.is_file():
                self.write(name, file.relative_to(path).as_posix(), file.read_bytes())

    def _resolve(self, uri: str) -> str:
        found = _ASSET.fullmatch(uri)
        if not found:
            return uri
        name, version = found["name"] or found["short"], found["version"] or found["number"]
        return str(self._workspace.data.versions[name][version]["dataUri"])

    def _place(self, uri: str) -> tuple[ContainerClient, str]:
        found = _URI.fullmatch(uri)
        if not found:
            raise JobFailed(f"The cluster cannot reach {uri}.")
        name = found["datastore"].replace("${{default_datastore}}", self._workspace.datastores.default or "")
        if name not in self._workspace.datastores:
            raise JobFailed(f"Could not find datastore: {name}")
        path = unquote(found["path"].replace("${{name}}", self.name))
        properties: JSON = self._workspace.datastores[name].properties
        blob = self._workspace.blob
        if blob is None or properties["datastoreType"] != "AzureBlob" or properties["accountName"] != blob.account:
            raise JobFailed(f"The cluster cannot reach the datastore {name}.")
        return _open(blob, properties["containerName"]), path


def _open(blob: Any, container: str) -> ContainerClient:
    return ContainerClient(blob.url, container, credential=AzureNamedKeyCredential(blob.account, blob.key))


def _is_below(blob: str, prefix: str) -> bool:
    return blob == prefix or not prefix or blob.startswith(prefix.rstrip("/") + "/")


def _below(blob: str, prefix: str) -> str:
    return PurePosixPath(blob).name if blob == prefix else blob.removeprefix(prefix.rstrip("/")).lstrip("/")


def _save(client: ContainerClient, blob: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(client.download_blob(blob).readall())


def run_command(run: ClusterRun) -> None:
    """Run the job's command on this machine, as a compute would: inputs downloaded, outputs uploaded if it ends well.

    All modes but direct are paths of files here; the environment is this machine's. Cancelling ends the command.
    """
    with TemporaryDirectory(prefix="cluster-") as scratch:
        code = run.fetch_code(Path(scratch, "code"))
        code.mkdir(exist_ok=True)
        places, written = _places(run, Path(scratch))
        command = _VALUE.sub(lambda found: places[found[2]], run.properties["command"])
        environment = {**os.environ, **(run.properties.get("environmentVariables") or {})}
        process = subprocess.Popen(
            ["bash", "-c", command],
            cwd=code,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        _follow(run, process)
        for name, path in written.items():
            run.deliver(name, path)


def _places(run: ClusterRun, scratch: Path) -> tuple[dict[str, str], dict[str, Path]]:
    """What the placeholders of the command stand for, and the outputs that are to be uploaded."""
    places, written = {}, {}
    for name, given in (run.properties.get("inputs") or {}).items():
        if given["jobInputType"] == "literal":
            places[name] = str(given["value"])
        elif given.get("mode") == "Direct":
            places[name] = run.uri(name)
        else:
            places[name] = str(run.fetch(name, scratch / "inputs" / name))
    for name, given in (run.properties.get("outputs") or {}).items():
        if given.get("mode") == "Direct":
            places[name] = run.uri(name)
            continue
        written[name] = scratch / "outputs" / name
        (written[name].parent if given.get("jobOutputType") == "uri_file" else written[name]).mkdir(
            parents=True, exist_ok=True
        )
        places[name] = str(written[name])
    return places, written


def _follow(run: ClusterRun, process: subprocess.Popen[str]) -> None:
    from threading import Thread

    assert process.stdout is not None
    ended = False

    def end_when_cancelled() -> None:
        while not ended:
            if run.wait_for_cancel(0.05) and process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                return

    watcher = Thread(target=end_when_cancelled, daemon=True)
    watcher.start()
    with process:
        for line in process.stdout:
            run.log(line.rstrip("\n"))
    ended = True
    watcher.join()
    run.check_cancelled()
    if process.returncode:
        raise JobFailed(
            f"Execution failed. User process exited with code {process.returncode}. Please check log file "
            f"'user_logs/std_log.txt' for error details."
        )
