"""The servers that tests talk to, and where they come from."""
