"""Every fault in the middle of a download over several connections: one bad answer costs a try, never the digest."""

from __future__ import annotations

import hashlib
import math
import random
import socket
import threading
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.origin.faults import Fault, healthy, spread
from tests.support.origin.origin_server import File, Request, Step, Steps, Trickle, head
from tests.support.origin.task_runner import Worker, patient
from urlsum.origin.parallel.concurrency import ConcurrencyController
from urlsum.origin.tuning import Tuning

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.integration.origin.conftest import Serve
    from urlsum.settings import Settings
    from urlsum.task import Task

CONTENT = random.Random(4).randbytes(1_000_000)
MD5 = hashlib.md5(CONTENT).hexdigest()
# Of the parts, which are shorter here, so that a file that is quickly served has many.
PART = 32_768
# Each connection brings this many bytes a second: slow enough for others to be there before the file has ended.
RATE = 2_000_000
CONNECTIONS = 4


class Eager(ConcurrencyController):
    """Wants all at once, whatever they bring, until it is refused."""

    def observe(self, now: float, count: int, waited: float) -> int:
        if self._refused_at == -math.inf:
            self.target = self._most
        return self.target


# Parts that a file which is quickly served has many of.
SMALL_PARTS = Tuning(
    block_bytes=PART // 4, inline_bytes=PART // 4, part_bytes=PART, slow_part_bytes=PART, observe_seconds=0.002
)


def eager(settings: Settings | None = None, **options: Any) -> Worker:
    """A worker that reads with all connections at once, in small parts."""
    settings = settings or patient(connections_per_origin=CONNECTIONS)
    return Worker(settings, tuning=SMALL_PARTS, controller=Eager, **options)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    left = [thread for thread in threading.enumerate() if thread.name == "fetch"]
    for thread in left:
        thread.join(2.0)
    assert [thread for thread in left if thread.is_alive()] == []


# The first response brings so much at RATE, and the rest at SLOW_BYTES every SLOW_SECONDS until the fault was met:
# enough for no time-out, and so little (50 KB a second) that the file does not end first, however late the others are.
FAST_BYTES = len(CONTENT) // 4
SLOW_BYTES, SLOW_SECONDS = 1024, 0.02


@dataclass
class Faulty:
    """Serves ``file`` slowly. The range request of number ``first`` is answered faultily.

    The first response waits for that, and then brings the rest of the file. With ``always`` it breaks off instead, and
    every further request is answered faultily too.
    """

    fault: Fault
    always: bool
    first: int = 3
    file: File = field(default_factory=lambda: File(CONTENT, rate=RATE))
    count: int = 0
    spoiled: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    met: threading.Event = field(default_factory=threading.Event)

    def __call__(self, request: Request) -> Iterable[Step]:
        with self.lock:
            number, self.count = self.count, self.count + 1
            if number == 0:
                return self.waiting(request)
            # The first range request is the second of all.
            if number <= self.first or (self.met.is_set() and not self.always):
                return self.file(request)
            self.spoiled += 1
            self.met.set()
        return self.fault.spoil(request, File(CONTENT))

    def waiting(self, request: Request) -> Iterator[Step]:
        answer, body = self.file(request)[:2]
        assert isinstance(body, Trickle)
        yield answer
        yield replace(body, data=body.data[:FAST_BYTES])
        at = FAST_BYTES
        while not self.met.is_set() and at < len(body.data):
            yield Trickle(body.data[at : at + SLOW_BYTES], SLOW_SECONDS, SLOW_BYTES)
            at += SLOW_BYTES
        if not self.always:
            yield replace(body, data=body.data[at:])


def outcome(task: Task) -> str:
    if task.error is not None:
        assert task.md5 is None
        return task.error.code
    assert (task.md5, task.size) == (MD5, len(CONTENT))
    return task.status


ONE, ALL = spread(2)


@pytest.mark.parametrize("fault", ONE)
def test_one_bad_answer_among_many_costs_a_try(serve: Serve, fault: Fault) -> None:
    script = Faulty(fault, always=False)
    task = eager().run(serve(script).url())
    assert script.spoiled == 1
    assert outcome(task) == "done"


@pytest.mark.parametrize("fault", ALL)
def test_bad_answers_to_all_further_requests_end_as_they_do_alone(serve: Serve, fault: Fault) -> None:
    script = Faulty(fault, always=True)
    task = eager().run(serve(script).url())
    assert script.spoiled >= 1
    assert outcome(task) == (fault.parallel or fault.expected(always=True, resumed=True))


