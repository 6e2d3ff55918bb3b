"""Loading rows into a table, whichever the database: all or nothing, and once.

The steps and the statements that all dialects share are here; :class:`Database` is what they do not.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_azureml_datastores.core.table_store import Load, Loaded, Rows, check_mode
from airflow_azureml_datastores.errors import InvalidInput, PathExists, PathNotFound
from airflow_azureml_datastores.stores._sql_text import name_parts
from airflow_azureml_datastores.stores._table_columns import MOST_DIGITS, Match, TableColumn, fit, is_text, match

if TYPE_CHECKING:
    import pyarrow as pa

RECORDS = "azureml_datastores_loads"
"""The table in which loads are recorded."""


class Database(ABC):
    """A connection with a transaction open, in one dialect. Names of tables are given in their parts.

    :cvar types: the column types for Arrow's, by the names of :func:`_named`; those of keys, if others, by ``key text``
        and the like. ``{}`` is for digits: all and those behind the point, or those of a second's fraction.
    """

    types: ClassVar[Mapping[str, str]]

    def mark(self, number: int) -> str:
        """What stands for the n-th value of a statement, from 1."""
        return "?"

    @abstractmethod
    def quoted(self, name: str) -> str:
        """One name, safe in a statement."""

    @abstractmethod
    def fetch(self, sql: str, *values: Any) -> list[Any]:
        """Run a statement. Its first rows, a few, if it gives any."""

    @abstractmethod
    def lock(self, records: str, table: str) -> None:
        """Let no other load into the same table begin before this transaction ends.

        :param records: the quoted name of the table of records.
        """

    @abstractmethod
    def columns(self, parts: Sequence[str]) -> list[TableColumn] | None:
        """The columns of a table; None if there is no such table."""

    def type_for(self, type_: pa.DataType, *, key: bool = False) -> str:
        """The column type that holds all values of an Arrow type. :raises InvalidInput: there is none."""
        name, digits = _named(type_)
        found = self.types.get(f"key {name}" if key else name, self.types.get(name))
        if found is None:
            raise InvalidInput(
                f"the database has no type for Arrow's {type_}: convert the column, or create the table."
            )
        return found.format(*digits)

    def text(self, length: int) -> str:
        """The type of texts of so many characters."""
        return f"varchar({length})"

    @abstractmethod
    def stage(self, table: str, columns: Sequence[TableColumn]) -> str:
        """Make a table of this connection alone for rows of another table's columns. Returns its quoted name.

        :param table: the other table's quoted name.
        """

    @abstractmethod
    def bring(self, table: str, columns: Sequence[TableColumn], batches: Iterator[pa.RecordBatch]) -> None:
        """Bring rows into a table, by the fastest way there is.

        :param table: its quoted name.
        """

    def needs_stage(self, columns: Sequence[TableColumn]) -> bool:
        """Whether rows cannot be brought into the table itself."""
        return False

    def staged(self, column: TableColumn) -> str:
        """A column of the staged rows ``s``, as the table takes it."""
        return f"s.{self.quoted(column.name)}"

    def update(self, table: str, stage: str, columns: Sequence[TableColumn], same: str) -> str:
        """The statement that changes columns in rows ``t`` of the table to those of staged ones ``s``."""
        return f"update {table} as t set {self.sets(columns)} from {stage} as s where {same}"

    def sets(self, columns: Sequence[TableColumn], of: str = "") -> str:
        return ", ".join(f"{of}{self.quoted(column.name)} = {self.staged(column)}" for column in columns)

    def lock_rows(self, table: str) -> None:
        """Let nobody else change the table's rows before this transaction ends; others may read."""

    hold: str = ""
    """Goes after a table's alias, where the rows that are looked for must not appear meanwhile."""

    def name(self, parts: Sequence[str]) -> str:
        """A table's name, safe in a statement."""
        return ".".join(map(self.quoted, parts))

    def create(self, parts: Sequence[str], columns: str) -> None:
        """Make a table."""
        self.fetch(f"create table {self.name(parts)} ({columns})")


