"""Submitting jobs through azure-ai-ml: it uploads code and knows environments. Nothing else here uses it."""

from __future__ import annotations

import inspect
import io
import logging
import os
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any
from urllib.parse import urlsplit

from airflow_azureml_datastores.core.job import JobInput, JobSpec
from airflow_azureml_datastores.core.uri import WorkspaceId
from airflow_azureml_datastores.errors import InvalidInput, MissingExtra

SERVERLESS = "serverless"

_CLOUDS = {
    "management.azure.com": "AzureCloud",
    "management.usgovcloudapi.net": "AzureUSGovernment",
    "management.chinacloudapi.cn": "AzureChinaCloud",
}
_ADDRESS = "AZUREML_DEV_URL_MFE"
_CLOUD = "AZUREML_CURRENT_CLOUD"
_GIT = "GIT_DIR"
_URLS = "urllib3.connectionpool"
"""The logger that at level DEBUG tells whole URLs, of the code's upload with their signature."""
_ONE_AT_A_TIME = threading.Lock()


def submit(spec: JobSpec, workspace: WorkspaceId, credential: Any, resource_manager: str, scope: str) -> None:
    """Submit a command job.

    :param credential: as the Azure SDKs take it.
    :param resource_manager: URL where Azure Resource Manager is reached.
    :param scope: of its tokens, which tells the cloud.
    :raises InvalidInput: azure-ai-ml does not take a value of the spec.
    :raises MissingExtra: azure-ai-ml is not installed.
    :raises azure.core.exceptions.AzureError: the service does not take the job.
    """
    with _undisturbed(resource_manager):
        try:
            import azure.ai.ml
            from marshmallow import ValidationError
        except ImportError:
            raise MissingExtra(f"compute={spec.compute!r}", "jobs") from None
        with _silent("azure", azure.ai.ml.__name__, _URLS):
            client = azure.ai.ml.MLClient(
                credential,
                workspace.subscription,
                workspace.resource_group,
                workspace.workspace,
                show_progress=False,
                enable_telemetry=False,
                cloud=_CLOUDS[urlsplit(scope).netloc],
            )
            try:
                client.jobs.create_or_update(_command(spec))
            except (ValidationError, TypeError, ValueError) as error:
                raise InvalidInput(f"job {spec.name} cannot be made: {error}") from None


def _command(spec: JobSpec) -> Any:
    from azure.ai.ml import Input, Output, command

    serverless = spec.compute == SERVERLESS
    return command(
        name=spec.name,
        display_name=spec.display_name,
        experiment_name=spec.experiment,
        command=spec.command,
        compute=None if serverless else spec.compute,
        environment=_environment(spec.environment),
        code=str(spec.code) if spec.code is not None else None,
        environment_variables=dict(spec.env),
        inputs={
            name: Input(type=value.type, path=value.path, mode=value.mode) if isinstance(value, JobInput) else value
            for name, value in spec.inputs.items()
        },
        outputs={name: Output(type=o.type, path=o.path, mode=o.mode) for name, o in spec.outputs.items()},
        instance_type=spec.instance_type,
        instance_count=spec.instance_count,
        distribution=dict(spec.distribution) if spec.distribution else None,
        timeout=spec.timeout,
        tags=dict(spec.tags),
    )


def _environment(given: str | Mapping[str, Any]) -> Any:
    from azure.ai.ml.entities import Environment

    if isinstance(given, Mapping):
        known = [name for name in inspect.signature(Environment).parameters if name != "kwargs"]
        if unknown := sorted(given.keys() - {*known}):
            raise InvalidInput(f"an environment has no field {unknown[0]!r}; it has: {', '.join(known)}.")
        return Environment(**given)
    if given.startswith("azureml://"):  # one of a registry
        return given
    return given.removeprefix("azureml:") if given.startswith("azureml:") else Environment(image=given)


@contextmanager
def _undisturbed(resource_manager: str) -> Iterator[None]:
    """Keep azure-ai-ml's progress bars and warnings out of a task's log.

    It takes Resource Manager's address from a variable of the environment, and leaves another one behind: both are as
    they were afterwards. Without git it does not send the address of whatever repository the worker was started in.
    """
    with _ONE_AT_A_TIME, warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        before = {name: os.environ.get(name) for name in (_ADDRESS, _CLOUD, _GIT)}
        os.environ.pop(_CLOUD, None)  # it is told which one
        os.environ |= {_ADDRESS: resource_manager, _GIT: os.devnull}
        try:
            yield
        finally:
            for name, value in before.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value


@contextmanager
def _silent(*loggers: str) -> Iterator[None]:
    """Let these loggers tell of errors alone: azure-ai-ml's has a handler of its own, and a level."""
    levels = {logger: logger.level for logger in map(logging.getLogger, loggers)}
    for logger in levels:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)
