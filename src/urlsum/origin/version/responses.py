"""One response held against a version of the file: that of the whole file, or that of a range of it.

A range says nothing about the file that a plain GET does not say as well: where its response cannot be used, it is
Refused, and a plain GET decides.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from urlsum.errors import (
    AnotherKind,
    BadRedirect,
    Blocked,
    Changed,
    ConnectFailed,
    DnsFailed,
    HttpFailed,
    Incomplete,
    ProtocolViolated,
    TimedOut,
    TlsFailed,
    Unsteady,
    Unverifiable,
)
from urlsum.origin.http11.response import range_of_part, range_of_whole
from urlsum.origin.version.file_client import PARTIAL
from urlsum.origin.version.version import Version

if TYPE_CHECKING:
    from collections.abc import Iterator

    from urlsum.origin.http11.body import ResponseBody
    from urlsum.origin.http11.client import Fields
    from urlsum.origin.http11.connection import Connection
    from urlsum.origin.http11.response import ResponseHead
    from urlsum.origin.version.file_client import FileClient

# A refusal of these may have nothing to do with the range (RFC 9110, 15.5.9; RFC 8470, 5.2; RFC 6585, 4).
PASSING_4XX = frozenset({408, 425, 429})
# These are about the request itself (RFC 9110, 15.6.2 and 15.6.6): the same request meets them again.
LASTING_5XX = frozenset({501, 505})


@dataclass(frozen=True, slots=True)
class OpenResponse:
    """A response of ``version``, as it describes itself, whose next byte is the one at ``first``."""

    body: ResponseBody
    version: Version
    first: int


class Differs(Changed):
    """A well-formed response describes another version, ``now``."""

    def __init__(self, message: str, now: Version) -> None:
        super().__init__(message)
        self.now = now


class OtherBytes(Changed):
    """The bytes before the offset are not those that were hashed."""


class Refused(Exception):
    """The range request brought nothing that can be used.

    ``passing`` where the same request may work a moment later, ``other_bytes`` where the range has other bytes than
    were read there before, ``other_length`` where it tells another length of the file.
    """

    def __init__(
        self, reason: object, *, passing: bool = False, other_bytes: bool = False, other_length: bool = False
    ) -> None:
        super().__init__(str(reason))
        self.passing = passing
        self.other_bytes = other_bytes
        self.other_length = other_length


def open_range(
    file: FileClient, connection: Connection, head: ResponseHead, first: int, version: Version
) -> OpenResponse:
    """The response to a range request from ``first`` on, whose body may begin before it.

    Closes the connection when it is of no use. Raises HttpFailed, ProtocolViolated, Unverifiable, Differs, TooLarge.
    """
    with closed_on_error(connection):
        if head.status != PARTIAL:
            raise file.failed(head)
        byte_range = range_of_part(head, first, version.size)
        now = Version.of(head, byte_range.total)
        if difference := version.difference(now):
            raise Differs(f"{head.target}: {difference}", now)
        size = version.size if now.size is None else now.size
        return OpenResponse(file.body(connection, head, byte_range, size=size), now, byte_range.first)


def open_whole(
    file: FileClient, connection: Connection, head: ResponseHead, version: Version | None = None, *, done: str = ""
) -> OpenResponse:
    """The response to a plain GET, held against ``version`` if there is one; ``done`` ends the message of an error.

    Closes the connection when it is of no use. Raises Unverifiable, AnotherKind, Unsteady, Changed, TooLarge.
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
    """Hold what a response to a plain GET says of the file against ``version``. Raises AnotherKind, Changed."""
    difference = version.difference(now)
    if difference is None:
        return
    if version.is_dated_by_response(now):
        raise Unsteady(f"{head.target}: its Last-Modified is the time of each response{done}")
    if version.is_another_kind_than(now):
        size = "" if now.size is None else f", {now.size} bytes"
        raise AnotherKind(
            f"{head.target}: the server sends something else now ({now.kind or 'of no type'}{size}), perhaps an error"
            f" or login page, where the file was {version.kind or 'of no type'}{done}"
        )
    raise Changed(f"{head.target}: {difference}{done}")


def range_fields(first: int, version: Version, end: int | None = None) -> Fields:
    """A range request from ``first`` up to ``end``, or to the end of the file, under the condition of the version."""
    wanted = ("Range", f"bytes={first}-{'' if end is None else end - 1}")
    tag = version.if_range
    return (wanted, ("If-Range", tag)) if tag else (wanted,)


@contextmanager
def refusals(but: type[Exception] | tuple[()] = ()) -> Iterator[None]:
    """Raise Refused where the response to a range request says something that a plain GET need not say.

    ``but`` is left as it is.
    """
    try:
        yield
    except but:
        raise
    except HttpFailed as exc:
        # Who asks to be left alone for a while is not asked for the range again at once.
        raise Refused(exc, passing=may_pass(exc.status) and exc.retry_after is None) from exc
    except OtherBytes as exc:
        # The range of another place, or in another coding: the plain GET shows it, or that the file has changed.
        raise Refused(exc, other_bytes=True) from exc
    except (ProtocolViolated, BadRedirect, Unverifiable, Changed) as exc:
        raise Refused(exc) from exc
    except (Incomplete, TimedOut) as exc:
        raise Refused(exc, passing=True) from exc
    except (ConnectFailed, DnsFailed, TlsFailed, Blocked) as exc:
        # A range may be redirected where the whole file is not; the host of the file is the same for both.
        if exc.redirected:
            raise Refused(exc) from exc
        raise


def may_pass(status: int) -> bool:
    """Whether a later request may be answered otherwise than with ``status``, whatever it asks for."""
    if status < 500:  # noqa: PLR2004 - RFC 9110, 15.6
        return status in PASSING_4XX
    return status not in LASTING_5XX


@contextmanager
def closed_on_error(connection: Connection) -> Iterator[None]:
    """Close ``connection`` when the block fails: what its response would still bring belongs to nobody."""
    try:
        yield
    except BaseException:
        connection.close()
        raise
