"""Triggers: what a deferred task waits for."""

from airflow_azureml_datastores.triggers.job import JobTrigger
from airflow_azureml_datastores.triggers.new_data import NewDataTrigger
from airflow_azureml_datastores.triggers.new_rows import NewRowsTrigger

__all__ = ["JobTrigger", "NewDataTrigger", "NewRowsTrigger"]
