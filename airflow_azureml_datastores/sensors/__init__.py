"""Sensors."""

from airflow_azureml_datastores.sensors.new_data import NewDataSensor

__all__ = ["NewDataSensor"]
