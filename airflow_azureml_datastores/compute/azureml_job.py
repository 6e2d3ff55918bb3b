"""An experiment's run as a job on one of the workspace's computes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from airflow_azureml_datastores.compute._job_attempts import JobAttempts
from airflow_azureml_datastores.compute._job_inputs import JobInputs, quote_literals
from airflow_azureml_datastores.compute._outputs import Outputs
from airflow_azureml_datastores.core.experiment import ExperimentRun, Output, check_command
from airflow_azureml_datastores.core.job import Job, JobOutput, JobSpec
from airflow_azureml_datastores.core.place import OpenDatastore
from airflow_azureml_datastores.core.uri import DatastoreUri, parse_uri
from airflow_azureml_datastores.core.workspace import Workspace
from airflow_azureml_datastores.errors import DatastoresError, ExperimentFailed, InvalidInput, Unavailable
from airflow_azureml_datastores.transfer.progress import Say

LOG_LINES = 5000
"""Lines of a failed job's log that are shown: the last ones."""
_TAIL_LINES = 40


@dataclass(frozen=True)
class JobOptions:
    """What a job on Azure ML takes that a process on the worker does not; see
    :class:`~airflow_azureml_datastores.core.job.JobSpec`."""

    environment: str | Mapping[str, Any] | None = None
    instance_type: str | None = None
    instance_count: int | None = None
    distribution: Mapping[str, Any] | None = None
    timeout: int | None = None
    display_name: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass
