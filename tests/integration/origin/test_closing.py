"""The closing proof: a file that is overwritten while it is sent has no digest, whatever the server says of it."""

from __future__ import annotations

import gzip
import hashlib
import random
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.integration.origin.conftest import Serve, client, read_all
from tests.support.origin.origin_server import KEEP, File, OriginServer, Pause, Request, Script, Step, Steps, head
from tests.support.origin.task_runner import Worker, patient
from urlsum.errors import Changed, HttpFailed, OriginError
from urlsum.origin.tuning import Tuning
from urlsum.origin.version.version import OPENING_BYTES, RESUME_OVERLAP_BYTES
from urlsum.task import Checkpoint, Proof

if TYPE_CHECKING:
    from collections.abc import Callable

MIB = 2**20
OLD = random.Random(1).randbytes(3 * MIB)
NEW = random.Random(2).randbytes(3 * MIB)
LATER = "Mon, 07 Nov 1994 08:49:37 GMT"


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


class Overwritten:
    """The first response is under way when ``before`` is overwritten, in place, by ``after``: ``mixed`` is sent."""

    def __init__(self, before: File, after: File, at: int) -> None:
        self.before = before
        self.after = after
        self.mixed = before.content[:at] + after.content[at:]
        self.first = True

    def __call__(self, request: Request) -> Steps:
        if not self.first:
            return self.after(request)
        self.first = False
        return replace(self.before, content=self.mixed)(request)


CHANGES = [
    pytest.param(File(OLD), File(NEW, etag='"v2"', last_modified=LATER), id="ETag and date change"),
    pytest.param(File(OLD), File(NEW, etag='"v2"'), id="the ETag changes"),
    pytest.param(File(OLD, etag=None), File(NEW, etag=None, last_modified=LATER), id="the date changes"),
    pytest.param(File(OLD), File(NEW), id="nothing changes but bytes"),
    pytest.param(
        File(OLD, etag=None, last_modified=None), File(NEW, etag=None, last_modified=None), id="nothing is said"
    ),
    pytest.param(File(OLD, etag='W/"v1"'), File(NEW, etag='W/"v2"'), id="a weak ETag changes"),
    pytest.param(
        File(OLD, chunked=True, ranges=False, etag=None, last_modified=None),
        File(NEW, chunked=True, ranges=False, etag=None, last_modified=None),
        id="nothing is said, in chunks and without ranges",
    ),
    pytest.param(
        File(OLD, ranges=False), File(NEW, etag='"v2"', last_modified=LATER, ranges=False), id="without ranges"
    ),
    pytest.param(
        File(OLD, keep=True), File(NEW, keep=True, etag='"v2"', last_modified=LATER), id="over one connection"
    ),
]


@pytest.mark.parametrize("at", [1, 65_535, 65_536, 1_000_000, 2 * MIB, len(OLD) - 65_537, len(OLD) - 1000])
@pytest.mark.parametrize(("before", "after"), CHANGES)
def test_a_file_overwritten_in_place_is_changed(serve: Serve, before: File, after: File, at: int) -> None:
    with pytest.raises(Changed):
        client().fetch(serve(Overwritten(before, after, at)).url())


@pytest.mark.parametrize(("before", "after"), CHANGES[:4])
def test_the_digest_is_then_that_of_the_new_version(serve: Serve, before: File, after: File) -> None:
    task = Worker().run(serve(Overwritten(before, after, MIB)).url())
    assert (task.md5, task.size) == (md5(NEW), len(NEW))


@pytest.mark.parametrize(("before", "after"), CHANGES[:4])
def test_a_resumed_file_is_compared_with_its_beginning(serve: Serve, before: File, after: File) -> None:
    """The first slice hashed old bytes; the tail that the second one read again is old, too."""
    origin = serve(before)
    with client().open(origin.url()) as body:
        body.skip_to(2 * MIB)
        at = Checkpoint(2 * MIB, b"", body.validator)
    script = Overwritten(before, after, 2 * MIB)
    with pytest.raises(Changed):
        client().fetch(serve(script).url(), resume=at)


