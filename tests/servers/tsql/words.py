"""A batch as words, one after the other; names and types among them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.servers.tsql.errors import SqlError, syntax
from tests.servers.tsql.lexer import RESERVED, Token, ident, tokens
from tests.servers.tsql.params import Parameter
from tests.servers.tsql.types import MAX, SqlType

_SYNONYMS = {
    "INTEGER": "int", "DEC": "decimal", "SYSNAME": "nvarchar", "CHARACTER": "char", "ROWVERSION": "", "TIMESTAMP": "",
}  # fmt: skip
_PLAIN = {
    "bit", "tinyint", "smallint", "int", "bigint", "real", "date", "datetime", "smalldatetime", "money", "smallmoney",
    "uniqueidentifier",
}  # fmt: skip
SIZED = {"nvarchar", "nchar", "varchar", "char", "varbinary", "binary"}
LEGACY = ("ntext", "text", "image")  # what drivers declare long parameters as


@dataclass
class Context:
    """What a batch is read with.

    :param variables: by their names in lower case: parameters and DECLAREd ones.
    :param values: of the session, which @@TRANCOUNT and the like stand for.
    :param bare: leave parameters without a type, for PostgreSQL to find it.
    """

    variables: dict[str, Parameter] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)
    bare: bool = False


class Words:
    """The tokens of a batch, and where it stands in them."""

    def __init__(self, sql: str, context: Context) -> None:
        self.tokens, self.at, self.context = tokens(sql), 0, context
        self.used: list[str] = []
        self.names: dict[str, str] = {}

    @property
    def here(self) -> Token:
        return self.tokens[self.at]

    def ahead(self, count: int = 1) -> Token:
        return self.tokens[min(self.at + count, len(self.tokens) - 1)]

    def next(self) -> Token:
        token = self.here
        if token.kind != "end":
            self.at += 1
        return token

    def is_(self, *words: str) -> bool:
        return all(self.ahead(at).upper == word for at, word in enumerate(words))

    def accept(self, *words: str) -> bool:
        if found := self.is_(*words):
            self.at += len(words)
        return found

    def expect(self, *words: str) -> None:
        for word in words:
            if not self.accept(word):
                raise self.error()

    def error(self) -> SqlError:
        token = self.here
        if token.kind == "end" and self.at:
            return syntax(self.tokens[self.at - 1].text)
        return syntax(token.text, token.kind == "word" and token.upper in RESERVED)

    def name(self) -> str:
        """A name, as it is spelled."""
        token = self.here
        if token.kind == "name" or (token.kind == "word" and token.upper not in RESERVED):
            self.at += 1
            if not token.text or len(token.text) > 128:
                raise SqlError(103, f"The identifier that starts with '{token.text[:128]}' is too long.", level=15)
            self.names.setdefault(ident(token.text)[1:-1], token.text)
            return token.text
        raise self.error()

    def listed(self, read: Callable[[], str]) -> list[str]:
        """``(a, b, …)``"""
        self.expect("(")
        found = [read()]
        while self.accept(","):
            found.append(read())
        self.expect(")")
        return found

    # Types

    def type(self) -> SqlType:
        word = self.next()
        if word.kind not in ("word", "name"):
            self.at -= 1
            raise self.error()
        name = _SYNONYMS.get(word.text.upper(), word.text.lower())
        if word.text.upper() == "SYSNAME":
            return SqlType("nvarchar", 128)
        if name in ("char", "varchar") and self.accept("VARYING"):
            name = "varchar"
        if name in _PLAIN:
            return SqlType(name)
        sizes: list[int] = []
        if self.accept("("):
            while not self.accept(")"):
                token = self.next()
                if token.upper == "MAX":
                    sizes.append(MAX)
                elif token.kind == "number" and token.text.isdigit():
                    sizes.append(int(token.text))
                else:
                    self.at -= 1
                    raise self.error()
                self.accept(",")
        return self._sized(name, sizes)

    def _sized(self, name: str, sizes: list[int]) -> SqlType:
        if name in SIZED:
            size = sizes[0] if sizes else 1
            if size > (4000 if name[0] == "n" else 8000) or size == 0:
                raise SqlError(2717, f"The size ({size}) given to the type '{name}' exceeds the maximum allowed.")
            return SqlType(name, size)
        if name in LEGACY:
            return SqlType(name, MAX)
        if name in ("decimal", "numeric"):
            precision, scale = (sizes[0] if sizes else 18), (sizes[1] if len(sizes) > 1 else 0)
            if not 1 <= precision <= 38 or scale > precision:
                raise SqlError(2750, f"Specified column precision {precision} is greater than the maximum of 38.")
            return SqlType(name, precision=precision, scale=scale)
        if name == "float":
            return SqlType("real" if sizes and sizes[0] <= 24 else "float")
        if name in ("time", "datetime2", "datetimeoffset"):
            scale = sizes[0] if sizes else 7
            if scale > 7:
                raise SqlError(1002, f"Specified scale {scale} is invalid.", level=15)
            return SqlType(name, scale=scale)
        raise SqlError(243, f"Type {name} is not a defined system type.")
