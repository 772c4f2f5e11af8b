"""Going on from a checkpoint: only with proof that it is the same version of the same file."""

from __future__ import annotations

import gzip
import random
import re
import time
from dataclasses import replace
from itertools import count

import pytest

from tests.integration.origin.conftest import UNHURRIED, Serve, client, read_all
from tests.support.origin.origin_server import (
    HANG,
    KEEP,
    LAST_CHUNK,
    RESET,
    File,
    OriginServer,
    Request,
    Script,
    Steps,
    chunk,
    head,
)
from tests.support.origin.synthetic import Clock
from urlsum.deadline import Deadline
from urlsum.errors import Changed, HttpFailed, Incomplete, ProtocolViolated
from urlsum.origin.guard.guard import Guard
from urlsum.origin.source import HttpSource
from urlsum.origin.version.refusals import is_transient
from urlsum.origin.version.version import OPENING_BYTES, RESUME_OVERLAP_BYTES, Version
from urlsum.task import Checkpoint, Proof

DATA = random.Random(4).randbytes(3_000_000)
OFFSETS = [64, 6400, RESUME_OVERLAP_BYTES, RESUME_OVERLAP_BYTES + 64, 2_000_000, 2_999_936]


def checkpoint(url: str, offset: int) -> Checkpoint:
    """Read just past ``offset`` and put the work down there."""
    with client().open(url) as body:
        body.skip_to(offset + min(17, len(DATA) - offset))
        return Checkpoint(offset, b"", body.validator)


def resumed(origin: OriginServer, at: Checkpoint) -> bytes:
    """The bytes from the checkpoint on, whether only they come or the whole file."""
    with client().open(origin.url(), resume=at) as body:
        rest = read_all(body)
        assert body.offset in (0, at.offset)
        assert body.size == body.offset + len(rest)
        assert body.offset or rest[: at.offset] == DATA[: at.offset]
        return rest[at.offset - body.offset :]


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
    assert origin.requests[1].fields["range"] == f"bytes={2_000_000 - RESUME_OVERLAP_BYTES}-"
    assert origin.requests[1].fields["if-range"] == '"v1"'


@pytest.mark.parametrize(
    ("seconds", "length"), [(0.1, RESUME_OVERLAP_BYTES), (2.0, RESUME_OVERLAP_BYTES), (10.0, 20_000), (90.0, 4096)]
)
def test_a_slow_origin_sends_no_more_again_than_two_seconds_take(serve: Serve, seconds: float, length: int) -> None:
    origin, clock = serve(File(DATA)), Clock()
    settings = client().settings
    source = HttpSource(settings, Guard(settings), tuning=UNHURRIED, clock=clock)
    offset = 100_032  # 64 * 1563
    with source.open(origin.url(), deadline=Deadline.after(1000, clock=clock)) as body:
        body.skip_to(offset)
        clock.now += seconds
        at = Checkpoint(offset, b"", body.validator)
    tail = Version.load(at.validator).tail
    assert tail is not None
    assert abs(tail.length - length) <= 32 / seconds * 2
    assert resumed(origin, at) == DATA[offset:]
    assert origin.requests[1].fields["range"] == f"bytes={offset - tail.length}-"


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
    with pytest.raises(Changed, match="does not prove the bytes before its offset"):
        client().open(origin.url(), resume=later)