class JobExperiment:
    """One run of an experiment as a job.

    The data stays where it is: the job reads its inputs in their datastores, and writes its outputs to the run's folder
    on the default datastore, or with mode ``direct`` to where they belong.

    :param workspace: has the jobs.
    :param open_datastore: opens the workspace's datastores.
    :param run: which run.
    :param task: names the task instance, the same in every try.
    :param command: with ``${{inputs.x}}`` and ``${{outputs.y}}``.
    :param compute: name of a compute, or ``serverless``.
    :param inputs: name -> URI, :class:`Input`, what an ingest returned for the input, or a literal number or text.
    :param outputs: name -> :class:`Output`.
    :param say: takes progress lines.
    :param on_line: takes the log of a job that failed.
    :param code: folder that the command starts in; it is uploaded.
    :param env: environment variables of the command; they are kept with the job, so none may be a secret.
    :param metrics: name of the ``uri_file`` output with the metrics, a JSON object; None if there are none.
    :param resolve_input: brings an input's URI into a form that is understood here, before the job is submitted.
    """

    workspace: Workspace
    open_datastore: OpenDatastore
    run: ExperimentRun
    task: str
    command: str
    compute: str
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Output]
    say: Say
    on_line: Say
    code: Path | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    metrics: str | None = None
    options: JobOptions = field(default_factory=JobOptions)
    resolve_input: Callable[[Any], Any] = lambda value: value

    def __post_init__(self) -> None:
        self._jobs = self.workspace.jobs
        self._attempts = JobAttempts(self._jobs, self.open_datastore, self.run, self.task)
        self._outputs = Outputs(self.open_datastore, self.run, self.outputs, self.say, self.metrics)
        self._name: str | None = None
        self._cancelled = False

    def start(self, poll: float = 10.0) -> Job:
        """Submit the job, unless an earlier try of the task has: that one is gone on with.

        A job that failed or was cancelled, or whose results were delivered or are wrong, is followed by a new one.

        :param poll: seconds between two looks at a job that is being cancelled.
        :raises InvalidInput: an argument is wrong; nothing has been submitted.
        """
        self._outputs.check()
        number, job = self._attempts.newest()
        if job is not None and job.status == "CancelRequested":
            self._name = job.name
            job = self.wait(job, poll)  # its last writes should not get among those of the next job
        if job is not None and (job.running or (job.succeeded and not self._attempts.is_delivered(job.name))):
            self.say(f"[run] going on with job {job.name}, which is {job.status}. {job.studio_url}")
            self._name = job.name
            return job
        spec = self._spec(self._attempts.name(number + 1))
        for name in self.outputs:
            self._outputs.clear(name)
        self._name = spec.name
        job = self._jobs.submit(spec)
        if self._cancelled:
            self._jobs.cancel(job.name)
        self.say(f"[run] job {job.name} on {self.compute}. {job.studio_url}")
        return job

    def wait(self, job: Job, poll: float) -> Job:
        """Wait until a job is over; an answer that does not come is waited for, too.

        :param poll: seconds between looks.
        """
        name, status = job.name, job.status
        while job.running:
            time.sleep(poll)
            try:
                job = job_or_gone(self._jobs.get(name), name)
            except Unavailable as error:
                self.say(f"[run] job {name}: {error} Looking again.")
            if job.status != status:
                self.say(f"[run] job {name}: {job.status}")
                status = job.status
        return job

    def finish(self, job: Job) -> dict[str, Any]:
        """Take the results of a job that is over. Begun again after an interruption, it ends the same.

        :returns: ``outputs``, per output ``uri``, ``files``, ``bytes``, ``manifest`` and ``type``; ``metrics``; and the
            job's name, ``job``.
        :raises ExperimentFailed: the job failed or was cancelled, or did not write a file that it should have.
        """
        if not job.succeeded:
            raise ExperimentFailed(self._failure(job), 1)
        try:
            deliver = replace(self._outputs, home=self._home(job)).prepare()
        except ExperimentFailed:
            self._attempts.set_delivered(job.name)  # it will never be better: the next try takes another job
            raise
        result = deliver()
        self._attempts.set_delivered(job.name)
        return {**result, "job": job.name}

    def cancel(self) -> None:
        """End the job, from another thread or a signal handler; one that is being submitted is ended right after."""
        self._cancelled = True
        if self._name is not None:
            self._jobs.cancel(self._name)

    def _spec(self, name: str) -> JobSpec:
        check_command(self.command, self.inputs, self.outputs)
        if self.code is not None and not self.code.is_dir():
            raise InvalidInput(f"the code folder {str(self.code)!r} is not there.")
        if not self.compute:
            raise InvalidInput(
                "compute is empty: name one of the workspace's, 'serverless', or 'local' for the worker."
            )
        if not self.options.environment:
            raise InvalidInput(
                f"compute {self.compute!r} needs an environment for the command: pass for example "
                f"environment='azureml:<name>@latest' or a Docker image."
            )
        if self.options.instance_count is not None and self.options.instance_count < 1:
            raise InvalidInput(f"instance_count is {self.options.instance_count}: a job takes at least one machine.")
        found = JobInputs(self.workspace, self.open_datastore)
        inputs = found.find({name: self.resolve_input(value) for name, value in self.inputs.items()})
        outputs = {name: self._output(name, found) for name in self.outputs}
        return JobSpec(
            name=name,
            experiment=self.run.experiment,
            command=quote_literals(self.command, inputs, outputs),
            compute=self.compute,
            environment=self.options.environment,
            inputs=inputs,
            outputs=outputs,
            code=self.code,
            env=self.env,
            instance_type=self.options.instance_type,
            instance_count=self.options.instance_count,
            distribution=self.options.distribution,
            timeout=self.options.timeout,
            display_name=self.options.display_name,
            tags=self.options.tags,
        )

    def _output(self, name: str, found: JobInputs) -> JobOutput:
        output, place = self.outputs[name], self._outputs.place(name)
        found.check_reachable(name, place.datastore)
        return JobOutput(place.uri, output.type, output.mode)

    def _home(self, job: Job) -> str | None:
        """The datastore of the run's folder, as the job knows it: another one may have become the default since."""
        for name, output in self.outputs.items():
            if name in job.outputs and (output.mode != "direct" or output.path is None):
                uri = parse_uri(job.outputs[name])
                return uri.datastore if isinstance(uri, DatastoreUri) else None
        return None

    def _failure(self, job: Job) -> str:
        """What is known of a job's failure; all of the command's log goes to ``on_line``."""
        told = f"job {job.name} ended as {job.status}."
        try:
            failure = self._jobs.failure(job.name)
            lines = deque(failure.log, LOG_LINES)
        except DatastoresError as error:
            return f"{told} Why, and its log, could not be read: {error} {job.studio_url}".rstrip()
        for line in lines:
            self.on_line(line)
        said = f"{told} {failure.error}".rstrip()
        if not lines:
            return f"{said} It has no log. {job.studio_url}".rstrip()
        return f"{said} Last lines of its log:\n" + "\n".join(list(lines)[-_TAIL_LINES:])


def job_or_gone(job: Job | None, name: str) -> Job:
    """:raises ExperimentFailed: the job was deleted."""
    if job is None:
        raise ExperimentFailed(f"job {name} is gone: somebody has deleted it.", 1)
    return job
