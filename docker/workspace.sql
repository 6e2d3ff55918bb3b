-- Runs once, when the database server starts on an empty volume.
CREATE DATABASE azureml_workspace;
