"""Identifies one version of a file, and compares later responses with it.

A version consists of validators (ETag, Last-Modified, length; RFC 9110, 8.8) and of evidence: the digest of the last
bytes that were read. The checkpoint holds it as JSON of at most MAX_DUMP_CHARACTERS.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from urlsum.errors import Changed
from urlsum.origin.http11.codings import content_codings
from urlsum.origin.http11.response import decoded, http_date, sent_at
from urlsum.task import Proof

if TYPE_CHECKING:
    from urlsum.origin.http11.response import ResponseHead

FORMAT = 1
# The overlap that a resumed download re-reads before its offset. 64 KiB cost nothing beside a new connection, and no
# two versions of a compressed file agree in that many bytes by accident.
RESUME_OVERLAP_BYTES = 65_536
# The block of MD5. Checkpoints lie on its multiples (urlsum.task.Checkpoint), so a tail ends on one as well.
MD5_BLOCK_BYTES = 64
MAX_DUMP_CHARACTERS = 600
# The sample of the beginning that the closing proof re-reads: as much as a tail.
OPENING_BYTES = RESUME_OVERLAP_BYTES
# A longer ETag, or one that JSON would inflate, is kept as its digest: it can be compared, but not sent back.
MAX_ETAG_CHARACTERS = 96

# The media types of error pages, login pages and messages of programs. A file may have them, too.
PAGE_TYPES = frozenset({"application/xhtml+xml", "text/html"})
MESSAGE_TYPES = PAGE_TYPES | {"application/json", "application/problem+json"}
MAX_TYPE_CHARACTERS = 60
MALFORMED = "?"
# Last-Modified has whole seconds, and a server may read its clock a moment before the file.
SETTLED_SECONDS = 1
# From the weakest to the strongest.
PROOFS = (Proof.LENGTH, Proof.LAST_MODIFIED, Proof.ETAG)

# RFC 9110, 8.3.1.
_MEDIA_TYPE = re.compile(rb"[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+/[!#$%&'*+.^_`|~0-9A-Za-z-]+)")
# RFC 9110, 8.8.3. A value that breaks this grammar, mostly one without quotes, is no ETag: it proves nothing and is
# never sent back. But two different ones are evidence of two versions, so its digest is kept, marked. Without an ETag
# that goes for a date in another form, too. All characters but those that the grammar excludes: to compile its ranges
# takes 2 ms longer.
_ETAG = re.compile(r'(?P<weak>W/)?(?P<tag>"[^\x00-\x20"\x7f]*")')


class Overlap(msgspec.Struct, frozen=True):
    """The digest of the ``length`` bytes before ``end``; equal bytes prove that two responses are of one version.

    A resume re-reads them before its offset (there they are the tail), a part before its first byte, and the closing
    proof at both ends of the file.
    """

    end: int
    length: int
    digest: str

    @classmethod
    def of(cls, data: memoryview | bytes, end: int) -> Overlap:
        """The overlap of all bytes in ``data``, which end at position ``end``."""
        return cls(end, len(data), _digest(data))

    @property
    def start(self) -> int:
        """The position of the first byte."""
        return self.end - self.length

    def matches(self, data: memoryview | bytes) -> bool:
        """Whether ``data`` are the same bytes."""
        return _digest(data) == self.digest


class Sample(msgspec.Struct, frozen=True):
    """The bytes ``data`` themselves, which end at position ``end``: what an Overlap is, where nothing is stored.

    To compare 64 KiB takes a tenth of the time of a digest.
    """

    end: int
    data: bytes

    @property
    def length(self) -> int:
        """How many bytes."""
        return len(self.data)

    @property
    def start(self) -> int:
        """The position of the first byte."""
        return self.end - len(self.data)

    def matches(self, data: memoryview | bytes) -> bool:
        """Whether ``data`` are the same bytes."""
        # A memoryview would be compared byte by byte.
        return bytes(data) == self.data


class Version(msgspec.Struct, frozen=True):
    """``etag`` is quoted as sent, or a bare digest, or MALFORMED and a digest; ``modified`` in seconds since the epoch.

    ``size`` is the length of the file in bytes, ``kind`` the media type without its parameters, ``coding`` the content
    codings. ``opening`` is a sample of the beginning: at most OPENING_BYTES, fewer if a checkpoint was written before
    that. ``spot`` is a sample of an unpredictable place, taken of whole files only. ``weakest`` is the weakest proof
    among the responses whose bytes were hashed so far, None for a single one. ``settled``: ``modified`` lies before the
    first response, so a later change cannot have the same date (RFC 9110, 8.8.2.2). ``current``: ``modified`` is the
    time of the response.
    """

    etag: str | None = None
    weak: bool = False
    modified: int | None = None
    size: int | None = None
    tail: Overlap | None = None
    opening: Overlap | None = None
    spot: Overlap | None = None
    kind: str | None = None
    coding: str | None = None
    weakest: Proof | None = None
    settled: bool = False
    current: bool = False

    @classmethod
    def of(cls, head: ResponseHead, size: int | None) -> Version:
        """The version that the response declares."""
        date, dates = sent_at(head), dict.fromkeys(head.all_bytes("last-modified"))
        modified = http_date(decoded(next(iter(dates)))) if len(dates) == 1 else None
        text = head.get("etag") or ""
        etag = _ETAG.fullmatch(text)
        if not text and modified is None:
            text = decoded(b", ".join(dates))  # two programs that date one response prove nothing, either
        if etag:
            tag: str | None = _bounded_etag(etag["tag"])
        else:
            tag = MALFORMED + _digest(text.encode()) if text else None
        return cls(
            etag=tag,
            weak=bool(etag and etag["weak"]),
            modified=None if modified is None else int(modified),
            size=size,
            kind=_kind(head),
            coding=",".join(content_codings(head))[:MAX_TYPE_CHARACTERS] or None,
            settled=None not in (date, modified) and (date or 0.0) - (modified or 0.0) > SETTLED_SECONDS,
            current=None not in (date, modified) and (modified or 0.0) >= (date or 0.0),
        )

    @classmethod
    def load(cls, text: str) -> Version:
        """Read a dump. Raises Changed if ``text`` is not one, because it then proves nothing."""
        try:
            values = json.loads(text)
            if values.pop("format") != FORMAT:
                raise ValueError(text)  # noqa: TRY301 - one exit for everything that is not a dump
            values["tail"]
            version = msgspec.convert(values, cls)
            sampled = (version.tail, version.opening, version.spot)
            if any(sample and not 0 <= sample.start < sample.end for sample in sampled):
                raise ValueError(text)  # noqa: TRY301 - the same
            return version  # noqa: TRY300 - the lines that can fail stand above
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, msgspec.ValidationError) as exc:
            raise Changed("the checkpoint's proof of version cannot be read, so the file is read again") from exc

    def dump(self) -> str:
        """The version as a short text: a row of DynamoDB must fit into one write unit of 1 KB with it."""
        known = {name: value for name, value in msgspec.to_builtins(self).items() if value not in (None, False)}
        return json.dumps({"format": FORMAT, "tail": None, **known}, separators=(",", ":"))

    @property
    def if_range(self) -> str | None:
        """The strong ETag to send as If-Range (RFC 9110, 13.1.5), None without one."""
        # A digest is neither quoted nor sent.
        sendable = self.etag and self.etag.isascii() and _ETAG.fullmatch(self.etag)
        return self.etag if sendable and not self.weak else None

    @property
    def is_distinguishable(self) -> bool:
        """Whether validators alone distinguish responses of this version from those of another.

        A strong ETag changes with every byte, Last-Modified together with the length nearly always. A weak ETag by
        itself promises only that two versions are equivalent (RFC 9110, 8.8.1).
        """
        return self.size is not None and (self._proves or self.modified is not None)

    def proven_by(self, now: Version) -> bool:
        """Whether the validators of ``now`` confirm this version; missing ones confirm nothing."""
        if now.size != self.size or self.difference(now) is not None:
            return False
        if self._proves:
            return now.etag == self.etag and not now.weak
        return self.modified is not None and now.modified == self.modified

    def difference(self, now: Version) -> str | None:
        """The difference that shows ``now`` to be another version, in words; None without one."""
        if None not in (self.size, now.size) and self.size != now.size:
            return f"the length changed from {self.size} to {now.size} bytes"
        if self.etag and now.etag:
            # Weak comparison (RFC 9110, 8.8.3.2): Apache's ETag is weak for a second, then the same one is strong.
            if self.etag != now.etag:
                return "the ETag or date changed" if MALFORMED in (self.etag[0], now.etag[0]) else "the ETag changed"
            if self._proves and now._proves:
                return None
        if None not in (self.modified, now.modified) and self.modified != now.modified:
            return "the Last-Modified date changed"
        return None

    def is_another_edge_of(self, now: Version) -> bool:
        """Whether ``now`` differs only in its strong ETag, or only in its date under the same ETag.

        Replaced files differ so, but also edges of a CDN that each make their own ETags or dates.
        """
        if not (self._strong and now._strong):
            return False
        if self.etag != now.etag:
            return replace(now, etag=self.etag).difference(self) is None and now.modified == self.modified
        dated = None not in (self.modified, now.modified) and self.modified != now.modified
        return dated and self.difference(now) is None

    def is_dated_by_response(self, now: Version) -> bool:
        """Whether ``now`` differs only in its date, and each date is the time of its response.

        Programs send such dates, and so does a file that is being written.
        """
        return self.current and now.current and self.difference(replace(now, modified=self.modified)) is None

    @property
    def strongest(self) -> Proof:
        """The proof that every response of this version would bring, by the validators of the first one."""
        alone = replace(self, weakest=None)
        return alone.proof(alone)

    @property
    def without_tag(self) -> Version:
        """The same version without its ETag, for an origin that makes a new one in each response."""
        return replace(self, etag=None, weak=False)

    def has_same_validators(self, now: Version) -> bool:
        """Whether ``now`` has the same kinds of validators, so that bytes of both may be joined.

        A validator that disappears, appears or changes its strength proves nothing about the other's bytes.
        """
        if (self.etag is None, self.weak) != (now.etag is None, now.weak):
            return False
        return self._proves or (self.modified is None) == (now.modified is None)

    def is_replaced_by_message(self, now: Version) -> bool:
        """Whether ``now``, which differs, is more likely a message in place of the file than a new version of it."""
        if now.kind in MESSAGE_TYPES and self.kind is not None and self.kind not in MESSAGE_TYPES:
            return True
        unvalidated = now.etag is None and now.modified is None
        # A program answers, not the file server: the validators are lost, or the type changed where there were none.
        other = (self.etag or self.modified) is not None or self.kind != now.kind
        return unvalidated and self.size != now.size and other

    def is_replaced_by_page(self, now: Version) -> bool:
        """Whether ``now`` is a web page although the file is not."""
        return now.kind in PAGE_TYPES and self.kind not in PAGE_TYPES

    def proof(self, now: Version) -> Proof:
        """The proof that a later response, ``now``, which does not differ, is of this version."""
        proof = Proof.LENGTH
        if self._proves and now._proves and self.etag == now.etag:
            proof = Proof.ETAG
        elif self.modified is not None and self.modified == now.modified:
            proof = Proof.LAST_MODIFIED
        return self._weaker(proof)

    def joined_by(self, now: Version) -> Version:
        """The version after bytes of a response with ``now`` were appended.

        A validator that only the later response has says nothing about the bytes before it.
        """
        size = self.size if now.size is None else now.size
        return replace(self, size=size, kind=self.kind or now.kind, weakest=self.proof(now))

    def _weaker(self, proof: Proof) -> Proof:
        return proof if self.weakest is None else min(proof, self.weakest, key=PROOFS.index)

    @property
    def _strong(self) -> bool:
        return self.etag is not None and not self.weak

    @property
    def _proves(self) -> bool:
        return self._strong and not (self.etag or "").startswith(MALFORMED)


def _digest(data: memoryview | bytes) -> str:
    """128 bits: nobody can forge a match without knowing the file."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _kind(head: ResponseHead) -> str | None:
    kinds = {match[1] for name, value in head.fields if name == b"content-type" and (match := _MEDIA_TYPE.match(value))}
    return kinds.pop()[:MAX_TYPE_CHARACTERS].decode("ascii").lower() if len(kinds) == 1 else None


def _bounded_etag(tag: str) -> str:
    if len(tag) <= MAX_ETAG_CHARACTERS and tag.isascii():
        return tag
    return _digest(tag.encode())
