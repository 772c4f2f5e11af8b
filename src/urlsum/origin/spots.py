"""Reads a few places of a file by range requests: enough to see that two files differ, without reading either."""

from __future__ import annotations

from typing import TYPE_CHECKING

from urlsum.origin.version.edges import get_from_same_edge
from urlsum.origin.version.parts import read_across_parts
from urlsum.origin.version.refusals import RangeRefused, range_refusals
from urlsum.origin.version.responses import closed_on_error, open_range
from urlsum.origin.version.resume import begin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from urlsum.origin.version.file_client import FileClient
    from urlsum.origin.version.version import Version

    Choose = Callable[[int], Sequence[tuple[int, int]]]
    """The places of a file of so many bytes: first byte and end."""


def read_spots(file: FileClient, choose: Choose) -> Iterator[tuple[int, memoryview]]:
    """Offset and bytes of each chosen place; ends early where the origin serves no ranges of one version.

    Raises OriginError, DeadlineReached.
    """
    opened = begin(file)
    # The rest of the whole response has no reader.
    opened.body.connection.close()
    version, size = opened.version, opened.body.size
    if size is None or not version.is_distinguishable or not opened.ranged:
        return
    for first, end in choose(size):
        try:
            with range_refusals():
                yield first, _read(file, version, first, end)
        except RangeRefused:
            return


def _read(file: FileClient, version: Version, first: int, end: int) -> memoryview:
    connection, head, _ = get_from_same_edge(file.get_at_target, version, ("Range", f"bytes={first}-{end - 1}"))
    with closed_on_error(connection):
        part = open_range(file, connection, head, first, version)
        body, received = read_across_parts(file, part.body, version, first, end)
    file.client.pool.release(body.connection)
    return received
