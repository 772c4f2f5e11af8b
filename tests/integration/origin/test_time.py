"""No origin holds a worker longer than the settings say, whatever it does with the time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.integration.origin.conftest import Serve, client, read_all
from tests.support.origin.origin_server import HANG, OriginServer, Pause, Steps, Trickle, answers, chunk, head
from tests.support.origin.simulated import SimulatedOrigin, Step, trickled
from urlsum.deadline import Deadline
from urlsum.errors import ConnectFailed, DeadlineReached, SettingsError, TimedOut
from urlsum.origin.guard.guard import Guard
from urlsum.origin.http11 import tls
from urlsum.origin.source import HttpSource

if TYPE_CHECKING:
    import socket
    import ssl
    from pathlib import Path

    from urlsum.origin.guard.url import Target

LENGTH = "Content-Length: 1000000"
CHUNKED = "Transfer-Encoding: chunked"

# --- exact, on a simulated clock

CONNECT_TIMEOUT, READ_TIMEOUT, MIN_RATE_SECONDS = 10.0, 30.0, 60.0


def simulated(*scripts: list[Step], seconds: float = 1000.0, scheme: str = "http") -> tuple[float, bytes | Exception]:
    """How many seconds a fetch took, of at most ``seconds``, and what it brought."""
    settings = client(
        connect_timeout=CONNECT_TIMEOUT,
        read_timeout=READ_TIMEOUT,
        min_rate_seconds=MIN_RATE_SECONDS,
        min_bytes_per_second=1024,
    ).settings
    origin = SimulatedOrigin(scripts)
    began = origin.now
    opener = HttpSource(settings, Guard(settings, dial=origin.dial), clock=origin.clock)
    try:
        with opener.open(f"{scheme}://127.0.0.1/file", deadline=Deadline(began + seconds, origin.clock)) as body:
            content = read_all(body)
        return origin.now - began, content
    except (TimedOut, DeadlineReached) as exc:
        assert origin.closed == origin.dialled
        return origin.now - began, exc


SILENCES: list[tuple[list[Step], float]] = [
    ([], 0),
    ([b"HTTP/1.1 200 OK\r\n"], 0),
    ([5.0, head("200 OK", LENGTH)], 5),
    ([5.0, head("200 OK", LENGTH), 7.0, b"some"], 12),
    ([5.0, head("200 OK", CHUNKED), 7.0, chunk(b"some")], 12),
    # The file's own bytes count, not those around them.
    ([5.0, head("200 OK", CHUNKED), *trickled(b"5;" + b"x" * 100, every=0.9)], 5),
    ([5.0, head("200 OK", CHUNKED), chunk(b"some") + b"0\r\n", *trickled(b"X-Trailer: " + b"y" * 100, every=0.9)], 5),
    # Each read is in time, the head as a whole never is.
    (trickled(head("200 OK", "X: " + "y" * 1000), every=0.9), 0),
    (trickled(head("103 Early Hints") * 9, every=0.9), 0),
]


@pytest.mark.parametrize(("steps", "last"), SILENCES)
def test_silence_ends_exactly_with_the_read_time_out(steps: list[Step], last: float) -> None:
    """``last`` is when the last byte came that counts."""
    took, ended = simulated(steps)
    assert isinstance(ended, TimedOut)
    assert took == pytest.approx(last + READ_TIMEOUT)


@pytest.mark.parametrize(("steps", "last"), SILENCES)
def test_a_deadline_just_before_that_comes_first(steps: list[Step], last: float) -> None:
    took, ended = simulated(steps, seconds=last + READ_TIMEOUT - 0.1)
    assert isinstance(ended, DeadlineReached)
    assert took == pytest.approx(last + READ_TIMEOUT - 0.1)


def test_a_pause_just_below_the_read_time_out_is_waited_out() -> None:
    pause = READ_TIMEOUT - 0.1
    whole: list[Step] = [pause, head("200 OK", "Content-Length: 8"), pause, b"half", pause, b"half"]
    closing: list[Step] = [head("404 Gone", "Content-Length: 0")]
    took, content = simulated(whole, closing)
    assert took == pytest.approx(3 * pause)
    assert content == b"halfhalf"


@pytest.mark.parametrize("step", [b"x" * 1000, chunk(b"x" * 1000)], ids=["length", "chunks"])
@pytest.mark.parametrize("every", [1.0, 7.0])
def test_a_trickle_ends_with_the_first_window_below_the_minimum_rate(step: bytes, every: float) -> None:
    steps: list[Step] = [head("200 OK", LENGTH if len(step) == 1000 else CHUNKED)]
    for _ in range(100):
        steps += [every, step]
    took, ended = simulated(steps)
    assert isinstance(ended, TimedOut)
    assert "less than 1024 bytes per second" in str(ended)
    assert MIN_RATE_SECONDS <= took < MIN_RATE_SECONDS + every


def test_slow_redirects_end_together_with_one_bound() -> None:
    further: list[list[Step]] = [[9.0, head("302 Found", f"Location: /{at}", "Content-Length: 0")] for at in range(9)]
    took, ended = simulated(*further)
    assert isinstance(ended, TimedOut)
    assert took == pytest.approx(CONNECT_TIMEOUT + READ_TIMEOUT)
    took, ended = simulated(*further, seconds=39.9)
    assert isinstance(ended, DeadlineReached)
    assert took == pytest.approx(39.9)


@pytest.mark.parametrize(("seconds", "within"), [(1000.0, CONNECT_TIMEOUT), (4.0, 4.0)])
def test_a_handshake_may_take_the_connect_time_out(
    monkeypatch: pytest.MonkeyPatch, seconds: float, within: float
) -> None:
    given: list[float] = []

    def silent(sock: socket.socket, target: Target, made: ssl.SSLContext, *, within: float) -> ssl.SSLSocket:
        given.append(within)
        sock.close()
        raise TimedOut("silent")

    monkeypatch.setattr(tls, "secure", silent)
    _, ended = simulated([], seconds=seconds, scheme="https")
    assert given == [within]
    assert isinstance(ended, DeadlineReached if seconds < CONNECT_TIMEOUT else TimedOut)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_connection_that_came_too_late_is_closed(scheme: str) -> None:
    settings = client(connect_timeout=CONNECT_TIMEOUT).settings
    origin = SimulatedOrigin([[]], dial_seconds=4.0)
    opener = HttpSource(settings, Guard(settings, dial=origin.dial), clock=origin.clock)
    with pytest.raises(DeadlineReached):
        opener.open(f"{scheme}://127.0.0.1/file", deadline=Deadline(origin.now + 4.0, origin.clock))
    assert (origin.dialled, origin.closed, origin.asked) == (1, 1, [])


def test_a_setting_that_breaks_tls_leaves_no_connection_open(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificates")
    settings = client(ssl_cert_file=tmp_path / "ca.pem").settings
    origin = SimulatedOrigin([[]])
    opener = HttpSource(settings, Guard(settings, dial=origin.dial), clock=origin.clock)
    with pytest.raises(SettingsError, match="SSL_CERT_FILE"):
        opener.open("https://127.0.0.1/file", deadline=Deadline(origin.now + 4.0, origin.clock))
    assert (origin.dialled, origin.closed) == (1, 1)


# --- over sockets, as far as a busy machine lets them be exact


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
        client(read_timeout=20.0).fetch(origin.url(), seconds=0.3)
    assert time.monotonic() - started < 10


def test_a_worker_that_is_being_stopped_begins_with_nothing(serve: Serve) -> None:
    server, settings = serve(answers([HANG])), client().settings
    origin = HttpSource(settings, Guard(settings))
    with pytest.raises(DeadlineReached):
        origin.open(server.url(), deadline=Deadline.after(60, is_cancelled=lambda: True))
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
