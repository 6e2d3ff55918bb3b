"""Rows of a database through the operators, from the registration to the experiment that reads them."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_azureml_datastores import Input, Output
from airflow_azureml_datastores.errors import InvalidInput, Unsupported
from airflow_azureml_datastores.hooks import AzureBlobHook, AzurePostgreSqlHook, DatabaseHook, WorkspaceHook
from airflow_azureml_datastores.operators import (
    CopyDatastoreOperator,
    IngestToExperimentOperator,
    ListDatastoresOperator,
    PublishOutputsOperator,
    RegisterDatastoreOperator,
    RunExperimentOperator,
)
from tests.contract.tables.rigs_postgresql import PostgreSqlRig
from tests.dags.conftest import WORKSPACE
from tests.dags.runs import run_dag

PASSWORD = "p4ssw0rd that nobody sees"
COMMAND = (
    "python -c \"import pyarrow.parquet as pq, sys; print(pq.read_table('${{inputs.orders}}').to_pylist(), "
    "file=open('${{outputs.seen}}/seen.txt', 'w'))\""
)


@pytest.fixture
def rig(request: pytest.FixtureRequest) -> PostgreSqlRig:
    return PostgreSqlRig(request)


@pytest.fixture
def orders(rig: PostgreSqlRig) -> Iterator[str]:
    with rig.schema() as schema:
        rig.execute(f"create table {schema}.orders (id int, day date, note text)")
        rig.execute(f"insert into {schema}.orders values (1, '2026-11-21', 'a'), (2, '2026-11-22', 'it''s ü')")
        yield f"{schema}.orders"


@pytest.fixture
def crm(rig: PostgreSqlRig, workspace: WorkspaceHook, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection of the datastore ``crm``."""
    login = {"conn_type": "postgres", "login": rig._login.username, "password": rig.password or PASSWORD}
    monkeypatch.setenv("AIRFLOW_CONN_CRM_LOGIN", json.dumps({**login, "host": rig._location.host}))


def test_from_the_registration_to_the_experiment(rig: PostgreSqlRig, orders: str, crm: None) -> None:
    defaults = {"workspace_conn_id": WORKSPACE}
    with DAG("orders", schedule=None, default_args=defaults, params={"day": "2026-11-22"}) as dag:
        query = Input.query("crm", f"select * from {orders} where day = ?", ["{{ params.day }}"])
        data = IngestToExperimentOperator(task_id="ingest", experiment="churn", run="r", inputs={"orders": query})
        (
            RegisterDatastoreOperator(
                task_id="register", datastore="crm", location=rig._location, credential_conn_id="crm_login"
            )
            >> ListDatastoresOperator(task_id="list")
            >> data
            >> RunExperimentOperator(
                task_id="run", experiment="churn", command=COMMAND, inputs=data.output, outputs={"seen": None}
            )
        )
    done = run_dag(dag)
    assert done.succeeded, done.log
    assert done["register"]["type"] == "AzurePostgreSql"
    assert "crm" in str(done["list"])
    assert done["ingest"]["inputs"]["orders"]["rows"] == 1
    with WorkspaceHook(WORKSPACE) as hook:
        path = done["run"]["outputs"]["seen"]["uri"].partition("/paths/")[2]
        written = hook.open("workspaceblobstore").at(f"{path}seen.txt").read().decode()
        assert written == "[{'id': 2, 'day': datetime.date(2026, 11, 22), 'note': \"it's ü\"}]\n"
    assert rig.password not in done.log
    assert PASSWORD not in done.log


