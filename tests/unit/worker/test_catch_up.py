from __future__ import annotations

import hashlib

import pytest

from urlsum.md5 import MD5
from urlsum.task import Checkpoint
from urlsum.worker.catch_up import CatchUp

CONTENT = bytes(range(256)) * 2
OFFSET = 256


def checkpoint() -> Checkpoint:
    md5 = MD5()
    md5.update(CONTENT[:OFFSET])
    offset, state = md5.checkpoint()
    return Checkpoint(offset, state, "")


@pytest.mark.parametrize("piece", [1, 100, OFFSET, OFFSET + 1, len(CONTENT)])
@pytest.mark.parametrize("changed", [None, 0, OFFSET - 1, OFFSET])
def test_only_a_change_before_the_checkpoint_tells_and_all_bytes_are_hashed(piece: int, changed: int | None) -> None:
    content = bytearray(CONTENT)
    if changed is not None:
        content[changed] ^= 1
    md5 = MD5()
    catch_up = CatchUp(md5, checkpoint())
    at = 0
    while (same := catch_up.update(memoryview(content)[at : at + piece])) is None:
        at += piece
        assert at < OFFSET
    at += piece
    assert OFFSET <= at < OFFSET + piece
    assert same is (changed is None or changed >= OFFSET)
    assert md5.hexdigest() == hashlib.md5(content[:at]).hexdigest()
