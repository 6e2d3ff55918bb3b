"""The jobs that the tries of one task have submitted: found again by their names, whatever became of the worker."""

from __future__ import annotations

import re
from dataclasses import dataclass

from airflow_azureml_datastores.core.experiment import ExperimentRun, unique_slug
from airflow_azureml_datastores.core.job import Job, Jobs
from airflow_azureml_datastores.core.place import OpenDatastore, Place
from airflow_azureml_datastores.errors import PathNotFound
from airflow_azureml_datastores.transfer.cursors import state_place


@dataclass(frozen=True)
class JobAttempts:
    """A task's jobs, named ``<task>-1``, ``<task>-2`` and so on.

    That a job's results were delivered is remembered in a file beside the cursors, so that they are not taken for the
    results of a task that was cleared.

    :param task: names the task instance, the same in every try.
    """

    jobs: Jobs
    open_datastore: OpenDatastore
    run: ExperimentRun
    task: str

    def newest(self) -> tuple[int, Job | None]:
        """The number of the newest attempt, and its job; 0 if there was none."""
        number, newest = 0, None
        while (job := self.jobs.get(self.name(number + 1))) is not None:
            number, newest = number + 1, job
        return number, newest

    def name(self, number: int) -> str:
        """The name of an attempt's job."""
        return f"{self._slug}-{number}"

    def is_delivered(self, job: str) -> bool:
        """Whether the results of the newest job were delivered."""
        try:
            return self._record().read() == job.encode()
        except PathNotFound:
            return False

    def set_delivered(self, job: str) -> None:
        self._record().write(job.encode())

    def _record(self) -> Place:
        return state_place(self.open_datastore, f"jobs/{self._slug}")

    @property
    def _slug(self) -> str:
        """The task in what ARM takes: letters (azure-ai-ml makes all of them small), digits, ``-`` and ``_``."""
        slug = unique_slug(self.task, self.run.experiment, self.run.run)
        return re.sub(r"[^a-zA-Z0-9_]+", "-", slug).lstrip("-_").lower()
