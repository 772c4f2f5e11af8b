"""Long files that are replaced while several connections read them, with the numbers that urlsum is shipped with."""

from __future__ import annotations

import math
import random
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.servers.reading import Client, dishonest, outcome, side_by_side
from tests.integration.servers.replacement import Replacement, overwrite, rename

if TYPE_CHECKING:
    from tests.integration.servers.replacement import Way
    from tests.support.origin.web_servers import WebServer

# One connection takes five seconds; eight are reached after two and share what is left.
SIZE = 48 * 2**20
CONNECTION_BYTES_PER_SECOND = 10 * 2**20
# Two cores bring no more than that.
SIDE_BY_SIDE = 5
EVERYWHERE = [SIZE * twentieth // 20 for twentieth in range(20)]


class SlowSocket(socket.socket):
    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        count = super().recv_into(buffer, nbytes, flags)
        time.sleep(count / CONNECTION_BYTES_PER_SECOND)
        return count


@pytest.mark.long
@pytest.mark.parametrize("way", [overwrite, rename])
def test_a_long_file_that_is_replaced_has_no_mixed_digest(server: WebServer, way: Way) -> None:
    # Only connections that are slower than their reader are worth several.
    client = Client(8, rate=math.inf, new_socket=SlowSocket)
    old, new = (random.Random(seed).randbytes(SIZE) for seed in (3, 4))
    replacement = Replacement(way, new, old=old)
    outcomes = side_by_side(lambda at: outcome(server, client, replacement, at), EVERYWHERE, most=SIDE_BY_SIDE)
    assert len(client.opened) > 4 * len(EVERYWHERE)
    assert dishonest(outcomes, way) == {}
