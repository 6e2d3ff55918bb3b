"""Publishing: what ends up where, on every kind of store and with each policy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from airflow_azureml_datastores.core.manifest import STAGING, Manifest
from airflow_azureml_datastores.core.place import Place
from airflow_azureml_datastores.core.store import Features, FileStore
from airflow_azureml_datastores.core.uri import DatastoreUri
from airflow_azureml_datastores.errors import (
    InvalidInput,
    NoData,
    PathExists,
    PublishInProgress,
    TransferIncomplete,
    Unavailable,
    UnsafePath,
)
from airflow_azureml_datastores.transfer.publish import POLICIES, Policy
from airflow_azureml_datastores.transfer.source import Source, find_source
from tests.unit.transfer.publishing import MANIFEST, SUCCESS, Rig, made
from tests.unit.transfer.stores import SWAPPING, MemoryStore, Moved, contents, fill, opener


class TestPolicies:
    @pytest.mark.parametrize("policy", POLICIES)
    def test_where_nothing_is(self, rig: Rig, policy: Policy) -> None:
        files = {"a": b"1", "ü/文 %20#?.csv": b"x" * 5000, "empty": b"", "sub/.staging/b": b"2"}
        manifest = rig.publish(files, policy, origin={"run": "r1"})
        assert rig.data() == rig.found() == files
        assert rig.manifest() == manifest
        assert [e.path for e in manifest.entries] == sorted(files)
        assert {e.path: e.etag for e in manifest.entries} == {p: rig.store.stat(rig.folder + p).etag for p in files}
        assert manifest.origin["run"] == "r1"
        assert (manifest.source, manifest.target) == (
            "azureml://datastores/s/paths/out/",
            f"azureml://datastores/t/paths/{rig.folder}",
        )
        assert rig.backstage() == []

    def test_fail_where_there_is_data(self, rig: Rig) -> None:
        fill(rig.store, {"old": b"1", "sub/older": b"2"}, rig.folder)
        with pytest.raises(PathExists, match=r"holds data already \('old', 2 files in all\); choose policy"):
            rig.publish({"a": b"1"})
        assert contents(rig.store, rig.folder) == {"old": b"1", "sub/older": b"2"}
        assert rig.backstage() == []

    def test_overwrite_removes_all_that_was_there(self, rig: Rig) -> None:
        fill(rig.store, {"old": b"1", "sub/older": b"2", "sub/_SUCCESS": b"", "a": b"0"}, rig.folder)
        manifest = rig.publish({"a": b"1"}, "overwrite")
        assert rig.data() == {"a": b"1"}
        assert [e.path for e in manifest.entries] == ["a"]

    def test_merge_keeps_and_lists_the_others(self, rig: Rig) -> None:
        rig.publish({"a": b"0", "b": b"0"}, publisher="other")
        fill(rig.store, {"foreign/c": b"f", "foreign/_SUCCESS": b"", "foreign/_manifest.json": b"{}"}, rig.folder)
        manifest = rig.publish({"a": b"1", "d": b"1"}, "merge")
        data = {"a": b"1", "b": b"0", "d": b"1", "foreign/c": b"f"}
        assert rig.found() == data
        assert rig.data() == {**data, "foreign/_SUCCESS": b"", "foreign/_manifest.json": b"{}"}
        assert {e.path: e.etag for e in manifest.entries} == {p: rig.store.stat(rig.folder + p).etag for p in data}
        assert rig.manifest() == manifest
        assert rig.backstage() == []

    def test_a_folder_that_is_named_like_ours(self) -> None:
        rig = Rig(MemoryStore(), "gold/")
        source = made({".staging/a": b"1"})
        first = rig.publish(source)
        assert rig.found() == {".staging/a": b"1"}
        assert rig.publish(source) == first

    def test_file_and_folder_change_places(self, rig: Rig) -> None:
        rig.publish({"a": b"1", "b/c": b"2"})
        rig.publish({"a/b": b"3", "b": b"4"}, "overwrite")
        assert rig.data() == {"a/b": b"3", "b": b"4"}

    def test_merge_cannot_have_both(self, local: Callable[[str], FileStore]) -> None:
        rig = Rig(local("t"), "gold/")
        rig.publish({"a": b"1"})
        before = contents(rig.store)
        with pytest.raises(InvalidInput, match="'a' is a file, but 'a/b' needs a folder"):
            rig.publish({"a/b": b"2"}, "merge")
        assert contents(rig.store) == before
        assert rig.backstage() == []

    def test_unknown(self, rig: Rig) -> None:
        with pytest.raises(InvalidInput, match="'append' is unknown; choose one of fail, overwrite, merge"):
            rig.publish({"a": b"1"}, "append")  # type: ignore[arg-type]


class TestAgain:
    @pytest.mark.parametrize("policy", POLICIES)
    def test_the_same_changes_nothing(self, rig: Rig, policy: Policy) -> None:
        if policy == "merge":
            fill(rig.store, {"foreign": b"f"}, rig.folder)
        source = made({"a": b"1", "b": b"2"})
        first = rig.publish(source, policy)
        before = contents(rig.store)
        moved, said = Moved(), list[str]()
        assert rig.watched(moved).publish(source, policy, say=said.append) == first
        assert moved.paths == []
        assert contents(rig.store) == before
        assert said == [f"[publish] m  is published already at azureml://datastores/t/paths/{rig.folder}."]

    def test_another_content_with_policy_fail(self, rig: Rig) -> None:
        rig.publish({"a": b"1"})
        before = contents(rig.store)
        with pytest.raises(PathExists):
            rig.publish({"a": b"2"})
        assert contents(rig.store) == before

    def test_after_somebody_has_meddled(self, rig: Rig) -> None:
        source = made({"a": b"1"})
        rig.publish(source, "overwrite")
        fill(rig.store, {"a": b"meddled", "b": b"meddled"}, rig.folder)
        rig.publish(source, "overwrite")
        assert rig.data() == {"a": b"1"}

    def test_after_somebody_elses_publish(self, rig: Rig) -> None:
        source = made({"a": b"1"})
        rig.publish(source, "overwrite")
        rig.publish({"a": b"2"}, "overwrite", publisher="other")
        with pytest.raises(PathExists):
            rig.publish(source)
        assert rig.data() == {"a": b"2"}


class TestSingleFile:
    def record(self, rig: Rig) -> Place:
        return Place("t", rig.store, "record/")

    def one(self, content: bytes = b"model") -> Source:
        return replace(made({"model.bin": content}), single=True)

    def test_into_a_folder(self, rig: Rig) -> None:
        rig.publish(self.one())
        assert rig.data() == {"model.bin": b"model"}
        assert rig.manifest().files == 1

    def test_under_a_name(self, rig: Rig) -> None:
        rig = replace(rig, folder="gold/best.bin")
        source = self.one()
        first = rig.publish(source, record=self.record(rig))
        assert contents(rig.store, "gold/") == {"best.bin": b"model"}
        assert rig.publish(source, record=self.record(rig)) == first
        with pytest.raises(PathExists):
            rig.publish(self.one(b"other"), record=Place("t", rig.store, "record of another/"))
        rig.publish(self.one(b"other"), "overwrite", record=self.record(rig))
        assert contents(rig.store, "gold/") == {"best.bin": b"other"}

    def test_a_folder_of_one_file_is_a_folder(self, rig: Rig) -> None:
        rig = replace(rig, folder="gold")
        rig.publish({"model.bin": b"model"})
        assert contents(rig.store, "gold/")["model.bin"] == b"model"
        assert SUCCESS in contents(rig.store, "gold/")


class TestRefusals:
    def test_nothing_to_publish(self, rig: Rig) -> None:
        with pytest.raises(NoData, match=r"nothing to publish at azureml://datastores/s/paths/out/"):
            rig.publish({})

    @pytest.mark.parametrize("policy", POLICIES)
    @pytest.mark.parametrize(
        ("source", "target"), [("out/", "out/"), ("out/", "out/sub/"), ("gold/out/", "gold/"), ("out/", "")]
    )
    def test_source_and_target_overlap(self, policy: Policy, source: str, target: str) -> None:
        store = MemoryStore()
        fill(store, {"a": b"1"}, source)
        rig = Rig(store, target)
        with pytest.raises(InvalidInput, match="or the other way round"):
            rig.publish(find_source(opener(t=store), DatastoreUri("t", source)), policy)
        assert contents(store) == {f"{source}a": b"1"}

    @pytest.mark.parametrize("name", [SUCCESS, MANIFEST])
    def test_names_of_records(self, rig: Rig, name: str) -> None:
        store = MemoryStore()
        fill(store, {name: b"1"})
        with pytest.raises(InvalidInput, match="the name is kept for records"):
            rig.publish(find_source(opener(s=store), DatastoreUri("s", name)))

    def test_backstage(self, rig: Rig) -> None:
        with pytest.raises(InvalidInput, match="the name is kept for records"):
            replace(rig, folder=".staging/x/").publish({"a": b"1"})

    def test_a_name_that_the_target_cannot_hold(self, local: Callable[[str], FileStore]) -> None:
        rig = Rig(local("t"), "gold/")
        with pytest.raises(UnsafePath, match="a//b"):
            rig.publish({"a//b": b"1", "fine": b"2"})
        assert contents(rig.store) == {}

    def test_names_that_differ_in_case(self) -> None:
        rig = Rig(MemoryStore(Features(replace_directory=True, case_sensitive=False)), "gold/")
        with pytest.raises(InvalidInput, match="ignores case"):
            rig.publish({"a": b"1", "A": b"2"})

    @pytest.mark.parametrize("folder", ["file/", "file/sub/"])
    def test_target_is_a_file(self, folder: str, local: Callable[[str], FileStore]) -> None:
        rig = Rig(local("t"), folder)
        fill(rig.store, {"file": b""})
        with pytest.raises(InvalidInput, match="'file' is a file there"):
            rig.publish({"a": b"1"})
        assert contents(rig.store) == {"file": b""}


class TestOthers:
    """Two who publish to the same folder, to one in it or to one around it."""

    @pytest.mark.parametrize("other", ["gold/", "gold/sub/", ""])
    def test_while_one_is_committing(self, other: str, local: Callable[[str], FileStore]) -> None:
        for store in (MemoryStore(), MemoryStore(SWAPPING), local("t")):
            rig = Rig(store, "gold/")
            tried: list[str] = []

            def meanwhile(call: str, path: str, store: FileStore = store, tried: list[str] = tried) -> None:
                if path in ("gold/a", "gold") and call in ("copy_from", "replace_directory"):
                    with pytest.raises(PublishInProgress) as caught:
                        Rig(store, other).publish({"b": b"2"}, "merge", publisher="two")
                    tried.append(str(caught.value))

            rig.watched(meanwhile).publish({"a": b"1"}, publisher="one")
            (message,) = tried
            assert message.startswith("another publish to azureml://datastores/t/paths/gold/ is not finished: one. ")
            assert "run its task again" in message
            assert "delete azureml://datastores/t/paths/.staging/publishing/" in message
            assert rig.data() == {"a": b"1"}
            assert rig.backstage() == []

    def test_beside_each_other(self, rig: Rig) -> None:
        def meanwhile(call: str, path: str) -> None:
            if call in ("copy_from", "replace_directory", "rename_directory") and path.startswith("gold/one"):
                replace(rig, folder="gold/two/").publish({"b": b"2"}, publisher="two")

        replace(rig, folder="gold/one/").watched(meanwhile).publish({"a": b"1"}, publisher="one")
        assert contents(rig.store, "gold/one/")["a"] == b"1"
        assert contents(rig.store, "gold/two/")["b"] == b"2"

    def test_one_was_faster(self, rig: Rig) -> None:
        """The policy is judged again once others are kept out."""
        done: list[Manifest] = []

        def meanwhile(call: str, path: str) -> None:
            if call == "write" and path.startswith(f"{STAGING}publishing/") and not done:
                done.append(rig.publish({"a": b"2"}, publisher="two"))

        with pytest.raises(PathExists):
            rig.watched(meanwhile).publish({"a": b"1"}, publisher="one")
        assert rig.data() == {"a": b"2"}
        assert rig.manifest() == done[0]
        assert rig.backstage() == []

    def test_the_mark_is_somebody_elses_by_then(self, changing: Rig) -> None:
        def meanwhile(call: str, path: str) -> None:
            if call == "list" and path == changing.folder and changing.backstage() and changing.marks():
                fill(changing.store, {changing.marks()[0]: b'{"folder": "", "publisher": "x", "policy": "fail"}'})

        with pytest.raises(PublishInProgress, match="another attempt of one"):
            changing.watched(meanwhile).publish({"a": b"1"}, publisher="one")
        assert changing.data() == {}

    def test_the_other_ends_at_that_moment(self, rig: Rig) -> None:
        """Its mark is there when ours is to be set, and gone when it is looked at: then ours is set all the same."""
        steps: list[str] = []

        def meanwhile(call: str, path: str) -> None:
            if call == "write" and path.startswith(f"{STAGING}publishing/") and not steps:
                fill(rig.store, {path: b'{"folder": "x/", "publisher": "two", "policy": "fail"}'})
                steps.append("set")
            elif call == "stat" and path.startswith(f"{STAGING}publishing/") and steps == ["set"]:
                rig.store.delete(path)
                steps.append("ended")
            elif (call.endswith("_directory"), path) == (True, "gold") or (call, path) == (
                "copy_from",
                f"{rig.folder}a",
            ):
                assert len(rig.marks()) == 1
                steps.append("changed")

        rig.watched(meanwhile).publish({"a": b"1"}, publisher="one")
        assert steps == ["set", "ended", "changed"]

    def test_the_other_goes_on_at_that_moment(self, rig: Rig) -> None:
        """Its mark changes between the look at its version and the reading."""
        path = ""

        def note(call: str, written: str) -> None:
            nonlocal path
            if call == "write" and written.startswith(f"{STAGING}publishing/") and not written.endswith("/last"):
                path = written

        rig.watched(note).publish({"a": b"0"}, publisher="zero")
        mark = b'{"folder": "%s", "publisher": "two", "policy": "fail"}' % rig.folder.encode()
        steps: list[str] = []

        def meanwhile(call: str, at: str) -> None:
            if call == "stat" and at == path and not steps:
                fill(rig.store, {path: mark})
                steps.append("set")
            elif call == "read" and at == path and steps == ["set"]:
                fill(rig.store, {path: mark})
                steps.append("went on")

        with pytest.raises(PublishInProgress, match="is not finished: two"):
            rig.watched(meanwhile).publish({"a": b"1"}, "overwrite", publisher="one")
        assert steps == ["set", "went on"]

    def test_a_mark_that_nobody_can_read(self, rig: Rig) -> None:
        path = f"{STAGING}publishing/x.json"
        fill(rig.store, {path: b"garbage"})
        with pytest.raises(InvalidInput, match=rf"paths/{path} should tell who publishes.*Delete it"):
            rig.publish({"a": b"1"})

    def test_a_stranger_writes_in_between(self, swapping: Rig) -> None:
        """What a swap would take away without having seen it stays where it is, and the publish is refused."""

        def meanwhile(call: str, path: str) -> None:
            if call == "write" and path.endswith(f"/{SUCCESS}"):
                fill(swapping.store, {"theirs": b"x"}, swapping.folder)

        for policy in ("fail", "merge"):
            with pytest.raises(TransferIncomplete, match="changed by somebody else"):
                swapping.watched(meanwhile).publish({"a": b"1"}, policy)
            assert swapping.data() == {"theirs": b"x"}
            swapping.store.delete(f"{swapping.folder}theirs")

    def test_what_was_staged_is_not_staged_again(self, swapping: Rig) -> None:
        """Though it had been set apart when the publish was refused."""

        def meanwhile(call: str, path: str) -> None:
            if call == "write" and path.endswith(f"/{SUCCESS}"):
                fill(swapping.store, {"theirs": b"x"}, swapping.folder)

        source, said = made({"a": b"1"}), list[str]()
        with pytest.raises(TransferIncomplete):
            swapping.watched(meanwhile).publish(source, "merge")
        swapping.publish(source, "merge", say=said.append)
        assert [line for line in said if "staged: 0 files" in line and "1 unchanged" in line]
        assert swapping.data() == {"a": b"1", "theirs": b"x"}
        assert swapping.backstage() == []


class TestRenames:
    def test_the_folder_is_renamed_and_nothing_copied(self, renaming: Rig) -> None:
        renaming.publish({"a": b"0", "old": b"0"}, publisher="other")
        calls: list[tuple[str, str]] = []
        renaming.watched(lambda call, path: calls.append((call, path))).publish({"a": b"1", "b/c": b"1"}, "overwrite")
        assert [path for call, path in calls if call == "copy_from" and path.startswith("gold/")] == []
        assert [path for call, path in calls if call == "rename_directory" and "gold" in path] == ["gold"]
        assert renaming.data() == {"a": b"1", "b/c": b"1"}
        assert renaming.backstage() == []

    def test_rights_are_given_before_the_first_file(self, renaming: Rig) -> None:
        calls: list[tuple[str, str]] = []
        renaming.watched(lambda call, path: calls.append((call, path))).publish({"a": b"1"})
        made = next(n for n, (call, _) in enumerate(calls) if call == "make_directory_like")
        assert [path for call, path in calls[:made] if call == "write"] == []

    def test_where_rights_cannot_be_given_files_are_copied(self, renaming: Rig) -> None:
        assert isinstance(renaming.store, MemoryStore)
        renaming.store.takes_rights = False
        calls: list[str] = []
        renaming.watched(lambda call, path: calls.append(call)).publish({"a": b"1"})
        assert "rename_directory" not in calls
        assert renaming.found() == {"a": b"1"}

    def test_the_root_cannot_be_renamed(self, renaming: Rig) -> None:
        rig = replace(renaming, folder="")
        rig.publish({"a": b"1"})
        rig.publish({"b": b"1"}, "overwrite")
        assert rig.data() == {"b": b"1"}

    def test_a_stranger_makes_the_folder_between_the_renames(self, renaming: Rig) -> None:
        """What was published stays staged; what the stranger wrote was not there when it was decided to overwrite."""
        source = made({"a": b"1"})
        renaming.publish({"old": b"0"}, publisher="earlier")

        def meanwhile(call: str, path: str) -> None:
            if (call, path) == ("rename_directory", "gold"):
                fill(renaming.store, {"gold/theirs": b"x"})

        with pytest.raises(TransferIncomplete, match="made by somebody else"):
            renaming.watched(meanwhile).publish(source, "overwrite")
        assert renaming.data() == {"theirs": b"x"}
        with pytest.raises(PublishInProgress):
            renaming.found()
        renaming.publish(source, "overwrite")
        assert renaming.found() == {"a": b"1"}
        assert renaming.backstage() == []

    def test_what_was_staged_is_gone(self, renaming: Rig) -> None:
        def fail(call: str, path: str) -> None:
            if (call, path) == ("rename_directory", "gold"):
                raise Unavailable("down")

        renaming.publish({"a": b"1", "b": b"1"})
        source = made({"a": b"2"})
        with pytest.raises(Unavailable):
            renaming.watched(fail).publish(source, "merge")
        for path in set(renaming.backstage()) - set(renaming.marks()):
            if ".old/" not in path:
                renaming.store.delete(path)
        assert renaming.publish(source, "merge") == renaming.manifest()
        assert renaming.found() == {"a": b"2", "b": b"1"}
        assert renaming.backstage() == []


class TestErrors:
    def test_a_swap_that_fails_keeps_nobody_out(self, swapping: Rig) -> None:
        def fail(call: str, path: str) -> None:
            if call == "replace_directory":
                raise Unavailable("down")

        source = made({"a": b"1"})
        with pytest.raises(Unavailable):
            swapping.watched(fail).publish(source)
        assert swapping.marks() == []
        swapping.publish({"a": b"2"}, publisher="two")
        with pytest.raises(PathExists):
            swapping.publish(source)
        assert swapping.backstage() == []

    def test_a_change_that_fails_keeps_others_out_until_it_is_completed(self, changing: Rig) -> None:
        def fail(call: str, path: str) -> None:
            if call == "write" and path == f"{changing.folder}{SUCCESS}":
                raise Unavailable("down")

        source = made({"a": b"1"})
        with pytest.raises(Unavailable):
            changing.watched(fail).publish(source)
        with pytest.raises(PublishInProgress):
            changing.publish({"a": b"2"}, "overwrite", publisher="two")
        with pytest.raises(PublishInProgress, match="run its task again: it completes"):
            changing.found()
        assert changing.publish(source).files == 1
        assert changing.found() == {"a": b"1"}

    def test_completed_from_what_is_staged(self, changing: Rig) -> None:
        """Even if the source is gone, or is another one by then: that one comes after."""

        def fail(call: str, path: str) -> None:
            if call == "write" and path == f"{changing.folder}{MANIFEST}":
                raise Unavailable("down")

        ends: dict[Policy, dict[str, bytes]] = {"merge": {"a": b"1", "b": b"2", "c": b"3"}, "overwrite": {"c": b"3"}}
        for policy, end in ends.items():
            changing.publish({"z": b"0"}, "overwrite", publisher="start")
            changing.store.delete(f"{changing.folder}z")
            with pytest.raises(Unavailable):
                changing.watched(fail).publish({"a": b"1", "b": b"2"}, policy)
            changing.publish({"c": b"3"}, policy)
            assert changing.found() == end
            assert changing.backstage() == []
        with pytest.raises(Unavailable):
            changing.watched(fail).publish({"d": b"4"}, "overwrite")
        with pytest.raises(PathExists):
            changing.publish({"e": b"5"}, "fail")
        assert changing.found() == {"d": b"4"}

    @pytest.mark.parametrize("policy", POLICIES)
    def test_what_was_staged_is_gone(self, changing: Rig, policy: Policy) -> None:
        def fail(call: str, path: str) -> None:
            if call == "write" and path == f"{changing.folder}{MANIFEST}":
                raise Unavailable("down")

        if policy != "fail":
            changing.publish({"a": b"1", "b": b"1"})
        source = made({"a": b"2"})
        with pytest.raises(Unavailable):
            changing.watched(fail).publish(source, policy)
        for path in set(changing.backstage()) - set(changing.marks()):
            changing.store.delete(path)
        assert changing.publish(source, policy) == changing.manifest()
        assert changing.found() == ({"a": b"2", "b": b"1"} if policy == "merge" else {"a": b"2"})
        assert changing.backstage() == []


def test_staged_names_are_not_longer_than_need_be() -> None:
    """A name that fits into the folder fits into the staged one, if the folder's own name is not shorter still."""
    rig = Rig(MemoryStore(), "models/churn/2026-11-22/")
    longest: list[str] = []
    rig.watched(lambda call, path: longest.append(path) if call != "list" else None).publish({"n" * 1000: b""})
    assert max(map(len, longest)) <= len(rig.folder) + 1000 + 10


def test_what_is_said(rig: Rig) -> None:
    said: list[str] = []
    rig.publish({"a": b"1" * 2048, "b": b""}, say=said.append)
    assert said[0].startswith("[publish] staged: 2 files, 2.0 KiB in 0.")
    assert said[-1] == f"[publish] m  published 2 files at azureml://datastores/t/paths/{rig.folder}."
