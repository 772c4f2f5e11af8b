"""What requests need beside the URL where a person runs urlsum: fields that prove who asks, and a proxy.

A service has neither: strangers submit its URLs.
"""

from __future__ import annotations

import socket
from binascii import b2a_base64
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from urlsum.errors import ConnectFailed, DeadlineReached
from urlsum.origin.http11.phrases import NO_PROXY, PROXY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from urlsum.deadline import Deadline
    from urlsum.origin.guard.url import Target

# More than the head of any response to CONNECT.
MOST_HEAD_BYTES = 65_536
END_OF_HEAD = b"\r\n\r\n"
# Proxy Authentication Required (RFC 9110, 15.5.8).
PASSWORD_WANTED = 407


class Access(Protocol):
    """How to ask for a target. Thread-safe."""

    def fields(self, target: Target) -> Sequence[tuple[str, str]]:
        """Further fields of a request for ``target``; each takes the place of urlsum's own of that name."""
        ...

    def proxy(self, target: Target) -> Proxy | None:
        """The proxy to ``target``; None to connect directly. Raises SettingsError."""
        ...


class Direct:
    """No further fields, and no proxy."""

    def fields(self, target: Target) -> Sequence[tuple[str, str]]:  # noqa: ARG002 - the protocol's
        """None."""
        return ()

    def proxy(self, target: Target) -> Proxy | None:  # noqa: ARG002 - the protocol's
        """None."""
        return None


class Proxy(Struct, frozen=True):
    """An HTTP proxy. It resolves names and connects by itself, so the guard judges only what stands in the URL."""

    host: str
    port: int
    user: str | None = None
    password: str = ""

    @property
    def fields(self) -> Sequence[tuple[str, str]]:
        """The fields for the proxy itself."""
        if self.user is None:
            return ()
        return (("Proxy-Authorization", basic(self.user, self.password)),)

    def connect(self, target: Target, *, within: float, deadline: Deadline) -> socket.socket:
        """A connection to the proxy, to https through a tunnel (RFC 9110, 9.3.6), within some seconds.

        Raises ConnectFailed, DeadlineReached.
        """
        limit = deadline.within(within)
        try:
            connection = socket.create_connection((self.host, self.port), timeout=_left(limit))
        except OSError as exc:
            self._check(deadline)
            raise ConnectFailed(f"{target}: could not connect to {PROXY}{self}: {exc.strerror or exc}") from exc
        try:
            if target.secure:
                self._tunnel(connection, target, limit)
        except OSError as exc:
            connection.close()
            self._check(deadline)
            raise ConnectFailed(f"{target}: {PROXY}{self} opened no tunnel: {exc.strerror or exc}") from exc
        except BaseException:
            connection.close()
            raise
        return connection

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    def _tunnel(self, connection: socket.socket, target: Target, limit: Deadline) -> None:
        host = f"[{target.host}]" if ":" in target.host else target.host
        authority = f"{host}:{target.port}"
        fields = "".join(f"{name}: {value}\r\n" for name, value in (("Host", authority), *self.fields))
        connection.sendall(f"CONNECT {authority} HTTP/1.1\r\n{fields}\r\n".encode("latin-1"))
        head = b""
        # Byte by byte, because what follows the head belongs to TLS.
        while not head.endswith(END_OF_HEAD):
            connection.settimeout(_left(limit))
            piece = connection.recv(1)
            if not piece or len(head) > MOST_HEAD_BYTES:
                raise ConnectFailed(f"{target}: {PROXY}{self} sent no complete response")
            head += piece
        status = head[9:12].decode("latin-1") if head.startswith(b"HTTP/1.") else ""
        if not status.isdecimal():
            raise ConnectFailed(f"{target}: {self} {NO_PROXY}")
        if not status.startswith("2"):
            why = "wants a user and a password" if int(status) == PASSWORD_WANTED else f"answered with status {status}"
            raise ConnectFailed(f"{target}: {PROXY}{self} {why}")

    @staticmethod
    def _check(deadline: Deadline) -> None:
        if deadline.expired:
            raise DeadlineReached


def basic(user: str, password: str) -> str:
    """The value of an Authorization field (RFC 7617)."""
    return f"Basic {b2a_base64(f'{user}:{password}'.encode(), newline=False).decode()}"


def _left(limit: Deadline) -> float:
    left = limit.remaining()
    if left <= 0:
        raise TimeoutError("no time left")
    return left
