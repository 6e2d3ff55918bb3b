"""Which rows of a table each batch of a consumer has taken. Pure: it neither queries nor stores.

A batch is a range of watermarks, and batches follow one another: the next one begins where the last one ended. What
comes late, into a range that was taken already, is known by the fingerprints of the rows that were there.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from airflow_azureml_datastores.core.watermark import Kind, Mark, known_kind, mark_to_json, parse_mark
from airflow_azureml_datastores.errors import InvalidInput

_VERSION = 1
_WIDTH = 8


def row_fingerprint(values: Sequence[Any]) -> bytes:
    """Eight bytes that stand for one version of one row: its keys and its watermark."""
    text = json.dumps(list(values), default=str)
    return hashlib.blake2b(text.encode(), digest_size=_WIDTH).digest()


@dataclass(frozen=True)
class RowBatch:
    """What one batch has taken: the rows above ``low`` up to ``high``, and late ones.

    :param low: None is from the very first row on.
    :param high: None if there was nothing yet, and nothing taken.
    :param since: late rows are above this, and not above ``low``; the same as ``low`` if none were looked for.
    :param late: fingerprints of the late rows.
    :param rows: how many it took in all.
    """

    low: Mark | None
    high: Mark | None
    since: Mark | None
    late: Set[bytes] = frozenset()
    rows: int = 0


@dataclass(frozen=True)
class RowCursor:
    """What the batches of one consumer have taken.

    :param of: the column and whose it is, for people.
    :param kind: of the watermark.
    :param keys: the columns that tell rows apart; none if late rows were never asked for.
    :param batches: by name, in the order in which they were taken.
    :param seen: fingerprints of the rows above ``since`` and not above the frontier that were taken by any batch.
    """

    of: str = ""
    kind: Kind | None = None
    keys: tuple[str, ...] = ()
    batches: Mapping[str, RowBatch] = field(default_factory=dict)
    since: Mark | None = None
    seen: Set[bytes] = frozenset()

    @property
    def frontier(self) -> Mark | None:
        """The greatest watermark up to which rows were taken; None if none were."""
        return next((batch.high for batch in reversed(list(self.batches.values())) if batch.high is not None), None)

    def check_use(self, consumer: str, of: str, keys: Sequence[str]) -> None:
        """Refuse to go on with something else than what was counted so far.

        :raises InvalidInput: the column, its table or the keys are others.
        """
        if not self.batches:
            return
        if self.of != of:
            raise InvalidInput(
                f"the cursor of consumer {consumer!r} is that of {self.of}, not of {of}: name another consumer."
            )
        if self.keys and self.keys != tuple(keys):
            raise InvalidInput(
                f"the cursor of consumer {consumer!r} knows rows by the keys {', '.join(self.keys)}, not by "
                f"{', '.join(keys) or 'none'}: give these, or name another consumer."
            )

    def late_of_others(self, name: str) -> Set[bytes]:
        """What batches other than this one have taken as late rows."""
        return frozenset().union(*(batch.late for other, batch in self.batches.items() if other != name))

    def take(
        self,
        name: str,
        batch: RowBatch,
        *,
        of: str,
        kind: Kind | None,
        keys: Sequence[str],
        since: Mark | None,
        seen: Iterable[bytes],
    ) -> RowCursor:
        """The cursor after a batch that was not taken yet, which begins at this one's frontier.

        :param since: from where on ``seen`` has all rows up to the batch's ``high``.
        """
        if name in self.batches:
            raise ValueError(f"batch {name!r} was taken already")
        if batch.high is None:
            since, seen = self.since, self.seen
        batches = {**self.batches, name: batch}
        return RowCursor(of, kind or self.kind, tuple(keys) or self.keys, batches, since, frozenset(seen))

    def to_json(self) -> bytes:
        """The cursor as UTF-8 JSON: about 150 bytes a batch, and 11 a row that is seen or late."""
        batches = [
            {
                "batch": name,
                "low": mark_to_json(batch.low),
                "high": mark_to_json(batch.high),
                "since": mark_to_json(batch.since),
                "late": _packed(batch.late),
                "rows": batch.rows,
            }
            for name, batch in self.batches.items()
        ]
        document = {
            "version": _VERSION,
            "of": self.of,
            "type": self.kind,
            "keys": list(self.keys),
            "since": mark_to_json(self.since),
            "seen": _packed(self.seen),
            "batches": batches,
        }
        return json.dumps(document, indent=0, ensure_ascii=False).encode()

    @classmethod
    def from_json(cls, data: bytes, where: str) -> RowCursor:
        """Parse what :meth:`to_json` wrote. :raises InvalidInput: it is no cursor, or of a newer version."""
        try:
            document = json.loads(data)
            if document["version"] != _VERSION:
                raise InvalidInput(f"{where} is a cursor of version {document['version']}, not {_VERSION}.")
            kind = None if document["type"] is None else known_kind(document["type"])

            def mark(value: Any) -> Mark | None:
                return None if value is None or kind is None else parse_mark(kind, value, "a watermark of it")

            batches = {
                found["batch"]: RowBatch(
                    mark(found["low"]),
                    mark(found["high"]),
                    mark(found["since"]),
                    _unpacked(found["late"]),
                    found["rows"],
                )
                for found in document["batches"]
            }
            return cls(
                document["of"],
                kind,
                tuple(document["keys"]),
                batches,
                mark(document["since"]),
                _unpacked(document["seen"]),
            )
        except InvalidInput:
            raise
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidInput(f"{where} is not a cursor of rows: {error}") from error


def _packed(prints: Iterable[bytes]) -> str:
    return base64.b64encode(b"".join(sorted(prints))).decode()


def _unpacked(text: str) -> frozenset[bytes]:
    packed = base64.b64decode(text, validate=True)
    if len(packed) % _WIDTH:
        raise ValueError("fingerprints are cut off")
    return frozenset(packed[i : i + _WIDTH] for i in range(0, len(packed), _WIDTH))
