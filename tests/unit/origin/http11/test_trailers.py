"""Trailer fields: an error that the origin reports after the last chunk, and words against the head."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest

from urlsum.errors import Changed, Incomplete, OriginError
from urlsum.origin.guard.url import parse
from urlsum.origin.http11.response import ResponseHead
from urlsum.origin.http11.trailers import check, check_head

TARGET = parse("http://example.org/file")
RECEIVED = 1000


def judge(*trailers: tuple[str, str], **fields: str) -> None:
    declared = tuple((name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in fields.items())
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in trailers]
    check(raw, ResponseHead(TARGET, 200, None, True, declared), RECEIVED)


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
        # The state of the transfer.
        ("X-Checksum-Status", "mismatch"),
        ("X-Checksum", "mismatch"),
        ("X-Checksum-Check", "bad checksum"),
        ("X-Checksum-Valid", "false"),
        ("X-Checksum-Mismatch", "true"),
        ("X-Integrity", "corrupted"),
        ("X-Verified", "no"),
        ("X-Intact", "off"),
        ("X-Signature-Status", "invalid"),
        ("X-Stream-State", "broken"),
        ("X-Stream-State", "reset"),
        ("X-Stream-State", "not complete"),
        ("X-Stream-State", "UnexpectedEof"),
        ("X-Stream-State", "closed by peer"),
        ("X-State", "partial"),
        ("X-State", "READ_ERROR"),
        ("X-Stream", "reset by peer"),
        ("X-Upstream", "connection reset by peer"),
        ("X-Upstream", "timed out"),
        ("X-Transfer", "aborted"),
        ("X-Body", "truncated"),
        ("X-Body-Status", "short"),
        ("X-Finish-Reason", "interrupted"),
        ("X-Finished", "prematurely"),
        ("X-Finished", "no"),
        ("X-Eof", "unexpected"),
        ("X-Eof", "false"),
        ("X-End", "premature"),
        ("X-Result", "unsuccessful"),
        ("X-Result", "not ok"),
        ("X-Status", "200 but truncated"),
        ("X-Termination", "killed by signal 9"),
        ("X-Stream-End", "abnormal"),
        ("X-Stream-Reset", "true"),
        ("X-Data-Loss", "yes"),
        ("X-Status", "10054"),
        # Messages.
        ("X-Reason", "ECONNRESET"),
        ("X-Reason", "disk full"),
        ("X-Comment", "stream aborted"),
        ("X-Warning", "upstream reset"),
        ("X-Warnings", "1 block lost"),
        ("Warning", '299 - "read failed"'),
        ("X-Problem", "read error"),
        ("X-Problem", "disk"),
        ("X-Problems", "1"),
        ("X-Reason", "upstream closed prematurely"),
        ("X-Reason", "upstream closed the connection"),
        ("X-Reason", "deadline exceeded"),
        ("X-Reason", "out of memory"),
        ("X-Reason", "no space left on device"),
        ("X-Reason", "no response: error"),
        ("X-Reason", "errors=3"),
        ("X-Reason", "short read"),
        ("X-Reason", "backend unavailable"),
        ("X-Message", "could not be read: connection refused"),
        ("X-Message", "10 of 20 bytes: gave up"),
        ("X-Detail", "the body was cut short"),
        # Flags.
        ("X-Partial", "true"),
        ("X-Corrupt", "1"),
        ("X-Timed-Out", "yes"),
        ("X-Premature-Eof", "1"),
        ("X-Disconnected", "on"),
        ("X-Not-Complete", "true"),
        ("X-No-Error", "false"),
        ("X-Has-Error", "true"),
        ("X-LastError", "EIO"),
        ("X-Exit", "137"),
        ("X-Exit-Reason", "killed"),
    ],
)
def test_a_trailer_that_tells_of_an_error_ends_as_incomplete(name: str, value: str) -> None:
    for fields in ([(name, value)], [("X-Checksum", "abc"), (name, value)], [(name, value), ("X-Note", "")]):
        with pytest.raises(Incomplete, match="the server reported an error after the last chunk"):
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
        ("Trailer", "X-Stream-Error"),
        ("Content-Disposition", "attachment; filename=read error.txt"),
        ("Cache-Control", "stale-if-error=60"),
        ("Link", "</errors>; rel=help"),
        ("Warning", '111 - "Revalidation Failed"'),
        ("x-amz-meta-note", "error: none of your business"),
        # Checksums, signatures, timings and identifiers.
        ("x-amz-trailer-signature", "abort0123456789"),
        ("Repr-Digest", "sha-256=:bad/Error+fail/aborted+AAAAAAAAAAAAAAAAAAAAAAA=:"),
        ("X-Checksum", "error+AAAA=="),
        ("X-Checksum-Sha256", "failed"),
        ("X-Checksum-Status", "verified"),
        ("X-Signature", "bad"),
        ("Server-Timing", 'error;desc="read failed";dur=5'),
        ("X-Request-Id", "abort-123e4567-e89b"),
        ("X-Request-Id", "error"),
        ("X-Trace-Id", "failed 1"),
        ("X-Message-Id", "failed-1"),
        ("X-Served-By", "error-free"),
        ("X-Served-By", "broken-hill-3"),
        ("X-Backend", "error.example"),
        ("X-Upstream", "reset-7.internal"),
        ("X-Cache-Key", "error"),
        # Words inside other words, and policies.
        ("X-Terror", "5"),
        ("X-Hispanic", "yes"),
        ("X-Preset", "true"),
        ("X-Broker", "3"),
        ("X-Uninterrupted", "true"),
        ("X-Untruncated", "yes"),
        ("X-Exceptional", "1"),
        ("X-Fail-Over", "node2"),
        ("X-Fail-Safe", "on"),
        ("X-Error-Budget", "0.5"),
        ("X-Error-Rate", "0.01"),
        ("X-Errors-Url", "https://errors.example/1"),
        ("X-Error-Page", "/500.html"),
        ("X-Failure-Domain", "rack3"),
        ("X-Fault-Tolerance", "2"),
        ("X-On-Error", "retry"),
        ("X-Max-Errors", "10"),
        ("X-Abort-Token", "abc"),
        ("X-Success-Rate", "0"),
        ("X-RateLimit-Reset", "60"),
        ("X-RateLimit-Remaining", "0"),
        ("X-Timeout", "30"),
        ("X-Info", "timeout=5, max=100"),
        ("X-Partial", "node3"),
        ("X-Exit-Node", "5"),
        # Good states.
        ("X-No-Error", "true"),
        ("X-Not-Truncated", "1"),
        ("X-Error", "No errors."),
        ("X-Error", "no errors found"),
        ("X-Error", "n/a"),
        ("X-Warning", "-"),
        ("X-Message", "no errors, not truncated"),
        ("X-Reason", "finished without errors"),
        ("X-Reason", "errors=0 aborted=false"),
        ("X-Reason", "not truncated"),
        ("X-Reason", "closed normally"),
        ("X-Stream-State", "closed"),
        ("X-Stream-State", "half-closed (local)"),
        ("X-Stream-State", "END_STREAM"),
        ("X-Finish-Reason", "eof"),
        ("X-Eof", "true"),
        ("X-Corrupt", "0"),
        ("X-Result", "error-free"),
        ("Status", "200 OK, error-free"),
        ("X-Cache-Status", "EXPIRED"),
        ("X-Verified", "yes"),
        ("X-Result", "1000 read, 0 lost"),
        ("X-Default", "yes"),
        ("X-Failover", "b.example"),
        ("X-Merry", "errand"),
        ("Expires", "Sun, 06 Nov 1994 08:49:37 GMT"),
    ],
)
def test_other_trailers_are_no_error(name: str, value: str) -> None:
    judge((name, value))


@pytest.mark.parametrize(
    ("status", "trailer", "fails"),
    [
        (206, "206 Partial Content", False),
        (206, "206", False),
        (200, "206 Partial Content", True),
        (206, "200 OK", False),
        (206, "500", True),
    ],
)
def test_the_status_of_the_response_itself_is_no_error(status: int, trailer: str, fails: bool) -> None:
    response = ResponseHead(TARGET, status, None, True, ())
    if fails:
        with pytest.raises(Incomplete):
            check([(b"status", trailer.encode())], response, RECEIVED)
    else:
        check([(b"status", trailer.encode())], response, RECEIVED)


@pytest.mark.parametrize(
    ("status", "name", "value", "fails"),
    [
        (200, "grpc-status", "13", True),
        (200, "grpc-status", "", True),
        (206, "grpc-status", "OK?", True),
        (200, "grpc-status", "0", False),
        (200, "x-stream-error", "EOF", True),
        (206, "x-stream-error", "1", True),
        (200, "x-stream-error", "", False),
        (200, "x-stream-error", "none", False),
        (200, "x-other", "EOF", False),
        # These responses bring no file and have errors of their own.
        (404, "grpc-status", "5", False),
        (302, "x-stream-error", "EOF", False),
    ],
)
def test_a_head_that_reports_the_end_of_the_body_is_judged(status: int, name: str, value: str, fails: bool) -> None:
    response = ResponseHead(TARGET, status, 0, False, ((name.encode(), value.encode()),))
    if fails:
        with pytest.raises(Incomplete, match=f"the server reported an error in the response head: {name}$"):
            check_head(response)
    else:
        check_head(response)


@pytest.mark.parametrize("piece", ["no ", "error ", "not a ", "no_", "errors ", "timed ", "0 ", "a" * 60, "error-"])
def test_a_long_trailer_takes_no_time(piece: str) -> None:
    long = piece * (60_000 // len(piece))
    began = time.process_time()
    for name in ("x-reason", "x-foo", "x-stream", "x-error", long.replace(" ", "-").replace("_", "-")):
        with suppress(Incomplete):
            judge((name, long))
    assert time.process_time() - began < 1.0  # without a limit of the length it takes minutes


def test_a_grpc_status_of_success_settles_its_message() -> None:
    judge(("grpc-message", "OK, all of it"), ("grpc-status", "0"))
    with pytest.raises(Incomplete):
        judge(("grpc-status", "0"), ("x-grpc-error", "broken"))
    with pytest.raises(Incomplete):
        judge(("grpc-status", "0"), ("grpc-status", "2"))


def test_the_message_names_well_known_fields_and_quotes_nothing() -> None:
    with pytest.raises(
        Incomplete,
        match=r"^http://example.org/file: the server reported an error after the last chunk: X-Stream-Error$",
    ):
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
        (("Content-Length", "99999999999999999999"), {}, Incomplete),
        (("X-Bytes-Sent", "10"), {}, Incomplete),
        (("X-Bytes-Sent", "1001"), {}, Incomplete),
        (("X-Bytes-Sent", "1000"), {}, None),
        (("X-Bytes-Sent", "01000 bytes"), {}, None),
        (("X-Bytes-Sent", "10 bytes"), {}, Incomplete),
        (("X-Bytes", "10 of 1000"), {}, Incomplete),
        (("X-Bytes", "1000/2000"), {}, Incomplete),
        (("X-Bytes", "1000/1000"), {}, None),
        (("X-Total-Bytes", "2000"), {}, Incomplete),
        (("X-Body-Size", "999"), {}, Incomplete),
        (("X-File-Length", "1500 B"), {}, Incomplete),
        (("X-Content-Length", "1000"), {}, None),
        (("X-Size", "2000"), {}, Incomplete),
        (("X-Octets-Written", "0"), {}, Incomplete),
        (("X-Size-Length", "2000"), {}, Incomplete),
        (("X-Upstream-Bytes", "10"), {}, Incomplete),
        (("X-Bytes-Remaining", "5"), {}, Incomplete),
        (("X-Bytes-Remaining", "0"), {}, None),
        (("X-Missing-Bytes", "1000"), {}, Incomplete),
        (("X-Bytes-Sent", "2000"), {"content_range": "bytes 1000-1999/2000"}, None),
        (("X-Bytes-Sent", "1000"), {"content_range": "bytes 1000-1999/2000"}, None),
        (("X-Bytes-Sent", "1500"), {"content_range": "bytes 1000-1999/2000"}, Incomplete),
        (("Content-Length", "2000"), {"content_range": "bytes 1000-1999/2000"}, Incomplete),
        # Counts of something else, and no counts.
        (("X-Original-Content-Length", "10"), {}, None),
        (("x-amz-decoded-content-length", "10"), {}, None),
        (("X-Goog-Stored-Content-Length", "10"), {}, None),
        (("X-Header-Bytes", "10"), {}, None),
        (("X-Chunk-Size", "10"), {}, None),
        (("X-Bytes-Per-Second", "10"), {}, None),
        (("X-Max-Bytes", "10"), {}, None),
        (("X-Window-Size", "10"), {}, None),
        (("X-Queue-Length", "10"), {}, None),
        (("X-Bytes-Sent", "many"), {}, None),
        (("X-Bytes-Sent", "10.5 KiB"), {}, None),
        (("X-Count", "10"), {}, None),
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
        (("ETag", '"a"'), {"etag": 'W/"a"'}, None),
        (("ETag", 'W/"a"'), {"etag": 'W/"a"'}, None),
        (("ETag", 'W/"b"'), {"etag": 'W/"a"'}, Changed),
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


@pytest.mark.parametrize("word", ["remaining", "left", "missing", "lost", "dropped", "unsent", "short", "truncated"])
def test_bytes_that_did_not_come_are_named_in_many_ways(word: str) -> None:
    judge((f"X-Bytes-{word}", "0"))
    with pytest.raises(Incomplete):
        judge((f"X-Bytes-{word}", "1000"))


@pytest.mark.parametrize(
    "word",
    [
        "content",
        "body",
        "file",
        "object",
        "blob",
        "total",
        "payload",
        "entity",
        "response",
        "stream",
        "message",
        "data",
    ],
)
@pytest.mark.parametrize("size", ["length", "size"])
def test_the_size_of_the_body_has_many_names(word: str, size: str) -> None:
    judge((f"X-{word}-{size}", "1000"))
    with pytest.raises(Incomplete, match="1000 bytes arrived, but the trailer says 999"):
        judge((f"X-{word}-{size}", "999"))


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("x-stream-error", "X-Stream-Error"),
        ("x-error", "X-Error"),
        ("x-content-error", "X-Content-Error"),
        ("stream-error", "Stream-Error"),
        ("status", "Status"),
        ("x-status", "X-Status"),
    ],
)
def test_a_field_that_many_servers_send_is_named(name: str, shown: str) -> None:
    with pytest.raises(Incomplete, match=f"after the last chunk: {shown}$"):
        judge((name, "failed"))


STANDARD = (
    "accept-ranges age allow alt-svc cache-control content-disposition content-language content-location"
    " content-security-policy content-type date expires keep-alive link location nel report-to retry-after"
    " server server-timing set-cookie trailer tracestate vary via"
)
SUCCESSES = (
    "success successful succeeded complete completed finished ok valid verified intact match matched matches done eof"
    " final whole"
)
FLAGS = (
    "mismatch mismatched broken corrupt corrupted damaged partial premature unexpected crashed killed timedout"
    " disconnected lost loss missing dropped terminated unfinished invalid short cut abrupt abnormal unclean reset"
)
STATES = (
    "status state result outcome reason warning warn message msg note notice details cause diagnostics alert eof end"
    " ending close closing closure termination finish completion integrity verification verify validation check health"
    " condition info event signal verdict report comment remark incident shutdown"
)
SUBJECTS = (
    "stream transfer upstream backend body connection download read write fetch origin source response checksum"
    " content payload copy"
)
IDENTIFIERS = (
    "id ids uid uuid guid by key token url uri link href path filename name host hostname node server etag hash digest"
    " signature input nonce tag title user owner bucket version agent timing type region zone pop crc32 sha256 md5"
    " trace traceparent span"
)
NOTHING = "- 0 none no n false null nil n/a off ok success successful [] {}"


def good(name: str, value: str) -> bool:
    try:
        judge((name, value))
    except Incomplete:
        return False
    return True


@pytest.mark.parametrize("name", STANDARD.split())
def test_a_standard_field_is_no_report(name: str) -> None:
    assert good(name, "error")


@pytest.mark.parametrize("word", SUCCESSES.split())
def test_a_success_that_is_denied_is_a_failure(word: str) -> None:
    assert not good(f"X-{word}", "false")
    assert not good(f"X-{word}", "the rest was lost")
    assert good(f"X-{word}", "true")


@pytest.mark.parametrize("word", FLAGS.split())
def test_a_flag_of_failure_counts_when_it_is_set(word: str) -> None:
    assert not good(f"X-{word}", "true")
    assert good(f"X-{word}", "false")


@pytest.mark.parametrize("word", STATES.split())
def test_a_state_is_read_as_a_message(word: str) -> None:
    assert not good(f"X-{word}", "the rest was lost")
    assert good(f"X-{word}", "all went well")


@pytest.mark.parametrize("word", SUBJECTS.split())
def test_what_happened_to_the_transfer_is_read_to_its_end(word: str) -> None:
    assert not good(f"X-{word}", "it met an error")
    assert good(f"X-{word}", "it is well")
    assert good("X-Thing", "it met an error")


@pytest.mark.parametrize("word", IDENTIFIERS.split())
def test_the_name_of_a_thing_is_no_message(word: str) -> None:
    assert good(f"X-Any-{word}", "error")


@pytest.mark.parametrize("value", NOTHING.split())
def test_an_error_field_may_say_that_there_was_none(value: str) -> None:
    assert good("X-Stream-Error", value)
    assert good("X-Stream-Error", value.upper())


def test_a_denial_in_front_of_a_failure_denies_nothing() -> None:
    assert good("X-Stream-Error", "no error")
    assert not good("X-Stream-Error", "no error until the transfer was truncated")


OTHER_COUNTS = (
    "original orig uncompressed compressed decompressed decoded encoded raw stored gzip header headers head request in"
    " received wire chunk chunks max min limit per saved cached skipped range ranges part parts first last start end"
    " offset block blocks buffer window rate second seconds average quota available free used meta id name key type"
)


@pytest.mark.parametrize("word", OTHER_COUNTS.split())
def test_a_count_of_something_else_contradicts_nothing(word: str) -> None:
    assert good(f"X-{word}-Bytes", "10")
    assert good(f"X-Bytes-{word}", "10")
    assert not good("X-Bytes", "10")


def test_the_count_that_differs_is_named() -> None:
    with pytest.raises(Incomplete, match=r"^http://example.org/file: 1000 bytes arrived, but the trailer says 10$"):
        judge(("X-Bytes", "10 of 1000"))
    with pytest.raises(Incomplete, match=r"but the trailer says 2000$"):
        judge(("X-Bytes", "1000 of 2000"))
    with pytest.raises(Incomplete, match=r"but the trailer says 10$"):
        judge(("X-Bytes", "10 of 20"))


MESSAGES = [
    *("error", "errors", "err", "errno 5", "exception", "failed", "failure", "fault", "fatal", "panic", "aborted"),
    *("truncated", "truncation", "incomplete", "interrupted", "cancelled", "canceled", "mismatch", "broken", "corrupt"),
    *("damaged", "unexpected", "premature", "reset", "timed out", "time-out", "timeout", "disconnected", "crashed"),
    *("unsuccessful", "abrupt", "abnormal", "econnreset", "epipe", "eio", "enospc", "enomem", "etimedout", "edquot"),
    *("partial", "killed", "lost", "dropped", "refused", "denied", "unavailable", "unreachable", "unfinished"),
    *("unhealthy", "exceeded", "exhausted", "overloaded", "invalid", "bad", "unable", "cannot", "stalled", "nok"),
    *("hangup", "hang up", "hung up", "gave up", "given up", "giving up", "out of memory", "oom", "disk full"),
    *("quota full", "volume full", "went away", "gone away", "unclean", "dead", "cut off", "too early", "ended early"),
    *("stopped early", "finished early", "closed early", "eof before", "before eof", "no match", "no eof", "no space"),
    *("no data", "no response", "not complete", "not completed", "not yet finished", "not ok", "not valid", "not all"),
    *(
        "didn't finish",
        "wasn't sent",
        "isn't complete",
        "not read",
        "not sent",
        "not available",
        "not enough",
        "not successful",
        "not intact",
    ),
    *("not matching", "not whole", "not written", "not transferred", "not found", "short read", "short write"),
    *("short body", "short file", "short count", "short by 5", "short of 5", "short response", "short transfer"),
    *("read short", "write short", "too short", "cut short", "came short", "fell short", "stopped short", "ran short"),
    *("missing bytes", "missing chunk", "bytes missing", "parts are missing"),
]


@pytest.mark.parametrize("words", MESSAGES)
def test_a_state_in_words_of_failure_is_one(words: str) -> None:
    for text in (words, words.upper(), f"the transfer: {words}", f"{words}, at 5 of 10"):
        assert not good("X-Transfer-Status", text)


@pytest.mark.parametrize(
    "words",
    ["no error", "without errors", "0 errors", "not truncated", "never lost", "errors: none", "error=0", "error-free"],
)
def test_a_denied_failure_is_none(words: str) -> None:
    assert good("X-Transfer-Status", words)
    assert good("X-Transfer-Status", f"complete, {words}")
