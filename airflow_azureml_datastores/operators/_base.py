"""What the operators of a workspace have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_azureml_datastores.core.experiment import ExperimentRun, Output, as_output, unique_slug
from airflow_azureml_datastores.core.template import Templated
from airflow_azureml_datastores.core.uri import DatastoreUri, parse_uri
from airflow_azureml_datastores.errors import InvalidInput
from airflow_azureml_datastores.hooks.workspace import WorkspaceHook
from airflow_azureml_datastores.operators._upstream import Partial, depend

if TYPE_CHECKING:
    import jinja2
    from airflow.sdk import Context


class RendersValues:
    """Renders the fields of this package's values (Location, Input, Output) wherever they stand in an argument.

    Azure ML's ``${{…}}`` placeholders come out as they are, though they hold what begins an expression in a template.
    """

    def render_template(
        self,
        content: Any,
        context: Context,
        jinja_env: jinja2.Environment | None = None,
        seen_oids: set[int] | None = None,
    ) -> Any:
        if isinstance(content, Templated):
            return content.rendered(lambda value: self.render_template(value, context, jinja_env, seen_oids))
        if isinstance(content, str):
            content = content.replace("${{", "{{ '${{' }}")
        return super().render_template(content, context, jinja_env, seen_oids)  # type: ignore[misc]

    def _set_xcomargs_dependencies(self) -> None:
        """Airflow looks for other tasks' outputs in collections, and would not find those within values."""
        super()._set_xcomargs_dependencies()  # type: ignore[misc]
        for field in self.template_fields:  # type: ignore[attr-defined]
            depend(self, getattr(self, field, None))  # type: ignore[arg-type]

    @classmethod
    def partial(cls, **kwargs: Any) -> Partial:
        made = super().partial(**kwargs)  # type: ignore[misc]
        made._expand_called = True  # so that nobody is told that it was never mapped
        return Partial(operator_class=made.operator_class, kwargs=made.kwargs, params=made.params)


class WorkspaceOperator(RendersValues, BaseOperator):
    """An operator on a workspace.

    :param workspace_conn_id: id of the workspace's connection: of type ``azureml_workspace`` or
        ``azureml_local_workspace``.
    """

    def __init__(self, *, workspace_conn_id: str = WorkspaceHook.default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.workspace_conn_id = workspace_conn_id

    def workspace_hook(self) -> WorkspaceHook:
        """The hook of the workspace; close it after use."""
        return WorkspaceHook(self.workspace_conn_id)


def task_name(context: Context) -> str:
    """Names a task instance, the same in every try: ``dag/run/task`` and the map index."""
    ti = context["ti"]
    index = "" if ti.map_index is None or ti.map_index < 0 else f"/{ti.map_index}"
    return f"{ti.dag_id}/{ti.run_id}/{ti.task_id}{index}"


def consumer_of(context: Context, named: str | None, *parts: str) -> str:
    """Who takes new rows: whom the user named, or else the task.

    :param parts: what follows the task's name.
    :raises InvalidInput: the task is mapped and nobody is named, though each of its instances may take something else.
    """
    ti = context["ti"]
    if named is None and ti.map_index is not None and ti.map_index >= 0:
        raise InvalidInput(
            f"task {ti.task_id!r} is mapped, so new rows need consumer=, a name of its own for each of what is mapped."
        )
    return named or ".".join((ti.dag_id, ti.task_id, *parts))


def experiment_run(experiment: str, run: str | None, context: Context, *, ingested: str | None = None) -> ExperimentRun:
    """The run of an experiment that belongs to the DAG run, unless it is named; a mapped task has one per map index.

    :param run: its name, if the user gave one.
    :param ingested: the run of the ingest that the task goes on with, as may the mapped task's other instances.
    """
    ti = context["ti"]
    index = "" if ti.map_index is None or ti.map_index < 0 else f"-{ti.map_index}"
    own = unique_slug(ti.run_id, ti.dag_id) + index
    if ingested is not None and ingested != own:
        own = ingested + index
    return ExperimentRun(experiment, run or own)


def mapping(name: str, value: Any) -> Mapping[str, Any]:
    """A rendered argument that is a mapping; None is an empty one.

    :raises InvalidInput: it is none.
    """
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return value
    told = type(value).__name__
    if isinstance(value, str):
        told = (
            "a text. What a template gives is one, unless the DAG has render_template_as_native_obj=True; what another "
            "task returned is its output: task.output"
        )
    raise InvalidInput(f"{name} has to be a dictionary; got {told}.")


def texts(name: str, value: Any) -> dict[str, str]:
    """A rendered argument that is a mapping of texts and numbers, these as texts; None is an empty one.

    :raises InvalidInput: it is none.
    """
    found = {}
    for key, held in mapping(name, value).items():
        if isinstance(held, bool) or not isinstance(held, str | int | float):
            raise InvalidInput(f"{name} holds texts; {key!r} is {type(held).__name__}.")
        found[str(key)] = str(held)
    return found


def resolved_output(hook: WorkspaceHook, value: Any) -> Output:
    """What a user gave for an output, its URI without this workspace's name; data assets and jobs' outputs stay.

    They are no places to write to, which is found out when the output is checked.
    """
    output = as_output(value)
    if output.path is None or not isinstance(parse_uri(output.path), DatastoreUri):
        return output
    return replace(output, path=hook.resolve(output.path))
