"""The fixtures of a fleet, for its commands."""

from tests.fleet.conftest import dsn, postgres

__all__ = ["dsn", "postgres"]
