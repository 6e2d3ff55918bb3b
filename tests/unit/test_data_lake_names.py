"""Which names a hierarchical namespace can hold, and in which order they come."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_azureml_datastores.core.store import ObjectInfo
from airflow_azureml_datastores.errors import UnsafePath
from airflow_azureml_datastores.stores._data_lake_directories import inherited
from airflow_azureml_datastores.stores._data_lake_store import check_file_name, in_order


@pytest.mark.parametrize("name", ["a", "a/b", "a b", ".a", "...a/b.c", "ü", "🚀" * 512, "x" * 1024, "d/" * 60 + "x"])
def test_file_name(name: str) -> None:
    check_file_name(name)


@pytest.mark.parametrize("name", ["a//b", "/a", "a/", "a.", "a\\b", "x" * 1025, "d/" * 61 + "x", "", "a\tb"])
def test_file_name_that_would_bend(name: str) -> None:
    with pytest.raises(UnsafePath):
        check_file_name(name)


names = st.text("ab-/.0", min_size=1, max_size=6).filter(lambda path: "" not in path.split("/"))


@given(st.sets(names), st.sampled_from(["", "x/", "x/y/"]))
def test_order_of_paths(paths: set[str], start: str) -> None:
    """Whatever comes folder by folder comes out in the order of paths."""
    by_folder = sorted((start + path for path in paths), key=lambda path: path.split("/"))
    infos = [ObjectInfo(path, 0, "e", datetime.now(UTC)) for path in by_folder]
    assert [info.path for info in in_order(infos, len(start))] == sorted(by_folder)


def test_order_holds_no_more_than_a_folder() -> None:
    given_out: list[str] = []

    def coming() -> Iterator[ObjectInfo]:
        for folder in "abc":
            for number in range(3):
                given_out.append(f"{folder}/{number}")
                yield ObjectInfo(given_out[-1], 0, "e", datetime.now(UTC))

    found = in_order(coming(), 0)
    assert next(iter(found)).path == "a/0"
    assert given_out == ["a/0", "a/1", "a/2", "b/0"]


def test_rights_that_a_new_folder_gets() -> None:
    assert inherited(frozenset({"user::rwx", "group::rwx", "other::rwx"})) == {
        "user::rwx",
        "group::r-x",
        "other::---",
    }
    acl = frozenset({"user::r--", "default:user::rwx", "default:user:me:r-x", "default:other::---"})
    assert inherited(acl) == {
        "user::rwx",
        "user:me:r-x",
        "other::---",
        "default:user::rwx",
        "default:user:me:r-x",
        "default:other::---",
    }