CHANGED = DATA[:1_900_000] + bytes(100) + DATA[1_900_100:]
IN_TAIL = DATA[:1_999_000] + bytes(100) + DATA[1_999_100:]


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (File(DATA), File(CHANGED, etag='"v2"'), "ETag changed"),
        (File(DATA), File(DATA[:-1], etag='"v1"'), "length changed"),
        (File(DATA), File(DATA + b"x", etag='"v1"'), "length changed"),
        (
            File(DATA, etag=None),
            File(CHANGED, etag=None, last_modified="Mon, 07 Nov 1994 08:49:37 GMT"),
            "Last-Modified",
        ),
        (File(DATA, etag='W/"v1"'), File(CHANGED, etag='W/"v2"'), "ETag changed"),
        (File(DATA), File(DATA[:1000], etag='"v2"'), "length changed"),
        (File(DATA, etag=None), File(DATA[:1000], etag=None), "length changed"),  # 416, then the whole file
    ],
)
def test_another_version_is_not_gone_on_with(serve: Serve, before: File, after: File, words: str) -> None:
    at = checkpoint(serve(before).url(), 2_000_000)
    with pytest.raises(Changed, match=words):
        client().open(serve(after).url(), resume=at)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (File(DATA), File(IN_TAIL)),  # a lying ETag
        (File(DATA, etag=None), File(IN_TAIL, etag=None)),
        (File(DATA, etag=None, last_modified=None), File(IN_TAIL, etag=None, last_modified=None)),
        (File(DATA, ranges=False), File(IN_TAIL, ranges=False)),
        (File(DATA, chunked=True, ranges=False), File(DATA[:1000], chunked=True, ranges=False)),
    ],
)
def test_another_version_that_only_its_bytes_show_comes_whole(serve: Serve, before: File, after: File) -> None:
    at = checkpoint(serve(before).url(), 2_000_000)
    with client().open(serve(after).url(), resume=at) as body:
        assert (body.offset, read_all(body)) == (0, after.content)


@pytest.mark.parametrize("validator", ["", "v1", "{}", Version().dump()])
def test_a_checkpoint_that_proves_nothing_is_not_gone_on_with(serve: Serve, validator: str) -> None:
    origin = serve(File(DATA))
    with pytest.raises(Changed):
        client().open(origin.url(), resume=Checkpoint(2_000_000, b"", validator))
    assert origin.connections == 0


def part(*fields: str, status: str = "206 Partial Content") -> bytes:
    return head(status, 'ETag: "v1"', *fields)


FIRST = 2_000_000 - RESUME_OVERLAP_BYTES
REST = memoryview(DATA)[FIRST:]
LENGTH = f"Content-Length: {len(REST)}"
CHUNKED = "Transfer-Encoding: chunked"
ZIPPED = gzip.compress(REST, compresslevel=1, mtime=0)[: len(REST) - 100]


def odd(steps: Steps, file: File | None = None) -> Script:
    """The first response is well, and those to open-ended range requests are ``steps``."""
    file = file or File(DATA)
    return lambda request: steps if request.fields.get("range", "").endswith("-") else file(request)


