"""Triggers: what a deferred task waits for."""

from airflow_azureml_datastores.triggers.job import JobTrigger
from airflow_azureml_datastores.triggers.new_data import NewDataTrigger

__all__ = ["JobTrigger", "NewDataTrigger"]
