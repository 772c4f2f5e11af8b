"""The limit of connections to one origin over several processes that share a table."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.stores.every_table import KINDS, records
from tests.support.stores.memory import MemoryRecords
from urlsum.deadline import Deadline
from urlsum.errors import OriginBusy
from urlsum.origin.guard.url import parse
from urlsum.origin.http11.leases import PlaceLeases
from urlsum.origin.http11.origin_limit import AddressFull, NoPlace, OriginLimit, Place
from urlsum.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from urlsum.origin.http11.origin_limit import Key
    from urlsum.tables import Record, Records

TARGET = parse("https://a.example/file")
NAME = "https://a.example:443"
ADDRESS = ip_address("192.88.98.1")
LIMIT = 8
SETTINGS = Settings()
# Of SETTINGS: the lease, the interval of looks, and the longest time for which a dead process keeps its places.
LEASE, LOOK, DEAD = 15.0, 1.0, 20.0


class Clock:
    """The time of all processes, in seconds since the epoch; those that are alive renew their leases as it passes."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0
        self.alive: list[Process] = []

    def __call__(self) -> float:
        return self.now

    def live(self, seconds: float = LOOK) -> None:
        """Let time pass."""
        until = self.now + seconds
        while self.now < until:
            self.now += min(LOOK, until - self.now)
            for process in self.alive:
                process.leases.tend()


class Process:
    """The limits of one process, whose background work runs when a test calls ``tend``. ``skew`` is its clock's."""

    def __init__(self, store: Records, clock: Clock, *, settings: Settings = SETTINGS, skew: float = 0.0) -> None:
        self.idle: list[Place] = []
        self.leases = PlaceLeases(
            store, settings, wall_clock=lambda: clock() + skew, clock=clock, in_background=lambda work: None
        )
        self.limit = OriginLimit(
            per_origin=LIMIT,
            per_address=LIMIT,
            drop_idle=self._drop,
            drop_stale=lambda: None,
            shares=self.leases,
            clock=clock,
        )
        self.clock = clock
        clock.alive.append(self)
        self.places: list[Place] = []

    def open(self, *, further: bool = False, host: str = "a.example") -> bool:
        """Open a connection if there is a place."""
        self.clock.live()  # beyond the pause after a refusal
        turn = None if further else self.limit.turn(Deadline.after(60), lambda: None)
        try:
            place = self.limit.reserve(parse(f"https://{host}/"), turn)
        except NoPlace:
            return False
        try:
            place.admit(ADDRESS)
        except AddressFull:
            place.release()
            return False
        self.places.append(place)
        return True

    def gets_a_turn(self) -> bool:
        """Whether a connection opens in a few looks, as many as a file waits for."""
        return any(self.open() for _ in range(4))

    def open_all(self, *, further: bool = False) -> int:
        """Open as many connections as there are places."""
        count = 0
        while count < 2 * LIMIT and self.open(further=further):
            count += 1
        return count

    def close(self, count: int = 1) -> None:
        for _ in range(count):
            self.places.pop().release()

    def rest(self, count: int = 1) -> None:
        """Leave connections idle in the pool."""
        for _ in range(count):
            place = self.places.pop()
            place.idle = True
            self.idle.append(place)

    def _drop(self, key: Key) -> bool:
        place = next((place for place in self.idle if key in place.keys), None)
        if place is None:
            return False
        self.idle.remove(place)
        place.release()
        return True


@pytest.fixture(params=KINDS)
def every_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Records]:
    with records(request.param, tmp_path) as made:
        yield made


# The rules are the same over each store, because test_records.py holds the stores to one contract. So three
# tests run over every store in each run, and the others in the long one.
@pytest.fixture(params=["memory", *(pytest.param(kind, marks=pytest.mark.long) for kind in KINDS if kind != "memory")])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Records]:
    with records(request.param, tmp_path) as made:
        yield made


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_all_processes_together_have_the_places_of_one(every_store: Records, clock: Clock) -> None:
    processes = [Process(every_store, clock) for _ in range(10)]
    opened = 0
    for _ in range(3):
        for process in processes:
            opened += process.open()
            assert opened <= LIMIT
    assert opened == LIMIT


def test_names_of_one_address_share_its_places_over_processes(store: Records, clock: Clock) -> None:
    processes = [Process(store, clock) for _ in range(4)]
    opened = [process.open(host=f"name{number}.example") for number in range(8) for process in processes]
    assert sum(opened) == LIMIT


def test_places_that_are_handed_back_are_free_at_once(store: Records, clock: Clock) -> None:
    one, other = Process(store, clock), Process(store, clock)
    assert one.open_all() == LIMIT
    assert not other.open()
    one.close(LIMIT)
    one.leases.hand_back()
    assert other.open_all() == LIMIT
    assert not one.limit.in_use()


def test_the_places_of_a_killed_process_lapse(every_store: Records, clock: Clock) -> None:
    killed, other = Process(every_store, clock), Process(every_store, clock)
    assert killed.open_all() == LIMIT
    clock.alive.remove(killed)
    started = clock.now
    while not other.open():
        assert clock.now < started + DEAD + 2 * LOOK
    assert clock.now > started + LEASE


