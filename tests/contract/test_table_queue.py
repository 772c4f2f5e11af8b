"""What follows from a queue that is the table itself."""

from __future__ import annotations

import threading
import time
from collections import Counter

import pytest

from tests.support.stores.memory import MemoryTaskTable
from tests.support.stores.tables import new_task
from urlsum.errors import QueueUnavailable
from urlsum.queues import decode
from urlsum.queues.table import TableQueue

# Ids of no table need not exist.
ID = "0e4fac17-f367-4807-8c28-8a059a2f82ac"


class CountingTable(MemoryTaskTable):
    """Counts the looks, and runs ``after_look`` when one is done."""

    looks = 0

    def after_look(self) -> None:
        pass

    def due(self, before: float, limit: int, *, continued: bool | None = None) -> list[str]:
        found = super().due(before, limit, continued=continued)
        if continued:
            return found  # each look for a first slice is followed by one of these
        self.looks += 1
        self.after_look()
        return found


def test_finds_what_another_process_sent_within_its_poll_interval() -> None:
    table = MemoryTaskTable()
    queue = TableQueue(table, poll_seconds=0.05)
    threading.Timer(0.2, table.add, [new_task(due_at=1.0)]).start()  # and no send(): that was in another process
    begin = time.monotonic()
    assert len(queue.receive(1, wait=20)) == 1
    assert time.monotonic() - begin < 5


def test_looks_at_the_table_no_more_often_than_the_poll_interval() -> None:
    table = CountingTable()
    TableQueue(table, poll_seconds=0.1).receive(1, wait=0.55)
    assert table.looks <= 7


def test_a_send_wakes_a_receiver_that_would_poll_much_later() -> None:
    table = MemoryTaskTable()
    queue = TableQueue(table, poll_seconds=60)

    def submit() -> None:
        table.add(new_task(due_at=1.0))
        queue.send(ID)

    timer = threading.Timer(0.2, submit)
    timer.start()
    begin = time.monotonic()
    assert len(queue.receive(1, wait=30)) == 1
    assert time.monotonic() - begin < 5
    timer.join()


def test_a_send_between_the_look_and_the_wait_is_not_missed() -> None:
    table = CountingTable()
    queue = TableQueue(table, poll_seconds=60)

    def submit_once() -> None:
        if table.looks == 1:
            table.add(new_task(due_at=1.0))
            queue.send(ID)

    table.after_look = submit_once  # type: ignore[method-assign] # the hook of this fake
    begin = time.monotonic()
    assert len(queue.receive(1, wait=30)) == 1
    assert time.monotonic() - begin < 5


def test_a_delayed_send_wakes_nobody() -> None:
    table = CountingTable()
    queue = TableQueue(table, poll_seconds=60)
    timer = threading.Timer(0.1, queue.send, [ID], {"delay": 5})
    timer.start()
    queue.receive(1, wait=0.4)
    timer.join()
    assert table.looks == 2  # at the beginning and at the end


def test_follows_the_wall_clock_it_was_given() -> None:
    table = MemoryTaskTable()
    table.add(new_task(due_at=1000.0))
    now = 999.9
    queue = TableQueue(table, clock=lambda: now)
    assert queue.receive(1, wait=0) == []
    now = 1000.0
    assert len(queue.receive(1, wait=0)) == 1


def test_a_task_that_always_fails_neither_spins_nor_starves_the_others() -> None:
    table = MemoryTaskTable()
    table.add(new_task(id="poison", due_at=1.0))
    queue = TableQueue(table)
    [poison] = queue.receive(1, wait=0)
    table.add(new_task(id="good", due_at=2.0))
    assert [delivery.message_id for delivery in queue.receive(1, wait=0)] == ["good"]
    assert queue.receive(1, wait=0) == []
    assert poison.message_id == "poison"


def test_delivers_at_once_a_task_that_was_deleted_and_is_due_again() -> None:
    table = MemoryTaskTable()
    table.add(new_task(due_at=1.0))
    queue = TableQueue(table)
    [delivery] = queue.receive(1, wait=0)
    queue.delete(delivery)
    assert len(queue.receive(1, wait=0)) == 1


