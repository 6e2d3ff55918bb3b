"""One page's session: its blocks, run in order in a workspace of their own."""

from __future__ import annotations

import ast
import io
import json
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType
from typing import Any

import pytest
from airflow.sdk import BaseOperator

from airflow_azureml_datastores.core.place import open_place
from airflow_azureml_datastores.core.uri import parse_datastore_uri
from airflow_azureml_datastores.hooks import WorkspaceHook
from tests.dags.runs import Finished, run_dag
from tests.docs.pages import Block, matches

_EXPECTED = re.compile(r"# (?P<kind>->|raises) (?P<what>.+)$")


@dataclass
class Session:
    """What the blocks of a page share.

    :param dags: folder for DAG files and what lies beside them.
    :param stands_for: what a page writes -> what is here in its place.
    :param connect: takes the id and fields of a connection.
    """

    dags: Path
    stands_for: Mapping[str, str]
    connect: Callable[[str, dict[str, Any]], None]
    namespace: dict[str, Any] = field(default_factory=lambda: {"__name__": "__docs__"})
    printed: str = ""
    finished: Finished | None = None

    def run_page(self, found: Sequence[Block]) -> None:
        """Run the blocks of a page."""
        for block in found:
            if _is_file(block):
                self._write(block, block.info)
        for block in found:
            self.run(block)

    def run(self, block: Block) -> None:
        """Run a block, or compare it with what the ones before did."""
        if block.language == "python":
            self._run_python(block)
        elif block.language == "json" and block.info:
            found = self._read(block.info) if block.info.startswith("azureml:") else self._result(block.info)
            assert_like(json.loads(block.text), self._as_shown(found), str(block))
        elif block.language == "text" and block.after == "python":
            printed = self._as_shown(self.printed)
            assert matches(block.text, printed), f"{block}: printed\n{printed}"
        elif block.language == "bash":
            for command in block.text.replace("\\\n", " ").splitlines():
                if command.startswith("airflow connections add "):
                    self.connect(*_connection(command))

    def _run_python(self, block: Block) -> None:
        if block.info.startswith("notest:") or _is_file(block):
            return
        if re.search(r"^with DAG\(", block.text, re.MULTILINE):
            file = self._write(block, f"{block.page.stem}_{block.line}.py")
            module: dict[str, Any] = {"__name__": file.stem, "__file__": str(file)}
            exec(compile(file.read_text(), str(file), "exec"), module)
            self.finished = run_dag(module["dag"])
            assert self.finished.succeeded, f"{block}: {self.finished.states}\n{self.finished.log}"
        else:
            self._run_statements(block)

    def _write(self, block: Block, name: str) -> Path:
        file = self.dags / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(self._as_run(block.text))
        return file

    def _run_statements(self, block: Block) -> None:
        text = self._as_run(block.text)
        lines = text.splitlines()
        checked = 0
        output = io.StringIO()
        with redirect_stdout(output):
            for statement in ast.parse(text).body:
                # Line numbers in a traceback are then those of the page.
                assert statement.end_lineno is not None
                expected = _EXPECTED.search(lines[statement.end_lineno - 1])
                ast.increment_lineno(statement, block.line - 1)
                checked += expected is not None
                self._run_statement(statement, expected, block)
        self.printed = output.getvalue()
        for operator in [value for value in self.namespace.values() if isinstance(value, BaseOperator)]:
            operator.execute({})
        assert checked == sum(_EXPECTED.search(line) is not None for line in lines), (
            f"{block}: not all of it is checked"
        )

    def _run_statement(self, statement: ast.stmt, expected: re.Match[str] | None, block: Block) -> None:
        where = f"{block.page.name}:{statement.lineno}"
        if expected is None:
            exec(_compiled(ast.Module([statement], []), block), self.namespace)
        elif expected["kind"] == "raises":
            name, _, message = self._as_shown(expected["what"]).partition(": ")
            with pytest.raises(Exception) as raised:  # noqa: PT011
                exec(_compiled(ast.Module([statement], []), block), self.namespace)
            assert raised.type.__name__ == name, where
            assert matches(message or "…", self._as_shown(str(raised.value))), f"{where}: {raised.value}"
        else:
            assert isinstance(statement, ast.Expr), f"{where}: only an expression gives a value"
            value = eval(_compiled(ast.Expression(statement.value), block), self.namespace)
            assert matches(self._as_shown(expected["what"]), self._as_shown(repr(value))), f"{where}: {value!r}"

    def _result(self, task_id: str) -> Any:
        assert self.finished is not None, "no DAG was run yet"
        return self.finished[task_id]

    def _read(self, uri: str) -> Any:
        """The JSON at a place in the workspace."""
        with WorkspaceHook("ml_workspace") as hook:
            return json.loads(open_place(hook.open, parse_datastore_uri(uri)).read())

    def _as_run(self, text: str) -> str:
        for shown, here in self.stands_for.items():
            text = text.replace(shown, here)
        return text

    def _as_shown(self, value: Any) -> Any:
        text = json.dumps(value)
        for shown, here in self.stands_for.items():
            text = text.replace(json.dumps(here)[1:-1], json.dumps(shown)[1:-1])
        return json.loads(text)


def assert_like(expected: Any, found: Any, where: str) -> None:
    """Compare JSON values; in an expected text ``…`` stands for anything, and as a value of its own for any value."""
    if isinstance(expected, dict) and isinstance(found, dict):
        assert sorted(expected) == sorted(found), where
        for key, value in expected.items():
            assert_like(value, found[key], f"{where} {key}")
    elif isinstance(expected, list) and isinstance(found, list):
        assert len(expected) == len(found), where
        for number, value in enumerate(expected):
            assert_like(value, found[number], f"{where} [{number}]")
    elif isinstance(expected, str) and "…" in expected:
        assert matches(expected, str(found)), f"{where}: {found!r}"
    else:
        assert expected == found, where


def _is_file(block: Block) -> bool:
    return block.language == "python" and block.info.endswith(".py")


def _compiled(code: ast.Module | ast.Expression, block: Block) -> CodeType:
    return compile(code, str(block.page), "eval" if isinstance(code, ast.Expression) else "exec")


def _connection(command: str) -> tuple[str, dict[str, Any]]:
    """The connection that an ``airflow connections add`` makes, by Airflow's own rules for its options."""
    from airflow.cli.cli_parser import get_parser

    given = get_parser().parse_args(shlex.split(command)[1:])
    names = ("conn_type", "host", "login", "password", "schema", "port", "extra")
    fields = {name: getattr(given, f"conn_{name.removeprefix('conn_')}") for name in names}
    return given.conn_id, {name: value for name, value in fields.items() if value is not None}
