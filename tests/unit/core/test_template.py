from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from airflow_azureml_datastores.core.datastore import Datastore, UnknownLocation
from airflow_azureml_datastores.core.template import Templated, flag, is_unrendered, whole_number
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


@pytest.mark.parametrize(("value", "meant"), [(True, True), (False, False), ("True", True), (" false\n", False)])
def test_yes_and_no(value: object, meant: bool) -> None:
    assert flag("overwrite", value) is meant


@pytest.mark.parametrize("value", ["", "no", None, 2, "None"])
def test_neither_yes_nor_no(value: object) -> None:
    with pytest.raises(InvalidInput, match="overwrite has to be true or false; got"):
        flag("overwrite", value)


@pytest.mark.parametrize(("value", "meant"), [(2, 2), ("2", 2), (" 3\n", 3)])
def test_whole_numbers(value: object, meant: int) -> None:
    assert whole_number("min_files", value) == meant


@pytest.mark.parametrize("value", ["", "two", None, 1.5, True])
def test_no_whole_numbers(value: object) -> None:
    with pytest.raises(InvalidInput, match="min_files has to be a whole number; got"):
        whole_number("min_files", value)