@pytest.mark.parametrize(
    "steps",
    [
        # Without a usable Content-Range, or of bytes that were not asked for.
        [part(LENGTH), REST],
        [part(LENGTH, "Content-Range: bytes"), REST],
        [part("Content-Type: multipart/byteranges; boundary=x", LENGTH), REST],
        [part(LENGTH, f"Content-Range: bytes 0-{len(REST) - 1}/3000000"), REST],
        [part(LENGTH, f"Content-Range: bytes {FIRST + 1}-3000000/3000001"), REST],
        [part(f"Content-Length: {len(REST) - 1}", f"Content-Range: bytes {FIRST + 1}-2999999/3000000"), REST[1:]],
        [part(LENGTH, f"Content-Range: bytes {FIRST}-2999998/3000000"), REST],
        [part(LENGTH, f"Content-Range: bytes {FIRST}-2999999/3000001"), REST],
        [part(f"Content-Range: bytes {FIRST}-2999999/3000000", "Content-Length: 0")],
        [part("Content-Length: 0")],
        # Compressed after it was cut, said and not said.
        [part(f"Content-Length: {len(ZIPPED)}", "Content-Encoding: gzip"), ZIPPED],
        [part(f"Content-Range: bytes {FIRST}-2999999/3000000", "Content-Encoding: gzip", CHUNKED),
         chunk(ZIPPED), LAST_CHUNK],
        [part(f"Content-Range: bytes {FIRST}-2999999/3000000", LENGTH), ZIPPED + bytes(len(REST) - len(ZIPPED))],
        # The offset modulo 2**20, as others take theirs modulo 2**32.
        [part(f"Content-Range: bytes {FIRST}-2999999/3000000", LENGTH), memoryview(DATA)[FIRST % 2**20 :][: len(REST)]],
        [part("Content-Length: 0", status="204 No Content")],
        [part("Content-Length: 0", status="304 Not Modified")],
        [part("Content-Length: 0", status="400 Bad Request")],
        [part("Content-Length: 0", status="401 Unauthorized")],
        [part("Content-Length: 0", status="403 Forbidden")],
        [part("Content-Length: 0", status="404 Not Found")],
        [part("Content-Length: 0", status="410 Gone")],
        [part("Content-Length: 0", status="412 Precondition Failed")],
        [part("Content-Length: 0", status="416 Range Not Satisfiable")],
        [part("Content-Length: 0", "Retry-After: 60", status="429 Too Many Requests")],
        [part("Content-Length: 0", status="500 Internal Server Error")],
        [part("Content-Length: 0", status="501 Not Implemented")],
        [part("Content-Length: 0", "Retry-After: 60", status="503 Service Unavailable")],
        [part("Content-Length: 0", status="520 Unknown")],
        [part("Content-Length: 0", "Location: /file", status="302 Found")],
        [b"nonsense"],
        [],
        [RESET],
        [part(LENGTH, f"Content-Range: bytes {FIRST}-2999999/3000000"), REST[:1000]],
        # A byte at a time.
        [part("Content-Length: 1", f"Content-Range: bytes {FIRST}-{FIRST}/3000000"), REST[:1]],
    ],
)  # fmt: skip
def test_a_range_that_is_refused_or_unusable_is_no_word_on_the_file(serve: Serve, steps: Steps) -> None:
    origin = serve(odd(steps))
    at = checkpoint(origin.url(), 2_000_000)
    with client().open(origin.url(), resume=at) as body:
        assert (body.offset, read_all(body)) == (0, DATA)


@pytest.mark.parametrize("status", ["403 Forbidden", "404 Not Found", "501 Not Implemented", "503 Busy", "412 No"])
def test_the_plain_get_has_the_last_word(serve: Serve, status: str) -> None:
    origin = serve(lambda request: [head(status, "Content-Length: 0")] if request.connection else File(DATA)(request))
    at = checkpoint(origin.url(), 2_000_000)
    with pytest.raises(HttpFailed, match=status[:3]):
        client().open(origin.url(), resume=at)
    assert "range" not in origin.requests[-1].fields


@pytest.mark.parametrize(
    ("status", "passing"),
    [(status, True) for status in (408, 425, 429, 500, 502, 503, 504, 507, 599)]
    + [(status, False) for status in (400, 401, 403, 404, 409, 410, 412, 416, 424, 426, 430, 451, 499, 501, 505)],
)
def test_a_refusal_may_pass_by_its_status(status: int, passing: bool) -> None:
    assert is_transient(status) is passing


@pytest.mark.parametrize(
    "moment",
    [
        [head("502 Bad Gateway", "Content-Length: 0")],
        [head("429 Slow Down", "Content-Length: 0")],
        [RESET],
        [],
        [HANG],
        [part(LENGTH, f"Content-Range: bytes {FIRST}-2999999/3000000"), DATA[FIRST : FIRST + 1000]],
        [part(LENGTH, f"Content-Range: bytes {FIRST}-2999999/3000000"), DATA[FIRST : FIRST + 1000], HANG],
    ],
    ids=["502", "429", "reset", "closed", "silent", "cut in the tail", "silent in the tail"],
)
def test_a_bad_moment_of_the_origin_does_not_cost_the_whole_file(serve: Serve, moment: Steps) -> None:
    bad = [True]

    def script(request: Request) -> Steps:
        if request.fields.get("range", "").endswith("-") and bad.pop(0) if bad else False:
            return moment
        return File(DATA)(request)

    origin = serve(script)
    at = checkpoint(origin.url(), 2_000_000)
    with client(read_timeout=1.0).open(origin.url(), resume=at) as body:
        assert body.offset == at.offset
        assert read_all(body) == DATA[2_000_000:]
        assert body.reread < 500_000


