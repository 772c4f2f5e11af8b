"""The MD5 of the page's worker against urlsum's own, in Node.js: lengths at which padding and counters change."""

from __future__ import annotations

import json
import random
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import pytest

from urlsum.md5 import MD5
from urlsum.web import pages, script

DRIVER = Path(__file__).with_name("md5.cjs")
SCRIPT = Path(pages.__file__).with_name(script.PATH)
# 2**29 bytes are 2**32 bits, and 2**32 bytes no longer fit into 32 bits either. The last is the longest file of which
# JavaScript counts every byte, to a block.
COUNTS = (0, 64, 2**29 - 64, 2**29, 2**31 - 64, 2**31, 2**32 - 64, 2**32, 2**35, 5 * 2**40, 2**53 - 128)
TAILS = (0, 1, 55, 56, 57, 63)


# Faster than most disks and all lines of the people who would download the file instead.
LEAST_BYTES_PER_SECOND = 100e6


def node(*arguments: str, given: str = "") -> str:
    path = shutil.which("node")
    if path is None:
        pytest.skip("node is not on PATH; the tests of the browser run the same script")
    return subprocess.run(
        [path, DRIVER, SCRIPT, *arguments], input=given, capture_output=True, text=True, check=True
    ).stdout


def digests(cases: list[dict[str, object]]) -> list[str]:
    return node(given="\n".join(map(json.dumps, cases))).split()


def restored(words: tuple[int, ...], count: int) -> MD5:
    body = struct.pack("<B4IQ", 1, *words, count)
    return MD5.restore(body + struct.pack("<I", zlib.crc32(body)))


def test_every_length_of_the_end_is_padded_as_the_rfc_says() -> None:
    chance = random.Random(1)
    contents = [chance.randbytes(length) for length in (*range(200), 4096, 4096 + 55, 2**20 + 1)]
    found = digests([{"count": 0, "updates": [], "last": content.hex()} for content in contents])
    expected = []
    for content in contents:
        md5 = MD5()
        md5.update(content)
        expected.append(md5.hexdigest())
    assert found == expected


def test_a_file_that_comes_in_pieces_has_the_same_md5() -> None:
    chance = random.Random(2)
    pieces = [chance.randbytes(64 * blocks) for blocks in (1, 3, 1024)]
    md5 = MD5()
    for piece in (*pieces, b"end"):
        md5.update(piece)
    case = {"count": 0, "updates": [piece.hex() for piece in pieces], "last": b"end".hex()}
    assert digests([case]) == [md5.hexdigest()]


def test_lengths_of_gigabytes_are_counted_to_the_byte() -> None:
    """From a state in the middle of such a file, as if all bytes before had been hashed."""
    chance = random.Random(3)
    cases: list[dict[str, object]] = []
    expected = []
    for count in COUNTS[1:]:
        for length in TAILS:
            words, block, tail = tuple(chance.getrandbits(32) for _ in range(4)), chance.randbytes(64), b"x" * length
            cases.append({"state": words, "count": count, "updates": [block.hex()], "last": tail.hex()})
            md5 = restored(words, count)
            md5.update(block + tail)
            expected.append(md5.hexdigest())
    assert digests(cases) == expected


def test_it_is_fast_enough_for_large_files() -> None:
    """By CPU time, because other tests run beside this one."""
    assert float(node("64")) >= LEAST_BYTES_PER_SECOND
