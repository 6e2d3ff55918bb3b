"""What has to be moved, and what is there already. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from airflow_azureml_datastores.core.manifest import Entry
from airflow_azureml_datastores.core.store import Version
from airflow_azureml_datastores.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Move:
    """One file to deliver.

    :param source: the version to take.
    :param path: where it goes, relative to the target folder.
    :param replaces: an earlier attempt delivered what is there: it may be replaced in any case.
    """

    source: Version
    path: str
    replaces: bool = False


@dataclass(frozen=True)
class Plan:
    """:param moves: largest first, so that no big file is left for the end.
    :param unchanged: entries that are delivered already, in the very version that is wanted.
    :param strays: what else is there.
    """

    moves: list[Move]
    unchanged: list[Entry]
    strays: list[str]


def make_plan(wanted: Mapping[str, Version], known: Mapping[str, Entry], there: Mapping[str, Version]) -> Plan:
    """Compare what is wanted with what earlier attempts delivered and what is really there.

    :param wanted: path relative to the target -> version of the source.
    :param known: path -> entry, from a journal or manifest: claims, not proof.
    :param there: path -> object in the target folder, as listed.
    """
    moves, unchanged = [], []
    for path, version in wanted.items():
        entry, present = known.get(path), there.get(path)
        ours = entry is not None and entry.is_at(present)
        if entry is not None and ours and entry.taken == version:
            unchanged.append(entry)
        else:
            moves.append(Move(version, path, replaces=ours))
    moves.sort(key=lambda move: -move.source.size)
    return Plan(moves, unchanged, [path for path in there if path not in wanted])


def check_targets(paths: Iterable[str], *, case_sensitive: bool, any_name: bool) -> None:
    """Refuse target names that cannot stand side by side.

    :raises InvalidInput: two names are the same to the target, or one is a file where another needs a folder.
    """
    if case_sensitive and any_name:
        return
    seen: dict[str, str] = {}
    for path in paths:
        key = path if case_sensitive else path.casefold()
        if (other := seen.setdefault(key, path)) != path:
            raise InvalidInput(f"{other!r} and {path!r} are the same name to the target, which ignores case.")
    if any_name:
        return
    for key, path in seen.items():
        at = key.find("/")
        while at >= 0:
            if (blocker := seen.get(key[:at])) is not None:
                raise InvalidInput(f"{blocker!r} is a file, but {path!r} needs a folder of that name in the target.")
            at = key.find("/", at + 1)
