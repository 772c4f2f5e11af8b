"""The closing proof: after the last byte, the origin is asked once more whether this is still the file that was begun.

A file that is overwritten in place while it is sent comes as the beginning of one version and the end of another, in
one response and under one ETag. A later response shows it: by its validators, its length, or its bytes. The bytes are
compared in any case, at both ends of the file: validators made of a modification time stay the same within a second,
and for ever where a build gives every file the same time.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from urlsum.errors import AnotherKind, BadRedirect, Changed, HttpFailed, Unsteady
from urlsum.origin.http11.response import unsatisfied_total
from urlsum.origin.http11.stream import Block
from urlsum.origin.tuning import BLOCK_BYTES
from urlsum.origin.version.edges import same_edge
from urlsum.origin.version.file_client import OK, PARTIAL
from urlsum.origin.version.responses import (
    Differs,
    OtherBytes,
    Refused,
    closed_on_error,
    may_pass,
    open_range,
    open_whole,
    refusals,
)
from urlsum.origin.version.resume import across_parts
from urlsum.origin.version.version import PROOFS, Version
from urlsum.text.format import human_bytes, shown_url

if TYPE_CHECKING:
    from urlsum.origin.http11.body import ResponseBody
    from urlsum.origin.http11.client import Field
    from urlsum.origin.http11.connection import Connection
    from urlsum.origin.http11.response import ResponseHead
    from urlsum.origin.version.file_client import FileClient
    from urlsum.origin.version.version import Overlap
    from urlsum.task import Proof

log = logging.getLogger(__name__)


class Contradicted(Changed):
    """A well-formed response is of another version than the bytes that were read."""


# A file of one segment of TCP, sent from one page and received in one piece, within a moment: between two of its bytes
# there is no instant at which it could be overwritten. 10,000 such files would take half as long again with a second
# request each. Nothing larger: of files of 4 KiB that were overwritten within 3 ms of the request, up to a fifth came
# mixed from real servers, because sendfile() queues pages that a writer may still change.
MOMENT_BYTES = 1024
BAD_REQUEST = 400
RANGE_NOT_SATISFIABLE = 416
WHILE = " while it was being read"
# How often a plain GET must be refused until that is believed: a file must not pass for confirmed, nor fail, by a slip.
REFUSAL_TRIES = 3
# A response without ranges is read again up to here for the sake of the tail: as much as is under way before a
# connection could be closed.
REREAD_BYTES = BLOCK_BYTES


def came_at_once(size: int, seconds: float, moment: float) -> bool:
    """Whether a file of ``size`` bytes that took ``seconds`` from its head to its end needs no closing proof."""
    return size <= MOMENT_BYTES and seconds <= moment


def confirm(file: FileClient, version: Version, tail: Overlap) -> tuple[Proof | None, int]:
    """Compare what the origin says and sends now with ``version``, whose last bytes are ``tail``.

    Returns what the proof rests on, and how many bytes were read again. The proof is None where the origin refuses to
    say anything more: signed URLs end, and some links work once. Raises Changed, other OriginErrors, DeadlineReached.
    """
    samples = [tail]
    if version.opening is not None and tail.start > 0:
        # First, because a range of the beginning cannot be of another place.
        samples.insert(0, version.opening)
    whole_file = doubted = False
    if tail.length and not file.ranges_lie:
        try:
            return _by_ranges(file, version, samples)
        except Refused as refused:
            # Of a tail with other bytes, the place that they were said to come from is looked at.
            whole_file, doubted = refused.other_bytes, refused.other_length
    for _ in range(REFUSAL_TRIES):
        try:
            connection, head, version = same_edge(file.get, version)
        except BadRedirect as exc:
            refusal = str(exc)
            continue
        with closed_on_error(connection):
            if not _refuses(head, version):
                _check_whole(file, head, tail)
                return _by_whole(file, connection, head, version, samples, up_to_tail=whole_file)
        connection.close()
        refusal = f"status {head.status}"
    if whole_file or doubted:
        raise Changed(f"{shown_url(file.url)}: its bytes or its length changed, and the server sends it no more")
    log.warning("%s: not confirmed after the last byte: %s", shown_url(file.url), refusal)
    return None, 0


def _refuses(head: ResponseHead, version: Version) -> bool:
    """Whether the origin does not hand out the file any more, by its status or by a page in place of the file."""
    if head.status == OK:
        # Of the same length it may be the file, overwritten.
        return head.length != version.size and version.is_answered_by_page(Version.of(head, head.length))
    return head.status >= BAD_REQUEST and not may_pass(head.status)


def _check_whole(file: FileClient, head: ResponseHead, tail: Overlap) -> None:
    try:
        file.check_whole(head)
    except HttpFailed as exc:
        read = f"all {human_bytes(tail.end)} were read, but the server did not confirm them"
        message = f"{head.target}: {read}: status {exc.status}"
        raise HttpFailed(exc.status, message, retry_after=exc.retry_after) from exc


def _by_ranges(file: FileClient, version: Version, samples: list[Overlap]) -> tuple[Proof, int]:
    """Raises Refused when ranges prove nothing, and Changed when they prove the contrary.

    A well-formed response of another version is evidence, whatever a plain GET says: it may come from a cache.
    """
    proofs, count = [], 0
    for sample in samples:
        with refusals(but=Contradicted):
            # Without If-Range: responses say what they are of, and one of another version need not bring all of it.
            wanted = ("Range", f"bytes={sample.start}-{sample.end - 1}")
            connection, head, version = _of_ours(file, version, wanted)
            with closed_on_error(connection):
                if head.status == PARTIAL:
                    proofs.append(_by_range(file, connection, head, version, sample))
                elif head.status == OK and not _refuses(head, version):
                    file.check_whole(head)
                    return _by_whole(file, connection, head, version, samples, up_to_tail=False)
                else:
                    _check_total(head, version)
                    raise file.failed(head)
        count += sample.length
    proof = min(proofs, key=PROOFS.index)
    if PROOFS.index(proof) < PROOFS.index(version.proof(version)):
        # RFC 9110, 15.3.7: a 206 has the validators that a 200 would have. These have not.
        raise Refused("ranges do not say what they are of")
    return proof, count


def _of_ours(file: FileClient, version: Version, wanted: Field) -> tuple[Connection, ResponseHead, Version]:
    try:
        return same_edge(file.get_at_target, version, wanted)
    except Changed as exc:
        raise _contradicted(exc) from exc


def _check_total(head: ResponseHead, version: Version) -> None:
    """Doubt the length where a 416 tells another (RFC 9110, 15.5.17). Raises Refused."""
    total = unsatisfied_total(head.get("content-range")) if head.status == RANGE_NOT_SATISFIABLE else None
    if None not in (total, version.size) and total != version.size:
        raise Refused(f"{head.target}: the length is {total} bytes, says a 416", other_length=True)


def _by_range(file: FileClient, connection: Connection, head: ResponseHead, version: Version, sample: Overlap) -> Proof:
    try:
        part = open_range(file, connection, head, sample.start, version)
    except Differs as exc:
        if version.is_dated_by_response(exc.now):
            raise Refused(exc) from exc  # a plain GET says the same, for the file to be read twice
        raise Contradicted(f"{exc}{WHILE}") from exc
    behind = _behind(file, part.body, version, sample)
    if behind is None:
        if sample.start == 0:
            raise _changed(head, "its bytes changed")
        raise OtherBytes(f"{head.target}: the range has different bytes than before")
    file.client.pool.release(behind.connection)
    return version.proof(part.version)


def _by_whole(
    file: FileClient,
    connection: Connection,
    head: ResponseHead,
    version: Version,
    samples: list[Overlap],
    *,
    up_to_tail: bool,
) -> tuple[Proof, int]:
    try:
        whole = open_whole(file, connection, head, version, done=WHILE)
    except AnotherKind:
        raise
    except Changed as exc:
        raise _contradicted(exc) from exc
    if not _same(file, whole.body, version, samples, up_to_tail=up_to_tail):
        raise _changed(head, "its bytes changed")
    connection.close()
    return version.proof(whole.version), whole.body.position


def _same(file: FileClient, body: ResponseBody, version: Version, samples: list[Overlap], *, up_to_tail: bool) -> bool:
    """Whether the whole file that ``body`` begins to bring has the same bytes, as far as it is read."""
    end = max(sample.end for sample in samples)
    if end > REREAD_BYTES:
        first_to_last = sorted(samples, key=lambda sample: sample.end)
        compared = [sample for sample in first_to_last if up_to_tail or sample.start == 0]
        if not all(_behind(file, body, version, sample) for sample in compared):
            return False
        if up_to_tail:
            body.fill(Block(memoryview(bytearray(1))))  # of a body in chunks only its end shows the length
        return True
    # In one piece, because the samples of a short file overlap.
    everything = memoryview(bytearray(end))
    body.read_up_to(end, everything, file.heartbeat)
    # Of a body in chunks only its end shows the length.
    body.fill(Block(memoryview(bytearray(1))))
    return all(sample.matches(everything[sample.start : sample.end]) for sample in samples)


def _behind(file: FileClient, body: ResponseBody, version: Version, sample: Overlap) -> ResponseBody | None:
    """Read up to the end of ``sample``; the response that stands there, None when the bytes are others."""
    body, now = across_parts(file, body, version, sample.start, sample.end)
    if sample.matches(now):
        return body
    body.connection.close()
    return None


def _changed(head: ResponseHead, difference: str) -> Contradicted:
    return Contradicted(f"{head.target}: {difference}{WHILE}")


def _contradicted(error: Changed) -> Changed:
    return error if isinstance(error, Unsteady) else Contradicted(str(error))
