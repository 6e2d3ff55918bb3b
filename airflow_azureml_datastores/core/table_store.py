"""The port through which rows flow.

Rows are Arrow's: a schema, and record batches one after the other, so that none of them all has to be in memory.
"""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, get_args

from airflow_azureml_datastores.core.store import Store
from airflow_azureml_datastores.errors import InvalidInput, Unsupported

Schema = Any
"""A ``pyarrow.Schema``."""
RecordBatch = Any
"""A ``pyarrow.RecordBatch``."""


@dataclass(frozen=True, slots=True)
class Query:
    """A statement that gives rows, and its values apart from it.

    :param sql: in the database's own dialect. ``?`` stands for the values of a sequence, in their order, or ``:name``
        for those of a mapping; outside of strings, quoted names and comments. With a sequence, ``??`` is a question
        mark.
    :param parameters: they reach the database as values, never as a part of the text. None is NULL.
    """

    sql: str
    parameters: Sequence[Any] | Mapping[str, Any] = ()

    @property
    def digest(self) -> str:
        """The same for the same statement with the same values."""
        values = dict(self.parameters) if isinstance(self.parameters, Mapping) else list(self.parameters)
        content = json.dumps([self.sql, values], default=str, sort_keys=True)
        return f"sha256:{hashlib.sha256(content.encode()).hexdigest()}"


@dataclass
class Rows:
    """What a query gives, while it is running.

    :param schema: names and Arrow types of the columns.
    :param batches: the rows, in the order of the query; to be taken once.
    """

    schema: Schema
    batches: Iterator[RecordBatch] = field(repr=False)


OpenRows = Callable[[], AbstractContextManager[Rows]]
"""Opens rows: those of a load, which each attempt opens anew, or those of one part of several."""

WriteMode = Literal["fail", "append", "overwrite", "upsert"]


def check_mode(mode: WriteMode, keys: Sequence[str]) -> None:
    """:raises InvalidInput: there is no such mode, it is none for these keys, or they are none."""
    if mode not in get_args(WriteMode):
        raise InvalidInput(f"the mode {mode!r} is unknown; choose one of {', '.join(get_args(WriteMode))}.")
    if isinstance(keys, str) or not all(isinstance(key, str) for key in keys):
        raise InvalidInput(f"keys are a list of the names of columns, not {keys!r}.")
    if mode == "upsert" and not keys:
        raise InvalidInput("mode 'upsert' needs keys: the columns that tell rows apart.")
    if mode != "upsert" and keys:
        raise InvalidInput(f"keys belong to mode 'upsert', not to {mode!r}.")


@dataclass(frozen=True, slots=True)
class Load:
    """What rows are to become of a table.

    :param table: as ``table`` or ``schema.table``, without quotes; a part that has a dot in it in double quotes.
    :param mode: ``fail`` (if the table has rows), ``append``, ``overwrite`` (they are gone afterwards) or ``upsert``
        (rows of the same keys are replaced, the others stay).
    :param keys: the columns that tell rows apart, for ``upsert``.
    :param create_if_missing: make a table that is not there, with types from the data.
    :param id: the same in every attempt of the same load; it is recorded in the transaction that loads.
    """

    table: str
    mode: WriteMode
    keys: Sequence[str]
    create_if_missing: bool
    id: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """What became of a load.

    :param rows: how many it has brought.
    :param was_there: whether an earlier attempt had brought them.
    """

    rows: int
    was_there: bool


