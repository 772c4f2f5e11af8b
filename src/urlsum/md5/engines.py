"""Choice of the MD5 engine of this process, by a self-test of each candidate.

An engine starts a context at any chaining value, and a context exposes its chaining value at any time; ``hashlib``
hides both. Each candidate hashes a message of known digest in two parts, the second in a new context that starts where
the first ended, and must carry its count over both ends of a 32-bit word. A library with another layout, or another
function of the same name, fails the test and is skipped.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from urlsum.md5.python import BLOCK, PythonContext

try:
    from urlsum.md5 import native as native_module
except ImportError:  # Python built without libffi has no ctypes
    native = None
else:
    native = native_module

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Self

    from typing_extensions import Buffer

    from urlsum.md5.native import Library
    from urlsum.md5.python import Words

INITIAL: Words = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476)
"""The chaining value before the first byte (RFC 1321, 3.3)."""


# The MD5 of the bytes 0 to 255. Not computed by hashlib, which has no MD5 under some FIPS policies.
_EXPECTED = bytes.fromhex("e2c865db4162bed963bfaa9ef6ac18f0")


class Context(Protocol):
    """A running MD5."""

    @property
    def words(self) -> Words:
        """The chaining value after the last whole block."""

    @property
    def count(self) -> int:
        """Bytes hashed so far, including those before the start of the context."""

    def update(self, data: Buffer) -> None:
        """Hash more bytes: all of them, or none if it raises."""

    def copy(self) -> Self:
        """Return an independent twin."""


@dataclass(frozen=True, slots=True)
class Engine:
    """``begin`` makes a context from a chaining value and a count, which must be a multiple of 64."""

    name: str
    begin: Callable[[Words, int], Context]


PYTHON = Engine("pure Python", PythonContext)


def digest(context: Context) -> bytes:
    """Pad as RFC 1321, 3.1 and 3.2 say and return the 16 bytes; ``context`` stays as it is."""
    count = context.count
    padded = context.copy()
    padded.update(b"\x80" + bytes((BLOCK - 9 - count) % BLOCK) + struct.pack("<Q", count * 8))
    return struct.pack("<4I", *padded.words)


def fault(begin: Callable[[Words, int], Context]) -> str | None:
    """The reason why an engine fails the self-test, or None if it passes."""
    message = bytes(range(256))
    for cut in (0, 1, BLOCK - 1, BLOCK, BLOCK + 1, len(message)):
        first = begin(INITIAL, 0)
        first.update(message[:cut])
        if first.count != cut:
            return f"counts {first.count} after {cut} bytes"
        whole = cut - cut % BLOCK
        second = begin(first.words, whole)
        second.update(message[whole:])
        if digest(second) != _EXPECTED or second.count != len(message):
            return f"cannot resume at {whole}"
    # 2**29 bytes fill a 32-bit count of bits, 2**32 bytes one of bytes.
    for boundary in (2**29, 2**32):
        far = begin(INITIAL, boundary - BLOCK)
        far.update(message)
        if far.count != boundary - BLOCK + len(message):
            return f"loses count at {boundary}"
    return None


def try_library(library: Library) -> Engine | str:
    """Return the engine of ``library``, or the reason why it has none."""
    try:
        begin = library.load()
    except (OSError, AttributeError) as error:
        return f"{library.name}: {error}"
    reason = fault(begin)
    return f"{library.name}: {reason}" if reason else Engine(library.name, begin)


def find(libraries: Iterable[Library] | None = None) -> tuple[Engine, list[str]]:
    """Return the first engine that passes the self-test, and the reasons against those before it.

    Pure Python is the last candidate and always passes.
    """
    if native is None:
        return PYTHON, ["ctypes: this Python was built without it"]
    refusals: list[str] = []
    for library in native.libraries() if libraries is None else libraries:
        outcome = try_library(library)
        if isinstance(outcome, Engine):
            return outcome, refusals
        refusals.append(outcome)
    return PYTHON, refusals
