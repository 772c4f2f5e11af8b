"""Parts out of order into few buffers, and out of them in order; one thread plays all roles."""

from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING

import pytest

from urlsum.errors import Incomplete
from urlsum.origin.parallel.buffers import BLOCKS_PER_CONNECTION, RESERVE_BLOCKS, Budget, Buffers
from urlsum.origin.parallel.reassembly import MAX_TRIES, ReassemblyBuffer
from urlsum.origin.tuning import Tuning
from urlsum.origin.version.version import Overlap

if TYPE_CHECKING:
    from urlsum.origin.parallel.reassembly import Part

TUNING = Tuning()
BLOCK_BYTES, PART_BYTES = TUNING.block_bytes, TUNING.part_bytes
SIZE = 10 * PART_BYTES + 12_345
THREADS = ["a", "b", "c", "d"]


def reassembly(size: int | None = SIZE, *, first: int = 0, blocks: int = 64, connections: int = 8) -> ReassemblyBuffer:
    buffer = ReassemblyBuffer(first, size, Buffers(Budget(blocks), BLOCK_BYTES), TUNING)
    buffer.resize(connections, None)
    return buffer


def fetch(of: ReassemblyBuffer, part: Part, most: int = 2**62) -> int:
    """Receive up to ``most`` bytes of ``part``, by position; return how many fit into the buffer."""
    received = 0
    while received < most:
        block = part.blocks[-1] if part.blocks and part.granted > part.position else None
        if block is None:
            with of.changed:  # what ReassemblyBuffer.block does, without waiting
                block = of._grant_block(part)
        if block is None:
            break
        count = min(len(block.view) - block.filled, most - received)
        block.view[block.filled : block.filled + count] = pattern(part.position, count)
        block.filled += count
        of.add_received(part, count)
        received += count
    return received


