"""Memory stays flat, however long the file and however it is framed."""

from __future__ import annotations

import hashlib
import tracemalloc

import pytest

from tests.integration.origin.conftest import Serve, client
from tests.support.origin.origin_server import LAST_CHUNK, Steps, answers, chunk, head
from urlsum.errors import ProtocolViolated

PIECE = bytes(range(256)) * 4096
PIECES = 64
LENGTH = f"Content-Length: {PIECES * len(PIECE)}"


@pytest.mark.parametrize(
    "steps",
    [
        [head("200 OK", LENGTH), *[PIECE] * PIECES],
        [head("200 OK", "Transfer-Encoding: chunked"), *[chunk(PIECE)] * PIECES, LAST_CHUNK],
    ],
    ids=["length", "chunked"],
)
def test_64_mib_go_through_a_few(serve: Serve, steps: Steps) -> None:
    origin = serve(answers(steps))
    digest = hashlib.md5()
    tracemalloc.start()
    try:
        with client(read_timeout=20.0).open(origin.url(), seconds=100) as body:
            while piece := body.read():
                digest.update(piece)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert digest.hexdigest() == hashlib.md5(PIECE * PIECES).hexdigest()
    assert body.size == PIECES * len(PIECE)
    assert peak < 12 * 2**20


@pytest.mark.parametrize("line", [b"X: y\r\n", b"x"], ids=["fields", "one field"])
def test_a_head_of_64_mib_goes_no_further_than_its_bound(serve: Serve, line: bytes) -> None:
    flood = line * (2**20 // len(line))
    origin = serve(answers([b"HTTP/1.1 200 OK\r\nX: ", *[flood] * 64]))
    reader = client()
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolViolated, match="longer than 65536 bytes"):
            reader.open(origin.url())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**20


@pytest.mark.parametrize("end", [b"", b"\r\n"], ids=["extension", "trailer"])
def test_chunks_without_end_hold_no_memory(serve: Serve, end: bytes) -> None:
    flood = b"x" * 2**20
    start = b"5;" if not end else b"0\r\nX: "
    origin = serve(answers([head("200 OK", "Transfer-Encoding: chunked"), start, *[flood] * 64]))
    reader = client()
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolViolated, match="malformed"), reader.open(origin.url()) as body:
            body.read()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # The buffer that a body is read into, and what h11 holds.
    assert peak < 4 * 2**20