def _named(type_: pa.DataType) -> tuple[str, tuple[int, ...]]:
    """The name that an Arrow type shares with those that databases have one type for, and the digits of its values."""
    import pyarrow as pa

    kinds = pa.types
    if kinds.is_dictionary(type_):
        return _named(type_.value_type)
    if kinds.is_decimal(type_):
        digits = type_.precision - min(type_.scale, 0)
        return "decimal" if digits <= MOST_DIGITS else "long decimal", (digits, max(type_.scale, 0))
    if kinds.is_timestamp(type_):
        return "timestamptz" if type_.tz else "timestamp", (7 if type_.unit == "ns" else 6,)
    for fits, name in (
        (kinds.is_date, "date"),
        (kinds.is_time, "time"),
        (kinds.is_nested, "nested"),
        (is_text, "text"),
        (kinds.is_fixed_size_binary, "bytes"),
        (lambda t: t in (pa.binary(), pa.large_binary(), pa.binary_view()), "bytes"),
    ):
        if fits(type_):
            return name, ()
    return str(type_), ()


def check_load(load: Load) -> list[str]:
    """The parts of the table's name. :raises InvalidInput: the load contradicts itself."""
    parts = name_parts(load.table)
    check_mode(load.mode, load.keys)
    if parts[-1].casefold() == RECORDS:
        raise InvalidInput(f"the table {RECORDS} is kept for the records of loads.")
    return parts


def check_target(db: Database, load: Load, schema: pa.Schema) -> None:
    """Find out what would be refused whatever the rows are. :raises: as :meth:`TableStore.write`."""
    parts = check_load(load)
    if (columns := db.columns(parts)) is not None:
        match(columns, schema, load)
        if _recorded(db, load, parts) is None:
            _check_empty(db, load, parts)
        return
    _check_may_create(load)
    _definitions(db, load, schema)


def load_rows(db: Database, load: Load, rows: Rows) -> Loaded:
    """Load rows inside of the open transaction, unless that has been done; the table of records is there."""
    parts = check_load(load)
    records, table = db.name([*parts[:-1], RECORDS]), db.name(parts)
    db.lock(records, parts[-1])
    if (done := _recorded(db, load, parts)) is not None:
        return Loaded(done, was_there=True)
    if db.columns(parts) is None:
        create_table(db, load, rows.schema)
    matches = match(db.columns(parts) or [], rows.schema, load)
    _check_empty(db, load, parts)
    if load.mode == "overwrite":
        db.fetch(f"delete from {table}")
        db.fetch(f"delete from {records} where table_name = {db.mark(1)}", parts[-1])
    counted = _Fitted(rows, matches)
    columns = [found.column for found in matches]
    if load.mode == "upsert" or db.needs_stage(columns):
        stage = db.stage(table, columns)
        db.bring(stage, columns, iter(counted))
        if load.mode == "upsert":
            _upsert(db, load, table, stage, columns)
        else:
            _insert(db, table, stage, columns)
    else:
        db.bring(table, columns, iter(counted))
    _record(db, load, parts, counted.rows)
    return Loaded(counted.rows, was_there=False)


def create_table(db: Database, load: Load, schema: pa.Schema) -> None:
    """Make the table of a load. :raises PathNotFound: it may not be made."""
    _check_may_create(load)
    db.create(name_parts(load.table), _definitions(db, load, schema))


def create_records(db: Database, load: Load) -> None:
    """Make the table of records beside a load's table, if there is none. Needs a transaction of its own."""
    record = [*check_load(load)[:-1], RECORDS]
    if db.columns(record) is not None:
        return
    db.lock(db.name(record), "")
    if db.columns(record) is not None:
        return
    db.create(
        record,
        f"load_id {db.text(200)} not null primary key, table_name {db.text(255)} not null, "
        f"sequence bigint not null, row_count bigint not null, unique (table_name, sequence)",
    )


class _Fitted:
    """The rows of a load, made to fit and counted."""

    def __init__(self, rows: Rows, matches: Sequence[Match]) -> None:
        self._rows, self._matches = rows, matches
        self.rows = 0

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        for batch in self._rows.batches:
            yield fit(batch, self._matches, self.rows + 1)
            self.rows += batch.num_rows