@pytest.mark.parametrize("new", [len(OLD) - 1, len(OLD) + 1, 0])
def test_another_length_is_another_version(serve: Serve, new: int) -> None:
    after = File((NEW + NEW)[:new], etag=None, last_modified=None)
    origin = serve(lambda request: after(request) if request.connection else replace(after, content=OLD)(request))
    with pytest.raises((Changed, OriginError)):
        client().fetch(origin.url())


@pytest.mark.parametrize("status", [401, 403, 404, 410, 501])
@pytest.mark.parametrize("file", [File(OLD), File(OLD, keep=True), File(OLD[:70_000]), File(OLD * 4, keep=True)])
def test_a_link_that_works_once_gives_a_digest_that_says_so(serve: Serve, status: int, file: File) -> None:
    """Signed URLs end, and tokens are used up: all bytes came, and nothing contradicts them."""
    no: Steps = [head(f"{status} No", "Content-Length: 0")]
    asked: list[Request] = []

    def script(request: Request) -> Steps:
        asked.append(request)
        return file(request) if len(asked) == 1 else no

    with client(connections_per_origin=1).open(serve(script).url()) as body:
        assert read_all(body) == file.content
        assert (body.proof, body.representation.notes) == (Proof.LENGTH, ("unconfirmed",))


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("size", [100_000, 3 * MIB])
def test_other_bytes_under_the_same_validators_are_named(serve: Serve, ranges: bool, size: int) -> None:
    before, after = File(OLD[:size], ranges=ranges), File(NEW[:size], ranges=ranges)
    origin = serve(lambda request: after(request) if request.connection else before(request))
    with pytest.raises(Changed, match="the bytes changed while the file was being read"):
        client(tuning=Tuning(moment_seconds=0.0)).fetch(origin.url())


def test_the_weaker_of_two_proofs_counts(serve: Serve) -> None:
    """One of two machines has no ETags: what it sends does not prove the strong one, a plain GET does."""

    def script(request: Request) -> Steps:
        tail = request.fields.get("range", "").endswith(f"-{len(OLD) - 1}")
        return File(OLD, etag=None if tail else '"v1"')(request)

    origin = serve(script)
    with client().open(origin.url()) as body:
        assert read_all(body) == OLD
        assert body.proof is Proof.ETAG
    assert ["range" in request.fields for request in origin.requests] == [False, True, True, False]


@pytest.mark.parametrize(("total", "changed"), [(len(OLD), False), (len(OLD) + 1, True), ("*", False)])
def test_a_416_that_tells_another_length_is_a_doubt(serve: Serve, total: int | str, changed: bool) -> None:
    """The server sends the file no more, so that only the doubt is left of it."""
    unsatisfied: Steps = [head("416 No", f"Content-Range: bytes */{total}", "Content-Length: 0")]
    gone: Steps = [head("410 Gone", "Content-Length: 0")]

    def script(request: Request) -> Steps:
        if request.connection == 0:
            return File(OLD)(request)
        return unsatisfied if "range" in request.fields else gone

    with client(connections_per_origin=1).open(serve(script).url()) as body:
        if changed:
            with pytest.raises(Changed, match="the bytes or the length of the file changed"):
                read_all(body)
        else:
            assert read_all(body) == OLD
            assert body.representation.notes == ("unconfirmed",)


def test_a_slice_that_is_called_the_whole_file_does_not_contradict_it(serve: Serve) -> None:
    """Some cache sends the range that was asked for under the status of the whole file."""

    def script(request: Request) -> Steps:
        answer, *body = File(OLD)(request)
        assert isinstance(answer, bytes)
        return [answer.replace(b"206 Partial Content", b"200 OK"), *body]

    with client().open(serve(script).url()) as body:
        assert read_all(body) == OLD
        assert body.proof is Proof.ETAG


