"""MD5 contexts of C libraries, driven through ctypes.

Only the update function of each library is called. To start, the chaining value and the count are written into the
library's context; to end, the padding is hashed and the chaining value is read. Both are the same for every library: a
resume needs no function that a library might lack, and OpenSSL's ``MD5_Init``, which is fatal in some FIPS builds, is
never called. The count is stored in the context only, so an exception between two bytecodes (Ctrl-C) cannot separate
the count from the words.

The calls go through ``CDLL``, which releases the GIL. ``urlsum.md5.engines`` tests each context of ``Library.load``
before it is used.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Self

    from typing_extensions import Buffer

    from urlsum.md5.python import Words

# Spare bytes behind each context, so that a library whose context is longer than described here fails the self-test
# instead of overwriting the heap. The three known contexts have 88 to 96 bytes.
_SLACK = 256
_PYBUF_SIMPLE = 0


class _OpenSsl(ctypes.Structure):
    """``MD5_CTX`` of <openssl/md5.h>, the same in OpenSSL 1.0 to 3, LibreSSL, BoringSSL and AWS-LC."""

    words: ctypes.Array[ctypes.c_uint32]
    bits_low: int
    bits_high: int
    _fields_: ClassVar[Sequence[tuple[str, type[Any]]]] = [
        ("words", ctypes.c_uint32 * 4),
        ("bits_low", ctypes.c_uint32),
        ("bits_high", ctypes.c_uint32),
        ("data", ctypes.c_ubyte * 64),
        ("num", ctypes.c_uint),
        ("slack", ctypes.c_ubyte * _SLACK),
    ]

    @classmethod
    def begin(cls, words: Words, count: int) -> Self:
        bits = count * 8
        return cls(words=words, bits_low=bits & 0xFFFFFFFF, bits_high=bits >> 32)

    @property
    def count(self) -> int:
        return (self.bits_high << 32 | self.bits_low) // 8


class _Nettle(ctypes.Structure):
    """``struct md5_ctx`` of <nettle/md5.h>, Nettle 3."""

    words: ctypes.Array[ctypes.c_uint32]
    blocks: int
    index: int
    _fields_: ClassVar[Sequence[tuple[str, type[Any]]]] = [
        ("words", ctypes.c_uint32 * 4),
        ("blocks", ctypes.c_uint64),
        ("index", ctypes.c_uint),
        ("block", ctypes.c_ubyte * 64),
        ("slack", ctypes.c_ubyte * _SLACK),
    ]

    @classmethod
    def begin(cls, words: Words, count: int) -> Self:
        return cls(words=words, blocks=count // 64)

    @property
    def count(self) -> int:
        return self.blocks * 64 + self.index


class _LibMd(ctypes.Structure):
    """``MD5_CTX`` of libmd's <md5.h>."""

    words: ctypes.Array[ctypes.c_uint32]
    bits: int
    _fields_: ClassVar[Sequence[tuple[str, type[Any]]]] = [
        ("words", ctypes.c_uint32 * 4),
        ("bits", ctypes.c_uint64),
        ("buffer", ctypes.c_ubyte * 64),
        ("slack", ctypes.c_ubyte * _SLACK),
    ]

    @classmethod
    def begin(cls, words: Words, count: int) -> Self:
        return cls(words=words, bits=count * 8)

    @property
    def count(self) -> int:
        return self.bits // 8


@dataclass(frozen=True, slots=True)
class Library:
    """A library that may have an update function; ``filename`` None means those that the process has loaded."""

    name: str
    filename: str | None
    symbol: str
    layout: type[_OpenSsl | _Nettle | _LibMd]
    length_first: bool = False

    def load(self) -> Callable[[Words, int], NativeContext]:
        """Return a function that starts a context at a chaining value and a count.

        Raises OSError if the library is missing and AttributeError if it lacks the function.
        """
        update = ctypes.CDLL(self.filename)[self.symbol]
        update.restype = None
        if self.length_first:
            update.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]

            def feed(context: Any, address: int | None, length: int) -> None:  # noqa: ANN401 - a byref has no name
                update(context, length, address)
        else:
            update.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
            feed = update

        def begin(words: Words, count: int) -> NativeContext:
            return NativeContext(feed, self.layout.begin(words, count))

        return begin


