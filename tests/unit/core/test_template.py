from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from airflow_azureml_datastores.core.datastore import Datastore, UnknownLocation
from airflow_azureml_datastores.core.template import Templated, is_unrendered
from airflow_azureml_datastores.errors import InvalidInput, InvalidName


class Reference:
    """What Airflow puts in the place of another task's output."""

    def resolve(self, context: object) -> str:
        return "rendered"


@pytest.mark.parametrize(
    "value",
    [
        "{{ ds }}",
        "raw/{{ ds }}/x",
        "{% if a %}b{% endif %}",
        "${{inputs.x}}/{{ ds }}",
        "{{ ds }}${{inputs.x}}",
        Reference(),
    ],
)
def test_unrendered(value: object) -> None:
    assert is_unrendered(value)


@pytest.mark.parametrize(
    "value", ["", "raw/2026", "${{inputs.x}}", "${{default_datastore}}", "{a}", "{ {", None, 5, [], Path(), Path, str]
)
def test_not_a_template(value: object) -> None:
    assert not is_unrendered(value)


@dataclass(frozen=True)
class Even(Templated):
    number: object
    other: object = None

    def check(self) -> None:
        if int(str(self.number)) % 2:
            raise InvalidInput("odd")


def test_checked_at_once_or_when_rendered() -> None:
    with pytest.raises(InvalidInput):
        Even(1)
    for unrendered in (Even("{{ 1 }}"), Even(1, "{{ 1 }}"), Even(Reference())):
        with pytest.raises(InvalidInput):
            unrendered.rendered(lambda _: 1)
        assert unrendered.rendered(lambda _: 2) == Even(2, 2)


def test_a_datastore_is_checked_when_rendered() -> None:
    datastore = Datastore("{{ name }}", UnknownLocation("X"))
    with pytest.raises(InvalidName):
        datastore.rendered(lambda value: "not a name" if value == "{{ name }}" else value)
