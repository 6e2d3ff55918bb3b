"""The example pipeline, run three times in one process: ``make demo``, or ``python -m dags_examples.demo``."""
