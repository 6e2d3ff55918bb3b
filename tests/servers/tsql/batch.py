"""A batch: its statements one after the other, as they are run."""

from __future__ import annotations

from tests.servers.tsql.control import Control
from tests.servers.tsql.ddl import Ddl
from tests.servers.tsql.errors import refused
from tests.servers.tsql.rows import Rows
from tests.servers.tsql.statements import STARTS, Statement


class Batch(Rows, Ddl, Control):
    """Statements are read when their turn comes, with the tables as they are then."""

    @property
    def over(self) -> bool:
        while self.accept(";"):
            pass
        return self.here.kind == "end"

    def test(self) -> Statement:
        """The condition of an IF, as a query for 1 or 0."""
        self._fresh()
        return self._made("test", [f"SELECT CASE WHEN {self.condition()} THEN 1 ELSE 0 END"])

    def statement(self, live: bool) -> Statement:
        """The next statement. It is only looked at for its syntax if it is not to be run (``live``)."""
        self.live = live
        self._fresh()
        word = self.here.upper
        if word in ("SELECT", "(", "WITH"):
            query = self.query(top=True)
            if query.into:
                return self._select_into(query)
            return self._made("SELECT", [query.sql], query=query)
        readers = {
            "INSERT": self._insert, "UPDATE": self._update, "DELETE": self._delete, "TRUNCATE": self._truncate,
            "CREATE": self._create, "DROP": self._drop, "ALTER": self._alter, "SET": self._set,
            "BEGIN": self._begin, "COMMIT": self._end, "ROLLBACK": self._end, "DECLARE": self._declare,
            "EXEC": self._execute, "EXECUTE": self._execute, "SAVE": self._save, "THROW": self._throw, "USE": self._use,
        }  # fmt: skip
        if word not in readers and self.at == 0 and self.here.kind == "word" and word not in STARTS:
            word = "EXEC"  # the first statement may be a procedure's name alone
            self.at -= 1
        if word not in readers:
            if word in STARTS and word not in ("END", "ELSE"):
                raise refused(word)
            raise self.error()
        self.at += 1
        return readers[word]()