def test_places_in_use_do_not_lapse(store: Records, clock: Clock) -> None:
    one, other = Process(store, clock), Process(store, clock)
    assert one.open_all() == LIMIT
    for _ in range(60):
        clock.live()
        assert not other.open()
        assert len(one.places) == LIMIT


@pytest.mark.parametrize("skew", [-4.0, 4.0])
def test_clocks_may_differ_by_seconds(store: Records, clock: Clock, skew: float) -> None:
    one, other = Process(store, clock), Process(store, clock, skew=skew)
    assert one.open_all() == LIMIT
    for _ in range(20):
        clock.live()
        assert not other.open()


def test_a_process_with_further_connections_shares_them_with_one_that_has_none(store: Records, clock: Clock) -> None:
    one, other = Process(store, clock), Process(store, clock)
    assert one.open()
    assert one.open_all(further=True) == LIMIT - 1
    assert not other.open()
    clock.live()
    assert one.places[-1].wanted
    one.close()  # as a further connection does at the end of its part
    assert other.gets_a_turn()
    assert len(one.places) + len(other.places) == LIMIT


def test_two_files_end_up_with_half_of_the_places_each(store: Records, clock: Clock) -> None:
    one, other = Process(store, clock), Process(store, clock)
    assert one.open()
    one.open_all(further=True)
    for _ in range(40):
        if not other.places:
            other.open()
        else:
            other.open(further=True)
        clock.live()
        for process in (one, other):
            if len(process.places) > 1 and process.places[-1].wanted:
                process.close()
            else:
                process.open(further=True)
            assert len(one.places) + len(other.places) <= LIMIT
    assert abs(len(one.places) - len(other.places)) <= 1
    assert len(one.places) + len(other.places) >= LIMIT - 1


def test_idle_connections_are_closed_for_another_process(store: Records, clock: Clock) -> None:
    one, other = Process(store, clock), Process(store, clock)
    one.open_all()
    one.rest(LIMIT)
    assert not other.open()
    assert other.gets_a_turn()
    assert len(one.idle) < LIMIT


def test_the_last_place_goes_round(store: Records, clock: Clock) -> None:
    processes = [Process(store, clock) for _ in range(LIMIT + 2)]
    served: set[int] = set()
    for _ in range(60):
        for number, process in enumerate(processes):
            # A small file after the other; the connection stays in the pool while nobody wants it.
            if process.places and not process.places[0].surplus:
                served.add(number)
            elif process.places:
                process.close()
            else:
                process.open()
            assert sum(len(each.places) for each in processes) <= LIMIT
        clock.live()
    assert len(served) == len(processes)


def test_requests_and_bytes_are_counted_over_processes(store: Records, clock: Clock) -> None:
    settings = Settings(origin_requests_per_minute=10, origin_bytes_per_day=1000)
    one, other = (Process(store, clock, settings=settings) for _ in range(2))
    clock.now = clock.now // 86_400 * 86_400 + 60
    assert one.open()
    assert other.open()
    one.places[0].requests = 10
    clock.live(LEASE)
    with pytest.raises(OriginBusy, match="10 requests to") as busy:
        other.limit.check(other.places[0])
    assert 0 < busy.value.wait <= 60
    clock.live(60)
    other.limit.check(other.places[0])
    one.places[0].received = 1000
    clock.live(LEASE)
    with pytest.raises(OriginBusy, match="1000 B from") as busy:
        other.limit.check(other.places[0])
    clock.live(120)
    assert clock.now + busy.value.wait > clock.now // 86_400 * 86_400 + 86_000
    with pytest.raises(OriginBusy):
        other.limit.check(other.places[0])


