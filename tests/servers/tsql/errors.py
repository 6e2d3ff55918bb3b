"""The errors of SQL Server that the stand-in gives, by number."""

from __future__ import annotations


class SqlError(Exception):
    """An error as a client sees it.

    :param number: SQL Server's number; ``REFUSED`` for what the stand-in itself cannot do.
    :param level: the class: 11 to 16 are the statement's fault, 20 and above end the connection.
    """

    def __init__(self, number: int, message: str, *, state: int = 1, level: int = 16) -> None:
        super().__init__(message)
        self.number, self.message, self.state, self.level = number, message, state, level


REFUSED = 49999  # no number of SQL Server's: nothing is to take it for one

# After these the batch goes on with the next statement, unless XACT_ABORT is on.
GOES_ON = frozenset({515, 547, 1222, 2601, 2627, 2628, 8115, 8134, 3902, 3903})
# These roll the transaction back, whatever XACT_ABORT says.
ROLLS_BACK = frozenset({241, 245, 1205, 3960, 8114, 40501})


def refused(what: str) -> SqlError:
    """It is not known here, so it is not answered."""
    return SqlError(REFUSED, f"The stand-in of SQL Server does not know {what}.")


def syntax(near: str, keyword: bool = False) -> SqlError:
    if keyword:
        return SqlError(156, f"Incorrect syntax near the keyword '{near}'.", level=15)
    return SqlError(102, f"Incorrect syntax near '{near}'.", level=15)
