"""Decodes a checksum list into lines of text: encoding, byte-order mark, and a bound on the length of a line."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING, BinaryIO

from urlsum.origin.guard.url import MAX_URL_CHARACTERS

if TYPE_CHECKING:
    from collections.abc import Iterator

# Windows and spreadsheets write these. UTF-32 comes first: its little-endian mark begins with that of UTF-16.
ENCODINGS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
LONGEST_MARK_BYTES = 4
# Twice the longest URL, because each character may be escaped, and as much again for a digest of any kind. The bound
# limits memory: a disk image may be a single line of gigabytes.
MAX_LINE_CHARACTERS = 4 * MAX_URL_CHARACTERS
# The size of a pipe on Linux: a larger read returns no more at once.
READ_BYTES = 65_536


def read(stream: BinaryIO) -> Iterator[str]:
    r"""Each line of ``stream``, without its ``\n``. Raises OSError.

    The text is UTF-8 unless it begins with the byte-order mark of UTF-16 or UTF-32. U+FFFD replaces bytes that the
    encoding does not allow. A line longer than ``MAX_LINE_CHARACTERS`` is truncated beyond them, within
    ``READ_BYTES``.
    """
    head = stream.read(LONGEST_MARK_BYTES)
    mark, encoding = next((each for each in ENCODINGS if head.startswith(each[0])), (b"", "utf-8"))
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
    rest, data = "", head[len(mark) :]
    while True:
        *whole, rest = (rest + decoder.decode(data)).split("\n")
        yield from whole
        rest = rest[: MAX_LINE_CHARACTERS + 1]
        if not (data := stream.read(READ_BYTES)):
            break
    if rest := rest + decoder.decode(b"", final=True):
        yield rest
