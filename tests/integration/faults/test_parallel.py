"""Every fault in the middle of a download over several connections: one bad answer costs a try, never the digest."""

from __future__ import annotations

import hashlib
import math
import random
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from tests.support.faults import FAULTS, Fault
from tests.support.origin_server import File, Request, Steps
from tests.support.worker import Worker, patient
from urlsum.origin import body, buffers, http, prefetch, window
from urlsum.origin.ramp import Ramp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.origin.conftest import Serve
    from urlsum.task import Task

CONTENT = random.Random(4).randbytes(1_000_000)
MD5 = hashlib.md5(CONTENT).hexdigest()
# Of the parts, which are shorter here, so that a file that is quickly served has many.
PART = 32_768
# Each connection brings this many bytes a second: slow enough for others to be there before the file has ended.
RATE = 2_000_000
CONNECTIONS = 4


class Eager(Ramp):
    """A ramp that wants all at once, whatever they bring, until it is refused."""

    def observe(self, now: float, count: int, waited: float) -> int:
        if self._refused_at == -math.inf:
            self.target = self._most
        return self.target


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(window, "PART_BYTES", PART)
    monkeypatch.setattr(buffers, "BLOCK_BYTES", PART // 4)
    monkeypatch.setattr(window, "BLOCK_BYTES", PART // 4)
    monkeypatch.setattr(body, "BLOCK_BYTES", PART // 4)
    monkeypatch.setattr(body, "INLINE_BYTES", PART // 4)
    monkeypatch.setattr(prefetch, "OBSERVE_SECONDS", 0.002)
    monkeypatch.setattr(http, "Ramp", Eager)
    yield
    left = [thread for thread in threading.enumerate() if thread.name == "fetch"]
    for thread in left:
        thread.join(2.0)
    assert [thread for thread in left if thread.is_alive()] == []


@dataclass
class Faulty:
    """Serves ``file`` slowly. The range requests from the ``first`` on are answered faultily: one, or ``always``."""

    fault: Fault
    always: bool
    first: int = 3
    file: File = field(default_factory=lambda: File(CONTENT, rate=RATE))
    ranged: int = 0
    spoiled: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, request: Request) -> Steps:
        if "range" not in request.fields:
            return self.file(request)
        with self.lock:
            number, self.ranged = self.ranged, self.ranged + 1
            if number != self.first and not (self.always and number > self.first):
                return self.file(request)
            self.spoiled += 1
        return self.fault.spoil(request, File(CONTENT))


def outcome(task: Task) -> str:
    if task.error is not None:
        assert task.md5 is None
        return task.error.code
    assert (task.md5, task.size) == (MD5, len(CONTENT))
    return task.status


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
def test_one_bad_answer_among_many_costs_a_try(serve: Serve, fault: Fault) -> None:
    script = Faulty(fault, always=False)
    task = Worker(patient(connections_per_origin=CONNECTIONS)).run(serve(script).url())
    assert script.spoiled == 1
    assert outcome(task) == "done"


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
def test_bad_answers_to_all_further_requests_end_as_they_do_alone(serve: Serve, fault: Fault) -> None:
    script = Faulty(fault, always=True)
    task = Worker(patient(connections_per_origin=CONNECTIONS)).run(serve(script).url())
    assert script.spoiled >= 1
    # What the first answer still brings may be all that is left: then nobody notices.
    assert outcome(task) in {fault.parallel or fault.expected(always=True, resumed=True), "done"}
