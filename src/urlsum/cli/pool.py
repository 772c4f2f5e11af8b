"""Runs the files of a list in threads, several at once, and returns their results in order."""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter, deque
from typing import TYPE_CHECKING, Generic, TypeVar

from urlsum.cli.interrupt import POLL_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Sequence

    from urlsum.cli.interrupt import Stop

Item = TypeVar("Item")
Result = TypeVar("Result")

# Time for a pending read to return after Ctrl-C. An origin that sends data needs milliseconds. A silent origin is not
# waited for, because a person is waiting.
GRACE_SECONDS = 1.0
# Then its connection is aborted, and the thread writes its checkpoint.
ABORT_SECONDS = 1.0


class Schedule:
    """The order of the items: each as soon as its lane has a place, the first ones first. Thread-safe.

    A lane is an origin. A file more than it has connections would only wait, and keep a thread from another origin.
    """

    def __init__(self, lanes: Sequence[Hashable], places: int) -> None:
        self._lanes = lanes
        self._places = places
        self._waiting: dict[Hashable, deque[int]] = {}
        for index, lane in enumerate(lanes):
            self._waiting.setdefault(lane, deque()).append(index)
        self._active: Counter[Hashable] = Counter()
        self._changed = threading.Condition()
        self._ended = False

    def take(self, *, is_cancelled: Callable[[], bool]) -> int | None:
        """The index of the next item, after a wait for a place; None if there is no other."""
        with self._changed:
            while not self._ended and not is_cancelled() and self._waiting:
                index = self.begin(self._active, self._places)
                if index is not None:
                    return index
                self._changed.wait(POLL_SECONDS)
            return None

    def done(self, index: int) -> None:
        """The item is done: its place is free."""
        with self._changed:
            self.ended(index, self._active)
            self._changed.notify_all()

    def end(self) -> None:
        """Let no other item begin."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    @property
    def waiting(self) -> bool:
        """Whether an item has not begun."""
        return bool(self._waiting)

    def begin(self, active: Counter[Hashable], places: int) -> int | None:
        """The index of the next item whose lane has one of ``places`` left beside ``active``, where it is counted.

        None if there is none now. Not thread-safe, as ``ended`` and ``again``: for a scheduler in one thread.
        """
        free = [lane for lane in self._waiting if active[lane] < places]
        if not free:
            return None
        lane = min(free, key=lambda each: self._waiting[each][0])
        waiting = self._waiting[lane]
        index = waiting.popleft()
        if not waiting:
            del self._waiting[lane]
        active[lane] += 1
        return index

    def ended(self, index: int, active: Counter[Hashable]) -> None:
        """The item, counted in ``active``, is done."""
        active[self._lanes[index]] -= 1

    def again(self, index: int) -> None:
        """Let the item begin once more, before the others."""
        self._waiting.setdefault(self._lanes[index], deque()).appendleft(index)


class Pool(Generic[Item, Result]):
    """Runs ``work`` on each of ``items``, ``at_once`` of them in threads of their own, as ``schedule`` allows.

    The thread of the caller stays free for signals, which Python handles there only. ``abort`` interrupts reads that
    wait; ``halt`` is called when no result is wanted any more.
    """

    def __init__(
        self,
        work: Callable[[Item], Result],
        items: Sequence[Item],
        schedule: Schedule,
        *,
        at_once: int,
        stop: Stop,
        halt: Callable[[], None],
        abort: Callable[[], None],
    ) -> None:
        self._work = work
        self._items = items
        self._schedule = schedule
        self._stop = stop
        self._halt = halt
        self._abort = abort
        self._results: queue.SimpleQueue[tuple[int, Result | None, BaseException | None]] = queue.SimpleQueue()
        # Daemons: a thread that waits for a silent host must not keep the process.
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(min(at_once, len(items)))]

    def results(self) -> Iterator[Result]:
        """The result of each item, in order. Raises what ``work`` raises, and Interrupted."""
        ready: dict[int, Result] = {}
        with self._stop.gracefully():
            for thread in self._threads:
                thread.start()
            try:
                for index in range(len(self._items)):
                    while index not in ready:
                        self._collect(ready)
                    yield ready.pop(index)
            except BaseException:  # also when the caller wants no further result
                self._end()
                raise

    def _collect(self, ready: dict[int, Result]) -> None:
        try:
            index, result, error = self._results.get(timeout=POLL_SECONDS)
        except queue.Empty:
            self._stop.check()
            return
        self._stop.check()
        if error is not None:
            raise error
        ready[index] = result  # type: ignore[assignment] # there is a result or an error

    def _end(self) -> None:
        """End all threads, as far as they do not wait for a host that is silent."""
        self._schedule.end()
        self._halt()
        for seconds, interrupt in ((GRACE_SECONDS, self._abort), (ABORT_SECONDS, lambda: None)):
            until = time.monotonic() + seconds
            for thread in self._threads:
                thread.join(max(until - time.monotonic(), 0.0))
            if not any(thread.is_alive() for thread in self._threads):
                return
            interrupt()

    def _run(self) -> None:
        while (index := self._schedule.take(is_cancelled=self._stop.requested)) is not None:
            try:
                self._results.put((index, self._work(self._items[index]), None))
            except BaseException as exc:  # noqa: BLE001 - raised in the caller's thread
                self._results.put((index, None, exc))
                return
            finally:
                self._schedule.done(index)
