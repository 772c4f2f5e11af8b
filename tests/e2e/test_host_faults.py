"""Faults of a host that runs compose.yaml: each ends with right digests, one email a task, and a log that says why.

Each of these tests takes minutes; `make test-containers` has the short ones, in test_compose.py and test_image.py.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.origin import range_server
from tests.support.processes.compose_project import UP_SECONDS, Stack, project
from tests.support.processes.containers import docker, eventually, inspect, logs

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger(__name__)

pytestmark = [pytest.mark.docker, pytest.mark.long, pytest.mark.timeout(900)]

MIB = 2**20
# LEASE_SECONDS and SWEEP_SECONDS of the project, see DOTENV.
LEASE, SWEEP = 8, 2
# For a machine that does other things, too.
DONE_SECONDS = 180


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with project(tmp_path_factory.mktemp("faults")) as made:
        yield made


@pytest.fixture(autouse=True)
def _observed(stack: Stack) -> Iterator[None]:
    """Log what an operator would see: how much was logged meanwhile, and the health of every container."""
    since = time.time()
    yield
    listed = docker("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={stack.project}")
    for container in listed.split():
        found = inspect(container)
        health = found["State"].get("Health", {}).get("Status", "-")
        log.info("%s: %s, %d bytes logged", found["Name"], health, len(logs(container, since=since)))


def submit(stack: Stack, size: int, rate: int, name: str) -> str:
    return stack.submit(f"http://origin:8080/{size}/{rate}/{name}", f"{name}@example.org")


def all_done(stack: Stack, tasks: dict[str, int]) -> float:
    """Wait for the tasks; check their digests, and that each recipient has one email; return the seconds waited."""
    took = eventually(
        lambda: all(stack.status(task_id) == "done" for task_id in tasks),
        DONE_SECONDS,
        what=f"all are done: {[stack.check(task_id) for task_id in tasks]}",
    )
    assert {task_id: stack.check(task_id)["md5"] for task_id in tasks} == {
        task_id: range_server.md5(size) for task_id, size in tasks.items()
    }
    return took


def emails(stack: Stack, name: str) -> int:
    return sum(mail["recipients"]["to"] == [f"{name}@example.org"] for mail in stack.mails())


def test_a_second_project_on_the_host_comes_and_goes_without_a_trace_in_the_first(
    stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> None:
    before = {container: inspect(container)["State"]["StartedAt"] for container in stack.compose("ps", "-q").split()}
    under_way = submit(stack, 40 * MIB, 2 * MIB, "first")
    with project(tmp_path_factory.mktemp("second")) as second:
        there = submit(second, MIB, 0, "second")
        all_done(second, {there: MIB})
        assert stack.curl(f"curl http://localhost:8000/check?id={there}")["status"] == 404
    after = {container: inspect(container)["State"]["StartedAt"] for container in stack.compose("ps", "-q").split()}
    assert after == before
    all_done(stack, {under_way: 40 * MIB})
    eventually(lambda: emails(stack, "first") == 1, 30, what="one email")
    assert emails(stack, "second") == 0


def test_a_worker_that_is_paused_for_longer_than_a_lease_loses_its_task_and_writes_nothing(stack: Stack) -> None:
    size = 60 * MIB
    task_id = submit(stack, size, 2 * MIB, "paused")
    eventually(lambda: stack.hashed(task_id) > 2 * MIB, 60, what="the task is under way")
    worker, starts = stack.busy_worker(), len(stack.starts())
    docker("pause", worker)
    try:
        took = eventually(lambda: len(stack.starts()) > starts, DONE_SECONDS, what="another worker resumes it")
        log.info("resumed %.1f s after the pause, with a lease of %d s", took, LEASE)
        at = stack.hashed(task_id)
    finally:
        docker("unpause", worker)
    eventually(lambda: stack.hashed(task_id) > at or stack.status(task_id) == "done", 60, what="it advances")
    all_done(stack, {task_id: size})
    eventually(lambda: emails(stack, "paused") == 1, 30, what="one email")
    time.sleep(2 * LEASE)  # the paused worker might send a second one
    assert emails(stack, "paused") == 1
    eventually(lambda: inspect(worker)["State"]["Health"]["Status"] == "healthy", 60, what="healthy again")


def test_a_worker_without_memory_is_named_and_another_does_its_work(stack: Stack) -> None:
    small, *others = stack.containers("worker")
    assert others
    # Below the floor, which it has passed at its start.
    docker("update", "--memory", "48m", "--memory-swap", "48m", small)
    since = time.time()
    try:
        tasks = {submit(stack, (8 + number) * MIB, 0, f"small{number}"): (8 + number) * MIB for number in range(6)}
        all_done(stack, tasks)
        for number in range(6):
            eventually(lambda n=number: emails(stack, f"small{n}") == 1, 30, what="one email")  # type: ignore[misc]
        lines = [line for line in logs(small, since=since).splitlines() if "48 MiB" in line]
        log.info("%s", lines)
        # One for each process that was killed; if the worker itself was, it does not start again below the floor.
        assert any("killed for memory: the limit of 48 MiB" in line or "may use 48 MiB" in line for line in lines)
    finally:
        docker("update", "--memory", "512m", "--memory-swap", "512m", small)


def test_tasks_survive_a_redis_that_loses_its_data_in_an_outage(stack: Stack) -> None:
    running = submit(stack, 40 * MIB, 2 * MIB, "running")
    eventually(lambda: stack.hashed(running) > 2 * MIB, 60, what="the task is under way")
    waiting = {submit(stack, MIB + number, 0, f"lost{number}"): MIB + number for number in range(5)}
    stack.compose("rm", "--force", "--stop", "--volumes", "redis")
    docker("volume", "rm", f"{stack.project}_redis")
    refused = stack.curl("curl -d url=http://origin:8080/1/0/refused http://localhost:8000/submit")
    assert refused["status"] == 503
    time.sleep(3 * LEASE)  # so that the sweep meets the outage
    stack.compose("up", "--detach", "--wait", "redis", within=UP_SECONDS)
    took = all_done(stack, {**waiting, running: 40 * MIB})
    log.info("all were done %.1f s after Redis had come back empty", took)
    for name in ("running", *(f"lost{number}" for number in range(5))):
        eventually(lambda n=name: emails(stack, n) == 1, 60, what=f"one email to {name}")  # type: ignore[misc]
    accepted = stack.curl("curl -d url=http://origin:8080/1/0/after http://localhost:8000/submit")
    all_done(stack, {accepted["id"]: 1})
