"""The bytes of a list as lines of text."""

from __future__ import annotations

import codecs
import io

import pytest

from urlsum.cli import lines

MARKED = {
    "utf-8": codecs.BOM_UTF8,
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
    "utf-32-le": codecs.BOM_UTF32_LE,
    "utf-32-be": codecs.BOM_UTF32_BE,
}


class Slow(io.BytesIO):
    """A pipe whose writer is slow, but that waits for as much as is asked, as buffered streams do."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size, 5) if size is not None and size > 5 else size)


@pytest.mark.parametrize("stream", [io.BytesIO, Slow])
@pytest.mark.parametrize("encoding", MARKED)
def test_a_byte_order_mark_says_the_encoding(encoding: str, stream: type[io.BytesIO]) -> None:
    text = "a  http://a.example/é𝄞\r\n\r\nb  c\u2028d\x85e\rf\x0bg\nlast"
    read = list(lines.read(stream(MARKED[encoding] + text.encode(encoding))))
    assert [each.lstrip("\ufeff") for each in read] == [
        "a  http://a.example/é𝄞\r",
        "\r",
        "b  c\u2028d\x85e\rf\x0bg",
        "last",
    ]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", []),
        (b"\n", [""]),
        (b"a\nb\n", ["a", "b"]),
        (b"a\n\nb", ["a", "", "b"]),
        (codecs.BOM_UTF16_LE, []),
        (codecs.BOM_UTF8, ["\ufeff"]),
        (b"\xff", ["\ufffd"]),
        (b"\xff\xfe", []),
        (b"a\xffb\n\xc3", ["a\ufffdb", "\ufffd"]),
        (codecs.BOM_UTF16_LE + b"a\0\n\0b", ["a", "\ufffd"]),
        (codecs.BOM_UTF16_LE + b"\0\xd8a\0", ["\ufffda"]),
        (b"a\0\n\0", ["a\0", "\0"]),
    ],
)
def test_lines_end_where_they_end_for_md5sum(data: bytes, expected: list[str]) -> None:
    assert list(lines.read(io.BytesIO(data))) == expected


def test_a_line_of_any_length_takes_bounded_memory() -> None:
    class Endless(io.RawIOBase):
        left = 1000

        def read(self, size: int = -1, /) -> bytes:
            self.left -= 1
            return b"a" * size if self.left > 0 else b""

    [line] = lines.read(Endless())  # type: ignore[arg-type]
    assert lines.MAX_LINE_CHARACTERS < len(line) <= lines.MAX_LINE_CHARACTERS + lines.READ_BYTES
