"""Which server the health check of a container asks."""

from __future__ import annotations

import pytest

from selfhost import health

COMMAND = "python -m selfhost.server"


@pytest.mark.parametrize(
    ("arguments", "address"),
    [
        ("", "127.0.0.1"),
        ("--host ::", "127.0.0.1"),
        ("--host 0.0.0.0", "127.0.0.1"),
        ("--host=::", "127.0.0.1"),
        ("--host ::1", "::1"),
        ("--host=fd00::5", "fd00::5"),
        ("--host :: --host 192.0.2.1", "192.0.2.1"),
        ("--host 192.0.2.1 --host=::", "127.0.0.1"),
    ],
)
def test_the_check_follows_the_address_that_the_server_listens_on(arguments: str, address: str) -> None:
    command = "\0".join([*COMMAND.split(), *arguments.split(), ""]).encode()
    assert health.kind(command) == "server"
    assert health.address(command) == address
