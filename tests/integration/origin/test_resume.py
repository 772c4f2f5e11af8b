"""Going on from a checkpoint: only with proof that it is the same version of the same file."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from tests.integration.origin.conftest import Serve, client
from tests.support.origin_server import HANG, File, OriginServer, Request, Steps, head
from urlsum.errors import Changed, HttpFailed, Incomplete, ProtocolViolated, Unverifiable
from urlsum.origin.version import TAIL_BYTES, Version
from urlsum.task import Checkpoint

DATA = random.Random(4).randbytes(3_000_000)
OFFSETS = [64, 6400, TAIL_BYTES, TAIL_BYTES + 64, 2_000_000, 2_999_936]


def checkpoint(url: str, offset: int) -> Checkpoint:
    """Read just past ``offset`` and put the work down there."""
    with client().open(url) as body:
        body.skip_to(offset + min(17, len(DATA) - offset))
        return Checkpoint(offset, b"", body.validator)


def resumed(origin: OriginServer, at: Checkpoint) -> bytes:
    with client().open(origin.url(), resume=at) as body:
        assert body.offset == at.offset
        rest = b""
        while piece := body.read():
            rest += bytes(piece)
        assert body.size == at.offset + len(rest)
        return rest


@pytest.mark.parametrize("offset", OFFSETS)
@pytest.mark.parametrize(
    "file",
    [
        File(DATA),
        File(DATA, last_modified=None),
        File(DATA, etag=None),
        File(DATA, etag=None, last_modified=None),
        File(DATA, etag='W/"v1"'),
        File(DATA, etag='"' + "long" * 100 + '"'),
        File(DATA, chunked=True),
        File(DATA, ranges=False),
        File(DATA, ranges=False, chunked=True, etag=None, last_modified=None),
    ],
)
def test_the_same_file_is_gone_on_with(serve: Serve, file: File, offset: int) -> None:
    origin = serve(file)
    assert resumed(origin, checkpoint(origin.url(), offset)) == DATA[offset:]


def test_what_is_asked_for_is_the_tail_and_the_rest_under_the_strong_etag(serve: Serve) -> None:
    origin = serve(File(DATA))
    resumed(origin, checkpoint(origin.url(), 2_000_000))
    assert origin.requests[1].fields["range"] == f"bytes={2_000_000 - TAIL_BYTES}-"
    assert origin.requests[1].fields["if-range"] == '"v1"'


@pytest.mark.parametrize("etag", [None, 'W/"v1"', "v1", '"' + "long" * 100 + '"'])
def test_without_a_strong_etag_there_is_no_condition(serve: Serve, etag: str | None) -> None:
    origin = serve(File(DATA, etag=etag))
    resumed(origin, checkpoint(origin.url(), 2_000_000))
    assert "if-range" not in origin.requests[1].fields


def test_a_checkpoint_at_the_very_end_is_gone_on_with(serve: Serve) -> None:
    whole = DATA[:128_000]
    origin = serve(File(whole))
    with client().open(origin.url()) as body:
        body.skip_to(len(whole))
        at = Checkpoint(len(whole), b"", body.validator)
    assert resumed(origin, at) == b""


def test_a_checkpoint_at_the_start_is_no_checkpoint(serve: Serve) -> None:
    origin = serve(File(DATA))
    assert client().fetch(origin.url(), resume=Checkpoint(0, b"", "anything")) == DATA
    assert "range" not in origin.requests[0].fields


def test_slice_after_slice_gives_the_whole_file(serve: Serve) -> None:
    origin = serve(File(DATA))
    received, at, piece = b"", None, b"begin"
    while piece:
        with client().open(origin.url(), resume=at) as body:
            received = received[: body.offset]
            piece = bytes(body.read())
            received += piece
            at = Checkpoint(len(received) - len(received) % 64, b"", body.validator)
    assert received == DATA
    assert origin.connections > 2


def test_a_proof_from_behind_the_offset_is_none(serve: Serve) -> None:
    origin = serve(File(DATA))
    later = replace(checkpoint(origin.url(), 2_000_064), offset=2_000_000)
    with pytest.raises(Changed, match="proves nothing"):
        client().open(origin.url(), resume=later)


CHANGED = DATA[:1_900_000] + bytes(100) + DATA[1_900_100:]
IN_TAIL = DATA[:1_999_000] + bytes(100) + DATA[1_999_100:]


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (File(DATA), File(CHANGED, etag='"v2"'), "ETag changed"),
        (File(DATA), File(DATA[:-1], etag='"v1"'), "length changed"),
        (File(DATA), File(DATA + b"x", etag='"v1"'), "length changed"),
        (File(DATA), File(IN_TAIL), "last bytes"),  # a lying ETag
        (
            File(DATA, etag=None),
            File(CHANGED, etag=None, last_modified="Mon, 07 Nov 1994 08:49:37 GMT"),
            "Last-Modified",
        ),
        (File(DATA, etag=None), File(IN_TAIL, etag=None), "last bytes"),
        (File(DATA, etag=None, last_modified=None), File(IN_TAIL, etag=None, last_modified=None), "last bytes"),
        (File(DATA, etag='W/"v1"'), File(CHANGED, etag='W/"v2"'), "ETag changed"),
        (File(DATA), File(DATA[:1000], etag='"v2"'), "length changed"),
        (File(DATA, etag=None), File(DATA[:1000], etag=None), "length changed"),  # 416, then the whole file
        (File(DATA, ranges=False), File(IN_TAIL, ranges=False), "last bytes"),
        (File(DATA, chunked=True, ranges=False), File(DATA[:1000], chunked=True, ranges=False), "is shorter"),
    ],
)
def test_another_version_is_not_gone_on_with(serve: Serve, before: File, after: File, words: str) -> None:
    at = checkpoint(serve(before).url(), 2_000_000)
    with pytest.raises(Changed, match=words):
        client().open(serve(after).url(), resume=at)


@pytest.mark.parametrize("validator", ["", "v1", "{}", Version().dump()])
def test_a_checkpoint_that_proves_nothing_is_not_gone_on_with(serve: Serve, validator: str) -> None:
    origin = serve(File(DATA))
    with pytest.raises(Changed):
        client().open(origin.url(), resume=Checkpoint(2_000_000, b"", validator))
    assert origin.connections == 0


def part(*fields: str, status: str = "206 Partial Content") -> bytes:
    return head(status, 'ETag: "v1"', *fields)


FIRST = 2_000_000 - TAIL_BYTES
REST = memoryview(DATA)[FIRST:]
LENGTH = f"Content-Length: {len(REST)}"


@pytest.mark.parametrize(
    ("steps", "error", "words"),
    [
        ([part(LENGTH), REST], ProtocolViolated, "without a usable Content-Range"),
        ([part(LENGTH, "Content-Range: bytes"), REST], ProtocolViolated, "without a usable"),
        ([part(LENGTH, f"Content-Range: bytes 0-{len(REST) - 1}/3000000"), REST], ProtocolViolated, "begins at 0"),
        ([part(LENGTH, f"Content-Range: bytes {FIRST}-2999998/3000000"), REST], ProtocolViolated, "do not agree"),
        ([part("Content-Type: multipart/byteranges; boundary=x", LENGTH), REST], ProtocolViolated, "without a usable"),
        ([part(LENGTH, f"Content-Range: bytes {FIRST}-2999999/3000001"), REST], Changed, "length changed"),
        ([part("Content-Length: 0", status="204 No Content")], HttpFailed, "204"),
        ([part("Content-Length: 0", status="404 Not Found")], HttpFailed, "404"),
        ([part(LENGTH, f"Content-Range: bytes {FIRST}-2999999/3000000"), REST[:-1]], Incomplete, "2.9 MiB of 2.9 MiB"),
        # A part of the part: right as far as it goes, and the next try asks for what is missing.
        ([part("Content-Length: 100000", f"Content-Range: bytes {FIRST}-{FIRST + 99_999}/3000000"), REST[:100_000]],
         Incomplete, "only a part"),
        ([part("Content-Length: 100000", f"Content-Range: bytes {FIRST}-{FIRST + 99_999}/*"), REST[:100_000]],
         Incomplete, "only a part"),
        ([part("Transfer-Encoding: chunked", f"Content-Range: bytes {FIRST}-2999999/3000000"),
          b"%x\r\n" % (len(REST) + 5), REST, b"extra\r\n0\r\n\r\n"], ProtocolViolated, "longer than its Content-Range"),
        ([part("Transfer-Encoding: chunked", f"Content-Range: bytes {FIRST}-2999999/3000000"),
          b"%x\r\n" % (len(REST) - 5), REST[:-5], b"\r\n0\r\n\r\n"], Incomplete, "body ended"),
    ],
)  # fmt: skip
def test_a_part_is_checked_before_it_is_used(serve: Serve, steps: Steps, error: type[Exception], words: str) -> None:
    file = File(DATA)
    origin = serve(lambda request: steps if request.connection else file(request))
    at = checkpoint(origin.url(), 2_000_000)
    with pytest.raises(error, match=words):
        client().fetch(origin.url(), resume=at)


@pytest.mark.parametrize(
    "fields",
    [
        [LENGTH, f"Content-Range: bytes {FIRST}-2999999/*"],
        [f"Content-Range: bytes {FIRST}-2999999/3000000"],
        [f"Content-Range: bytes {FIRST}-2999999/*"],
    ],
)
def test_a_known_total_proves_the_end_of_a_part(serve: Serve, fields: list[str]) -> None:
    file = File(DATA)
    origin = serve(lambda request: [part(*fields), REST] if request.connection else file(request))
    assert resumed(origin, checkpoint(origin.url(), 2_000_000)) == DATA[2_000_000:]


@pytest.mark.parametrize(("extra", "error"), [(b"", None), (b"x", Changed)], ids=["ends where it did", "goes on"])
def test_a_known_total_proves_the_end_of_a_body_without_framing(
    serve: Serve, extra: bytes, error: type[Exception] | None
) -> None:
    file = File(DATA)
    origin = serve(lambda request: [part(status="200 OK"), DATA + extra] if request.connection else file(request))
    at = checkpoint(origin.url(), 2_000_000)
    if error is None:
        assert resumed(origin, at) == DATA[2_000_000:]
    else:
        with pytest.raises(error, match="longer than it was"):
            resumed(origin, at)


def test_a_part_of_unknown_total_proves_no_end(serve: Serve) -> None:
    file = File(DATA, chunked=True)

    def script(request: Request) -> Steps:
        if request.connection:
            return [part(LENGTH, f"Content-Range: bytes {FIRST}-2999999/*"), REST]
        return file(request)

    origin = serve(script)
    at = checkpoint(origin.url(), 2_000_000)
    with pytest.raises(Unverifiable, match="does not tell the total length"):
        client().open(origin.url(), resume=at)


def test_a_chunked_body_that_grew_is_not_the_same_file(serve: Serve) -> None:
    origin = serve(
        lambda request: (
            File(DATA + b"x", ranges=False, chunked=True)(request) if request.connection else File(DATA)(request)
        )
    )
    at = checkpoint(origin.url(), 2_000_000)
    with pytest.raises(Changed, match="longer than it was"):
        client().fetch(origin.url(), resume=at)


def test_an_origin_that_cannot_do_ranges_and_says_416_is_read_from_the_start(serve: Serve) -> None:
    file = File(DATA)

    def script(request: Request) -> Steps:
        if "range" in request.fields:
            return [head("416 Range Not Satisfiable", "Content-Length: 0"), HANG]
        return file(request)

    origin = serve(script)
    assert resumed(origin, checkpoint(origin.url(), 2_000_000)) == DATA[2_000_000:]
    assert origin.connections == 3


def test_two_back_ends_with_different_versions_do_not_mix(serve: Serve) -> None:
    versions = [File(DATA, etag='"v1"'), File(CHANGED, etag='"v2"')]
    origin = serve(lambda request: versions[request.connection % 2](request))
    at = checkpoint(origin.url(), 2_000_000)
    with pytest.raises(Changed, match=r"ETag changed; 1\.9 MiB had been hashed"):
        client().open(origin.url(), resume=at)
    assert resumed(origin, at) == DATA[2_000_000:]


def test_what_is_known_of_the_version_outlives_a_slice_that_says_less(serve: Serve) -> None:
    file = File(DATA)
    origin = serve(lambda request: replace(file, etag=None if request.connection else '"v1"')(request))
    at = checkpoint(origin.url(), 2_000_000)
    with client().open(origin.url(), resume=at) as body:
        assert Version.load(body.validator).if_range == '"v1"'
