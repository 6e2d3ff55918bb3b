"""TaskFlow decorators."""

from airflow_azureml_datastores.decorators.experiment import experiment_task

__all__ = ["experiment_task"]