def libraries() -> Iterator[Library]:
    """The libraries to try, the fastest and most reliable first."""
    try:
        import _hashlib  # noqa: PLC0415 - missing where Python was built without OpenSSL
    except ImportError:
        own = None
    else:
        own = getattr(_hashlib, "__file__", None)  # a built-in module has none
    if own:
        # dlsym searches an object's dependencies too: this finds the libcrypto that the interpreter links, which is
        # loaded already, under any name and beside any other copies on the machine.
        yield Library("libcrypto of the interpreter", own, "MD5_Update", _OpenSsl)
    yield Library("libcrypto in the process", None, "MD5_Update", _OpenSsl)
    yield Library("libcrypto.so.3", "libcrypto.so.3", "MD5_Update", _OpenSsl)
    yield Library("libcrypto.so.1.1", "libcrypto.so.1.1", "MD5_Update", _OpenSsl)
    # For interpreters with a statically linked OpenSSL, on images without its library: dpkg depends on libmd (0.93 of
    # libcrypto's speed on x86_64), GnuTLS on Nettle (0.90).
    yield Library("libmd.so.0", "libmd.so.0", "MD5Update", _LibMd)
    yield Library("libnettle.so.8", "libnettle.so.8", "nettle_md5_update", _Nettle, length_first=True)


class _PyBuffer(ctypes.Structure):
    """``Py_buffer``, part of the stable ABI since Python 3.11."""

    buf: int | None
    len: int
    _fields_: ClassVar[Sequence[tuple[str, type[Any]]]] = [
        ("buf", ctypes.c_void_p),
        ("obj", ctypes.c_void_p),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", ctypes.c_void_p),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("suboffsets", ctypes.c_void_p),
        ("internal", ctypes.c_void_p),
    ]


# Indexed, not as attributes: ctypes shares the function object of an attribute, with its argument types, among all
# modules that use the name.
_get_buffer = ctypes.pythonapi["PyObject_GetBuffer"]
_get_buffer.argtypes = [ctypes.py_object, ctypes.c_void_p, ctypes.c_int]
_release_buffer = ctypes.pythonapi["PyBuffer_Release"]
_release_buffer.argtypes = [ctypes.c_void_p]
_release_buffer.restype = None


class NativeContext:
    """A running MD5: implements ``urlsum.md5.engines.Context``."""

    __slots__ = ("_context", "_feed", "_pointer")

    def __init__(self, feed: Callable[[Any, int | None, int], None], context: _OpenSsl | _Nettle | _LibMd) -> None:
        self._feed = feed
        self._context = context
        self._pointer = ctypes.byref(context)

    @property
    def words(self) -> Words:
        """The chaining value after the last whole block."""
        a, b, c, d = self._context.words
        return a, b, c, d

    @property
    def count(self) -> int:
        """Bytes hashed so far."""
        return self._context.count

    def update(self, data: Buffer) -> None:
        """Hash more bytes without copying them. Raises TypeError or BufferError unless they are contiguous."""
        view = _PyBuffer()
        pointer = ctypes.byref(view)
        # Inside the try, because an interrupt may follow the call at once; to release a view that was never taken does
        # nothing.
        try:
            _get_buffer(data, pointer, _PYBUF_SIMPLE)
            if view.len:
                self._feed(self._pointer, view.buf, view.len)
        finally:
            _release_buffer(pointer)

    def copy(self) -> NativeContext:
        """Return an independent twin."""
        return NativeContext(self._feed, type(self._context).from_buffer_copy(self._context))
