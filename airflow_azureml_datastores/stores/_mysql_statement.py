"""A statement prepared on a MySQL server through PyMySQL, which has none of its own: it formats values into texts."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from airflow_azureml_datastores.stores._mysql_rows import row_batches
from airflow_azureml_datastores.stores._mysql_types import Column, encode_values

if TYPE_CHECKING:
    import pyarrow as pa
    import pymysql

_PREPARE, _EXECUTE = 0x16, 0x17


class Statement:
    """A statement, prepared: the server has parsed it and found its tables, and has not run it.

    https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_stmt_prepare.html

    :ivar places: how many values it takes.
    :ivar columns: of the rows that it gives; none if it gives no rows.
    :raises pymysql.Error: the server refuses it.
    """

    def __init__(self, connection: pymysql.Connection[Any], sql: str) -> None:
        self._connection: Any = connection
        self._connection._execute_command(_PREPARE, sql)
        answer = self._connection._read_packet().get_all_data()
        self._id, columns, self.places = struct.unpack_from("<xIHH", answer)
        self._described(self.places)
        self.columns = self._described(columns)

    def _described(self, count: int) -> list[Column]:
        from pymysql.protocol import FieldDescriptorPacket

        found = [self._connection._read_packet(FieldDescriptorPacket) for _ in range(count)]
        if found:
            self._connection._read_packet()  # that there are no more
        return [
            Column(each.name, each.type_code, each.charsetnr, each.length, each.flags, each.scale) for each in found
        ]

    def run(self, values: Sequence[Any]) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        """Run it, with values in its places. The connection is for its rows from now on, and then to be closed.

        :raises pymysql.Error: the server refuses it; also while rows are taken.
        :raises InvalidInput: a value is none of MySQL's.
        """
        import pyarrow as pa

        self._connection._execute_command(_EXECUTE, struct.pack("<IBI", self._id, 0, 1) + encode_values(values))
        answer = self._connection._read_packet()
        columns = self._described(answer.read_length_encoded_integer())
        schema = pa.schema([(column.name, column.arrow) for column in columns])
        return schema, row_batches(self._receive, columns, schema, _check_end)

    def _receive(self, size: int) -> bytes:
        from pymysql.constants import CR
        from pymysql.err import OperationalError

        try:
            found: bytes = self._connection._rfile.read1(size)
        except OSError as error:
            raise OperationalError(CR.CR_SERVER_LOST, f"the connection is lost: {error}") from None
        if not found:
            raise OperationalError(CR.CR_SERVER_LOST, "the server has gone away.")
        return found


def _check_end(packet: bytes) -> None:
    """:raises pymysql.Error: the rows ended with an error."""
    from pymysql.err import raise_mysql_exception

    if packet[0] == 0xFF:
        raise_mysql_exception(packet)
