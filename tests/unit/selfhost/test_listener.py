"""The sockets of the server, and how many connections fit into the limit of open files.

The limit is tried in a process of its own, since it cannot be raised again.
"""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from selfhost import listener
from selfhost.listener import BACKLOG, OTHER_FILES

if TYPE_CHECKING:
    from collections.abc import Callable

OTHERS = BACKLOG + OTHER_FILES
SCRIPT = """
import logging, resource, sys
from selfhost.listener import connections_within_limits
soft, hard, wanted = map(int, sys.argv[1:])
logging.basicConfig(format="%(message)s")
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
print(connections_within_limits(wanted), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "fitting", "raised"),
    [
        (256, 4096, 2048, 2048, 2048 + OTHERS),
        (4096, 4096, 2048, 2048, 4096),
        (256, 4096, 4000, 4096 - OTHERS, 4096),
        (256, 1024, 2048, 512, 1024),
        (256, 256, 2048, 128, 256),
        (256, 256, 100, 100, 256),
    ],
)
def test_the_limit_of_open_files_is_raised_as_far_as_needed(
    soft: int, hard: int, wanted: int, fitting: int, raised: int
) -> None:
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[1] >= 4096
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, *map(str, (soft, hard, wanted))], capture_output=True, text=True, check=True
    )
    assert [int(each) for each in ended.stdout.split()] == [fitting, raised, hard]
    assert ("MAX_CONNECTIONS" in ended.stderr) is (fitting < wanted)


class Socket:
    """A socket that only knows whether it is open."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.open = True

    def close(self) -> None:
        self.open = False


def opener(opened: list[Socket], **refused: int) -> Callable[[str, int], Socket]:
    def listen(host: str, port: int) -> Socket:
        assert port == 5000
        if number := refused.get("v6" if ":" in host else "v4"):
            raise OSError(number, os.strerror(number))
        opened.append(Socket(host))
        return opened[-1]

    return listen


@pytest.mark.parametrize(
    ("host", "refused", "hosts"),
    [
        ("localhost", {}, ["127.0.0.1", "::1"]),
        ("localhost", {"v6": errno.EADDRNOTAVAIL}, ["127.0.0.1"]),
        ("localhost", {"v6": errno.EAFNOSUPPORT}, ["127.0.0.1"]),
        ("127.0.0.1", {}, ["127.0.0.1"]),
        ("::1", {}, ["::1"]),
        ("0.0.0.0", {}, ["0.0.0.0"]),
    ],
)
def test_localhost_is_both_addresses_of_loopback(
    monkeypatch: pytest.MonkeyPatch, host: str, refused: dict[str, int], hosts: list[str]
) -> None:
    opened: list[Socket] = []
    monkeypatch.setattr(listener, "listen", opener(opened, **refused))
    listener.listen_everywhere(host, 5000)
    assert [(each.host, each.open) for each in opened] == [(each, True) for each in hosts]


@pytest.mark.parametrize("family", ["v4", "v6"])
def test_a_port_that_another_program_has_is_an_error_and_leaves_nothing_open(
    monkeypatch: pytest.MonkeyPatch, family: str
) -> None:
    opened: list[Socket] = []
    monkeypatch.setattr(listener, "listen", opener(opened, **{family: errno.EADDRINUSE}))
    with pytest.raises(OSError, match="in use"):
        listener.listen_everywhere("localhost", 5000)
    assert not any(each.open for each in opened)