class TableStore(Store):
    """An open handle on a database.

    Errors of every call: :class:`AccessDenied`, :class:`ContainerNotFound` (there is no such database),
    :class:`Unavailable`; others are listed with the call.
    """

    datastore_type: ClassVar[str] = ""

    @abstractmethod
    def check_query(self, query: Query) -> None:
        """Find out what :meth:`read` would refuse, without running the query. Raises the same."""

    @abstractmethod
    def read(self, query: Query) -> AbstractContextManager[Rows]:
        """Run a query. All rows are of one moment, nothing can be changed by it, and memory does not grow with them.

        :raises InvalidInput: the database refuses the statement or a value, values are missing or too many, or columns
            have no names of their own.
        :raises InvalidInput: (while rows are taken) a value is there that Arrow has no place for.
        """

    def check_parts(self, query: Query, column: str) -> None:
        """Find out what :meth:`read_in_parts` would refuse, without running the query. Raises the same."""
        raise self._no_parts

    def read_in_parts(self, query: Query, column: str, parts: int) -> AbstractContextManager[Sequence[OpenRows]]:
        """Run a query in parts, which are ranges of a column's values. All parts are of one moment.

        Parts are for several threads, each of which opens one, within this context. Leaving it ends those that are
        still being read: they raise. No part is in the order of the query.

        :param column: of whole numbers, decimals, dates or timestamps. Rows where it is NULL are in the first part.
        :param parts: how many at most. All rows are in them, each one once, if the query gives the same rows however
            often it is run at one moment.
        :raises Unsupported: this type of database has no moments that several connections can see.
        :raises InvalidInput: as :meth:`read`; or there is no such column, or its type is another one.
        """
        raise self._no_parts

    @property
    def _no_parts(self) -> Unsupported:
        return Unsupported(
            f"{self.url}: a database of type {self.datastore_type} cannot show one moment to several connections, so "
            f"its rows cannot be read side by side: leave out partition and partitions."
        )

    @abstractmethod
    def table(self, name: str, columns: Sequence[str] = ()) -> Query:
        """The query that gives a whole table.

        :param name: as ``table`` or ``schema.table``, without quotes; a part that has a dot in it in double quotes.
        :param columns: only these; none are all.
        :raises InvalidInput: it is no name.
        """

    @abstractmethod
    def between(
        self, query: Query, column: str, low: Any = None, high: Any = None, *, only: Sequence[str] = ()
    ) -> Query:
        """The rows of a query whose column, which is not NULL there, is above ``low`` and not above ``high``.

        :param low: None is no bound, as is a ``high`` of None. Both are values, never a part of the text.
        :param only: only these columns; none are all.
        :raises InvalidName: a name of a column cannot be one.
        """

    @abstractmethod
    def newest(self, query: Query, column: str) -> Query:
        """The greatest value of a query's column, in one row and in the column's own type; no row if there is none.

        :raises InvalidName: the name of the column cannot be one.
        """

    @abstractmethod
    def count(self, query: Query) -> Query:
        """How many rows a query gives, as one row of one column."""

    @abstractmethod
    def none(self, query: Query) -> Query:
        """The columns of a query, without any rows."""

    @abstractmethod
    def has_table(self, name: str) -> bool:
        """Whether there is such a table. :raises InvalidInput: it is no name."""

    @abstractmethod
    def check_write(self, load: Load, schema: Schema) -> None:
        """Find out what :meth:`write` would refuse whatever the rows are. Changes nothing, and raises the same."""

    @abstractmethod
    def write(self, load: Load, rows: OpenRows) -> Loaded:
        """Bring rows into a table: all of them or none, in one transaction, and once.

        The load's id is recorded in the same transaction, in the table ``azureml_datastores_loads`` of the table's
        schema, which is made if need be. What is recorded there is not loaded again: an ``append`` ever, others while
        no other load has come after it.

        :param rows: opened again if the database asks to try again; columns are found by their names.
        :raises PathNotFound: there is no such table, and not ``create_if_missing``.
        :raises PathExists: mode ``fail`` and the table has rows.
        :raises InvalidInput: columns do not fit, or a value does not: it is named with its column and row, counted
            from 1. Or keys are NULL, or there twice. Nothing has changed.
        """


OpenTables = Callable[[str], TableStore]
"""Opens a registered datastore that is a database. The giver keeps and closes what it opens.

Raises DatastoreNotFound: there is none of this name. Raises Unsupported: it holds files.
"""
