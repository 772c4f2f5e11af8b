"""Request bodies → names and values, strictly: an ambiguous body is refused.

Each parser returns the pairs in the order sent, duplicates included, and raises InvalidRequest. The field of an error
that is in none of them is ``BODY``.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import unquote_to_bytes

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from urlsum.errors import InvalidRequest

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

Pairs = list[tuple[str, str]]

BODY = "body"
_STRAY_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})")


def urlencoded(body: bytes) -> Pairs:
    """The fields of application/x-www-form-urlencoded (https://url.spec.whatwg.org/#urlencoded-parsing), in UTF-8."""
    return [_urlencoded_field(piece) for piece in body.split(b"&")] if body else []


def _urlencoded_field(piece: bytes) -> tuple[str, str]:
    raw_name, equals, raw_value = piece.partition(b"=")
    name = _utf8(unquote_to_bytes(raw_name.replace(b"+", b" ")), BODY)
    if not equals:
        if piece.lstrip().startswith((b"{", b"[")):
            raise InvalidRequest(BODY, "This looks like JSON. Send it with Content-Type: application/json.")
        raise InvalidRequest(name or BODY, "Write each field of a form as name=value, with '&' between fields.")
    if stray := _STRAY_PERCENT.search(raw_value):
        sequence = raw_value[stray.start() : stray.start() + 3].decode("latin-1")
        raise InvalidRequest(name, f"{sequence!r} is not valid percent-encoding. In a form, write % as %25.")
    return name, _utf8(unquote_to_bytes(raw_value.replace(b"+", b" ")), name)


def json_object(body: bytes) -> Pairs:
    """The members of a JSON object whose values are all strings (RFC 8259)."""
    try:
        # A list of pairs stands for an object, which shows duplicate names. Numbers stay text: no field takes one, and
        # the conversion of a long one costs time or fails.
        value = json.loads(
            _utf8(body, BODY),
            object_pairs_hook=_Members,
            parse_constant=_not_json,
            parse_int=_Number,
            parse_float=_Number,
        )
    except ValueError as exc:
        raise InvalidRequest(BODY, f"This is not valid JSON: {exc}.") from exc
    except RecursionError as exc:
        raise InvalidRequest(BODY, "The JSON is nested too deeply. Send one flat object.") from exc
    if not isinstance(value, _Members):
        raise InvalidRequest(BODY, 'Send one JSON object, for example {"url": "https://example.org/file.bin"}.')
    for name, member in value:
        if type(member) is not str:
            # Programs send a boolean in the field fresh.
            meant = f'Write "{str(member).lower()}".' if isinstance(member, bool) else None
            raise InvalidRequest(
                name, f"Each value must be a string. {meant or 'Leave out a field that has no value.'}"
            )
    return list(value)


class _Members(list[tuple[str, Any]]):
    """A JSON object; a JSON array is a plain list."""


class _Number(str):
    """A JSON number, unconverted."""

    __slots__ = ()


def _not_json(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON value")


def multipart(body: bytes, boundary: bytes) -> Pairs:
    """The fields of multipart/form-data (RFC 7578); files are refused."""
    fields = _MultipartFields()
    try:
        parser = MultipartParser(boundary, fields.callbacks())
        parser.write(body)
    except FormParserError as exc:
        raise InvalidRequest(BODY, f"The multipart body is malformed: {exc}") from exc
    # The parser accepts a truncated body.
    if not fields.ended:
        raise InvalidRequest(BODY, "The multipart body ends before its closing boundary.")
    return fields.pairs


class _MultipartFields:
    """Collects what the multipart parser reports."""

    def __init__(self) -> None:
        self.pairs: Pairs = []
        self.ended = False
        self._name = BODY
        self._header = bytearray()
        self._header_value = bytearray()
        self._disposition = b""
        self._content_type = b""
        self._data = bytearray()

    def callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._header.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._header_value.extend(data[start:end]),
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": lambda data, start, end: self._data.extend(data[start:end]),
            "on_part_end": self._part_end,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        self._disposition = self._content_type = b""
        self._data = bytearray()

    def _header_end(self) -> None:
        match bytes(self._header).lower():
            case b"content-disposition":
                self._disposition = bytes(self._header_value)
            case b"content-type":
                self._content_type = bytes(self._header_value)
        self._header.clear()
        self._header_value.clear()

    def _headers_finished(self) -> None:
        disposition, options = parse_options_header(self._disposition)
        if disposition != b"form-data" or b"name" not in options:
            raise InvalidRequest(BODY, "Each part needs Content-Disposition: form-data with a name.")
        self._name = _utf8(options[b"name"], BODY)
        if b"filename" in options:
            raise InvalidRequest(self._name, "File uploads are not accepted. Send the field as plain text.")
        media_type, parameters = parse_options_header(self._content_type)
        if media_type not in (b"", b"text/plain") or not is_utf8(parameters.get(b"charset")):
            raise InvalidRequest(self._name, "Only plain text in UTF-8 is accepted.")

    def _part_end(self) -> None:
        self.pairs.append((self._name, _utf8(bytes(self._data), self._name)))

    def _end(self) -> None:
        self.ended = True


def is_utf8(charset: bytes | None) -> bool:
    """Whether text of the declared ``charset``, or of none, can be decoded as UTF-8."""
    return charset is None or charset.lower() in (b"utf-8", b"utf8", b"us-ascii")


def _utf8(raw: bytes, field: str) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as exc:
        raise InvalidRequest(field, f"This is not valid UTF-8: {exc.reason} at byte {exc.start}.") from exc
