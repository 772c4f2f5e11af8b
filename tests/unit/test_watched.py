"""Each port under watch passes on what it is asked, and what it answers; and its outage learns how each call ended."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from urlsum.errors import QueueUnavailable
from urlsum.health.meeting import Attendance
from urlsum.health.watched import WatchedAttendance, WatchedQueue, WatchedRecords, WatchedTable
from urlsum.outage import Calls, Outage
from urlsum.queues import TaskQueue
from urlsum.tables import Records, TaskTable

if TYPE_CHECKING:
    from collections.abc import Callable

READS = {"get", "due", "overdue", "unfinished", "read", "receive", "count_waiting", "held"}
READS |= {"announced", "unattended", "evicts"}
PORTS = ((WatchedTable, TaskTable), (WatchedRecords, Records), (WatchedQueue, TaskQueue))
METHODS = [
    pytest.param(watched, port, name, id=f"{port.__name__}.{name}")
    for watched, port in (*PORTS, (WatchedAttendance, Attendance))
    for name, _ in inspect.getmembers(port, inspect.isfunction)
    if not name.startswith("_")
]
ANSWER = [object()]


class Inner:
    """A port that keeps the arguments of its last call, by name, and gives ANSWER or raises ``error``."""

    def __init__(self, port: type) -> None:
        self.port = port
        self.error: Exception | None = None
        self.given: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Callable[..., object]:
        signature = inspect.signature(getattr(self.port, name))

        def method(*args: object, **kwargs: object) -> object:
            self.given = dict(signature.bind(self, *args, **kwargs).arguments)
            if self.error is not None:
                raise self.error
            return ANSWER

        return method


@pytest.mark.parametrize(("watched", "port", "name"), METHODS)
def test_a_call_passes_with_all_it_was_given_and_is_recorded(watched: Any, port: type, name: str) -> None:
    inner, outage = Inner(port), Outage("the store")
    signature = inspect.signature(getattr(port, name))
    given = {each: object() for each in signature.parameters if each != "self"}
    by_name = {each for each, parameter in signature.parameters.items() if parameter.kind is parameter.KEYWORD_ONLY}

    def call() -> object:
        args = [value for each, value in given.items() if each not in by_name]
        result = getattr(watched(inner, outage), name)(*args, **{each: given[each] for each in by_name})
        return list(result) if isinstance(result, Iterator) else result

    kind = Calls.READ if name in READS else Calls.WRITE
    inner.error = QueueUnavailable("no answer")
    with pytest.raises(QueueUnavailable):
        call()
    assert outage.failing == kind
    inner.error = None
    assert call() == (None if signature.return_annotation == "None" else ANSWER)
    assert inner.given == {"self": inner, **given}
    assert not outage.failing
