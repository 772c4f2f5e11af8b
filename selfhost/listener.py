"""The socket of the self-hosted server, and how many connections the limit of open files leaves for it."""

from __future__ import annotations

import errno
import logging
import resource
import socket

from urlsum.settings import LOCALHOST

# A kernel without IPv6, or an interface lo without ::1, as in many containers.
NO_IPV6 = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL})

log = logging.getLogger("urlsum.server")

# Every address of this machine, IPv6 and IPv4.
EVERYWHERE = "::"

# Connections that the kernel completes before the server accepts them. asyncio accepts at most as many at once before
# the limit of connections is applied to them.
BACKLOG = 512
# Open files besides accepted connections: the databases (15 connections to MySQL, or 2 with three files each), Redis,
# the worker's pipe, the event loop's own, and modules that are imported late.
OTHER_FILES = 128


def listen_everywhere(host: str, port: int) -> list[socket.socket]:
    """The sockets that listen on ``host`` and ``port``: for localhost those of loopback, IPv4 first. Raises OSError.

    Browsers and curl try ::1 first for localhost, and another program may have its port.
    """
    if host != LOCALHOST:
        return [listen(host, port)]
    first = listen("127.0.0.1", port)
    try:
        return [first, listen("::1", port)]
    except OSError as exc:
        if exc.errno in NO_IPV6:
            return [first]
        first.close()
        raise


def listen(host: str, port: int) -> socket.socket:
    """A TCP socket that listens on ``host`` and ``port``; on ``::`` for IPv4 as well. Raises OSError.

    ``socket.create_server`` leaves the protocol at 0, and asyncio sets TCP_NODELAY only where it is IPPROTO_TCP. With
    Nagle's algorithm the body of each response on a kept-alive connection waits for the client's delayed ACK of the
    head: 40 ms on Linux.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    except OSError:
        if host != EVERYWHERE:
            raise
        # A kernel without IPv6 (ipv6.disable=1).
        return listen("0.0.0.0", port)  # noqa: S104 - as asked for
    try:
        # A restart must not wait for the connections of the last run, which are in TIME_WAIT.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # Else net.ipv6.bindv6only decides.
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, host != EVERYWHERE)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def connections_within_limits(wanted: int) -> int:
    """How many connections, at most ``wanted``, fit into the limit of open files, which is raised for them if possible.

    Shells set the soft limit to 1024 or less and leave the hard one higher. No more than needed is taken.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + BACKLOG + OTHER_FILES
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    raised = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
    # With a very low limit half of the files are left for the rest.
    fitting = max(raised - BACKLOG - OTHER_FILES, raised // 2)
    if fitting >= wanted:
        return wanted
    log.warning("at most %s open files are allowed, so MAX_CONNECTIONS is %s instead of %s", raised, fitting, wanted)
    return fitting
