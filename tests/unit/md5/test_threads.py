"""MD5 beside other threads and under interrupts: what a worker and Ctrl-C do to it."""

from __future__ import annotations

import hashlib
import random
import signal
import threading
import time
from itertools import repeat
from typing import TYPE_CHECKING

import pytest

from tests.support.md5 import HASHERS, NATIVE_HASHERS
from urlsum.md5 import MD5

if TYPE_CHECKING:
    from types import FrameType

pytestmark = pytest.mark.slow

MIB = 1024 * 1024
every_engine = pytest.mark.parametrize("md5_class", HASHERS, ids=lambda cls: cls.__name__)
native_engines = pytest.mark.parametrize("md5_class", NATIVE_HASHERS, ids=lambda cls: cls.__name__)


@native_engines
def test_other_threads_run_while_one_update_does(md5_class: type[MD5]) -> None:
    data = bytearray(64 * MIB)
    spans: list[tuple[float, float]] = []

    def hash_it() -> None:
        md5 = md5_class()
        begin = time.perf_counter()
        md5.update(data)
        spans.append((begin, time.perf_counter()))

    # One tick in the middle of one update is proof: with the GIL held there can be none. Several tries, because a
    # busy machine may not schedule this thread at all for the tenth of a second that an update takes.
    for _ in range(20):
        thread = threading.Thread(target=hash_it)
        ticks = []
        thread.start()
        while thread.is_alive():
            ticks.append(time.perf_counter())
            time.sleep(0.001)
        thread.join()
        begin, end = spans[-1]
        margin = (end - begin) / 5
        if any(begin + margin < tick < end - margin for tick in ticks):
            return
    pytest.fail("no other thread ran during any of 20 updates of 64 MiB")


@native_engines
def test_a_checkpoint_by_another_thread_never_sees_an_update_half_done(md5_class: type[MD5]) -> None:
    chunk, updates = random.Random(7).randbytes(MIB), 40
    expected: dict[int, bytes] = {}
    sequential = md5_class()
    for _ in range(updates):
        expected.update([sequential.checkpoint()])
        sequential.update(chunk)
    expected.update([sequential.checkpoint()])

    shared = md5_class()
    started = threading.Event()

    def hash_it() -> None:
        started.set()
        for _ in range(updates):
            shared.update(chunk)
            time.sleep(0)

    thread = threading.Thread(target=hash_it)
    seen = []
    thread.start()
    started.wait()
    while thread.is_alive():
        seen.append(shared.checkpoint())
        assert shared.count % MIB == 0
    thread.join()
    assert seen
    for offset, state in seen:
        assert expected.get(offset) == state
    assert shared.hexdigest() == sequential.hexdigest()


@native_engines
def test_threads_that_feed_one_object_do_not_lose_bytes(md5_class: type[MD5]) -> None:
    # All feed the same bytes, so that the order does not matter and the digest is known.
    chunk, threads, updates = bytes(100_003), 4, 50
    shared = md5_class()
    workers = [
        threading.Thread(target=lambda: [shared.update(chunk) for _ in range(updates)])  # type: ignore[func-returns-value]
        for _ in range(threads)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    total = len(chunk) * threads * updates
    assert shared.count == total
    assert shared.hexdigest() == hashlib.md5(bytes(total), usedforsecurity=False).hexdigest()


class Interrupted(Exception):
    """What the signal handler below raises, as Ctrl-C raises KeyboardInterrupt."""


@every_engine
def test_an_interrupt_at_any_point_leaves_a_state_that_tells_the_truth(md5_class: type[MD5]) -> None:
    def interrupt(_signum: int, _frame: FrameType | None) -> None:
        raise Interrupted

    chunk = bytearray(random.Random(9).randbytes(100))
    # Virtual time: real time belongs to the time limit of the test run.
    before = signal.signal(signal.SIGVTALRM, interrupt)
    try:
        for attempt in range(60):
            md5 = md5_class()
            with pytest.raises(Interrupted):  # noqa: PT012 - the point is that it may strike anywhere
                signal.setitimer(signal.ITIMER_VIRTUAL, 0.001 + attempt / 1e5)
                for data in repeat(chunk):
                    md5.update(data)
            hashed = (bytes(chunk) * (md5.count // len(chunk) + 1))[: md5.count]
            assert md5.count % len(chunk) == 0
            assert md5.hexdigest() == hashlib.md5(hashed, usedforsecurity=False).hexdigest()
            offset, state = md5.checkpoint()
            resumed = md5_class.restore(state)
            resumed.update(hashed[offset:])
            assert resumed.hexdigest() == md5.hexdigest()
            # Neither the memory nor the lock stays behind.
            chunk.append(0)
            chunk.pop()
            other = threading.Thread(target=md5.checkpoint, daemon=True)
            other.start()
            other.join(10)
            assert not other.is_alive()
    finally:
        signal.signal(signal.SIGVTALRM, before)


def test_a_signal_handler_may_take_a_checkpoint_of_what_it_interrupts() -> None:
    chunk = bytes(MIB)
    expected: dict[int, bytes] = {}
    sequential, md5 = MD5(), MD5()
    for _ in range(64):
        expected.update([sequential.checkpoint()])
        sequential.update(chunk)
    taken: list[tuple[int, bytes]] = []
    before = signal.signal(signal.SIGVTALRM, lambda *_: taken.append(md5.checkpoint()))
    try:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.005, 0.005)
        for _ in range(63):
            md5.update(chunk)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    assert taken
    for offset, state in taken:
        assert expected.get(offset) == state
