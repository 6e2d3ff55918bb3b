"""An experiment's run: its folders, what it takes in and gives out, and the command that uses them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from airflow_azureml_datastores.core.rows_input import RowsFormat, RowsInput, is_rows_batch
from airflow_azureml_datastores.core.shell import quote_after
from airflow_azureml_datastores.core.table_store import WriteMode, check_mode
from airflow_azureml_datastores.core.template import Templated, flag, is_unrendered
from airflow_azureml_datastores.core.watermark import Overlap
from airflow_azureml_datastores.errors import InvalidInput, InvalidName

IngestMode = Literal["copy", "direct"]
InputMode = Literal["download", "ro_mount", "rw_mount", "direct"]
OutputMode = Literal["upload", "rw_mount", "direct"]
OutputType = Literal["uri_folder", "uri_file"]

# Azure ML's rules: experiment names as workspaces accept them, bindings as in a command job's YAML schema.
_EXPERIMENT = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_\-]{0,254}")
_BINDING = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,254}")
_PLACEHOLDER = re.compile(r"\$\{\{\s*(?P<kind>[a-zA-Z_]+)(?:\.(?P<name>[^\s}]+))?\s*\}\}")


@dataclass(frozen=True)
class Input(Templated):
    """Data that an experiment takes in.

    :param path: an ``azureml://`` URI, a path or glob in ``datastore``, or what an ingest returned: its input of the
        same name.
    :param datastore: the datastore that a plain path is in; None is the workspace's default.
    :param mode: when ingested, ``copy`` (a snapshot in the run's folder) or ``direct`` (a reference to what is there,
        pinned by etag); when given to a run, ``download``, ``ro_mount`` (exactly these files in these versions, read
        as they are needed), ``rw_mount`` (the folder itself, writable) or ``direct`` (the URI). None is the first of
        these.
    :param allow_empty: whether a source without files is acceptable.
    """

    path: Any
    datastore: str | None = None
    mode: str | None = None
    allow_empty: bool = False

    def check(self) -> None:
        ingested = isinstance(self.path, Mapping) and ("manifest" in self.path or "inputs" in self.path)
        if not (isinstance(self.path, str) or ingested):
            raise InvalidInput(
                f"an input's path is an azureml:// URI, a path, or what an ingest returned; "
                f"got {type(self.path).__name__}."
            )
        object.__setattr__(self, "allow_empty", flag("allow_empty", self.allow_empty))
        modes = {*get_args(IngestMode), *get_args(InputMode)}
        if self.mode is not None and self.mode not in modes:
            raise InvalidInput(f"input mode {self.mode!r} is unknown; choose one of {', '.join(sorted(modes))}.")

    @staticmethod
    def query(
        datastore: str,
        sql: str,
        parameters: Sequence[Any] | Mapping[str, Any] = (),
        *,
        format: RowsFormat = "parquet",
        allow_empty: bool = False,
        watermark: str | None = None,
        overlap: Overlap = 0,
        keys: Sequence[str] = (),
        initial: Any = None,
        consumer: str | None = None,
        partition: str | None = None,
        partitions: int | None = None,
    ) -> RowsInput:
        """Rows of a database: what a query gives, or what is new in that, as files. See :class:`RowsInput`."""
        more = (watermark, overlap, keys, initial, consumer, partition, partitions)
        return RowsInput(datastore, sql, None, parameters, (), format, allow_empty, *more)

    @staticmethod
    def table(
        datastore: str,
        table: str,
        columns: Sequence[str] = (),
        *,
        format: RowsFormat = "parquet",
        allow_empty: bool = False,
        watermark: str | None = None,
        overlap: Overlap = 0,
        keys: Sequence[str] = (),
        initial: Any = None,
        consumer: str | None = None,
        partition: str | None = None,
        partitions: int | None = None,
    ) -> RowsInput:
        """Rows of a database: a whole table, or what is new in it, as files. See :class:`RowsInput`."""
        more = (watermark, overlap, keys, initial, consumer, partition, partitions)
        return RowsInput(datastore, None, table, (), columns, format, allow_empty, *more)


@dataclass(frozen=True)
class Output(Templated):
    """A place for what an experiment's command writes.

    :param path: ``azureml://`` URI of a folder; None is ``outputs/<name>/`` in the run's folder, on the
        default datastore.
    :param mode: ``upload`` (to a local path, delivered after success), ``rw_mount`` (to a mount of the output's folder
        in the run's own, which a manifest completes after success; then published to ``path``, if there is one) or
        ``direct`` (the command gets the URI itself and writes there; nothing is held back if it fails).
    :param type: ``uri_folder`` (the command gets a folder) or ``uri_file`` (the command gets a file's path).
    """

    path: str | None = None
    mode: OutputMode = "upload"
    type: OutputType = "uri_folder"

    def check(self) -> None:
        if self.mode not in get_args(OutputMode):
            raise InvalidInput(
                f"output mode {self.mode!r} is unknown; choose one of {', '.join(get_args(OutputMode))}."
            )
        if self.type not in get_args(OutputType):
            raise InvalidInput(
                f"output type {self.type!r} is unknown; choose one of {', '.join(get_args(OutputType))}."
            )

    @staticmethod
    def table(
        datastore: str,
        table: str,
        mode: WriteMode = "fail",
        *,
        keys: Sequence[str] = (),
        create_if_missing: bool = False,
    ) -> TableOutput:
        """A table of a database, to publish the rows of an output to. See :class:`TableOutput`."""
        return TableOutput(datastore, table, mode, keys, create_if_missing)


@dataclass(frozen=True)
class TableOutput(Templated):
    """A table of a datastore that is a database, for the rows of Parquet, CSV or Arrow files. Made by
    :meth:`Output.table`.

    :param datastore: the database.
    :param table: as ``table`` or ``schema.table``.
    :param mode: ``fail`` (if the table has rows), ``append``, ``overwrite`` (they are gone afterwards) or ``upsert``
        (rows of the same keys are replaced, the others stay).
    :param keys: the columns that tell rows apart, for ``upsert``.
    :param create_if_missing: make a table that is not there, with types from the data.
    """

    datastore: str
    table: str
    mode: WriteMode = "fail"
    keys: Sequence[str] = ()
    create_if_missing: bool = False

    def check(self) -> None:
        for what in ("datastore", "table"):
            value = getattr(self, what)
            if not isinstance(value, str) or not value:
                raise InvalidInput(f"the {what} of an output that is a table is a name, not {value!r}.")
        check_mode(self.mode, self.keys)
        object.__setattr__(self, "create_if_missing", flag("create_if_missing", self.create_if_missing))


@dataclass(frozen=True, slots=True)
class ExperimentRun:
    """One run of an experiment; everything that belongs to it lies in its folder on the default datastore."""

    experiment: str
    run: str

    def __post_init__(self) -> None:
        if not isinstance(self.experiment, str) or not _EXPERIMENT.fullmatch(self.experiment):
            raise InvalidName(
                f"{self.experiment!r} is not an experiment name: letters, digits, '-' and '_', "
                f"starting with a letter or digit."
            )
        if not isinstance(self.run, str) or not self.run or slug(self.run) != self.run:
            raise InvalidName(f"{self.run!r} is not a run name: letters, digits, '-', '_' and '.'.")

    @property
    def folder(self) -> str:
        return f"experiments/{self.experiment}/{self.run}/"

    def input_folder(self, name: str) -> str:
        return f"{self.folder}inputs/{name}/"

    def output_folder(self, name: str) -> str:
        return f"{self.folder}outputs/{name}/"


def slug(text: str) -> str:
    """A text as a single path segment that every datastore can hold."""
    return re.sub(r"[^a-zA-Z0-9_.\-]+", "-", text).strip("-.") or "-"


def unique_slug(text: str, *also: str) -> str:
    """A slug that differs whenever the texts differ; only the first one is readable in it."""
    digest = hashlib.sha256("\0".join((text, *also)).encode()).hexdigest()[:8]
    return slug(f"{slug(text)[:120]}-{digest}")


def check_binding_names(kind: str, names: Iterable[str]) -> None:
    """Raise :class:`InvalidName` unless all names can be written in a command, and differ in more than case."""
    seen: dict[str, str] = {}
    for name in names:
        if not isinstance(name, str) or not _BINDING.fullmatch(name):
            raise InvalidName(f"{name!r} is not an {kind} name: letters, digits and '_', not starting with a digit.")
        if (other := seen.setdefault(name.casefold(), name)) != name:
            raise InvalidName(f"the {kind}s {other!r} and {name!r} differ only in case and would share a folder.")


def check_command(command: str, inputs: Iterable[str], outputs: Iterable[str]) -> None:
    """Check that every placeholder of a command is known.

    :raises InvalidInput: the command is empty or names an input or output that is not there.
    """
    if not isinstance(command, str) or not command.strip():
        raise InvalidInput("the experiment's command is empty.")
    known = {"inputs": sorted(inputs), "outputs": sorted(outputs)}
    for found in _PLACEHOLDER.finditer(command):
        kind, name = found["kind"], found["name"]
        if kind not in known or name is None:
            raise InvalidInput(
                f"unknown placeholder {found[0]} in the command: use ${{{{inputs.x}}}} or ${{{{outputs.y}}}}."
            )
        if name not in known[kind]:
            raise InvalidInput(
                f"the command uses {found[0]}, but there is no {kind[:-1]} {name!r}; "
                f"{kind}: {', '.join(known[kind]) or 'none'}."
            )
    rest = _PLACEHOLDER.sub(" ", command)
    if "${{" in rest:
        raise InvalidInput(f"malformed placeholder in the command: {rest[rest.index('${{') :][:40]!r}.")


def bind_command(command: str, inputs: Mapping[str, Any], outputs: Mapping[str, str]) -> str:
    """Replace the placeholders of a checked command by values that the shell takes literally.

    A placeholder may stand alone, in a word, or inside of single or double quotes.

    :param inputs: name -> local path, URI or literal value.
    :param outputs: name -> local path.
    :raises InvalidInput: a value has special characters and stands where they cannot be quoted reliably.
    """
    values = {"inputs": inputs, "outputs": outputs}
    bound, plain, end = "", "", 0  # plain: what the shell reads, with a word for each value so far
    for found in _PLACEHOLDER.finditer(command):
        between = command[end : found.start()]
        value = str(values[found["kind"]][found["name"]])
        if "\0" in value:
            raise InvalidInput(f"the value of {found[0]} holds a NUL character, which no command can take.")
        quoted = quote_after(plain + between, value)
        if quoted is None:
            raise InvalidInput(
                f"the value of {found[0]} has characters that are special to the shell and cannot be quoted reliably "
                f"where it stands: in a comment, after a here-document, backquotes, arithmetic, $'…' or a ${{…}} with "
                f"an operator, or right after a backslash or $. Assign it to a variable at the command's start."
            )
        bound, plain, end = bound + between + quoted, plain + between + "value", found.end()
    return bound + command[end:]


def as_input(value: Any, name: str = "") -> Input | Mapping[str, Any]:
    """What a user may write for an input: a URI or path, an :class:`Input`, or what a sensor or an ingest returned.

    :param name: of the input; of all that an ingest returned, the input of this name is meant.
    :raises InvalidInput: it is something else, or the ingest had no such input.
    """
    if isinstance(value, str):
        return Input(value)
    if isinstance(value, Input):
        if not isinstance(value.path, Mapping):
            return value
        found = _ingested(value.path, name)
        return {**found, "mode": value.mode or found.get("mode")}
    if isinstance(value, Mapping) and ("manifest" in value or "inputs" in value):
        return _ingested(value, name)
    if isinstance(value, Mapping) and "path" in value:
        return as_input(_from_fields(value), name)
    if isinstance(value, RowsInput) or is_rows_batch(value):
        raise InvalidInput(
            f"the input {name!r} is rows of a database, which only an ingest takes: ingest it, and give what that "
            f"returned."
        )
    if is_unrendered(value):
        raise InvalidInput(f"the input {value!r} was not rendered.")
    raise InvalidInput(
        f"an input is an azureml:// URI, a path, an Input, or what a sensor or an ingest returned; "
        f"got {type(value).__name__}."
    )


def as_run_input(value: Any, name: str) -> tuple[Input | Mapping[str, Any], InputMode]:
    """An input of a run, and its mode there; the mode in what an ingest returned is the ingest's own.

    :raises InvalidInput: see :func:`as_input`; or the mode is not one of a run.
    """
    if isinstance(value, Mapping) and "path" in value:
        value = _from_fields(value)
    given = as_input(value, name)
    mode: Any = (value.mode if isinstance(value, Input) else None) or "download"
    if mode not in get_args(InputMode):
        raise InvalidInput(
            f"the mode {mode!r} of input {name!r} is not one of a run: use {', '.join(get_args(InputMode))}."
        )
    return given, mode


def _from_fields(value: Mapping[str, Any]) -> Input:
    known = [field.name for field in fields(Input)]
    for name in value:
        if name not in known:
            raise InvalidInput(f"an input has no field {name!r}; it has: {', '.join(known)}.")
    return Input(**value)


def _ingested(result: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """One input of what an ingest returned, or that input itself."""
    if "manifest" in result:
        return result
    try:
        found: Mapping[str, Any] = result["inputs"][name]
    except KeyError:
        names = ", ".join(sorted(result["inputs"])) or "none"
        raise InvalidInput(f"what was ingested has no input {name!r}; it has: {names}.") from None
    return found


def as_output(value: Any) -> Output:
    """What a user may write for an output: an :class:`Output` or its fields, its URI, or None.

    :raises InvalidInput: it is something else.
    """
    if isinstance(value, Output):
        return value
    if value is None or isinstance(value, str):
        return Output(path=value)
    if isinstance(value, Mapping):
        known = [field.name for field in fields(Output)]
        for name in value:
            if name not in known:
                raise InvalidInput(f"an output has no field {name!r}; it has: {', '.join(known)}.")
        return Output(**value)
    raise InvalidInput(f"an output is an Output, an azureml:// URI or None; got {type(value).__name__}.")
