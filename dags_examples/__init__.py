"""Example DAGs: each is a file of its own that runs on an embedded workspace, and against Azure by its connections."""
