"""The servers that tests talk to, and where they come from."""

from __future__ import annotations


class NoServer(Exception):
    """A server cannot be had on this machine; the message says why."""
