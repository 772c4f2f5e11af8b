"""A network namespace in which every address responds: canaries for addresses, a DNS server for names.

Runs inside ``unshare --net --mount``, as root. Nothing in it can reach the real network.
"""

from __future__ import annotations

import selectors
import socket
import subprocess
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING, Self

import dns.flags
import dns.message
import dns.rcode
import dns.rrset

from tests.support.origin.origin_server import Request, Script, Trickle, close_politely, read_request

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from dns.rrset import RRset

Endpoint = tuple[str, int]
DNS_PORT = 53
INSIDE = ("127.0.0.1", "::1")


def enter(directory: Path, *, hosts: str, search: str, own: Iterable[str]) -> None:
    """Make every address local, and have getaddrinfo read the test's own files.

    ``hosts`` is /etc/hosts, ``search`` the domain of the search list, ``own`` the addresses of the interface.
    """
    files = {
        "/etc/resolv.conf": f"nameserver 127.0.0.1\nsearch {search}\noptions timeout:2 attempts:2\n",
        "/etc/nsswitch.conf": "hosts: files dns\n",
        "/etc/hosts": hosts,
    }
    run("mount --make-rprivate /")
    for number, (path, text) in enumerate(files.items()):
        ours = directory / f"etc-{number}"
        ours.write_text(text)
        run(f"mount --bind {ours} {path}")
    run("ip link set lo up")
    run("ip route add local 0.0.0.0/0 dev lo")
    run("ip -6 route add local ::/0 dev lo")
    for address in own:
        run(f"ip address add {address} dev lo")


def run(command: str) -> None:
    subprocess.run(command.split(), check=True)


@dataclass
class NameServer:
    """Answers on 127.0.0.1:53.

    ``names`` has the addresses of a name for its first look-up, its second, and so on; the last entry repeats.
    ``aliases`` are CNAMEs. Names in the domains of ``missing`` do not exist; every other name has a blocked address, so
    that a leak is noticed. ``late`` delays the answers to a name, in seconds; ``failing`` are names without one.
    """

    names: Mapping[str, Sequence[Sequence[str]]]
    aliases: Mapping[str, str] = field(default_factory=dict)
    missing: Sequence[str] = ()
    late: dict[str, float] = field(default_factory=dict)
    failing: set[str] = field(default_factory=set)
    asked: Counter[tuple[str, str]] = field(default_factory=Counter)

    def __enter__(self) -> Self:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", DNS_PORT))
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", ("127.0.0.1", DNS_PORT))
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            wire, sender = self._socket.recvfrom(4096)
            if not wire:
                return
            query = dns.message.from_wire(wire)
            answer = dns.message.make_response(query)
            answer.flags |= dns.flags.RA
            question = query.question[0]
            kind = question.rdtype.name if hasattr(question.rdtype, "name") else str(question.rdtype)
            name = question.name.to_text(omit_final_dot=True).lower()
            if name in self.failing:
                answer.set_rcode(dns.rcode.SERVFAIL)
            elif name not in self.names and name.endswith(tuple(f".{domain}" for domain in self.missing)):
                self.asked[name, kind] += 1
                answer.set_rcode(dns.rcode.NXDOMAIN)
            else:
                answer.answer = list(self._records(name, kind))
            wire = answer.to_wire()
            if name in self.late:
                timer = threading.Timer(self.late[name], self._socket.sendto, (wire, sender))
                timer.daemon = True
                timer.start()
            else:
                self._socket.sendto(wire, sender)

    def _records(self, name: str, kind: str) -> Iterable[RRset]:
        if name in self.aliases:
            yield dns.rrset.from_text(f"{name}.", 0, "IN", "CNAME", f"{self.aliases[name]}.")
            name = self.aliases[name]
        steps = self.names.get(name, [INSIDE])
        addresses = steps[min(self.asked[name, kind], len(steps) - 1)]
        self.asked[name, kind] += 1
        version = {"A": 4, "AAAA": 6}.get(kind)
        texts = [text for text in addresses if ip_address(text).version == version]
        if texts:
            yield dns.rrset.from_text(f"{name}.", 0, "IN", kind, *texts)


class Canary:
    """Listens on every address, on the given ports; ``accepted`` has the target of each connection.

    ``script`` answers the requests; on the ports of ``tls`` after a handshake.
    """

    def __init__(self, script: Script, ports: Iterable[int], tls: Mapping[int, ssl.SSLContext]) -> None:
        self.accepted: list[Endpoint] = []
        self._script = script
        self._tls = tls
        self._lock = threading.Lock()
        self._listeners: list[socket.socket] = []
        for port in ports:
            for family, host in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
                # create_server() makes the second for IPv6 only.
                listener = socket.create_server((host, port), family=family, backlog=128)
                listener.setblocking(False)
                self._listeners.append(listener)

    def __enter__(self) -> Self:
        self._selector = selectors.DefaultSelector()
        for listener in self._listeners:
            self._selector.register(listener, selectors.EVENT_READ)
        self._woken, self._waker = socket.socketpair()
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._threads: list[threading.Thread] = []
        self._acceptor = threading.Thread(target=self._accept)
        self._acceptor.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._waker.send(b"!")
        self._acceptor.join()
        for thread in self._threads:
            thread.join()
        for opened in (*self._listeners, self._woken, self._waker):
            opened.close()
        self._selector.close()

    def drain(self) -> list[Endpoint]:
        """The connections since the last call, including those that still wait in a backlog."""
        with self._lock:
            for listener in self._listeners:
                self._take(listener)
            taken, self.accepted = self.accepted, []
            return taken

    def _accept(self) -> None:
        while True:
            ready = [key.fileobj for key, _ in self._selector.select()]
            if self._woken in ready:
                return
            with self._lock:
                for listener in ready:
                    assert isinstance(listener, socket.socket)
                    self._take(listener)

    def _take(self, listener: socket.socket) -> None:
        with suppress(BlockingIOError):
            while True:
                connection, _ = listener.accept()
                address, port = connection.getsockname()[:2]
                self.accepted.append((address, port))
                thread = threading.Thread(target=self._serve, args=(connection, port))
                self._threads.append(thread)
                thread.start()

    def _serve(self, plain: socket.socket, port: int) -> None:
        connection = plain
        try:
            plain.settimeout(5)
            if port in self._tls:
                connection = self._tls[port].wrap_socket(plain, server_side=True)
            taken = read_request(connection, 0)
            if taken is not None:
                self._answer(connection, taken[0])
        except OSError:
            pass  # the client may disconnect
        finally:
            connection.close()
            plain.close()

    def _answer(self, connection: socket.socket, request: Request) -> None:
        for step in self._script(request):
            if isinstance(step, Trickle):
                for start in range(0, len(step.data), step.size):
                    connection.sendall(step.data[start : start + step.size])
                    time.sleep(step.every)
            else:
                assert isinstance(step, bytes | memoryview)
                connection.sendall(step)
        close_politely(connection)
