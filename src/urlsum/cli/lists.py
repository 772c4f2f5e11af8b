"""Reads lists from files, standard input or the web: checksums to verify (``-c``), or URLs to hash (``-i``)."""

from __future__ import annotations

import errno
import io
import os
import re
import sys
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import quote

from urlsum.cli import checksum_line, console, lines, publishers
from urlsum.cli.outcome import HashRequest
from urlsum.origin.guard.reference import resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager

    from urlsum.cli.checksum_line import Unverified

    Fetch = Callable[[str], bytes]
    """Reads a list from the web. Raises OSError."""

STDIN = "-"
# A list of SHA-256 digests has such a line for each file; ten show the fault. --warn shows all.
SHOWN_LINES = 10
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
# The characters of a file's name that mean themselves in the path of a URL (RFC 3986, 3.3).
_SAFE = "/!$&'()*+,;=:@~"


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
    """The URLs of a list, and the lines that cannot be verified. ``malformed`` lines have neither digest nor URL.

    ``shown`` is the list's name in messages.
    """

    shown: str
    hash_requests: list[HashRequest] = field(default_factory=list)
    unverified: LineNumbers = field(default_factory=LineNumbers)
    malformed: LineNumbers = field(default_factory=LineNumbers)


def is_url(name: str) -> bool:
    """Whether ``name`` is the URL of a list, not the name of a file."""
    return name.startswith(("http://", "https://"))


def read_checksums(name: str, *, base: str | None, warn: bool, fetch: Fetch) -> ChecksumList:
    """The checksums in the list ``name``: a file, a URL, or ``-`` for standard input. Raises OSError.

    Names of files in the list are resolved against ``base``, or against the list's own URL. Reports the first lines
    that cannot be verified, all of them with ``warn``: before the first URL is read, so that the user can fix the list
    instead of waiting for hours.
    """
    checksums = ChecksumList(shown_name(name))
    if base is None and is_url(name):
        base = name
    with _opened(name, fetch) as stream:
        for number, entry in parse(lines.read(stream), base):
            if isinstance(entry, HashRequest):
                checksums.hash_requests.append(entry)
                continue
            numbers = checksums.unverified if entry.checksum else checksums.malformed
            numbers.add(number)
            if warn or (entry.checksum and numbers.count <= SHOWN_LINES):
                console.tell(f"{checksums.shown}: {number}: {entry.reason}")
    return checksums


def read_urls(name: str, *, fetch: Fetch) -> list[tuple[int, str]]:
    """The numbers of the lines and the URLs in them of the list ``name``, without comments. Raises OSError."""
    with _opened(name, fetch) as stream:
        texts = ((number, line.lstrip("\ufeff").strip()) for number, line in enumerate(lines.read(stream), 1))
        return [(number, text) for number, text in texts if text and not text.startswith("#")]


def has_checksum(text: str) -> bool:
    """Whether ``text``, the line of a list, has a checksum or names the columns of a table with some."""
    entry = checksum_line.parse(text)
    found = isinstance(entry, HashRequest) or (entry is not None and entry.reason == checksum_line.AFTER_THE_URL)
    return found or publishers.parser(text) is not None


def shown_name(name: str) -> str:
    """The name of a list for a message."""
    return "standard input" if name == STDIN else console.printable(name)


def parse(texts: Iterable[str], base: str | None = None) -> Iterator[tuple[int, HashRequest | Unverified]]:
    """Each entry of a list with the number of its line, except empty lines and comments."""
    table: publishers.Parser | None = None
    first = True
    for number, text in enumerate(texts, 1):
        if first and text.strip() and not text.startswith("#"):
            first, table = False, publishers.parser(text, base)
            if table is not None:
                continue
        if table is None:
            entry = checksum_line.parse(text)
            if entry is not None:
                yield number, _located(entry, base)
        elif text.strip():
            for cell in table(text):
                yield number, cell


def _located(entry: HashRequest | Unverified, base: str | None) -> HashRequest | Unverified:
    """The entry with its name as a URL below ``base``."""
    if base is None or not isinstance(entry, HashRequest) or is_url(entry.url) or "://" in entry.url:
        return entry
    # A name, not a reference: its %, ? and # are characters of the name, and a colon begins no scheme.
    path = quote(entry.url, safe=_SAFE)
    return HashRequest(resolve(base, f"./{path}" if _URL.match(path) else path), entry.md5, size=entry.size)


def _opened(name: str, fetch: Fetch) -> AbstractContextManager[BinaryIO]:
    if is_url(name):
        return io.BytesIO(fetch(name))
    if name == STDIN:
        if sys.stdin is None:  # closed by the shell: <&-
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return nullcontext(sys.stdin.buffer)
    return Path(name).open("rb")