@pytest.mark.parametrize("redirected", [True, False])
def test_a_page_in_place_of_the_file_takes_no_digest_away(serve: Serve, redirected: bool) -> None:
    page: Steps = [head("200 OK", "Content-Type: text/html; charset=utf-8", "Content-Length: 7"), b"Sign in"]
    away: Steps = [head("302 Found", "Location: /login", "Content-Length: 0")]
    asked: list[Request] = []

    def script(request: Request) -> Steps:
        asked.append(request)
        if len(asked) == 1:
            return [head("200 OK", "Content-Type: application/gzip", f"Content-Length: {len(OLD)}", 'ETag: "a"'), OLD]
        return away if redirected and request.path != "/login" else page

    task = Worker().run(serve(script).url())
    assert task.representation is not None
    assert (task.md5, task.representation.notes) == (md5(OLD), ("unconfirmed",))


@pytest.mark.parametrize("etag", [['ETag: "a"'], []])
@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/xml", None])
def test_a_message_in_place_of_the_file_takes_no_digest_away_and_has_none(
    serve: Serve, kind: str | None, etag: list[str]
) -> None:
    """Without validators the next reading used to hash the message."""
    types = [] if kind is None else [f"Content-Type: {kind}"]
    asked: list[Request] = []

    def script(request: Request) -> Steps:
        asked.append(request)
        if len(asked) == 1:
            return [head("200 OK", "Content-Type: application/gzip", f"Content-Length: {len(OLD)}", *etag), OLD]
        return [head("200 OK", *types, "Content-Length: 7"), b"expired"]

    task = Worker().run(serve(script).url())
    assert task.representation is not None
    assert (task.md5, task.representation.notes) == (md5(OLD), ("unconfirmed",))


@pytest.mark.parametrize("chunked", [True, False])
def test_a_piece_that_ends_properly_is_found_by_the_length_of_the_range(serve: Serve, chunked: bool) -> None:
    """A proxy ends the chunks of a file that its own origin has cut."""
    cut = File(OLD[: 2 * MIB], chunked=True)
    plain = [cut, File(OLD, chunked=chunked)]

    def script(request: Request) -> Steps:
        return (
            File(OLD)(request) if "range" in request.fields else plain.pop(0)(request) if plain else File(OLD)(request)
        )

    task = Worker().run(serve(script).url())
    assert (task.md5, task.size) == (md5(OLD), len(OLD))


def test_a_file_whose_validators_never_stay_the_same_is_read_twice(serve: Serve) -> None:
    made = iter(range(1000))

    def script(request: Request) -> Steps:
        return File(OLD, etag=f'"{next(made)}"', last_modified=None)(request)

    task = Worker().run(serve(script).url())
    assert task.representation is not None
    assert (task.md5, task.slices) == (md5(OLD), 1)
    assert (task.representation.proof, task.representation.notes) == (Proof.LENGTH, ("read-twice",))


def test_a_file_that_is_dated_by_the_time_of_each_response_is_read_twice(serve: Serve) -> None:
    seconds = iter(range(10, 60))

    def script(request: Request) -> Steps:
        now = f"Sun, 06 Nov 1994 08:49:{next(seconds)} GMT"
        fields, *body = File(OLD, etag=None, last_modified=now)(request)
        assert isinstance(fields, bytes)
        return [fields.replace(b"\r\n\r\n", f"\r\nDate: {now}\r\n\r\n".encode()), *body]

    task = Worker().run(serve(script).url())
    assert task.representation is not None
    assert (task.md5, task.representation.notes) == (md5(OLD), ("read-twice",))


def test_a_file_that_was_written_a_moment_before_is_no_program(serve: Serve) -> None:
    """Its date is that of the first response, and stays so."""
    written = b"\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n"

    def script(request: Request) -> Steps:
        fields, *body = File(OLD, etag=None)(request)
        assert isinstance(fields, bytes)
        return [fields if request.connection else fields.replace(b"\r\n\r\n", written), *body]

    with client().open(serve(script).url()) as body:
        assert read_all(body) == OLD
        assert body.proof is Proof.LAST_MODIFIED


