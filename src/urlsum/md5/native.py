"""MD5 contexts of C libraries, driven through ctypes.

Of each library only its update function is called. Beginning means writing the chaining value and the count
into the library's context, ending means feeding the padding and reading the chaining value, and both are the
same for every library: so resuming needs no function that a library might lack, and OpenSSL's ``MD5_Init``,
which some FIPS builds make fatal, is never met. The context is the only place where the count lives; an
exception between two bytecodes (Ctrl-C) can therefore not part the count from the words.

The calls go through ``CDLL``, which lets go of the GIL. Nothing here guesses: ``urlsum.md5.engines``
tests what ``Library.load`` returns before it is used.
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

# Room behind each context, so that a library whose context is longer than the one described here fails the
# self-test instead of writing over the heap. The three known ones take 88 to 96 bytes.
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
    """Where an update function may be found; ``filename`` None means among what the process has loaded."""

    name: str
    filename: str | None
    symbol: str
    layout: type[_OpenSsl | _Nettle | _LibMd]
    length_first: bool = False

    def load(self) -> Callable[[Words, int], NativeContext]:
        """Return what begins a context at a chaining value and a count.

        Raises OSError when the library is not there and AttributeError when it lacks the function.
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
    """Name the libraries to try, the fastest and surest first."""
    try:
        import _hashlib  # noqa: PLC0415 - missing where Python was built without OpenSSL
    except ImportError:
        own = None
    else:
        own = getattr(_hashlib, "__file__", None)  # a built-in module has none
    if own:
        # dlsym searches an object's dependencies too: this is the libcrypto that the interpreter itself links,
        # already loaded, whatever its name is and whatever other copies the machine has.
        yield Library("libcrypto of the interpreter", own, "MD5_Update", _OpenSsl)
    yield Library("libcrypto in the process", None, "MD5_Update", _OpenSsl)
    yield Library("libcrypto.so.3", "libcrypto.so.3", "MD5_Update", _OpenSsl)
    yield Library("libcrypto.so.1.1", "libcrypto.so.1.1", "MD5_Update", _OpenSsl)
    # For interpreters with a sealed OpenSSL inside, on images without its library: dpkg brings libmd (0.93 of
    # libcrypto's speed on x86_64), whatever speaks through GnuTLS brings Nettle (0.90).
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


# Indexed, not as attributes: ctypes shares an attribute's function object, and with it the argument types,
# with every other module that uses the same name.
_get_buffer = ctypes.pythonapi["PyObject_GetBuffer"]
_get_buffer.argtypes = [ctypes.py_object, ctypes.c_void_p, ctypes.c_int]
_release_buffer = ctypes.pythonapi["PyBuffer_Release"]
_release_buffer.argtypes = [ctypes.c_void_p]
_release_buffer.restype = None


class NativeContext:
    """A running MD5 as ``urlsum.md5.engines.Context`` asks for it."""

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
        """Bytes taken so far."""
        return self._context.count

    def update(self, data: Buffer) -> None:
        """Take more bytes, without copying. Raises TypeError or BufferError for what is not contiguous bytes."""
        view = _PyBuffer()
        pointer = ctypes.byref(view)
        # Taken inside the try, because an interrupt may come right behind the call; releasing a view that was
        # never taken does nothing.
        try:
            _get_buffer(data, pointer, _PYBUF_SIMPLE)
            if view.len:
                self._feed(self._pointer, view.buf, view.len)
        finally:
            _release_buffer(pointer)

    def copy(self) -> NativeContext:
        """Return an independent twin."""
        return NativeContext(self._feed, type(self._context).from_buffer_copy(self._context))
