"""Trailer fields: an error that the origin reports after the last chunk, and words against the head."""

from __future__ import annotations

import pytest

from urlsum.errors import Changed, Incomplete, OriginError
from urlsum.origin.head import Head
from urlsum.origin.target import parse
from urlsum.origin.trailers import check

TARGET = parse("http://example.org/file")
RECEIVED = 1000


def judge(*trailers: tuple[str, str], **fields: str) -> None:
    declared = tuple((name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in fields.items())
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in trailers]
    check(raw, Head(TARGET, 200, None, True, declared), RECEIVED)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Stream-Error", "context deadline exceeded"),
        ("X-Stream-Error", "0x0"),
        ("Stream-Error", "EOF"),
        ("X-Error", "1"),
        ("X-Error-Code", "E42"),
        ("X-Error-Message", "disk"),
        ("X-Errors", "2"),
        ("X-Content-Error", "true"),
        ("X-StreamError", "yes"),
        ("X-Amz-Error-Code", "InternalError"),
        ("x-amz-error-message", "We encountered an internal error"),
        ("x-ms-error-code", "ServerBusy"),
        ("Lambda-Runtime-Function-Error-Type", "Unhandled"),
        ("X-ClickHouse-Exception-Code", "159"),
        ("X-Err", "5"),
        ("X-Errno", "28"),
        ("X-Fault", "yes"),
        ("X-Failure", "gone"),
        ("X-Failed", "1"),
        ("X-Aborted", "true"),
        ("X-Truncated", "1"),
        ("X-Incomplete", "true"),
        ("X-Interrupted", "yes"),
        ("X-Cancelled", "true"),
        ("grpc-status", "13"),
        ("grpc-status", "1"),
        ("grpc-status", ""),
        ("grpc-status", "OK?"),
        ("Trailer-Grpc-Status", "2"),
        ("grpc-message", "unavailable"),
        ("grpc-status-details-bin", "CAI"),
        ("Status", "500"),
        ("Status", "404 Not Found"),
        ("Status", "error"),
        ("X-Status", "400"),
        ("X-Status-Code", "503"),
        ("X-Status", "-1"),
        ("X-Stream-Status", "failed"),
        ("X-Stream-Status", "timed out"),
        ("X-Result", "failure"),
        ("X-Outcome", "aborted by peer"),
        ("X-Exit-Code", "1"),
        ("X-Exit-Status", "killed"),
        ("X-Return-Code", "255"),
        ("Proxy-Status", "cdn.example; error=http_response_incomplete"),  # RFC 9209, 2.3.12
        ("X-Complete", "false"),
        ("X-Stream-Complete", "no"),
        ("X-Success", "0"),
        ("X-Complete", "aborted"),
        ("X-Message", "error: disk full"),
        ("X-Note", "Fatal error: out of memory"),
        ("X-Note", '"failed"'),
    ],
)
def test_a_trailer_that_tells_of_an_error_ends_as_incomplete(name: str, value: str) -> None:
    for fields in ([(name, value)], [("X-Checksum", "abc"), (name, value)], [(name, value), ("X-Note", "")]):
        with pytest.raises(Incomplete, match="the origin reports an error after the last chunk"):
            judge(*fields)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Stream-Error", ""),
        ("X-Stream-Error", " \t"),
        ("X-Error", "0"),
        ("X-Error", "none"),
        ("X-Error", "null"),
        ("X-Error", '""'),
        ("X-Errors", "No errors"),
        ("X-Truncated", "false"),
        ("grpc-status", "0"),
        ("grpc-status", "00"),
        ("grpc-message", ""),
        ("Status", "200 OK"),
        ("X-Status", "OK"),
        ("X-Status", "0"),
        ("X-Status", "304"),
        ("X-Status", "12345678901"),
        ("X-Cache-Status", "HIT"),
        ("Proxy-Status", "cdn.example; received-status=200"),
        ("X-Exit-Code", "0"),
        ("X-Complete", "true"),
        ("X-Success", "1"),
        ("Server-Timing", "db;dur=53"),
        ("Content-MD5", "XrY7u+Ae7tCTyyK7j1rNww=="),
        ("Digest", "md5=XrY7u+Ae7tCTyyK7j1rNww=="),
        ("x-amz-checksum-crc32", "AAAAAA=="),
        ("Keep-Alive", "timeout=5"),
        ("X-Default", "yes"),
        ("X-Failover", "b.example"),
        ("X-Merry", "errand"),
        ("Expires", "Sun, 06 Nov 1994 08:49:37 GMT"),
    ],
)
def test_other_trailers_are_no_error(name: str, value: str) -> None:
    judge((name, value))


