"""Operators: one per verb."""

from airflow_azureml_datastores.operators.datastores import (
    ListDatastoresOperator,
    RegisterDatastoreOperator,
    SetDefaultDatastoreOperator,
    UnregisterDatastoreOperator,
)
from airflow_azureml_datastores.operators.experiments import (
    IngestToExperimentOperator,
    PublishOutputsOperator,
)
from airflow_azureml_datastores.operators.files import (
    CopyDatastoreOperator,
    DownloadFromDatastoreOperator,
    UploadToDatastoreOperator,
)
from airflow_azureml_datastores.operators.run_experiment import RunExperimentOperator

__all__ = [
    "CopyDatastoreOperator",
    "DownloadFromDatastoreOperator",
    "IngestToExperimentOperator",
    "ListDatastoresOperator",
    "PublishOutputsOperator",
    "RegisterDatastoreOperator",
    "RunExperimentOperator",
    "SetDefaultDatastoreOperator",
    "UnregisterDatastoreOperator",
    "UploadToDatastoreOperator",
]
