"""The MD5 block function of RFC 1321 in pure Python: the last engine, and the reference for the others.

About 250 times slower than C, but it needs no library, and its state is accessible.
"""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer

    Words = tuple[int, int, int, int]

BLOCK = 64
_MASK = 0xFFFFFFFF
_read_block = struct.Struct("<16I").unpack_from

# RFC 1321, 3.4: step i adds the integer part of 2**32 * abs(sin(i)), i counted from 1 in radians, and the
# word of the block that its round's own order names, then rotates left by one of its round's four shifts.
_ORDERS = ((1, 0), (5, 1), (3, 5), (7, 0))
_SHIFTS = ((7, 12, 17, 22), (5, 9, 14, 20), (4, 11, 16, 23), (6, 10, 15, 21))
_ROUNDS = tuple(
    tuple(
        (
            (factor * step + start) % 16,
            int(abs(math.sin(16 * number + step + 1)) * 2**32),
            shifts[step % 4],
            32 - shifts[step % 4],
        )
        for step in range(16)
    )
    for number, ((factor, start), shifts) in enumerate(zip(_ORDERS, _SHIFTS, strict=True))
)


def compress(words: Words, data: Buffer, offset: int) -> Words:
    """Return the chaining value after the 64-byte block of ``data`` at ``offset``."""
    block = _read_block(data, offset)
    a, b, c, d = words
    # Four loops instead of one with a function per round: a call per step would halve the speed.
    for index, constant, left, right in _ROUNDS[0]:
        t = (a + (d ^ (b & (c ^ d))) + constant + block[index]) & _MASK
        a, b, c, d = d, (b + (t << left | t >> right)) & _MASK, b, c
    for index, constant, left, right in _ROUNDS[1]:
        t = (a + (c ^ (d & (b ^ c))) + constant + block[index]) & _MASK
        a, b, c, d = d, (b + (t << left | t >> right)) & _MASK, b, c
    for index, constant, left, right in _ROUNDS[2]:
        t = (a + (b ^ c ^ d) + constant + block[index]) & _MASK
        a, b, c, d = d, (b + (t << left | t >> right)) & _MASK, b, c
    for index, constant, left, right in _ROUNDS[3]:
        t = (a + (c ^ (b | (d ^ _MASK))) + constant + block[index]) & _MASK
        a, b, c, d = d, (b + (t << left | t >> right)) & _MASK, b, c
    return (words[0] + a) & _MASK, (words[1] + b) & _MASK, (words[2] + c) & _MASK, (words[3] + d) & _MASK


class PythonContext:
    """A running MD5: implements ``urlsum.md5.engines.Context``."""

    __slots__ = ("_state",)

    def __init__(self, words: Words, count: int) -> None:
        self._state = (words, count, b"")

    @property
    def words(self) -> Words:
        """The chaining value after the last whole block."""
        return self._state[0]

    @property
    def count(self) -> int:
        """Bytes hashed so far."""
        return self._state[1]

    def update(self, data: Buffer) -> None:
        """Hash more bytes. Raises TypeError or BufferError unless they are contiguous."""
        view = memoryview(data)
        if not view.c_contiguous:
            raise BufferError("the bytes to hash must be contiguous")
        if not view.nbytes:
            return
        view = view.cast("B")
        words, count, tail = self._state
        taken = 0
        if tail:
            taken = min(BLOCK - len(tail), len(view))
            tail += view[:taken]
            if len(tail) == BLOCK:
                words, tail = compress(words, tail, 0), b""
        if not tail:
            end = len(view) - (len(view) - taken) % BLOCK
            for offset in range(taken, end, BLOCK):
                words = compress(words, view, offset)
            tail = bytes(view[end:])
        # One assignment, so that an interrupt leaves the state before the update and never half of it.
        self._state = (words, count + len(view), tail)

    def copy(self) -> PythonContext:
        """Return an independent twin."""
        twin = PythonContext(self.words, self.count)
        twin._state = self._state
        return twin
