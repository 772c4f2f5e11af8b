"""What a user of MD5 may rely on, asked of every engine on this machine."""

from __future__ import annotations

import array
import hashlib
import mmap
import random
import struct
import zlib
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.md5 import HASHERS, NATIVE_HASHERS, PYTHON_HASHER
from urlsum.errors import StateError
from urlsum.md5 import MD5

every_engine = pytest.mark.parametrize("md5_class", HASHERS, ids=lambda cls: cls.__name__)
# derandomize: the same cases in every run, so that a failure is one for everybody.
reproducible = settings(
    derandomize=True, database=None, deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
PATTERN = random.Random(1321).randbytes(1500)

# Each is a state as any machine must write it: the layout of the module's docstring, byte by byte. The first
# holds the initial words in the order in which RFC 1321, 3.3 prints their bytes.
VECTORS = {
    b"": "01 0123456789abcdeffedcba9876543210 0000000000000000 7c34390e",
    bytes(range(64)): "01 cad94491c9e401d9385bfc721ef55f62 4000000000000000 e941214d",
    b"1234567890" * 13: "01 b1845bb9bca7c950fdece34868069186 8000000000000000 01c71656",
    bytes(range(256)) * 16: "01 ccbcdd56b3ec6460111aac965cf3b015 0010000000000000 0f37bd2e",
}


def reference(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def sealed(words: tuple[int, ...], count: int, version: int = 1) -> bytes:
    body = struct.pack("<B4IQ", version, *words, count)
    return body + struct.pack("<I", zlib.crc32(body))


def advanced(md5: MD5, data: bytes) -> MD5:
    md5.update(data)
    return md5


@every_engine
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "d41d8cd98f00b204e9800998ecf8427e"),
        ("a", "0cc175b9c0f1b6a831c399e269772661"),
        ("abc", "900150983cd24fb0d6963f7d28e17f72"),
        ("message digest", "f96b697d7cb7938d525a2f31aaf161d0"),
        ("abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b"),
        ("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", "d174ab98d277d9f5a5611c2c9f419d9f"),
        ("1234567890" * 8, "57edf4a22be3c955ac49da2e2107b67a"),
    ],
)
def test_the_test_suite_of_rfc_1321(md5_class: type[MD5], text: str, expected: str) -> None:
    assert advanced(md5_class(), text.encode()).hexdigest() == expected


@every_engine
def test_every_length_around_the_padding_and_two_blocks_agrees_with_hashlib(md5_class: type[MD5]) -> None:
    for length in range(200):
        assert advanced(md5_class(), PATTERN[:length]).hexdigest() == reference(PATTERN[:length])


@every_engine
@reproducible
@given(data=st.binary(max_size=1000), cuts=st.lists(st.integers(0, 1000), max_size=6))
def test_any_cutting_with_a_restore_at_every_cut_agrees_with_hashlib(
    md5_class: type[MD5], data: bytes, cuts: list[int]
) -> None:
    edges = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    straight, resumed = md5_class(), md5_class()
    for start, end in pairwise(edges):
        straight.update(data[start:end])
        # A process that dies at each cut re-reads from its last checkpoint.
        offset, state = resumed.checkpoint()
        resumed = md5_class.restore(state)
        assert resumed.count == offset == start - start % 64
        resumed.update(data[offset:end])
        assert straight.count == resumed.count == end
        assert straight.hexdigest() == resumed.hexdigest() == reference(data[:end])


@every_engine
@reproducible
@given(cut=st.integers(0, len(PATTERN)), successor=st.sampled_from(HASHERS))
def test_each_engine_goes_on_from_the_state_of_each_other(md5_class: type[MD5], cut: int, successor: type[MD5]) -> None:
    offset, state = advanced(md5_class(), PATTERN[:cut]).checkpoint()
    assert advanced(successor.restore(state), PATTERN[offset:]).hexdigest() == reference(PATTERN)


@every_engine
@pytest.mark.parametrize("prefix", VECTORS, ids=len)
def test_states_are_byte_for_byte_the_documented_layout(md5_class: type[MD5], prefix: bytes) -> None:
    vector = bytes.fromhex(VECTORS[prefix])
    whole = len(prefix) - len(prefix) % 64
    assert len(vector) == 29
    assert advanced(md5_class(), prefix).checkpoint() == (whole, vector)
    resumed = advanced(md5_class.restore(vector), prefix[whole:] + PATTERN)
    assert resumed.hexdigest() == reference(prefix + PATTERN)


@every_engine
def test_a_checkpoint_inside_a_block_stands_at_its_beginning_and_disturbs_nothing(md5_class: type[MD5]) -> None:
    md5 = md5_class()
    boundary = md5.checkpoint()
    for position, byte in enumerate(PATTERN[:200]):
        if position % 64 == 0:
            boundary = md5.checkpoint()
            assert boundary[0] == position
        md5.update(bytes([byte]))
        if position % 64 < 63:
            assert md5.checkpoint() == boundary
        assert md5.hexdigest() == reference(PATTERN[: position + 1])
        assert md5.count == position + 1