@pytest.mark.parametrize(
    "every_store", ["memory", "sqlite", "mysql"], indirect=True
)  # moto serves one thread at a time
def test_processes_in_a_race_never_have_more_places_than_there_are(every_store: Records, clock: Clock) -> None:
    processes = [Process(every_store, clock) for _ in range(3)]
    lock, now, most = threading.Lock(), [0], [0]

    def work(process: Process, seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(15):
            turn = process.limit.turn(Deadline.after(60), lambda: None)
            try:
                place = process.limit.reserve(TARGET, turn)
            except NoPlace:
                with lock:
                    clock.now += 0.1
                continue
            with lock:
                now[0] += 1
                most[0] = max(most[0], now[0])
                clock.now += rng.random() / 10
                now[0] -= 1
            place.release()
            process.leases.tend()

    threads = [threading.Thread(target=work, args=(process, n)) for n, process in enumerate(processes * 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 <= most[0] <= LIMIT


def test_a_table_that_is_away_costs_the_places_but_no_error() -> None:
    store, clock = MemoryRecords(), Clock()
    one = Process(store, clock)
    assert one.open()
    store.down = True
    assert not one.open()
    clock.live(LEASE + LOOK)
    assert one.places[0].surplus
    one.leases.hand_back()
    store.down = False
    clock.live()
    assert one.open()


class Counting(MemoryRecords):
    writes = reads = 0

    def read(self, key: str, *, consistent: bool = True) -> Record | None:
        self.reads += 1
        return super().read(key, consistent=consistent)

    def write(self, *args: Any, **kwargs: Any) -> Record:
        self.writes += 1
        return super().write(*args, **kwargs)


def test_ten_thousand_small_files_write_a_few_times_a_minute() -> None:
    store, clock = Counting(), Clock()
    one = Process(store, clock)
    for number in range(10_000):
        clock.now += 0.001
        place = one.limit.reserve(TARGET, one.limit.turn(Deadline.after(60), lambda: None))
        place.admit(ADDRESS)
        place.release()
        if number % 1500 == 0:
            one.leases.tend()
    assert store.writes <= 10
    assert store.reads <= 30


def test_a_process_that_has_every_place_asks_for_no_more(clock: Clock) -> None:
    store = Counting()
    one = Process(store, clock)
    assert one.open_all() == LIMIT
    turn = one.limit.turn(Deadline.after(60), lambda: None)
    reads = store.reads
    for _ in range(10):
        clock.now += LOOK
        with pytest.raises(NoPlace):
            one.limit.reserve(TARGET, turn)
    assert store.reads == reads


def test_a_process_that_rests_after_a_single_small_file_writes_no_more_and_its_place_lapses(clock: Clock) -> None:
    store = Counting()
    one, other = Process(store, clock), Process(store, clock)
    assert one.open()
    writes = store.writes
    one.places[0].requests, one.places[0].received = 2, 1024
    one.close()
    one.leases.hand_back()
    assert (store.writes, one.limit.in_use()) == (writes, [])
    assert other.open_all() == LIMIT  # the last after eight seconds


def test_what_was_left_unreported_is_counted_with_the_next_lease(clock: Clock) -> None:
    store = Counting()
    limited = Settings(origin_requests_per_minute=40)
    one, other = (Process(store, clock, settings=limited) for _ in range(2))
    for _ in range(3):
        assert one.open()
        one.places[0].requests = 18
        one.close()
        one.leases.hand_back()
    assert one.open()
    with pytest.raises(OriginBusy, match="40 requests"):
        one.limit.check(one.places[0])
    clock.live(LEASE)
    assert other.open()
    with pytest.raises(OriginBusy, match="40 requests"):
        other.limit.check(other.places[0])


class Requests(MemoryRecords):
    """Records that list the requests that they get."""

    def __init__(self) -> None:
        super().__init__()
        self.kinds: list[str] = []

    def read(self, key: str, *, consistent: bool = True) -> Record | None:
        self.kinds.append("read")
        return super().read(key, consistent=consistent)

    def write(self, *args: Any, **options: Any) -> Record:
        self.kinds.append("write")
        return super().write(*args, **options)


def all_of_one(store: Records, clock: Clock) -> Process:
    """A process that has had every place of a key, and used none."""
    process = Process(store, clock)
    assert process.open_all() == LIMIT
    process.close(LIMIT)
    return process


def test_a_process_that_was_alone_hands_its_places_back_without_a_read(clock: Clock) -> None:
    store = Requests()
    process = all_of_one(store, clock)
    store.kinds.clear()
    process.leases.hand_back()
    assert store.kinds == ["write"] * 2  # of the name and of the address
    assert Process(store, clock).open_all() == LIMIT


def test_a_ledger_that_another_process_has_written_since_is_read_before_places_are_handed_back(clock: Clock) -> None:
    store = Requests()
    first, second = all_of_one(store, clock), Process(store, clock)
    clock.alive.clear()  # the first does not see the second's line
    assert not second.open()
    store.kinds.clear()
    first.leases.hand_back()
    assert sorted(store.kinds) == ["read", "write", "write", "write"]  # one is refused, and decided again
    assert second.open_all() == LIMIT  # its line is still there


def test_a_process_beside_others_reads_the_ledger_before_it_hands_its_places_back(clock: Clock) -> None:
    store = Requests()
    first, second = Process(store, clock), Process(store, clock)
    assert (first.open(), second.open(), first.open(), first.open()) == (True,) * 4
    first.close(3)
    store.kinds.clear()
    first.leases.hand_back()
    assert store.kinds.count("read") == store.kinds.count("write") == 2


def test_files_that_begin_to_ask_while_the_ledger_is_read_have_their_places_by_the_same_write(clock: Clock) -> None:
    files = 5
    everybody = threading.Barrier(files)

    class Slow(Requests):
        def read(self, key: str, *, consistent: bool = True) -> Record | None:
            read = super().read(key, consistent=consistent)
            # The first one to read has the lock of the key: the others ask, and wait for it.
            deadline = time.monotonic() + 10
            while process.leases._leases[NAME].asking < files and time.monotonic() < deadline:
                time.sleep(0.001)
            return read

    store = Slow()
    process = Process(store, clock)

    def reserve(_number: int) -> Place:
        everybody.wait()
        return process.limit.reserve(TARGET, process.limit.turn(Deadline.after(60), lambda: None))

    with ThreadPoolExecutor(files) as pool:
        places = list(pool.map(reserve, range(files)))
    assert len({id(place) for place in places}) == files
    assert store.kinds == ["read", "write"]
