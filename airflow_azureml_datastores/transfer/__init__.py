"""Moving files from one store to another: knows only the port, neither clouds nor Airflow."""
