"""The socket itself: woken for much at a time where much comes, and never the later for it where little does."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from urlsum.deadline import Deadline
from urlsum.errors import DeadlineReached
from urlsum.origin.guard.url import parse
from urlsum.origin.http11.connection import Connection
from urlsum.origin.http11.stream import (
    FILL_SECONDS,
    GATHER_BYTES,
    Block,
    ConnectionClosed,
    NetworkStream,
    ReadTimeout,
)
from urlsum.origin.tuning import BLOCK_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

# Far below READ_TIMEOUT and far above what a busy machine needs for a byte over loopback.
SOON = 2.0
READ_TIMEOUT = 10.0


class Pair:
    """Both ends of a connection, of which ours is a wire."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.ours = socket.create_connection(server.getsockname())
            self.theirs, _ = server.accept()
        self.stream = NetworkStream(self.ours, read_timeout=READ_TIMEOUT, deadline=Deadline.after(60))

    @property
    def awaited(self) -> int:
        return self.ours.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT)

    def fill(self, most: int = BLOCK_BYTES, *, behind: int) -> Block:
        block = Block(memoryview(bytearray(BLOCK_BYTES)))
        self.stream.fill(block, most, behind=behind)
        return block

    def fill_on(self, block: Block) -> None:
        """Go on until something is raised."""
        while True:
            self.stream.fill(block, BLOCK_BYTES, behind=10 * BLOCK_BYTES)

    def hurry(self) -> None:
        """Bring a block in no time at all, so that the wire knows a fast origin however busy the machine is."""
        sender = threading.Thread(target=self.theirs.sendall, args=(bytes(BLOCK_BYTES),))
        sender.start()
        stopped = time.monotonic()
        self.stream.clock = lambda: stopped
        assert self.fill(behind=10 * BLOCK_BYTES).filled == BLOCK_BYTES
        self.stream.clock = time.monotonic
        sender.join()


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    with made.ours, made.theirs:
        yield made


def awaited_for(pair: Pair, *, behind: int) -> int:
    """What the kernel was told to wait for in one more fill, for which a byte has come."""
    pair.theirs.sendall(b"x")
    pair.fill(1, behind=behind)
    return pair.awaited


def test_of_a_fast_origin_much_is_awaited_at_once(pair: Pair) -> None:
    assert awaited_for(pair, behind=10 * BLOCK_BYTES) == 1
    pair.hurry()
    assert awaited_for(pair, behind=10 * BLOCK_BYTES) == GATHER_BYTES


def test_never_more_is_awaited_than_is_sure_to_come(pair: Pair) -> None:
    pair.hurry()
    assert awaited_for(pair, behind=GATHER_BYTES - 1) == 1


def test_what_a_slowing_origin_sent_is_there_soon(pair: Pair) -> None:
    pair.hurry()
    block = Block(memoryview(bytearray(BLOCK_BYTES)))

    def fill() -> None:
        with suppress(ConnectionClosed):
            pair.fill_on(block)

    reader = threading.Thread(target=fill)
    reader.start()
    pair.theirs.sendall(b"x" * 10)
    until = time.monotonic() + SOON
    while block.filled < 10 and time.monotonic() < until:
        time.sleep(0.01)
    seen = block.filled
    pair.stream.abort()
    reader.join()
    assert seen == 10


def test_a_cut_is_seen_whatever_is_awaited(pair: Pair) -> None:
    pair.hurry()
    pair.theirs.sendall(b"x" * 10)
    pair.theirs.close()
    block, began = Block(memoryview(bytearray(BLOCK_BYTES))), time.monotonic()
    with pytest.raises(ConnectionClosed):
        pair.fill_on(block)
    assert block.filled == 10
    assert time.monotonic() - began < SOON


def test_a_head_after_a_fast_body_is_not_waited_for(pair: Pair) -> None:
    pair.hurry()
    pair.theirs.sendall(b"HTTP/1.1 200 OK\r\n")
    began = time.monotonic()
    assert pair.stream.recv_into(memoryview(bytearray(100))) == 17
    assert time.monotonic() - began < SOON


def test_silence_after_a_fast_start_is_still_silence(pair: Pair) -> None:
    pair.hurry()
    pair.stream.read_timeout = 0.5
    block, began = Block(memoryview(bytearray(BLOCK_BYTES))), time.monotonic()
    with pytest.raises(ReadTimeout):
        pair.fill_on(block)
    assert 0.5 <= time.monotonic() - began < 0.5 + FILL_SECONDS + SOON


def test_the_deadline_holds_while_much_is_awaited(pair: Pair) -> None:
    pair.hurry()
    pair.stream.deadline = Deadline.after(FILL_SECONDS / 2)
    block = Block(memoryview(bytearray(BLOCK_BYTES)))
    with pytest.raises(DeadlineReached):
        pair.fill_on(block)


@pytest.mark.parametrize("within", [0.0, -1.0])
def test_a_wait_that_is_over_is_silence_whatever_has_come(pair: Pair, within: float) -> None:
    pair.theirs.sendall(b"too late")
    with pytest.raises(ReadTimeout):
        pair.stream.recv_into(memoryview(bytearray(10)), within=within)
    pair.stream.deadline = Deadline.after(0)
    with pytest.raises(DeadlineReached):
        pair.stream.recv_into(memoryview(bytearray(10)), within=within)


class Recorder(NetworkStream):
    """Brings as much as fits, from nowhere; ``asked`` has what each fill was to bring, and what comes behind it."""

    asked: list[tuple[int, int]]

    def fill(self, block: Block, most: int, *, behind: int) -> None:
        self.asked.append((most - block.filled, behind))
        block.filled = most


def test_a_body_tells_the_stream_what_is_sure_to_come(pair: Pair) -> None:
    stream = Recorder(pair.ours, read_timeout=READ_TIMEOUT, deadline=Deadline(0.0))
    stream.asked = []
    body = Connection(parse("http://127.0.0.1/"), stream)
    body.expect(2 * BLOCK_BYTES + 1000)
    begun = Block(memoryview(bytearray(BLOCK_BYTES)), filled=300)
    for block in (begun, *(Block(memoryview(bytearray(BLOCK_BYTES))) for _ in range(2))):
        assert body.fill(block)
    assert stream.asked == [(BLOCK_BYTES - 300, BLOCK_BYTES + 1300), (BLOCK_BYTES, 1300), (1300, 0)]
    assert not body.fill(Block(memoryview(bytearray(10))))
