"""The fixtures of the origin's tests."""

from tests.integration.origin.conftest import authority, ca_file, serve, sound_connections

__all__ = ["authority", "ca_file", "serve", "sound_connections"]
