"""A client at fifty times its limit, and nineteen others that must not notice it."""

from __future__ import annotations

import itertools
import json
import math
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from http.client import HTTPConnection
from typing import TYPE_CHECKING

import pytest

from tests.e2e.test_load import CONTENT, percentile, service
from tests.support.origin.origin_server import File, OriginServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.crash

LIMIT = 60
OTHERS = 19
# Of the others each stays below its limit; together they send enough for a percentile.
OTHERS_PER_SECOND = 0.9 * LIMIT / 60
FLOOD_PER_SECOND = 50 * LIMIT / 60
# So many connections keep that rate, although each waits for its response.
FLOOD_CONNECTIONS = 8
SLOWER = 1.5
# Times with and without the flood alternate, so that other work of the machine falls on both. 5 s are four turns of
# each in the gate, with 250 requests of the flood in each of its turns.
TURN_SECONDS = 5


@dataclass
class Clients:
    """Send at fixed rates, whatever the responses take: a late one does not excuse the next."""

    port: int
    urls: Iterator[str]
    alone: list[float] = field(default_factory=list)
    crowded: list[float] = field(default_factory=list)
    others: Counter[int] = field(default_factory=Counter)
    flood: Counter[int] = field(default_factory=Counter)

    def run(self, seconds: float, *, flood: bool) -> None:
        """Adds the others' waits, in seconds, to `crowded` or to `alone`."""
        waits = self.crowded if flood else self.alone
        crowd = [threading.Thread(target=self._other, args=(number, seconds, waits)) for number in range(OTHERS)]
        if flood:
            crowd.append(threading.Thread(target=self._flood, args=(seconds,)))
        for thread in crowd:
            thread.start()
        for thread in crowd:
            thread.join()

    def _other(self, number: int, seconds: float, waits: list[float]) -> None:
        begun, period = time.monotonic(), 1 / OTHERS_PER_SECOND
        for turn in range(round(seconds * OTHERS_PER_SECOND)):
            planned = begun + (turn + number / OTHERS) * period
            time.sleep(max(0.0, planned - time.monotonic()))
            self.others[self._submit(f"198.51.100.{number}")] += 1
            waits.append(time.monotonic() - planned)

    def _flood(self, seconds: float) -> None:
        begun = time.monotonic()
        with ThreadPoolExecutor(FLOOD_CONNECTIONS) as pool:
            for turn in range(round(seconds * FLOOD_PER_SECOND)):
                time.sleep(max(0.0, begun + turn / FLOOD_PER_SECOND - time.monotonic()))
                pool.submit(lambda: self.flood.update([self._submit("203.0.113.9")]))

    def _submit(self, client: str) -> int:
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            body = json.dumps({"url": next(self.urls)})
            connection.request("POST", "/submit", body, {"Content-Type": "application/json", "X-Forwarded-For": client})
            response = connection.getresponse()
            response.read()
            return response.status


def under_load(seconds: float, directory: Path, judged: int) -> None:
    """Compares one percentile of the others' waits, `seconds` with the flood and as many without it."""
    settings = {"TRUSTED_PROXIES": "127.0.0.0/8", "CLIENT_SUBMITS_PER_MINUTE": str(LIMIT)}
    with OriginServer(File(CONTENT)) as origin, service(directory, **settings) as port:
        clients = Clients(port, map(origin.url, (f"/{n}" for n in itertools.count())))
        clients.run(2, flood=False)  # what is imported, compiled and created at the first requests
        clients.alone.clear()
        for _ in range(round(seconds / TURN_SECONDS)):
            clients.run(TURN_SECONDS, flood=False)
            clients.run(TURN_SECONDS, flood=True)
    alone, crowded = (
        {share: round(1000 * percentile(waits, share), 1) for share in (50, 90, 99)}
        for waits in (clients.alone, clients.crowded)
    )
    print(  # noqa: T201 - for the report
        f"\n{seconds:.0f} s: percentiles in ms alone {alone}, beside the flood {crowded};"
        f" others {dict(clients.others)}, flood {dict(clients.flood)}"
    )
    assert set(clients.others) == {202}
    # A window of a minute begins with the first request, and each further minute begins another.
    assert clients.flood[202] <= LIMIT * (1 + math.ceil(2 * seconds / 60))
    assert set(clients.flood) == {202, 429}
    assert crowded[judged] <= SLOWER * alone[judged]


@pytest.mark.timeout(300)
def test_others_do_not_notice_a_flood_of_twenty_seconds(tmp_path: Path) -> None:
    # Three waits of 304 make the 99th percentile, and any other process of the machine can delay three.
    under_load(20, tmp_path, judged=50)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_others_do_not_notice_a_flood_of_a_minute(tmp_path: Path) -> None:
    under_load(60, tmp_path, judged=99)