def test_results_back_into_a_table(rig: PostgreSqlRig, crm: None, registered: None) -> None:
    """A try that is lost after it has loaded is no second load."""

    class Interrupted(PublishOutputsOperator):
        def execute(self, context: Any) -> dict[str, Any]:
            result = super().execute(context)
            if context["ti"].try_number == 1:
                raise ConnectionError("the worker is lost")
            return result

    command = (
        'python -c "import pyarrow as pa, pyarrow.parquet as pq; '
        "pq.write_table(pa.table({'id': [1, 2], 'score': [0.5, None]}), '${{outputs.scores}}/a.parquet'); "
        "print('text', file=open('${{outputs.notes}}/a.txt', 'w'))\""
    )
    with rig.schema() as schema:
        rig.execute(f"create table {schema}.scores (id int primary key, score float8)")
        rig.execute(f"insert into {schema}.scores values (2, 7), (3, 7)")

        def publish(outputs: dict[str, Any], **kwargs: Any) -> Any:
            defaults = {"workspace_conn_id": WORKSPACE, "retry_delay": timedelta(0)}
            with DAG("scores", schedule=None, default_args=defaults) as dag:
                run = RunExperimentOperator(
                    task_id="run", experiment="churn", command=command, outputs={"scores": None, "notes": None}
                )
                Interrupted(task_id="publish", run=run.output, outputs=outputs, retries=1, **kwargs)
            return run_dag(dag)

        table = Output.table("{{ 'crm' }}", f"{schema}.scores", "upsert", keys=["id"])
        done = publish({"scores": table, "notes": "azureml://datastores/workspacefilestore/paths/notes/"})
        assert (done.tasks["publish"].state, done.tasks["publish"].tries) == ("success", 2), done.log
        assert done["publish"]["scores"] == {
            "datastore": "crm",
            "table": f"{schema}.scores",
            "mode": "upsert",
            "rows": 2,
            "unchanged": True,
        }
        assert done["publish"]["notes"]["files"] == 1
        with AzurePostgreSqlHook("crm", WORKSPACE) as hook, hook.table(f"{schema}.scores") as rows:
            found = [row for batch in rows.batches for row in batch.to_pylist()]
        assert sorted(found, key=lambda row: row["id"]) == [
            {"id": 1, "score": 0.5},
            {"id": 2, "score": None},
            {"id": 3, "score": 7.0},
        ]
        refused = publish({"notes": table})
        assert "a.txt is no file of rows: a table takes .parquet, .csv" in refused.log
        refused = publish({"scores": table}, assets={"scores": "scores"})
        assert "assets names the output 'scores', but the outputs are: none" in refused.log
        for log in (done.log, refused.log):
            assert rig.password not in log
            assert PASSWORD not in log


FILES = "azureml://datastores/workspacefilestore/paths"


class TestCopies:
    """Rows into files, files into tables, and rows of one table into another."""

    def copy(self, source: Any, target: Any, *, lost: bool = False, **kwargs: Any) -> Any:
        class Interrupted(CopyDatastoreOperator):
            def execute(self, context: Any) -> dict[str, Any]:
                result = super().execute(context)
                if lost and context["ti"].try_number == 1:
                    raise ConnectionError("the worker is lost")
                return result

        defaults = {"workspace_conn_id": WORKSPACE, "retry_delay": timedelta(0)}
        with DAG("copies", schedule=None, default_args=defaults) as dag:
            Interrupted(task_id="copy", source=source, target=target, retries=int(lost), **kwargs)
        return run_dag(dag)

    def test_rows_into_a_folder(self, rig: PostgreSqlRig, crm: None, registered: None, orders: str) -> None:
        import pyarrow.parquet as pq

        rows = Input.query("crm", f"select id, note from {orders} where id >= ? order by id", [1])
        done = self.copy(rows, f"{FILES}/orders/", lost=True)
        assert done["copy"] == {
            "source": "a query of datastore 'crm'",
            "uri": f"{FILES}/orders/",
            "files": 1,
            "bytes": done["copy"]["bytes"],
            "manifest": f"{FILES}/orders/_manifest.json",
            "rows": 2,
        }
        with WorkspaceHook(WORKSPACE) as hook:
            root = hook.open("workspacefilestore")
            names = [info.path for info in root.store.list()]
            assert names == ["orders/_SUCCESS", "orders/_manifest.json", "orders/part-00000.parquet"]
            content = root.at("orders/part-00000.parquet").read()
        assert pq.read_table(io.BytesIO(content)).to_pylist() == [{"id": 1, "note": "a"}, {"id": 2, "note": "it's ü"}]
        assert "holds data already; pass overwrite=True" in self.copy(rows, f"{FILES}/orders/").log
        assert self.copy(Input.table("crm", orders, format="csv"), f"{FILES}/orders/", overwrite=True).succeeded
        with WorkspaceHook(WORKSPACE) as hook:
            names = [info.path for info in hook.open("workspacefilestore").store.list()]
        assert names == ["orders/_SUCCESS", "orders/_manifest.json", "orders/part-00000.csv"]
        refused = self.copy(Input.table("crm", orders, watermark="id", consumer="x"), f"{FILES}/new/")
        assert "new rows are taken by a run of an experiment" in refused.log

    def test_files_into_a_table(self, rig: PostgreSqlRig, crm: None, registered: None) -> None:
        with WorkspaceHook(WORKSPACE) as hook:
            hook.open("workspacefilestore").at("in/a.csv").write(b"id,name\n1,x\n2,\n")
        with rig.schema() as schema:
            table = Output.table("crm", f"{schema}.people", "append", create_if_missing=True)
            done = self.copy(f"{FILES}/in/", table, lost=True)
            assert done["copy"] == {
                "source": f"{FILES}/in/",
                "datastore": "crm",
                "table": f"{schema}.people",
                "mode": "append",
                "rows": 2,
                "unchanged": True,
            }
            other = Output.table("crm", f"{schema}.others", create_if_missing=True)
            done = self.copy(Input.table("crm", f"{schema}.people"), other, lost=True)
            assert (done["copy"]["rows"], done["copy"]["source"]) == (2, f"table {schema}.people of datastore 'crm'")
            with AzurePostgreSqlHook("crm", WORKSPACE) as hook, hook.table(f"{schema}.others") as rows:
                assert [row for batch in rows.batches for row in batch.to_pylist()] == [
                    {"id": 1, "name": "x"},
                    {"id": 2, "name": None},
                ]


