"""How much memory the files of one source may share."""

from __future__ import annotations

from dataclasses import replace

import pytest

from urlsum.origin import source
from urlsum.origin.guard.guard import Guard
from urlsum.origin.parallel.buffers import BLOCKS_PER_CONNECTION, RESERVE_BLOCKS, Budget
from urlsum.origin.source import LEAST_BLOCKS, HttpSource
from urlsum.origin.tuning import DEFAULTS
from urlsum.settings import Settings


@pytest.mark.parametrize(
    ("processes", "each"), [(1, BLOCKS_PER_CONNECTION), (2, 3), (BLOCKS_PER_CONNECTION, LEAST_BLOCKS)]
)
def test_processes_share_the_blocks_of_their_connections_and_the_first_file_has_its_reserve_from_them(
    monkeypatch: pytest.MonkeyPatch, processes: int, each: int
) -> None:
    blocks: list[int] = []

    def budget(count: int) -> Budget:
        blocks.append(count)
        return Budget(count)

    monkeypatch.setattr(source, "Budget", budget)
    settings = Settings(connections_per_origin=6)
    HttpSource(settings, Guard(settings), tuning=replace(DEFAULTS, processes=processes))
    assert blocks == [6 * each - RESERVE_BLOCKS]
