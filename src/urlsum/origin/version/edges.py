"""Finds the CDN edge that serves the version: edges of one host name may each make their own ETags."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from urlsum.errors import Changed, Unsteady
from urlsum.origin.version.file_client import OK, PARTIAL
from urlsum.origin.version.version import Version

if TYPE_CHECKING:
    from urlsum.origin.http11.client import Field
    from urlsum.origin.http11.connection import Connection
    from urlsum.origin.http11.response import ResponseHead
    from urlsum.origin.version.file_client import Get

# The limit of requests for our edge, and that of responses with the same other validators. Of two edges that take
# turns, the next is ours; two at random miss ours in four requests once in sixteen times. A replaced file costs four
# requests until the change counts.
TRIES = 8
SAME_TRIES = 4
# This many different ETags of one length and date, or dates of one ETag, are no versions of a file: each response, or
# each of many machines, makes its own.
DIFFERENT = 3


def get_from_same_edge(get: Get, version: Version, *fields: Field) -> tuple[Connection, ResponseHead, Version]:
    """The first response to ``get`` that is not of another edge, and the version to check it against.

    Raises the errors of ``get``, Changed when only other edges respond (the file was replaced), and Unsteady when each
    response has an ETag of its own.
    """
    others: Counter[tuple[str | None, int | None]] = Counter()
    while True:
        connection, head = get(*fields)
        try:
            size = head.length if head.status == OK else version.size
            now = Version.of(head, size)
            # The ETags of two codings differ, and each range has its own; what it proves, its reader decides.
            recoded = head.status == PARTIAL and now.coding != version.coding
            if head.status not in (OK, PARTIAL) or recoded or not version.is_another_edge_of(now):
                return connection, head, version
            others[now.etag, now.modified] += 1
            given_up = max(others.values()) >= SAME_TRIES or others.total() >= TRIES
            if given_up and len(others) >= DIFFERENT:
                if now.etag == version.etag:
                    return connection, head, version
                if version.settled:
                    # The date suffices: a change since the first response would show in it.
                    return connection, head, version.without_tag
        except BaseException:
            connection.close()
            raise
        # Only a new connection can reach another edge.
        connection.close()
        if given_up and len({etag for etag, _ in others}) >= DIFFERENT:
            raise Unsteady(f"{head.target}: every response has a different ETag")
        if given_up:
            what = "ETag" if now.etag != version.etag else "Last-Modified date"
            raise Changed(f"{head.target}: the {what} changed")
