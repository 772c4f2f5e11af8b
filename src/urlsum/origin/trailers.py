"""The trailer fields after the last chunk: errors that the origin reports, and contradictions of the head."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from urlsum.errors import Changed, Incomplete
from urlsum.origin.fields import ContentRange, content_range, decoded, http_date

if TYPE_CHECKING:
    from collections.abc import Iterable

    from urlsum.origin.head import Head
    from urlsum.origin.target import Target

# Names that a message may show. An origin chooses other names freely, so they have no place in a public text.
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
# No error: some programs send the field always, with one of these.
_NOTHING = frozenset({"", "-", "0", "none", "no", "no error", "no errors", "false", "null", "nil", "ok", "success"})
_NEGATIVE = frozenset({"0", "no", "none", "false", "null", "nil"})

_ERROR = (
    r"error|exception|failure|failed|fatal|panic|abort|truncat|incomplete|interrupt|cancel"
    r"|(?<![a-z])(?:fail|fault|err|errno|errmsg|errcode)(?![a-z])"
)
_ERROR_NAME = re.compile(_ERROR)
_SUCCESS_NAME = re.compile(r"(?<![a-z])(?:success|successful|complete|completed|finished|ok)(?![a-z])")
_OUTCOME_NAME = re.compile(r"status|(?<![a-z])(?:result|outcome)(?![a-z])")
# Exit codes: only 0 is a success. Other numbers are read as statuses of HTTP.
_EXIT_NAME = re.compile(r"exit|return-?code")
_ERROR_OUTCOME = re.compile(_ERROR + r"|timed?[ _-]?out|(?<![a-z])partial(?![a-z])")
# https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md: sent beside ``grpc-status``.
_GRPC_DETAILS = ("grpc-message", "grpc-status-details-bin")
_NUMBER = re.compile(r"-?[0-9]{1,9}(?![0-9])")
# RFC 9110, 15.5: from here on a status is an error.
_FIRST_ERROR_STATUS = 400


def check(fields: Iterable[tuple[bytes, bytes]], head: Head, received: int) -> None:
    """Judge the trailer ``fields`` of a body of ``received`` bytes, declared by ``Trailer`` or not.

    The last chunk proves that the origin ended the response, but not that it had the whole file: a server that fails
    after the head can report it only here (RFC 9110, 6.5). Fields that a trailer must not have (6.5.1) are ignored,
    unless they contradict the response. Raises Incomplete, Changed.
    """
    texts = [(bytes(name).decode("ascii").lower(), decoded(bytes(value)).strip()) for name, value in fields]
    if not texts:
        return
    _check_errors(texts, head.target)
    _check_framing(texts, head, received)
    _check_version(texts, head)


def _check_errors(fields: list[tuple[str, str]], target: Target) -> None:
    grpc = [value for name, value in fields if name.endswith("grpc-status")]
    for value in grpc:
        if not _is_zero(value):
            code = f" {int(value)}" if _NUMBER.fullmatch(value) else ""
            raise Incomplete(f"{target}: the origin reports an error after the last chunk: grpc-status{code}")
    for name, value in fields:
        if grpc and name.endswith(_GRPC_DETAILS):
            continue  # the status says that they describe no error
        if _tells_of_error(name, value):
            shown = _SHOWN.get(name, "in a trailer field")
            raise Incomplete(f"{target}: the origin reports an error after the last chunk: {shown}")


def _tells_of_error(name: str, value: str) -> bool:
    text = value.strip(" \t\"'").lower()
    if _ERROR_NAME.search(name) or name.endswith(_GRPC_DETAILS):
        return text not in _NOTHING
    if _SUCCESS_NAME.search(name):
        return text in _NEGATIVE or bool(_ERROR_NAME.match(text))
    if text in _NOTHING:
        return False
    number = _NUMBER.match(text)
    if _EXIT_NAME.search(name):
        return not (number and int(number[0]) == 0)
    if _OUTCOME_NAME.search(name):
        return bool(_ERROR_OUTCOME.search(text)) or bool(number and not 0 <= int(number[0]) < _FIRST_ERROR_STATUS)
    return bool(_ERROR_NAME.match(text))


def _check_framing(fields: list[tuple[str, str]], head: Head, received: int) -> None:
    for name, value in fields:
        if name == "content-length" and int(value) != received:  # h11 lets at most 20 digits through
            raise Incomplete(f"{head.target}: {received} bytes came, but the trailer says {int(value)}")
        if name == "content-range" and (sent := content_range(value)):
            declared = content_range(head.get("content-range")) or ContentRange(0, received, received)
            same_total = sent.total is None or declared.total in (None, sent.total)
            if (sent.first, sent.end) != (declared.first, declared.end) or not same_total:
                raise Incomplete(f"{head.target}: the Content-Range of the trailer contradicts the response")


def _check_version(fields: list[tuple[str, str]], head: Head) -> None:
    for name, value in fields:
        if name == "etag" and (tag := head.get("etag")) and value.removeprefix("W/") != tag.removeprefix("W/"):
            raise Changed(f"{head.target}: its ETag changed while it was read")
        if name == "last-modified":
            before, after = http_date(head.get("last-modified")), http_date(value)
            if None not in (before, after) and before != after:
                raise Changed(f"{head.target}: its Last-Modified changed while it was read")


def _is_zero(text: str) -> bool:
    number = _NUMBER.fullmatch(text)
    return number is not None and int(number[0]) == 0
