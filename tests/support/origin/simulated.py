"""Origins on a simulated clock: every wait is exact and takes no time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from urlsum.origin.guard.addresses import Address

Step = bytes | float
"""Bytes that the origin sends, or seconds of silence before the next step."""


def trickled(data: bytes, *, every: float) -> list[Step]:
    """``data`` byte by byte, each after ``every`` seconds."""
    return [step for at in range(len(data)) for step in (every, data[at : at + 1])]


@dataclass
class SimulatedOrigin:
    """Plays the n-th script on the n-th connection, the last one on all later ones, and is silent afterwards.

    ``now`` advances during waits.
    """

    scripts: Sequence[Sequence[Step]]
    now: float = 1000.0
    dialled: int = 0
    closed: int = 0
    dial_seconds: float = 0.0
    asked: list[bytes] = field(default_factory=list)

    def clock(self) -> float:
        return self.now

    def dial(self, address: Address, port: int, within: float) -> socket.socket:
        script = self.scripts[min(self.dialled, len(self.scripts) - 1)]
        self.dialled += 1
        self.now += self.dial_seconds
        return cast("socket.socket", _Socket(self, list(script)))


class _Socket:
    """The socket methods that ``NetworkStream`` uses."""

    def __init__(self, origin: SimulatedOrigin, steps: list[Step]) -> None:
        self._origin = origin
        self._steps = steps
        self._timeout = 0.0
        self._closed = False

    def settimeout(self, seconds: float) -> None:
        assert seconds > 0
        self._timeout = seconds

    def setsockopt(self, *option: int) -> None:
        pass

    def fileno(self) -> int:
        return -1  # as if closed, so that the pool does not keep it

    def sendall(self, data: bytes) -> None:
        self._origin.asked.append(data)

    def recv_into(self, view: memoryview) -> int:
        left = self._timeout
        while self._steps and isinstance(step := self._steps[0], float):
            if step >= left:
                self._steps[0] = step - left
                break
            left -= step
            self._origin.now += step
            del self._steps[0]
        if not self._steps or isinstance(self._steps[0], float):
            self._origin.now += left
            raise TimeoutError
        data = self._steps.pop(0)
        assert isinstance(data, bytes)
        count = min(len(view), len(data))
        view[:count] = data[:count]
        if data[count:]:
            self._steps.insert(0, data[count:])
        return count

    def close(self) -> None:
        self._origin.closed += not self._closed
        self._closed = True
