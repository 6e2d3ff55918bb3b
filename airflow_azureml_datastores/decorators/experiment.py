"""Python functions as experiments: ``@task.experiment``."""

from __future__ import annotations

import functools
import hashlib
import inspect
import re
import signal
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from airflow.providers.common.compat.sdk import DecoratedOperator, determine_kwargs, task_decorator_factory
from airflow.sdk.bases.decorator import _TaskDecorator

from airflow_azureml_datastores.core.experiment import ExperimentRun, check_binding_names
from airflow_azureml_datastores.errors import ExperimentFailed, InvalidInput
from airflow_azureml_datastores.hooks.workspace import WorkspaceHook
from airflow_azureml_datastores.operators._base import WorkspaceOperator, experiment_run, resolved_output
from airflow_azureml_datastores.operators._upstream import depend_mapped

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import TaskDecorator
    from airflow.sdk import Context, XComArg

RUN = "run"
"""XCom key of what a ``PublishOutputsOperator`` takes as its ``run``."""


class _Killed(BaseException):
    """Ends a function whose task was ended; none that the function would take for an error of its own."""


class FunctionExperimentOperator(WorkspaceOperator):
    """What ``@task.experiment`` does with its function; see :func:`experiment_task`."""

    python_callable: Callable[..., Any]
    op_args: Collection[Any]
    op_kwargs: Mapping[str, Any]

    def __init__(
        self,
        *,
        function: Callable[..., Any],
        inputs: Mapping[str, Any],
        outputs: Mapping[str, Any],
        experiment: str | None = None,
        run: str | Mapping[str, Any] | None = None,
        metrics: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.function = function
        self.inputs = inputs
        self.outputs = outputs
        self.experiment = experiment
        self.run = run
        self.metrics = metrics
        self._interruptible = False
        self._killed = False

    def execute(self, context: Context) -> Any:
        from airflow_azureml_datastores.compute.local_run import LocalRun

        run = self._run(context)
        returned: Any = None

        def work(inputs: Mapping[str, Any], outputs: Mapping[str, str | Path], folder: Path) -> None:
            nonlocal returned
            returned = self._call(context, {**inputs, **outputs})
            if self._killed:  # and the function has caught it
                raise _Killed
            if self.multiple_outputs and isinstance(returned, Mapping) and RUN in returned:
                raise InvalidInput(f"the key {RUN!r} of the returned values is taken by the record of the run.")

        with WorkspaceHook(self.workspace_conn_id) as hook, self._ended_by_kill():
            result = LocalRun(
                hook.open,
                run,
                {name: hook.resolve_input(value) for name, value in self.inputs.items()},
                {name: resolved_output(hook, value) for name, value in self.outputs.items()},
                say=self.log.info,
                metrics=self.metrics,
            ).execute(work)
        if self.do_xcom_push:
            context["ti"].xcom_push(key=RUN, value={"experiment": run.experiment, "run": run.run, **result})
        return returned

    def on_kill(self) -> None:
        # Airflow calls it from the signal's handler and lets the task go on after it.
        if self._interruptible and threading.current_thread() is threading.main_thread():
            self._interruptible, self._killed = False, True
            raise _Killed

    @contextmanager
    def _ended_by_kill(self) -> Iterator[None]:
        self._interruptible, self._killed = True, False
        try:
            yield
        except _Killed:
            raise ExperimentFailed("the function was ended, as its task was.", -signal.SIGTERM) from None
        finally:
            self._interruptible = False

    def _run(self, context: Context) -> ExperimentRun:
        """Unless they are named: the task's own experiment, and a run per DAG run and map index."""
        if isinstance(self.run, Mapping):
            experiment = self.experiment or self.run["experiment"]
            return experiment_run(experiment, None, context, ingested=self.run["run"])
        return experiment_run(self.experiment or _experiment_name(self.task_id), self.run, context)

    def _call(self, context: Context, bound: Mapping[str, Any]) -> Any:
        available = {name: value for name, value in {**context, **self.op_kwargs}.items() if name not in bound}
        given = determine_kwargs(self.python_callable, self.op_args, available)
        arguments = inspect.signature(self.python_callable).bind(*self.op_args, **given).arguments
        call = inspect.BoundArguments(inspect.signature(self.function), {**arguments, **bound})
        return self.function(*call.args, **call.kwargs)


class _DecoratedExperiment(DecoratedOperator, FunctionExperimentOperator):
    custom_operator_name = "@task.experiment"

    template_fields: Sequence[str] = (
        "op_args",
        "op_kwargs",
        "inputs",
        "outputs",
        "experiment",
        "run",
        "metrics",
        "workspace_conn_id",
    )
    template_fields_renderers = {"op_args": "py", "op_kwargs": "py", "inputs": "json"}
    shallow_copy_attrs: Sequence[str] = ("python_callable", "function")

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        op_args: Collection[Any] | None = None,
        op_kwargs: Mapping[str, Any] | None = None,
        inputs: Mapping[str, Any] | None = None,
        outputs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        inputs, outputs = inputs or {}, outputs or {}
        _check(python_callable, inputs, outputs, op_kwargs or {})

        @functools.wraps(python_callable)
        def called(*args: Any, **kwargs: Any) -> Any:
            return python_callable(*args, **kwargs)

        called.__signature__ = _without(python_callable, {**inputs, **outputs})  # type: ignore[attr-defined]
        super().__init__(
            python_callable=called,
            op_args=op_args,
            op_kwargs=op_kwargs,
            kwargs_to_upstream={"function": python_callable, "inputs": inputs, "outputs": outputs},
            **kwargs,
        )


class _ExperimentDecorator(_TaskDecorator):  # type: ignore[type-arg]
    """What a decorated function becomes; mapped, it is checked at once, and depends on what stands in its values."""

    def _expand(self, expand_input: Any, **kwargs: Any) -> XComArg:
        mapped = expand_input.value if isinstance(expand_input.value, Sequence) else [expand_input.value]
        given = [
            name for call in (self.kwargs.get("op_kwargs", {}), *mapped) if isinstance(call, Mapping) for name in call
        ]
        _check(self.function, self.kwargs.get("inputs") or {}, self.kwargs.get("outputs") or {}, given)
        made: Any = super()._expand(expand_input, **kwargs)
        depend_mapped(made.operator)
        return cast("XComArg", made)


def experiment_task(
    python_callable: Callable[..., Any] | None = None, multiple_outputs: bool | None = None, **kwargs: Any
) -> TaskDecorator:
    """Run a function as an experiment, with its inputs at hand, and publish what it writes, each output as a whole.

    ``@task.experiment(inputs={"sales": "azureml://…"}, outputs={"features": "azureml://…"})`` gives the function's
    parameters ``sales`` and ``features`` a :class:`pathlib.Path`: of the folder or file to read, and of the empty
    folder to write to (with type ``uri_file``: of the file to write). With mode ``direct`` they get the URI, and an
    input that is a number or other text is given as it is. The other parameters come from the call, as those of any
    TaskFlow task. If the function returns, all outputs are checked, then all that are published are
    staged, and then all are delivered; if it raises, none is.

    What it returns is the task's result. The XCom ``run`` holds ``experiment``, ``run``, ``outputs`` and ``metrics``,
    as a ``RunExperimentOperator`` returns them: ``PublishOutputsOperator(run=task["run"], …)``.

    :param python_callable: the function.
    :param multiple_outputs: whether each key of the dictionary that it returns becomes an XCom of its own.
    :param inputs: name of a parameter -> ``azureml://`` URI, ``Input``, what an ingest returned (its input of the same
        name), number, text.
    :param outputs: name of a parameter -> ``Output``, an ``azureml://`` URI of a folder that is replaced, or None for a
        folder in the run's own folder.
    :param experiment: the experiment's name; None derives it from the task's.
    :param run: name of the run, or what an ingest returned, for the same experiment and run; None derives it from the
        DAG run, and a mapped task's index.
    :param metrics: name of the ``uri_file`` output to which the function writes metrics, a JSON object.
    :param workspace_conn_id: id of the workspace's connection.
    :raises InvalidInput: an input or output is not a parameter of the function, is one in both, or is given in the
        call, too; or the function is asynchronous, a generator, or takes any number of positional arguments.
    """
    made: Any = task_decorator_factory(
        python_callable=python_callable,
        multiple_outputs=multiple_outputs,
        decorated_operator_class=_DecoratedExperiment,
        **kwargs,
    )
    if python_callable is not None:
        return _depending(made)
    return cast("TaskDecorator", lambda function: _depending(made(function)))


def _depending(made: _TaskDecorator[..., Any, Any]) -> TaskDecorator:
    fields = ("function", "multiple_outputs", "operator_class", "kwargs")
    return cast("TaskDecorator", _ExperimentDecorator(**{name: getattr(made, name) for name in fields}))


def _check(
    function: Callable[..., Any], inputs: Mapping[str, Any], outputs: Mapping[str, Any], given: Collection[str]
) -> None:
    """See :func:`experiment_task` for what is refused."""
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise InvalidInput(
            f"{_name(function)} is asynchronous or a generator; an experiment's function returns a value."
        )
    for kind, values in (("inputs", inputs), ("outputs", outputs)):
        if not isinstance(values, Mapping):
            raise InvalidInput(
                f"the {kind} of {_name(function)} have to be a dictionary with the names of its parameters, such as "
                f'{{"x": ingest.output}}; got {type(values).__name__}.'
            )
        check_binding_names(kind[:-1], values)
    parameters = inspect.signature(function).parameters
    if any(parameter.kind is inspect.Parameter.VAR_POSITIONAL for parameter in parameters.values()):
        raise InvalidInput(f"{_name(function)} takes *args; give an experiment's function named parameters.")
    named = [name for name, parameter in parameters.items() if parameter.kind is not inspect.Parameter.VAR_KEYWORD]
    for name in (*inputs, *outputs):
        if name not in named:
            raise InvalidInput(
                f"{_name(function)} has no parameter {name!r} for the {'in' if name in inputs else 'out'}put of this "
                f"name; its parameters: {', '.join(named) or 'none'}."
            )
        if name in inputs and name in outputs:
            raise InvalidInput(f"the parameter {name!r} of {_name(function)} is both an input and an output.")
        if name in given:
            raise InvalidInput(
                f"the parameter {name!r} of {_name(function)} is an input or output: leave it out of the call."
            )


def _without(function: Callable[..., Any], names: Collection[str]) -> inspect.Signature:
    """What a call has to give."""
    signature = inspect.signature(function)
    return signature.replace(parameters=[p for name, p in signature.parameters.items() if name not in names])


def _name(function: Callable[..., Any]) -> str:
    return f"{getattr(function, '__name__', repr(function))}()"


def _experiment_name(task_id: str) -> str:
    """A task's id as an experiment's name; one that had to be changed differs from those of other tasks."""
    name = re.sub(r"[^a-zA-Z0-9_\-]+", "-", task_id).lstrip("-_")
    return name if name == task_id else f"{name or 'task'}-{hashlib.sha256(task_id.encode()).hexdigest()[:8]}"[:255]