@every_engine
@pytest.mark.parametrize("boundary", [2**29, 2**32, 2**35, 2**38, 5 * 10**12 // 64 * 64, 2**61 - 64])
def test_the_count_carries_over_every_word_boundary(md5_class: type[MD5], boundary: int) -> None:
    # 2**29 bytes overflow a 32-bit count of bits, 2**32 one of bytes, 2**38 one of blocks. Hashing so much for
    # real is test_over_4_gib; here the state stands just before, and plain Python with its own integers judges.
    state = sealed((1, 2, 3, 0xFFFFFFFF), boundary - 192)
    md5, judge = md5_class.restore(state), PYTHON_HASHER.restore(state)
    for length in (100, 27, 64, 0, 64):
        md5.update(PATTERN[:length])
        judge.update(PATTERN[:length])
        assert md5.count == judge.count
        assert md5.hexdigest() == judge.hexdigest()
        assert md5.checkpoint() == judge.checkpoint()
    assert md5.count == boundary + 63


def test_plain_python_pads_with_the_full_64_bit_length() -> None:
    # The judge above is itself judged: RFC 1321, 3.2 appends the bits as 64-bit integer, so a digest at 2**32 + 3
    # bytes is one more block after these words, and that block can be written by hand.
    words = (0x11111111, 0x22222222, 0x33333333, 0x44444444)
    block = b"abc\x80" + bytes(52) + (8 * (2**32 + 3)).to_bytes(8, "little")
    by_hand = advanced(MD5.restore(sealed(words, 64)), block).checkpoint()[1][1:17]
    assert advanced(PYTHON_HASHER.restore(sealed(words, 2**32)), b"abc").hexdigest() == by_hand.hex()


@every_engine
def test_damage_to_any_byte_of_a_state_is_refused(md5_class: type[MD5]) -> None:
    state = advanced(md5_class(), PATTERN[:640]).checkpoint()[1]
    assert md5_class.restore(state).count == 640
    for position in range(len(state)):
        for change in (0x01, 0x80, 0xFF):
            damaged = bytearray(state)
            damaged[position] ^= change
            with pytest.raises(StateError):
                md5_class.restore(bytes(damaged))


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (b"", "has 29 bytes, but this one has 0"),
        (sealed((1, 2, 3, 4), 64)[:-1], "this one has 28"),
        (sealed((1, 2, 3, 4), 64) + b"\0", "this one has 30"),
        (bytes(29), "version 0"),
        (sealed((1, 2, 3, 4), 64, version=2), "version 2; this urlsum reads version 1"),
        (sealed((1, 2, 3, 4), 64)[:-4] + bytes(4), "checksum"),
        (sealed((1, 2, 3, 4), 65), "at byte 65"),
        (sealed((1, 2, 3, 4), 2**61), "at byte 2305843009213693952"),
        (sealed((1, 2, 3, 4), 0), "at byte 0"),
    ],
)
def test_a_foreign_state_is_refused_by_name(state: bytes, reason: str) -> None:
    with pytest.raises(StateError, match=reason):
        MD5.restore(state)


@every_engine
def test_every_kind_of_contiguous_memory_is_hashed_in_place_and_let_go(md5_class: type[MD5]) -> None:
    writable = bytearray(PATTERN)
    with mmap.mmap(-1, 4096) as mapped:
        mapped[: len(PATTERN)] = PATTERN
        words = array.array("I", PATTERN)
        for data in (PATTERN, writable, memoryview(PATTERN), memoryview(writable), words, memoryview(words)):
            assert advanced(md5_class(), data).hexdigest() == reference(PATTERN)  # type: ignore[arg-type] # buffers
        part = memoryview(writable)[7:1031]
        assert advanced(md5_class(), part).hexdigest() == reference(PATTERN[7:1031])  # type: ignore[arg-type]
        assert advanced(md5_class(), mapped).hexdigest() == reference(mapped[:])  # type: ignore[arg-type]
        del data, part
    # A buffer that was still held could not grow (nor could the mapping above have been closed).
    writable.append(0)


@every_engine
def test_what_is_not_contiguous_bytes_is_refused_and_nothing_of_it_hashed(md5_class: type[MD5]) -> None:
    md5 = advanced(md5_class(), b"before")
    with pytest.raises(BufferError):
        md5.update(memoryview(PATTERN)[::2])
    for wrong in ("text", 5, None):
        with pytest.raises(TypeError):
            md5.update(wrong)  # type: ignore[arg-type]
    assert (md5.count, md5.hexdigest()) == (6, reference(b"before"))


@every_engine
def test_objects_do_not_share_anything(md5_class: type[MD5]) -> None:
    one, other = md5_class(), md5_class()
    one.update(b"one")
    other.update(b"other")
    assert (one.hexdigest(), other.hexdigest()) == (reference(b"one"), reference(b"other"))


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("md5_class", NATIVE_HASHERS, ids=lambda cls: cls.__name__)
def test_over_4_gib(md5_class: type[MD5]) -> None:
    chunk = random.Random(4).randbytes(16 * 1024 * 1024 + 17)
    md5, whole = md5_class(), hashlib.md5(usedforsecurity=False)
    while md5.count < 2**32 + 2**27:
        md5.update(chunk)
        whole.update(chunk)
        # Also a restore every 16 MiB, wherever in a block that is: the tail of the block is read again.
        offset, state = md5.checkpoint()
        tail = chunk[len(chunk) - (md5.count - offset) :]
        md5 = md5_class.restore(state)
        md5.update(tail)
    assert md5.hexdigest() == whole.hexdigest()
