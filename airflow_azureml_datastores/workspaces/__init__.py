"""Workspaces: what remembers datastores by name and which one is the default."""
