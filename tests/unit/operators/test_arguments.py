"""What operators, sensors and triggers promise by their signatures."""

from __future__ import annotations

import importlib
import inspect
import re
from typing import Any

import pytest
from airflow.sdk import DAG, BaseOperator
from airflow.serialization.serialized_objects import DagSerialization

from airflow_azureml_datastores import LocalDirectory, operators, sensors
from airflow_azureml_datastores.provider_info import get_provider_info

KINDS: list[type[BaseOperator]] = [getattr(room, name) for room in (operators, sensors) for name in room.__all__]

# How a task waits is Airflow's business, decided when the DAG is parsed.
NOT_TEMPLATED = {"deferrable"}


def arguments(kind: type[BaseOperator]) -> dict[str, inspect.Parameter]:
    """The arguments that this package adds to Airflow's own."""
    ours = [base for base in kind.__mro__ if base.__module__.startswith("airflow_azureml_datastores.")]
    found: dict[str, inspect.Parameter] = {}
    for base in ours:
        init = vars(base).get("__init__")
        if init is not None:
            found |= inspect.signature(inspect.unwrap(init)).parameters
    return {name: parameter for name, parameter in found.items() if name not in ("self", "kwargs")}


@pytest.mark.parametrize("kind", KINDS)
class TestSignature:
    def test_every_argument_is_templated(self, kind: type[BaseOperator]) -> None:
        assert set(kind.template_fields) == arguments(kind).keys() - NOT_TEMPLATED
        assert len(set(kind.template_fields)) == len(kind.template_fields)

    def test_arguments_are_named(self, kind: type[BaseOperator]) -> None:
        assert {parameter.kind for parameter in arguments(kind).values()} == {inspect.Parameter.KEYWORD_ONLY}

    def test_every_argument_is_documented(self, kind: type[BaseOperator]) -> None:
        text = inspect.getdoc(kind) or ""
        assert sorted(re.findall(r":param (\w+):", text)) == sorted(arguments(kind))

    def test_what_it_returns_is_documented(self, kind: type[BaseOperator]) -> None:
        assert "\nReturns " in (inspect.getdoc(kind) or "")

    def test_arguments_are_kept_as_they_were_given(self, kind: type[BaseOperator]) -> None:
        """Nothing is looked at before it is rendered: a mapped task gets other tasks' outputs here."""
        given: dict[str, Any] = {name: f"{{{{ params.{name} }}}}" for name in kind.template_fields}
        made = kind(task_id="made", **given)
        assert {name: getattr(made, name) for name in given} == given

    def test_can_be_mapped(self, kind: type[BaseOperator]) -> None:
        with DAG("mapped", schedule=None) as dag:
            kind.partial(task_id="mapped").expand_kwargs([dict.fromkeys(kind.template_fields, "x")])
        serialized = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag))
        assert serialized.task_dict["mapped"].is_mapped

    def test_is_where_airflow_is_told(self, kind: type[BaseOperator]) -> None:
        listed = [
            module
            for room in ("operators", "sensors")
            for integration in get_provider_info()[room]
            for module in integration["python-modules"]
        ]
        assert kind.__module__ in listed
        assert getattr(importlib.import_module(kind.__module__), kind.__name__) is kind


def test_there_are_operators() -> None:
    assert len(KINDS) == 12


def test_a_dags_serialization_is_the_same_each_time() -> None:
    """Airflow makes a new version of a DAG whenever it is not."""

    def serialized() -> Any:
        with DAG("same", schedule=None) as dag:
            operators.RegisterDatastoreOperator(task_id="a", datastore="lake", location=LocalDirectory("/srv/lake"))
            operators.RegisterDatastoreOperator.partial(task_id="b", location=LocalDirectory("/srv/lake")).expand(
                datastore=["a", "b"]
            )
        return DagSerialization.serialize_dag(dag)["tasks"]

    assert serialized() == serialized()
    assert "LocalDirectory(path='/srv/lake')" in str(serialized())