@pytest.mark.parametrize("first", [0, 1, 65_536, FIRST - 4096, FIRST])
def test_a_range_that_begins_earlier_is_used(serve: Serve, first: int) -> None:
    rest = memoryview(DATA)[first:]
    steps: Steps = [part(f"Content-Length: {len(rest)}", f"Content-Range: bytes {first}-2999999/3000000"), rest]
    origin = serve(odd(steps))
    at = checkpoint(origin.url(), 2_000_000)
    with client().open(origin.url(), resume=at) as body:
        assert read_all(body) == DATA[2_000_000:]
        assert 2_000_000 - first <= body.reread <= 2_000_000 - first + RESUME_OVERLAP_BYTES + OPENING_BYTES


@pytest.mark.parametrize(
    ("steps", "error", "words"),
    [
        ([part(LENGTH, f"Content-Range: bytes {FIRST}-2999999/3000000"), REST[:-1]], Incomplete, "2.9 MiB of 2.9 MiB"),
        ([part("Transfer-Encoding: chunked", f"Content-Range: bytes {FIRST}-2999999/3000000"),
          b"%x\r\n" % (len(REST) + 5), REST, b"extra\r\n0\r\n\r\n"], ProtocolViolated, "longer than its Content-Range"),
        ([part("Transfer-Encoding: chunked", f"Content-Range: bytes {FIRST}-2999999/3000000"),
          b"%x\r\n" % (len(REST) - 5), REST[:-5], b"\r\n0\r\n\r\n"], Incomplete, "the response ended"),
    ],
)  # fmt: skip
def test_a_range_is_checked_while_it_is_used(serve: Serve, steps: Steps, error: type[Exception], words: str) -> None:
    origin = serve(odd(steps))
    at = checkpoint(origin.url(), 2_000_000)
    with pytest.raises(error, match=words):
        client().fetch(origin.url(), resume=at)


@pytest.mark.parametrize("total", ["3000000", "*"])
@pytest.mark.parametrize("most", [1024, 16_384, 65_536, 65_600, 100_000])
def test_a_range_shorter_than_asked_is_continued_at_once_over_the_same_connection(
    serve: Serve, most: int, total: str
) -> None:
    """RFC 9110, 15.3.7 allows a server to send less than was asked for."""
    whole = DATA[: 300 * most] if most < 16_384 else DATA

    def script(request: Request) -> Steps:
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.fields.get("range", ""))
        if asked is None:
            return File(whole, keep=True)(request)
        first = int(asked[1])
        end = min(first + most, len(whole), int(asked[2] or len(whole)) + 1)
        piece = whole[first:end]
        told = f"Content-Range: bytes {first}-{end - 1}/{total.replace('3000000', str(len(whole)))}"
        return [part(f"Content-Length: {len(piece)}", told) + piece, KEEP]

    origin = serve(script)
    offset = len(whole) * 2 // 3 // 64 * 64
    with client().open(origin.url()) as body:
        body.skip_to(offset + 17)
        at = Checkpoint(offset, b"", body.validator)
    before, started = origin.connections, time.monotonic()
    with client().open(origin.url(), resume=at) as body:
        assert read_all(body) == whole[offset:]
        assert body.reread < 2 * len(whole)
    assert origin.connections - before <= 2
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("shift", "fields", "status"),
    [
        (0, ['ETag: "v2"'], "206 Partial Content"),
        (0, ['ETag: "v1"', 'ETag: "v2"'], "206 Partial Content"),
        (-10, ['ETag: "v1"'], "206 Partial Content"),
        (10, ['ETag: "v1"'], "206 Partial Content"),
        (0, ['ETag: "v1"'], "200 OK"),
        (0, ['ETag: "v1"'], "403 Forbidden"),
    ],
)
def test_a_part_that_continues_another_must_be_of_the_same_version(
    serve: Serve, shift: int, fields: list[str], status: str
) -> None:
    """Its bytes are right in every case here; what it says of them is not."""
    most = 16_384

    def script(request: Request) -> Steps:
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.fields.get("range", ""))
        if asked is None or asked[2]:
            return File(DATA, keep=True)(request)
        first = int(asked[1])
        continues = first != FIRST
        first += shift * continues
        told = f"Content-Range: bytes {first}-{first + most - 1}/{len(DATA)}"
        lines = [*(fields if continues else ['ETag: "v1"']), told, f"Content-Length: {most}"]
        return [head(status if continues else "206 Partial Content", *lines) + DATA[first : first + most], KEEP]

    origin = serve(script)
    at = checkpoint(origin.url(), 2_000_000)
    with client().open(origin.url(), resume=at) as body:
        assert (body.offset, read_all(body)) == (0, DATA)


