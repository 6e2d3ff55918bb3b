"""What templates become, in arguments and in the values that stand in them."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_azureml_datastores import Input, Output
from airflow_azureml_datastores.hooks import WorkspaceHook
from airflow_azureml_datastores.operators import RunExperimentOperator
from tests.dags.conftest import WORKSPACE
from tests.dags.runs import run_dag


def test_placeholders_of_a_command_are_no_templates(workspace: WorkspaceHook) -> None:
    workspace.open().at("in.txt").write(b"content\n")
    with DAG("placeholders", schedule=None) as dag:
        RunExperimentOperator(
            task_id="run",
            workspace_conn_id=WORKSPACE,
            experiment="e",
            command="echo {{ dag.dag_id }} ${{inputs.n}} > ${{ outputs.y }}/a; cat ${{inputs.x}} >> ${{outputs.y}}/a",
            inputs={"x": Input("azureml://datastores/${{default_datastore}}/paths/{{ 'in' }}.txt"), "n": 7},
            outputs={"y": Output("azureml://datastores/workspaceblobstore/paths/out/{{ dag.dag_id }}/")},
        )
    assert run_dag(dag).succeeded
    assert workspace.open().at("out/placeholders/a").read() == b"placeholders 7\ncontent\n"
