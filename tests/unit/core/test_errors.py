from __future__ import annotations

import copy
import inspect
import pickle
import re

import pytest

from airflow_azureml_datastores import errors
from airflow_azureml_datastores.errors import (
    Conflict,
    DatastoreNotFound,
    DatastoresError,
    ExperimentFailed,
    MissingExtra,
    NotFound,
)

CLASSES = [
    found
    for _, found in inspect.getmembers(errors, inspect.isclass)
    if issubclass(found, BaseException) and found.__module__ == errors.__name__
]


def drawn_tree() -> dict[str, tuple[str, str | None]]:
    """The tree in the module's docstring: name -> (parent, the Python error in parentheses)."""
    path: list[str] = []
    drawn: dict[str, tuple[str, str | None]] = {}
    for line in inspect.getdoc(errors).splitlines():
        if found := re.match(r" {4}(?P<lines>[│├└─ ]*)(?P<name>[A-Z]\w+)(?: \((?P<also>\w+)\))?", line):
            del path[len(found["lines"]) // 4 :]
            drawn[found["name"]] = (path[-1] if path else "Exception", found["also"])
            path.append(found["name"])
    return drawn


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn = drawn_tree()
    real = {}
    for cls in CLASSES:
        parent, *also = [base.__name__ for base in cls.__bases__]
        real[cls.__name__] = (parent, also[0] if also else None)
    assert drawn == real


@pytest.mark.parametrize("cls", CLASSES)
def test_every_error_is_one_of_ours_and_tells_when(cls: type[Exception]) -> None:
    assert issubclass(cls, DatastoresError)
    assert cls.__doc__


def examples() -> list[DatastoresError]:
    special = {
        DatastoreNotFound: DatastoreNotFound("slaes", "'lab' (local)", ["sales"]),
        ExperimentFailed: ExperimentFailed("exited with code 3", 3),
        MissingExtra: MissingExtra("PostgreSQL", "postgres"),
    }
    return [special.get(cls) or cls("something is wrong") for cls in CLASSES]


@pytest.mark.parametrize("error", examples(), ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("again", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))], ids=["copy", "pickle"])
def test_an_error_survives_the_way_to_another_process(error: DatastoresError, again: object) -> None:
    """Process pools send errors pickled."""
    other = again(error)  # type: ignore[operator]
    assert type(other) is type(error)
    assert str(other) == str(error)
    assert vars(other) == vars(error)


@pytest.mark.parametrize(
    ("asked", "registered", "hint"),
    [
        ("slaes", ["sales", "reference"], "Did you mean 'sales'? Registered: reference, sales."),
        ("SALES_EU", ["Sales-EU", "b"], "Did you mean 'Sales-EU'?"),
        ("workspaceblobstor", ["workspacefilestore", "workspaceblobstore"], "Did you mean 'workspaceblobstore'?"),
        ("zebra", ["sales"], "(local). Registered: sales."),
        ("zebra", [], "(local). Registered: none."),
    ],
)
def test_a_datastore_that_is_not_there_has_near_names(asked: str, registered: list[str], hint: str) -> None:
    error = DatastoreNotFound(asked, "'lab' (local)", registered)
    assert str(error).startswith(f"no datastore {asked!r} in workspace 'lab' (local).")
    assert hint in str(error)
    assert error.name == asked


def test_who_does_not_know_us_catches_what_python_has() -> None:
    with pytest.raises(LookupError):
        raise DatastoreNotFound("a", "w", [])
    with pytest.raises(FileNotFoundError):
        raise errors.PathNotFound("nothing at a/b")
    with pytest.raises(ConnectionError):
        raise errors.Unavailable("no answer")
    assert not issubclass(Conflict, OSError)
    assert not issubclass(NotFound, OSError)


def test_a_missing_extra_tells_how_to_install_it() -> None:
    assert str(MissingExtra("PostgreSQL", "postgres")) == (
        "PostgreSQL needs: pip install 'airflow-azureml-datastores[postgres]'"
    )
