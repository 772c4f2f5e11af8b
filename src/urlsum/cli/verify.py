"""``-c``: verifies and reports lists as ``md5sum -c`` does, but ignores no line silently."""

from __future__ import annotations

from typing import TYPE_CHECKING

from urlsum.cli import console

if TYPE_CHECKING:
    from collections.abc import Sequence

    from urlsum.cli.lists import ChecksumList, Fetch
    from urlsum.cli.options import Options
    from urlsum.cli.outcome import Hasher, HashRequest
    from urlsum.cli.report import Report


class FirstFailure(Exception):
    """``--fail-fast``: a file failed, so the others are not wanted."""


def hash_all(hash_requests: Sequence[HashRequest], hasher: Hasher, report: Report, *, fail_fast: bool) -> bool:
    """Report each file as soon as it is read; whether all are good. Raises Interrupted, and FirstFailure."""
    good = True
    outcomes = hasher.digests(hash_requests)
    for each, outcome in zip(hash_requests, outcomes, strict=True):
        good = report.add(each, outcome) and good
        if not good and fail_fast:
            raise FirstFailure
    return good


def verify(names: Sequence[str], hasher: Hasher, report: Report, options: Options, fetch: Fetch) -> bool:
    """Verify every list; whether every file in them matches. Raises Interrupted, and FirstFailure."""
    good = True
    for name in names or ["-"]:
        good = _verify(name, hasher, report, options, fetch) and good
    return good


def _verify(name: str, hasher: Hasher, report: Report, options: Options, fetch: Fetch) -> bool:
    from urlsum.cli import lists  # noqa: PLC0415 - 3 ms of the start, which only -c needs

    try:
        checksums = lists.read_checksums(name, base=options.base, warn=options.warn, fetch=fetch)
    except OSError as exc:
        console.tell(f"{lists.shown_name(name)}: {exc.strerror}")
        return False
    if not checksums.hash_requests:
        console.tell(f"{checksums.shown}: no properly formatted checksum lines found")
    ok, unread, different = report.ok, report.unread, report.different
    try:
        good = hash_all(checksums.hash_requests, hasher, report, fail_fast=options.fail_fast)
    finally:
        _warn_of_lines(checksums)
        if not options.status:
            _warn(report.unread - unread, "listed URL", "listed URLs", "could not be read")
            _warn(report.different - different, "computed checksum", "computed checksums", "did NOT match")
    if options.ignore_missing and checksums.hash_requests and good and report.ok == ok:
        console.tell(f"{checksums.shown}: no file was verified")
        good = False
    bad = checksums.unverified.count or (options.strict and checksums.malformed.count)
    return bool(checksums.hash_requests) and good and not bad


def _warn_of_lines(checksums: ChecksumList) -> None:
    """Also with --status: an exit status of 0 alone would say that every line was verified."""
    shown, unverified, malformed = checksums.shown, checksums.unverified, checksums.malformed
    _warn(malformed.count, "line is", "lines are", f"improperly formatted ({shown}: {malformed})")
    _warn(unverified.count, "line", "lines", f"could not be verified ({shown}: {unverified})")


def _warn(count: int, one: str, more: str, what: str) -> None:
    if count:
        console.tell(f"WARNING: {count} {one if count == 1 else more} {what}")
