"""The domain, without Airflow and without any cloud library: it can be read and tested on its own."""
