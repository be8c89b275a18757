"""Invented names, one word each, for the first people of the world; a name says nothing about looks."""

NAMED = 3000
"""People with seeds below this have a name."""


def name_of(seed: int) -> str | None:
    """Name of a person, or None for the unnamed: lower case, six letters (so that none begins another)."""
    raise NotImplementedError


def seed_of(name: str) -> int:
    """Seed of a named person; raises WorldError for a name nobody has."""
    raise NotImplementedError
