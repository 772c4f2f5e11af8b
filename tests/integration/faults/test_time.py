"""Origins that take their time, or are not there: no slice outlives its deadline, and the next one goes on."""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from tests.support.origin.faults import half, healthy
from tests.support.origin.origin_server import HANG, File, OriginServer, Request, Steps, Trickle, answers, chunk, head
from tests.support.origin.task_runner import Worker, patient
from urlsum.errors import FailureCode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.integration.origin.conftest import Serve
    from urlsum.task import Task

    Stalled = Callable[[bytes, bytes], Steps]

CONTENT = bytes(range(256)) * 1000
MD5 = hashlib.md5(CONTENT).hexdigest()


def code(task: Task) -> FailureCode | None:
    return task.error.code if task.error else None


@contextmanager
def silent_address(host: str = "127.0.0.1") -> Iterator[int]:
    """A port whose SYNs are dropped: the backlog of its listener is full and nobody accepts."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((host, 0), backlog=0))
        for _ in range(2):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@pytest.mark.parametrize(
    "stalled",
    [
        lambda answer, right: [HANG],
        lambda answer, right: [half(answer), HANG],
        lambda answer, right: [answer, HANG],
        lambda answer, right: [answer, half(right), HANG],
        lambda answer, right: [answer, Trickle(right, every=0.05)],
        lambda answer, right: [Trickle(answer, every=0.05)],
        lambda answer, right: [head("200 OK", "Transfer-Encoding: chunked"), chunk(b"x"), HANG],
    ],
    ids=["no answer", "half a head", "head only", "half the body", "slow body", "slow head", "chunks"],
)
@pytest.mark.parametrize("cut", [False, True], ids=["at the start", "after a checkpoint"])
def test_a_deadline_inside_a_stall_hands_over(serve: Serve, stalled: Stalled, *, cut: bool) -> None:
    file = File(CONTENT)

    def script(request: Request) -> Steps:
        answer, right = healthy(request, file)
        if cut and request.connection == 0:
            return [answer, half(right)]
        if request.connection == cut:
            return stalled(answer, right)
        return file(request)

    worker = Worker(patient(read_timeout=20.0), slice_seconds=0.4)
    task = worker.run(serve(script).url())
    assert (task.status, task.md5) == ("done", MD5)
    # The first slice that met the stall gained nothing, or kept what it had gained; neither failed.
    assert {written.status for written in worker.table.writes} <= {"running", "queued", "done"}
    assert all(delay == 0 for delay in worker.delays[cut:])


def test_a_slow_origin_is_read_over_many_slices(serve: Serve) -> None:
    file = File(CONTENT * 3)

    def script(request: Request) -> Steps:
        answer, right = healthy(request, file)
        return [answer, Trickle(right, every=0.02, size=8192)]

    # Each slice has time for the tail and for new bytes, the last one for the closing proof as well.
    worker = Worker(patient(read_timeout=20.0), slice_seconds=1.2)
    task = worker.run(serve(script).url())
    assert (task.status, task.md5, task.error) == ("done", hashlib.md5(file.content).hexdigest(), None)
    assert task.slices > 1
    assert task.restarts == 0


def test_a_file_that_has_to_be_read_again_keeps_its_lease(serve: Serve) -> None:
    """The origin has no ranges, and the bytes up to the checkpoint take longer than a lease lasts."""
    file = File(CONTENT, ranges=False)

    def script(request: Request) -> Steps:
        answer, right = healthy(request, file)
        if request.connection == 0:
            return [answer, right[:240_000]]
        return [answer, Trickle(right, every=0.02, size=2048)] if request.connection == 1 else [answer, right]

    settings = patient(connect_timeout=0.3, read_timeout=0.5, checkpoint_seconds=0.1, lease_seconds=1.0)
    worker = Worker(settings)
    task = worker.run(serve(script).url())
    assert (task.md5, task.restarts) == (MD5, 0)
    writes = worker.table.writes
    held = [(before, after) for before, after in pairwise(writes) if before.lease_until]
    assert writes[-1].updated_at - writes[0].updated_at > 2 * settings.lease_seconds
    assert all(after.updated_at < before.lease_until for before, after in held)


def test_a_stall_that_no_slice_outlives_ends_as_a_time_out(serve: Serve) -> None:
    task = Worker(patient(read_timeout=20.0), slice_seconds=0.2).run(serve(answers([HANG])).url())
    assert (task.status, code(task)) == ("failed", FailureCode.TIMEOUT)


def test_dropped_syns_are_a_failure_to_connect() -> None:
    with silent_address() as port:
        started = time.monotonic()
        task = Worker(patient(connect_timeout=0.2)).run(f"http://127.0.0.1:{port}/")
    assert code(task) == FailureCode.CONNECT
    assert time.monotonic() - started < 5


def test_a_deadline_among_dropped_syns_hands_over(serve: Serve) -> None:
    origin = serve(File(CONTENT))
    with silent_address("127.0.0.9") as port:
        asked: list[str] = []

        def resolve(host: str) -> list[str]:
            asked.append(host)
            return ["127.0.0.9" if len(asked) == 1 else "127.0.0.1"]

        def dial(address: object, wanted: int, within: float) -> socket.socket:
            real = (str(address), port if str(address) == "127.0.0.9" else origin.port)
            return socket.create_connection(real, within)

        worker = Worker(patient(connect_timeout=10.0), resolve=resolve, dial=dial, slice_seconds=0.3)
        task = worker.run("http://files.example.org:8080/file")
    assert (task.md5, task.error, len(asked)) == (MD5, None, 4)


@pytest.mark.parametrize("dead", ["refused", "silent"])
def test_the_address_after_dead_ones_is_used(serve: Serve, dead: str) -> None:
    origin = serve(File(CONTENT))
    with OriginServer(answers([]), host="127.0.0.8") as stopped:
        refused = stopped.port
    with silent_address("127.0.0.9") as silent:
        ports = {"127.0.0.9": silent, "127.0.0.8": refused, "127.0.0.1": origin.port}
        first = "127.0.0.9" if dead == "silent" else "127.0.0.8"

        def dial(address: object, port: int, within: float) -> socket.socket:
            return socket.create_connection((str(address), ports[str(address)]), within)

        worker = Worker(patient(), resolve=lambda host: [first, first, "127.0.0.1"], dial=dial)
        task = worker.run("http://files.example.org:8080/file")
    assert (task.md5, task.slices) == (MD5, 1)


def test_a_hanging_handshake_is_a_time_out_however_often(serve: Serve) -> None:
    origin = serve(answers([]), handshake=False)
    task = Worker(patient(connect_timeout=0.2)).run(f"https://127.0.0.1:{origin.port}/")
    assert code(task) == FailureCode.TIMEOUT
    assert origin.connections == 3


def test_a_name_that_does_not_resolve_is_tried_again() -> None:
    def resolve(host: str) -> list[str]:
        raise OSError(None, "Name or service not known")

    worker = Worker(resolve=resolve)
    assert code(worker.run("http://files.example.org/")) == FailureCode.DNS
    assert len(worker.delays) == 2


def test_a_name_server_that_hangs_is_a_dns_failure() -> None:
    release = threading.Event()
    try:
        worker = Worker(patient(connect_timeout=0.2), resolve=lambda host: [str(release.wait(30))])
        assert code(worker.run("http://files.example.org/")) == FailureCode.DNS
    finally:
        release.set()


def test_an_endless_body_ends_at_the_cap(serve: Serve) -> None:
    origin = serve(lambda request: [head("200 OK", "Transfer-Encoding: chunked"), *[chunk(CONTENT)] * 100, HANG])
    task = Worker(patient(max_bytes=10_000_000)).run(origin.url())
    assert code(task) == FailureCode.TOO_LARGE