def test_rows_of_a_hook(rig: PostgreSqlRig, crm: None, registered: None) -> None:
    import pyarrow as pa

    rows = pa.table({"id": [1, 2]})
    with rig.schema() as schema, DatabaseHook("crm", WORKSPACE) as hook:
        assert hook.load(f"{schema}.t", rows, create_if_missing=True, load_id="a").rows == 2
        assert hook.load(f"{schema}.t", rows, load_id="a").was_there
        assert not hook.load(f"{schema}.t", rows, "append").was_there
        assert not hook.load(f"{schema}.t", rows, "append").was_there
        with hook.query(f"select count(*) as n from {schema}.t") as found:
            assert next(found.batches).to_pylist() == [{"n": 6}]
        with pytest.raises(InvalidInput, match="keys are a list of the names of columns, not 'id'"):
            hook.load(f"{schema}.t", rows, "upsert", keys="id")


@pytest.fixture
def registered(rig: PostgreSqlRig, workspace: WorkspaceHook, crm: None) -> None:
    from airflow_azureml_datastores import Datastore

    workspace.register(Datastore("crm", rig._location, "crm_login"))


@pytest.mark.usefixtures("registered")
class TestKinds:
    """A database is no place for files, and the other way round: both say so."""

    def test_hooks(self, orders: str) -> None:
        with AzurePostgreSqlHook("crm", WORKSPACE) as hook:
            assert hook.test_connection()[0]
            with hook.table(orders, ["id"]) as rows:
                assert sum(batch.num_rows for batch in rows.batches) == 2
        with pytest.raises(Unsupported, match="is of type LocalDirectory and holds files, no tables"):
            DatabaseHook("workspaceblobstore", WORKSPACE).get_conn()
        with pytest.raises(InvalidInput, match="AzurePostgreSqlHook is for AzurePostgreSql"):
            AzurePostgreSqlHook("workspaceblobstore", WORKSPACE).get_conn()
        with pytest.raises(InvalidInput, match="AzureBlobHook is for AzureBlob"):
            AzureBlobHook("crm", WORKSPACE).get_conn()
        told = DatabaseHook("workspaceblobstore", WORKSPACE).test_connection()
        assert told[0] is False

    @pytest.mark.parametrize(
        "operator",
        [
            lambda: CopyDatastoreOperator(
                task_id="t",
                source="azureml://datastores/crm/paths/x",
                target="azureml://datastores/workspacefilestore/paths/",
            ),
            lambda: IngestToExperimentOperator(
                task_id="t", experiment="e", inputs={"x": "azureml://datastores/crm/paths/x"}
            ),
        ],
        ids=["copy", "ingest"],
    )
    def test_operators(self, operator: Any) -> None:
        with DAG("files_of_a_database", schedule=None, default_args={"workspace_conn_id": WORKSPACE}) as dag:
            operator()
        done = run_dag(dag)
        assert not done.succeeded
        assert "is a database: it has tables, no files" in done.log

    def test_rows_of_files(self) -> None:
        with DAG("rows_of_files", schedule=None, default_args={"workspace_conn_id": WORKSPACE}) as dag:
            IngestToExperimentOperator(
                task_id="t", experiment="e", inputs={"x": Input.table("workspaceblobstore", "t")}
            )
        done = run_dag(dag)
        assert "holds files, no tables: name a path in it" in done.log

    def test_a_run_does_not_take_rows(self) -> None:
        with DAG("run_of_rows", schedule=None, default_args={"workspace_conn_id": WORKSPACE}) as dag:
            RunExperimentOperator(task_id="t", experiment="e", command="true", inputs={"x": Input.table("crm", "t")})
        done = run_dag(dag)
        assert "rows of a database, which only an ingest takes" in done.log