def test_a_file_that_is_another_one_at_each_reading_has_no_digest(serve: Serve) -> None:
    made = iter(range(1000))

    def script(request: Request) -> Steps:
        number = next(made)
        return File(random.Random(number).randbytes(len(OLD)), etag=f'"{number}"', last_modified=None)(request)

    task = Worker().run(serve(script).url())
    assert (task.status, task.md5) == ("failed", None)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_that_is_busy_after_the_last_byte_is_asked_again(serve: Serve, status: int) -> None:
    busy = [1, 2]

    def script(request: Request) -> Steps:
        if request.connection in busy:
            return [head(f"{status} Busy", "Content-Length: 0")]
        return File(OLD)(request)

    origin = serve(script)
    with pytest.raises(
        HttpFailed, match=rf"all 3\.0 MiB were read, but the server did not confirm them: status {status}"
    ):
        client().fetch(origin.url())
    origin = serve(script)
    task = Worker().run(origin.url())
    assert (task.md5, task.slices) == (md5(OLD), 2)
    # Nothing is read again but the tail and the opening.
    assert task.received < len(OLD) + 500_000


@pytest.mark.parametrize(
    ("file", "proof"),
    [
        (File(OLD), Proof.ETAG),
        (File(OLD, last_modified=None), Proof.ETAG),
        (File(OLD, etag=None), Proof.LAST_MODIFIED),
        (File(OLD, etag='W/"v1"'), Proof.LAST_MODIFIED),
        (File(OLD, etag="unquoted"), Proof.LAST_MODIFIED),
        (File(OLD, etag=None, last_modified=None), Proof.LENGTH),
        (File(OLD, etag='W/"v1"', last_modified=None), Proof.LENGTH),
        (File(OLD, ranges=False), Proof.ETAG),
        (File(OLD, chunked=True), Proof.ETAG),
        (File(OLD, chunked=True, ranges=False, etag=None), Proof.LAST_MODIFIED),
        (File(OLD[:1000]), Proof.ETAG),
        (File(b""), Proof.ETAG),
        (File(b"", etag=None, last_modified=None), Proof.LENGTH),
        (File(OLD[:70_000], ranges=False), Proof.ETAG),
        (File(OLD[:100_000], etag=None), Proof.LAST_MODIFIED),
    ],
)
@pytest.mark.parametrize("moment", [0.0, 60.0], ids=["asked again", "at once where that may be"])
def test_the_proof_is_named(serve: Serve, file: File, proof: Proof, moment: float) -> None:
    with client(tuning=Tuning(moment_seconds=moment)).open(serve(file).url()) as body:
        assert read_all(body) == file.content
        assert body.proof is proof


def test_a_proof_rests_on_what_both_responses_say(serve: Serve) -> None:
    silent = File(OLD, etag=None, last_modified=None)
    origin = serve(lambda request: silent(request) if request.connection else File(OLD)(request))
    with client().open(origin.url()) as body:
        assert read_all(body) == OLD
        assert body.proof is Proof.LENGTH


# --- what it costs


def ranges(origin: OriginServer) -> list[str | None]:
    return [request.fields.get("range") for request in origin.requests]


def test_it_is_two_short_ranges_over_the_same_connection(serve: Serve) -> None:
    origin = serve(File(OLD, keep=True))
    assert client().fetch(origin.url()) == OLD
    assert origin.connections == 1
    tail, opening = f"bytes={len(OLD) - RESUME_OVERLAP_BYTES}-{len(OLD) - 1}", f"bytes=0-{OPENING_BYTES - 1}"
    assert ranges(origin) == [None, opening, tail]


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("at", [0, 34_463, 34_464, 65_535, 65_536, 99_999])
def test_one_range_of_a_short_file_compares_every_byte(serve: Serve, at: int, *, ranges: bool) -> None:
    before = OLD[:100_000]
    after = bytearray(before)
    after[at] ^= 1
    script = Overwritten(File(before, ranges=ranges), File(bytes(after), ranges=ranges), len(before))
    with pytest.raises(Changed):
        client().fetch(serve(script).url())


@pytest.mark.parametrize("connections", [1, 8])
def test_it_uses_a_connection_that_read_ahead(serve: Serve, connections: int) -> None:
    long = OLD * 4
    origin = serve(File(long, keep=True))
    assert client(connections_per_origin=connections).fetch(origin.url()) == long
    assert origin.connections == 1 + sum(asked is not None for asked in ranges(origin)[1:-2])


