"""Where an experiment's command runs."""
