"""Checks one response, to a plain GET or to a range request, against a version of the file."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from urlsum.errors import AnotherKind, Changed, Unsteady
from urlsum.origin.http11.response import range_of_part, range_of_whole
from urlsum.origin.version.file_client import PARTIAL
from urlsum.origin.version.version import MESSAGE_TYPES, PAGE_TYPES, Version

if TYPE_CHECKING:
    from collections.abc import Iterator

    from urlsum.origin.http11.body import ResponseBody
    from urlsum.origin.http11.client import Fields
    from urlsum.origin.http11.connection import Connection
    from urlsum.origin.http11.response import ResponseHead
    from urlsum.origin.version.file_client import FileClient


class OpenResponse(Struct, frozen=True):
    """A response of ``version``, by its own validators, whose next byte is the one at ``first``."""

    body: ResponseBody
    version: Version
    first: int


class DifferentVersion(Changed):
    """A well-formed response describes another version, ``now``."""

    def __init__(self, message: str, now: Version) -> None:
        super().__init__(message)
        self.now = now


def open_range(
    file: FileClient, connection: Connection, head: ResponseHead, first: int, version: Version
) -> OpenResponse:
    """The response to a range request from ``first`` on; its body may begin before ``first``.

    Closes the connection on every error. Raises HttpFailed, ProtocolViolated, Unverifiable, DifferentVersion, TooLarge.
    """
    with closed_on_error(connection):
        if head.status != PARTIAL:
            raise file.status_error(head)
        byte_range = range_of_part(head, first, version.size)
        now = Version.of(head, byte_range.total)
        if difference := version.difference(now):
            raise DifferentVersion(f"{head.target}: {difference}", now)
        size = version.size if now.size is None else now.size
        return OpenResponse(file.body(connection, head, byte_range, size=size), now, byte_range.first)


def open_whole(
    file: FileClient, connection: Connection, head: ResponseHead, version: Version | None = None, *, done: str = ""
) -> OpenResponse:
    """The response to a plain GET, checked against ``version`` if given; ``done`` is appended to error messages.

    Closes the connection on every error. Raises Unverifiable, AnotherKind, Unsteady, Changed, TooLarge.
    """
    with closed_on_error(connection):
        known_size = None if version is None else version.size
        byte_range = range_of_whole(head, known_size)
        now = Version.of(head, byte_range.total)
        if version is not None:
            check_same(head, version, now, done)
        size = known_size if now.size is None else now.size
        return OpenResponse(
            file.body(connection, head, byte_range, size=size), replace(now, size=size), byte_range.first
        )


def check_same(head: ResponseHead, version: Version, now: Version, done: str) -> None:
    """Check ``now``, of a response to a plain GET, against ``version``. Raises AnotherKind, Unsteady, Changed."""
    difference = version.difference(now)
    if difference is None:
        return
    if version.is_dated_by_response(now):
        raise Unsteady(f"{head.target}: the Last-Modified date is the time of the response{done}")
    if version.is_replaced_by_message(now):
        size = "" if now.size is None else f" of {now.size} bytes"
        raise AnotherKind(
            f"{head.target}: the server now sends {_shown(now.kind)}{size} in place of the file, perhaps an error or"
            f" login page{done}",
            raw=f"{now.kind or 'no type'} where the file was {version.kind or 'of no type'}",
        )
    raise Changed(f"{head.target}: {difference}{done}")


def _shown(kind: str | None) -> str:
    """The media type in words; an origin chooses other types freely, so a text must not have them."""
    if kind in PAGE_TYPES:
        return "a web page"
    return "JSON" if kind in MESSAGE_TYPES else "something else"


def range_fields(first: int, version: Version, end: int | None = None) -> Fields:
    """The fields of a range request from ``first`` up to ``end`` or the end of the file; If-Range where possible."""
    byte_range = ("Range", f"bytes={first}-{'' if end is None else end - 1}")
    tag = version.if_range
    return (byte_range, ("If-Range", tag)) if tag else (byte_range,)


@contextmanager
def closed_on_error(connection: Connection) -> Iterator[None]:
    """Close ``connection`` when the block fails: the rest of its response has no reader."""
    try:
        yield
    except BaseException:
        connection.close()
        raise
