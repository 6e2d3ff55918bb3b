"""Copies that the store makes itself, and folders that appear in one step. Skipped where a store cannot."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from airflow_azureml_datastores.core.store import FileStore
from airflow_azureml_datastores.errors import Changed, PathExists, PathNotFound
from tests.contract.helpers import MIB, at_once, attempt, fill, get, holds, paths, put
from tests.contract.rig import Rig


def test_claims_agree(store: FileStore) -> None:
    assert store.can_copy_from(store) == store.features.server_side_copy


class TestCopy:
    @pytest.fixture(params=["within", "between"])
    def source(self, request: pytest.FixtureRequest, rig: Rig, store: FileStore) -> Iterator[FileStore]:
        if request.param == "within":
            if not store.can_copy_from(store):
                pytest.skip("the store does not copy by itself")
            yield store
            return
        with rig.new_store() as other:
            if not store.can_copy_from(other):
                pytest.skip("the store does not copy from another")
            yield other

    @pytest.mark.parametrize("size", [0, 1000, 20 * MIB])
    def test_content(self, store: FileStore, source: FileStore, size: int) -> None:
        content = random.Random(size).randbytes(size)
        put(source, "from/a", content)
        etag = store.copy_from(source, "from/a", "to/b")
        assert store.stat("to/b").etag == etag
        assert store.stat("to/b").size == size
        assert hashlib.sha256(get(store, "to/b")).digest() == hashlib.sha256(content).digest()
        assert get(source, "from/a") == content

    @pytest.mark.parametrize("name", ["two words", "a%20b", "a#b", "a?b", "ü/文", "a+b&c"])
    def test_names(self, store: FileStore, source: FileStore, name: str) -> None:
        if not holds(store, name):
            pytest.skip("the store cannot hold this name")
        put(source, name, b"content")
        store.copy_from(source, name, f"to/{name}")
        assert get(store, f"to/{name}") == b"content"

    def test_replaces(self, store: FileStore, source: FileStore) -> None:
        put(source, "a", b"new")
        old = put(store, "b", b"a longer old one")
        assert store.copy_from(source, "a", "b") != old
        assert get(store, "b") == b"new"

    def test_if_match(self, store: FileStore, source: FileStore) -> None:
        etag = put(source, "a", b"content")
        store.copy_from(source, "a", "b", if_match=etag)
        assert get(store, "b") == b"content"

    def test_if_match_of_another_version(self, store: FileStore, source: FileStore) -> None:
        old = put(source, "a", b"old")
        put(source, "a", b"new")
        with pytest.raises(Changed):
            store.copy_from(source, "a", "b", if_match=old)
        assert "b" not in paths(store)

    def test_create(self, store: FileStore, source: FileStore) -> None:
        put(source, "a", b"content")
        store.copy_from(source, "a", "b", create=True)
        put(source, "a", b"other")
        with pytest.raises(PathExists):
            store.copy_from(source, "a", "b", create=True)
        assert get(store, "b") == b"content"

    def test_missing(self, store: FileStore, source: FileStore) -> None:
        put(source, "folder/file")
        for path in ("missing", "folder"):
            with pytest.raises(PathNotFound):
                store.copy_from(source, path, "b")
        assert "b" not in paths(store)

    def test_copy_is_a_copy(self, store: FileStore, source: FileStore) -> None:
        """What becomes of one is nothing to the other."""
        put(source, "a", b"first")
        etag = store.copy_from(source, "a", "b")
        put(source, "a", b"second")
        assert get(store, "b", if_match=etag) == b"first"
        source.delete("a")
        assert get(store, "b") == b"first"


class TestReplaceDirectory:
    @pytest.fixture(autouse=True)
    def _can(self, store: FileStore) -> None:
        if not store.features.replace_directory:
            pytest.skip("the store cannot replace a folder in one step")

    def test_target_that_is_missing(self, store: FileStore) -> None:
        fill(store, ["staged/a", "staged/sub/b"])
        store.replace_directory("staged", "some/where/target")
        assert paths(store) == ["some/where/target/a", "some/where/target/sub/b"]

    def test_previous_content_is_gone(self, store: FileStore) -> None:
        fill(store, ["target/a", "target/old/b", "target-beside", "staged/a", "staged/new/c"], b"old")
        put(store, "staged/a", b"new")
        store.replace_directory("staged", "target")
        assert paths(store) == ["target-beside", "target/a", "target/new/c"]
        assert get(store, "target/a") == b"new"

    def test_versions_stay_the_same(self, store: FileStore) -> None:
        """A manifest written into the staged folder is still right afterwards."""
        etags = {name: put(store, f"staged/{name}", name.encode()) for name in ("a", "sub/b")}
        fill(store, ["target/a", "target/sub/b"])
        store.replace_directory("staged", "target")
        assert {info.path: info.etag for info in store.list("target/")} == {f"target/{n}": e for n, e in etags.items()}

    def test_neighbours_of_the_staged_folder_stay(self, store: FileStore) -> None:
        fill(store, ["staging/one/a", "staging/two/b"])
        store.replace_directory("staging/one", "target")
        assert paths(store) == ["staging/two/b", "target/a"]

    def test_missing_staged_folder(self, store: FileStore) -> None:
        fill(store, ["target/a"])
        with pytest.raises(PathNotFound):
            store.replace_directory("staged", "target")
        assert paths(store) == ["target/a"]

    def test_readers_see_the_old_or_the_new(self, store: FileStore) -> None:
        generations = [[f"target/{g}{n}" for n in range(8)] + [f"target/sub{g}/{n}" for n in range(8)] for g in "ab"]

        def replace_often() -> None:
            for number in range(30):
                staged = f"staging/{number}"
                names = generations[number % 2]
                fill(store, [name.replace("target", staged) for name in names])
                store.replace_directory(staged, "target")

        fill(store, generations[1])
        seen: set[str] = set()
        with ThreadPoolExecutor(1) as pool:
            replacing = pool.submit(replace_often)
            while not replacing.done():
                found = paths(store, "target/")
                assert found in generations
                seen.add(found[0])
            replacing.result()
        assert len(seen) == 2


class TestDirectories:
    @pytest.fixture(autouse=True)
    def _can(self, store: FileStore) -> None:
        if not store.features.directories:
            pytest.skip("the store has no folders of their own")

    def test_rename(self, store: FileStore) -> None:
        etags = {name: put(store, f"old/{name}", name.encode()) for name in ("a", "sub/b", "sub/deep/ü")}
        fill(store, ["old-beside", "oldest/a"])
        store.rename_directory("old", "some/where/new")
        assert {info.path: info.etag for info in store.list("some/")} == {
            f"some/where/new/{name}": etag for name, etag in etags.items()
        }
        assert paths(store, "old") == ["old-beside", "oldest/a"]
        assert get(store, "some/where/new/sub/b") == b"sub/b"

    def test_old_name_is_free(self, store: FileStore) -> None:
        fill(store, ["a/x"])
        store.rename_directory("a", "b")
        put(store, "a/y")
        assert paths(store) == ["a/y", "b/x"]

    def test_nothing_is_replaced(self, store: FileStore) -> None:
        fill(store, ["source/a", "folder/b", "file", "emptied/x"])
        store.delete("emptied/x")
        for target in ("folder", "file", "emptied"):
            with pytest.raises(PathExists, match=target):
                store.rename_directory("source", target)
        assert paths(store) == ["file", "folder/b", "source/a"]

    def test_of_nothing(self, store: FileStore) -> None:
        fill(store, ["file"])
        for source in ("missing", "file"):
            with pytest.raises(PathNotFound, match=source):
                store.rename_directory(source, "target")
        assert paths(store) == ["file"]

    def test_one_of_many_wins(self, store: FileStore) -> None:
        fill(store, [f"source{n}/{n}" for n in range(6)])
        outcomes = at_once([attempt(partial(store.rename_directory, f"source{n}", "target")) for n in range(6)])
        (winner,) = (n for n, outcome in enumerate(outcomes) if outcome is None)
        assert {type(outcome) for outcome in outcomes if outcome is not None} == {PathExists}
        assert paths(store, "target") == [f"target/{winner}"]
        assert len(paths(store)) == 6

    def test_delete(self, store: FileStore) -> None:
        fill(store, ["a/x", "a/sub/y", "a/sub/deep/z", "a-beside", "ab/c"])
        store.delete_directory("a")
        assert paths(store) == ["a-beside", "ab/c"]
        store.delete_directory("a")
        store.delete_directory("never/was")
        put(store, "a", b"a file now")
        assert paths(store) == ["a", "a-beside", "ab/c"]

    def test_make_is_for_files_and_later(self, store: FileStore) -> None:
        fill(store, ["model/x"])
        assert store.make_directory_like("staged/here", "model")
        assert store.make_directory_like("staged/here", "model")
        assert store.make_directory_like("staged/for/what/is/not/there", "not/there/yet")
        put(store, "staged/here/a/b")
        assert paths(store, "staged/") == ["staged/here/a/b"]
        store.rename_directory("staged/here", "published")
        assert paths(store) == ["model/x", "published/a/b"]
