"""``-c``: lines of digests and URLs, read and answered as ``md5sum -c`` does (GNU coreutils 9.1)."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from urlsum.cli import console
from urlsum.cli.outcome import Wanted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from urlsum.cli.options import Options
    from urlsum.cli.outcome import Hasher

STDIN = "-"
# Two characters between digest and name: a space, and a space (text) or an asterisk (binary), which mean the same.
# With only the space it is the form of BSD's md5 -r, which md5sum takes too.
_LINE = re.compile(r"[ \t]*(?P<md5>[0-9A-Fa-f]{32})[ \t][ *]?(?P<url>.*\S.*)")


def parse(lines: Iterable[str]) -> tuple[list[Wanted], int]:
    """The digests and URLs of ``lines``, and how many lines are neither that, nor empty, nor a comment."""
    wanted, malformed = [], 0
    for raw in lines:
        line = raw.rstrip("\r\n")
        if not line or line.startswith("#"):
            continue
        if found := _LINE.fullmatch(line):
            wanted.append(Wanted(found["url"], found["md5"].lower()))
        else:
            malformed += 1
    return wanted, malformed


def read(name: str) -> tuple[list[Wanted], int]:
    """Parse the file ``name``, ``-`` for standard input. Raises OSError."""
    if name == STDIN:
        return parse(line.decode(errors="surrogateescape") for line in sys.stdin.buffer)
    # utf-8-sig: editors on Windows begin a file with a mark that would spoil its first line.
    with Path(name).open(encoding="utf-8-sig", errors="surrogateescape", newline="\n") as file:
        return parse(file)


def verify(names: Sequence[str], hasher: Hasher, options: Options) -> bool:
    """Check every list; whether all that they name is as they say. Raises Interrupted."""
    good = True
    for name in names or [STDIN]:
        good = _verify(name, hasher, options) and good
    return good


def _verify(name: str, hasher: Hasher, options: Options) -> bool:
    shown = "standard input" if name == STDIN else name
    try:
        wanted, malformed = read(name)
    except OSError as exc:
        console.tell(f"{shown}: {exc.strerror}")
        return False
    if not wanted:
        console.tell(f"{shown}: no properly formatted checksum lines found")
        return False
    unread, different = _compare(wanted, hasher, options)
    if not options.status:
        _warn(malformed, "line is improperly formatted", "lines are improperly formatted")
        _warn(unread, "listed URL could not be read", "listed URLs could not be read")
        _warn(different, "computed checksum did NOT match", "computed checksums did NOT match")
    return not (unread or different or (options.strict and malformed))


def _compare(wanted: Sequence[Wanted], hasher: Hasher, options: Options) -> tuple[int, int]:
    unread = different = 0
    for each, outcome in zip(wanted, hasher.digests(wanted), strict=True):
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
    return unread, different


def _warn(count: int, one: str, more: str) -> None:
    if count:
        console.tell(f"WARNING: {count} {one if count == 1 else more}")
