"""Memory stays flat, however long the file and however it is framed."""

from __future__ import annotations

import hashlib
import tracemalloc

import pytest

from tests.integration.origin.conftest import Serve, client
from tests.support.origin_server import LAST_CHUNK, Steps, answers, chunk, head

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