def _check_may_create(load: Load) -> None:
    if not load.create_if_missing:
        raise PathNotFound(f"there is no table {load.table}; create it, or pass create_if_missing=True.")


def _definitions(db: Database, load: Load, schema: pa.Schema) -> str:
    missing = set(load.keys) - set(schema.names)
    if missing:
        raise InvalidInput(f"the data has no column {', '.join(map(repr, sorted(missing)))}, which is a key.")
    columns = [
        f"{db.quoted(f.name)} {db.type_for(f.type, key=(key := f.name in load.keys))}{' not' if key else ''} null"
        for f in schema
    ]
    keys = [f"primary key ({', '.join(map(db.quoted, load.keys))})"] if load.keys else []
    return ", ".join(columns + keys)


def _check_empty(db: Database, load: Load, parts: Sequence[str]) -> None:
    if load.mode != "fail":
        return
    ((there,),) = db.fetch(f"select case when exists (select 1 from {db.name(parts)}) then 1 else 0 end")
    if there:
        raise PathExists(f"the table {load.table} has rows; choose mode 'append', 'overwrite' or 'upsert'.")


def _recorded(db: Database, load: Load, parts: Sequence[str]) -> int | None:
    """How many rows the load has brought, if it is not to be done again."""
    record = [*parts[:-1], RECORDS]
    if db.columns(record) is None:
        return None
    found = db.fetch(f"select sequence, row_count from {db.name(record)} where load_id = {db.mark(1)}", load.id)
    if not found:
        return None
    ((sequence, count),) = found
    if load.mode in ("overwrite", "upsert") and sequence != _newest(db, record, parts[-1]):
        return None
    return int(count)


def _newest(db: Database, record: Sequence[str], table: str) -> int:
    sql = f"select coalesce(max(sequence), 0) from {db.name(record)} where table_name = {db.mark(1)}"
    ((newest,),) = db.fetch(sql, table)
    return int(newest)


def _record(db: Database, load: Load, parts: Sequence[str], rows: int) -> None:
    record = [*parts[:-1], RECORDS]
    name, marks = db.name(record), ", ".join(map(db.mark, range(1, 5)))
    sequence = _newest(db, record, parts[-1]) + 1
    db.fetch(f"delete from {name} where load_id = {db.mark(1)}", load.id)
    db.fetch(
        f"insert into {name} (load_id, table_name, sequence, row_count) values ({marks})",
        *(load.id, parts[-1], sequence, rows),
    )


def _insert(db: Database, table: str, stage: str, columns: Sequence[TableColumn], where: str = "") -> None:
    names = ", ".join(db.quoted(column.name) for column in columns)
    values = ", ".join(map(db.staged, columns))
    db.fetch(f"insert into {table} ({names}) select {values} from {stage} as s{where}")


def _upsert(db: Database, load: Load, table: str, stage: str, columns: Sequence[TableColumn]) -> None:
    """No MERGE: it lets two of them insert the same key (https://learn.microsoft.com/sql/t-sql/statements/merge-transact-sql)."""
    folded = {key.casefold() for key in load.keys}
    keys = [column for column in columns if column.name.casefold() in folded]
    _check_unique(db, stage, keys)
    same = " and ".join(f"t.{db.quoted(key.name)} = {db.staged(key)}" for key in keys)
    others = [column for column in columns if column not in keys]
    db.lock_rows(table)
    if others:
        db.fetch(db.update(table, stage, others, same))
    _insert(db, table, stage, columns, f" where not exists (select 1 from {table} as t{db.hold} where {same})")


def _check_unique(db: Database, stage: str, keys: Sequence[TableColumn]) -> None:
    names = ", ".join(map(db.staged, keys))
    sql = f"select {names}, count(*) from {stage} as s group by {names} having count(*) > 1"
    if found := db.fetch(sql):
        values = ", ".join(f"{key.name} = {value!r}" for key, value in zip(keys, found[0], strict=False))
        raise InvalidInput(f"the data has {found[0][-1]} rows with the keys {values}; nothing was loaded.")
