"""Every fault through the whole job: the right digest or the exact failure code, and nothing else ever."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from tests.integration.origin.conftest import Serve
from tests.support.faults import FAULTS, Fault, healthy
from tests.support.origin_server import File, Request, Steps
from tests.support.worker import Worker

if TYPE_CHECKING:


    from urlsum.task import Task

CONTENT = random.Random(4).randbytes(300_000)
MD5 = hashlib.md5(CONTENT).hexdigest()


@dataclass
class Faulty:
    """Serves ``file``; the answers whose numbers are in ``spoiled`` (all from ``since`` on) are faulty.

    With ``cut`` the first answer is cut half-way, so that the next one goes on from a checkpoint.
    """

    fault: Fault
    always: bool
    cut: bool
    file: File = field(default_factory=lambda: File(CONTENT))
    count: int = 0

    def __call__(self, request: Request) -> Steps:
        number, self.count = self.count, self.count + 1
        if self.cut and number == 0:
            answer, right = healthy(request, self.file)
            return [answer, right[: len(right) // 2]]
        first = int(self.cut)
        if number == first or (self.always and number > first):
            return self.fault.spoil(request, self.file)
        return self.file(request)


def outcome(task: Task) -> str:
    if task.error is not None:
        assert task.md5 is None
        return task.error.code
    assert (task.md5, task.size) == (MD5, len(CONTENT))
    return task.status


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
@pytest.mark.parametrize("always", [True, False], ids=["always", "once"])
@pytest.mark.parametrize("cut", [False, True], ids=["from the start", "after a checkpoint"])
def test_a_fault_ends_as_it_should(serve: Serve, fault: Fault, *, always: bool, cut: bool) -> None:
    origin = serve(Faulty(fault, always, cut))
    task = Worker().run(origin.url())
    assert outcome(task) == fault.expected(always=always, resumed=cut)