def pattern(start: int, count: int) -> bytes:
    repeated = bytes(range(251)) * (count // 251 + 2)
    return repeated[start % 251 : start % 251 + count]


def drain(of: ReassemblyBuffer, at: int) -> int:
    """Read all that is there, from position ``at`` on; return where it ended."""
    while view := of.read(partial=True, timeout=0):
        assert view == pattern(at, len(view))
        at += len(view)
    return at


def test_one_range_thread_and_one_reader_take_turns() -> None:
    of = reassembly(connections=1)
    part = of.begin("a")
    at = 0
    while at < SIZE:
        assert fetch(of, part) > 0
        at = drain(of, at)
    assert of.read(partial=False, timeout=0) == memoryview(b"")
    assert of._buffers._allocated <= BLOCKS_PER_CONNECTION


def test_a_full_block_is_read_at_once_and_others_when_they_are_asked_for() -> None:
    of = reassembly(connections=1)
    part = of.begin("a")
    fetch(of, part, BLOCK_BYTES - 1)
    assert of.read(partial=False, timeout=0) is None
    assert bytes(of.read(partial=True, timeout=0) or b"") == pattern(0, BLOCK_BYTES - 1)
    assert of.read(partial=True, timeout=0) is None
    fetch(of, part, 1)
    assert bytes(of.read(partial=False, timeout=0) or b"") == pattern(BLOCK_BYTES - 1, 1)
    fetch(of, part, BLOCK_BYTES)
    assert bytes(of.read(partial=False, timeout=0) or b"") == pattern(BLOCK_BYTES, BLOCK_BYTES)


def test_a_block_is_progress_enough_to_forgive_earlier_tries() -> None:
    of = reassembly()
    part: Part | None = of.begin("a")
    for _ in range(3 * MAX_TRIES):
        assert part is not None
        begin = part.position
        fetch(of, part, BLOCK_BYTES)
        drain(of, begin)
        of.give_up(part, Incomplete("cut"), final=False)
        part = of.claim("a", to_end=True)
    assert part is not None
    assert part.error is None


def test_a_second_range_thread_is_wanted_for_what_can_be_shared_or_was_given_up() -> None:
    of = reassembly(64 * PART_BYTES)
    first = of.begin("a")
    assert [of.has_work(target) for target in (1, 2, 8)] == [False, True, True]
    of.give_up(first, Incomplete("cut"), final=False)
    assert [of.has_work(target) for target in (1, 2)] == [True, True]
    short = reassembly(2 * PART_BYTES)
    short.begin("a")
    assert [short.has_work(target) for target in (1, 2, 8)] == [False, False, False]


def test_a_file_of_unknown_size_ends_where_its_response_does() -> None:
    of = reassembly(None)
    part = of.begin("a")
    fetch(of, part, 1000)
    assert of.read(partial=False, timeout=0) is None
    assert drain(of, 0) == 1000
    of.end(part)
    assert of.size is None
    assert of.read(partial=False, timeout=0) == memoryview(b"")
    assert of.size == 1000


def test_nobody_shares_what_has_no_known_size() -> None:
    of = reassembly(None)
    of.begin("a")
    assert not of.has_work(8)
    assert of.claim("b", to_end=False) is None


def test_who_comes_later_gets_a_part_of_what_lies_ahead() -> None:
    of = reassembly(64 * PART_BYTES)
    first = of.begin("a")
    fetch(of, first, 3_000_000)
    second = of.claim("b", to_end=False)
    assert second is not None
    assert first.end == second.first == first.granted + PART_BYTES
    assert second.end == second.first + PART_BYTES
    third = of.claim("c", to_end=False)
    assert third is not None
    assert (third.first, third.end) == (second.end, second.end + PART_BYTES)


def test_who_is_alone_gets_all_that_is_left() -> None:
    of = reassembly()
    first = of.begin("a")
    assert of.claim("b", to_end=False) is not None
    of.give_up(first, Incomplete("cut"), final=False)
    again = of.claim("a", to_end=True)
    assert again is first
    rest = of.claim("a", to_end=True)
    assert rest is not None
    assert rest.end == SIZE


def test_the_end_of_a_file_is_not_worth_sharing() -> None:
    of = reassembly(2 * PART_BYTES)
    of.begin("a")
    assert not of.has_work(8)
    assert of.claim("b", to_end=False) is None


def test_parts_get_smaller_towards_the_end_so_that_all_connections_end_together() -> None:
    of = reassembly(connections=4)
    of.begin("a")
    sizes = []
    while part := of.claim("b", to_end=False):
        assert part.end is not None
        sizes.append(part.end - part.first)
    assert sizes[0] == PART_BYTES
    assert sizes[:-1] == sorted(sizes[:-1], reverse=True)
    assert sum(sizes) == SIZE - PART_BYTES
    assert sizes[-1] <= 3 * BLOCK_BYTES


STEP = BLOCK_BYTES // 64


def ends_of(of: ReassemblyBuffer, late: list[int]) -> list[int]:
    """When each of several connections ends that receive STEP at a time, and begin by as many steps ``late``."""
    held = {number: of.claim(number, to_end=False) if number else of.begin(0) for number in range(len(late))}
    ended: list[int] = []
    for now in itertools.count():
        for number in [number for number in held if now >= late[number]]:
            part = held[number]
            if part is None:
                ended.append(now)
                del held[number]
                continue
            of.prove(part)
            receive_step(of, part)
            if part.complete:
                held[number] = of.claim(number, to_end=False)
        while of.read(partial=True, timeout=0):
            pass
        if not held:
            break
    return ended


def receive_step(of: ReassemblyBuffer, part: Part) -> None:
    """As a range thread does, which counts a block only once it is full."""
    with of.changed:
        block = part.blocks[-1] if part.granted > part.position else of._grant_block(part)
    if block is not None:
        block.filled = min(block.filled + STEP, len(block.view))
        if block.filled == len(block.view):
            of.add_received(part, len(block.view))


@pytest.mark.parametrize("connections", [2, 3, 8])
def test_connections_of_one_rate_end_together(connections: int) -> None:
    """On average within the time of a least part, wherever they are when the last parts are claimed."""
    chance = random.Random(connections)
    spreads = []
    for size in range(SIZE, SIZE + 4 * BLOCK_BYTES, BLOCK_BYTES // 3):
        of = reassembly(size, blocks=10_000, connections=connections)
        of._buffers.max_blocks = 10_000
        ends = ends_of(of, [chance.randrange(64) for _ in range(connections)])
        assert len(ends) == connections
        spreads.append((max(ends) - min(ends)) * STEP / BLOCK_BYTES)
    assert max(spreads) <= 0.6
    assert sum(spreads) / len(spreads) <= 0.3


def test_the_last_part_is_at_most_a_quarter_longer_than_the_others() -> None:
    """While it is read, all other connections have ended."""
    lengths = set()
    for size in range(SIZE, SIZE + 4 * BLOCK_BYTES, BLOCK_BYTES // 4):
        of = reassembly(size)
        of.begin(0)
        claimed = []
        for thread in range(1, 1000):
            part = of.claim(thread, to_end=False)
            if part is None:
                break
            of.prove(part)
            claimed.append(part)
        *_, last = claimed
        assert last.end == size
        lengths.add(last.end - last.first)
    assert max(lengths) <= BLOCK_BYTES + BLOCK_BYTES // 4
    assert min(lengths) >= BLOCK_BYTES // 4


@pytest.mark.parametrize(
    ("each", "expected"), [(2e6, TUNING.slow_part_bytes), (20e6, 3 * BLOCK_BYTES), (1e9, PART_BYTES)]
)
def test_a_slow_connection_takes_less_at_a_time(each: float, expected: int) -> None:
    of = reassembly(64 * PART_BYTES)
    of.begin("a")
    of.resize(8, each)
    first, second = of.claim("b", to_end=False), of.claim("c", to_end=False)
    assert first is not None
    assert second is not None
    assert (first.first, first.end, second.first) == (expected, 2 * expected, 2 * expected)


def test_the_first_stream_waits_for_proof_before_it_stops() -> None:
    of = reassembly()
    first = of.begin("a")
    fetch(of, first, BLOCK_BYTES)
    second = of.claim("b", to_end=False)
    assert second is not None
    at = 0
    while first.position < (first.end or 0):
        fetch(of, first)
        at = drain(of, at)
    assert not of._may_stop(first)
    assert of.read(partial=True, timeout=0) is None
    of.prove(second)
    assert of.block(first) is None


def test_a_share_that_came_to_nothing_is_undone() -> None:
    of = reassembly()
    first = of.begin("a")
    fetch(of, first, BLOCK_BYTES)
    second = of.claim("b", to_end=False)
    assert second is not None
    of.give_up(second, Incomplete("no ranges"), final=True)
    assert first.end == SIZE
    at = 0
    while at < SIZE:
        fetch(of, first)
        at = drain(of, at)
    assert of.read(partial=True, timeout=0) == memoryview(b"")


def test_shares_that_came_to_nothing_together_are_undone_together() -> None:
    """Or the first stream would wait at its end for somebody who never comes."""
    of = reassembly()
    first = of.begin("a")
    fetch(of, first, 1)
    shares = [of.claim(name, to_end=False) for name in THREADS[1:]]
    assert first.end != SIZE
    for share in shares:
        assert share is not None
        of.give_up(share, Incomplete("refused"), final=False)
    assert first.end == SIZE
    at = 0
    while at < SIZE:
        fetch(of, first)
        at = drain(of, at)
    assert of.size == SIZE


def test_nothing_is_left_to_fetch_of_what_is_closed() -> None:
    of = reassembly()
    of.begin("a")
    of.close()
    assert of.claim("b", to_end=False) is None


def test_the_overlap_of_a_response_comes_with_its_first_bytes_only() -> None:
    of = reassembly()
    first = of.begin("a")
    fetch(of, first, 1)
    second = of.claim("b", to_end=False)
    assert second is not None
    overlap = Overlap(second.first, 4, "beef")
    of.prove(second, overlap)
    fetch(of, second, 10)
    fetch(of, first)
    overlaps = []
    while of.read(partial=True, timeout=0):
        overlaps.append(of.overlap)
    assert overlaps == [*[None] * (len(overlaps) - 1), overlap]
    fetch(of, second, 10)
    assert of.read(partial=True, timeout=0)
    assert of.overlap is None


def test_a_part_that_failed_continues_where_it_was() -> None:
    of = reassembly()
    first = of.begin("a")
    fetch(of, first, 1_500_000)
    of.give_up(first, Incomplete("cut"), final=False)
    again = of.claim("b", to_end=True)
    assert again is first
    assert again.position == again.granted == 1_500_000
    at = 0
    while at < SIZE:
        fetch(of, again)
        at = drain(of, at)


def test_an_error_comes_after_everything_before_it() -> None:
    of = reassembly()
    first = of.begin("a")
    fetch(of, first, BLOCK_BYTES)
    second = of.claim("b", to_end=False)
    assert second is not None
    of.prove(second)
    fetch(of, second, 1000)
    of.give_up(second, Incomplete("the end of b"), final=True)
    at = 0
    while at < second.first + 1000:
        fetch(of, first, BLOCK_BYTES)
        at += len(of.read(partial=True, timeout=0) or b"")
    with pytest.raises(Incomplete, match="the end of b"):
        of.read(partial=True, timeout=0)


def test_tries_are_bounded_unless_they_get_further() -> None:
    of = reassembly()
    first = of.begin("a")
    of.give_up(first, Incomplete("0"), final=False)
    for number in range(MAX_TRIES):
        assert first.error is None
        assert of.claim("a", to_end=True) is first
        of.give_up(first, Incomplete(str(number)), final=False)
    with pytest.raises(Incomplete, match=str(MAX_TRIES - 1)):
        of.read(partial=True, timeout=0)


def test_progress_of_a_part_forgives_earlier_tries() -> None:
    of = reassembly(100 * PART_BYTES)
    part: Part | None = of.begin("a")
    at = 0
    for _ in range(5 * MAX_TRIES):
        assert part is not None
        goal = at + PART_BYTES
        while at < goal:
            fetch(of, part, BLOCK_BYTES)
            at = drain(of, at)
        of.give_up(part, Incomplete("cut again"), final=False)
        part = of.claim("a", to_end=True)
    assert part is not None
    assert part.error is None


def test_one_block_is_always_left_for_the_first_part() -> None:
    of = reassembly(blocks=0)
    first = of.begin("a")
    second = of.claim("b", to_end=False)
    assert second is not None
    of.prove(second)
    assert fetch(of, second) == (RESERVE_BLOCKS - 1) * BLOCK_BYTES
    assert fetch(of, first) == BLOCK_BYTES
    assert drain(of, 0) == BLOCK_BYTES


def test_files_share_a_budget_and_none_starves() -> None:
    budget = Budget(4)
    buffers = [ReassemblyBuffer(0, SIZE, Buffers(budget, BLOCK_BYTES), TUNING) for _ in range(3)]
    parts = [of.begin("a") for of in buffers]
    received = [fetch(of, part) for of, part in zip(buffers, parts, strict=True)]
    assert sum(received) == (3 * RESERVE_BLOCKS + 4) * BLOCK_BYTES
    assert min(received) == RESERVE_BLOCKS * BLOCK_BYTES
    buffers[0].close()
    buffers[0].close()
    assert fetch(buffers[1], parts[1]) > 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_any_order_of_events_gives_the_file(seed: int) -> None:
    chance = random.Random(seed)
    size = chance.choice([SIZE, 3 * PART_BYTES, 5 * PART_BYTES + 1, 20 * PART_BYTES])
    of = reassembly(size, blocks=chance.choice([0, 5, 64]))
    held: dict[str, Part] = {"a": of.begin("a")}
    at, failures = 0, 0
    for _ in range(100_000):
        name = chance.choice(THREADS)
        part = held.get(name)
        if part is None:
            if part := of.claim(name, to_end=len(held) == 0):
                held[name] = part
                if chance.random() < 0.1 and failures < 20 and part.tries < MAX_TRIES:
                    failures += 1
                    of.give_up(held.pop(name), Incomplete("refused"), final=False)
                else:
                    of.prove(part)
        elif part.complete:
            if of._may_stop(part):
                assert of.block(held.pop(name)) is None
        elif chance.random() < 0.02 and failures < 20 and part.tries < MAX_TRIES:
            failures += 1
            of.give_up(held.pop(name), Incomplete("cut"), final=False)
        else:
            fetch(of, part, chance.randrange(1, 3 * BLOCK_BYTES))
        if chance.random() < 0.5 and (view := of.read(partial=chance.random() < 0.5, timeout=0)) is not None:
            if not view:
                break
            assert view == pattern(at, len(view))
            at += len(view)
    assert at == size


def test_where_no_other_connection_has_a_place_the_one_there_is_takes_over_what_is_left() -> None:
    of = reassembly()
    head = of.begin("a")
    second = of.claim("b", to_end=False)
    third = of.claim("c", to_end=False)
    assert second is not None
    assert third is not None
    of.prove(third)
    fetch(of, third, BLOCK_BYTES)  # so the second part cannot be merged back
    for _ in range(MAX_TRIES + 1):
        of.give_up(second, Incomplete("no place"), final=False, tried=False)
        assert of.claim("b", to_end=False) is second
    of.give_up(second, Incomplete("no place"), final=False, tried=False)
    at = 0
    while head.position != head.end:
        fetch(of, head)
        at = drain(of, at)
    assert of.block(head) is None  # the thread of the first part does not wait for a successor that cannot come
    assert of.claim("a", to_end=False) is second
    assert second.error is None
