"""What the reader of a prefetched file knows of its connections, and how often it looks."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from urlsum.deadline import Deadline
from urlsum.errors import DeadlineReached
from urlsum.origin.parallel.buffers import Budget, Buffers
from urlsum.origin.parallel.concurrency import ConcurrencyController
from urlsum.origin.parallel.prefetch import Prefetch, RangeThread
from urlsum.origin.parallel.reassembly import ReassemblyBuffer
from urlsum.origin.tuning import Tuning

if TYPE_CHECKING:
    from collections.abc import Callable

    from urlsum.origin.http11.stream import Block

TUNING = Tuning()
SIZE = 64 * TUNING.block_bytes


class Body:
    """A response that fills blocks as the test says."""

    def __init__(self, fill: Callable[[Block], bool]) -> None:
        self.fill = fill
        stream = SimpleNamespace(abort=lambda: None)
        self.connection = SimpleNamespace(target="http://example.com", stream=stream, place=None, close=lambda: None)


def reassembly() -> ReassemblyBuffer:
    return ReassemblyBuffer(0, SIZE, Buffers(Budget(64), TUNING.block_bytes), TUNING)


def test_the_bytes_of_a_block_that_still_fills_are_counted() -> None:
    """At 20 MB/s a block fills for 50 ms, as long as a step of the climb is measured."""
    counts = []

    def fill(block: Block) -> bool:
        for _ in range(2):
            block.filled += len(block.view) // 4
            counts.append(thread.received)
        return True

    of, body = reassembly(), Body(fill)
    prefetch: Any = SimpleNamespace(reassembly=of)
    thread = RangeThread(prefetch, body)  # type: ignore[arg-type] # as much of a body as a thread needs
    part = of.begin(thread)
    for _ in range(2):
        block = of.block(part)
        assert block is not None
        assert thread._fill(part, block, body)  # type: ignore[arg-type] # the same
    assert counts == [quarter * TUNING.block_bytes // 4 for quarter in range(1, 9)]
    assert thread.received == 2 * TUNING.block_bytes


class Looks(ConcurrencyController):
    """Remembers when it was asked; ``hurried`` for a time that no test lasts."""

    def __init__(self, *, hurried: bool) -> None:
        super().__init__(8, latency=0.001, now=0.0)
        self.hurried = hurried
        self.count = 0

    @property
    def climbing(self) -> bool:
        return self.hurried

    def observe(self, now: float, count: int, waited: float) -> int:
        self.count += 1
        return 1


@pytest.mark.parametrize("hurried", [True, False])
def test_the_climb_does_not_wait_for_the_next_block(hurried: bool) -> None:
    ended = threading.Event()

    def fill(_: Block) -> bool:
        ended.wait(60)
        return False

    controller = Looks(hurried=hurried)
    client: Any = SimpleNamespace(pool=None, tuning=TUNING, clock=Deadline.after(60.0).clock)
    prefetch = Prefetch(
        Body(fill),  # type: ignore[arg-type] # as much of a body as a thread needs
        reassembly(),
        ranges=SimpleNamespace(),  # type: ignore[arg-type] # one connection asks for no range
        concurrency=controller,
        deadline=Deadline.after(0.5),
        silence=60.0,
        client=client,
    )
    with pytest.raises(DeadlineReached):
        prefetch.read()
    ended.set()
    prefetch.close()
    assert controller.count >= 15 if hurried else controller.count <= 6