@pytest.mark.parametrize("most", [1, 512, 1023])
def test_a_server_of_tiny_ranges_is_asked_for_the_whole_file(serve: Serve, most: int) -> None:
    def script(request: Request) -> Steps:
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.fields.get("range", ""))
        if asked is None or asked[2]:
            return File(DATA, keep=True)(request)
        first = int(asked[1])
        told = f"Content-Range: bytes {first}-{first + most - 1}/{len(DATA)}"
        return [part(f"Content-Length: {most}", told) + DATA[first : first + most], KEEP]

    origin = serve(script)
    at = checkpoint(origin.url(), 2_000_000)
    before = len(origin.requests)
    with client().open(origin.url(), resume=at) as body:
        assert (body.offset, read_all(body)) == (0, DATA)
    assert len(origin.requests) - before <= 4


@pytest.mark.parametrize("block", [4096, 65_536])
def test_ranges_that_always_end_at_the_same_byte_end_the_try(serve: Serve, block: int) -> None:
    """The server cuts at blocks of its own, so a range that begins a little earlier brings nothing new."""

    def script(request: Request) -> Steps:
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.fields.get("range", ""))
        if asked is None:
            return File(DATA, keep=True)(request)
        first = int(asked[1])
        end = min((first // block + 1) * block, len(DATA))
        told = f"Content-Range: bytes {first}-{end - 1}/{len(DATA)}"
        return [part(f"Content-Length: {end - first}", told) + DATA[first:end], KEEP]

    origin = serve(script)
    at = checkpoint(origin.url(), 2_000_000)
    before = len(origin.requests)
    with client().open(origin.url(), resume=at) as body:
        end = (2_000_000 // block + 1) * block
        read = bytearray()
        while len(read) < end - 2_000_000:
            read += body.read()
        assert read == DATA[2_000_000:end]
        with pytest.raises(Incomplete, match="the server sent only a part"):
            body.read()
    assert len(origin.requests) - before <= RESUME_OVERLAP_BYTES // block + 4


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
    origin = serve(odd([part(*fields), REST], file))
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
        with pytest.raises(error, match="the file is longer than before"):
            resumed(origin, at)


def test_a_range_of_unknown_total_proves_no_end_and_is_not_used(serve: Serve) -> None:
    steps: Steps = [part(LENGTH, f"Content-Range: bytes {FIRST}-2999999/*"), REST]
    origin = serve(odd(steps, File(DATA, chunked=True)))
    at = checkpoint(origin.url(), 2_000_000)
    with client().open(origin.url(), resume=at) as body:
        assert (body.offset, read_all(body)) == (0, DATA)


def test_a_chunked_body_that_grew_is_not_the_same_file(serve: Serve) -> None:
    origin = serve(
        lambda request: (
            File(DATA + b"x", ranges=False, chunked=True)(request) if request.connection else File(DATA)(request)
        )
    )
    at = checkpoint(origin.url(), 2_000_000)
    with pytest.raises(Changed, match="the file is longer than before"):
        client().fetch(origin.url(), resume=at)


def test_an_origin_that_cannot_do_ranges_and_says_416_is_read_from_the_start(serve: Serve) -> None:
    file = File(DATA)

    def script(request: Request) -> Steps:
        if "range" in request.fields:
            return [head("416 Range Not Satisfiable", "Content-Length: 0"), HANG]
        return file(request)

    origin = serve(script)
    assert resumed(origin, checkpoint(origin.url(), 2_000_000)) == DATA[2_000_000:]
    assert [request.fields.get("range") for request in origin.requests[1:3]] == [f"bytes={FIRST}-", None]


@pytest.mark.parametrize("edges", [2, 3, 4])
def test_the_edge_that_has_our_version_is_asked_for(serve: Serve, edges: int) -> None:
    versions = [File(DATA), *(File(CHANGED, etag=f'"v{number}"') for number in range(2, edges + 1))]
    origin = serve(lambda request: versions[request.connection % edges](request))
    at = checkpoint(origin.url(), 2_000_000)
    assert resumed(origin, at) == DATA[2_000_000:]


def test_a_file_with_another_date_is_no_edge_of_ours(serve: Serve) -> None:
    later = File(CHANGED, etag='"v2"', last_modified="Mon, 07 Nov 1994 08:49:37 GMT")
    origin = serve(lambda request: later(request) if request.connection else File(DATA)(request))
    at = checkpoint(origin.url(), 2_000_000)
    with pytest.raises(Changed, match=r"ETag changed; 1\.9 MiB had been hashed"):
        client().open(origin.url(), resume=at)
    assert ["range" in request.fields for request in origin.requests] == [False, True, False]


def silent_ranges(file: File) -> Script:
    """Its 206 responses do not say what they are of, which RFC 9110, 15.3.7 has them do."""

    def script(request: Request) -> Steps:
        steps = list(file(replace(request, fields={**request.fields, "if-range": file.etag or ""})))
        if "range" in request.fields and isinstance(steps[0], bytes):
            lines = steps[0].split(b"\r\n")
            steps[0] = b"\r\n".join(line for line in lines if not line.startswith((b"ETag", b"Last-Modified")))
        return steps

    return script


def test_a_range_that_does_not_say_what_it_is_of_is_not_used(serve: Serve) -> None:
    origin = serve(silent_ranges(File(DATA)))
    at = checkpoint(origin.url(), 2_000_000)
    with client().open(origin.url(), resume=at) as body:
        assert (body.offset, read_all(body)) == (0, DATA)
        assert body.proof is Proof.ETAG


def test_such_a_range_of_another_version_is_not_used(serve: Serve) -> None:
    at = checkpoint(serve(File(DATA)).url(), 2_000_000)
    changed = File(CHANGED, etag='"v2"', last_modified="Mon, 07 Nov 1994 08:49:37 GMT")
    with pytest.raises(Changed, match="ETag changed"):
        client().open(serve(silent_ranges(changed)).url(), resume=at)


def test_a_validator_that_appears_later_proves_nothing_of_the_bytes_before(serve: Serve) -> None:
    origin = serve(
        lambda request: (File(DATA) if request.connection else File(DATA, etag=None, last_modified=None))(request)
    )
    at = checkpoint(origin.url(), 2_000_000)
    with client().open(origin.url(), resume=at) as body:
        assert (body.offset, read_all(body)) == (0, DATA)
        assert body.proof is Proof.ETAG


@pytest.mark.parametrize(
    "content_range", ["bytes 0-999999/3000000", "bytes 1000000-1999999/3000000", "bytes 0-999999/*", "bytes 5-9/*"]
)
def test_a_slice_that_is_sent_as_the_whole_file_is_refused(serve: Serve, content_range: str) -> None:
    steps: Steps = [head("200 OK", "Content-Length: 1000000", f"Content-Range: {content_range}"), DATA[:1_000_000]]
    with pytest.raises(ProtocolViolated, match="were sent as the whole file"):
        client().fetch(serve(lambda request: steps).url())


def test_an_etag_without_quotes_shows_another_version(serve: Serve) -> None:
    """Nothing else does: both versions have one length, one beginning and the same bytes before the offset."""
    changed = DATA[:1_000_000] + bytes(1000) + DATA[1_001_000:]

    def served(content: bytes, tag: str) -> Script:
        file = File(content, etag=None, last_modified=None)

        def script(request: Request) -> Steps:
            first, *body = file(request)
            assert isinstance(first, bytes)
            return [first[:-2] + f"ETag: {tag}\r\n\r\n".encode(), *body]

        return script

    before, after = serve(served(DATA, "v1")), serve(served(changed, "v2"))
    with client().open(before.url()) as body:
        body.skip_to(2_000_000 - 2_000_000 % 64)
        checkpoint = Checkpoint(body.offset, b"", body.validator)
    with client().open(before.url(), resume=checkpoint) as body:
        assert body.offset == checkpoint.offset
    with pytest.raises(Changed, match="the ETag"):
        client().fetch(after.url(), resume=checkpoint)


@pytest.mark.parametrize("framing", ["Content-Length: 1000000", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize(
    "content_range",
    [
        "bytes 0-2999999/3000000",
        "bytes */3000000",
        "bytes=0-2999999/3000000",
        "bytes: 1000000-1999999/3000000",
        "bytes 0-999999/3000000, bytes 5-9/3000000",
        "bytes 0-2999999",
        "bytes 0-/3000000",
        "bytes 5-",
    ],
)
def test_a_whole_response_is_as_long_as_its_content_range_says(serve: Serve, content_range: str, framing: str) -> None:
    body = [DATA[:1_000_000]] if "Length" in framing else [chunk(DATA[:1_000_000]), LAST_CHUNK]
    steps: Steps = [head("200 OK", framing, f"Content-Range: {content_range}"), *body]
    with pytest.raises((ProtocolViolated, Incomplete)):
        client().fetch(serve(lambda request: steps).url())


@pytest.mark.parametrize(
    "content_range",
    [
        "bytes=0-2999999/3000000",
        "bytes 0 - 2999999 / 3000000",
        "bytes 0-3000000/3000000",
        "bytes 0-/3000000",
        "bytes 0-2999999",
        "items 0-24/100",
        "0-24/*",
        "bytes",
        "",
    ],
)
@pytest.mark.parametrize("framing", ["Content-Length: 3000000", "Transfer-Encoding: chunked"])
def test_a_content_range_that_contradicts_nothing_is_ignored(serve: Serve, content_range: str, framing: str) -> None:
    body = [DATA] if "Length" in framing else [chunk(DATA), LAST_CHUNK]
    steps: Steps = [head("200 OK", framing, f"Content-Range: {content_range}"), *body]
    assert client().fetch(serve(lambda request: steps).url()) == DATA


def test_parts_between_delimiters_are_not_the_file(serve: Serve) -> None:
    steps: Steps = [head("200 OK", "Content-Length: 9", 'Content-Type: Multipart/Byteranges; boundary="x"'), DATA[:9]]
    with pytest.raises(ProtocolViolated, match="multipart/byteranges"):
        client().fetch(serve(lambda request: steps).url())


@pytest.mark.parametrize("status", ["200 OK", "206 Partial Content"])
@pytest.mark.parametrize("framing", ["Content-Length: 3000000", "Transfer-Encoding: chunked"])
def test_a_range_of_all_bytes_is_the_whole_file(serve: Serve, status: str, framing: str) -> None:
    fields = (framing, "Content-Range: bytes 0-2999999/3000000", 'ETag: "v1"')
    body: Steps = [DATA] if "Length" in framing else [chunk(DATA), LAST_CHUNK]
    origin = serve(lambda request: File(DATA)(request) if "range" in request.fields else [head(status, *fields), *body])
    assert client().fetch(origin.url()) == DATA


def test_a_chunked_range_of_all_bytes_that_ends_early_is_incomplete(serve: Serve) -> None:
    fields = ("Transfer-Encoding: chunked", "Content-Range: bytes 0-2999999/3000000")
    with pytest.raises(Incomplete):
        client().fetch(serve(lambda _: [head("206 Part", *fields), chunk(DATA[:-1]), LAST_CHUNK]).url())


@pytest.mark.parametrize("settled", [True, False], ids=["an old file", "a file without a date of the response"])
def test_an_etag_of_its_own_for_each_response_is_no_etag_where_the_date_tells(serve: Serve, settled: bool) -> None:
    made = count()
    date = b"\r\nDate: Mon, 07 Nov 1994 08:49:37 GMT\r\n\r\n" if settled else b"\r\n\r\n"

    def script(request: Request) -> Steps:
        fields, *body = File(DATA, etag=f'"{next(made)}"')(request)
        assert isinstance(fields, bytes)
        return [fields.replace(b"\r\n\r\n", date), *body]

    origin = serve(script)
    at = checkpoint(origin.url(), 2_000_000)
    if not settled:
        with pytest.raises(Changed, match="every response has a different ETag"):
            client().open(origin.url(), resume=at)
        return
    with client().open(origin.url(), resume=at) as body:
        assert (body.offset, read_all(body)) == (0, DATA)
        assert body.proof is Proof.LAST_MODIFIED


def test_the_same_etag_under_another_date_is_another_version(serve: Serve) -> None:
    """As of servers whose ETag is made of the length alone."""
    later = File(CHANGED, last_modified="Mon, 07 Nov 1994 08:49:37 GMT")
    at = checkpoint(serve(File(DATA)).url(), 2_000_000)
    with pytest.raises(Changed, match="the Last-Modified date changed"):
        client().open(serve(later).url(), resume=at)


def test_a_range_that_leads_nowhere_is_no_word_on_the_file(serve: Serve) -> None:
    away: Steps = [head("302 Found", "Location: http://10.0.0.1/file", "Content-Length: 0")]
    origin = serve(odd(away))
    at = checkpoint(origin.url(), 2_000_000)
    with client().open(origin.url(), resume=at) as body:
        assert read_all(body) == DATA


def test_a_range_that_brought_nothing_new_is_not_asked_for_twice(serve: Serve) -> None:
    """Every range ends one byte early."""
    rest = part(LENGTH, f"Content-Range: bytes {FIRST}-2999999/3000000")
    origin = serve(lambda request: [rest, REST[:RESUME_OVERLAP_BYTES]] if odd_range(request) else File(DATA)(request))
    at = checkpoint(origin.url(), 2_000_000)
    guard = Guard(client().settings, resolve=lambda host: ["127.0.0.1"])
    source = HttpSource(client().settings, guard, tuning=UNHURRIED)
    with source.open(origin.url(), deadline=Deadline.after(20), resume=at) as body, pytest.raises(Incomplete):
        read_all(body)
    with source.open(origin.url(), deadline=Deadline.after(20), resume=at) as body:
        assert (body.offset, read_all(body)) == (0, DATA)


def odd_range(request: Request) -> bool:
    return request.fields.get("range", "").endswith("-")
