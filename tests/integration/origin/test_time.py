"""No origin holds a worker longer than the settings say, whatever it does with the time."""

from __future__ import annotations

import math
import time

import pytest

from tests.integration.origin.conftest import Serve, client
from tests.support.origin_server import HANG, OriginServer, Pause, Steps, Trickle, answers, chunk, head
from urlsum.errors import ConnectFailed, DeadlineReached, TimedOut
from urlsum.origin.guard.guard import Guard
from urlsum.origin.source import HttpSource

LENGTH = "Content-Length: 1000000"
CHUNKED = "Transfer-Encoding: chunked"


@pytest.mark.parametrize(
    "steps",
    [
        [HANG],
        [b"HTTP/1.1 200 OK\r\n", HANG],
        [head("200 OK", LENGTH), HANG],
        [head("200 OK", LENGTH), b"some", HANG],
        [head("200 OK", CHUNKED), chunk(b"some"), HANG],
        [head("200 OK", CHUNKED), b"10", HANG],
        # Each read is in time, the whole never is.
        [Trickle(head("200 OK", "X: " + "y" * 1000), every=0.2)],
        [Trickle(head("103 Early Hints") * 100, every=0.2, size=30)],
        [head("200 OK", CHUNKED), Trickle(b"5;" + b"x" * 1000, every=0.2)],
        [head("200 OK", CHUNKED), chunk(b"some") + b"0\r\n", Trickle(b"X-Trailer: " + b"y" * 1000, every=0.2)],
    ],
)
def test_silence_and_slow_heads_end_with_the_read_time_out(serve: Serve, steps: Steps) -> None:
    origin = serve(answers(steps))
    started = time.monotonic()
    with pytest.raises(TimedOut, match=r"0\.3 s"):
        client(read_timeout=0.3).fetch(origin.url())
    assert time.monotonic() - started < 5


def test_a_trickle_below_the_minimum_rate_ends_although_no_read_times_out(serve: Serve) -> None:
    steps: Steps = [head("200 OK", LENGTH), Trickle(bytes(1000), every=0.05)]
    with pytest.raises(TimedOut, match=r"less than 1024 bytes per second, at .* of 976\.6 KiB"):
        client(min_rate_seconds=0.4).fetch(serve(answers(steps)).url())


def test_a_slow_reader_is_not_held_against_the_origin(serve: Serve) -> None:
    steps: Steps = [head("200 OK", "Content-Length: 2000"), bytes(1000), Pause(0.1), bytes(1000)]
    with client(min_rate_seconds=0.3).open(serve(answers(steps)).url()) as body:
        first = len(body.read())
        time.sleep(0.5)
        assert first + len(body.read()) + len(body.read()) == 2000


def test_pauses_that_are_in_time_are_waited_out(serve: Serve) -> None:
    steps: Steps = [Pause(0.1), head("200 OK", "Content-Length: 8"), Pause(0.1), b"half", Pause(0.1), b"half"]
    assert client(read_timeout=1.0).fetch(serve(answers(steps)).url()) == b"halfhalf"


@pytest.mark.parametrize(
    "steps",
    [
        [HANG],
        [head("200 OK", LENGTH), HANG],
        [head("200 OK", LENGTH), Trickle(bytes(1000), every=0.05)],
        [head("200 OK", CHUNKED), Trickle(chunk(b"x") * 1000, every=0.05)],
        [Trickle(head("302 Found", "Location: /"), every=0.05)],
    ],
)
def test_the_deadline_is_no_failure_of_the_origin(serve: Serve, steps: Steps) -> None:
    origin = serve(answers(steps))
    started = time.monotonic()
    with pytest.raises(DeadlineReached):
        client().fetch(origin.url(), seconds=0.3)
    assert time.monotonic() - started < 2


def test_a_worker_that_is_being_stopped_begins_with_nothing(serve: Serve) -> None:
    server, settings = serve(answers([HANG])), client().settings
    origin = HttpSource(settings, Guard(settings), clock=lambda: math.inf)
    with pytest.raises(DeadlineReached):
        origin.open(server.url(), deadline=math.inf)
    assert server.connections == 0


def test_what_was_read_before_the_deadline_can_be_gone_on_from(serve: Serve) -> None:
    with client().open(serve(answers([head("200 OK", LENGTH), bytes(1000), HANG])).url(), seconds=0.5) as body:
        assert len(body.read()) == 1000
        with pytest.raises(DeadlineReached):
            body.read()
        assert '"end":960' in body.validator


def test_a_chain_of_slow_redirects_is_bounded_as_a_whole(serve: Serve) -> None:
    def script(request: object) -> Steps:
        return [Pause(0.4), head("302 Found", f"Location: /{origin.connections}")]

    origin = serve(script)
    started = time.monotonic()
    with pytest.raises(TimedOut, match=r"no response within 1 s"):
        client(connect_timeout=0.5, read_timeout=0.5).fetch(origin.url())
    assert time.monotonic() - started < 3
    assert origin.connections == 3


def test_the_bound_on_opening_does_not_bound_the_body(serve: Serve) -> None:
    slow: Steps = [b"012", Pause(0.1)]
    steps: Steps = [head("200 OK", "Content-Length: 30"), *(step for _ in range(10) for step in slow)]
    assert len(client(connect_timeout=0.3, read_timeout=0.3).fetch(serve(answers(steps)).url())) == 30


def test_nobody_there_is_a_failure_to_connect() -> None:
    with OriginServer(answers([])) as stopped:
        port = stopped.port
    with pytest.raises(ConnectFailed, match=f"could not connect to 127.0.0.1 on port {port}: Connection refused"):
        client().fetch(f"http://127.0.0.1:{port}/")
