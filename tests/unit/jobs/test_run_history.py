"""A job's log as lines, and what run history says of a failure."""

from __future__ import annotations

import pytest

from airflow_azureml_datastores.workspaces._azureml_run_history import _LOGS, _error, _lines


@pytest.mark.parametrize(
    ("chunks", "lines"),
    [
        ([], []),
        ([b""], []),
        ([b"a\nb\n"], ["a", "b"]),
        ([b"a\nb"], ["a", "b"]),
        ([b"a", b"b\n", b"\nc"], ["ab", "", "c"]),
        ([b"a\r", b"\nb\r\n"], ["a", "b"]),
        (["ü".encode()[:1], "ü".encode()[1:]], ["ü"]),
        ([b"\xff\n"], ["\N{REPLACEMENT CHARACTER}"]),
        ([b"x" * 20_000], ["x" * 16_384, "x" * 3_616]),
    ],
)
def test_lines(chunks: list[bytes], lines: list[str]) -> None:
    assert list(_lines(chunks)) == lines


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("user_logs/std_log.txt", True),
        ("user_logs/std_log_process_0.txt", True),
        ("azureml-logs/70_driver_log.txt", True),
        ("system_logs/lifecycler/execution-wrapper.log", False),
        ("logs/azureml/executionlogs.txt", False),
    ],
)
def test_the_commands_own_logs(name: str, shown: bool) -> None:
    assert bool(_LOGS.fullmatch(name)) == shown


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"error": {"code": "UserError", "message": "exit\n code 1"}}, "UserError: exit code 1"),
        ({"code": "UserError", "message": "exit"}, "UserError: exit"),
        ({"error": {"message": None}}, ""),
        (None, ""),
    ],
)
def test_why(given: object, said: str) -> None:
    assert _error(given) == said


def test_why_without_signatures() -> None:
    said = _error({"error": {"message": "no https://a.blob.core.windows.net/c/x?sv=2025&sig=c2VjcmV0 there"}})
    assert "c2VjcmV0" not in said
    assert "there" in said
