"""An experiment with several outputs, published by each of the three policies, and read by whoever waits for them.

Published is all or nothing: readers see the old state or the new one, and ``_SUCCESS`` comes last. It needs nothing but
a connection ``ml_workspace``.
"""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_azureml_datastores import Output
from airflow_azureml_datastores.operators import (
    IngestToExperimentOperator,
    PublishOutputsOperator,
    RunExperimentOperator,
)
from airflow_azureml_datastores.sensors import NewDataSensor

PUBLISHED = "azureml://datastores/workspacefilestore/paths/iris"
RUN = "{{ dag_run.run_after | ts_nodash }}"

with DAG(
    "publish_outputs",
    schedule=None,
    max_active_runs=1,
    default_args={"workspace_conn_id": "ml_workspace"},
    tags=["azureml"],
    doc_md=__doc__,
):
    evaluate = RunExperimentOperator(
        task_id="evaluate",
        experiment="iris",
        code="publish_outputs_code",
        command=(
            "python evaluate.py --folds ${{inputs.folds}} --run " + RUN + " --model ${{outputs.model}}"
            " --scores ${{outputs.scores}} --card ${{outputs.card}}"
        ),
        inputs={"folds": 5},
        outputs={"model": Output(), "scores": Output(), "card": Output(type="uri_file")},
        metrics="card",
    )
    # The default: a target that holds data already is an error.
    keep = PublishOutputsOperator(
        task_id="keep",
        run=evaluate.output,
        outputs={"model": f"{PUBLISHED}/runs/{RUN}/", "card": f"{PUBLISHED}/cards/{RUN}.json"},
    )
    # What was there is gone afterwards; the run's other outputs stay unpublished.
    replace = PublishOutputsOperator(
        task_id="replace", run=evaluate.output, outputs={"model": f"{PUBLISHED}/latest/"}, policy="overwrite"
    )
    # Files are added to those of earlier runs.
    collect = PublishOutputsOperator(
        task_id="collect", run=evaluate.output, outputs={"scores": f"{PUBLISHED}/scores/"}, policy="merge"
    )
    # Somebody else's DAG would begin here: it needs to know the place, and that it is complete.
    new_model = NewDataSensor(
        task_id="new_model", path=f"{PUBLISHED}/latest/", done_marker="_SUCCESS", poke_interval=5, timeout=600
    )
    take = IngestToExperimentOperator(task_id="take", experiment="serving", inputs={"model": new_model.output})

    evaluate >> [keep, collect, replace]
    replace >> new_model >> take
