"""On AWS: how long a small file waits among slow ones, by the numbers of the template and the rules of the worker.

A simulation of two event source mappings, event by event. Lambda's part is its documented behaviour: a mapping takes up
to BatchSize messages that wait as soon as one of its workers is free, and an invocation lasts as long as its longest
record.
"""

from __future__ import annotations

import heapq
import itertools
import statistics
from collections import deque
from dataclasses import dataclass, field

from functions.hash_worker.app import BATCHED_SECONDS, LOOK_SECONDS
from tests.support.aws.deployment import deploy
from urlsum.settings import Settings
from urlsum.worker.turns import LONG_QUEUE_SHARE

DRIPS = 64
SECONDS = 1800
# Longer than what is usual for a warm function: the poll of SQS, the claim, a request to the origin, the commit.
INVOKE_SECONDS = 0.5
COLD_SECONDS = 3.0
# A small file comes while one is awaited: the user of the API who tries the service.
SMALL_EVERY_SECONDS = 5


@dataclass
class Mapping:
    """An event source mapping: its queue, how many workers it may have, and how many are busy."""

    concurrency: int
    batch: int
    queue: deque[str] = field(default_factory=deque)
    busy: int = 0
    warm: int = 0

    @classmethod
    def of(cls, queue: str) -> Mapping:
        [mapping] = [
            properties
            for properties in deploy().of_type("AWS::Lambda::EventSourceMapping").values()
            if properties["EventSourceArn"] == f"{queue}.Arn"
        ]
        return cls(mapping["ScalingConfig"]["MaximumConcurrency"], mapping["BatchSize"])


class Simulation:
    """``first_seconds`` is the turn of a first slice, and ``shared`` puts everything into one queue, as before."""

    def __init__(self, *, shared: bool = False) -> None:
        self.first = Mapping.of("TasksQueue")
        self.continued = self.first if shared else Mapping.of("ContinuationsQueue")
        self.shared = shared
        self.slice_seconds = float(deploy()["HashWorkerFunction"]["Environment"]["Variables"]["SLICE_SECONDS"])
        self.now = 0.0
        self.events: list[tuple[float, int, str, Mapping, list[str]]] = []
        self.order = itertools.count()
        self.sent: dict[str, float] = {}
        self.waits: list[float] = []
        self.since: dict[str, float] = {}
        self.gaps: list[float] = []

    def at(self, seconds: float, what: str, mapping: Mapping, tasks: list[str]) -> None:
        heapq.heappush(self.events, (seconds, next(self.order), what, mapping, tasks))

    def run(self) -> None:
        for number in range(DRIPS):
            self.at(number / 10, "send", self.first, [f"drip {number}"])
        for number in range(SECONDS // SMALL_EVERY_SECONDS):
            self.at(number * SMALL_EVERY_SECONDS, "send", self.first, [f"small {number}"])
        while self.events:
            self.now, _, what, mapping, tasks = heapq.heappop(self.events)
            if self.now > SECONDS:
                break
            if what == "send":
                mapping.queue.extend(tasks)
                for task in tasks:
                    self.sent.setdefault(task, self.now)
            elif what == "free":
                mapping.busy -= 1
            self._invoke(mapping)
        self.gaps += [SECONDS - since for since in self.since.values()]

    def _invoke(self, mapping: Mapping) -> None:
        while mapping.queue and mapping.busy < mapping.concurrency:
            batch = [mapping.queue.popleft() for _ in range(min(len(mapping.queue), mapping.batch))]
            mapping.busy += 1
            started = self.now + (INVOKE_SECONDS if mapping.busy <= mapping.warm else COLD_SECONDS)
            mapping.warm = max(mapping.warm, mapping.busy)
            ends = [started]
            for index, task in enumerate(batch):
                if task.startswith("small"):
                    self.waits.append(started - self.sent[task])
                    continue
                self.gaps.append(started - self.since.get(task, self.sent[task]))
                self.since[task] = started
                ends.append(started + self._turn(mapping, first_record=index == 0))
                self.at(ends[-1], "send", self.continued, [task])
            self.at(max(ends), "free", mapping, [])

    def _turn(self, mapping: Mapping, *, first_record: bool) -> float:
        """How long a slice of a drip lasts; others wait all the time."""
        if self.shared:
            return self.slice_seconds if first_record else BATCHED_SECONDS
        if mapping is self.first:
            return Settings().hand_over_seconds
        return BATCHED_SECONDS * LONG_QUEUE_SHARE + LOOK_SECONDS


def p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20)[-1]


def test_a_small_file_waits_seconds_and_every_drip_has_a_slice_every_five_minutes() -> None:
    simulation = Simulation()
    simulation.run()
    assert len(simulation.waits) >= SECONDS / SMALL_EVERY_SECONDS - 2  # the others are under way at the end
    assert p95(simulation.waits) <= 3
    assert max(simulation.waits) <= 30  # while all drips begin at once
    assert max(simulation.gaps) <= 300


def test_with_one_queue_for_both_a_small_file_waits_for_minutes() -> None:
    simulation = Simulation(shared=True)
    simulation.run()
    assert p95(simulation.waits) > 60
