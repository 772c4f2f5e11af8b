"""Recognizes a version that was read before: by its validators, and by samples of its bytes.

A strong ETag, or Last-Modified together with the length, identifies a version (RFC 9110, 8.8). They are the origin's
claim, and origins err, so its bytes are compared as well: both ends of the file, and a place that nobody can predict.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from urlsum.errors import Changed, HttpFailed, OriginError, ProtocolViolated
from urlsum.origin.guard.url import parse
from urlsum.origin.representation.metadata import representation
from urlsum.origin.version.edges import get_from_same_edge
from urlsum.origin.version.refusals import RangeRefused, is_transient, range_refusals
from urlsum.origin.version.responses import closed_on_error, open_range
from urlsum.origin.version.samples import read_samples
from urlsum.origin.version.version import Version
from urlsum.text.remarks import CONTENT_ENCODING, TRANSFORMED

if TYPE_CHECKING:
    from urlsum.origin.http11.response import ResponseHead
    from urlsum.origin.version.file_client import FileClient
    from urlsum.origin.version.version import Overlap
    from urlsum.task import Representation

# 1990-01-01: the year before the first web server. Programs that build packages give all files one fixed time, often of
# the 1970s or 1980s (Nix the first second of 1970, zip 1980, npm 1985); such a date says nothing about the version.
EARLIEST_DATE = 631_152_000


def identity(file: FileClient, head: ResponseHead, version: Version) -> str | None:
    """A digest of what identifies ``version``, of the response ``head``: URLs, validators and length.

    None if the response does not identify one. Two versions of one second may have the same validators, so a date must
    have passed when the response was sent (RFC 9110, 8.8.2.2). As shared caches do, this leaves alone what was chosen
    by more than the URL: a response that sets a cookie or needed one, or that varies by anything (RFC 9110, 12.5.5).
    What urlsum sends otherwise is the same for every task.
    """
    if not version.is_distinguishable or file.has_cookies:
        return None
    if version.modified is not None and not (version.settled and version.modified >= EARLIEST_DATE):
        return None
    try:
        if head.get("accept-ranges") == "none" or "*" in (head.get("vary") or ""):
            return None
    except ProtocolViolated:  # two different ones
        return None
    if not {CONTENT_ENCODING, TRANSFORMED}.isdisjoint(representation(head, file.url, version.proof(version)).notes):
        return None
    # A redirect may add another signature to each URL. Mirrors differ in more than the query, and each is judged alone.
    final = head.target.url.partition("?")[0]
    facts = (parse(file.url).url, final, version.etag, version.weak, version.modified, version.size)
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def recognize(file: FileClient, wanted: str, fingerprint: str) -> tuple[Representation, int] | None:
    """The metadata of the file, if it is still the version of ``wanted``, its identity, and the bytes read for it.

    ``fingerprint`` is the dump of the version with its samples. None if the origin serves no ranges that prove it.
    Raises Changed if the origin has another version, OriginErrors that may pass, DeadlineReached.
    """
    try:
        return _recognize(file, wanted, Version.load(fingerprint))
    except RangeRefused as refused:
        cause = refused.__cause__
        may_pass = refused.transient or (isinstance(cause, HttpFailed) and is_transient(cause.status))
        if isinstance(cause, OriginError) and (may_pass or isinstance(cause, Changed)):
            raise cause from None
        return None


def _recognize(file: FileClient, wanted: str, version: Version) -> tuple[Representation, int] | None:
    facts: Representation | None = None
    count = 0
    for sample in (version.opening, version.spot, version.tail):
        if sample is None:
            continue
        with range_refusals():
            head = _compare(file, wanted, version, sample)
        if head is None:
            return None
        facts = facts or representation(head, file.url, version.proof(version))
        count += sample.length
    return None if facts is None else (facts, count)


def _compare(file: FileClient, wanted: str, version: Version, sample: Overlap) -> ResponseHead | None:
    """The head of a response with the bytes of ``sample``, None if the response proves nothing.

    Raises Changed if it is of another version or has other bytes, other OriginErrors, DeadlineReached.
    """
    # Without If-Range: validators show another version, which then need not send the whole file.
    byte_range = ("Range", f"bytes={sample.start}-{sample.end - 1}")
    connection, head, _ = get_from_same_edge(file.get_at_target, version, byte_range)
    with closed_on_error(connection):
        part = open_range(file, connection, head, sample.start, version)
        # Redirects may end elsewhere, and validators may be missing. A server that cuts ranges at blocks of its own may
        # send all that lies before.
        if identity(file, head, part.version) != wanted or part.first != sample.start:
            connection.close()
            return None
        body = read_samples(file, part.body, version, [sample])
    if body is None:
        raise Changed(f"{head.target}: the bytes changed, but not the validators")
    file.client.pool.release(body.connection)
    return head
