"""``--server`` against services that lie: whatever they send, the list and the terminal get lines of urlsum's own."""

from __future__ import annotations

import json
import logging
import re
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.origin.origin_server import OriginServer
from urlsum.cli import console
from urlsum.cli.outcome import HashRequest
from urlsum.cli.progress import NoMeter
from urlsum.cli.remote import RemoteHasher
from urlsum.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.origin.origin_server import Request, Steps

URL = "https://files.example/a"
MD5 = "0123456789abcdef0123456789ABCDEF"
VALID: dict[int, Any] = {
    200: {"md5": MD5, "notes": [{"code": "web-page", "message": "A page."}], "final_url": "https://files.example/b"},
    202: {"id": "0b8e7ab0", "progress": {"bytes": 1, "total": 2}},
    410: {"status": "cancelled"},
    422: {"type": "urn:urlsum:problem:invalid-request", "detail": "No."},
    424: {"error": {"code": "http", "message": "Gone."}},
}
NASTY = st.text(st.sampled_from("a0f:\n\r\t\x00\x07\x1b[31m\x7f\x85\x9b\u2028\u202e\ud800 \\\"'%é漢")) | st.text()
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | NASTY | st.just(MD5) | st.just(-1) | st.just(2**70)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NASTY, inner, max_size=4))


def changed(value: Any, draw: st.DrawFn) -> Any:
    """``value``, in which each part may be something else, be missing, or have a neighbour."""
    if draw(st.integers(0, 5)) == 0:
        return draw(VALUES)
    if isinstance(value, dict):
        kept = {name: changed(each, draw) for name, each in value.items() if draw(st.integers(0, 9))}
        return kept | (draw(st.dictionaries(NASTY, VALUES, max_size=2)) if draw(st.integers(0, 4)) == 0 else {})
    if isinstance(value, list):
        return [changed(each, draw) for each in value for _ in range(draw(st.integers(0, 20)))]
    return value + draw(NASTY) if isinstance(value, str) and draw(st.integers(0, 3)) == 0 else value


@st.composite
def responses(draw: st.DrawFn) -> bytes:
    status = draw(st.sampled_from([*VALID, *VALID, 200, 202, 204, 301, 308, 404, 500, 503, 599, 999]))
    valid = VALID.get(status, VALID[422])
    body = json.dumps(changed(valid, draw)).encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 9)) == 0:
        body = draw(st.binary() | st.just(body[:-1]) | st.just(b"[" * 20_000) | st.just(b"9" * 20_000))
    field = NASTY.map(lambda text: text.encode("utf-8", "surrogatepass"))
    names = st.sampled_from([b"Location", b"Content-Type", b"Retry-After", b"Date", b"X", b"Set-Cookie"]) | field
    more = b"".join(b"%s: %s\r\n" % pair for pair in draw(st.lists(st.tuples(names, field), max_size=3)))
    framing = draw(
        st.sampled_from([b"Content-Length: %d\r\n" % len(body)] * 6 + [b"", b"Transfer-Encoding: chunked\r\n"])
    )
    encoding = draw(st.sampled_from([b""] * 9 + [b"Content-Encoding: gzip\r\n"]))
    reason = draw(field)
    return b"HTTP/1.1 %d %s\r\n%s%s%sConnection: close\r\n\r\n%s" % (status, reason, more, framing, encoding, body)


class Liar:
    """A service that answers the submission, and each check, with what the test says; then with a digest."""

    def __init__(self) -> None:
        self.server = OriginServer(self.answer)
        self.left: list[bytes] = []

    def answer(self, _: Request) -> Steps:
        body = json.dumps(VALID[200]).encode()
        last = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(body), body)
        return [self.left.pop(0) if self.left else last]


@pytest.fixture(scope="module")
def liar() -> Iterator[Liar]:
    made = Liar()
    with made.server:
        yield made


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(sent=st.lists(responses(), min_size=1, max_size=3), honest=st.booleans())
def test_a_service_that_lies_only_costs_its_own_digest(liar: Liar, sent: list[bytes], honest: bool) -> None:
    accepted = b'HTTP/1.1 202 X\r\nContent-Length: 12\r\nConnection: close\r\n\r\n{"id":"abc"}'
    liar.left = [accepted, *sent] if honest else list(sent)
    out, err = StringIO(), StringIO()
    handler = logging.StreamHandler(err)
    logging.getLogger().addHandler(handler)
    waits: list[float] = []
    try:
        with redirect_stdout(out), redirect_stderr(err):
            hasher = RemoteHasher(
                liar.server.url(""), Settings(max_attempts=1, read_timeout=5.0), meter=NoMeter(), sleep=waits.append
            )
            (outcome,) = hasher.digests([HashRequest(URL)])
            if outcome.md5 is None:
                console.failure(outcome.url, outcome.code, outcome.message)
            else:
                console.out(f"{outcome.md5}  {outcome.url}")
                console.notes(outcome.url, outcome.notes)
            console.tell(hasher.resume_hint())
    finally:
        logging.getLogger().removeHandler(handler)
    assert re.fullmatch(rf"([0-9a-f]{{32}}  {URL}\n)?", out.getvalue())
    lines = err.getvalue().split("\n")
    assert lines.pop() == ""
    assert len(lines) <= 14
    assert all(line.startswith("urlsum: ") and line.isprintable() and len(line) < 1000 for line in lines), lines
    assert all(1 <= wait <= 300 for wait in waits)
