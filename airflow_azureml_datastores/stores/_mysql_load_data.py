"""``LOAD DATA LOCAL``: rows as a file that there is not, sent when the server asks for it.

https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_query_response_local_infile_request.html
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_azureml_datastores.stores._table_columns import TableColumn
from airflow_azureml_datastores.stores._value_texts import hexadecimal, joined, plain_decimals

if TYPE_CHECKING:
    import pyarrow as pa
    import pymysql

_REFUSED = (1148, 3948, 4166)
"""The server, as MySQL's does unless told, or what stands before it takes no such files."""
_PACKET = 1 << 18
"""Bytes; a server may take no more than 4 MiB."""


class LoadData:
    """Loads into a table, one file after the other: the server is at one while the next is made.

    The server answers with the name of a file that it wants; whichever it names, it gets these rows. Elsewhere PyMySQL
    refuses to send any, as ``local_infile`` is off.

    :param table: its name, quoted.
    :param names: of the columns, quoted.
    """

    def __init__(
        self, connection: pymysql.Connection[Any], table: str, columns: Sequence[TableColumn], names: Sequence[str]
    ) -> None:
        import pyarrow as pa

        self._connection: Any = connection
        self._waits = False
        places, sets = [], []
        for number, (column, name) in enumerate(zip(columns, names, strict=True)):
            made = "unhex(@c{})" if pa.types.is_binary(column.type) else None
            if column.declared.lower().startswith("bit"):
                made = "cast(@c{} as unsigned)"  # or a text's bytes would be its bits
            places.append(name if made is None else f"@c{number}")
            if made is not None:
                sets.append(f"{name} = {made.format(number)}")
        self._sql = (
            f"load data local infile 'rows' into table {table} character set utf8mb4 fields terminated by x'09' "
            f"escaped by x'5c' lines terminated by x'0a' ({', '.join(places)})"
            + (f" set {', '.join(sets)}" if sets else "")
        )

    def send(self, rows: pa.RecordBatch) -> bool:
        """Send rows. Returns whether the server takes them. :raises pymysql.Error: it does not take those before."""
        import pymysql
        from pymysql.constants import COMMAND

        content = _content(rows)
        self.finish()
        self._connection._execute_command(COMMAND.COM_QUERY, self._sql)
        try:
            answer = self._connection._read_packet()
        except pymysql.MySQLError as error:
            if error.args[0] in _REFUSED:
                return False
            raise
        if not answer.is_load_local_packet():
            raise pymysql.InternalError(2027, "the server does not ask for the rows that it was to load.")
        for start in range(0, len(content), _PACKET):
            self._connection.write_packet(content[start : start + _PACKET])
        self._connection.write_packet(b"")
        self._waits = True
        return True

    def finish(self) -> None:
        """Wait for what was sent. :raises pymysql.Error: the server does not take it as it is."""
        import pymysql
        from pymysql.connections import OKPacketWrapper

        if not self._waits:
            return
        self._waits = False
        if not (count := OKPacketWrapper(self._connection._read_packet()).warning_count):
            return
        with self._connection.cursor() as cursor:  # of files of clients errors become warnings, and rows are left out
            cursor.execute("show warnings")
            kept = cursor.fetchone() or ("Warning", 1105, f"the server left out or changed rows, with {count} warnings")
        raise pymysql.DataError(*kept[1:])


def _content(rows: pa.RecordBatch) -> bytes:
    import pyarrow.compute as pc

    fields = [pc.fill_null(_escaped(plain_texts(column), column.type), "\\N") for column in rows.columns]
    return (joined(pc.binary_join_element_wise(*fields, "\t"), "\n") + "\n").encode()


def _escaped(texts: pa.Array, type_: pa.DataType) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_string(type_) or not pc.any(pc.match_substring_regex(texts, r"[\\\t\n]")).as_py():
        return texts
    for special, written in (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n")):
        texts = pc.replace_substring(texts, special, written)
    return texts


def plain_texts(array: pa.Array) -> pa.Array:
    """Values as MySQL writes them, without quotes; bytes as hexadecimal digits."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kinds, type_ = pa.types, array.type
    if kinds.is_binary(type_):
        return hexadecimal(array)
    if kinds.is_boolean(type_):
        return pc.cast(pc.cast(array, pa.uint8()), pa.string())
    if kinds.is_decimal(type_):
        return plain_decimals(array)
    if kinds.is_timestamp(type_):
        return pc.cast(pc.cast(array, pa.timestamp("us")), pa.string())
    return pc.cast(array, pa.string())
