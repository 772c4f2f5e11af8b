"""The fixtures of the origin's tests."""

from tests.integration.origin.conftest import authority, ca_file, serve

__all__ = ["authority", "ca_file", "serve"]
