"""``-c``: verifies and reports lists as ``md5sum -c`` does, but ignores no line silently."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from urlsum.cli import checksum_line, console, lines
from urlsum.cli.outcome import HashRequest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from urlsum.cli.checksum_line import Unverified
    from urlsum.cli.options import Options
    from urlsum.cli.outcome import Hasher

STDIN = "-"
# A list of SHA-256 digests has such a line for each file; ten show the fault. --warn shows all.
SHOWN_LINES = 10


@dataclass(slots=True)
class LineNumbers:
    """The number of lines of one kind in a list, and the line numbers of the first ``SHOWN_LINES``."""

    count: int = 0
    first: list[int] = field(default_factory=list)

    def add(self, number: int) -> None:
        """Count line ``number``; the first line of a list is 1."""
        self.count += 1
        if self.count <= SHOWN_LINES:
            self.first.append(number)

    def __str__(self) -> str:
        more = self.count - len(self.first)
        return ", ".join(map(str, self.first)) + (f" and {more} more" if more else "")


@dataclass(slots=True)
class ChecksumList:
    """The URLs of a list, and the lines that cannot be verified. ``malformed`` lines have neither digest nor URL."""

    hash_requests: list[HashRequest] = field(default_factory=list)
    unverified: LineNumbers = field(default_factory=LineNumbers)
    malformed: LineNumbers = field(default_factory=LineNumbers)


def read(name: str) -> Iterator[tuple[int, HashRequest | Unverified]]:
    """Each line of the file ``name`` with its number, except empty lines and comments. Raises OSError.

    The name ``-`` is standard input.
    """
    if name == STDIN and sys.stdin is None:  # closed by the shell: <&-
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    with nullcontext(sys.stdin.buffer) if name == STDIN else Path(name).open("rb") as stream:
        for number, line in enumerate(lines.read(stream), 1):
            entry = checksum_line.parse(line)
            if entry is not None:
                yield number, entry


def verify(names: Sequence[str], hasher: Hasher, options: Options) -> bool:
    """Verify every list; whether every file in them matches. Raises Interrupted."""
    good = True
    for name in names or [STDIN]:
        good = _verify(name, hasher, options) and good
    return good


def _verify(name: str, hasher: Hasher, options: Options) -> bool:
    shown = "standard input" if name == STDIN else console.printable(name)
    try:
        checksums = _read_list(name, shown, options)
    except OSError as exc:
        console.tell(f"{shown}: {exc.strerror}")
        return False
    if not checksums.hash_requests:
        console.tell(f"{shown}: no properly formatted checksum lines found")
    unread, different = _compare(checksums.hash_requests, hasher, options)
    # Also with --status: an exit status of 0 alone would say that every line was verified.
    unverified, malformed = checksums.unverified, checksums.malformed
    _warn(malformed.count, "line is", "lines are", f"improperly formatted ({shown}: {malformed})")
    _warn(unverified.count, "line", "lines", f"could not be verified ({shown}: {unverified})")
    if not options.status:
        _warn(unread, "listed URL", "listed URLs", "could not be read")
        _warn(different, "computed checksum", "computed checksums", "did NOT match")
    bad = unread or different or unverified.count or (options.strict and malformed.count)
    return bool(checksums.hash_requests) and not bad


def _read_list(name: str, shown: str, options: Options) -> ChecksumList:
    checksums = ChecksumList()
    for number, entry in read(name):
        if isinstance(entry, HashRequest):
            checksums.hash_requests.append(entry)
            continue
        numbers = checksums.unverified if entry.checksum else checksums.malformed
        numbers.add(number)
        # Reported before the first URL is read, so that the user can fix the list instead of waiting for hours.
        if options.warn or (entry.checksum and numbers.count <= SHOWN_LINES):
            console.tell(f"{shown}: {number}: {entry.reason}")
    return checksums


def _compare(hash_requests: Sequence[HashRequest], hasher: Hasher, options: Options) -> tuple[int, int]:
    unread = different = 0
    for each, outcome in zip(hash_requests, hasher.digests(hash_requests), strict=True):
        if outcome.md5 is None:
            console.failure(outcome.url, outcome.code, outcome.message)
            unread += 1
            verdict = "FAILED open or read"
        elif outcome.md5 != each.md5:
            different += 1
            verdict = "FAILED"
        else:
            verdict = "OK"
        if not options.status and not (options.quiet and verdict == "OK"):
            console.out(f"{console.printable(each.url)}: {verdict}")
        if not options.status:
            console.notes(outcome.url, outcome.notes)
    return unread, different


def _warn(count: int, one: str, more: str, what: str) -> None:
    if count:
        console.tell(f"WARNING: {count} {one if count == 1 else more} {what}")
