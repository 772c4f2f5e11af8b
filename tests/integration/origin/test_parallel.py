"""Several connections for one file: as many as it rewards, and never worse than one."""

from __future__ import annotations

import hashlib
import random
import threading
import time
import tracemalloc
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.origin.conftest import Serve, client, server_context
from tests.support.origin.origin_server import HANG, RESET, File, OriginServer, Request, Script, Steps, Trickle, head
from tests.support.origin.task_runner import Worker, patient
from urlsum.deadline import Deadline
from urlsum.errors import Changed, DeadlineReached, Incomplete, RangesFailed, TimedOut
from urlsum.origin.guard.guard import Guard
from urlsum.origin.parallel import prefetch
from urlsum.origin.source import HttpSource
from urlsum.origin.version.version import OPENING_BYTES, RESUME_OVERLAP_BYTES, Version
from urlsum.task import Checkpoint

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import trustme

    from urlsum.origin.source import Download

MIB = 2**20
DATA = random.Random(3).randbytes(40 * MIB)
MD5 = hashlib.md5(DATA).hexdigest()
SLOW = 8 * MIB
"""What each connection of a throttled origin brings: one alone takes five seconds for DATA."""


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    left = [thread for thread in threading.enumerate() if thread.name == "fetch"]
    for thread in left:
        thread.join(2.0)
    assert [thread for thread in left if thread.is_alive()] == []


def digest(origin: OriginServer, path: str = "/file", **settings: Any) -> str:
    md5 = hashlib.md5()
    with client(**settings).open(origin.url(path), seconds=60) as body:
        while piece := body.read():
            md5.update(piece)
        assert body.size == len(DATA)
    return md5.hexdigest()


def drained(body: Download) -> None:
    while body.read():
        pass


def end_of(body: Download) -> int:
    """How far ``body`` was read, by its own proof."""
    tail = Version.load(body.validator).tail
    assert tail is not None
    return tail.end


CLOSING = {f"bytes={len(DATA) - RESUME_OVERLAP_BYTES}-{len(DATA) - 1}", f"bytes=0-{OPENING_BYTES - 1}"}


def ranged(origin: OriginServer) -> list[Request]:
    """The requests for parts of the file, without those of the closing proof."""
    return [request for request in origin.requests if request.fields.get("range", "none") not in {"none", *CLOSING}]


@pytest.mark.parametrize("keep", [True, False], ids=["kept alive", "closed after each answer"])
def test_a_throttled_origin_is_read_with_many(serve: Serve, keep: bool) -> None:
    origin = serve(File(DATA, rate=SLOW, keep=keep))
    started = time.monotonic()
    assert digest(origin) == MD5
    assert time.monotonic() - started < 0.75 * len(DATA) / SLOW
    assert origin.connections >= 4


def test_kept_connections_are_used_again(serve: Serve) -> None:
    origin = serve(File(DATA, rate=SLOW, keep=True))
    assert digest(origin, connections_per_origin=2) == MD5
    # The first stream, its successor once it was cut off, and the second one.
    assert origin.connections == 3
    assert len(ranged(origin)) >= 3


def test_no_more_than_are_allowed(serve: Serve) -> None:
    origin = serve(File(DATA, rate=SLOW, keep=True))
    assert digest(origin, connections_per_origin=1) == MD5
    assert origin.connections == 1
    assert ranged(origin) == []


def test_every_part_is_asked_for_under_the_strong_etag(serve: Serve) -> None:
    origin = serve(File(DATA, rate=SLOW, keep=True))
    assert digest(origin) == MD5
    assert {request.fields.get("if-range") for request in ranged(origin)} == {'"v1"'}
    assert "range" not in origin.requests[0].fields


def test_a_long_etag_is_compared_although_it_cannot_be_sent(serve: Serve) -> None:
    origin = serve(File(DATA, rate=SLOW, keep=True, etag='"' + "long" * 100 + '"', last_modified=None))
    assert digest(origin) == MD5
    assert len(ranged(origin)) > 1
    assert {request.fields.get("if-range") for request in ranged(origin)} == {None}


@pytest.mark.parametrize("etag", [None, 'W/"v1"'])
def test_a_date_and_a_length_tell_versions_apart(serve: Serve, etag: str | None) -> None:
    origin = serve(File(DATA, rate=SLOW, keep=True, etag=etag))
    assert digest(origin) == MD5
    assert len(ranged(origin)) > 1


@pytest.mark.parametrize("etag", [None, 'W/"v1"', "v1"])
def test_without_a_proof_of_version_one_connection_has_to_do(serve: Serve, etag: str | None) -> None:
    origin = serve(File(DATA, rate=4 * SLOW, etag=etag, last_modified=None))
    assert digest(origin) == MD5
    assert ranged(origin) == []