@pytest.mark.parametrize(
    ("size", "requests"),
    [(0, 1), (1, 1), (1024, 1), (1025, 2), (65_536, 2), (65_537, 2), (100_000, 2), (131_072, 2), (131_073, 3)],
)
def test_a_file_that_came_whole_at_once_needs_none(serve: Serve, size: int, requests: int) -> None:
    origin = serve(File(OLD[:size], keep=True))
    assert client().fetch(origin.url()) == OLD[:size]
    assert len(origin.requests) == requests


@pytest.mark.parametrize("size", [2, 1024])
def test_a_small_file_that_took_its_time_needs_one(serve: Serve, size: int) -> None:
    whole, half = OLD[:size], size // 2

    def script(request: Request) -> Steps:
        steps: list[Step] = [head("200 OK", f"Content-Length: {size}", 'ETag: "v1"')]
        if request.connection:
            return File(NEW[:size], etag='"v1"')(request)
        return [*steps, whole[:half], Pause(0.2), NEW[half:size]]

    with pytest.raises(Changed):
        client(tuning=Tuning(moment_seconds=0.05)).fetch(serve(script).url())


def test_a_slow_file_without_bytes_is_asked_for_once_more(serve: Serve) -> None:
    origin = serve(File(b"", chunked=True))
    assert client(tuning=Tuning(moment_seconds=0.0)).fetch(origin.url()) == b""
    assert ranges(origin) == [None, None]


# --- an origin whose ranges do not work costs nothing but requests


def to_ranges(answer: Callable[[Request, File], Steps], file: File) -> Script:
    return lambda request: answer(request, file) if "range" in request.fields else file(request)


def status(line: str, *fields: str) -> Callable[[Request, File], Steps]:
    return lambda request, file: [head(line, "Content-Length: 0", *fields), KEEP]


def lie(request: Request, file: File) -> Steps:
    return replace(file, content=NEW)(request)


def other_version(request: Request, file: File) -> Steps:
    return replace(file, etag='"v9"', last_modified=LATER)(request)


def other_length(request: Request, file: File) -> Steps:
    return replace(file, content=file.content + b"more")(request)


def shorter(request: Request, file: File) -> Steps:
    return [head("416 No Such Range", "Content-Range: bytes */1000", "Content-Length: 0")]


def shifted(request: Request, file: File) -> Steps:
    """The offset modulo 1 MiB, as others take theirs modulo 4 GiB: the beginning is right."""
    answer, _, *rest = file(request)
    first, _, last = request.fields["range"].removeprefix("bytes=").partition("-")
    start = int(first) % MIB
    return [answer, file.content[start : start + int(last) - int(first) + 1], *rest]


@pytest.mark.parametrize(
    ("answer", "plain"),
    [(lie, 200), (lie, 404), (other_version, 200), (other_version, 404), (other_length, 200), (other_length, 404),
     (shorter, 404)],
)  # fmt: skip
def test_a_range_of_another_version_is_evidence_whatever_a_plain_get_says(
    serve: Serve, answer: Callable[[Request, File], Steps], plain: int
) -> None:
    """A cache may go on sending what it has."""
    asked: list[Request] = []

    def script(request: Request) -> Steps:
        asked.append(request)
        if "range" in request.fields:
            return answer(request, File(OLD))
        return File(OLD)(request) if plain == 200 or len(asked) == 1 else [head("404 No", "Content-Length: 0")]

    with pytest.raises(Changed):
        client().fetch(serve(script).url())


@pytest.mark.parametrize(
    "answer",
    [
        *[status(line) for line in ("304 Same", "400 Bad", "401 No", "403 No", "404 No", "412 No", "416 No", "501 No")],
        status("429 Slow Down", "Retry-After: 60"),
        status("500 Broken"),
        status("503 Busy", "Retry-After: 60"),
        status("302 Found", "Location: /file"),
        status("206 Partial Content"),
        lambda request, file: [],
        lambda request, file: [b"nonsense"],
        shifted,
    ],
)
@pytest.mark.parametrize("keep", [True, False])
def test_ranges_that_do_not_work_are_no_word_on_the_file(
    serve: Serve, answer: Callable[[Request, File], Steps], keep: bool
) -> None:
    origin = serve(to_ranges(answer, File(OLD, keep=keep)))
    assert client().fetch(origin.url()) == OLD


