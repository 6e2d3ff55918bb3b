"""What has to be moved, and which names can stand side by side."""

from __future__ import annotations

import pytest

from airflow_azureml_datastores.core.manifest import Entry
from airflow_azureml_datastores.core.store import Version
from airflow_azureml_datastores.errors import InvalidInput
from airflow_azureml_datastores.transfer.plan import Move, check_targets, make_plan

WANTED = Version("in/a", 3, "s1")
ENTRY = Entry("a", 3, "t1", "in/a", "s1")
THERE = Version("to/a", 3, "t1")


def test_delivered_already() -> None:
    plan = make_plan({"a": WANTED}, {"a": ENTRY}, {"a": THERE})
    assert (plan.moves, plan.unchanged, plan.strays) == ([], [ENTRY], [])


@pytest.mark.parametrize(
    ("wanted", "known", "there", "replaces"),
    [
        pytest.param(WANTED, {}, {}, False, id="new"),
        pytest.param(WANTED, {"a": ENTRY}, {}, False, id="claimed but not there"),
        pytest.param(WANTED, {}, {"a": THERE}, False, id="there but not ours"),
        pytest.param(WANTED, {"a": ENTRY}, {"a": Version("to/a", 3, "t2")}, False, id="changed by others"),
        pytest.param(Version("in/a", 3, "s2"), {"a": ENTRY}, {"a": THERE}, True, id="source changed"),
        pytest.param(Version("in/b", 3, "s1"), {"a": ENTRY}, {"a": THERE}, True, id="another source"),
    ],
)
def test_has_to_be_moved(wanted: Version, known: dict[str, Entry], there: dict[str, Version], replaces: bool) -> None:
    plan = make_plan({"a": wanted}, known, there)
    assert (plan.moves, plan.unchanged) == ([Move(wanted, "a", replaces)], [])


def test_largest_first() -> None:
    sizes = [3, 0, 100, 7, 50]
    plan = make_plan({f"{size}": Version(f"{size}", size, "e") for size in sizes}, {}, {})
    assert [move.source.size for move in plan.moves] == [100, 50, 7, 3, 0]


def test_strays() -> None:
    there = {"old": Version("to/old", 1, "t"), "a": THERE}
    assert make_plan({"a": WANTED}, {}, there).strays == ["old"]


class TestNames:
    @pytest.mark.parametrize("paths", [["A", "a"], ["x/STRASSE", "x/straße"]])
    def test_case(self, paths: list[str]) -> None:
        check_targets(paths, case_sensitive=True, any_name=False)
        with pytest.raises(InvalidInput, match="ignores case") as caught:
            check_targets(paths, case_sensitive=False, any_name=True)
        assert all(repr(path) in str(caught.value) for path in paths)

    @pytest.mark.parametrize("paths", [["a", "a/b"], ["x/y/z/w", "x/y"]])
    def test_file_where_a_folder_is_needed(self, paths: list[str]) -> None:
        check_targets(paths, case_sensitive=True, any_name=True)
        for order in (paths, paths[::-1]):
            with pytest.raises(InvalidInput, match="needs a folder"):
                check_targets(order, case_sensitive=True, any_name=False)

    def test_both_at_once(self) -> None:
        check_targets(["A", "a/b"], case_sensitive=True, any_name=False)
        with pytest.raises(InvalidInput, match="'A' is a file, but 'a/b' needs a folder"):
            check_targets(["A", "a/b"], case_sensitive=False, any_name=False)

    def test_fine(self) -> None:
        check_targets(["a", "ab", "a.b", "c/a", "c/ab"], case_sensitive=False, any_name=False)