def test_without_a_length_one_connection_has_to_do(serve: Serve) -> None:
    origin = serve(File(DATA, chunked=True))
    assert digest(origin) == MD5
    assert ranged(origin) == []


def test_a_small_file_is_one_request_and_no_thread(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefetch, "RangeThread", None)
    small = DATA[: 2 * MIB]
    origin = serve(File(small))
    assert client().fetch(origin.url()) == small
    closing = [f"bytes=0-{OPENING_BYTES - 1}", f"bytes={len(small) - RESUME_OVERLAP_BYTES}-{len(small) - 1}"]
    assert [request.fields.get("range") for request in origin.requests] == [None, *closing]


def test_resuming_goes_parallel_too(serve: Serve) -> None:
    origin = serve(File(DATA, rate=SLOW, keep=True))
    with client().open(origin.url()) as body:
        body.skip_to(3 * MIB)
        at = Checkpoint(3 * MIB, b"", body.validator)
    before = len(origin.requests)
    md5 = hashlib.md5(DATA[: 3 * MIB])
    with client().open(origin.url(), resume=at) as body:
        assert body.offset == 3 * MIB
        while piece := body.read():
            md5.update(piece)
    assert md5.hexdigest() == MD5
    assert len(origin.requests) - before > 3


def test_a_checkpoint_in_the_middle_of_many_can_be_gone_on_from(serve: Serve) -> None:
    origin = serve(File(DATA, rate=SLOW, keep=True))
    md5, at = hashlib.md5(), None
    for seconds in (0.7, 0.9, 1.1, 60):
        with client().open(origin.url(), seconds=seconds, resume=at) as body:
            got = bytearray()
            try:
                while piece := body.read():
                    got += piece
            except DeadlineReached:
                assert seconds < 60
            end = body.offset + len(got)
            whole = end - end % 64 if seconds < 60 else end
            md5.update(got[: whole - body.offset])
            at = Checkpoint(whole, b"", body.validator)
    assert md5.hexdigest() == MD5


def test_tls_goes_parallel_too(serve: Serve, authority: trustme.CA, ca_file: Path) -> None:
    origin = serve(File(DATA, rate=SLOW, keep=True), tls=server_context(authority.issue_cert("127.0.0.1")))
    assert digest(origin, ssl_cert_file=ca_file) == MD5
    assert origin.connections >= 3


# --- an origin that does not play along costs nothing but the try


def helpers(answer: Steps, **fields: object) -> Script:
    """A throttled file whose range requests all get ``answer``."""
    file = File(DATA, rate=3 * SLOW, **fields)  # type: ignore[arg-type]
    return lambda request: answer if "range" in request.fields else file(request)


def lie(content_range: str, *fields: str, length: int = 8 * MIB, status: str = "206 Partial Content") -> Steps:
    lines = ['ETag: "v1"', f"Content-Length: {length}", *fields]
    return [head(status, *lines, *([f"Content-Range: {content_range}"] if content_range else [])), DATA[:length]]


@pytest.mark.parametrize(
    "answer",
    [
        [head("200 OK", 'ETag: "v1"', f"Content-Length: {len(DATA)}"), DATA],
        lie(""),
        lie(f"bytes 0-{8 * MIB - 1}/{len(DATA)}"),
        lie("bytes */41943040"),
        lie(f"bytes 0-{8 * MIB - 1}/{50 * MIB}", "Content-Encoding: gzip"),
        lie("", "Content-Encoding: gzip", status="200 OK"),
        [head("416 Range Not Satisfiable", "Content-Length: 0")],
        [head("503 Busy", "Retry-After: 60", "Content-Length: 0")],
        [head("429 Slow Down", "Content-Length: 0")],
        [head("403 Forbidden", "Content-Length: 0")],
        [RESET],
        [],
        [b"nonsense"],
    ],
)
def test_what_further_connections_cannot_do_the_first_one_does(serve: Serve, answer: Steps) -> None:
    origin = serve(helpers(answer))
    assert digest(origin) == MD5
    assert 1 <= len(ranged(origin)) <= 4


def answering(change: dict[str, object], *, first: int = 0, end: int = 0, total: int = 0) -> Script:
    """A throttled file whose parts are of another version, or not those that were asked for."""
    file = File(DATA, rate=3 * SLOW)

    def script(request: Request) -> Steps:
        if "range" not in request.fields:
            return file(request)
        steps = list(replace(file, rate=0, **change)(request))  # type: ignore[arg-type]
        if first or end or total:
            asked = [
                int(number or len(DATA) - 1) for number in request.fields["range"].removeprefix("bytes=").split("-")
            ]
            told = f"bytes {asked[0] + first}-{asked[1] + end}/{len(DATA) + total}"
            length = asked[1] + end - asked[0] - first + 1
            steps = [
                head("206 Partial", 'ETag: "v1"', f"Content-Range: {told}", f"Content-Length: {length}"),
                (DATA + b"x")[asked[0] + first :][:length],
            ]
        return steps

    return script


