"""Edges of one name with ETags of their own: asks again until the one answers whose ETag is that of the version."""

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

# How often a name is asked for the edge that is ours, and how many of the responses may say the same other thing. Two
# edges that take turns show ours at once, two at random miss it once in sixteen times; and a file that was replaced
# costs four requests until that is believed.
TRIES = 8
SAME_TRIES = 4
# So many different ETags of one length and date, or dates of one ETag, are no versions of a file: each response, or
# each of many machines, makes its own.
DIFFERENT = 3


def same_edge(get: Get, version: Version, *fields: Field) -> tuple[Connection, ResponseHead, Version]:
    """The first response to ``get`` that is not of another edge, whatever else it is, and the version to hold it to.

    Raises what ``get`` does, and Changed when there is none: then the file was replaced.
    """
    others: Counter[tuple[str | None, int | None]] = Counter()
    while True:
        connection, head = get(*fields)
        try:
            size = head.length if head.status == OK else version.size
            now = Version.of(head, size)
            if head.status not in (OK, PARTIAL) or not version.is_another_edge_of(now):
                return connection, head, version
            others[now.etag, now.modified] += 1
            given_up = max(others.values()) >= SAME_TRIES or others.total() >= TRIES
            if given_up and len(others) >= DIFFERENT:
                if now.etag == version.etag:
                    return connection, head, version
                if version.settled:
                    # The date has to do, and does: a change since the first response would show in it.
                    return connection, head, version.without_tag
        except BaseException:
            connection.close()
            raise
        # Only a new connection can lead to another edge.
        connection.close()
        if given_up and len({etag for etag, _ in others}) >= DIFFERENT:
            raise Unsteady(f"{head.target}: its ETag differs in each response")
        if given_up:
            what = "ETag" if now.etag != version.etag else "Last-Modified"
            raise Changed(f"{head.target}: its {what} changed")
