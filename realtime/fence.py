"""Which weddings are synthetic: those of a drill on the running fleet. Nothing in them counts for the promise, or pages."""

from __future__ import annotations

PREFIX = "drill-"
"""Of their names; no real wedding may be called so."""


def fenced(wedding: str) -> bool:
    """Whether this wedding belongs to a drill."""
    return wedding.startswith(PREFIX)
