"""The closing proof: after the last byte, further requests prove that the origin still has the version that was read.

A file that is overwritten in place during the download arrives as the beginning of one version and the end of another,
in one response and under one ETag. A later response reveals it by its validators, its length or its bytes. The bytes
are always compared, at both ends of the file: validators made from a modification time stay the same within a second,
and for ever where a build gives every file the same time.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from urlsum.errors import AnotherKind, BadRedirect, Changed, HttpFailed, Unsteady
from urlsum.origin.http11.response import unsatisfied_total
from urlsum.origin.version.edges import get_from_same_edge
from urlsum.origin.version.file_client import OK, PARTIAL
from urlsum.origin.version.refusals import OverlapMismatch, RangeRefused, is_transient, range_refusals
from urlsum.origin.version.responses import DifferentVersion, closed_on_error, open_range, open_whole
from urlsum.origin.version.samples import matches_samples, read_samples, stretch
from urlsum.origin.version.version import PROOFS, Version
from urlsum.text.format import human_bytes, shown_url

if TYPE_CHECKING:
    from urlsum.origin.http11.client import Field
    from urlsum.origin.http11.connection import Connection
    from urlsum.origin.http11.response import ResponseHead
    from urlsum.origin.version.file_client import FileClient
    from urlsum.origin.version.version import Overlap, Sample
    from urlsum.task import Proof

log = logging.getLogger(__name__)


class Contradicted(Changed):
    """A well-formed response belongs to another version than the bytes that were read."""


# A file of one TCP segment, sent from one page and received in one piece within a moment, cannot be overwritten between
# two of its bytes. 10,000 such files would take half as long again with a second request each. No larger file is
# exempt: of files of 4 KiB overwritten within 3 ms of the request, up to a fifth came mixed from real servers, because
# sendfile() queues pages that a writer may still change.
MOMENT_BYTES = 1024
BAD_REQUEST = 400
RANGE_NOT_SATISFIABLE = 416
# A server that compresses unasked may do so for whole files only, or for ranges only.
OTHER_CODING = "the response to a range request has another content coding"
WHILE = " while the file was being read"
# A refusal of the plain GET counts after this many: a transient error must neither confirm a file nor fail it.
REFUSAL_TRIES = 3
# An origin that allows one request a second serves the two or three of a closing proof after as many waits. Longer
# waits belong to the retry policy.
SHORT_WAIT_SECONDS = 3.0
SHORT_WAITS = 3


def arrived_at_once(size: int, seconds: float, moment: float) -> bool:
    """Whether a file of ``size`` bytes that took ``seconds`` from its head to its end needs no closing proof."""
    return size <= MOMENT_BYTES and seconds <= moment


def confirm(file: FileClient, version: Version, samples: list[Overlap | Sample]) -> tuple[Proof | None, int]:
    """Compare the origin's validators and bytes with ``version`` and its ``samples``, of which the tail is the last.

    Returns the validator that proves the version, and the number of bytes read again. The proof is None if the origin
    refuses further requests: signed URLs expire, and some links work once. Sleeps for a short Retry-After and tries
    again. Raises Changed, other OriginErrors, DeadlineReached.
    """
    for _ in range(SHORT_WAITS):
        try:
            return _confirm_once(file, version, samples)
        except HttpFailed as exc:
            wait = exc.retry_after
            remaining = file.deadline.remaining()
            if wait is None or not wait <= min(SHORT_WAIT_SECONDS, remaining):
                raise
            time.sleep(wait)
    return _confirm_once(file, version, samples)


def _confirm_once(file: FileClient, version: Version, samples: list[Overlap | Sample]) -> tuple[Proof | None, int]:
    tail = samples[-1]
    up_to_tail = length_doubted = False
    if tail.length and not file.ranges_lie:
        try:
            return _prove_by_ranges(file, version, samples)
        except RangeRefused as refused:
            # If a range brings other bytes for the tail, the plain GET is read up to the tail.
            up_to_tail, length_doubted = refused.other_bytes, refused.other_length
    for _ in range(REFUSAL_TRIES):
        try:
            connection, head, version = get_from_same_edge(file.get, version)
        except BadRedirect as exc:
            refusal = str(exc)
            continue
        with closed_on_error(connection):
            if not _refuses(head, version):
                _check_whole(file, head, tail)
                return _prove_by_whole(file, connection, head, version, samples, up_to_tail=up_to_tail)
        connection.close()
        refusal = f"status {head.status}"
    if up_to_tail or length_doubted:
        raise Changed(
            f"{shown_url(file.url)}: the bytes or the length of the file changed, and the server no longer sends it"
        )
    log.warning("%s: not confirmed after the last byte: %s", shown_url(file.url), refusal)
    return None, 0


def _refuses(head: ResponseHead, version: Version) -> bool:
    """Whether the origin no longer serves the file, by its status or by a page or message in place of the file."""
    if head.status == OK:
        # A page of the same length may be the file, overwritten.
        now = Version.of(head, head.length)
        return now.size != version.size and (version.is_replaced_by_page(now) or version.is_replaced_by_message(now))
    return head.status >= BAD_REQUEST and not is_transient(head.status)


def _check_whole(file: FileClient, head: ResponseHead, tail: Overlap | Sample) -> None:
    try:
        file.check_whole(head)
    except HttpFailed as exc:
        read = f"all {human_bytes(tail.end)} were read, but the server did not confirm them"
        message = f"{head.target}: {read}: status {exc.status}"
        raise HttpFailed(exc.status, message, retry_after=exc.retry_after) from exc


def _prove_by_ranges(file: FileClient, version: Version, samples: list[Overlap | Sample]) -> tuple[Proof, int]:
    """Raises RangeRefused if ranges prove nothing, and Changed if they prove another version.

    A well-formed response of another version is evidence, even if a plain GET would disagree: a cache may serve that.
    """
    proofs, count = [], 0
    for together in _one_range_each(samples):
        start, end = stretch(together)
        with range_refusals(passed=Contradicted):
            # Without If-Range: validators show another version, which then need not send the whole file.
            range_field = ("Range", f"bytes={start}-{end - 1}")
            connection, head, version = _get_range(file, version, range_field)
            with closed_on_error(connection):
                if head.status == PARTIAL:
                    proofs.append(_prove_by_range(file, connection, head, version, together))
                elif head.status == OK and not _refuses(head, version):
                    file.check_whole(head)
                    if Version.of(head, head.length).coding != version.coding:
                        raise RangeRefused(f"{head.target}: {OTHER_CODING}")
                    return _prove_by_whole(file, connection, head, version, samples, up_to_tail=False)
                else:
                    _check_total(head, version)
                    raise file.status_error(head)
        count += end - start
    proof = min(proofs, key=PROOFS.index)
    if PROOFS.index(proof) < PROOFS.index(version.proof(version)):
        # RFC 9110, 15.3.7: a 206 has the validators that a 200 would have. These lack them.
        raise RangeRefused("the range responses lack the validators of the whole file")
    return proof, count


def _one_range_each(samples: list[Overlap | Sample]) -> list[list[Overlap | Sample]]:
    """The samples, in groups that one range each brings: together where they touch.

    A data set in small pieces then costs one request of the proof for each, and no byte more.
    """
    opening, *others = samples
    if all(sample.start <= opening.end for sample in others):
        return [samples]
    return [[sample] for sample in samples]


def _get_range(file: FileClient, version: Version, range_field: Field) -> tuple[Connection, ResponseHead, Version]:
    try:
        return get_from_same_edge(file.get_at_target, version, range_field)
    except Changed as exc:
        raise _as_contradiction(exc) from exc


def _check_total(head: ResponseHead, version: Version) -> None:
    """Doubt the length if a 416 gives another (RFC 9110, 15.5.17). Raises RangeRefused."""
    total = unsatisfied_total(head.get("content-range")) if head.status == RANGE_NOT_SATISFIABLE else None
    if None not in (total, version.size) and total != version.size:
        raise RangeRefused(f"{head.target}: status 416 gives a length of {total} bytes", other_length=True)


def _prove_by_range(
    file: FileClient, connection: Connection, head: ResponseHead, version: Version, samples: list[Overlap | Sample]
) -> Proof:
    start, _ = stretch(samples)
    try:
        part = open_range(file, connection, head, start, version)
    except DifferentVersion as exc:
        if version.is_dated_by_response(exc.now):
            raise RangeRefused(exc) from exc  # a plain GET then raises Unsteady, and the file is read twice
        if version.coding != exc.now.coding:
            raise RangeRefused(f"{head.target}: {OTHER_CODING}") from exc
        raise Contradicted(f"{exc}{WHILE}") from exc
    body = read_samples(file, part.body, version, samples)
    if body is None:
        if start == 0 and version.coding == part.version.coding:
            raise _contradiction(head, "the bytes changed")
        raise OverlapMismatch(f"{head.target}: the range now has different bytes")
    file.client.pool.release(body.connection)
    return version.proof(part.version)


def _prove_by_whole(
    file: FileClient,
    connection: Connection,
    head: ResponseHead,
    version: Version,
    samples: list[Overlap | Sample],
    *,
    up_to_tail: bool,
) -> tuple[Proof, int]:
    try:
        whole = open_whole(file, connection, head, version, done=WHILE)
    except AnotherKind:
        raise
    except Changed as exc:
        raise _as_contradiction(exc) from exc
    if not matches_samples(file, whole.body, version, samples, up_to_tail=up_to_tail):
        raise _contradiction(head, "the bytes changed")
    connection.close()
    return version.proof(whole.version), whole.body.position


def _contradiction(head: ResponseHead, difference: str) -> Contradicted:
    return Contradicted(f"{head.target}: {difference}{WHILE}")


def _as_contradiction(error: Changed) -> Changed:
    return error if isinstance(error, Unsteady) else Contradicted(str(error))
