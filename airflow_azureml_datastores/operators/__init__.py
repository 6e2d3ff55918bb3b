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
    RunExperimentOperator,
)
from airflow_azureml_datastores.operators.files import (
    CopyDatastoreOperator,
    DownloadFromDatastoreOperator,
    UploadToDatastoreOperator,
)

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
