"""A whole Airflow for tests: scheduler, DAG processor, triggerer and API server, each a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import quote

from tests.servers.ports import held_port


class Airflow:
    """Airflow's REST API.

    :param home: its AIRFLOW_HOME.
    """

    def __init__(self, home: Path, url: str) -> None:
        self.home = home
        self._url = url
        self._token = ""

    def call(self, method: str, path: str, **body: Any) -> Any:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._token}"}
        request = urllib.request.Request(self._url + path, json.dumps(body).encode() if body else None, headers)
        request.method = method
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def log_in(self) -> None:
        self._token = self.call("POST", "/auth/token", username="", password="")["access_token"]

    def wait(self, what: str, is_so: Any, seconds: float = 200) -> Any:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                if found := is_so():
                    return found
            except (URLError, ConnectionError, TimeoutError):  # not there yet
                pass
            time.sleep(0.5)
        raise AssertionError(f"not in {seconds:.0f} s: {what}\n" + tails(self.home))

    def states_at_end(self, dag_id: str, run_id: str) -> dict[str, str]:
        path = f"/api/v2/dags/{dag_id}/dagRuns/{quote(run_id)}"
        self.wait(f"the end of {dag_id}", lambda: self.call("GET", path)["state"] in ("success", "failed"))
        found = self.call("GET", path + "/taskInstances")["task_instances"]
        return {ti["task_id"] + (f"[{ti['map_index']}]" if ti["map_index"] >= 0 else ""): ti["state"] for ti in found}


def tails(home: Path) -> str:
    return "\n".join(f"--- {log.name}\n{log.read_text()[-1500:]}" for log in sorted(home.glob("*.log")))


@contextmanager
def run_airflow(home: Path, dags: Path, env: Mapping[str, str]) -> Iterator[Airflow]:
    """A whole Airflow that listens on the loopback interface alone.

    :param home: its AIRFLOW_HOME.
    :param env: added to this process's environment.
    """
    processes: list[subprocess.Popen[bytes]] = []
    with held_port() as port, ExitStack() as stack:
        whole = os.environ | {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "2",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__API__WORKERS": "1",
            **env,
        }

        def start(*command: str) -> None:
            log = stack.enter_context((home / f"{command[0]}.log").open("w"))
            command = (sys.executable, "-m", "airflow", *command)
            started = subprocess.Popen(command, env=whole, cwd=home, stdout=log, stderr=log, start_new_session=True)
            processes.append(started)

        stack.callback(end, processes)
        migrate = [sys.executable, "-m", "airflow", "db", "migrate"]
        subprocess.run(migrate, env=whole, cwd=home, check=True, capture_output=True)
        start("api-server", "--host", "127.0.0.1", "--port", str(port))
        start("scheduler", "--skip-serve-logs")  # their servers of logs would listen on all interfaces
        start("triggerer", "--skip-serve-logs")
        start("dag-processor")
        made = Airflow(home, f"http://127.0.0.1:{port}")
        made.wait("an answer of the API server", lambda: made.call("GET", "/api/v2/monitor/health"))
        made.log_in()
        yield made


def end(processes: list[subprocess.Popen[bytes]]) -> None:
    """End them with what they have started; the API server would take a quarter of a minute to end gracefully."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for process in processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            for process in processes[::-1]:
                process.wait(3)
    for process in processes:
        process.wait()


def deferred(airflow: Airflow, dag_id: str) -> str | None:
    """A run of the DAG that has a task in the triggerer."""
    found = airflow.call("GET", f"/api/v2/dags/{dag_id}/dagRuns/~/taskInstances?state=deferred")["task_instances"]
    return found[0]["dag_run_id"] if found else None
