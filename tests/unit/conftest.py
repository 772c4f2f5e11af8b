"""Unit tests open no sockets; a test that does is in the wrong folder."""

from __future__ import annotations

import pytest_socket


def pytest_runtest_setup() -> None:
    pytest_socket.disable_socket(allow_unix_socket=True)


def pytest_runtest_teardown() -> None:
    pytest_socket.enable_socket()
