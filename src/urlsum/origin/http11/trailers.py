"""The trailers after the last chunk: errors that the origin reports, and contradictions of the response head."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from urlsum.errors import Changed, Incomplete
from urlsum.origin.http11.response import ByteRange, content_range, decoded, http_date

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import ModuleType

    from urlsum.origin.http11.response import ResponseHead

# Names that a message may show. An origin chooses other names freely, so public texts must not have them.
_SHOWN = {
    "x-stream-error": "X-Stream-Error",  # Kubo, the gateway of IPFS
    "proxy-status": "Proxy-Status",  # RFC 9209
    "x-amz-error-code": "X-Amz-Error-Code",
    "x-amz-error-message": "X-Amz-Error-Message",
    "x-error": "X-Error",
    "x-content-error": "X-Content-Error",
    "stream-error": "Stream-Error",
    "status": "Status",
    "x-status": "X-Status",
}
# https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md: sent beside ``grpc-status``.
_GRPC_DETAILS = ("grpc-message", "grpc-status-details-bin")
_NUMBER = re.compile(r"-?[0-9]{1,9}")
# Fields of the head about the end of the body. gRPC sends its status there if there is no body ("Trailers-Only").
_REPORTS_IN_HEAD = frozenset({b"grpc-status", b"x-stream-error"})
# RFC 9110, 15.3: the statuses of a response that carries the file.
_CARRIES_FILE = frozenset({200, 206})

# Names of byte counts: "bytes", or the length or size of the body.
_BYTES_NAME = frozenset({"bytes", "octets"})
_SIZE_NAME = frozenset({"length", "size"})
_SIZED = frozenset(
    ["content", "body", "file", "object", "blob", "total", "payload", "entity", "response", "stream", "message", "data"]
)
# 20 digits reach 2**64, and h11 accepts no more in a Content-Length.
_COUNT = re.compile(r"([0-9]{1,20})(?:\s*(?:/|of)\s*([0-9]{1,19}))?\s*(?:b|bytes|octets)?", re.IGNORECASE)
# A count with one of these words in its name counts something else: the stored or decoded form, a piece, a limit.
_OTHER_COUNT = re.compile(
    r"original|orig|uncompressed|compressed|decompressed|decoded|encoded|raw|stored|gzip|headers?|head|request|in|received"
    r"|wire|chunks?|max|min|limit|per|saved|cached|skipped|ranges?|parts?|first|last|start|end|offset|blocks?|buffer"
    r"|window|rate|seconds?|average|quota|available|free|used|meta|id|name|key|type"
)
# Bytes that did not come; 0 is the only good count.
_NOT_SENT = frozenset({"remaining", "left", "missing", "lost", "dropped", "unsent", "short", "truncated"})


def check(fields: Iterable[tuple[bytes, bytes]], head: ResponseHead, received: int) -> None:
    """Judge the trailer ``fields`` of a body of ``received`` bytes, declared by ``Trailer`` or not.

    The last chunk proves that the origin ended the response, but not that it had the whole file: a server that fails
    after the head can report it only here (RFC 9110, 6.5). Fields that a trailer must not have (6.5.1) are ignored,
    unless they contradict the response. Raises Incomplete, Changed.
    """
    texts = [(bytes(name).decode("ascii").lower(), decoded(bytes(value)).strip()) for name, value in fields]
    if not texts:
        return
    _check_errors(texts, head)
    _check_framing(texts, head, received)
    _check_version(texts, head)


def check_head(head: ResponseHead) -> None:
    """Refuse a response whose head already reports that its body failed. Raises Incomplete."""
    if head.status not in _CARRIES_FILE or _REPORTS_IN_HEAD.isdisjoint(name for name, _ in head.fields):
        return
    for name, value in head.fields:
        text = decoded(value).strip()
        if (name == b"grpc-status" and not _is_zero(text)) or (
            name == b"x-stream-error" and not _words().reports_nothing(text)
        ):
            raise Incomplete(
                f"{head.target}: the server reported an error in the response head: {name.decode('ascii')}", raw=value
            )


def _check_errors(fields: list[tuple[str, str]], head: ResponseHead) -> None:
    target = head.target
    grpc = [value for name, value in fields if name.endswith("grpc-status")]
    for value in grpc:
        if not _is_zero(value):
            code = f" {int(value)}" if _NUMBER.fullmatch(value) else ""
            raise Incomplete(f"{target}: the server reported an error after the last chunk: grpc-status{code}")
    for name, value in fields:
        if grpc and name.endswith(_GRPC_DETAILS):
            continue  # the status says that they describe no error
        details = name.endswith(_GRPC_DETAILS) and not _words().reports_nothing(value)
        if details or _words().reports_failure(name, value, head.status):
            shown = _SHOWN.get(name, "in a trailer field")
            raise Incomplete(
                f"{target}: the server reported an error after the last chunk: {shown}", raw=f"{name}: {value}"
            )


def _check_framing(fields: list[tuple[str, str]], head: ResponseHead, received: int) -> None:
    for name, value in fields:
        _check_count(name, value, head, received)
        if name == "content-range" and (sent := content_range(value)):
            declared = content_range(head.get("content-range")) or ByteRange(0, received, received)
            same_total = sent.total is None or declared.total in (None, sent.total)
            if (sent.first, sent.end) != (declared.first, declared.end) or not same_total:
                raise Incomplete(f"{head.target}: the Content-Range in the trailer contradicts the response")


def _check_count(name: str, value: str, head: ResponseHead, received: int) -> None:
    words = set(name.split("-"))
    match = _COUNT.fullmatch(value)
    if match is None or any(map(_OTHER_COUNT.fullmatch, words)):
        return
    counts = [int(digits) for digits in match.groups() if digits]
    if not words.isdisjoint(_BYTES_NAME) and not words.isdisjoint(_NOT_SENT):
        expected = {0}
    elif not words.isdisjoint(_BYTES_NAME) or (
        not words.isdisjoint(_SIZE_NAME) and (not words.isdisjoint(_SIZED) or words <= {"x", *_SIZE_NAME})
    ):
        sent = content_range(head.get("content-range"))
        # The response to a range request may count the part or the file. Content-Length is the part (RFC 9110, 8.6).
        whole = sent.total if sent and name != "content-length" else None
        expected = {received} if whole is None else {received, whole}
    else:
        return
    if not expected.issuperset(counts):
        wrong = counts[0] if counts[0] not in expected else counts[-1]
        raise Incomplete(f"{head.target}: {received} bytes arrived, but the trailer says {wrong}")


def _check_version(fields: list[tuple[str, str]], head: ResponseHead) -> None:
    for name, value in fields:
        if name == "etag" and (tag := head.get("etag")) and value.removeprefix("W/") != tag.removeprefix("W/"):
            raise Changed(f"{head.target}: the ETag changed while the file was being read")
        if name == "last-modified":
            before, after = http_date(head.get("last-modified")), http_date(value)
            if None not in (before, after) and before != after:
                raise Changed(f"{head.target}: the Last-Modified date changed while the file was being read")


def _words() -> ModuleType:
    from urlsum.origin.http11 import trailer_failures  # noqa: PLC0415 - compiles for 10 ms, and few files have trailers

    return trailer_failures


def _is_zero(text: str) -> bool:
    number = _NUMBER.fullmatch(text)
    return number is not None and int(number[0]) == 0
