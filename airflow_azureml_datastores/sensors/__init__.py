"""Sensors."""

from airflow_azureml_datastores.sensors.new_data import NewDataSensor
from airflow_azureml_datastores.sensors.new_rows import NewRowsSensor

__all__ = ["NewDataSensor", "NewRowsSensor"]
