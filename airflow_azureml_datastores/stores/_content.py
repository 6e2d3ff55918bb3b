"""The content of a write on its way into requests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from airflow_azureml_datastores.core.paths import show
from airflow_azureml_datastores.errors import InvalidInput


def regrouped(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """The same bytes in parts of just this size (the last one may be smaller, none is empty)."""
    pending: list[bytes | memoryview] = []
    have = 0
    for chunk in chunks:
        if not pending and len(chunk) == size:
            yield bytes(chunk)
            continue
        rest = memoryview(chunk)
        while have + len(rest) >= size:
            taken = size - have
            yield b"".join([*pending, rest[:taken]])
            pending, have, rest = [], 0, rest[taken:]
        if rest:
            pending.append(rest)
            have += len(rest)
    if pending:
        yield b"".join(pending)


def counted(chunks: Iterable[bytes], size: int | None, path: str) -> Iterator[bytes]:
    """:raises InvalidInput: in all there were not the bytes that were announced."""
    came = 0
    for chunk in chunks:
        came += len(chunk)
        if size is not None and came > size:
            break
        yield chunk
    if size is not None and came != size:
        raise InvalidInput(f"{show(path)} was to have {size} bytes but {came} came; nothing was written.")
