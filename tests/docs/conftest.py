"""The fixture of a fleet, for the pages about one."""

from tests.fleet.conftest import postgres

__all__ = ["postgres"]