def test_who_sends_the_whole_file_for_a_part_of_it_is_asked_once_and_for_the_closing_proof(serve: Serve) -> None:
    file = File(CONTENT, rate=RATE)

    def script(request: Request) -> Steps:
        whole = file(replace(request, fields={}))
        return whole if "range" in request.fields else [whole[0], CONTENT[: PART // 8]]

    origin = serve(script)
    task = eager().run(origin.url())
    assert outcome(task) == "done"
    assert ["range" in request.fields for request in origin.requests] == [False, True, True]


OTHER = random.Random(5).randbytes(len(CONTENT))


@pytest.mark.parametrize("etag", ['"v1"', '"v2"'], ids=["the same ETag", "another ETag"])
@pytest.mark.parametrize("share", [1, 2, 5], ids=["all others", "every second", "every fifth"])
def test_two_back_ends_are_never_mixed(serve: Serve, etag: str, share: int) -> None:
    """The second serves another file of the same length and date, and may call it by the same ETag."""
    first, second = File(CONTENT, rate=RATE), File(OTHER, etag=etag, rate=RATE)
    ranged: list[Request] = []

    def script(request: Request) -> Steps:
        if "range" in request.fields:
            ranged.append(request)
        return (second if ranged and len(ranged) % share == 0 else first)(request)

    task = eager().run(serve(script).url())
    assert ranged
    if task.error is None:
        assert task.md5 in {MD5, hashlib.md5(OTHER).hexdigest()}
    else:
        assert (task.error.code, task.md5) == ("changed", None)


def test_one_part_of_another_version_under_the_same_etag_is_found(serve: Serve) -> None:
    script = Faulty(Fault("lie", lambda request, file: replace(file, content=OTHER)(request), "changed"), always=False)
    task = eager().run(serve(script).url())
    assert outcome(task) == "done"
    assert task.slices == 2


@pytest.mark.parametrize("at", [1, 4, 9])
def test_a_checkpoint_in_the_middle_of_many_is_gone_on_from(serve: Serve, at: int) -> None:
    """All connections break at once, and again while it goes on."""
    file, ranged = File(CONTENT, rate=RATE), [0]

    def script(request: Request) -> Steps:
        ranged[0] += "range" in request.fields
        return [] if at <= ranged[0] < at + 4 else file(request)

    task = eager().run(serve(script).url())
    assert outcome(task) == "done"
    assert task.restarts == 0


def test_a_changed_file_that_is_read_from_its_start_leaves_nobody_reading_on(serve: Serve) -> None:
    """The proof fails half-way through the file, while threads bring the rest of it."""
    before, after = (File(data, etag=None, last_modified=None, ranges=False) for data in (CONTENT, OTHER))

    def script(request: Request) -> Steps:
        answer, right = healthy(request, before)
        return after(request) if request.connection else [answer, right[: len(right) // 2]]

    task = eager().run(serve(script).url())
    assert (task.md5, task.restarts) == (hashlib.md5(OTHER).hexdigest(), 1)


@pytest.mark.parametrize("seconds", [0.6, 0.8])
def test_deadlines_in_the_middle_of_many_hand_over(serve: Serve, seconds: float) -> None:
    origin = serve(File(CONTENT, rate=400_000))
    worker = eager(patient(connections_per_origin=CONNECTIONS, read_timeout=20.0), slice_seconds=seconds)
    task = worker.run(origin.url())
    assert outcome(task) == "done"
    assert task.slices > 1
    assert task.restarts == 0


def test_a_signed_url_that_expires_in_the_middle_of_many_is_asked_for_anew(serve: Serve) -> None:
    file = File(CONTENT, rate=RATE)
    uses: Counter[str] = Counter()
    lock = threading.Lock()

    def script(request: Request) -> Steps:
        if request.path == "/file":
            return [head("302 Found", f"Location: /signed?{request.connection}", "Content-Length: 0")]
        with lock:
            uses[request.path] += 1
            return file(request) if uses[request.path] <= 5 else [head("403 Expired", "Content-Length: 0")]

    task = eager().run(serve(script).url())
    assert outcome(task) == "done"
    assert (task.restarts, task.slices) == (0, 1)
    assert len(uses) >= 2


@pytest.mark.parametrize("status", ["429 Slow Down", "503 Busy"])
def test_an_origin_that_wants_to_be_left_alone_is_not_asked_on_and_on(serve: Serve, status: str) -> None:
    file = File(CONTENT, rate=RATE)
    busy = [head(status, "Retry-After: 100", "Content-Length: 0")]
    origin = serve(lambda request: busy if "range" in request.fields else file(request))
    task = eager().run(origin.url())
    assert outcome(task) == "done"
    # Those that were opened together before one of them had its answer.
    assert sum("range" in request.fields for request in origin.requests) <= CONNECTIONS


@pytest.mark.parametrize("tasks", [1, 3])
def test_there_are_never_more_connections_than_allowed(serve: Serve, tasks: int) -> None:
    origin = serve(File(CONTENT, rate=RATE))
    opened: list[socket.socket] = []
    most = [0]
    lock = threading.Lock()

    def dial(address: object, port: int, within: float) -> socket.socket:
        with lock:
            opened.append(socket.create_connection((str(address), port), within))
            most[0] = max(most[0], sum(connection.fileno() >= 0 for connection in opened))
            return opened[-1]

    workers = [eager(dial=dial) for _ in range(tasks)]
    source = workers[0].origin
    threads = [
        threading.Thread(target=worker.run, args=(origin.url(),), kwargs={"origin": source}) for worker in workers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [outcome(worker.task) for worker in workers] == ["done"] * tasks
    # Each file may have one; those that came first then let go of what is above the limit.
    assert 1 < most[0] <= CONNECTIONS + tasks - 1
