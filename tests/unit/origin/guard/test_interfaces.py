"""The addresses of this machine: how the C library lists them, on systems that differ."""

from __future__ import annotations

import ctypes
import socket
import sys
from ipaddress import ip_address

import pytest

from urlsum.origin.guard import interfaces
from urlsum.origin.guard.interfaces import interface_addresses

IPV4 = b"\x00\x50" + bytes([192, 0, 2, 7]) + bytes(8)
IPV6 = b"\x00\x50" + bytes(4) + ip_address("2001:db8::7").packed + bytes(4)


class Entries:
    """A list of entries in memory, one for each socket address; None is an interface without one."""

    def __init__(self, *socket_addresses: bytes | None) -> None:
        self._memory = [ctypes.create_string_buffer(each, len(each)) if each else None for each in socket_addresses]
        self.entries = [interfaces._Entry() for _ in self._memory]
        for number, memory in enumerate(self._memory):
            entry = self.entries[number]
            entry.address = ctypes.addressof(memory) if memory else None
            if number + 1 < len(self.entries):
                entry.next = ctypes.pointer(self.entries[number + 1])

    def addresses(self) -> list[str]:
        return [str(address) for address in interfaces._addresses(ctypes.pointer(self.entries[0]))]


def test_loopback_is_among_them() -> None:
    assert ip_address("127.0.0.1") in interface_addresses()


@pytest.mark.parametrize("length_first", [True, False], ids=["BSD", "Linux"])
def test_entries_are_read_as_the_system_lays_them_out(monkeypatch: pytest.MonkeyPatch, *, length_first: bool) -> None:
    monkeypatch.setattr(interfaces, "_LENGTH_FIRST", length_first)

    def head(family: int, length: int) -> bytes:
        return bytes([length, family]) if length_first else family.to_bytes(2, sys.byteorder)

    another = head(17, 20) + bytes(18)  # a link-layer address
    listed = Entries(None, head(socket.AF_INET, 16) + IPV4, another, head(socket.AF_INET6, 28) + IPV6, None)
    assert listed.addresses() == ["192.0.2.7", "2001:db8::7"]


def test_where_there_is_no_getifaddrs_the_own_name_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(host: str, port: object, **more: object) -> list[object]:
        assert host == socket.gethostname()
        return [(0, 0, 0, "", ("192.0.2.7", 0)), (0, 0, 0, "", ("fe80::7%4", 0, 0, 4))]

    monkeypatch.setattr(ctypes, "CDLL", lambda *name, **more: object())
    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert interface_addresses() == {ip_address("192.0.2.7"), ip_address("fe80::7")}


def test_a_failure_to_list_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Libc:
        freeifaddrs = None

        @staticmethod
        def getifaddrs(first: object) -> int:
            ctypes.set_errno(1)
            return -1

    monkeypatch.setattr(ctypes, "CDLL", lambda *name, **more: Libc)
    with pytest.raises(PermissionError):
        interface_addresses()