@pytest.mark.parametrize(
    "script",
    [
        answering({"etag": 'W/"v1"'}),
        answering({"etag": None, "last_modified": None}),
        answering({}, first=1),
        answering({}, end=-1),
        answering({}, end=1),
    ],
)
def test_a_part_that_is_not_proven_is_not_used(serve: Serve, script: Script) -> None:
    origin = serve(script)
    assert digest(origin) == MD5
    assert 1 <= len(ranged(origin)) <= 6


@pytest.mark.parametrize(
    "script", [answering({"etag": '"v2"'}), answering({"content": DATA[:-1]}), answering({}, total=1)]
)
def test_parts_that_say_another_version_to_the_end_show_a_change(serve: Serve, script: Script) -> None:
    with pytest.raises(Changed):
        digest(serve(script))


# --- connections that break


def test_the_first_stream_may_break(serve: Serve) -> None:
    file = File(DATA)
    cut: Steps = [*file._sent("200 OK", ['ETag: "v1"'], 0, len(DATA))]
    origin = serve(lambda request: [cut[0], DATA[: 5 * MIB], RESET] if request.connection == 0 else file(request))
    assert digest(origin) == MD5
    assert len(ranged(origin)) == 1


def test_a_broken_stream_of_an_origin_without_ranges_is_read_again_in_the_same_try(serve: Serve) -> None:
    file = File(DATA, ranges=False)
    cut: Steps = [head("200 OK", 'ETag: "v1"', f"Content-Length: {len(DATA)}"), DATA[: 5 * MIB]]
    origin = serve(lambda request: file(request) if request.connection else cut)
    task = Worker(patient(max_attempts=1)).run(origin.url())
    assert (task.md5, task.slices) == (MD5, 1)
    assert 45 * MIB <= task.received < 46 * MIB


def test_connections_may_break_in_the_middle_of_parts(serve: Serve) -> None:
    file = File(DATA, rate=SLOW, keep=True)
    broken = random.Random(7)

    def script(request: Request) -> Steps:
        steps = list(file(request))
        if "range" in request.fields and broken.random() < 0.4:
            steps[1] = replace(steps[1], data=steps[1].data[: broken.randrange(4 * MIB)])  # type: ignore[type-var, union-attr]
            steps[2:] = [RESET]
        return steps

    assert digest(serve(script)) == MD5


def test_a_part_that_never_comes_ends_the_stream_behind_everything_before_it(serve: Serve) -> None:
    file = File(DATA, rate=SLOW, keep=True)

    def script(request: Request) -> Steps:
        if int(request.fields.get("range", "bytes=0-").removeprefix("bytes=").split("-")[0]) >= 24 * MIB:
            return [head("500 Broken", "Content-Length: 0")]
        return file(request)

    origin = serve(script)
    with client().open(origin.url(), seconds=60) as body:
        # Not HttpFailed: the origin's last word is what it says to who asks for the rest alone.
        with pytest.raises(Incomplete, match="status 500"):
            drained(body)
        assert 16 * MIB < end_of(body) <= 32 * MIB


def test_a_part_that_is_redirected_inwards_tells_nobody_where_to(serve: Serve) -> None:
    """The error has a public code, so the guard's words would name a host of the origin's choice, and judge it."""
    file = File(DATA, rate=SLOW, keep=True)

    def script(request: Request) -> Steps:
        if int(request.fields.get("range", "bytes=0-").removeprefix("bytes=").split("-")[0]) >= 16 * MIB:
            return [head("302 Found", "Location: http://169.254.169.254/pay-at-evil", "Content-Length: 0")]
        return file(request)

    origin = serve(script)
    with client().open(origin.url(), seconds=60) as body, pytest.raises(RangesFailed) as caught:
        drained(body)
    expected = "a redirect leads to a host that urlsum cannot reach, when more of the file was requested"
    assert str(caught.value) == expected


def test_a_file_that_changes_while_several_read_it_is_changed(serve: Serve) -> None:
    file = File(DATA, rate=SLOW, keep=True)

    def script(request: Request) -> Steps:
        if len(ranged(origin)) > 2:
            file.content, file.etag = DATA[::-1], '"v2"'
        return file(request)

    origin = serve(script)
    # What a part says is no last word: the next response has it.
    with pytest.raises((Changed, RangesFailed), match="ETag changed"):
        digest(origin)


