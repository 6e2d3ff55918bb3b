"""Values that may still hold an unrendered template when a DAG file is parsed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from os import PathLike
from typing import Any, Self

from airflow_azureml_datastores.errors import InvalidInput


def is_unrendered(value: Any) -> bool:
    """Tell whether a value is a Jinja template or a reference to another task's output.

    Such a value cannot be checked yet: the object that holds it is built again, and so checked, once it is rendered.
    Azure ML's own ``${{…}}`` placeholders are not templates.
    """
    if isinstance(value, str):
        return "{{" in value.replace("${{", "") or "{%" in value
    return hasattr(value, "resolve") and not isinstance(value, (type, PathLike))


def flag(name: str, value: Any) -> bool:
    """A rendered yes or no, which a template gives as a text.

    :raises InvalidInput: it is something else.
    """
    found = {"true": True, "false": False}.get(str(value).strip().lower())
    if found is None:
        raise InvalidInput(f"{name} has to be true or false; got {value!r}.")
    return found


def whole_number(name: str, value: Any) -> int:
    """A rendered whole number, which a template gives as a text.

    :raises InvalidInput: it is something else.
    """
    try:
        return int(str(value))
    except ValueError:
        raise InvalidInput(f"{name} has to be a whole number; got {value!r}.") from None


@dataclass(frozen=True)
class Templated:
    """Base of the frozen dataclasses that users put into operator arguments.

    The operators render every field of such an object and build it anew, so ``check`` runs on the rendered values.
    """

    def __post_init__(self) -> None:
        if not any(is_unrendered(value) for value in vars(self).values()):
            self.check()

    def check(self) -> None:
        """Raise :class:`~airflow_azureml_datastores.errors.InvalidInput` if a field breaks a rule."""

    def rendered(self, render: Callable[[Any], Any]) -> Self:
        """The same object with every field rendered, and so checked."""
        return replace(self, **{field.name: render(getattr(self, field.name)) for field in fields(self)})
