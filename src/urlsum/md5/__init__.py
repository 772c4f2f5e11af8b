"""Resumable MD5 (RFC 1321): a saved state can be restored by another process, machine or architecture.

A saved state is 29 bytes, integers little-endian:

======  ======  =====================================================================
offset  length  content
======  ======  =====================================================================
0       1       version of this layout: 1
1       16      the chaining value: the words A, B, C, D of RFC 1321
17      8       bytes hashed so far: a multiple of 64, MD5's block size
25      4       CRC-32 (zlib's) of the 25 bytes before, so that damage is refused
======  ======  =====================================================================

States exist at block boundaries only: a state holds no byte of the file, and does not depend on how a library buffers.
"""

from __future__ import annotations

import logging
import struct
import threading
import zlib
from functools import cache
from typing import TYPE_CHECKING, ClassVar

from urlsum.errors import StateError
from urlsum.md5 import engines
from urlsum.md5.python import BLOCK

if TYPE_CHECKING:
    from typing import Self

    from typing_extensions import Buffer

    from urlsum.md5.engines import Context, Engine

logger = logging.getLogger(__name__)

VERSION = 1
_BODY = struct.Struct("<B4IQ")
_CRC = struct.Struct("<I")
STATE_SIZE = _BODY.size + _CRC.size

# MD5 counts bits in 64 bits. Past that the count wraps, and a state no longer has the length of the file.
_END = 2**61

_ENGINE, _REFUSALS = engines.find()

engine = _ENGINE.name
"""Name of the engine of this process: ``libcrypto …`` nearly everywhere."""


@cache
def _warn_slow() -> None:
    logger.warning(
        "MD5 runs in pure Python, about 250 times slower than with OpenSSL: install libcrypto.so.3 where the loader"
        " finds it (%s)",
        "; ".join(_REFUSALS),
    )


class MD5:
    """One running MD5. Its methods may be called from any thread, also while another one is in ``update``."""

    __slots__ = ("_context", "_lock")

    _engine: ClassVar[Engine] = _ENGINE

    def __init__(self) -> None:
        self._open(self._engine.begin(engines.INITIAL, 0))

    def _open(self, context: Context) -> None:
        self._context = context
        # update releases the GIL while the context is inconsistent. Re-entrant, so that a signal handler that takes a
        # checkpoint does not wait for the thread that it interrupted.
        self._lock = threading.RLock()
        if self._engine is engines.PYTHON:
            _warn_slow()

    @classmethod
    def restore(cls, state: bytes) -> Self:
        """Resume from a state of ``checkpoint``. Raises StateError unless it is intact and of this version."""
        if len(state) != STATE_SIZE:
            raise StateError(f"a saved MD5 state has {STATE_SIZE} bytes, but this one has {len(state)}")
        if state[0] != VERSION:
            raise StateError(f"the saved MD5 state has version {state[0]}; this urlsum reads version {VERSION}")
        body, crc = state[: _BODY.size], state[_BODY.size :]
        if _CRC.pack(zlib.crc32(body)) != bytes(crc):
            raise StateError("the saved MD5 state is damaged: its checksum does not match")
        _, a, b, c, d, count = _BODY.unpack(body)
        if count % BLOCK or count >= _END:
            raise StateError(f"the saved MD5 state is at byte {count}, where no state can be saved")
        if not count and (a, b, c, d) != engines.INITIAL:
            raise StateError("the saved MD5 state is at byte 0 but has the chaining value of another position")
        md5 = cls.__new__(cls)
        md5._open(cls._engine.begin((a, b, c, d), count))  # noqa: SLF001 - its own class
        return md5

    @property
    def count(self) -> int:
        """Bytes hashed so far, those before a restore included."""
        with self._lock:
            return self._context.count

    def update(self, data: Buffer) -> None:
        """Hash more bytes, in place and without the GIL.

        ``data`` is any contiguous buffer, writable or not; it is released on return. Raises TypeError or BufferError
        for anything else, and then hashes nothing.
        """
        with self._lock:
            self._context.update(data)

    def hexdigest(self) -> str:
        """Return the MD5 of the bytes so far, as 32 lower-case hex digits; more may follow."""
        with self._lock:
            return engines.digest(self._context).hex()

    def checkpoint(self) -> tuple[int, bytes]:
        """Return the last block boundary at or before ``count``, in bytes, and the state there.

        After a restore, the first byte to hash is the one at that offset.
        """
        with self._lock:
            words, count = self._context.words, self._context.count
        offset = count - count % BLOCK
        body = _BODY.pack(VERSION, *words, offset)
        return offset, body + _CRC.pack(zlib.crc32(body))