def test_one_of_two_back_ends_with_another_version_is_left_aside(serve: Serve) -> None:
    file = File(DATA, rate=SLOW, keep=True)
    other = File(DATA[::-1], rate=SLOW, keep=True, etag='"v2"')
    origin = serve(lambda request: (other if request.connection % 4 == 3 else file)(request))
    assert digest(origin) == MD5


def test_where_a_redirect_led_may_expire(serve: Serve) -> None:
    file = File(DATA, rate=SLOW)
    expired: set[str] = set()

    def script(request: Request) -> Steps:
        if request.path == "/file":
            return [head("302 Found", f"Location: /signed?{request.connection}")]
        if request.path in expired:
            return [head("403 Expired", "Content-Length: 0")]
        if len(ranged(origin)) in (1, 3):
            expired.add(request.path)
        return file(request)

    origin = serve(script)
    assert digest(origin, connections_per_origin=2) == MD5
    assert sum(request.path == "/file" for request in origin.requests) >= 2


def test_silence_on_all_connections_ends_with_the_time_outs(serve: Serve) -> None:
    file = File(DATA, rate=SLOW)

    def script(request: Request) -> Steps:
        answer, body = list(file(request))[:2]
        assert isinstance(body, Trickle)
        return [HANG] if len(ranged(origin)) > 2 else [answer, body.data[: 6 * MIB], HANG]

    origin = serve(script)
    started = time.monotonic()
    with pytest.raises((TimedOut, Incomplete)):
        digest(origin, read_timeout=0.5, connect_timeout=0.5)
    assert time.monotonic() - started < 5


class Leaping:
    """A clock that leaps so many seconds whenever the reader of a file looks at it."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self.leap = 0.0

    def __call__(self) -> float:
        if threading.current_thread() is threading.main_thread():
            self.ahead += self.leap
        return time.monotonic() + self.ahead


def test_a_reader_waits_as_long_as_one_new_connection_may_take_and_no_longer(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease of a task outlasts just that."""
    monkeypatch.setattr(prefetch, "POLL_SECONDS", 0.01)
    first: Steps = [head("200 OK", 'ETag: "v1"', f"Content-Length: {len(DATA)}"), DATA[: 3 * MIB], HANG]
    origin = serve(lambda request: [HANG] if "range" in request.fields else first)
    clock, settings = Leaping(), client(connect_timeout=10.0, read_timeout=20.0).settings
    source = HttpSource(settings, Guard(settings), clock=clock)
    with source.open(origin.url(), deadline=Deadline.after(100_000)) as body:
        read = 0
        while read < 3 * MIB:
            read += len(body.read())
        clock.leap = 1.0
        with pytest.raises(TimedOut, match="no data for 30 s"):
            body.read()
    assert 29 < clock.ahead < 35  # and the time that it took


# --- ends


def test_closing_ends_all_connections_at_once(serve: Serve) -> None:
    origin = serve(File(DATA, rate=SLOW, keep=True))
    with client().open(origin.url(), seconds=60) as body:
        while body.connections < 4:
            assert body.read()
        started = time.monotonic()
    assert time.monotonic() - started < 0.3
    assert body.connections == 0
    body.close()


def test_the_deadline_is_met_although_all_connections_are_silent(serve: Serve) -> None:
    file = File(DATA, rate=2 * SLOW, keep=True)

    def script(request: Request) -> Steps:
        steps = list(file(request))
        return [steps[0], replace(steps[1], data=steps[1].data[: 7 * MIB]), HANG]  # type: ignore[type-var, union-attr]

    started = time.monotonic()
    with client(read_timeout=20.0).open(serve(script).url(), seconds=2.0) as body:
        with pytest.raises(DeadlineReached):
            drained(body)
        assert end_of(body) >= 7 * MIB
    assert time.monotonic() - started < 10  # and not the 20 s of the read time-out


def test_bytes_of_a_slow_origin_are_not_held_back(serve: Serve) -> None:
    steps: Steps = [head("200 OK", 'ETag: "v1"', f"Content-Length: {len(DATA)}"), DATA[: 2 * MIB + 1000], HANG]
    with client().open(serve(lambda request: steps).url(), seconds=10) as body:
        read = 0
        started = time.monotonic()
        while read < 2 * MIB + 1000:
            read += len(body.read())
        assert time.monotonic() - started < 5  # and not at the deadline, after 10 s


def test_memory_is_bounded_with_eight_connections_too(serve: Serve) -> None:
    piece = memoryview(DATA)

    def script(request: Request) -> Steps:
        return File(DATA, rate=SLOW, keep=True)(request)

    origin = serve(script)
    tracemalloc.start()
    try:
        assert digest(origin) == MD5
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(piece) == len(DATA)
    assert peak < 70 * MIB
