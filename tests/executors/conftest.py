"""The fixtures of a fleet, for tests that run one."""

from tests.fleet.conftest import dsn, postgres

__all__ = ["dsn", "postgres"]
