"""The simulated world of the stream's readers, for the tests of what the audit makes of records."""

from tests.streams.conftest import new_world, world

__all__ = ["new_world", "world"]