def test_delivers_at_once_the_next_slice_that_a_worker_sends_before_it_deletes() -> None:
    table = MemoryTaskTable()
    table.add(new_task(due_at=1.0))
    queue = TableQueue(table)
    [delivery] = queue.receive(1, wait=0)
    queue.send(decode(delivery.body))
    assert len(queue.receive(1, wait=0)) == 1


def test_shares_the_work_out_among_the_threads_of_a_process() -> None:
    table = MemoryTaskTable()
    queue = TableQueue(table)
    for _ in range(200):
        table.add(new_task(due_at=1.0))
    got: Counter[str] = Counter()
    lock = threading.Lock()

    def work() -> None:
        while batch := queue.receive(3, wait=0):
            with lock:
                got.update(delivery.message_id for delivery in batch)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == Counter(list(table.tasks))


def test_is_unavailable_when_its_table_is() -> None:
    table = MemoryTaskTable()
    table.down = True
    with pytest.raises(QueueUnavailable, match="the table does not answer"):
        TableQueue(table).receive(1, wait=5)


def test_can_be_sent_to_while_a_receiver_hangs_in_the_table() -> None:
    table = CountingTable()
    hanging, go_on = threading.Event(), threading.Event()

    def hang() -> None:
        hanging.set()
        go_on.wait(20)

    table.after_look = hang  # type: ignore[method-assign] # the hook of this fake
    queue = TableQueue(table)
    receiver = threading.Thread(target=queue.receive, args=(1,), kwargs={"wait": 0})
    receiver.start()
    assert hanging.wait(20)
    begin = time.monotonic()
    queue.send(ID)
    assert time.monotonic() - begin < 5
    go_on.set()
    receiver.join()


def test_one_look_serves_several_receivers_in_order() -> None:
    table = CountingTable()
    for number in range(5):
        table.add(new_task(id=f"task {number}", due_at=1.0 + number))
    queue = TableQueue(table)
    received = [queue.receive(1, wait=0)[0].message_id for _ in range(5)]
    assert received == [f"task {number}" for number in range(5)]
    assert table.looks == 1


def test_what_a_look_found_is_forgotten_after_the_poll_interval() -> None:
    table = CountingTable()
    gone, waiting = new_task(due_at=2.0), new_task(due_at=3.0)
    for task in (new_task(due_at=1.0), gone, waiting):
        table.add(task)
    now = 100.0
    queue = TableQueue(table, monotonic=lambda: now, poll_seconds=0.5)
    queue.receive(1, wait=0)
    table.remove(gone)  # by another process
    now += 0.5
    assert [delivery.message_id for delivery in queue.receive(1, wait=0)] == [waiting.id]
    assert table.looks == 2


def test_processes_of_one_machine_divide_the_rows_and_claim_none_twice() -> None:
    table = MemoryTaskTable()
    for number in range(200):
        table.add(new_task(due_at=1.0 + number))
    queues = [TableQueue(table, processes=3, number=number) for number in range(3)]
    taken: Counter[str] = Counter()
    for _ in range(40):  # side by side; nothing is claimed meanwhile
        for queue in queues:
            taken.update(decode(delivery.body) for delivery in queue.receive(1, wait=0))
    assert len(taken) == 120
    assert set(taken.values()) == {1}


def test_a_process_without_rows_of_its_own_takes_the_youngest_of_the_others() -> None:
    table = MemoryTaskTable()
    one, other = (TableQueue(table, processes=2, number=number) for number in range(2))
    tasks = [task for number in range(40) if one._is_own((task := new_task(due_at=1.0 + number)).id)]
    for task in tasks:
        table.add(task)
    assert decode(one.receive(1, wait=0)[0].body) == tasks[0].id
    assert decode(other.receive(1, wait=0)[0].body) == tasks[-1].id
    assert decode(other.receive(1, wait=0)[0].body) == tasks[-2].id
