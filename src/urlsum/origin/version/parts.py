"""Reads one stretch of a file across all the parts in which the origin sends it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from urlsum.errors import ProtocolViolated
from urlsum.origin.http11.body import OnlyPart
from urlsum.origin.version.responses import DifferentVersion, closed_on_error, open_range, range_fields

if TYPE_CHECKING:
    from urlsum.origin.http11.body import ResponseBody
    from urlsum.origin.version.file_client import FileClient
    from urlsum.origin.version.version import Version

# A server that sends smaller parts gets a request for the whole file: 1 MiB would take more than a thousand requests.
MIN_PART_BYTES = 1024


def read_across_parts(
    file: FileClient, body: ResponseBody, version: Version, first: int, end: int
) -> tuple[ResponseBody, memoryview]:
    """The response that continues at ``end``, and the bytes from ``first`` to ``end``, across any number of parts.

    Closes the connection on every error. Raises Changed, other OriginErrors, DeadlineReached.
    """
    received = memoryview(bytearray(end - first))
    while body.position < end:
        with closed_on_error(body.connection):
            try:
                body.skip_to(first, file.heartbeat)
                body.read_up_to(end, received, file.heartbeat)
            except OnlyPart:
                body = _request_next_part(file, body, version)
    return body, received


def _request_next_part(file: FileClient, body: ResponseBody, version: Version) -> ResponseBody:
    """The part directly after ``body``; the overlap proves both together. Raises OriginError."""
    at = body.position
    if (body.length or 0) < MIN_PART_BYTES:
        raise ProtocolViolated(f"{body.connection.target}: the server sends ranges of only {body.length} bytes")
    file.client.pool.release(body.connection)
    connection, head = file.get_at_target(*range_fields(at, version))
    different = f"{head.target}: the server did not send the requested range"
    try:
        part = open_range(file, connection, head, at, version)
    except DifferentVersion as exc:
        raise ProtocolViolated(different) from exc
    if part.first != at:
        connection.close()
        raise ProtocolViolated(different)
    return part.body
