"""Faults of origins: each fault corrupts a response of a well-behaved file server.

``ends`` is the outcome of a task (``done`` or a failure code) if every response has the fault, ``passing`` if only one
has it. ``resumed`` and ``resumed_passing`` are the same for responses to range requests, where they differ;
``parallel`` is ``resumed`` for a file that is read over several connections.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from tests.support.origin.origin_server import (
    HANG,
    LAST_CHUNK,
    RESET,
    File,
    Pause,
    Request,
    Step,
    Steps,
    Trickle,
    chunk,
    head,
)

if TYPE_CHECKING:
    from _pytest.mark.structures import ParameterSet

Spoil = Callable[[Request, File], Steps]
DONE = "done"
CHUNKED = "Transfer-Encoding: chunked"


@dataclass(frozen=True)
class Fault:
    name: str
    spoil: Spoil
    ends: str
    passing: str = DONE
    resumed: str | None = None
    resumed_passing: str | None = None
    parallel: str | None = None

    def expected(self, *, always: bool, resumed: bool) -> str:
        """The outcome of a task if the fault occurs always or once, from the start or after a checkpoint."""
        fresh = self.ends if always else self.passing
        later = self.resumed if always else self.resumed_passing
        if resumed and not always and later is None:
            return DONE  # a response to a range request is no verdict on the file
        return fresh if not resumed or later is None else later


def healthy(request: Request, file: File) -> tuple[bytes, bytes]:
    """The correct response, head and body in one piece."""
    answer, *body = replace(file, rate=0, keep=False)(request)
    assert isinstance(answer, bytes)
    return answer, b"".join(bytes(piece) for piece in body if isinstance(piece, bytes | memoryview))


def body(change: Callable[[bytes], Steps]) -> Spoil:
    """The correct head, with the body that ``change`` returns for the correct one."""

    def spoil(request: Request, file: File) -> Steps:
        answer, right = healthy(request, file)
        return [answer, *change(right)]

    return spoil


def fields(*changed: str, without: str = "", status: str | None = None) -> Spoil:
    """The correct response with fields added and, by the beginning of their lines, removed."""

    def spoil(request: Request, file: File) -> Steps:
        answer, right = healthy(request, file)
        first, *lines = answer.decode("latin-1").strip("\r\n").split("\r\n")
        kept = [line for line in lines if not without or not line.lower().startswith(without)]
        added = [line.replace("LENGTH", str(len(right))) for line in changed]
        return [head(status or first.split(" ", 1)[1], *kept, *added), right]

    return spoil


def chunks(change: Callable[[bytes], list[Step]]) -> Spoil:
    """The correct response with chunks instead of a length."""

    def spoil(request: Request, file: File) -> Steps:
        answer, right = fields(CHUNKED, without="content-length")(request, file)
        assert isinstance(right, bytes)
        return [answer, *change(right)]

    return spoil


def only(*steps: Step) -> Spoil:
    return lambda request, file: list(steps)


def status(line: str, *lines: str) -> Spoil:
    return only(head(line, *lines, "Content-Length: 0"))


def to_ranges(spoil: Spoil) -> Spoil:
    """Corrupt only responses to range requests."""
    return lambda request, file: spoil(request, file) if "range" in request.fields else file(request)


def part(change: str, **changes: str) -> Spoil:
    return to_ranges(fields(change, without="content-range", **changes))


def unasked(request: Request, file: File) -> Steps:
    return file(request) if "range" in request.fields else whole_as_part(request, file)


def whole_as_part(request: Request, file: File) -> Steps:
    total = len(file.content)
    fields = (f"Content-Range: bytes 0-{total - 1}/{total}", f"Content-Length: {total}")
    return [head("206 Partial Content", *fields), file.content]


def whole(request: Request, file: File) -> Steps:
    return File(file.content, file.etag, file.last_modified, ranges=False)(request)


def multipart(request: Request, file: File) -> Steps:
    _, right = healthy(request, file)
    text = b"--x\r\nContent-Range: bytes 0-9/10\r\n\r\n" + right + b"\r\n--x--\r\n"
    return [
        head("206 Partial Content", "Content-Type: multipart/byteranges; boundary=x", f"Content-Length: {len(text)}"),
        text,
    ]


def zipped(request: Request, file: File) -> Steps:
    """Half of the response of a server that compresses without being asked to, with an unchanged ETag."""
    answer, right = healthy(request, replace(file, content=gzip.compress(file.content, mtime=0)))
    return [answer, half(right)]


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def rest(data: bytes) -> bytes:
    return data[len(data) // 2 :]


def length_and_chunks(request: Request, file: File) -> Steps:
    answer, right = fields(CHUNKED)(request, file)
    assert isinstance(right, bytes)
    return [answer, *two_chunks(right)]


def two_chunks(data: bytes) -> list[Step]:
    # An empty chunk would be the last one.
    return [*(chunk(piece) for piece in (half(data), rest(data)) if piece), LAST_CHUNK]


PROTOCOL, INCOMPLETE, TIMEOUT = "protocol", "incomplete", "timeout"
FRAMING = [
    Fault("half, FIN", body(lambda right: [half(right)]), INCOMPLETE),
    Fault("half, RST", body(lambda right: [half(right), RESET]), INCOMPLETE),
    Fault("all but one byte", body(lambda right: [right[:-1]]), INCOMPLETE),
    Fault("head only", body(lambda right: []), INCOMPLETE),
    Fault("half a head", lambda request, file: [half(healthy(request, file)[0])], INCOMPLETE),
    Fault("half a head, RST", lambda request, file: [half(healthy(request, file)[0]), RESET], INCOMPLETE),
    Fault("half the chunks", chunks(lambda right: [half(chunk(right))]), INCOMPLETE),
    # A part has its end in Content-Range, and the connection that brings it is closed there.
    Fault("no last chunk", chunks(lambda right: [chunk(right)]), INCOMPLETE, parallel=DONE),
    Fault("no end after the last chunk", chunks(lambda right: [chunk(right), b"0\r\n"]), INCOMPLETE, parallel=DONE),
    Fault("chunks as they should be", chunks(two_chunks), DONE),
    Fault("a chunk size that is none", chunks(lambda right: [b"zz\r\n", right, LAST_CHUNK]), PROTOCOL),
    Fault("a negative chunk size", chunks(lambda right: [b"-5\r\n", right, LAST_CHUNK]), PROTOCOL),
    Fault("a chunk longer than its size", chunks(lambda right: [b"5\r\n", right, LAST_CHUNK]), PROTOCOL),
    Fault("longer than declared", body(lambda right: [right, b"and more"]), DONE),
    Fault("the same length twice", fields("Content-Length: LENGTH"), PROTOCOL),
    Fault("two lengths", fields("Content-Length: 5"), PROTOCOL),
    Fault("a negative length", fields("Content-Length: -5", without="content-length"), PROTOCOL),
    Fault("a length of letters", fields("Content-Length: abc", without="content-length"), PROTOCOL),
    Fault("a length of 2**64", fields(f"Content-Length: {2**64}", without="content-length"), PROTOCOL),
    # After a range request it does not agree with Content-Range, and the plain GET has the last word.
    Fault("a length of 2**63", fields(f"Content-Length: {2**63}", without="content-length"), "too_large", "too_large",
          "too_large", DONE),
    Fault("length and chunks", length_and_chunks, PROTOCOL),
    # A part has its end in Content-Range.
    Fault("neither length nor chunks", fields(without="content-length"), "unverifiable", "unverifiable", DONE, DONE),
    Fault("empty reply", only(), INCOMPLETE),
    Fault("reset", only(RESET), INCOMPLETE),
    Fault("HTTP/0.9", lambda request, file: [file.content], PROTOCOL),
    Fault("HTTP/2", only(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00"), PROTOCOL),
    Fault("status 000", status("000 Nothing"), PROTOCOL),
    Fault("status 600", status("600 Whatever"), "http", "http"),
    Fault("103 before the answer", lambda request, file: [head("103 Early Hints"), *file(request)], DONE),
    Fault("100 without end", only(head("100 Continue") * 1000, HANG), PROTOCOL),
    Fault("5,000 fields", fields(*(f"X-{number}: y" for number in range(5000))), PROTOCOL),
    Fault("a field of 100 KB", fields("X: " + "y" * 100_000), PROTOCOL),
    Fault("a head of 10 MB", only(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1_600_000), PROTOCOL),
    Fault("204", only(head("204 No Content")), "http", "http"),
    Fault("304", only(head("304 Not Modified")), PROTOCOL),
]  # fmt: skip
RANGES = [
    Fault("ranges are ignored", whole, DONE),
    Fault("206 of the whole that nobody asked for", unasked, DONE),
    Fault("206 of the whole", to_ranges(whole_as_part), DONE),
    Fault("206 without Content-Range", to_ranges(fields(without="content-range")), DONE),
    Fault("206 that begins elsewhere", part("Content-Range: bytes 7-100/200"), DONE),
    Fault("206 of another unit", part("Content-Range: items 0-9/10"), DONE),
    Fault("206 with nonsense", part("Content-Range: bytes 9-3/2"), DONE),
    Fault("multipart/byteranges", to_ranges(multipart), DONE),
    Fault("416 for all that is asked", to_ranges(status("416 Range Not Satisfiable")), DONE),
    Fault("416 with a smaller total", to_ranges(status("416 No Such Range", "Content-Range: bytes */10")), DONE),
]  # fmt: skip
TIME = [
    Fault("never answers", only(HANG), TIMEOUT),
    Fault("stalls in the head", lambda request, file: [half(healthy(request, file)[0]), HANG], TIMEOUT),
    Fault("a slow head", lambda request, file: [Trickle(healthy(request, file)[0], every=0.05)], TIMEOUT),
    Fault("stalls after the head", body(lambda right: [HANG]), TIMEOUT),
    Fault("stalls half-way", body(lambda right: [half(right), HANG]), TIMEOUT),
    Fault("one byte now and then", body(lambda right: [Trickle(right, every=0.2)]), TIMEOUT),
    Fault("a pause that is in time", body(lambda right: [half(right), Pause(0.1), rest(right)]), DONE),
    Fault("a chunk size without end", chunks(lambda right: [b"5;" + b"x" * 1000, HANG]), TIMEOUT),
]  # fmt: skip
# The statuses that the retry policy retries; all others are final.
PASSING = (408, 425, 429, 500, 502, 503, 504)
FINAL = (201, 202, 203, 205, 300, 305, 306, 400, 401, 403, 404, 405, 410, 451, 501, 505)
STATUS = [
    *(Fault(f"status {code}", status(f"{code} Sorry"), "http") for code in PASSING),
    *(Fault(f"status {code}", status(f"{code} No"), "http", "http") for code in FINAL),
    Fault("416", status("416 Range Not Satisfiable"), "http", "http", resumed_passing=DONE),
    Fault("a redirect to nowhere", status("302 Found"), "redirects", "redirects"),
    Fault("a redirect to no URL", status("302 Found", "Location: http://127.1/"), "redirects", "redirects"),
    Fault("a redirect to a secret", status("302 Found", "Location: http://169.254.169.254/"), "blocked", "blocked"),
    Fault("a redirect to itself", lambda request, file: status("302 Found", f"Location: {request.path}")(request, file),
          "redirects", "redirects"),
]  # fmt: skip
CODINGS = [Fault("half of it, compressed", zipped, INCOMPLETE)]
FAULTS = [*FRAMING, *RANGES, *TIME, *STATUS, *CODINGS]


def spread(ways: int) -> list[list[ParameterSet]]:
    """Parameters with all faults, one list for each of the given number of variants.

    Every test run has each fault in one variant, and each variant with its share of the faults; the rest is ``long``.
    """
    return [
        [
            pytest.param(fault, id=fault.name, marks=[] if number % ways == share else [pytest.mark.long])
            for number, fault in enumerate(FAULTS)
        ]
        for share in range(ways)
    ]