def test_a_grpc_status_of_success_settles_its_message() -> None:
    judge(("grpc-message", "OK, all of it"), ("grpc-status", "0"))
    with pytest.raises(Incomplete):
        judge(("grpc-status", "0"), ("x-grpc-error", "broken"))
    with pytest.raises(Incomplete):
        judge(("grpc-status", "0"), ("grpc-status", "2"))


def test_the_message_names_well_known_fields_and_quotes_nothing() -> None:
    with pytest.raises(Incomplete, match=r"after the last chunk: X-Stream-Error$"):
        judge(("X-Stream-Error", "secret"))
    with pytest.raises(Incomplete, match=r"after the last chunk: grpc-status 13$"):
        judge(("grpc-status", "13"))
    with pytest.raises(Incomplete, match=r"after the last chunk: grpc-status$"):
        judge(("grpc-status", "secret"))
    with pytest.raises(Incomplete, match=r"after the last chunk: in a trailer field$"):
        judge(("X-Secret-Error", "secret"))


@pytest.mark.parametrize(
    ("trailer", "fields", "error"),
    [
        (("Content-Length", "999"), {}, Incomplete),
        (("Content-Length", "1001"), {}, Incomplete),
        (("Content-Length", "1000"), {}, None),
        (("Content-Range", "bytes 0-999/1000"), {}, None),
        (("Content-Range", "bytes 0-999/*"), {}, None),
        (("Content-Range", "bytes 0-999/2000"), {}, Incomplete),
        (("Content-Range", "bytes 0-1999/2000"), {}, Incomplete),
        (("Content-Range", "bytes 1000-1999/2000"), {}, Incomplete),
        (("Content-Range", "bytes 1000-1999/2000"), {"content_range": "bytes 1000-1999/2000"}, None),
        (("Content-Range", "bytes 1000-1999/2000"), {"content_range": "bytes 1000-1999/*"}, None),
        (("Content-Range", "bytes 1000-1999/3000"), {"content_range": "bytes 1000-1999/2000"}, Incomplete),
        (("Content-Range", "bytes 1001-2000/2001"), {"content_range": "bytes 1000-1999/2000"}, Incomplete),
        (("Content-Range", "nonsense"), {}, None),
        (("ETag", '"b"'), {"etag": '"a"'}, Changed),
        (("ETag", ""), {"etag": '"a"'}, Changed),
        (("ETag", '"a"'), {"etag": '"a"'}, None),
        (("ETag", 'W/"a"'), {"etag": '"a"'}, None),
        (("ETag", '"caf\xe9"'), {"etag": '"caf\xe9"'}, None),
        (("ETag", '"a"'), {}, None),
        (
            ("Last-Modified", "Sun, 06 Nov 1994 08:49:38 GMT"),
            {"last_modified": "Sun, 06 Nov 1994 08:49:37 GMT"},
            Changed,
        ),
        (
            ("Last-Modified", "Sunday, 06-Nov-94 08:49:37 GMT"),
            {"last_modified": "Sun, 06 Nov 1994 08:49:37 GMT"},
            None,
        ),
        (("Last-Modified", "yesterday"), {"last_modified": "Sun, 06 Nov 1994 08:49:37 GMT"}, None),
        (("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT"), {}, None),
        # RFC 9110, 6.5.1: no place for these, and so no meaning.
        (("Content-Encoding", "gzip"), {}, None),
        (("Location", "/elsewhere"), {}, None),
    ],
)
def test_a_trailer_must_not_contradict_the_response(
    trailer: tuple[str, str], fields: dict[str, str], error: type[OriginError] | None
) -> None:
    if error is None:
        judge(trailer, **fields)
        return
    with pytest.raises(error):
        judge(trailer, **fields)