STORED = b"".join(b"%d lines\n" % number for number in range(200_000))
ZIPPED = gzip.compress(STORED, mtime=0)


class Recoded:
    """Whole files or ranges are compressed, unasked; ``whole`` and ``ranges`` are their contents and ETags."""

    def __init__(self, whole: tuple[bytes, str | None], ranges: tuple[bytes, str | None], *, chunked: bool) -> None:
        self.whole, self.ranges, self.chunked = whole, ranges, chunked

    def __call__(self, request: Request) -> Steps:
        content, etag = self.ranges if "range" in request.fields else self.whole
        file = File(content, etag, ranges=self.ranges[1] != "none", chunked=self.chunked and content is self.whole[0])
        first, *body = replace(file, etag=None if etag == "none" else etag)(request)
        assert isinstance(first, bytes)
        return [first[:-2] + b"Content-Encoding: gzip\r\n\r\n" if content is ZIPPED else first, *body]


@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("cut", [None, MIB // 2])
@pytest.mark.parametrize(
    ("whole", "ranges"),
    [
        ((ZIPPED, '"v1"'), (STORED, '"v1"')),
        ((ZIPPED, '"v1-gzip"'), (STORED, '"v1"')),
        ((ZIPPED, 'W/"v1"'), (STORED, '"v1"')),
        ((ZIPPED, None), (STORED, None)),
        ((ZIPPED, None), (STORED, "none")),
        ((STORED, '"v1"'), (ZIPPED, '"v1-gzip"')),
    ],
    ids=["one ETag", "an ETag for each", "a weak ETag", "no ETag", "no ranges", "compressed ranges"],
)
def test_ranges_of_another_coding_are_no_word_on_the_file(
    serve: Serve, whole: tuple[bytes, str | None], ranges: tuple[bytes, str | None], chunked: bool, cut: int | None
) -> None:
    recoded = Recoded(whole, ranges, chunked=chunked)

    def script(request: Request) -> Steps:
        first, *body = recoded(request)
        if request.connection or cut is None:
            return [first, *body]
        sent = b"".join(bytes(piece) for piece in body if isinstance(piece, bytes | memoryview))
        return [first, sent[:cut]]

    task = Worker(patient(connections_per_origin=1)).run(serve(script).url())
    assert (task.md5, task.restarts) == (md5(whole[0]), 0)


@pytest.mark.parametrize("answer", [status("403 No"), status("503 Busy"), shifted])
@pytest.mark.parametrize(("before", "after"), CHANGES[:4])
def test_the_plain_get_finds_the_new_version_where_ranges_do_not_work(
    serve: Serve, answer: Callable[[Request, File], Steps], before: File, after: File
) -> None:
    script = Overwritten(before, after, MIB)
    with pytest.raises(Changed):
        client().fetch(
            serve(lambda request: to_ranges(answer, after)(request) if not script.first else script(request)).url()
        )


@pytest.mark.parametrize("edges", [2, 3, 4])
def test_the_edge_that_was_read_from_is_asked_for(serve: Serve, edges: int) -> None:
    files = [File(OLD, etag=f'"edge-{number}"') for number in range(edges)]
    origin = serve(lambda request: files[request.connection % edges](request))
    with client().open(origin.url()) as body:
        assert read_all(body) == OLD
        assert body.proof is Proof.ETAG


@pytest.mark.parametrize("edges", [2, 3])
def test_edges_that_cut_every_time_still_give_the_digest(serve: Serve, edges: int) -> None:
    """Each connection brings half a megabyte at most, from the next edge in turn."""

    def script(request: Request) -> Steps:
        steps = list(File(OLD, etag=f'"edge-{request.connection % edges}"')(request))
        return [steps[0], memoryview(steps[1])[: MIB // 2]] if len(steps) > 1 else steps  # type: ignore[arg-type]

    task = Worker(patient(connections_per_origin=1)).run(serve(script).url())
    assert (task.md5, task.restarts) == (md5(OLD), 0)
