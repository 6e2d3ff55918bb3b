"""What tasks depend on: other tasks' outputs within this package's values, where Airflow does not look for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import XComArg
from airflow.sdk.definitions.mappedoperator import OperatorPartial

from airflow_azureml_datastores.core.template import Templated

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.definitions.mappedoperator import MappedOperator


class Partial(OperatorPartial):
    """An operator's partial whose mapped task depends on what stands in its values."""

    def _expand(self, *args: Any, **kwargs: Any) -> MappedOperator:
        made = super()._expand(*args, **kwargs)
        depend_mapped(made)
        return made


def depend(task: BaseOperator | MappedOperator, content: Any) -> None:
    """Let a task wait for the tasks whose outputs stand in an argument."""
    XComArg.apply_upstream_relationship(task, _as_collections(content))


def depend_mapped(task: MappedOperator) -> None:
    """Let a mapped task wait for the tasks whose outputs stand in its arguments."""
    depend(task, [value for name, value in task.partial_kwargs.items() if name in task.template_fields])
    depend(task, task.expand_input.value)


def _as_collections(content: Any) -> Any:
    """The same content, with lists in place of this package's values."""
    if isinstance(content, Templated):
        return _as_collections(list(vars(content).values()))
    if isinstance(content, Mapping):
        return _as_collections(list(content.values()))
    if isinstance(content, Sequence) and not isinstance(content, str | bytes):
        return [_as_collections(item) for item in content]
    return content
