"""Messages three times and in any order, a tenth of all sends and writes failing, workers that die and sleep."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from tests.support.processes.chaos import ChaosRun, DroppingQueue
from tests.support.stores.every_table import KINDS, store

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.crash

TASKS = 8
SHARE = 0.1
VIOLENCE = 0.1
# Days in the short form; memory takes milliseconds for one, the others seconds.
FEW = {"memory": 5, "sqlite": 1, "mysql": 1, "dynamodb": 1}
MANY = {"memory": 200, "sqlite": 10, "mysql": 10, "dynamodb": 3}


def bad_day(kind: str, directory: Path, seed: int, violence: float) -> None:
    with store(kind, directory) as table:
        chaos = ChaosRun(table, random.Random(seed), share=SHARE, copies=3, violence=violence)
        chaos.submit(TASKS)
        chaos.run()
        chaos.assert_right()


@pytest.mark.parametrize("kind", KINDS)
def test_every_task_ends_once_with_the_right_result(kind: str, tmp_path: Path) -> None:
    for seed in range(FEW[kind]):
        bad_day(kind, tmp_path / str(seed), seed, VIOLENCE)


def test_nobody_dies_and_still_much_fails(tmp_path: Path) -> None:
    for seed in range(2):
        bad_day("memory", tmp_path, seed, violence=0.0)


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kind", KINDS)
def test_every_task_of_many_days_ends_once_with_the_right_result(kind: str, tmp_path: Path) -> None:
    for seed in range(1000, 1000 + MANY[kind]):
        bad_day(kind, tmp_path / str(seed), seed, VIOLENCE)


@pytest.mark.parametrize("kind", KINDS)
def test_the_sweeper_alone_finishes_all_when_every_message_is_dropped(kind: str, tmp_path: Path) -> None:
    with store(kind, tmp_path) as table:
        rng = random.Random(7)
        chaos = ChaosRun(table, rng, violence=VIOLENCE)
        # What submit and the workers send is gone; only what the sweeper sends arrives.
        chaos.sweeper_queue, chaos.queue = chaos.queue, DroppingQueue(rng, 0.0, 1, chaos.queue.messages)
        chaos.submit(TASKS)
        chaos.run()
        chaos.assert_right()
